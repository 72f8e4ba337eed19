use std::cell::RefCell;

use http::HeaderName;

/// Places in the table: what clients and backends of one worker send, a few times over.
const PLACES: usize = 256;

/// Longer names are rare and not kept.
const KEPT_LENGTH: usize = 64;

thread_local! {
    static SEEN: RefCell<Vec<Option<Seen>>> = const { RefCell::new(Vec::new()) };
}

/// A name that this thread saw lately.
#[derive(Clone, Debug)]
struct Seen {
    ends: Ends,
    name: HeaderName,
}

/// The name of these bytes, a token; `None` if it is longer than [`HeaderName`] holds. One that was seen lately is
/// shared, not allocated: `HeaderName` copies every name that is not in its own list.
pub(super) fn header_name(token: &[u8]) -> Option<HeaderName> {
    if token.len() > KEPT_LENGTH {
        return HeaderName::from_bytes(token).ok();
    }
    let ends = Ends::of(token);
    SEEN.with_borrow_mut(|seen| {
        if seen.is_empty() {
            seen.resize(PLACES, None);
        }
        let place = &mut seen[ends.place()];
        if let Some(Seen { ends: kept, name }) = place
            && *kept == ends
            && (token.len() <= 16 || name.as_str().as_bytes().eq_ignore_ascii_case(token))
        {
            return Some(name.clone());
        }
        let name = HeaderName::from_bytes(token).ok()?;
        // Of all bytes of tokens, `^` and `~` alone are not told apart by `Ends`.
        if !name.as_str().contains(['^', '~']) {
            *place = Some(Seen { ends, name: name.clone() });
        }
        Some(name)
    })
}

/// Both ends of a token, blind to case, and its length: all of it up to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    first: u64,
    last: u64,
    length: usize,
}

impl Ends {
    fn of(token: &[u8]) -> Self {
        /// Makes letters lower case, and no byte of a token another, but for `^`.
        const LOWER: u64 = u64::from_ne_bytes([b' '; 8]);
        let (first, last) = match (token.first_chunk::<8>(), token.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => (token.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        };
        Self { first: first | LOWER, last: last | LOWER, length: token.len() }
    }

    /// A multiplicative hash.
    fn place(self) -> usize {
        let mixed =
            self.first.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.last.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        let mixed = (mixed ^ self.length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_seen_once_or_often_and_in_any_case() {
        let long = "x".repeat(300);
        for name in [
            "Host",
            "x",
            "X-Forwarded-For",
            "x-forwarded-for",
            "X_1",
            &long,
            "a~!",
            "a^!",
            "ACCESS-control-MAX-age",
            "x-0123456789-abcdef",
            "x-0123456789+abcdef",
            "a|",
            "a!",
        ] {
            for _ in 0..2 {
                let expected = HeaderName::from_bytes(name.as_bytes()).unwrap();
                assert_eq!(header_name(name.as_bytes()), Some(expected));
            }
        }
        assert_eq!(header_name("x".repeat(1 << 16).as_bytes()), None);
    }

    #[test]
    fn names_that_share_a_place_are_told_apart() {
        for number in 0..10_000 {
            for name in [format!("x-{number}"), format!("x-{number}-with-the-same-ends-and-length")] {
                assert_eq!(header_name(name.as_bytes()).unwrap().as_str(), name);
            }
        }
        // Every two bytes that a token may hold, at every place of a short one.
        let tokens: Vec<u8> = (0..128).filter(|byte| HeaderName::from_bytes(&[*byte]).is_ok()).collect();
        for one in &tokens {
            for other in &tokens {
                for name in [vec![*one, *other], vec![*one, b'a', b'a', b'a', b'a', b'a', b'a', *other]] {
                    let lower = name.to_ascii_lowercase();
                    assert_eq!(header_name(&name).unwrap().as_str().as_bytes(), lower);
                }
            }
        }
    }
}
