//! What outlives a process, and who takes it over.

use std::{fs, io::ErrorKind, path::Path};

use aya::{
    EbpfLoader,
    maps::{HashMap, MapData},
    programs::{CgroupAttachMode, SockOps, links::PinnedLink},
};
use bpf::{Error, Hook, Kernel, Options};
use e2e::netns::GATEWAY;
use ebpf_common::names;

use crate::{
    object,
    site::{MANY, PATIENCE, Site, limits, on},
};

fn start(site: &Site, hook: Hook) -> Kernel {
    let kernel = site.start(&[hook]).expect("the kernel half works here");
    assert!(kernel.tiers().all(|(_, tier)| tier.is_ok()));
    kernel
}

/// Dropped without an orderly end, as by a crash: limits hold, counts go on, and the next process finds both.
fn limits_outlive_the_process(hook: Hook, refused_as: ErrorKind) {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, hook);
    kernel.tighten(&limits(&[GATEWAY], Some(3))).expect("rows are added");
    let _server = site.listen(GATEWAY);
    let mut held = vec![site.connect(GATEWAY, PATIENCE).expect("there is room")];
    drop(kernel);
    held.push(site.connect(GATEWAY, PATIENCE).expect("there is room"));
    held.push(site.connect(GATEWAY, PATIENCE).expect("there is room"));
    let refused = || site.connect(GATEWAY, PATIENCE).expect_err("the limit is reached").kind();
    assert_eq!(refused(), refused_as, "nobody is alive who could refuse, but the kernel");
    let link = link(&site);
    let mut kernel = start(&site, hook);
    site.counted(&kernel, GATEWAY, 3);
    assert_eq!(refused(), refused_as);
    let swapped = self::link(&site);
    assert_eq!((link.0, link.1 == swapped.1), (swapped.0, false), "another program under the same link");
    let refusals: u64 = kernel.counters().refused().iter().map(|refusals| refusals.total).sum();
    assert!(refusals >= 2, "{refusals}: those of before too");
    kernel.tighten(&limits(&[GATEWAY], Some(4))).expect("nothing is raised");
    assert_eq!(refused(), refused_as, "the row of before is in force until it is loosened");
    kernel.loosen(&limits(&[GATEWAY], Some(4))).expect("limits are raised");
    held.push(site.connect(GATEWAY, PATIENCE).expect("there is room"));
    drop(held);
    site.counted(&kernel, GATEWAY, 0);
    kernel.detach();
    assert_eq!(directories(&site), Vec::<String>::new());
}

/// Id of the pinned link on the gateway's interface, and of the program under it.
fn link(site: &Site) -> (u32, u32) {
    let name = site.pinned().into_iter().find(|name| name.starts_with("on_")).expect("a link is pinned");
    let link = PinnedLink::from_pin(site.directory().join(name)).expect("it can be opened");
    let info = aya::programs::links::FdLink::from(link).info().expect("it has one");
    (info.id(), info.program_id())
}

#[test]
fn xdp_limits_outlive_the_process() {
    limits_outlive_the_process(Hook::Xdp, ErrorKind::ConnectionRefused);
}

#[test]
fn tc_limits_outlive_the_process() {
    limits_outlive_the_process(Hook::Tc, ErrorKind::ConnectionRefused);
}

#[test]
fn two_programs_that_count_at_once_count_once() {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, Hook::Xdp);
    kernel.tighten(&limits(&[GATEWAY], None)).expect("rows are added");
    let _server = site.listen(GATEWAY);
    let before = site.connect(GATEWAY, PATIENCE).expect("there is room");
    // As between the attachment of a successor's program and the end of the old one's.
    let mut loader = EbpfLoader::new();
    let pins = site.directory();
    let shared = [
        names::LIMITS,
        names::NETWORKS,
        names::SOURCES,
        names::BUCKETS,
        names::BEGINNINGS,
        names::COUNTS,
        names::REFUSED,
        names::REASONS,
        names::FILLED,
        names::MARKS,
        names::SOURCE_MARKS,
    ];
    let paths = shared.map(|name| (name, pins.join(name)));
    for (name, path) in &paths {
        loader.map_pin_path(name, path.as_path());
    }
    let file = object::directory().expect("it was there").join("gateway.bpf.o");
    let mut second = loader.load_file(file).expect("the object loads");
    let program: &mut SockOps =
        second.program_mut(names::SOCK_OPS).expect("it is there").try_into().expect("sock_ops");
    program.load().expect("it was loaded before");
    program.attach(cgroup(), CgroupAttachMode::Single).expect("links are many to a cgroup");
    let during: Vec<_> = (0..5).map(|_| site.connect(GATEWAY, PATIENCE).expect("there is room")).collect();
    site.counted(&kernel, GATEWAY, 6);
    drop((before, during));
    site.counted(&kernel, GATEWAY, 0);
    let last = site.connect(GATEWAY, PATIENCE).expect("there is room");
    site.counted(&kernel, GATEWAY, 1);
    drop(second);
    drop(last);
    site.counted(&kernel, GATEWAY, 0);
}

fn cgroup() -> fs::File {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("cgroup2 is mounted");
    fs::File::open(line.split(' ').nth(4).expect("a mount point")).expect("it can be opened")
}

#[test]
fn an_interface_that_was_replaced_meanwhile_is_attached_to_afresh() {
    let Some(site) = Site::open() else { return };
    drop(start(&site, Hook::Xdp));
    let before = site.pinned();
    site.wire.gateway.ip("link delete gw0");
    site.wire.client.ip(&format!("link add cl0 type veth peer name gw0 netns {}", site.wire.gateway.name()));
    let kernel = start(&site, Hook::Xdp);
    let links =
        |names: &[String]| names.iter().filter(|name| name.starts_with("on_")).cloned().collect::<Vec<_>>();
    assert_eq!(links(&site.pinned()).len(), 1, "the old link's pin is gone");
    assert_eq!(links(&before).len(), 1);
    kernel.detach();
}

#[test]
fn what_is_not_ours_is_refused_and_named() {
    let Some(site) = Site::open() else { return };
    let start = |object_dir: &Path, pin_dir: &Path| {
        let (object_dir, pin_dir) = (Some(object_dir.to_owned()), pin_dir.to_owned());
        let options = Options {
            object_dir,
            pin_dir,
            interfaces: on(&[Hook::Xdp]),
            resets_per_second: MANY,
            events_per_second: MANY,
            sources: None,
            headers: None,
        };
        site.wire.gateway.run(|| Kernel::start(&options)).expect_err("it is refused")
    };
    let object = object::directory().expect("it was there");
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let error = start(&object, elsewhere.path());
    assert!(matches!(error, Error::NotBpffs { .. }) && error.to_string().contains("mount -t bpf"), "{error}");
    let error = start(elsewhere.path(), site.pins());
    assert!(matches!(error, Error::NoObject { .. }) && error.to_string().contains("xtask build"), "{error}");
    fs::write(elsewhere.path().join("gateway.bpf.o"), with_another_abi(&object)).expect("a file of our own");
    let error = start(elsewhere.path(), site.pins());
    assert!(matches!(error, Error::Abi { found: Some(4711), .. }), "{error}");
    assert!(error.to_string().contains("4711"), "{error}");
    // A map of another layout under the name of ours.
    fs::create_dir(site.directory()).expect("a directory of our own");
    let stray = HashMap::<MapData, u32, u32>::create(1, 0).expect("root makes maps");
    stray.pin(site.directory().join("LIMITS")).expect("a BPF file system");
    let error = start(&object, site.pins());
    assert!(matches!(error, Error::Layout { .. }) && error.to_string().contains("/LIMITS"), "{error}");
    bpf::clean(site.pins());
    assert_eq!(site.pinned(), Vec::<String>::new());
}

/// The object file with another number of entries in the map that tells the version.
fn with_another_abi(directory: &Path) -> Vec<u8> {
    let mut object = fs::read(directory.join("gateway.bpf.o")).expect("it was there");
    // Array, keys and values of 4 bytes, so many entries, no flags: `bpf_map_def` of the loaders before libbpf 1.0.
    let [kind, key, value, flags] = [2u32, 4, 4, 0];
    let [ours, other] = [ebpf_common::ABI_VERSION, 4711].map(|abi| {
        [kind, key, value, abi, flags].iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>()
    });
    let places: Vec<usize> = (0..object.len() - 20).filter(|at| object[*at..at + 20] == ours).collect();
    assert_eq!(places.len(), 1, "there is one such map");
    object[places[0]..places[0] + 20].copy_from_slice(&other);
    object
}

#[test]
fn pins_of_another_version_end_with_its_successor() {
    let Some(site) = Site::open() else { return };
    for name in ["v0", "v77", "kept"] {
        fs::create_dir(site.pins().join(name)).expect("a directory of our own");
    }
    let stray = HashMap::<MapData, u32, u32>::create(1, 0).expect("root makes maps");
    stray.pin(site.pins().join("v77/LIMITS")).expect("a BPF file system");
    let kernel = start(&site, Hook::Xdp);
    assert_eq!(directories(&site), ["kept".to_owned(), format!("v{}", ebpf_common::ABI_VERSION)]);
    kernel.detach();
    assert_eq!(directories(&site), ["kept"]);
}

/// What is in the BPF file system, without the kernel's own files.
fn directories(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.pins()).expect("a directory").map(|entry| entry.expect("an entry"));
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".debug")).collect();
    names.sort();
    names
}
