use http::Version;

/// Why bytes are no version that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VersionFault {
    Malformed,
    Unsupported,
}

/// Length of a version.
pub(super) const VERSION_LENGTH: usize = b"HTTP/1.1".len();

/// Reads `HTTP/1.1` or `HTTP/1.0` from the beginning of `bytes`; `None` if more of them are needed to say.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Version>, VersionFault> {
    if bytes.starts_with(b"HTTP/1.1") {
        return Ok(Some(Version::HTTP_11));
    }
    for (byte, pattern) in bytes.iter().zip(b"HTTP/0.0") {
        let fits = if *pattern == b'0' { byte.is_ascii_digit() } else { byte == pattern };
        if !fits {
            return Err(VersionFault::Malformed);
        }
    }
    match bytes.get(..VERSION_LENGTH) {
        None => Ok(None),
        Some(b"HTTP/1.0") => Ok(Some(Version::HTTP_10)),
        Some(_) => Err(VersionFault::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_versions_are_read_and_others_told_from_noise_at_the_first_byte_that_differs() {
        assert_eq!(parse(b"HTTP/1.1\r"), Ok(Some(Version::HTTP_11)));
        assert_eq!(parse(b"HTTP/1.0\r"), Ok(Some(Version::HTTP_10)));
        for other in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.1"] {
            assert_eq!(parse(other.as_bytes()), Err(VersionFault::Unsupported), "{other}");
        }
        for cut in 0..VERSION_LENGTH {
            assert_eq!(parse(&b"HTTP/1.1"[..cut]), Ok(None));
        }
        for noise in ["h", "HTTP1", "HTTP/x", "HTTP/1 ", "HTTP/1.x", "HTTP/11", "\r"] {
            assert_eq!(parse(noise.as_bytes()), Err(VersionFault::Malformed), "{noise}");
        }
    }
}
