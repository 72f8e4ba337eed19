//! What bytes may stand where, and how far a run of them goes.

const TOKEN: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;
const NAME: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = classes_of(byte as u8);
        byte += 1;
    }
    classes
};

const fn classes_of(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let mut classes = 0;
    if alphanumeric || contains(b"!#$%&'*+-.^_`|~", byte) {
        classes |= TOKEN;
    }
    // What `http::uri::PathAndQuery` holds, ASCII only: more than RFC 3986, as clients send it.
    if byte.is_ascii_graphic() && !contains(b"#<>`?", byte) {
        classes |= PATH;
    }
    if byte.is_ascii_graphic() && !contains(b"\"#<>", byte) {
        classes |= QUERY;
    }
    if alphanumeric || contains(b"-._~!$&'()*+,;=", byte) {
        classes |= NAME;
    }
    classes
}

const fn contains(set: &[u8], byte: u8) -> bool {
    let mut place = 0;
    while place < set.len() {
        if set[place] == byte {
            return true;
        }
        place += 1;
    }
    false
}

fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|byte| CLASSES[usize::from(*byte)] & class == 0).unwrap_or(bytes.len())
}

/// Length of the leading run of `tchar` (RFC 9110 §5.6.2).
pub(super) fn token_length(bytes: &[u8]) -> usize {
    run(bytes, TOKEN)
}

/// Length of the leading run of bytes of a path: no white space, no control, no `?` and `#`.
pub(super) fn path_length(bytes: &[u8]) -> usize {
    run(bytes, PATH)
}

/// Length of the leading run of bytes of a query, `?` included.
pub(super) fn query_length(bytes: &[u8]) -> usize {
    run(bytes, QUERY)
}

/// Length of the leading run of bytes of a registered name, without percent-encoding (RFC 3986 §3.2.2).
pub(super) fn name_length(bytes: &[u8]) -> usize {
    run(bytes, NAME)
}

/// Length of the leading run of visible ASCII.
pub(super) fn visible_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(bytes.len())
}

/// Length of the leading run of what a field value or a reason holds: HTAB, SP, visible ASCII and bytes from 0x80 on
/// (RFC 9110 §5.5).
pub(super) fn text_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += control_free_length(&bytes[at..]);
        match bytes.get(at) {
            Some(b'\t') => at += 1,
            _ => return at,
        }
    }
}

/// Eight bytes at a time: a byte below 0x20 borrows when 0x20 is taken from it, and 0x7f is the only one that is 0
/// after `^ 0x7f`. A borrow may spoil the bytes above the first such one, which do not matter.
fn control_free_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let delete = word ^ (ONES * 0x7f);
        let found = (word.wrapping_sub(ONES * 0x20) & !word) | (delete.wrapping_sub(ONES) & !delete);
        let found = found & (ONES * 0x80);
        if found != 0 {
            return place * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let tail = rest.iter().position(u8::is_ascii_control).unwrap_or(rest.len());
    words.len() * 8 + tail
}

/// Without the SP and HTAB at both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_types_they_become() {
        for byte in 0..=u8::MAX {
            let of = |class| CLASSES[usize::from(byte)] & class != 0;
            let ascii = byte.is_ascii();
            assert_eq!(of(TOKEN), http::HeaderName::from_bytes(&[byte]).is_ok(), "{byte:#x}");
            assert_eq!(of(TOKEN), http::Method::from_bytes(&[byte]).is_ok(), "{byte:#x}");
            let path = http::uri::PathAndQuery::try_from(&[b'/', byte, b'/'][..]);
            let kept = path.is_ok_and(|path| path.query().is_none() && path.as_str().len() == 3);
            assert_eq!(of(PATH), kept && ascii, "{byte:#x}");
            let query = http::uri::PathAndQuery::try_from(&[b'/', b'?', byte, b'/'][..]);
            let kept = query.is_ok_and(|query| query.as_str().len() == 4);
            assert_eq!(of(QUERY), kept && ascii, "{byte:#x}");
            let name = http::uri::Authority::try_from(&[b'a', byte, b'a'][..]);
            assert!(!of(NAME) || name.is_ok_and(|name| name.as_str().len() == 3), "{byte:#x}");
        }
    }

    #[test]
    fn text_ends_at_the_first_control_byte_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let allowed = http::HeaderValue::from_bytes(&[byte]).is_ok();
            for before in 0..20 {
                for filler in [b'a', b'\t', 0x80, 0xff, b' '] {
                    let mut bytes = vec![filler; before];
                    bytes.push(byte);
                    bytes.extend_from_slice(&[b'z'; 9]);
                    let expected = if allowed { bytes.len() } else { before };
                    assert_eq!(text_length(&bytes), expected, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn white_space_is_trimmed_at_both_ends_only() {
        for (bytes, trimmed) in [("", ""), (" \t", ""), ("\ta b ", "a b"), ("a", "a")] {
            assert_eq!(trim(bytes.as_bytes()), trimmed.as_bytes());
        }
    }
}
