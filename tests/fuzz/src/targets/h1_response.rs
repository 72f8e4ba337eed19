use bytes::BytesMut;
use http::Method;

use super::{
    http1::{
        Event, Heads, Taken, WORDS, compare_with_reference, end_to_end, kind, limits, read_in_pieces, sorted,
        write_chunks,
    },
    reference,
};
use crate::codec::{
    Connection, Framing, HeadLimits, ResponseHead, ResponseParser, encode_informational, encode_response,
};

/// Words of responses.
pub const DICTIONARY: &[&[u8]] = &{
    let own: [&[u8]; 10] = [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 \r\n",
        b"HTTP/1.0 200\r\n",
        b" 204 ",
        b" 304 ",
        b" 600 ",
        b"\xc3\xa4",
        b" ",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ];
    let mut all: [&[u8]; 10 + WORDS.len()] = [b""; 10 + WORDS.len()];
    let mut place = 0;
    while place < all.len() {
        all[place] = if place < own.len() { own[place] } else { WORDS[place - own.len()] };
        place += 1;
    }
    all
};

struct Responses<'a> {
    parser: ResponseParser,
    method: &'a Method,
}

impl Heads for Responses<'_> {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<(String, Framing, bool)>, String> {
        let before = buffer.len();
        match self.parser.parse(buffer, self.method) {
            Err(error) => Err(error.to_string()),
            Ok(None) => {
                assert_eq!(buffer.len(), before, "nothing is taken before a head is whole");
                Ok(None)
            }
            Ok(Some(head)) => {
                write_again(&head, self.method);
                Ok(Some((text(&head), head.body, head.keep_alive)))
            }
        }
    }
}

/// Whole and in pieces alike, and as the naive reference; what passes is written and read again as it was. The first
/// byte chooses the method of the request.
pub fn check(input: &[u8]) -> String {
    let Some((choice, input)) = input.split_first() else { return "nothing".to_owned() };
    let method = match choice {
        b'H' => Method::HEAD,
        b'C' => Method::CONNECT,
        _ => Method::GET,
    };
    let events =
        read_in_pieces(input, || Responses { parser: ResponseParser::new(limits()), method: &method });
    for event in &events {
        if let Event::Body(data, _) = event {
            write_chunks(data);
        }
    }
    let mut buffer = BytesMut::from(input);
    let head = ResponseParser::new(HeadLimits::default()).parse(&mut buffer, &method).ok().flatten();
    let taken = head.map(|ResponseHead { head, body, keep_alive }| Taken {
        fields: sorted(&head.headers),
        body,
        keep_alive,
        length: input.len() - buffer.len(),
    });
    compare_with_reference(taken, reference::response(input, method.as_str()), input);
    format!("{method} {}", kind(&events))
}

fn text(head: &ResponseHead) -> String {
    let ResponseHead { head, body, keep_alive } = head;
    let body = match body {
        Framing::Length(0) => "no bytes".to_owned(),
        Framing::Length(_) => "bytes".to_owned(),
        other => format!("{other:?}"),
    };
    let class = head.status.as_u16() / 100;
    format!(
        "{} {:?}\n{}\n{class} {body} {keep_alive}",
        head.status,
        head.version,
        sorted(&head.headers).join("\n")
    )
}

fn write_again(head: &ResponseHead, method: &Method) {
    let mut out = BytesMut::new();
    if head.head.status.is_informational() && head.head.status != 101 {
        encode_informational(head.head.status, &head.head.headers, &mut out);
    } else {
        let connection = if head.keep_alive { Connection::KeepAlive } else { Connection::Close };
        encode_response(&head.head, head.body, connection, head.head.version, &mut out);
    }
    let again = ResponseParser::new(HeadLimits::default()).parse(&mut out, method);
    let again = again.expect("what is written is well formed").expect("what is written is whole");
    assert!(out.is_empty(), "nothing is written behind a head");
    assert_eq!(again.head.status, head.head.status, "status");
    assert_eq!(again.body, head.body, "framing");
    assert!(again.keep_alive == head.keep_alive || head.head.status.is_informational(), "persistence");
    assert_eq!(end_to_end(&again.head.headers), end_to_end(&head.head.headers), "fields");
}
