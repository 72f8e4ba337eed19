//! What is pinned, whoever has pinned it, for people who want to see it.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use aya::{
    maps::{Array, HashMap, MapData, MapInfo, MapType},
    programs::{
        links::{FdLink, PinnedLink},
        loaded_programs,
    },
};
use ebpf_common::{ABI_VERSION, names};

use crate::{
    Counters, Error, QuotaId, Refusals,
    call::RawMap,
    counting,
    earlier::Layout,
    interface::{PIN_PREFIX, name_of},
    netns,
    pins::Pins,
    row::{CountRow, Key, LimitRow, Quota},
    rows::pinned,
};

/// What is pinned of one map layout.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The layout's version.
    pub version: u32,
    /// True: it is that of this program.
    pub is_ours: bool,
    /// Programs at work.
    pub links: Vec<LinkLine>,
    /// Maps, by name.
    pub maps: Vec<MapLine>,
    /// What listening sockets may have.
    pub limits: Vec<LimitLine>,
    /// What is open.
    pub counts: Vec<CountLine>,
    /// What was refused in the caller's network namespace; empty for another layout.
    pub refused: Vec<Refusals>,
}

/// A pinned link.
#[derive(Clone, Debug)]
pub struct LinkLine {
    /// Of the pin.
    pub name: String,
    /// The kernel's number.
    pub id: u32,
    /// The program's number; 0: what it was attached to has gone.
    pub program: u32,
    /// The program's name; `None`: it takes CAP_SYS_ADMIN to know.
    pub program_name: Option<String>,
    /// What it does: `counting`, `XDP`, `generic XDP` or `TC`.
    pub tier: &'static str,
    /// Where it is attached.
    pub place: Place,
}

/// Where a program is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The root of the cgroup tree.
    Cgroups,
    /// An interface of the caller's network namespace, by name.
    Interface(String),
    /// One that has gone, or is another namespace's.
    Elsewhere {
        /// Cookie of its network namespace.
        netns: u64,
        /// Its index there.
        index: u32,
    },
}

/// A pinned map.
#[derive(Clone, Debug)]
pub struct MapLine {
    /// Of the pin.
    pub name: String,
    /// The kernel's number.
    pub id: u32,
    /// The kernel's name for its kind.
    pub kind: String,
    /// Rows that are there; `None`: they are not to be listed, as those of sockets.
    pub rows: Option<usize>,
    /// Rows that may be.
    pub room: u32,
}

/// What a listening socket may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitLine {
    /// Cookie of its network namespace.
    pub netns: u64,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it counts towards.
    pub quota: QuotaId,
    /// Connections in the kernel's eyes; `None`: any number.
    pub most: Option<u64>,
}

/// Open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountLine {
    /// Cookie of the network namespace.
    pub netns: u64,
    /// What counts together.
    pub quota: QuotaId,
    /// How many.
    pub open: u64,
}

/// Looks at everything that is pinned below a directory. Works without a gateway. Fails where this process may not look,
/// or where there is no BPF file system.
pub fn inspect(pin_dir: &Path) -> Result<Vec<Inspection>, Error> {
    let programs = programs();
    let mut layouts = Vec::new();
    for (version, pins) in Pins::all(pin_dir)? {
        layouts.push(layout(version, &pins, &programs)?);
    }
    Ok(layouts)
}

fn layout(version: u32, pins: &Pins, programs: &BTreeMap<u32, String>) -> Result<Inspection, Error> {
    let (mut links, mut maps) = (Vec::new(), Vec::new());
    for name in pins.listed()? {
        if name.starts_with(PIN_PREFIX) || name.starts_with(counting::PIN) {
            links.push(link(pins, name, programs)?);
        } else {
            maps.push(map(pins, name)?);
        }
    }
    let is_ours = version == ABI_VERSION;
    let (limits, counts) = match Layout::open(pins.directory()) {
        _ if is_ours => ours(pins).unwrap_or_default(),
        Some(layout) => (layout.limits(), layout.counts()),
        None => Default::default(),
    };
    let refused = match netns::cookie().and_then(|netns| Counters::open(pins, None, netns)) {
        Ok(counters) if is_ours => counters.refused(),
        _ => Vec::new(),
    };
    Ok(Inspection { version, is_ours, links, maps, limits, counts, refused })
}

/// Rows of this version's maps, in every namespace.
fn ours(pins: &Pins) -> Result<(Vec<LimitLine>, Vec<CountLine>), Error> {
    let limits: HashMap<MapData, Key, LimitRow> = pinned(pins, names::LIMITS)?;
    let limit = |(key, LimitRow(row)): (Key, LimitRow)| LimitLine {
        netns: key.0.netns(),
        address: key.address(),
        quota: QuotaId(row.quota()),
        most: row.most(),
    };
    let slots: HashMap<MapData, u32, Quota> = pinned(pins, names::SLOTS)?;
    let counts: Array<MapData, CountRow> = pinned(pins, names::COUNTS)?;
    let count = |(slot, Quota(key)): (u32, Quota)| {
        let open = counts.get(&slot, 0).ok()?.0.open().max(0).unsigned_abs();
        Some(CountLine { netns: key.netns(), quota: QuotaId(key.id()), open })
    };
    let limits = limits.iter().flatten().map(limit).collect();
    Ok((limits, slots.iter().flatten().filter_map(count).collect()))
}

fn link(pins: &Pins, name: String, programs: &BTreeMap<u32, String>) -> Result<LinkLine, Error> {
    let info = PinnedLink::from_pin(pins.path(&name)).and_then(|link| FdLink::from(link).info());
    let info = info.map_err(|error| pins.unreadable(&name, error.into()))?;
    let (tier, place) = match name.strip_prefix(PIN_PREFIX) {
        None => ("counting", Place::Cgroups),
        Some(rest) => attached(rest),
    };
    let program_name = programs.get(&info.program_id()).cloned();
    Ok(LinkLine { name, id: info.id(), program: info.program_id(), program_name, tier, place })
}

/// The rest of a pin's name: kind, cookie of the namespace, index.
fn attached(rest: &str) -> (&'static str, Place) {
    let mut parts = rest.split('_');
    let tier = match parts.next() {
        Some("xdp") => "XDP",
        Some("xdpgeneric") => "generic XDP",
        _ => "TC",
    };
    let netns = parts.next().and_then(|netns| netns.parse().ok()).unwrap_or(0);
    let index = parts.next().and_then(|index| index.parse().ok()).unwrap_or(0);
    let here = netns::cookie().is_ok_and(|cookie| cookie == netns);
    let place = match name_of(index).filter(|_| here) {
        Some(name) => Place::Interface(name),
        None => Place::Elsewhere { netns, index },
    };
    (tier, place)
}

fn map(pins: &Pins, name: String) -> Result<MapLine, Error> {
    let path = pins.path(&name);
    let info = MapInfo::from_pin(&path).map_err(|error| pins.unreadable(&name, error.into()))?;
    let kind = info.map_type().unwrap_or(MapType::Unspecified);
    let rows = match kind {
        MapType::Hash
        | MapType::LruHash
        | MapType::PerCpuHash
        | MapType::LruPerCpuHash
        | MapType::LpmTrie => RawMap::any(&path).and_then(|map| map.len().ok()),
        MapType::Array | MapType::PerCpuArray => usize::try_from(info.max_entries()).ok(),
        _ => None,
    };
    Ok(MapLine { name, id: info.id(), kind: format!("{kind:?}"), rows, room: info.max_entries() })
}

/// Names of the programs that the kernel has, as far as it says.
fn programs() -> BTreeMap<u32, String> {
    let named = loaded_programs().flatten();
    named.filter_map(|program| Some((program.id(), program.name_as_str()?.to_owned()))).collect()
}

/// What of a gateway's is still there is ended: links first, at once, then limits, and then all pins. Fails where this
/// process may not.
pub fn remove(pin_dir: &Path) -> Result<(), Error> {
    Pins::all(pin_dir)?.iter().try_for_each(|(_, pins)| pins.remove_directory())
}
