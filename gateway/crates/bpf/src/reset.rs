//! Counts that no connection stands behind, as a fault may leave them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::Path,
};

use aya::maps::{Array, HashMap, MapData};
use ebpf_common::{ABI_VERSION, Count, Limit, ListenerKey, SourceCount, SourceKey, names};

use crate::{
    Error, QuotaId, netns,
    pins::Pins,
    policy::mapped,
    row::{CountRow, Key, LimitRow, Quota, Source, SourceRow},
    rows::{failed, pinned},
    sockets::{self, Connection},
};

/// A count that was lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// What is counted.
    pub what: Counted,
    /// What the count was.
    pub from: i64,
    /// What it is now.
    pub to: i64,
}

/// What a count is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// The connections of a quota.
    Quota(QuotaId),
    /// Those of one address or network, for one listener's policy.
    Source {
        /// Its address, or the network's.
        address: IpAddr,
        /// Bits of it that count.
        bits: u8,
    },
}

/// As often both are compared: what is more in every one of them is wrong, and not only late.
const SAMPLES: usize = 5;

/// Compares what the kernel half counts in this thread's network namespace with the kernel's own table of sockets, and
/// takes off what no connection stands behind. A count that is lower than the table is left: its connections may be
/// older than it.
///
/// Live is a connection of a listening address that is established, or closed by its client only. Connections whose
/// listening address is gone are attributed to any count that they may belong to. Exact where nothing opens or ends
/// meanwhile; otherwise one that does in the very instant of a correction may be missed.
pub fn reset(pin_dir: &Path) -> Result<Vec<Correction>, Error> {
    let all = Pins::all(pin_dir)?;
    let Some((_, pins)) = all.iter().find(|(version, _)| *version == ABI_VERSION) else {
        return Ok(Vec::new());
    };
    let mut books = Books::open(pins)?;
    let mut excess = books.compare()?;
    for _ in 1..SAMPLES {
        let again = books.compare()?;
        excess.retain(|what, (_, more)| {
            *more = again.get(what).map_or(0, |(_, again)| (*more).min(*again));
            *more > 0
        });
    }
    excess.into_iter().map(|(place, (what, more))| books.lower(&place, what, more)).collect()
}

/// Where a count is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Quota(ebpf_common::QuotaKey),
    Source(SourceKey),
}

/// The counts, and what they count for.
struct Books {
    netns: u64,
    limits: BTreeMap<ListenerKey, Limit>,
    slots: HashMap<MapData, u32, Quota>,
    counts: Array<MapData, CountRow>,
    sources: HashMap<MapData, Source, SourceRow>,
}

/// The connections that there are.
#[derive(Default)]
struct Live {
    /// How many each count should know of.
    counted: BTreeMap<Row, i64>,
    /// All of them.
    connections: Vec<Connection>,
}

impl Books {
    fn open(pins: &Pins) -> Result<Self, Error> {
        let netns = netns::cookie()?;
        let limits: HashMap<MapData, Key, LimitRow> = pinned(pins, names::LIMITS)?;
        let ours = limits.iter().flatten().filter(|(key, _)| key.0.netns() == netns);
        Ok(Self {
            netns,
            limits: ours.map(|(key, row)| (key.0, row.0)).collect(),
            slots: pinned(pins, names::SLOTS)?,
            counts: pinned(pins, names::COUNTS)?,
            sources: pinned(pins, names::SOURCES)?,
        })
    }

    /// What is counted and not there, with how many.
    fn compare(&self) -> Result<BTreeMap<Row, (Counted, i64)>, Error> {
        let before = self.counts();
        let live = self.live()?;
        let after = self.counts();
        let mut excess = BTreeMap::new();
        for (row, (what, count)) in before {
            // One that has come between the two is not in the first, and one that has gone is not in the second.
            let count = after.get(&row).map_or(0, |(_, after)| count.min(*after));
            if count > live.counted.get(&row).copied().unwrap_or(0) {
                let more = count - self.may_stand_behind(&row, &live);
                if more > 0 {
                    excess.insert(row, (what, more));
                }
            }
        }
        Ok(excess)
    }

    fn counts(&self) -> BTreeMap<Row, (Counted, i64)> {
        let quotas = self.slots.iter().flatten().filter(|(_, key)| key.0.netns() == self.netns);
        let quotas = quotas.filter_map(|(slot, key)| {
            let row = self.counts.get(&slot, 0).ok()?;
            Some((Row::Quota(key.0), (Counted::Quota(QuotaId(key.0.id())), row.0.open())))
        });
        let owners = self.owners();
        // Those of PROXY headers are no counts of connections: user space says who has enough.
        let sources = self.sources.iter().flatten().filter_map(|(key, row)| {
            let address = IpAddr::from(key.0.address()).to_canonical();
            let bits = owners.iter().find_map(|owner| key.0.bits_of(*owner))?;
            let bits = if address.is_ipv4() { bits.saturating_sub(96) } else { bits };
            Some((Row::Source(key.0), (Counted::Source { address, bits }, row.0.open())))
        });
        quotas.chain(sources).collect()
    }

    fn live(&self) -> Result<Live, Error> {
        let connections = sockets::connections().map_err(|source| Error::Sockets { source })?;
        let mut live = Live { connections, ..Live::default() };
        for connection in &live.connections {
            let Some(limit) = self.limit(connection.local) else { continue };
            let quota = ebpf_common::QuotaKey::new(self.netns, limit.quota());
            *live.counted.entry(Row::Quota(quota)).or_default() += 1;
            // Exempt ones are not counted; that some may be is not known here, and errs on the safe side.
            let peer = Key::new(self.netns, connection.peer).0;
            for place in limit.policy().counted(&peer, &()).into_iter().flatten() {
                *live.counted.entry(Row::Source(place)).or_default() += 1;
            }
        }
        Ok(live)
    }

    fn limit(&self, local: SocketAddr) -> Option<&Limit> {
        let exact = Key::new(self.netns, local).0;
        self.limits.get(&exact).or_else(|| self.limits.get(&exact.wildcard()))
    }

    /// How many connections may be counted there, also of listening addresses that are gone, and by a policy that has
    /// counted otherwise.
    fn may_stand_behind(&self, row: &Row, live: &Live) -> i64 {
        let may = |connection: &&Connection| match row {
            Row::Quota(quota) => self.may_be_of(connection, |limit| limit.quota() == quota.id()),
            Row::Source(key) => self.owners().into_iter().any(|owner| {
                let peer = mapped(connection.peer.ip());
                let is_from =
                    key.bits_of(owner).is_some_and(|bits| SourceKey::new(owner, peer, bits) == *key);
                is_from && self.may_be_of(connection, |limit| limit.policy().owner() == owner)
            }),
        };
        i64::try_from(live.connections.iter().filter(may).count()).unwrap_or(i64::MAX)
    }

    /// True: one of these listening addresses has accepted the connection, or one that is gone. That one had their port,
    /// unless none of them is left that could tell. It keeps our own connections to backends apart.
    fn may_be_of(&self, connection: &Connection, are_these: impl Fn(&Limit) -> bool) -> bool {
        if let Some(limit) = self.limit(connection.local) {
            return are_these(limit);
        }
        let mut ports = self.limits.iter().filter(|(_, limit)| are_these(limit)).map(|(key, _)| key.port());
        let is_its = |port: u16| port == connection.local.port();
        ports.next().is_none_or(|first| is_its(first) || ports.any(is_its))
    }

    fn owners(&self) -> BTreeSet<u64> {
        self.limits.values().map(|limit| limit.policy().owner()).collect()
    }

    fn lower(&mut self, row: &Row, what: Counted, by: i64) -> Result<Correction, Error> {
        let (from, to) = match row {
            Row::Quota(key) => {
                let slot = self.slots.iter().flatten().find(|(_, quota)| quota.0 == *key);
                // A row that is gone counts nobody.
                let slot = slot.map_or(u32::MAX, |(slot, _)| slot);
                let before: Count = self.counts.get(&slot, 0).map_err(failed("read", names::COUNTS))?.0;
                let to = before.open() - by;
                let after = CountRow(before.with_open(to));
                self.counts.set(slot, after, 0).map_err(failed("write", names::COUNTS))?;
                (before.open(), to)
            }
            Row::Source(key) => {
                let before: SourceCount =
                    self.sources.get(&Source(*key), 0).map_err(failed("read", names::SOURCES))?.0;
                let to = before.open() - by;
                let after = SourceRow(before.with_open(to));
                self.sources.insert(Source(*key), after, 0).map_err(failed("write", names::SOURCES))?;
                (before.open(), to)
            }
        };
        Ok(Correction { what, from, to })
    }
}
