use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use aya::{
    maps::{Array, HashMap, MapData, MapError, PerCpuHashMap, PerCpuValues},
    util::nr_cpus,
};
use ebpf_common::{Count, QuotaKey, Refused, names};
use nix::{
    libc,
    time::{ClockId, clock_gettime},
};

use crate::{
    Error,
    error::Cause,
    pins::Pins,
    row::{CountRow, Key, LimitRow, Quota, RefusedRow},
};

/// Every listening address of the process. Those without a limit belong here too, so that their connections are
/// counted before they get one.
pub type Limits = BTreeMap<SocketAddr, Limit>;

/// What a listening address counts towards, and how many connections that may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Shared by the addresses that one limit is about.
    pub quota: QuotaId,
    /// `None`: any number.
    pub most: Option<u64>,
}

/// Names what is counted together, the same after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaId(pub(crate) u64);

impl QuotaId {
    /// The id of a name: its hash, FNV-1a in 64 bits.
    pub fn of(name: &str) -> Self {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }
}

/// Source: `include/uapi/linux/bpf.h`.
const BPF_NOEXIST: u64 = 1;

/// The maps that user space writes.
pub(crate) struct Rows {
    netns: u64,
    limits: HashMap<MapData, Key, LimitRow>,
    local: HashMap<MapData, Key, u32>,
    counts: HashMap<MapData, Quota, CountRow>,
    refused: PerCpuHashMap<MapData, Quota, RefusedRow>,
    filled: Array<MapData, u64>,
}

impl Rows {
    /// Opens the pinned maps.
    pub(crate) fn open(pins: &Pins, netns: u64) -> Result<Self, Error> {
        Ok(Self {
            netns,
            limits: pinned(pins, names::LIMITS)?.try_into().map_err(failed("open", names::LIMITS))?,
            local: pinned(pins, names::LOCAL)?.try_into().map_err(failed("open", names::LOCAL))?,
            counts: pinned(pins, names::COUNTS)?.try_into().map_err(failed("open", names::COUNTS))?,
            refused: pinned(pins, names::REFUSED)?.try_into().map_err(failed("open", names::REFUSED))?,
            filled: pinned(pins, names::FILLED)?.try_into().map_err(failed("open", names::FILLED))?,
        })
    }

    /// Adds rows and lowers limits: afterwards at most what both configurations allow is let in.
    pub(crate) fn tighten(&mut self, limits: &Limits) -> Result<(), Error> {
        for (address, limit) in limits {
            // What counts is there before anything is counted.
            self.add(Quota(QuotaKey::new(self.netns, limit.quota.0)))?;
            let key = Key::new(self.netns, *address);
            let before = self.most(&key)?;
            let most = before.map_or(limit.most, |before| lower(before, limit.most));
            self.set(key, limit.quota, most)?;
            self.note_filled(limit.quota, most)?;
        }
        Ok(())
    }

    /// Tells the programs that a quota may have become full by a lower limit: handshakes have begun that must not
    /// end.
    fn note_filled(&mut self, quota: QuotaId, most: Option<u64>) -> Result<(), Error> {
        let Some(most) = most else { return Ok(()) };
        let count = self.counts.get(&Quota(QuotaKey::new(self.netns, quota.0)), 0);
        if count.is_ok_and(|row| ebpf_common::Limit::new(quota.0, Some(most)).is_reached(row.0.open())) {
            let now = nanoseconds(ClockId::CLOCK_MONOTONIC);
            self.filled.set(0, now, 0).map_err(failed("write", names::FILLED))?;
        }
        Ok(())
    }

    /// Raises limits and removes rows: afterwards exactly this configuration is in force.
    pub(crate) fn loosen(&mut self, limits: &Limits) -> Result<(), Error> {
        for (address, limit) in limits {
            self.set(Key::new(self.netns, *address), limit.quota, limit.most)?;
        }
        let is_wanted = |key: &Key| key.0.netns() == self.netns && limits.contains_key(&key.address());
        for key in list(self.limits.keys(), names::LIMITS)?.into_iter().filter(|key| !is_wanted(key)) {
            gone(self.limits.remove(&key)).map_err(failed("remove from", names::LIMITS))?;
        }
        let quotas: BTreeSet<u64> = limits.values().map(|limit| limit.quota.0).collect();
        let is_wanted = |quota: &Quota| quota.0.netns() == self.netns && quotas.contains(&quota.0.id());
        for quota in list(self.counts.keys(), names::COUNTS)?.into_iter().filter(|quota| !is_wanted(quota)) {
            // Connections of a listener that is gone may be there for long, and it may come back.
            if self.counts.get(&quota, 0).is_ok_and(|row| row.0.open() > 0) {
                continue;
            }
            gone(self.counts.remove(&quota)).map_err(failed("remove from", names::COUNTS))?;
            gone(self.refused.remove(&quota)).map_err(failed("remove from", names::REFUSED))?;
        }
        Ok(())
    }

    /// Knows the host's addresses from now on: a wildcard's limit is enforced in the kernel for no others.
    pub(crate) fn know(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), Error> {
        for address in addresses {
            let key = Key::new(self.netns, SocketAddr::new(*address, 0));
            self.local.insert(key, 1, 0).map_err(failed("write", names::LOCAL))?;
        }
        let is_known = |key: &Key| key.0.netns() == self.netns && addresses.contains(&key.address().ip());
        for key in list(self.local.keys(), names::LOCAL)?.into_iter().filter(|key| !is_known(key)) {
            gone(self.local.remove(&key)).map_err(failed("remove from", names::LOCAL))?;
        }
        Ok(())
    }

    fn add(&mut self, quota: Quota) -> Result<(), Error> {
        let count = CountRow(Count::new(epoch()));
        there(self.counts.insert(quota, count, BPF_NOEXIST)).map_err(failed("add to", names::COUNTS))?;
        let processors = nr_cpus().map_err(|(_, error)| failed("size", names::REFUSED)(error))?;
        let zeros = PerCpuValues::try_from(vec![RefusedRow(Refused::default()); processors]);
        let zeros = zeros.map_err(failed("size", names::REFUSED))?;
        there(self.refused.insert(quota, zeros, BPF_NOEXIST)).map_err(failed("add to", names::REFUSED))
    }

    fn most(&self, key: &Key) -> Result<Option<Option<u64>>, Error> {
        match self.limits.get(key, 0) {
            Ok(LimitRow(limit)) => Ok(Some(limit.most())),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(failed("read", names::LIMITS)(error)),
        }
    }

    fn set(&mut self, key: Key, quota: QuotaId, most: Option<u64>) -> Result<(), Error> {
        let row = LimitRow(ebpf_common::Limit::new(quota.0, most));
        self.limits.insert(key, row, 0).map_err(failed("write", names::LIMITS))
    }
}

/// A handle of its own of a pinned map.
pub(crate) fn pinned(pins: &Pins, name: &'static str) -> Result<aya::maps::Map, Error> {
    MapData::from_pin(pins.path(name)).and_then(aya::maps::Map::from_map_data).map_err(failed("open", name))
}

/// Names the map in an error.
pub(crate) fn failed<E: Into<Cause>>(action: &'static str, map: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Map { action, map, source: error.into() }
}

fn lower(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// A list first: a map that is changed while it is walked may begin again.
fn list<K>(keys: impl Iterator<Item = Result<K, MapError>>, map: &'static str) -> Result<Vec<K>, Error> {
    keys.collect::<Result<_, _>>().map_err(failed("list", map))
}

fn there(outcome: Result<(), MapError>) -> Result<(), MapError> {
    match outcome {
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

fn gone(outcome: Result<(), MapError>) -> Result<(), MapError> {
    match outcome {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// Nanoseconds since boot: never given twice to rows of one key.
fn epoch() -> u64 {
    nanoseconds(ClockId::CLOCK_BOOTTIME)
}

fn nanoseconds(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |now| {
        u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0)
    })
}
