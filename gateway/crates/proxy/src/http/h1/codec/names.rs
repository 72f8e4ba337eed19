use std::cell::RefCell;

use http::HeaderName;

/// Places in the table: what clients and backends of one worker send, a few times over.
const PLACES: usize = 256;

/// Longer names are rare and not kept.
const KEPT_LENGTH: usize = 64;

thread_local! {
    static SEEN: RefCell<Vec<Option<HeaderName>>> = const { RefCell::new(Vec::new()) };
}

/// The name of these bytes, of which `None` is none. A name that this thread saw lately is shared, not allocated:
/// `HeaderName` copies every name that is not in its own list.
pub(super) fn header_name(bytes: &[u8]) -> Option<HeaderName> {
    if bytes.len() > KEPT_LENGTH {
        return HeaderName::from_bytes(bytes).ok();
    }
    SEEN.with_borrow_mut(|seen| {
        if seen.is_empty() {
            seen.resize(PLACES, None);
        }
        let place = &mut seen[place(bytes)];
        if let Some(name) = place
            && name.as_str().as_bytes().eq_ignore_ascii_case(bytes)
        {
            return Some(name.clone());
        }
        let name = HeaderName::from_bytes(bytes).ok()?;
        *place = Some(name.clone());
        Some(name)
    })
}

/// A multiplicative hash of the length and of both ends, blind to case.
fn place(bytes: &[u8]) -> usize {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word) | u64::from_ne_bytes([b' '; 8])
    };
    let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (word(first), word(last)),
        _ => (word(bytes), 0),
    };
    let mixed = first.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ last.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let mixed = (mixed ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_seen_once_or_often_and_in_any_case() {
        let long = "x".repeat(300);
        for name in ["Host", "x", "X-Forwarded-For", "x-forwarded-for", "X_1", &long, "a~!"] {
            for _ in 0..2 {
                let expected = HeaderName::from_bytes(name.as_bytes()).unwrap();
                assert_eq!(header_name(name.as_bytes()), Some(expected));
            }
        }
        for name in ["", "a b", "a:", "\u{e4}"] {
            assert_eq!(header_name(name.as_bytes()), None);
        }
    }

    #[test]
    fn names_that_share_a_place_are_told_apart() {
        for number in 0..10_000 {
            let name = format!("x-{number}");
            assert_eq!(header_name(name.as_bytes()).unwrap().as_str(), name);
        }
    }
}
