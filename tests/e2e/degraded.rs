//! What the machine lacks: each lack is said, costs a tier and no more, is a metric, and leaves the limit exact.
//!
//! `cargo xtask test degraded` walks them. A kernel without BTF, without TCX or without bpf() cannot be had here: what is
//! shown is the gateway where the file is hidden, where TC is tried by clsact only (`tests/bpf/degraded.rs`), and where
//! the call is forbidden.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use aya::{
    EbpfLoader, Pod,
    maps::{HashMap, MapData},
    programs::{Xdp, XdpMode, links::FdLink},
};
use e2e::{
    gateway::Gateway,
    http::Connection,
    netns::{GATEWAY, GATEWAY6},
    pinned, unit, wait,
};
use ebpf_common::names;

use crate::cafe::{Cafe, PORT, appliance, limited, manifests};

const LIMIT: usize = 3;

/// The usual example, its gateway started as a unit has it, with less.
struct Lesser {
    cafe: Cafe,
}

/// What is taken away.
#[derive(Default)]
struct Without<'a> {
    /// Lines that the unit ends with.
    unit: &'a str,
    /// What it does not find.
    hidden: Vec<PathBuf>,
    /// The pins' file system is not there.
    pins: bool,
    /// The Appliance's kernel settings; by default gw0.
    kernel: &'a str,
}

impl Lesser {
    fn start(without: Without<'_>) -> Option<Self> {
        let Without { unit, mut hidden, pins, kernel } = without;
        let kernel = if kernel.is_empty() { "{interfaces: [gw0]}" } else { kernel };
        let limit = limited(LIMIT);
        let files = [("appliance.yaml", appliance(kernel)), ("limit.yaml", limit)];
        let cafe = Cafe::open_by(&files, &[], |place| {
            let file = place.beside("unit");
            let text = fs::read_to_string(unit::file()).expect("the unit is in the checkout");
            fs::write(&file, text.replace("\n[Install]", &format!("\n{unit}\n[Install]")))
                .expect("a file of our own");
            if pins {
                hidden.push(place.runtime("bpf"));
            }
            let mut words: Vec<OsString> =
                vec![env!("CARGO_BIN_EXE_unit-user").into(), "--unit".into(), file.into()];
            words.extend(hidden.into_iter().flat_map(|path| ["--hide".into(), path.into_os_string()]));
            place.launch_by(words);
        })?;
        Some(Self { cafe })
    }

    /// The tier of an interface, that this is why, and that the log says so.
    fn is_said(&self, interface: &str, tier: &str, reason: &str, message: &str) {
        self.is_counted("gateway_kernel_tier", &[("interface", interface), ("tier", tier)]);
        self.is_counted("gateway_kernel_degraded", &[("reason", reason)]);
        let log = self.cafe.gateway.log();
        assert!(log.contains(message), "{message}\n{log}");
    }

    fn is_counted(&self, name: &str, labels: &[(&str, &str)]) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        wait::until(&format!("{name} {labels:?}"), || (self.cafe.metric(name, &labels) == 1.0).then_some(()));
    }

    /// As many as may are served, and no more; one that goes makes room for one.
    fn limit_is_exact(&self) {
        let serve = |address: &str| {
            let connection = self.cafe.wire.client.run(|| Connection::open((address, PORT)));
            let mut connection = connection.ok()?;
            (connection.get("cafe.example.com", "/").ok()?.status == 200).then_some(connection)
        };
        let addresses = [GATEWAY, GATEWAY6, GATEWAY];
        let mut held: Vec<Connection> =
            addresses.map(|address| wait::until("there is room", || serve(address))).into();
        assert_eq!(held.len(), LIMIT);
        for _ in 0..2 {
            assert!(serve(GATEWAY).is_none() && serve(GATEWAY6).is_none(), "one more than may be");
            drop(held.pop());
            held.push(wait::until("there is room for one", || serve(GATEWAY)));
        }
        assert!(serve(GATEWAY6).is_none());
        drop(held);
        wait::until("every slot is free", || {
            let open = self.cafe.metric("gateway_connections_open", &["listener=\"default/eg/http\""]);
            (open == 0.0).then_some(())
        });
    }
}

/// Where the unified control groups are mounted.
fn cgroup2() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    let mine = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
    mine.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

#[test]
fn nothing_is_degraded_as_the_unit_has_it() {
    let Some(whole) = Lesser::start(Without::default()) else { return };
    whole.is_counted("gateway_kernel_tier", &[("interface", "gw0"), ("tier", "xdp")]);
    assert_eq!(whole.cafe.metric("gateway_kernel_degraded", &[]), 0.0);
    whole.limit_is_exact();
}

#[test]
fn without_the_kernels_btf_file_it_works_all_the_same() {
    let hidden = vec![PathBuf::from("/sys/kernel/btf")];
    let Some(lesser) = Lesser::start(Without { hidden, ..Without::default() }) else { return };
    lesser.is_counted("gateway_kernel_tier", &[("interface", "gw0"), ("tier", "xdp")]);
    lesser.limit_is_exact();
}

#[test]
fn without_cgroup2_limits_are_enforced_at_accept() {
    let Some(lesser) = Lesser::start(Without { hidden: cgroup2(), ..Without::default() }) else { return };
    lesser.is_said("gw0", "accept", "no_cgroup2", "mount -t cgroup2");
    lesser.limit_is_exact();
}

#[test]
fn without_a_bpf_file_system_limits_are_enforced_at_accept() {
    let Some(lesser) = Lesser::start(Without { pins: true, ..Without::default() }) else { return };
    lesser.is_said("gw0", "accept", "no_bpffs", "mount -t bpf");
    lesser.limit_is_exact();
}

#[test]
fn without_the_call_limits_are_enforced_at_accept() {
    let Some(lesser) = Lesser::start(Without { unit: "SystemCallFilter=~bpf", ..Without::default() }) else {
        return;
    };
    lesser.is_said("gw0", "accept", "not_permitted", "Operation not permitted");
    lesser.limit_is_exact();
}

#[test]
fn without_a_capability_limits_are_enforced_at_accept() {
    // Without the last, the verifier takes no program as ours are.
    let all = [
        ("CAP_BPF", "not_permitted", "Operation not permitted"),
        ("CAP_NET_ADMIN", "not_permitted", "Operation not permitted"),
        ("CAP_PERFMON", "not_loaded", "and CAP_PERFMON"),
    ];
    for (missing, reason, message) in all {
        let rest: Vec<&str> = all.iter().map(|(name, ..)| *name).filter(|one| *one != missing).collect();
        let unit =
            format!("AmbientCapabilities=\nAmbientCapabilities=CAP_NET_BIND_SERVICE {}", rest.join(" "));
        let Some(lesser) = Lesser::start(Without { unit: &unit, ..Without::default() }) else { return };
        lesser.is_said("gw0", "accept", reason, message);
        let log = lesser.cafe.gateway.log();
        let said = format!("missing=\"{missing}\"");
        assert!(log.contains(&said) && log.contains("no XDP and no TC tier"), "{log}");
        assert!(log.lines().all(|line| line.len() < 2_000), "the verifier's log is cut: {log}");
        lesser.limit_is_exact();
    }
}

#[test]
fn without_the_right_to_low_ports_a_listener_there_says_so() {
    let unit = "AmbientCapabilities=\nAmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_PERFMON";
    let Some(lesser) = Lesser::start(Without { unit, ..Without::default() }) else { return };
    let low = manifests()
        .replace("port: 8080", "port: 80")
        .replace("{name: eg, namespace", "{name: low, namespace");
    lesser.cafe.place.write("low.yaml", &low);
    let is_said = || lesser.cafe.gateway.log().contains("need CAP_NET_BIND_SERVICE").then_some(());
    wait::until("it is said", is_said);
    let log = lesser.cafe.gateway.log();
    assert!(log.contains("missing=\"CAP_NET_BIND_SERVICE\"") && log.contains("ports below 1024"), "{log}");
    lesser.is_counted("gateway_kernel_tier", &[("interface", "gw0"), ("tier", "xdp")]);
    lesser.limit_is_exact();
}

#[test]
fn without_native_xdp_tc_is_used() {
    let kernel = "{interfaces: [br0]}";
    let Some(lesser) = Lesser::start(Without { kernel, ..Without::default() }) else { return };
    lesser.is_said("br0", "accept", "no_interface", "there is no interface br0");
    let gateway = &lesser.cafe.wire.gateway;
    gateway.ip("link add br0 type bridge");
    gateway.ip("link set gw0 master br0");
    for (address, flags) in [(format!("{GATEWAY}/24"), ""), (format!("{GATEWAY6}/64"), " nodad")] {
        gateway.ip(&format!("address del {address} dev gw0"));
        gateway.ip(&format!("address add {address} dev br0{flags}"));
    }
    gateway.ip("link set br0 up");
    lesser.is_said("br0", "tc", "no_native_xdp", "TC on br0 (not XDP:");
    lesser.limit_is_exact();
}

#[test]
fn beside_somebody_elses_xdp_program_tc_is_used() {
    let kernel = "{interfaces: [gw0, none0]}";
    let Some(mut lesser) = Lesser::start(Without { kernel, ..Without::default() }) else { return };
    lesser.cafe.gateway.kill();
    let cafe = &lesser.cafe;
    bpf::remove(&cafe.place.runtime("bpf")).expect("root may");
    let (_programs, _link) = foreign(cafe);
    lesser.cafe.gateway = Gateway::start(&lesser.cafe.wire.gateway, &lesser.cafe.place, &[]);
    lesser.is_said("gw0", "tc", "foreign_xdp", "somebody else's XDP program is there");
    lesser.limit_is_exact();
}

/// A program that lets everything through: ours, with maps of its own, which nobody has written.
fn foreign(cafe: &Cafe) -> (aya::Ebpf, FdLink) {
    let mut ebpf = EbpfLoader::new().load_file(object()).expect("the object loads");
    let program: &mut Xdp = ebpf.program_mut(names::VETH).expect("it is there").try_into().expect("XDP");
    program.load().expect("it was loaded before");
    let id = cafe.wire.gateway.run(|| program.attach("gw0", XdpMode::Driver)).expect("nothing is there");
    let link = program.take_link(id).expect("it is attached").try_into().expect("it is a link");
    (ebpf, link)
}

fn object() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/bpf");
    std::env::var_os("GATEWAY_BPF_DIR").map_or(built, PathBuf::from).join("gateway.bpf.o")
}

#[test]
fn pins_of_another_layout_are_taken_over_and_said() {
    let Some(mut lesser) = Lesser::start(Without::default()) else { return };
    let held = lesser.cafe.connect().expect("there is room");
    let pins = lesser.cafe.place.runtime("bpf");
    let count = || {
        let layouts = bpf::inspect(&pins).expect("root may look");
        layouts.iter().flat_map(|layout| &layout.counts).map(|count| count.open).sum::<u64>()
    };
    wait::until("it is counted", || (count() == 1).then_some(()));
    lesser.cafe.gateway.kill();
    drop(held);
    wait::until("nothing is open", || (count() == 0).then_some(()));
    let current = format!("v{}", ebpf_common::ABI_VERSION);
    let slots = pinned::rows::<u32, [u64; 2]>(&pins.join(&current).join(names::SLOTS));
    let (_, quota) = slots.iter().next().expect("a row").expect("it can be read");
    fs::rename(pins.join(current), pins.join("v2")).expect("a BPF file system of our own");
    // Maps as version 2 had them. As if connections of before were open still: nobody's close takes them off.
    let _limits = replaced::<[u64; 4], [u64; 2]>(&pins.join("v2").join(names::LIMITS));
    let mut counts = replaced::<[u64; 2], [u64; 2]>(&pins.join("v2").join(names::COUNTS));
    counts.insert(quota, [1, 4711], 0).expect("a map of our own");
    lesser.cafe.gateway = Gateway::start(&lesser.cafe.wire.gateway, &lesser.cafe.place, &[]);
    lesser.is_counted("gateway_kernel_tier", &[("interface", "gw0"), ("tier", "xdp")]);
    lesser.is_counted("gateway_kernel_degraded", &[("reason", "earlier_layout")]);
    let open = || lesser.cafe.metric("gateway_kernel_connections_open", &[]);
    assert_eq!(open(), 1.0, "what it still counts");
    let held: Vec<_> = (1..LIMIT).map(|_| lesser.cafe.connect().expect("there is room")).collect();
    assert!(lesser.cafe.connect().is_err(), "the one of before counts");
    counts.insert(quota, [0, 4711], 0).expect("a map of our own");
    wait::until("the other layout is gone", || (!pins.join("v2").exists()).then_some(()));
    wait::until("it is said", || (lesser.cafe.metric("gateway_kernel_degraded", &[]) == 0.0).then_some(()));
    assert!(lesser.cafe.gateway.log().contains("no connection of the other layout is left"));
    drop(held);
    lesser.limit_is_exact();
}

/// An empty map in the place of a pinned one.
fn replaced<K: Pod, V: Pod>(pin: &Path) -> HashMap<MapData, K, V> {
    let made = HashMap::<MapData, K, V>::create(16, 0).expect("root makes maps");
    fs::remove_file(pin).expect("the one of before is there");
    made.pin(pin).expect("a BPF file system");
    pinned::rows(pin)
}

/// Rows of other namespaces take all the room that there is.
#[test]
fn where_a_map_is_full_limits_are_enforced_at_accept() {
    let Some(lesser) = Lesser::start(Without::default()) else { return };
    let pin = pinned::directory(&lesser.cafe.place.runtime("bpf"));
    let mut limits = pinned::rows::<[u64; 3], [u64; 20]>(&pin.join(names::LIMITS));
    let is_room = |row: &u64| limits.insert([u64::MAX, 0, *row], [0; 20], 0).is_ok();
    let taken = (0..1 << 20).take_while(is_room).count();
    assert!(taken > 60_000, "{taken}");
    lesser.cafe.place.write("cafe.yaml", &manifests().replace("port: 8080", "port: 8081"));
    lesser.is_counted("gateway_kernel_degraded", &[("reason", "map_full")]);
    let log = lesser.cafe.gateway.log();
    assert!(log.contains("cannot write the map LIMITS") && log.contains("user space enforces them"), "{log}");
    let serve = || {
        let mut connection = lesser.cafe.wire.client.run(|| Connection::open((GATEWAY, 8081))).ok()?;
        (connection.get("cafe.example.com", "/").ok()?.status == 200).then_some(connection)
    };
    let held: Vec<_> = (0..LIMIT).map(|_| wait::until("there is room", serve)).collect();
    assert!(serve().is_none(), "user space counts");
    for row in 0..taken as u64 {
        limits.remove(&[u64::MAX, 0, row]).expect("a row of our own");
    }
    lesser.cafe.place.write("cafe.yaml", &manifests());
    wait::until("all is well again", || {
        (lesser.cafe.metric("gateway_kernel_degraded", &[]) == 0.0).then_some(())
    });
    drop(held);
    lesser.limit_is_exact();
}
