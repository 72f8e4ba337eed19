use bytes::BytesMut;

use super::{
    http1::{
        Event, Heads, Taken, WORDS, compare_with_reference, end_to_end, kind, limits, read_in_pieces, sorted,
        write_chunks,
    },
    reference,
};
use crate::codec::{Framing, HeadLimits, RequestHead, RequestParser, encode_request};

/// Words of requests.
pub const DICTIONARY: &[&[u8]] = &{
    let own: [&[u8]; 14] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST /a?b HTTP/1.1\r\nHost: x\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n",
        b"OPTIONS * ",
        b"GET http://x/ ",
        b"HEAD ",
        b"https://",
        b"Expect: 100-continue\r\n",
        b"[::1]:80",
        b"u@x",
        b"/%00",
        b" ",
        b"#",
        b"cookie: a=b\r\n",
    ];
    let mut all: [&[u8]; 14 + WORDS.len()] = [b""; 14 + WORDS.len()];
    let mut place = 0;
    while place < all.len() {
        all[place] = if place < own.len() { own[place] } else { WORDS[place - own.len()] };
        place += 1;
    }
    all
};

struct Requests(RequestParser);

impl Heads for Requests {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<(String, Framing, bool)>, String> {
        let before = buffer.clone();
        match self.0.parse(buffer) {
            Err(error) => {
                assert!(error.status().is_client_error() || error.status().is_server_error(), "{error}");
                Err(error.to_string())
            }
            Ok(None) => {
                let taken = before.len() - buffer.len();
                assert!(
                    before[..taken].iter().all(|byte| b"\r\n".contains(byte)),
                    "only empty lines are taken"
                );
                Ok(None)
            }
            Ok(Some(head)) => {
                compare_with_httparse(&head, &before, before.len() - buffer.len());
                write_again(&head);
                Ok(Some((text(&head), head.body, head.keep_alive)))
            }
        }
    }
}

/// Whole and in pieces alike, and as the naive reference; what passes is written and read again as it was, and httparse
/// reads it so too.
pub fn check(input: &[u8]) -> String {
    let events = read_in_pieces(input, || Requests(RequestParser::new(limits())));
    for event in &events {
        if let Event::Body(data, _) = event {
            write_chunks(data);
        }
    }
    let mut buffer = BytesMut::from(input);
    let head = RequestParser::new(HeadLimits::default()).parse(&mut buffer).ok().flatten();
    let taken = head.map(|RequestHead { head, body, keep_alive, .. }| Taken {
        fields: sorted(&head.headers),
        body,
        keep_alive,
        length: input.len() - buffer.len(),
    });
    compare_with_reference(taken, reference::request(input), input);
    kind(&events)
}

fn text(head: &RequestHead) -> String {
    let RequestHead { head, body, keep_alive, expects_continue, upgrade } = head;
    let body = match body {
        Framing::Length(0) => "no bytes".to_owned(),
        Framing::Length(_) => "bytes".to_owned(),
        other => format!("{other:?}"),
    };
    format!(
        "{} {} {:?}\n{}\n{body} {keep_alive} {expects_continue} {upgrade}",
        head.method,
        head.uri,
        head.version,
        sorted(&head.headers).join("\n"),
    )
}

fn compare_with_httparse(head: &RequestHead, bytes: &[u8], length: usize) {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut other = httparse::Request::new(&mut fields);
    let parsed = other.parse(bytes);
    assert_eq!(parsed, Ok(httparse::Status::Complete(length)), "httparse reads it");
    assert_eq!(other.method, Some(head.head.method.as_str()), "httparse reads the method");
    assert_eq!(other.headers.len(), head.head.headers.len(), "httparse reads the fields");
}

fn write_again(head: &RequestHead) {
    let mut out = BytesMut::new();
    encode_request(&head.head, head.body, None, &mut out);
    let again = RequestParser::new(HeadLimits::default()).parse(&mut out);
    let again = again.expect("what is written is well formed").expect("what is written is whole");
    assert!(out.is_empty(), "nothing is written behind a head");
    assert_eq!(again.head.method, head.head.method, "method");
    assert_eq!(again.head.uri.query(), head.head.uri.query(), "query");
    assert_eq!(again.head.uri.path(), head.head.uri.path(), "path");
    let added = head.body == Framing::Empty && again.body == Framing::Length(0);
    assert!(again.body == head.body || added, "framing");
    assert_eq!(again.head.headers["host"], head.head.headers["host"], "host");
    assert_eq!(end_to_end(&again.head.headers), end_to_end(&head.head.headers), "fields");
}
