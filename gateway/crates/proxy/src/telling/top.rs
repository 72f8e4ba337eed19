use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use ir::{ListenerId, PolicyName};

use super::sketch::Sketch;
use crate::access_log::{Fate, Unserved};

/// Who is refused most, and for what, over some minutes: a bounded number of rows, whoever calls. Only refused
/// connections come here; a share's lock is held for the look at its entries.
pub(crate) struct TopSources {
    shares: Box<[Mutex<Share>]>,
    hasher: RandomState,
}

/// Shares, each with a lock of its own, and entries in each.
const SHARES: usize = 8;
const ENTRIES: usize = 128;

/// How long is counted together. Two are kept: the one that runs and the one before.
const WINDOW: Duration = Duration::from_secs(600);

/// An IPv6 network of this length is one source: who has one address of it can have them all.
const IPV6_SOURCE: u8 = 64;

/// Sources of refused connections that were seen most often in the last 10 to 20 minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopSource {
    /// An IPv4 address, or an IPv6 network of 64 bits.
    pub source: IpNet,
    /// The last address of it.
    pub latest: IpAddr,
    /// Whose connections they would have been.
    pub listener: ListenerId,
    /// Where they were refused: `accept`, `tc`, `xdp`.
    pub tier: &'static str,
    /// Why.
    pub reason: &'static str,
    /// By whose wish; `None`: no policy's.
    pub policy: Option<PolicyName>,
    /// True: they were served, since the policy is on a dry run.
    pub dry_run: bool,
    /// How many. What the kernel has refused is an estimate: each that it has told of stands for those that it has not.
    pub refused: u64,
    /// By how many that may be too high: rows that were seen less often have made room for this one.
    pub over_by: u64,
}

/// One refused connection.
pub(crate) struct Sighting<'a> {
    address: IpAddr,
    listener: &'a ListenerId,
    tier: &'static str,
    reason: &'static str,
    policy: Option<&'a PolicyName>,
    dry_run: bool,
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct What {
    source: IpNet,
    listener: ListenerId,
    tier: &'static str,
    reason: &'static str,
    policy: Option<PolicyName>,
    dry_run: bool,
}

struct Row {
    what: What,
    latest: IpAddr,
}

struct Share {
    window: u64,
    running: Sketch<Row>,
    before: Sketch<Row>,
}

impl<'a> Sighting<'a> {
    /// Of what a line tells.
    pub(crate) fn of(unserved: &Unserved<'a>) -> Self {
        let Unserved { fate, reason, tier, listener, policy, source, not_told: _ } = *unserved;
        let address = source.client().ip();
        Self { address, listener, tier, reason, policy, dry_run: fate == Fate::WouldRefuse }
    }

    fn source(&self) -> IpNet {
        let network = IpNet::from(self.address);
        match self.address {
            IpAddr::V4(_) => network,
            IpAddr::V6(_) => IpNet::new(self.address, IPV6_SOURCE).map_or(network, |network| network.trunc()),
        }
    }

    fn is(&self, what: &What, source: IpNet) -> bool {
        what.source == source
            && what.reason == self.reason
            && what.tier == self.tier
            && what.dry_run == self.dry_run
            && what.listener == *self.listener
            && what.policy.as_ref() == self.policy
    }

    fn row(&self, source: IpNet) -> Row {
        let Self { address, listener, tier, reason, policy, dry_run } = *self;
        let (listener, policy) = (listener.clone(), policy.cloned());
        Row { what: What { source, listener, tier, reason, policy, dry_run }, latest: address }
    }
}

impl Default for TopSources {
    fn default() -> Self {
        let share =
            || Mutex::new(Share { window: 0, running: Sketch::new(ENTRIES), before: Sketch::new(ENTRIES) });
        Self { shares: (0..SHARES).map(|_| share()).collect(), hasher: RandomState::new() }
    }
}

impl TopSources {
    /// Counts a refused connection that stands for `weight`. `now`: nanoseconds.
    pub(crate) fn saw(&self, sighting: &Sighting<'_>, weight: u64, now: u64) {
        let source = sighting.source();
        let hash = self.hasher.hash_one((source, sighting.reason, sighting.tier));
        let mut share = lock(&self.shares[hash as usize % SHARES]);
        share.turn(now);
        share.running.add(
            hash,
            weight,
            |row| sighting.is(&row.what, source),
            |known| match known {
                Some(row) => {
                    row.latest = sighting.address;
                    None
                }
                None => Some(sighting.row(source)),
            },
        );
    }

    /// The `most` that were seen most often, those first.
    pub(crate) fn top(&self, most: usize, now: u64) -> Vec<TopSource> {
        let mut all = Vec::new();
        for share in &self.shares {
            let mut share = lock(share);
            share.turn(now);
            share.list(&mut all);
        }
        all.sort_by(|a, b| {
            let key = |one: &TopSource| (one.source, one.listener.clone(), one.tier, one.reason);
            b.refused.cmp(&a.refused).then_with(|| key(a).cmp(&key(b)))
        });
        all.truncate(most);
        all
    }
}

impl Share {
    /// Forgets what is too old.
    fn turn(&mut self, now: u64) {
        let window = now / (WINDOW.as_nanos() as u64);
        if window > self.window {
            std::mem::swap(&mut self.running, &mut self.before);
            self.running.clear();
            if window > self.window + 1 {
                self.before.clear();
            }
            self.window = window;
        }
    }

    /// Both windows, added up.
    fn list(&self, all: &mut Vec<TopSource>) {
        let mut places: HashMap<&What, usize> = HashMap::new();
        for entry in self.running.entries().iter().chain(self.before.entries()) {
            let Row { what, latest } = &entry.key;
            if let Some(row) = places.get(what).and_then(|place| all.get_mut(*place)) {
                row.refused = row.refused.saturating_add(entry.count);
                row.over_by = row.over_by.saturating_add(entry.over_by);
                continue;
            }
            places.insert(what, all.len());
            let What { source, listener, tier, reason, policy, dry_run } = what.clone();
            let (refused, over_by, latest) = (entry.count, entry.over_by, *latest);
            all.push(TopSource { source, latest, listener, tier, reason, policy, dry_run, refused, over_by });
        }
    }
}

fn lock(share: &Mutex<Share>) -> MutexGuard<'_, Share> {
    share.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    fn saw(top: &TopSources, address: &str, reason: &'static str, weight: u64, now: u64) {
        let listener = ListenerId("default/eg/web".into());
        let sighting = Sighting {
            address: address.parse().unwrap(),
            listener: &listener,
            tier: "accept",
            reason,
            policy: None,
            dry_run: false,
        };
        top.saw(&sighting, weight, now);
    }

    fn shown(top: &TopSources, now: u64) -> Vec<(String, &'static str, u64)> {
        top.top(3, now).into_iter().map(|one| (one.source.to_string(), one.reason, one.refused)).collect()
    }

    #[test]
    fn who_is_refused_most_comes_first_with_what_for() {
        let top = TopSources::default();
        for (address, reason, weight) in [
            ("192.0.2.1", "over_source_limit", 1),
            ("192.0.2.1", "source_denied", 5),
            ("192.0.2.1", "over_source_limit", 1),
            ("2001:db8::1", "source_denied", 2),
            ("2001:db8::2", "source_denied", 2),
            ("2001:db8:0:1::2", "source_denied", 1),
        ] {
            saw(&top, address, reason, weight, 0);
        }
        let expected = [
            ("192.0.2.1/32".to_owned(), "source_denied", 5),
            ("2001:db8::/64".to_owned(), "source_denied", 4),
            ("192.0.2.1/32".to_owned(), "over_source_limit", 2),
        ];
        assert_eq!(shown(&top, 0), expected);
        assert_eq!(top.top(2, 0)[1].latest.to_string(), "2001:db8::2");
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let top = TopSources::default();
        let row = |count| vec![("192.0.2.1/32".to_owned(), "source_denied", count)];
        saw(&top, "192.0.2.1", "source_denied", 3, 9 * MINUTE);
        saw(&top, "192.0.2.1", "source_denied", 2, 11 * MINUTE);
        assert_eq!(shown(&top, 19 * MINUTE), row(5));
        assert_eq!(shown(&top, 21 * MINUTE), row(2));
        assert_eq!(shown(&top, 31 * MINUTE), []);
        saw(&top, "192.0.2.1", "source_denied", 1, 31 * MINUTE);
        assert_eq!(shown(&top, 100 * MINUTE), []);
    }

    #[test]
    fn one_among_a_flood_of_others_is_found() {
        let top = TopSources::default();
        for number in 0..100_000_u32 {
            let [_, b, c, d] = number.to_be_bytes();
            saw(&top, &format!("10.{b}.{c}.{d}"), "source_denied", 1, 0);
            if number % 50 == 0 {
                saw(&top, "192.0.2.1", "source_denied", 1, 0);
            }
        }
        let first = &top.top(1, 0)[0];
        assert_eq!(first.source.to_string(), "192.0.2.1/32");
        assert!(first.refused >= 2_000 && first.refused - first.over_by <= 2_000, "{first:?}");
        assert!(top.top(usize::MAX, 0).len() <= 2 * SHARES * ENTRIES);
    }
}
