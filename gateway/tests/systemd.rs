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
        "ExecStart=/usr/local/bin/gateway run",
        "User=gateway",
        "RuntimeDirectory=gateway",
        "StateDirectory=gateway",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_BPF CAP_PERFMON",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let users = std::fs::read_to_string(project("systemd/gateway.sysusers.conf")).expect("it is there");
    assert!(users.lines().any(|line| line.starts_with("u gateway ")), "{users}");
}
