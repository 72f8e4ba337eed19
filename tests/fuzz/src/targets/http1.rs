//! What requests and responses of HTTP/1 have in common: a stream cut in pieces, bodies, fields.

use bytes::BytesMut;
use http::HeaderMap;

use super::reference::{self, FieldList, Message};
use crate::codec::{BodyDecoder, BodyError, CHUNK_END, Decoded, Framing, HeadLimits, chunk_head, last_chunk};

/// Words of both grammars.
pub const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"Host: x\r\n",
    b"host: y\r\n",
    b": ",
    b" : ",
    b"Content-Length: 3\r\n",
    b"content-length: 0\r\n",
    b"content-length",
    b"18446744073709551616",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b"chunked",
    b"xchunked",
    b"Connection: close\r\n",
    b"Connection: keep-alive, Upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"X-Custom: \tv \r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n",
    b"ffffffffffffffff",
    b"5;x=\"y\"\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
];

/// Small enough that inputs reach them.
pub fn limits() -> HeadLimits {
    HeadLimits { max_bytes: 2048, max_fields: 16 }
}

/// Something that a stream was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head, with all that was made of it.
    Head(String),
    /// A body that ended, its data and its trailers.
    Body(Vec<u8>, String),
    /// Bytes of a body whose end has not come.
    Begun(Vec<u8>),
    /// The stream is refused.
    Refused(String),
}

/// A reader of one side's heads.
pub trait Heads {
    /// The next head: its text, its framing, and whether another may follow on the connection.
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<(String, Framing, bool)>, String>;
}

/// Reads a stream that comes in pieces up to its last message, its first fault or its end.
pub fn read<'a>(mut heads: impl Heads, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut buffer = BytesMut::new();
    let mut body: Option<(BodyDecoder, Vec<u8>, bool)> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            if let Some((decoder, data, keep_alive)) = &mut body {
                match read_body(decoder, data, &mut buffer) {
                    Ok(None) => break,
                    Ok(Some(trailers)) => {
                        events.push(Event::Body(std::mem::take(data), trailers));
                        if !*keep_alive {
                            return events;
                        }
                        body = None;
                    }
                    Err(error) => {
                        events.push(Event::Refused(error.to_string()));
                        return events;
                    }
                }
            }
            match heads.next(&mut buffer) {
                Ok(None) => break,
                Ok(Some((text, framing, keep_alive))) => {
                    events.push(Event::Head(text));
                    body = Some((BodyDecoder::new(framing), Vec::new(), keep_alive));
                }
                Err(error) => {
                    events.push(Event::Refused(error));
                    return events;
                }
            }
        }
    }
    if let Some((mut decoder, data, _)) = body {
        let ended = decoder.eof().is_ok();
        events.push(if ended { Event::Body(data, String::new()) } else { Event::Begun(data) });
    }
    events
}

/// The trailers, once the body has ended.
fn read_body(
    decoder: &mut BodyDecoder,
    data: &mut Vec<u8>,
    buffer: &mut BytesMut,
) -> Result<Option<String>, BodyError> {
    let mut trailers = String::new();
    loop {
        let before = buffer.len();
        match decoder.decode(buffer)? {
            Decoded::Data(bytes) => {
                assert!(!bytes.is_empty() && bytes.len() <= before, "data is of the buffer");
                data.extend_from_slice(&bytes);
            }
            Decoded::Trailers(fields) => {
                assert!(!fields.is_empty() && !fields.contains_key("content-length"), "trailers: {fields:?}");
                trailers = sorted(&fields).join("\n");
            }
            Decoded::End => {
                assert!(decoder.is_end(), "a body that has ended knows it");
                return Ok(Some(trailers));
            }
            Decoded::NeedMore => return Ok(None),
        }
    }
}

/// Whole, byte by byte, and in pieces whose lengths come from the input: always the same events.
pub fn read_in_pieces<H: Heads>(input: &[u8], heads: impl Fn() -> H) -> Vec<Event> {
    let whole = read(heads(), [input].into_iter());
    assert_eq!(read(heads(), input.chunks(1)), whole, "byte by byte");
    let length = input.iter().fold(7_usize, |sum, byte| (sum * 31 + usize::from(*byte)) % 97) + 2;
    assert_eq!(read(heads(), input.chunks(length)), whole, "{length} bytes at a time");
    whole
}

/// A head that the codec took off a buffer, without its first line.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// As [`sorted`] gives them.
    pub fields: Vec<String>,
    /// Where its body ends.
    pub body: Framing,
    /// Whether the connection persists.
    pub keep_alive: bool,
    /// Bytes of the head.
    pub length: usize,
}

/// The codec takes the head that the naive reference takes, and reads the chunks behind it alike.
pub fn compare_with_reference(taken: Option<Taken>, expected: Option<Message>, input: &[u8]) {
    let expected = expected.map(|message| Taken {
        fields: lines(&message.fields),
        body: message.body,
        keep_alive: message.keep_alive,
        length: message.length,
    });
    assert_eq!(taken, expected, "the codec and the naive reference");
    let Some(Taken { body: Framing::Chunked, length, .. }) = taken else { return };
    let rest = &input[length..];
    let (mut decoder, mut buffer, mut data) =
        (BodyDecoder::new(Framing::Chunked), BytesMut::from(rest), Vec::new());
    let found = match read_body(&mut decoder, &mut data, &mut buffer) {
        Ok(Some(_)) => Some((data, rest.len() - buffer.len())),
        Ok(None) | Err(BodyError::Malformed(_)) => None,
        // The reference knows no such limit.
        Err(_) => return,
    };
    let expected = reference::chunked(rest).map(|(data, _, length)| (data, length));
    assert_eq!(found, expected, "the codec's chunks and those of the naive reference");
}

/// Data written as chunks is read again as it was.
pub fn write_chunks(data: &[u8]) {
    let mut out = BytesMut::new();
    for chunk in data.chunks(19) {
        chunk_head(chunk.len(), &mut out);
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_END);
    }
    last_chunk(None, &mut out);
    let (mut decoder, mut again) = (BodyDecoder::new(Framing::Chunked), Vec::new());
    let ended = read_body(&mut decoder, &mut again, &mut out).expect("own chunks are well formed");
    assert_eq!(
        (ended.as_deref(), &again[..], &out[..]),
        (Some(""), data, &[][..]),
        "chunks written and read again"
    );
}

/// All fields, a line each; those of one name in their order.
pub fn sorted(headers: &HeaderMap) -> Vec<String> {
    let fields: FieldList =
        headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    lines(&fields)
}

fn lines(fields: &FieldList) -> Vec<String> {
    let mut fields: Vec<&(String, Vec<u8>)> = fields.iter().collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect()
}

/// The fields that a hop leaves alone; several cookies are joined when written, and are left out.
pub fn end_to_end(headers: &HeaderMap) -> Vec<String> {
    const HOP: [&str; 8] = [
        "host: ",
        "connection: ",
        "keep-alive: ",
        "proxy-connection: ",
        "upgrade: ",
        "content-length: ",
        "transfer-encoding: ",
        "cookie: ",
    ];
    let mut lines = sorted(headers);
    lines.retain(|line| !HOP.iter().any(|name| line.starts_with(name)));
    lines
}

/// How a stream was answered, without its data: which faults, which framings, how many fields.
pub fn kind(events: &[Event]) -> String {
    let kinds: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Head(text) => {
                let last = text.lines().last().unwrap_or_default();
                format!("head of {} lines, {last}", text.lines().count().min(6))
            }
            Event::Body(data, trailers) => {
                format!("body {} {}", data.is_empty(), trailers.lines().count().min(3))
            }
            Event::Begun(data) => format!("begun {}", data.is_empty()),
            Event::Refused(reason) => reason.clone(),
        })
        .collect();
    kinds.join("; ")
}
