use std::collections::HashMap;

use super::TrackKey;
use crate::slots::bucket::{Bucket, Pace};

/// One share of the table. Entries stand in two lists, from the one seen last to the one seen first: those with a
/// connection, and those that only wait for their bucket to fill.
pub(super) struct Shard {
    room: usize,
    places: HashMap<TrackKey, u32>,
    entries: Vec<Entry>,
    /// Entries that are nobody's.
    free: Vec<u32>,
    busy: List,
    idle: List,
    evictions: u64,
    /// True: a successor keeps what is here.
    moved: bool,
}

struct Entry {
    key: TrackKey,
    open: u32,
    generation: u32,
    bucket: Bucket,
    newer: u32,
    older: u32,
}

/// No entry.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct List {
    newest: u32,
    oldest: u32,
}

impl List {
    const EMPTY: Self = Self { newest: NONE, oldest: NONE };
}

/// Full buckets that one step drops at most, so that no step takes long and the lists shrink all the same.
const SWEPT: usize = 2;

impl Shard {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            places: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            busy: List::EMPTY,
            idle: List::EMPTY,
            evictions: 0,
            moved: false,
        }
    }

    /// True: a successor keeps what is here.
    pub(super) fn is_moved(&self) -> bool {
        self.moved
    }

    /// From now on a successor keeps it, or not any more.
    pub(super) fn set_moved(&mut self, moved: bool) {
        self.moved = moved;
    }

    /// Everything that says something: key, open connections, time until the bucket is full.
    pub(super) fn rows(&self, now: u64) -> impl Iterator<Item = (TrackKey, u32, u64)> {
        let says = self.places.values().filter(move |index| !self.says_nothing(**index, now));
        says.map(move |index| {
            let Entry { key, open, bucket, .. } = &self.entries[*index as usize];
            (*key, *open, bucket.full_in(now))
        })
    }

    /// Entries that are somebody's.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Entries that were given away though they said something.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Counts a connection; index and generation of its entry.
    pub(super) fn open(&mut self, key: TrackKey, limit: u32, now: u64) -> Option<(u32, u32)> {
        self.sweep(now);
        let index = self.entry(key, now);
        self.unlink(index);
        let entry = &mut self.entries[index as usize];
        let counted = entry.open < limit;
        if counted {
            entry.open += 1;
        }
        let generation = entry.generation;
        self.settle(index, now);
        counted.then_some((index, generation))
    }

    /// Whose connection it was; `None`: nobody's any more.
    pub(super) fn close(&mut self, index: u32, generation: u32, now: u64) -> Option<TrackKey> {
        let is_same = |entry: &&Entry| entry.generation == generation && entry.open > 0;
        let key = self.entries.get(index as usize).filter(is_same)?.key;
        self.unlink(index);
        self.entries[index as usize].open -= 1;
        self.settle(index, now);
        self.sweep(now);
        Some(key)
    }

    pub(super) fn spend(&mut self, key: TrackKey, pace: Pace, now: u64) -> bool {
        self.sweep(now);
        let index = self.entry(key, now);
        self.unlink(index);
        let spent = self.entries[index as usize].bucket.take(pace, now);
        self.settle(index, now);
        spent
    }

    /// Empties a bucket so far that it is not full before that time is over.
    pub(super) fn drain_to(&mut self, key: TrackKey, full_in: u64, now: u64) {
        let index = self.entry(key, now);
        self.unlink(index);
        self.entries[index as usize].bucket.drain_to(full_in, now);
        self.settle(index, now);
    }

    /// The entry of that key, made if need be.
    fn entry(&mut self, key: TrackKey, now: u64) -> u32 {
        if let Some(index) = self.places.get(&key) {
            return *index;
        }
        if self.places.len() >= self.room {
            self.evict(now);
        }
        let index = match self.free.pop() {
            Some(index) => {
                let entry = &mut self.entries[index as usize];
                (entry.key, entry.open, entry.bucket) = (key, 0, Bucket::default());
                index
            }
            None => {
                let (newer, older) = (NONE, NONE);
                self.entries.push(Entry {
                    key,
                    open: 0,
                    generation: 0,
                    bucket: Bucket::default(),
                    newer,
                    older,
                });
                (self.entries.len() - 1) as u32
            }
        };
        self.places.insert(key, index);
        self.link(index);
        index
    }

    /// Makes room by one: an idle entry if there is any, the one that was seen last the longest ago.
    fn evict(&mut self, now: u64) {
        let index = if self.idle.oldest == NONE { self.busy.oldest } else { self.idle.oldest };
        if index == NONE {
            return;
        }
        if !self.says_nothing(index, now) {
            self.evictions += 1;
        }
        self.unlink(index);
        self.forget(index);
    }

    /// Drops what says nothing any more, from the idle end.
    fn sweep(&mut self, now: u64) {
        for _ in 0..SWEPT {
            let index = self.idle.oldest;
            if index == NONE || !self.says_nothing(index, now) {
                return;
            }
            self.unlink(index);
            self.forget(index);
        }
    }

    /// Puts an entry that was taken out back where it belongs, or drops it.
    fn settle(&mut self, index: u32, now: u64) {
        if self.says_nothing(index, now) { self.forget(index) } else { self.link(index) }
    }

    fn says_nothing(&self, index: u32, now: u64) -> bool {
        let entry = &self.entries[index as usize];
        entry.open == 0 && entry.bucket.is_full(now)
    }

    fn forget(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.open = 0;
        self.places.remove(&entry.key);
        self.free.push(index);
    }

    fn list(&mut self, index: u32) -> &mut List {
        if self.entries[index as usize].open == 0 { &mut self.idle } else { &mut self.busy }
    }

    fn link(&mut self, index: u32) {
        let newest = std::mem::replace(&mut self.list(index).newest, index);
        let entry = &mut self.entries[index as usize];
        (entry.newer, entry.older) = (NONE, newest);
        match self.entries.get_mut(newest as usize) {
            Some(second) => second.newer = index,
            None => self.list(index).oldest = index,
        }
    }

    fn unlink(&mut self, index: u32) {
        let Entry { newer, older, .. } = self.entries[index as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.list(index).newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.list(index).oldest = newer,
        }
    }
}
