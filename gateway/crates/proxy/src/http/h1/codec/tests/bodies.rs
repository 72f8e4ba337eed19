use ::bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::super::*;

/// All of a body: its data joined, its trailers, and what is left behind it.
fn read(framing: Framing, bytes: &[u8]) -> Result<(Vec<u8>, HeaderMap, Vec<u8>), BodyError> {
    let mut decoder = BodyDecoder::new(framing);
    let mut buffer = BytesMut::from(bytes);
    let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
    loop {
        match decoder.decode(&mut buffer)? {
            Decoded::Data(bytes) => data.extend_from_slice(&bytes),
            Decoded::Trailers(fields) => trailers = fields,
            Decoded::End => return Ok((data, trailers, buffer.to_vec())),
            Decoded::NeedMore => {
                decoder.eof()?;
                assert!(decoder.is_end());
            }
        }
    }
}

#[test]
fn each_framing_ends_where_it_says() {
    for (framing, bytes, data, left) in [
        (Framing::Empty, "GET", "", "GET"),
        (Framing::Length(0), "GET", "", "GET"),
        (Framing::Length(3), "abcGET", "abc", "GET"),
        (Framing::Chunked, "3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET"),
        (Framing::Chunked, "0\r\n\r\nGET", "", "GET"),
        (Framing::Chunked, "0000000000000001\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n", "a0123456789", ""),
        (Framing::Chunked, "1;a=b;c=\"d e\"\r\na\r\n0;\t\r\n\r\n", "a", ""),
        (Framing::UntilClose, "abcGET", "abcGET", ""),
        (Framing::UntilClose, "", "", ""),
    ] {
        let (read_data, trailers, read_left) = read(framing, bytes.as_bytes()).unwrap();
        assert_eq!(
            (&read_data[..], &read_left[..]),
            (data.as_bytes(), left.as_bytes()),
            "{framing:?} {bytes:?}"
        );
        assert!(trailers.is_empty());
    }
}

#[test]
fn a_body_that_ends_early_never_ends_cleanly() {
    for (framing, bytes) in [
        (Framing::Length(4), "abc"),
        (Framing::Length(1), ""),
        (Framing::Chunked, ""),
        (Framing::Chunked, "3"),
        (Framing::Chunked, "3\r"),
        (Framing::Chunked, "3\r\nab"),
        (Framing::Chunked, "3\r\nabc"),
        (Framing::Chunked, "3\r\nabc\r\n"),
        (Framing::Chunked, "3\r\nabc\r\n0\r\n"),
        (Framing::Chunked, "3\r\nabc\r\n0\r\n\r"),
        (Framing::Chunked, "0\r\na: b\r\n"),
    ] {
        assert_eq!(read(framing, bytes.as_bytes()), Err(BodyError::Truncated), "{framing:?} {bytes:?}");
    }
}

#[test]
fn malformed_chunks_are_refused_at_the_byte() {
    let size = "a chunk size is not a hexadecimal number";
    let data = "the data of a chunk does not end with CRLF";
    for (bytes, expected) in [
        ("\r", size),
        (";", size),
        ("+", size),
        ("-", size),
        (" ", size),
        ("0x", size),
        ("5 ", size),
        ("5\t", size),
        ("5\n", size),
        ("g", size),
        ("\0", size),
        ("00000000000000000", "a chunk size has more than 16 digits"),
        ("fffffffffffffffff", "a chunk size has more than 16 digits"),
        ("5\ra", "a chunk size does not end with CRLF"),
        ("5;a\n", "a chunk extension holds a control character"),
        ("5;a\0", "a chunk extension holds a control character"),
        ("5;a\rb", "a chunk size does not end with CRLF"),
        ("1\r\naX", data),
        ("1\r\na\n", data),
        ("1\r\na\r\r", data),
        ("1\r\na\r0", data),
        ("0\r\n a", "a field line begins with white space"),
        ("0\r\na\n", "a field line has no colon"),
        ("0\r\na: b\n", "a field line ends with a bare line feed"),
        ("0\r\na: b\r\n\r0", "a field line begins with a bare carriage return"),
    ] {
        assert_eq!(
            read(Framing::Chunked, bytes.as_bytes()),
            Err(BodyError::Malformed(expected)),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_chunk_may_be_of_64_bits() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut buffer = BytesMut::from("ffffffffffffffff\r\nabc");
    assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::Data(Bytes::from_static(b"abc"))));
    assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::NeedMore));
    assert!(!decoder.is_end());
}

#[test]
fn trailers_pass_without_what_frames_routes_or_authenticates() {
    let fields = "grpc-status: 0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nhost: x\r\ncookie: a\r\nauthorization: b\r\nConnection: close\r\nx-forwarded-for: 1.2.3.4\r\nset-cookie: c\r\nX-Sum: 1\r\nx-sum:2\r\nkeep-alive: 1\r\n";
    let (data, trailers, left) =
        read(Framing::Chunked, format!("1\r\na\r\n0\r\n{fields}\r\nGET").as_bytes()).unwrap();
    assert_eq!((&data[..], &left[..]), (&b"a"[..], &b"GET"[..]));
    assert_eq!(trailers.len(), 3);
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["1", "2"]);
    let (_, none, _) = read(Framing::Chunked, b"0\r\nhost: x\r\n\r\n").unwrap();
    assert!(none.is_empty());
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let extensions =
        |length: usize| format!("1;{}\r\na\r\n1;{}\r\na\r\n0\r\n\r\n", "x".repeat(length), "y".repeat(96));
    assert!(read(Framing::Chunked, extensions(4000).as_bytes()).is_ok());
    assert_eq!(read(Framing::Chunked, extensions(4001).as_bytes()), Err(BodyError::TooLarge));
    let trailers = |length: usize| format!("0\r\na: {}\r\n\r\n", "x".repeat(length));
    let rest = "a: \r\n\r\n".len();
    assert!(read(Framing::Chunked, trailers((16 << 10) - rest).as_bytes()).is_ok());
    assert_eq!(read(Framing::Chunked, trailers((16 << 10) - rest + 1).as_bytes()), Err(BodyError::TooLarge));
    let many = |count: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(read(Framing::Chunked, many(100).as_bytes()).is_ok());
    assert_eq!(read(Framing::Chunked, many(101).as_bytes()), Err(BodyError::TooLarge));
}
