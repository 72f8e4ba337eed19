/// The keys that were counted most often, in a fixed number of entries: the one that was counted least makes room for a
/// new one, which begins with its count. So no count is too low, none is too high by more than `over_by`, and whoever
/// has more than the sum of all counts divided by the entries is in it. Source: Metwally, Agrawal and El Abbadi,
/// "Efficient computation of frequent and top-k elements in data streams" (2005), with weights.
#[derive(Debug)]
pub(super) struct Sketch<K> {
    room: usize,
    entries: Vec<Entry<K>>,
}

/// One key's count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<K> {
    hash: u64,
    /// Whose.
    pub(super) key: K,
    /// How often, or less.
    pub(super) count: u64,
    /// By how much it may be less.
    pub(super) over_by: u64,
}

impl<K> Sketch<K> {
    /// Room for so many keys.
    pub(super) const fn new(room: usize) -> Self {
        Self { room, entries: Vec::new() }
    }

    /// Counts a key. `is` finds it among those of its hash, `update` gives an old key or makes a new one.
    pub(super) fn add(
        &mut self,
        hash: u64,
        weight: u64,
        is: impl Fn(&K) -> bool,
        update: impl FnOnce(Option<&mut K>) -> Option<K>,
    ) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.hash == hash && is(&entry.key)) {
            entry.count = entry.count.saturating_add(weight);
            update(Some(&mut entry.key));
            return;
        }
        let Some(key) = update(None) else { return };
        if self.entries.len() < self.room {
            self.entries.push(Entry { hash, key, count: weight, over_by: 0 });
        } else if let Some(least) = self.entries.iter_mut().min_by_key(|entry| entry.count) {
            let over_by = least.count;
            *least = Entry { hash, key, count: over_by.saturating_add(weight), over_by };
        }
    }

    /// In no order.
    pub(super) fn entries(&self) -> &[Entry<K>] {
        &self.entries
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn add(sketch: &mut Sketch<u16>, key: u16, weight: u64) {
        sketch.add(u64::from(key % 7), weight, |known| *known == key, |known| known.is_none().then_some(key));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Held against counting them all.
        #[test]
        fn no_count_is_too_low_and_the_frequent_are_in_it(
            events in prop::collection::vec((0..40_u16, 1..20_u64), 0..400),
        ) {
            const ROOM: usize = 8;
            let (mut sketch, mut exact) = (Sketch::new(ROOM), BTreeMap::<u16, u64>::new());
            for (key, weight) in events {
                add(&mut sketch, key, weight);
                *exact.entry(key).or_default() += weight;
            }
            let total: u64 = exact.values().sum();
            prop_assert!(sketch.entries().len() <= ROOM);
            prop_assert_eq!(sketch.entries().iter().map(|entry| entry.count).sum::<u64>(), total);
            for entry in sketch.entries() {
                let real = exact[&entry.key];
                prop_assert!(entry.count >= real && entry.count - entry.over_by <= real);
                prop_assert!(entry.over_by <= total / ROOM as u64);
            }
            for (key, count) in exact {
                let known = sketch.entries().iter().any(|entry| entry.key == key);
                prop_assert!(known || count <= total / ROOM as u64, "{key} has {count} of {total}");
            }
        }
    }
}
