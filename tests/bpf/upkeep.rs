//! What is pinned is shown, corrected and ended without a gateway.

use std::{collections::BTreeMap, fs};

use aya::maps::{HashMap, Map, MapData};
use bpf::{Correction, Counted, Hook, Kernel, Place, QuotaId};
use e2e::netns::{GATEWAY, GATEWAY6};
use ebpf_common::names;

use crate::site::{INTERFACE, PATIENCE, Site, limits};

/// `QuotaKey` and `Count`, as words.
type Counts = HashMap<MapData, [u64; 2], [u64; 3]>;

fn counts(site: &Site) -> Counts {
    let pin = site.directory().join(names::COUNTS);
    let map = MapData::from_pin(pin).and_then(Map::from_map_data).expect("it is pinned");
    map.try_into().expect("rows of that size")
}

/// Makes a count wrong, as a fault would.
fn falsify(site: &Site, from: u64, to: i64) {
    let mut counts = counts(site);
    let rows: Vec<_> = counts.iter().flatten().filter(|(_, row)| row[0] == from).collect();
    let [(key, row)] = &*rows else { panic!("{rows:?}") };
    counts.insert(key, [to.cast_unsigned(), row[1], row[2]], 0).expect("a map of our own");
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
    let key = counts.keys().flatten().next().expect("a row");
    let row = counts.get(&key, 0).expect("it is there");
    counts.insert(key, [3, row[1], row[2]], 0).expect("a map of our own");
    let [Correction { from: 3, to: 0, .. }] = &*reset(&site) else { panic!("it is not zero") };
    bpf::remove(site.pins()).expect("root may");
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
    assert_eq!((rows[names::LIMITS], rows[names::COUNTS]), (Some(2), Some(2)), "{rows:?}");
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
