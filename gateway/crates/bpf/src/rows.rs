use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::{
    maps::{
        Array, HashMap, LpmTrie, MapData, MapError, PerCpuHashMap, PerCpuValues, lpm_trie::Key as NetworkOf,
    },
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
    limits::{Limit, Limits, QuotaId, expanded},
    pins::Pins,
    row::{CountRow, Key, LimitRow, Network, Quota, RefusedRow},
};

/// Source: `include/uapi/linux/bpf.h`.
const BPF_NOEXIST: u64 = 1;

/// The maps that user space writes.
pub(crate) struct Rows {
    netns: u64,
    /// The host's own.
    addresses: BTreeSet<IpAddr>,
    /// What is in force; `None`: whatever an earlier process has left.
    wanted: Option<Limits>,
    /// Open connections that another layout's programs count, and that these know nothing of.
    carried: BTreeMap<QuotaId, u64>,
    limits: HashMap<MapData, Key, LimitRow>,
    networks: LpmTrie<MapData, Network, u32>,
    counts: HashMap<MapData, Quota, CountRow>,
    refused: PerCpuHashMap<MapData, Quota, RefusedRow>,
    filled: Array<MapData, u64>,
}

impl Rows {
    /// Opens the pinned maps.
    pub(crate) fn open(pins: &Pins, netns: u64) -> Result<Self, Error> {
        Ok(Self {
            netns,
            addresses: BTreeSet::new(),
            wanted: None,
            carried: BTreeMap::new(),
            limits: pinned(pins, names::LIMITS)?.try_into().map_err(failed("open", names::LIMITS))?,
            networks: pinned(pins, names::NETWORKS)?.try_into().map_err(failed("open", names::NETWORKS))?,
            counts: pinned(pins, names::COUNTS)?.try_into().map_err(failed("open", names::COUNTS))?,
            refused: pinned(pins, names::REFUSED)?.try_into().map_err(failed("open", names::REFUSED))?,
            filled: pinned(pins, names::FILLED)?.try_into().map_err(failed("open", names::FILLED))?,
        })
    }

    /// Adds rows and lowers limits: afterwards at most what both configurations allow is let in. A policy that changes is
    /// in force in the kernel with [`Rows::loosen`]: which of two is narrower cannot be told of networks, and user space
    /// enforces each from the instant that it is published.
    pub(crate) fn tighten(&mut self, limits: &Limits) -> Result<(), Error> {
        for limit in limits.values() {
            // What counts, and what a row may refer to, is there before it.
            self.add(Quota(QuotaKey::new(self.netns, limit.quota.0)))?;
            self.add_networks(limit)?;
        }
        for (address, limit) in expanded(limits, &self.addresses) {
            let key = Key::new(self.netns, address);
            let new = self.row(limit);
            let row = match self.before(&key)? {
                Some(before) if before.quota() == new.quota() => {
                    ebpf_common::Limit::new(new.quota(), lower(before.most(), new.most()))
                        .with_policy(*before.policy())
                }
                Some(before) => ebpf_common::Limit::new(new.quota(), lower(before.most(), new.most()))
                    .with_policy(*new.policy()),
                None => new,
            };
            self.set(key, row)?;
            self.note_filled(limit.quota, row.most())?;
        }
        Ok(())
    }

    /// Tells the programs that a quota may have become full by a lower limit: handshakes have begun that must not
    /// end.
    fn note_filled(&mut self, quota: QuotaId, most: Option<u64>) -> Result<(), Error> {
        let Some(most) = most else { return Ok(()) };
        let count = self.counts.get(&Quota(QuotaKey::new(self.netns, quota.0)), 0);
        if count.is_ok_and(|row| ebpf_common::Limit::new(quota.0, Some(most)).is_reached(row.0.open())) {
            self.set_filled()?;
        }
        Ok(())
    }

    fn set_filled(&mut self) -> Result<(), Error> {
        let now = nanoseconds(ClockId::CLOCK_MONOTONIC);
        self.filled.set(0, now, 0).map_err(failed("write", names::FILLED))
    }

    /// Raises limits, changes policies and removes rows: afterwards exactly this configuration is in force.
    pub(crate) fn loosen(&mut self, limits: &Limits) -> Result<(), Error> {
        self.wanted = Some(limits.clone());
        self.settle()?;
        self.remove_networks(limits)?;
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

    /// Knows the host's addresses from now on: a wildcard's limit is enforced in the kernel for no others, which may be
    /// behind the host.
    pub(crate) fn know(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), Error> {
        if self.addresses != *addresses {
            self.addresses.clone_from(addresses);
            self.settle()?;
        }
        Ok(())
    }

    /// From now on so many connections are open that the programs do not count.
    pub(crate) fn carry(&mut self, open: BTreeMap<QuotaId, u64>) -> Result<(), Error> {
        if self.carried != open {
            self.carried = open;
            self.settle()?;
        }
        Ok(())
    }

    /// Makes the rows those of what is wanted, no more and no others.
    fn settle(&mut self) -> Result<(), Error> {
        let Some(limits) = self.wanted.take() else { return Ok(()) };
        let outcome = self.write(&limits);
        self.wanted = Some(limits);
        outcome
    }

    fn write(&mut self, limits: &Limits) -> Result<(), Error> {
        let rows = expanded(limits, &self.addresses);
        let mut narrower = false;
        for (address, limit) in &rows {
            let (key, row) = (Key::new(self.netns, *address), self.row(limit));
            if let Some(before) = self.before(&key)?
                && before.policy() != row.policy()
            {
                narrower |= limit.policy.is_some();
            }
            self.set(key, row)?;
        }
        if narrower {
            // Some source may have more than it may have from now on.
            self.set_filled()?;
        }
        let is_wanted = |key: &Key| key.0.netns() == self.netns && rows.contains_key(&key.address());
        for key in list(self.limits.keys(), names::LIMITS)?.into_iter().filter(|key| !is_wanted(key)) {
            gone(self.limits.remove(&key)).map_err(failed("remove from", names::LIMITS))?;
        }
        Ok(())
    }

    fn row(&self, limit: &Limit) -> ebpf_common::Limit {
        let Limit { quota, most, policy } = limit;
        let carried = self.carried.get(quota).copied().unwrap_or(0);
        let row = ebpf_common::Limit::new(quota.0, most.map(|most| most.saturating_sub(carried)));
        match policy {
            // Apart from the same quota's of another namespace.
            Some(policy) => row.with_policy(policy.row((quota.0 ^ self.netns.rotate_left(32)).max(1))),
            None => row,
        }
    }

    fn add_networks(&mut self, limit: &Limit) -> Result<(), Error> {
        for (key, bits, says) in limit.policy.iter().flat_map(|policy| policy.networks.rows()) {
            let key = NetworkOf::new(bits, Network(key));
            self.networks.insert(&key, says, 0).map_err(failed("add to", names::NETWORKS))?;
        }
        Ok(())
    }

    /// Networks of sets that no row refers to.
    fn remove_networks(&mut self, limits: &Limits) -> Result<(), Error> {
        let mut sets: BTreeSet<u64> = BTreeSet::new();
        for key in list(self.limits.keys(), names::LIMITS)? {
            sets.extend(self.before(&key)?.map(|row| row.policy().networks()));
        }
        sets.extend(
            limits.values().filter_map(|limit| limit.policy.as_ref()).map(|policy| policy.networks.id()),
        );
        let is_wanted = |key: &NetworkOf<Network>| sets.contains(&{ key.data() }.0.set());
        for key in list(self.networks.keys(), names::NETWORKS)?.into_iter().filter(|key| !is_wanted(key)) {
            gone(self.networks.remove(&key)).map_err(failed("remove from", names::NETWORKS))?;
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

    fn before(&self, key: &Key) -> Result<Option<ebpf_common::Limit>, Error> {
        match self.limits.get(key, 0) {
            Ok(LimitRow(limit)) => Ok(Some(limit)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(failed("read", names::LIMITS)(error)),
        }
    }

    fn set(&mut self, key: Key, row: ebpf_common::Limit) -> Result<(), Error> {
        self.limits.insert(key, LimitRow(row), 0).map_err(failed("write", names::LIMITS))
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
