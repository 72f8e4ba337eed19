//! What is pinned is shown, corrected and ended without a gateway.

use std::{collections::BTreeMap, fs, net::TcpStream};

use aya::maps::{Array, MapData};
use bpf::{Correction, Counted, Hook, Kernel, Place, Policy, PrefixLimit, QuotaId};
use e2e::{
    netns::{GATEWAY, GATEWAY6},
    pinned::{self, Network, SourceCounts},
    wait,
};
use ebpf_common::names;

use crate::site::{BOTH, INTERFACE, PATIENCE, PORT, Site, connect_from, limits, policed};

/// Each `Count`, as words.
type Counts = Array<MapData, [u64; 3]>;

fn counts(site: &Site) -> Counts {
    pinned::map(&site.directory().join(names::COUNTS)).try_into().expect("rows of that size")
}

/// Rows that somebody counts in: they have an epoch.
fn rows(counts: &Counts) -> Vec<(u32, [u64; 3])> {
    let row = |slot: u32| counts.get(&slot, 0).ok().filter(|row| row[1] > 0).map(|row| (slot, row));
    (0..counts.len()).filter_map(row).collect()
}

/// Makes a count wrong, as a fault would.
fn falsify(site: &Site, from: u64, to: i64) {
    let mut counts = counts(site);
    let rows: Vec<_> = rows(&counts).into_iter().filter(|(_, row)| row[0] == from).collect();
    let [(slot, row)] = *rows else { panic!("{rows:?}") };
    counts.set(slot, [to.cast_unsigned(), row[1], row[2]], 0).expect("a map of our own");
}

fn reset(site: &Site) -> Vec<Correction> {
    site.wire.gateway.run(|| bpf::reset(site.pins())).expect("root may")
}

fn started(site: &Site) -> Kernel {
    let mut kernel = site.start(&[Hook::Xdp]).expect("the kernel half works here");
    kernel.tighten(&limits(&[GATEWAY, GATEWAY6], Some(3))).expect("rows are added");
    kernel
}

#[test]
fn a_count_that_no_connection_stands_behind_is_lowered_to_what_is_open() {
    let Some(site) = Site::open() else { return };
    let kernel = started(&site);
    let servers = [site.listen(GATEWAY), site.listen(GATEWAY6)];
    let held: Vec<_> = (0..2).map(|_| site.connect(GATEWAY, PATIENCE).expect("there is room")).collect();
    site.counted(&kernel, GATEWAY, 2);
    assert_eq!(reset(&site), [], "every count is right");
    falsify(&site, 2, 7);
    let quota = QuotaId::of(GATEWAY);
    assert_eq!(reset(&site), [Correction { what: Counted::Quota(quota), from: 7, to: 2 }]);
    site.counted(&kernel, GATEWAY, 2);
    falsify(&site, 2, 1);
    assert_eq!(reset(&site), [], "too few are no connections without a socket");
    falsify(&site, 1, 2);
    drop(held);
    site.counted(&kernel, GATEWAY, 0);
    // After a crash: nobody listens, and nothing is open.
    drop(servers);
    drop(kernel);
    let mut counts = counts(&site);
    let (slot, row) = rows(&counts)[0];
    counts.set(slot, [3, row[1], row[2]], 0).expect("a map of our own");
    let [Correction { from: 3, to: 0, .. }] = &*reset(&site) else { panic!("it is not zero") };
    bpf::remove(site.pins()).expect("root may");
}

fn network(text: &str) -> Network {
    let (address, bits) = text.split_once('/').expect("a network");
    (address.parse().expect("an address"), bits.parse().expect("a length"))
}

/// Waits until the counts by address and network are these, and no other.
fn counted_by_source(site: &Site, expected: &[(&str, i64)]) {
    let expected: BTreeMap<Network, i64> =
        expected.iter().map(|(text, open)| (network(text), *open)).collect();
    let counts = SourceCounts::of(site.pins(), PORT);
    wait::until(&format!("{expected:?}"), || (counts.open() == expected).then_some(()));
}

/// Connections of addresses and networks are counted, and none of them has too many.
fn counting_by_source(site: &Site) -> Kernel {
    let mut kernel = site.start(&[Hook::Xdp]).expect("the kernel half works here");
    let per_prefix = PrefixLimit { most: 9, ipv4_bits: 28, ipv6_bits: 64 };
    let policy = Policy { per_source: Some(9), per_prefix: Some(per_prefix), ..Policy::default() };
    kernel.tighten(&policed(&BOTH, policy)).expect("rows are added");
    kernel
}

fn hold(site: &Site, from: &str) -> TcpStream {
    let to = if from.contains(':') { GATEWAY6 } else { GATEWAY };
    site.wire.client.run(|| connect_from(from, to, wait::DEADLINE)).expect("there is room")
}

#[test]
fn a_count_by_source_that_no_connection_stands_behind_is_lowered_to_what_is_open() {
    let Some(site) = Site::open() else { return };
    let kernel = counting_by_source(&site);
    let _servers = BOTH.map(|address| site.listen(address));
    let held = ["198.51.100.10", "198.51.100.10", "198.51.100.11", "198.51.100.16", "2001:db8:1::1"];
    let held = held.map(|from| hold(&site, from));
    let open = [
        ("198.51.100.10/32", 2),
        ("198.51.100.11/32", 1),
        ("198.51.100.16/32", 1),
        ("198.51.100.0/28", 3),
        ("198.51.100.16/28", 1),
        ("2001:db8:1::1/128", 1),
        ("2001:db8:1::/64", 1),
    ];
    counted_by_source(&site, &open);
    assert_eq!(reset(&site), [], "every count is right");
    let mut counts = SourceCounts::of(site.pins(), PORT);
    let wrong = [("198.51.100.0/28", 4), ("198.51.100.10/32", 7), ("2001:db8:1::/64", 9)];
    wrong.iter().for_each(|(text, open)| counts.falsify(network(text), *open));
    let mut corrections = reset(&site);
    corrections.sort_by_key(|correction| correction.what);
    let lowered = wrong.map(|(text, from)| {
        let (address, bits) = network(text);
        let to = open.iter().find(|(other, _)| *other == text).expect("it is open").1;
        Correction { what: Counted::Source { address, bits }, from, to }
    });
    assert_eq!(corrections, lowered);
    counted_by_source(&site, &open);
    counts.falsify(network("198.51.100.10/32"), 1);
    assert_eq!(reset(&site), [], "too few are no connections without a socket");
    counts.falsify(network("198.51.100.10/32"), 2);
    drop(held);
    counted_by_source(&site, &[]);
    counts.falsify(network("198.51.100.11/32"), 3);
    let what = Counted::Source { address: "198.51.100.11".parse().expect("an address"), bits: 32 };
    assert_eq!(reset(&site), [Correction { what, from: 3, to: 0 }]);
    counted_by_source(&site, &[]);
    kernel.detach();
}

/// A listener that has lost an address goes on to serve those who came by it.
#[test]
fn connections_of_an_address_that_is_not_listened_on_any_more_stand_behind_their_counts() {
    let Some(site) = Site::open() else { return };
    let mut kernel = counting_by_source(&site);
    let _servers = BOTH.map(|address| site.listen(address));
    let held = ["198.51.100.10", "198.51.100.11", "2001:db8:1::1"].map(|from| hold(&site, from));
    let by_v6 = [("2001:db8:1::1/128", 1), ("2001:db8:1::/64", 1)];
    let open = [("198.51.100.10/32", 1), ("198.51.100.11/32", 1), ("198.51.100.0/28", 2), by_v6[0], by_v6[1]];
    counted_by_source(&site, &open);
    site.counted(&kernel, "all", 3);
    let limits = policed(&[GATEWAY6], Policy { per_source: Some(9), ..Policy::default() });
    kernel.tighten(&limits).expect("rows are added");
    kernel.loosen(&limits).expect("rows are removed");
    assert_eq!(reset(&site), [], "they are open still");
    counted_by_source(&site, &open);
    let mut counts = SourceCounts::of(site.pins(), PORT);
    counts.falsify(network("198.51.100.10/32"), 2);
    let what = Counted::Source { address: "198.51.100.10".parse().expect("an address"), bits: 32 };
    assert_eq!(reset(&site), [Correction { what, from: 2, to: 1 }]);
    drop(held);
    counted_by_source(&site, &[]);
    site.counted(&kernel, "all", 0);
    kernel.detach();
}

#[test]
fn what_is_pinned_is_shown_and_ended_without_a_gateway() {
    let Some(site) = Site::open() else { return };
    assert!(bpf::inspect(site.pins()).expect("root may look").is_empty());
    let kernel = started(&site);
    let _server = site.listen(GATEWAY);
    let held = site.connect(GATEWAY, PATIENCE).expect("there is room");
    site.counted(&kernel, GATEWAY, 1);
    drop(kernel);
    let layouts = site.wire.gateway.run(|| bpf::inspect(site.pins())).expect("root may look");
    let [layout] = &*layouts else { panic!("{layouts:?}") };
    assert_eq!((layout.version, layout.is_ours), (ebpf_common::ABI_VERSION, true));
    let places: Vec<_> = layout.links.iter().map(|link| (link.tier, link.place.clone())).collect();
    assert_eq!(
        places,
        [("counting", Place::Cgroups), ("XDP", Place::Interface(INTERFACE.to_owned()))],
        "in the order of their pins"
    );
    assert!(layout.links.iter().all(|link| link.program > 0 && link.program_name.is_some()), "{layouts:?}");
    let rows: BTreeMap<&str, Option<usize>> =
        layout.maps.iter().map(|map| (map.name.as_str(), map.rows)).collect();
    assert_eq!((rows[names::LIMITS], rows[names::SLOTS]), (Some(2), Some(2)), "{rows:?}");
    assert_eq!(rows[names::MARKS], None, "those of sockets cannot be listed");
    let open: Vec<u64> = layout.counts.iter().map(|count| count.open).filter(|open| *open > 0).collect();
    assert_eq!((open, layout.limits.len()), (vec![1], 2));
    assert!(layout.limits.iter().all(|limit| limit.most == Some(3)));

    // From elsewhere: the interface has no name there.
    let layouts = bpf::inspect(site.pins()).expect("root may look");
    let place = &layouts[0].links[1].place;
    assert!(matches!(place, Place::Elsewhere { index, .. } if *index > 0), "{place:?}");

    bpf::remove(site.pins()).expect("root may");
    assert!(bpf::inspect(site.pins()).expect("root may look").is_empty());
    let _more: Vec<_> = (0..4).map(|_| site.connect(GATEWAY, PATIENCE).expect("nobody refuses")).collect();
    drop(held);
}

#[test]
fn where_nothing_may_be_pinned_it_is_said() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for path in [directory.path().to_owned(), directory.path().join("none")] {
        let error = bpf::inspect(&path).expect_err("it is no BPF file system");
        assert!(matches!(error, bpf::Error::NotBpffs { .. }), "{error}");
    }
    fs::create_dir(directory.path().join("v3")).expect("a directory of our own");
    assert!(bpf::remove(directory.path()).is_err());
    assert!(directory.path().join("v3").exists(), "nothing of it is a gateway's");
}
