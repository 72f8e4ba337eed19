//! What the programs keep, read and written past the loader: pinned maps, their rows as words or as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

use aya::{
    Pod,
    maps::{HashMap, Map, MapData},
};
use ebpf_common::{ABI_VERSION, Limit, ListenerKey, SourceCount, SourceKey, names};

/// Types of rows, each of what it holds, as aya wants them.
#[macro_export]
macro_rules! rows {
    ($($name:ident($inner:ty))*) => {$(
        #[repr(transparent)]
        #[derive(Clone, Copy)]
        struct $name($inner);
        // SAFETY: `repr(C)`, made of integers and arrays of bytes without implicit padding.
        unsafe impl aya::Pod for $name {}
    )*};
}

rows! { Listener(ListenerKey) LimitRow(Limit) Source(SourceKey) SourceRow(SourceCount) }

/// The directory of this version's pins, below a BPF file system.
pub fn directory(pins: &Path) -> PathBuf {
    pins.join(format!("v{ABI_VERSION}"))
}

/// A pinned map's data, to be had as any kind of map.
///
/// # Panics
///
/// If nothing is pinned there.
pub fn map(pin: &Path) -> Map {
    MapData::from_pin(pin).and_then(Map::from_map_data).unwrap_or_else(|error| panic!("{pin:?}: {error}"))
}

/// A pinned hash map.
///
/// # Panics
///
/// If there is none whose rows have that size.
pub fn rows<K: Pod, V: Pod>(pin: &Path) -> HashMap<MapData, K, V> {
    map(pin).try_into().expect("rows of that size")
}

/// An address, or a network of so many bits.
pub type Network = (IpAddr, u8);

/// What the programs count by peer, for the listening addresses of one port.
pub struct SourceCounts {
    owners: BTreeSet<u64>,
    rows: HashMap<MapData, Source, SourceRow>,
}

impl SourceCounts {
    /// Below a BPF file system.
    ///
    /// # Panics
    ///
    /// If nothing of this version is pinned there.
    pub fn of(pins: &Path, port: u16) -> Self {
        let pins = directory(pins);
        let limits = rows::<Listener, LimitRow>(&pins.join(names::LIMITS));
        let ours = limits.iter().flatten().filter(|(key, _)| key.0.port() == port);
        let owners = ours.map(|(_, row)| row.0.policy().owner()).collect();
        Self { owners, rows: rows(&pins.join(names::SOURCES)) }
    }

    /// Those that are not zero: addresses and networks apart.
    pub fn open(&self) -> BTreeMap<Network, i64> {
        let rows = self.rows.iter().flatten().filter(|(_, row)| row.0.open() != 0);
        rows.filter_map(|(key, row)| Some((self.network(&key.0)?, row.0.open()))).collect()
    }

    /// Makes a count wrong, as a fault would.
    ///
    /// # Panics
    ///
    /// If nothing was ever counted there.
    pub fn falsify(&mut self, network: Network, open: i64) {
        let found = self.rows.iter().flatten().find(|(key, _)| self.network(&key.0) == Some(network));
        let (key, row) = found.unwrap_or_else(|| panic!("{network:?} is not counted"));
        self.rows.insert(key, SourceRow(row.0.with_open(open)), 0).expect("a row that is there");
    }

    /// `None`: another listener's.
    fn network(&self, key: &SourceKey) -> Option<Network> {
        let bits = self.owners.iter().find_map(|owner| key.bits_of(*owner))?;
        let address = IpAddr::from(key.address()).to_canonical();
        Some((address, if address.is_ipv4() { bits.saturating_sub(96) } else { bits }))
    }
}
