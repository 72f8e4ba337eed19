use std::process::Command;

use crate::harness::project;

const UNIT: &str = "systemd/gateway.service";

/// Tenths; the unit must not be more exposed than this.
const THRESHOLD: &str = "18";

/// `None`: not on this machine, and nobody said that it must be.
fn systemd_analyze(arguments: &[&str]) -> Option<(bool, String)> {
    match Command::new("systemd-analyze").args(arguments).arg(project(UNIT)).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            Some((output.status.success(), text.into_owned()))
        }
        Err(error) => {
            assert!(std::env::var_os("GATEWAY_TEST_REQUIRE").is_none(), "systemd-analyze: {error}");
            println!("skipped: systemd-analyze: {error}");
            None
        }
    }
}

#[test]
fn the_unit_is_not_more_exposed_than_it_says() {
    let Some((fine, text)) = systemd_analyze(&["security", "--offline=true", "--threshold", THRESHOLD])
    else {
        return;
    };
    assert!(fine && text.contains("Overall exposure level"), "{text}");
}

#[test]
fn the_unit_is_well_formed() {
    let Some((_, text)) = systemd_analyze(&["verify"]) else { return };
    // The one complaint that a machine without the gateway installed may have.
    let complaints: Vec<&str> = text.lines().filter(|line| !line.contains("is not executable")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_unit_says_what_the_program_needs() {
    let unit = std::fs::read_to_string(project(UNIT)).expect("it is there");
    for line in [
        "Type=notify",
        "ExecStart=/usr/local/bin/gateway run",
        "User=gateway",
        "RuntimeDirectory=gateway",
        "RuntimeDirectoryPreserve=yes",
        "StateDirectory=gateway",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_BPF CAP_PERFMON",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_BPF CAP_PERFMON",
        "LimitNOFILE=1048576",
        "ExecReload=/usr/local/bin/gateway upgrade",
        "FileDescriptorStoreMax=8192",
        "WatchdogSec=30s",
        "NotifyAccess=main",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // As root, outside the unit's own view of the file system.
    let mount = unit.lines().find(|line| line.starts_with("ExecStartPre=-+")).expect("BPF's mount");
    assert!(mount.contains("mount -t bpf ") && mount.contains("chown gateway:gateway "), "{mount}");
    let users = std::fs::read_to_string(project("systemd/gateway.sysusers.conf")).expect("it is there");
    assert!(users.lines().any(|line| line.starts_with("u gateway ")), "{users}");
}

#[test]
fn the_unit_waits_longer_than_the_gateway_drains() {
    let unit = std::fs::read_to_string(project(UNIT)).expect("it is there");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).expect("a limit");
    let output =
        Command::new(env!("CARGO_BIN_EXE_gateway")).args(["run", "--help"]).output().expect("it runs");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, drain) = help.split_once("--drain-timeout").expect("the flag");
    let drain =
        drain.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']')).expect("its default").0;
    let seconds = |text: &str| text.strip_suffix('s').and_then(|text| text.parse::<u32>().ok());
    let (stop, drain) = (seconds(stop).expect("seconds"), seconds(drain).expect("seconds"));
    assert!(stop > drain, "{stop} s, and the gateway drains for {drain} s");
}
