//! Cheap randomness of a thread: weighted choices and request ids. Nothing secret may come from here.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

thread_local! {
    static STATE: Cell<[u64; 4]> = Cell::new(seed());
}

/// The next 64 bits of this thread's xoshiro256++ (Blackman and Vigna, 2019).
pub(crate) fn next() -> u64 {
    STATE.with(|cell| {
        let [a, b, c, d] = cell.get();
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        cell.set([a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)]);
        result
    })
}

/// A number below `bound`, which is not 0. The bias is below one in 2^32, since bounds fit 32 bits.
pub(crate) fn below(bound: u64) -> u64 {
    ((u128::from(next()) * u128::from(bound)) >> 64) as u64
}

/// Never all zero: the keys of `RandomState` come from the operating system, and the places differ.
fn seed() -> [u64; 4] {
    let keys = RandomState::new();
    std::array::from_fn(|place| keys.hash_one(place) | u64::from(place == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_spread_evenly_and_stay_below_the_bound() {
        let mut seen = [0_u32; 10];
        for _ in 0..100_000 {
            seen[below(10) as usize] += 1;
        }
        // Ten standard deviations: chance does not reach it.
        assert!(seen.iter().all(|count| (9_000..11_000).contains(count)), "{seen:?}");
    }

    #[test]
    fn threads_differ() {
        let here = next();
        let there = std::thread::spawn(next).join().unwrap();
        assert_ne!(here, there);
    }
}
