/// What a client with prior knowledge of HTTP/2 begins with. Source: RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a clear-text connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preface {
    /// Not HTTP/2.
    Http1,
    /// The whole preface.
    Http2,
    /// A beginning of the preface, possibly empty.
    Partial,
}

impl Preface {
    /// Judges the bytes read so far.
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(PREFACE) {
            Self::Http2
        } else if PREFACE.starts_with(bytes) {
            Self::Partial
        } else {
            Self::Http1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_decides() {
        for cut in 0..PREFACE.len() {
            assert_eq!(Preface::of(&PREFACE[..cut]), Preface::Partial, "{cut}");
            let mut other = PREFACE[..cut].to_vec();
            other.push(b'~');
            assert_eq!(Preface::of(&other), Preface::Http1, "{cut}");
        }
        assert_eq!(Preface::of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"), Preface::Http2);
        assert_eq!(Preface::of(b"POST / HTTP/1.1\r\n"), Preface::Http1);
    }
}
