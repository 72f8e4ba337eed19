//! Pins of another map layout: what its programs count is taken off the limits until it is gone.

use std::{fs, io::ErrorKind, net::TcpStream};

use aya::{
    Pod,
    maps::{HashMap, MapData},
};
use bpf::{Hook, Kernel, QuotaId};
use e2e::{netns::GATEWAY, pinned};
use ebpf_common::names;

use crate::site::{PATIENCE, PORT, Site, at, limits};

/// Has what is pinned look like another version's, whose process is gone: programs at work, counts, limits.
fn as_version_2(site: &Site) {
    fs::rename(site.directory(), site.pins().join("v2")).expect("a BPF file system of our own");
}

fn versions(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.pins()).expect("a directory").map(|entry| entry.expect("an entry"));
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with('v')).collect();
    names.sort();
    names
}

fn current() -> String {
    format!("v{}", ebpf_common::ABI_VERSION)
}

fn connect(site: &Site) -> Result<TcpStream, ErrorKind> {
    site.connect(GATEWAY, PATIENCE).map_err(|error| error.kind())
}

/// `ListenerKey` and `Limit` of version 2.
type Listener2 = [u64; 4];
type Limit2 = [u64; 2];
/// `QuotaKey` and `Count` of version 2: open, epoch.
type Quota2 = [u64; 2];
type Count2 = [u64; 2];

fn map<K: Pod, V: Pod>(site: &Site, name: &str, key: K, value: V) -> HashMap<MapData, K, V> {
    let mut map = HashMap::<MapData, K, V>::create(16, 0).expect("root makes maps");
    map.insert(key, value, 0).expect("there is room");
    let pin = site.pins().join("v2").join(name);
    fs::remove_file(&pin).expect("the one of our own is there");
    map.pin(&pin).expect("a BPF file system");
    pinned::rows(&pin)
}

/// Maps as version 2 had them, made by hand: rows of 16 bytes.
#[test]
fn rows_of_version_2_are_read() {
    let Some(site) = Site::open() else { return };
    let mut kernel = site.start(&[Hook::Tc]).expect("the kernel half works here");
    kernel.tighten(&limits(&[GATEWAY], Some(3))).expect("rows are added");
    let netns = netns_of(&kernel, &site);
    drop(kernel);
    as_version_2(&site);
    let quota = quota_number(&site, netns);
    let mut key: Listener2 = [netns, 0, 0, 0];
    let std::net::IpAddr::V4(address) = at(GATEWAY).ip() else { panic!("it is IPv4") };
    let mapped = address.to_ipv6_mapped().octets();
    for (word, bytes) in key[1..3].iter_mut().zip(mapped.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    let mut port = [0; 8];
    port[..2].copy_from_slice(&PORT.to_be_bytes());
    key[3] = u64::from_ne_bytes(port);
    let limits2 = map::<Listener2, Limit2>(&site, names::LIMITS, key, [quota, 3]);
    let mut counts2 = map::<Quota2, Count2>(&site, names::COUNTS, [netns, quota], [2, 4711]);
    let elsewhere = [netns ^ 1, quota];
    counts2.insert(elsewhere, [5, 4711], 0).expect("there is room");

    let mut kernel = site.start(&[Hook::Tc]).expect("the kernel half works here");
    let _server = site.listen(GATEWAY);
    assert_eq!(kernel.counters().open_of(QuotaId::of(GATEWAY)), Some(2), "not those of another namespace");
    assert_eq!(limits2.keys().count(), 0, "its program finds no listener any more");
    let _held = connect(&site).expect("there is room for a third");
    assert_eq!(connect(&site).expect_err("the limit is reached"), ErrorKind::ConnectionRefused);
    // As the gateway does once it serves: from then on the limit follows what is carried.
    kernel.loosen(&limits(&[GATEWAY], Some(3))).expect("rows are written");
    assert_eq!(connect(&site).expect_err("it is reached still"), ErrorKind::ConnectionRefused);
    counts2.insert([netns, quota], [1, 4711], 0).expect("a map of our own");
    kernel.carry().expect("maps of our own");
    let _one_more = connect(&site).expect("one of before has ended");
    assert_eq!(connect(&site).expect_err("the limit is reached"), ErrorKind::ConnectionRefused);
    counts2.insert([netns, quota], [0, 4711], 0).expect("a map of our own");
    kernel.carry().expect("maps of our own");
    assert!(kernel.carries(), "the other namespace's connections are open still");
    counts2.insert(elsewhere, [0, 4711], 0).expect("a map of our own");
    counts2.insert([netns, quota], [(-1i64).cast_unsigned(), 4711], 0).expect("a map of our own");
    kernel.carry().expect("maps of our own");
    assert!(!kernel.carries(), "less than none is none");
    assert_eq!(versions(&site), [current()]);
    kernel.detach();
}

/// The namespace's cookie, from a row of ours.
fn netns_of(kernel: &Kernel, site: &Site) -> u64 {
    assert_eq!(kernel.counters().open_connections().len(), 1);
    row_of_slots(site, &current())[0]
}

fn quota_number(site: &Site, netns: u64) -> u64 {
    let [found, quota] = row_of_slots(site, "v2");
    assert_eq!(found, netns);
    quota
}

/// The only value of `SLOTS`.
fn row_of_slots(site: &Site, version: &str) -> Quota2 {
    let slots = pinned::rows::<u32, Quota2>(&site.pins().join(version).join(names::SLOTS));
    slots.iter().next().expect("a row").expect("it can be read").1
}

/// Counts that no program keeps would hold a limit down for ever.
#[test]
fn counts_that_nobody_keeps_are_not_carried() {
    let Some(site) = Site::open() else { return };
    let mut kernel = site.start(&[Hook::Xdp]).expect("the kernel half works here");
    kernel.tighten(&limits(&[GATEWAY], Some(1))).expect("rows are added");
    let _server = site.listen(GATEWAY);
    let held = connect(&site).expect("there is room");
    site.counted(&kernel, GATEWAY, 1);
    drop(kernel);
    as_version_2(&site);
    fs::remove_file(site.pins().join("v2/counting")).expect("the link is pinned");
    let mut kernel = site.start(&[Hook::Xdp]).expect("the kernel half works here");
    assert!(!kernel.carries());
    assert_eq!(versions(&site), [current()]);
    kernel.tighten(&limits(&[GATEWAY], Some(1))).expect("rows are added");
    connect(&site).expect("nothing is known of the one before");
    drop(held);
    kernel.detach();
}
