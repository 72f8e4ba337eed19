use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::{
    maps::{
        Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuHashMap, PerCpuValues,
        lpm_trie::Key as NetworkOf,
    },
    util::nr_cpus,
};
use ebpf_common::{QuotaKey, Refused, names};
use nix::{
    libc,
    time::{ClockId, clock_gettime},
};

use crate::{
    Error, Networks, Proxied,
    error::{Cause, code},
    limits::{Limit, Limits, QuotaId, expanded},
    pins::Pins,
    row::{Key, LimitRow, Network, Quota, RefusedRow},
    slots::Slots,
};

/// Source: `include/uapi/linux/bpf.h`.
pub(crate) const BPF_NOEXIST: u64 = 1;

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
    ports: Array<MapData, u32>,
    networks: LpmTrie<MapData, Network, u32>,
    slots: Slots,
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
            limits: pinned(pins, names::LIMITS)?,
            ports: pinned(pins, names::PORTS)?,
            networks: pinned(pins, names::NETWORKS)?,
            slots: Slots::open(pins, netns)?,
            refused: pinned(pins, names::REFUSED)?,
            filled: pinned(pins, names::FILLED)?,
        })
    }

    /// Adds rows and lowers limits: afterwards at most what both configurations allow is let in. A policy that changes is
    /// in force in the kernel with [`Rows::loosen`]: which of two is narrower cannot be told of networks, and user space
    /// enforces each from the instant that it is published.
    pub(crate) fn tighten(&mut self, limits: &Limits) -> Result<(), Error> {
        // What counts, and what a row may refer to, is there before it.
        limits.values().try_for_each(|limit| self.add(limit.quota))?;
        // The addresses of one limit, and limits that say the same of them, share a set.
        let sets: BTreeMap<u64, &Networks> =
            limits.values().flat_map(networks).map(|set| (set.id(), set)).collect();
        sets.into_values().try_for_each(|set| self.add_networks(set))?;
        for (address, limit) in expanded(limits, &self.addresses) {
            let key = Key::new(self.netns, address);
            let new = self.row(limit);
            let row = match self.before(&key)? {
                // The same listener's: its policy stays for the moment.
                Some(before) if before.quota() == new.quota() => {
                    before.with_most(lower(before.most(), new.most())).with_slot(new.slot())
                }
                Some(before) => new.with_most(lower(before.most(), new.most())),
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
        let open = self.slots.of(quota.0).map_or(0, |slot| self.slots.count(slot));
        if ebpf_common::Limit::new(quota.0, Some(most)).is_reached(open) {
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
        let is_wanted = |quota: &QuotaKey| quota.netns() == self.netns && quotas.contains(&quota.id());
        let unwanted: Vec<_> = self.slots.all().filter(|(quota, _)| !is_wanted(quota)).collect();
        for (quota, slot) in unwanted {
            // Connections of a listener that is gone may be there for long, and it may come back.
            if self.slots.count(slot) > 0 {
                continue;
            }
            self.slots.release(quota)?;
            gone(self.refused.remove(&Quota(quota))).map_err(failed("remove from", names::REFUSED))?;
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
            let before = self.before(&key)?;
            if before == Some(row) {
                continue;
            }
            narrower |=
                limit.policy.is_some() && before.is_some_and(|before| before.policy() != row.policy());
            self.set(key, row)?;
        }
        if narrower {
            // Some source may have more than it may have from now on.
            self.set_filled()?;
        }
        let is_wanted = |key: &Key| key.0.netns() == self.netns && rows.contains_key(&key.address());
        let mut left = BTreeSet::new();
        for key in list(self.limits.keys(), names::LIMITS)?.into_iter().filter(|key| !is_wanted(key)) {
            gone(self.limits.remove(&key)).map_err(failed("remove from", names::LIMITS))?;
            left.insert(key.0.port());
        }
        self.leave(&left)
    }

    /// Frees ports that no row has any more, of this namespace or another's.
    fn leave(&mut self, left: &BTreeSet<u16>) -> Result<(), Error> {
        if left.is_empty() {
            return Ok(());
        }
        for in_use in [false, true] {
            // Looked at once more afterwards: another process may have added a row meanwhile.
            let keys = list(self.limits.keys(), names::LIMITS)?;
            let ports: BTreeSet<u16> = keys.iter().map(|key| key.0.port()).collect();
            for port in left.iter().filter(|port| ports.contains(port) == in_use) {
                self.note_port(*port, in_use)?;
            }
        }
        Ok(())
    }

    fn note_port(&mut self, port: u16, in_use: bool) -> Result<(), Error> {
        self.ports.set(port.into(), u32::from(in_use), 0).map_err(failed("write", names::PORTS))
    }

    fn row(&self, limit: &Limit) -> ebpf_common::Limit {
        let Limit { quota, most, policy, proxied } = limit;
        // No row of anybody where nobody counts.
        let slot = self.slots.of(quota.0).unwrap_or(u32::MAX);
        let carried = self.carried.get(quota).copied().unwrap_or(0);
        let most = most.map(|most| most.saturating_sub(carried));
        let mut row = ebpf_common::Limit::new(quota.0, most).with_slot(slot);
        if let Some(policy) = policy {
            row = row.with_policy(policy.row(owner(self.netns, *quota, false)));
        }
        if let Some(Proxied { senders, optional, policy }) = proxied {
            row = row.reading_headers(senders.id(), policy.row(owner(self.netns, *quota, true)), *optional);
        }
        row
    }

    fn add_networks(&mut self, set: &Networks) -> Result<(), Error> {
        for (key, bits, says) in set.rows() {
            let key = NetworkOf::new(bits, Network(key));
            self.networks.insert(&key, says, 0).map_err(failed("add to", names::NETWORKS))?;
        }
        Ok(())
    }

    /// Networks of sets that no row refers to.
    fn remove_networks(&mut self, limits: &Limits) -> Result<(), Error> {
        let mut sets: BTreeSet<u64> = limits.values().flat_map(networks).map(Networks::id).collect();
        for key in list(self.limits.keys(), names::LIMITS)? {
            sets.extend(self.before(&key)?.iter().flat_map(ebpf_common::Limit::networks));
        }
        let is_wanted = |key: &NetworkOf<Network>| sets.contains(&{ key.data() }.0.set());
        for key in list(self.networks.keys(), names::NETWORKS)?.into_iter().filter(|key| !is_wanted(key)) {
            gone(self.networks.remove(&key)).map_err(failed("remove from", names::NETWORKS))?;
        }
        Ok(())
    }

    fn add(&mut self, quota: QuotaId) -> Result<(), Error> {
        self.slots.take(quota.0, epoch())?;
        let quota = Quota(QuotaKey::new(self.netns, quota.0));
        let processors = nr_cpus().map_err(|(_, error)| failed("size", names::REFUSED)(error))?;
        let zeros = PerCpuValues::try_from(vec![RefusedRow(Refused::default()); processors]);
        let zeros = zeros.map_err(failed("size", names::REFUSED))?;
        match self.refused.insert(quota, zeros, BPF_NOEXIST) {
            Err(error) if code(&error) != Some(libc::EEXIST) => Err(failed("add to", names::REFUSED)(error)),
            _ => Ok(()),
        }
    }

    fn before(&self, key: &Key) -> Result<Option<ebpf_common::Limit>, Error> {
        match self.limits.get(key, 0) {
            Ok(LimitRow(limit)) => Ok(Some(limit)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(failed("read", names::LIMITS)(error)),
        }
    }

    fn set(&mut self, key: Key, row: ebpf_common::Limit) -> Result<(), Error> {
        // Before the row, which is found from then on, and after it: another process may have freed the port meanwhile.
        self.note_port(key.0.port(), true)?;
        self.limits.insert(key, LimitRow(row), 0).map_err(failed("write", names::LIMITS))?;
        self.note_port(key.0.port(), true)
    }
}

/// Every set of networks that a limit refers to.
fn networks(limit: &Limit) -> impl Iterator<Item = &Networks> {
    let policies = [limit.policy.as_ref(), limit.proxied.as_ref().map(|proxied| &proxied.policy)];
    let senders = limit.proxied.iter().map(|proxied| &*proxied.senders);
    policies.into_iter().flatten().map(|policy| &*policy.networks).chain(senders)
}

/// Whose sources they are that connect to a quota's sockets: apart from the same quota's of another namespace, and from
/// those in PROXY headers.
pub(crate) fn owner(netns: u64, quota: QuotaId, proxied: bool) -> u64 {
    (quota.0 ^ netns.rotate_left(32) ^ u64::from(proxied).rotate_left(63)).max(1)
}

/// A handle of its own of a pinned map.
pub(crate) fn pinned<M: TryFrom<Map, Error = MapError>>(pins: &Pins, name: &'static str) -> Result<M, Error> {
    let map = MapData::from_pin(pins.path(name)).and_then(Map::from_map_data);
    map.and_then(Map::try_into).map_err(failed("open", name))
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
pub(crate) fn list<K>(
    keys: impl Iterator<Item = Result<K, MapError>>,
    map: &'static str,
) -> Result<Vec<K>, Error> {
    keys.collect::<Result<_, _>>().map_err(failed("list", map))
}

pub(crate) fn gone(outcome: Result<(), MapError>) -> Result<(), MapError> {
    match outcome {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(error) if code(&error) == Some(libc::ENOENT) => Ok(()),
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
