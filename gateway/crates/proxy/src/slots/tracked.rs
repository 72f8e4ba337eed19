mod shard;

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use ipnet::IpNet;
use ir::SourceKey;
use prometheus::{IntCounter, IntGauge};

use super::bucket::{Bucket, Moved, Pace};
use shard::Shard;

/// Shares of the table, each with a lock of its own.
const SHARDS: usize = 32;

/// The sources that the whole process keeps track of: open connections and token buckets, by address or network.
/// There is room for so many and no more; who comes then takes the place of the one that was seen last the longest
/// ago, those without a connection first. Nobody is refused for lack of room.
pub(crate) struct Tracked {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// What `now` counts from.
    epoch: Instant,
    /// Sources with an entry.
    sources: IntGauge,
    /// Entries that were given away though they said something.
    evictions: IntCounter,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TrackKey {
    owner: u32,
    address: [u8; 16],
    prefix_length: u8,
    key: u8,
}

impl TrackKey {
    /// An address (all its bits) or a network of `owner`'s, found by this key. IPv4 is v4-mapped, so lengths are of
    /// 128 bits.
    pub(super) fn new(owner: u32, network: IpNet, key: SourceKey) -> Self {
        let (address, prefix_length) = match network.addr() {
            IpAddr::V4(address) => (address.to_ipv6_mapped(), network.prefix_len() + 96),
            IpAddr::V6(address) => (address, network.prefix_len()),
        };
        let key = match key {
            SourceKey::Peer => 0,
            SourceKey::ProxySource => 1,
        };
        Self { owner, address: address.octets(), prefix_length, key }
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> u32 {
        self.owner
    }

    /// What it was made of. `None`: never.
    pub(super) fn parts(&self) -> Option<(IpNet, SourceKey)> {
        let address = IpAddr::from(self.address).to_canonical();
        let length = if address.is_ipv4() { self.prefix_length.checked_sub(96)? } else { self.prefix_length };
        let key = if self.key == 0 { SourceKey::Peer } else { SourceKey::ProxySource };
        Some((IpNet::new(address, length).ok()?, key))
    }
}

/// Where an open connection is counted. Its entry may be another's by the time it closes: then the generation is
/// another too, and the close counts for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    shard: u16,
    index: u32,
    generation: u32,
}

impl Tracked {
    /// An empty table for so many sources.
    pub(crate) fn new(room: usize, sources: IntGauge, evictions: IntCounter) -> Self {
        let room = room.div_ceil(SHARDS).max(1);
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(room))).collect();
        Self { shards, hasher: RandomState::new(), epoch: Instant::now(), sources, evictions }
    }

    /// Nanoseconds, for everything here that has a time.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts a connection, unless as many as `limit` are open or a successor counts.
    pub(super) fn open_here(&self, key: TrackKey, limit: u32, now: u64) -> Result<Option<Place>, Moved> {
        let (number, mut shard) = self.shard(&key);
        if shard.is_moved() {
            return Err(Moved);
        }
        let entry = self.change(&mut shard, |shard| shard.open(key, limit, now));
        Ok(entry.map(|entry| Place { shard: number, index: entry.0, generation: entry.1 }))
    }

    /// The same, whoever counts.
    pub(super) fn open(&self, key: TrackKey, limit: u32, now: u64) -> Option<Place> {
        let (number, mut shard) = self.shard(&key);
        let entry = self.change(&mut shard, |shard| shard.open(key, limit, now))?;
        Some(Place { shard: number, index: entry.0, generation: entry.1 })
    }

    /// The connection is closed. Some: a successor counts it too.
    pub(super) fn close(&self, place: Place, now: u64) -> Option<TrackKey> {
        let mut shard = lock(self.shards.get(usize::from(place.shard))?);
        let key = self.change(&mut shard, |shard| shard.close(place.index, place.generation, now));
        key.filter(|_| shard.is_moved())
    }

    /// Takes a token from a source's bucket. False: there is none.
    pub(super) fn spend_here(&self, key: TrackKey, pace: Pace, now: u64) -> Result<bool, Moved> {
        let (_, mut shard) = self.shard(&key);
        if shard.is_moved() {
            return Err(Moved);
        }
        Ok(self.change(&mut shard, |shard| shard.spend(key, pace, now)))
    }

    /// The same, whoever keeps the bucket.
    pub(super) fn spend(&self, key: TrackKey, pace: Pace, now: u64) -> bool {
        let (_, mut shard) = self.shard(&key);
        self.change(&mut shard, |shard| shard.spend(key, pace, now))
    }

    /// What is known of a source: open connections, and its bucket. Nothing changes.
    pub(super) fn look(&self, key: TrackKey) -> (u32, Bucket) {
        let (_, shard) = self.shard(&key);
        shard.look(key)
    }

    /// True: as many connections of a source as `limit` are open, and no successor counts.
    pub(super) fn is_full(&self, key: TrackKey, limit: u32) -> bool {
        let (_, shard) = self.shard(&key);
        !shard.is_moved() && shard.look(key).0 >= limit
    }

    /// Empties a source's bucket so far that it is not full before that time is over.
    pub(super) fn drain_to(&self, key: TrackKey, full_in: u64, now: u64) {
        let (_, mut shard) = self.shard(&key);
        self.change(&mut shard, |shard| shard.drain_to(key, full_in, now));
    }

    /// From now on a successor keeps it all. What it is to begin with: key, open connections, nanoseconds until the
    /// bucket is full.
    pub(super) fn hand_over(&self, now: u64) -> Vec<(TrackKey, u32, u64)> {
        let mut rows = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.set_moved(true);
            rows.extend(shard.rows(now));
        }
        rows
    }

    /// Undoes [`Tracked::hand_over`].
    pub(crate) fn take_back(&self) {
        self.shards.iter().for_each(|shard| lock(shard).set_moved(false));
    }

    /// Keeps the metrics over a change.
    fn change<T>(&self, shard: &mut Shard, change: impl FnOnce(&mut Shard) -> T) -> T {
        let (len, evictions) = (shard.len(), shard.evictions());
        let outcome = change(shard);
        match i64::try_from(shard.len()).unwrap_or(0) - i64::try_from(len).unwrap_or(0) {
            0 => {}
            more => self.sources.add(more),
        }
        match shard.evictions() - evictions {
            0 => {}
            more => self.evictions.inc_by(more),
        }
        outcome
    }

    fn shard(&self, key: &TrackKey) -> (u16, MutexGuard<'_, Shard>) {
        let number = self.hasher.hash_one(key) as usize % SHARDS;
        (number as u16, lock(&self.shards[number]))
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use ir::{ConnectionRate, RateUnit};

    use super::*;

    fn table(room: usize) -> Tracked {
        Tracked::new(room, IntGauge::new("g", "g").unwrap(), IntCounter::new("c", "c").unwrap())
    }

    fn key(number: u32) -> TrackKey {
        let address = IpAddr::from(number.to_be_bytes());
        TrackKey::new(1, address.into(), SourceKey::Peer)
    }

    #[test]
    fn never_more_than_the_limit_over_all_threads_and_nothing_is_left() {
        let table = table(1_000);
        let open: [AtomicU32; 3] = Default::default();
        let highest = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (table, open, highest) = (&table, &open, &highest);
                scope.spawn(move || {
                    for round in 0..10_000 {
                        let source = (thread + round) % 3;
                        if let Some(place) = table.open(key(source), 2, 0) {
                            let now = open[source as usize].fetch_add(1, Ordering::SeqCst) + 1;
                            highest.fetch_max(now, Ordering::SeqCst);
                            open[source as usize].fetch_sub(1, Ordering::SeqCst);
                            table.close(place, 0);
                        }
                    }
                });
            }
        });
        assert!((1..=2).contains(&highest.into_inner()));
        assert_eq!(
            (table.sources.get(), table.evictions.get()),
            (0, 0),
            "who has no connection is forgotten"
        );
    }

    #[test]
    fn keys_apart_in_anything_are_counted_apart() {
        let table = table(1_000);
        let network = |text: &str| text.parse::<IpNet>().unwrap();
        let keys = [
            TrackKey::new(1, network("192.0.2.0/24"), SourceKey::Peer),
            TrackKey::new(2, network("192.0.2.0/24"), SourceKey::Peer),
            TrackKey::new(1, network("192.0.2.0/25"), SourceKey::Peer),
            TrackKey::new(1, network("192.0.2.0/24"), SourceKey::ProxySource),
            TrackKey::new(1, network("2001:db8::/64"), SourceKey::Peer),
        ];
        assert!(keys.iter().all(|key| table.open(*key, 1, 0).is_some()));
        assert!(keys.iter().all(|key| table.open(*key, 1, 0).is_none()));
        assert_eq!(table.sources.get(), 5);
    }

    #[test]
    fn who_comes_to_a_full_table_is_served_and_a_late_close_counts_for_nobody() {
        let table = table(SHARDS);
        let places: Vec<Place> = (0..10_000).filter_map(|number| table.open(key(number), 1, 0)).collect();
        assert_eq!(places.len(), 10_000, "nobody is refused for lack of room");
        assert!(table.sources.get() <= 32);
        assert_eq!(table.evictions.get() + u64::try_from(table.sources.get()).unwrap(), 10_000);
        let before = table.sources.get();
        for round in ["each close is the right one's or nobody's", "a second one is nobody's"] {
            assert!(places.iter().all(|place| table.close(*place, 0).is_none()), "nothing is handed over");
            assert_eq!((before > 0, table.sources.get()), (true, 0), "{round}");
        }
    }

    #[test]
    fn a_spent_bucket_is_remembered_until_it_is_full() {
        let table = table(1_000);
        let pace = Pace::new(ConnectionRate { connections: 1, unit: RateUnit::Second, burst: 2 });
        assert_eq!([0, 0, 0].map(|now| table.spend(key(1), pace, now)), [true, true, false]);
        let place = table.open(key(1), 1, 0).unwrap();
        table.close(place, 0);
        assert_eq!(table.sources.get(), 1, "its bucket is not full");
        assert!(table.shards.iter().all(|shard| lock(shard).len() <= 1));
        // Whoever comes next to the same share finds it full and drops it.
        let later = 10_000_000_000;
        let more = (2..2_000).filter(|number| table.spend(key(*number), pace, later)).count();
        assert_eq!(more, 1_998);
        assert!(table.open(key(1), 1, later).is_some());
    }
}
