//! The codec against the reference, against itself on cut input, through a round trip, and against httparse.

use ::bytes::BytesMut;
use http::{HeaderMap, Method};
use proptest::{prelude::*, strategy::ValueTree};

use super::{
    super::*,
    messages, reference,
    reference::{FieldList, Message},
};

/// Of the generator's names, those that may not trail.
const DROPPED: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "cookie"];

/// What a parser made of bytes, and how many it took off.
type Outcome<T, E> = (Result<Option<T>, E>, usize);

pub(super) fn pairs(headers: &HeaderMap) -> FieldList {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// `HeaderMap` keeps the order of one name's values, not that between names.
pub(super) fn grouped(fields: &[(String, Vec<u8>)]) -> FieldList {
    let mut fields = fields.to_vec();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// Feeds `pieces` one after the other, until there is a result.
fn request_in<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome<RequestHead, RequestError> {
    let mut parser = RequestParser::new(HeadLimits::default());
    let mut buffer = BytesMut::new();
    let mut fed = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        fed += piece.len();
        match parser.parse(&mut buffer) {
            Ok(None) => {}
            result => return (result, fed - buffer.len()),
        }
    }
    (Ok(None), fed - buffer.len())
}

fn response_in<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    method: &Method,
) -> Outcome<ResponseHead, ResponseError> {
    let mut parser = ResponseParser::new(HeadLimits::default());
    let mut buffer = BytesMut::new();
    let mut fed = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        fed += piece.len();
        match parser.parse(&mut buffer, method) {
            Ok(None) => {}
            result => return (result, fed - buffer.len()),
        }
    }
    (Ok(None), fed - buffer.len())
}

/// Data, trailers, and whether it ended, of a body in pieces.
fn body_in<'a>(
    framing: Framing,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Result<bool, BodyError>, Vec<u8>, HeaderMap, Vec<u8>) {
    let mut decoder = BodyDecoder::new(framing);
    let mut buffer = BytesMut::new();
    let (mut data, mut trailers, mut result) = (Vec::new(), HeaderMap::new(), Ok(false));
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while result == Ok(false) {
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Data(bytes)) => data.extend_from_slice(&bytes),
                Ok(Decoded::Trailers(fields)) => trailers = fields,
                Ok(Decoded::End) => result = Ok(true),
                Ok(Decoded::NeedMore) => break,
                Err(error) => result = Err(error),
            }
        }
    }
    (result, data, trailers, buffer.to_vec())
}

fn described(head: &RequestHead) -> String {
    format!("{:?} {:?} {} {} {}", head.head, head.body, head.keep_alive, head.expects_continue, head.upgrade)
}

fn described_response(head: &ResponseHead) -> String {
    format!("{:?} {:?} {}", head.head, head.body, head.keep_alive)
}

fn cut(bytes: &[u8], place: usize) -> impl Iterator<Item = &[u8]> {
    let (one, other) = bytes.split_at(place);
    [one, other].into_iter()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..Default::default() })]

    /// Accepts what the reference accepts, as the same request, and nothing else.
    #[test]
    fn a_request_is_read_as_the_reference_reads_it(bytes in messages::request()) {
        let expected = reference::request(&bytes);
        let (result, length) = request_in([&bytes[..]].into_iter());
        let found = result.ok().flatten().map(|head| Message {
            line: [
                head.head.method.as_str().as_bytes().to_vec(),
                target_of(&head, &expected),
                format!("{:?}", head.head.version).into_bytes(),
            ],
            fields: grouped(&pairs(&head.head.headers)),
            body: head.body,
            keep_alive: head.keep_alive,
            length,
        });
        let expected = expected.map(|message| Message { fields: grouped(&message.fields), ..message });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_response_is_read_as_the_reference_reads_it((bytes, method) in messages::response()) {
        let (result, length) = response_in([&bytes[..]].into_iter(), &method.parse().unwrap());
        let found = result.ok().flatten().map(|head| Message {
            line: [
                format!("{:?}", head.head.version).into_bytes(),
                head.head.status.as_str().as_bytes().to_vec(),
                Vec::new(),
            ],
            fields: grouped(&pairs(&head.head.headers)),
            body: head.body,
            keep_alive: head.keep_alive,
            length,
        });
        let expected = reference::response(&bytes, method);
        let expected = expected.map(|message| Message { fields: grouped(&message.fields), ..message });
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn chunks_are_read_as_the_reference_reads_them(bytes in messages::chunked()) {
        let (result, data, trailers, left) = body_in(Framing::Chunked, [&bytes[..]].into_iter());
        let found = (result == Ok(true)).then(|| (data, grouped(&pairs(&trailers)), bytes.len() - left.len()));
        let expected = reference::chunked(&bytes).map(|(data, trailers, length)| {
            let stays = |field: &&(String, Vec<u8>)| !DROPPED.contains(&field.0.as_str());
            let trailers: Vec<_> = trailers.iter().filter(stays).cloned().collect();
            (data, grouped(&trailers), length)
        });
        prop_assert_eq!(found, expected);
    }

    /// Cut at every byte, and given byte by byte: the same result, at the same byte.
    #[test]
    fn pieces_of_a_request_are_read_as_the_whole(bytes in messages::request()) {
        let read = |outcome: Outcome<RequestHead, _>| (outcome.0.map(|head| head.as_ref().map(described)), outcome.1);
        let whole = read(request_in([&bytes[..]].into_iter()));
        for place in 0..=bytes.len() {
            prop_assert_eq!(&read(request_in(cut(&bytes, place))), &whole, "cut at {}", place);
        }
        prop_assert_eq!(read(request_in(bytes.chunks(1))), whole);
    }

    #[test]
    fn pieces_of_a_response_are_read_as_the_whole((bytes, method) in messages::response()) {
        let method = method.parse().unwrap();
        let read =
            |outcome: Outcome<ResponseHead, _>| (outcome.0.map(|head| head.as_ref().map(described_response)), outcome.1);
        let whole = read(response_in([&bytes[..]].into_iter(), &method));
        for place in 0..=bytes.len() {
            prop_assert_eq!(&read(response_in(cut(&bytes, place), &method)), &whole, "cut at {}", place);
        }
        prop_assert_eq!(read(response_in(bytes.chunks(1), &method)), whole);
    }

    #[test]
    fn pieces_of_a_body_are_read_as_the_whole(bytes in messages::chunked(), length in 0_u64..40) {
        for framing in [Framing::Chunked, Framing::Length(length), Framing::UntilClose] {
            let whole = body_in(framing, [&bytes[..]].into_iter());
            for place in 0..=bytes.len() {
                let pieces = body_in(framing, cut(&bytes, place));
                prop_assert_eq!((&pieces.0, &pieces.1, &pieces.2), (&whole.0, &whole.1, &whole.2), "cut at {}", place);
            }
            let bytewise = body_in(framing, bytes.chunks(1));
            prop_assert_eq!((bytewise.0, bytewise.1, bytewise.2), (whole.0, whole.1, whole.2));
        }
    }

    /// What is written says what was read, but for the fields of the connection that it came by.
    #[test]
    fn a_request_survives_being_written(bytes in messages::request()) {
        let Ok(Some(head)) = request_in([&bytes[..]].into_iter()).0 else { return Ok(()) };
        let mut out = BytesMut::new();
        encode_request(&head.head, head.body, None, &mut out);
        let again = RequestParser::new(HeadLimits::default()).parse(&mut out).unwrap().unwrap();
        prop_assert!(out.is_empty());
        prop_assert_eq!(&again.head.method, &head.head.method);
        let target = |head: &RequestHead| match head.head.uri.path_and_query() {
            Some(target) => format!("{}?{:?}", head.head.uri.path(), target.query()),
            None => head.head.uri.to_string(),
        };
        prop_assert_eq!(target(&again), target(&head));
        let unframed = head.body == Framing::Empty && head.head.method == Method::POST;
        prop_assert_eq!(again.body, if unframed { Framing::Length(0) } else { head.body });
        prop_assert_eq!(end_to_end(&again.head.headers), end_to_end(&head.head.headers));
        prop_assert_eq!(&again.head.headers["host"], &head.head.headers["host"]);
    }

    #[test]
    fn a_response_survives_being_written((bytes, method) in messages::response()) {
        let method: Method = method.parse().unwrap();
        let Ok(Some(head)) = response_in([&bytes[..]].into_iter(), &method).0 else { return Ok(()) };
        let connection = if head.keep_alive { Connection::KeepAlive } else { Connection::Close };
        let mut out = BytesMut::new();
        encode_response(&head.head, head.body, connection, head.head.version, &mut out);
        let again = ResponseParser::new(HeadLimits::default()).parse(&mut out, &method).unwrap().unwrap();
        prop_assert!(out.is_empty());
        prop_assert_eq!(again.head.status, head.head.status);
        prop_assert_eq!(again.body, head.body);
        prop_assert_eq!(again.keep_alive, head.keep_alive);
        prop_assert_eq!(end_to_end(&again.head.headers), end_to_end(&head.head.headers));
    }

    #[test]
    fn chunks_survive_being_written(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6)) {
        let mut out = BytesMut::new();
        for chunk in &chunks {
            chunk_head(chunk.len(), &mut out);
            out.extend_from_slice(chunk);
            out.extend_from_slice(CHUNK_END);
        }
        last_chunk(None, &mut out);
        let (result, data, trailers, left) = body_in(Framing::Chunked, [&out[..]].into_iter());
        prop_assert_eq!((result, data, left), (Ok(true), chunks.concat(), Vec::new()));
        prop_assert!(trailers.is_empty());
    }

    /// Whatever passes here, httparse reads as the same head: method, target, version, fields and length.
    #[test]
    fn httparse_takes_what_passes(bytes in messages::request()) {
        let (Ok(Some(head)), length) = request_in([&bytes[..]].into_iter()) else { return Ok(()) };
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut other = httparse::Request::new(&mut fields);
        let parsed = other.parse(&bytes);
        prop_assert_eq!(parsed, Ok(httparse::Status::Complete(length)));
        prop_assert_eq!(other.method, Some(head.head.method.as_str()));
        let minor = u8::from(head.head.version == http::Version::HTTP_11);
        prop_assert_eq!(other.version, Some(minor));
        let target = other.path.and_then(|target| target.parse::<http::Uri>().ok());
        // Of OPTIONS without a path, ours is `*` (RFC 9112 §3.2.4).
        if head.head.uri.path() != "*" {
            prop_assert_eq!(target, Some(head.head.uri));
        }
        let theirs: Vec<_> =
            other.headers.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.trim_ascii().to_vec())).collect();
        prop_assert_eq!(grouped(&theirs), grouped(&pairs(&head.head.headers)));
    }

    #[test]
    fn noise_is_never_taken_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!matches!(request_in([&bytes[..]].into_iter()).0, Ok(Some(_))));
        prop_assert!(!matches!(response_in([&bytes[..]].into_iter(), &Method::GET).0, Ok(Some(_))));
    }
}

/// The target as it came, which `Uri` normalises in absolute-form: taken from the reference, if both mean the same.
fn target_of(head: &RequestHead, expected: &Option<Message>) -> Vec<u8> {
    let ours = head.head.uri.to_string();
    let theirs = expected.as_ref().map(|message| &message.line[1]);
    match theirs.and_then(|target| http::Uri::try_from(&target[..]).ok()) {
        Some(uri) if uri.scheme().is_some() && head.head.uri.path() == "*" => theirs.unwrap().clone(),
        Some(uri) if uri == head.head.uri => theirs.unwrap().clone(),
        _ => ours.into_bytes(),
    }
}

/// The fields that a hop leaves alone, those of one name in their order, several cookies joined.
fn end_to_end(headers: &HeaderMap) -> FieldList {
    const HOP: [&str; 7] = [
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "content-length",
        "transfer-encoding",
    ];
    let mut fields = grouped(&pairs(headers));
    fields.retain(|(name, _)| !HOP.contains(&name.as_str()));
    let cookies: Vec<Vec<u8>> =
        fields.extract_if(.., |(name, _)| name == "cookie").map(|(_, value)| value).collect();
    fields.push(("cookie".to_owned(), cookies.join(&b"; "[..])));
    fields
}

/// The properties say little of generators that are nearly always wrong, or never.
#[test]
fn generated_messages_are_often_valid_and_often_not() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut valid = [0; 3];
    for _ in 0..1000 {
        let mut draw = |place: usize, is_valid: bool| valid[place] += u32::from(is_valid);
        let request = messages::request().new_tree(&mut runner).unwrap().current();
        draw(0, reference::request(&request).is_some());
        let (response, method) = messages::response().new_tree(&mut runner).unwrap().current();
        draw(1, reference::response(&response, method).is_some());
        draw(2, reference::chunked(&messages::chunked().new_tree(&mut runner).unwrap().current()).is_some());
    }
    assert!(valid.iter().all(|count| (200..800).contains(count)), "{valid:?}");
}
