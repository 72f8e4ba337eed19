//! A stream of requests is cut at the same places by hyper: nobody can smuggle one past us to such a backend.

use std::{cell::RefCell, convert::Infallible};

use ::bytes::BytesMut;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::{prelude::*, sample::select};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::*,
    properties::{grouped, pairs},
    reference::FieldList,
};

/// Method, target, fields and data of a request.
type Seen = (String, String, FieldList, Vec<u8>);

fn seen(head: &http::request::Parts, data: Vec<u8>) -> Seen {
    (head.method.to_string(), head.uri.to_string(), grouped(&pairs(&head.headers)), data)
}

/// What this codec makes of a stream: all requests up to its end, or to the last of the connection.
fn ours(stream: &[u8]) -> Vec<Seen> {
    let mut parser = RequestParser::new(HeadLimits::default());
    let mut buffer = BytesMut::from(stream);
    let mut all = Vec::new();
    loop {
        let Some(head) = parser.parse(&mut buffer).unwrap() else { return all };
        let mut decoder = BodyDecoder::new(head.body);
        let mut data = Vec::new();
        loop {
            match decoder.decode(&mut buffer).unwrap() {
                Decoded::Data(bytes) => data.extend_from_slice(&bytes),
                Decoded::Trailers(_) => {}
                Decoded::End => break,
                Decoded::NeedMore => panic!("the stream ends within a body"),
            }
        }
        all.push(seen(&head.head, data));
        if !head.keep_alive {
            return all;
        }
    }
}

/// What hyper makes of it.
fn hypers(stream: &[u8]) -> Vec<Seen> {
    let all = RefCell::new(Vec::new());
    let service = service_fn(async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let data = body.collect().await.expect("hyper reads the body").to_bytes();
        all.borrow_mut().push(seen(&head, data.to_vec()));
        let mut response = Response::new(Empty::<::bytes::Bytes>::new());
        // Not 200, after which CONNECT would be a tunnel.
        *response.status_mut() = StatusCode::NOT_FOUND;
        Ok::<_, Infallible>(response)
    });
    let (client, server) = tokio::io::duplex(1 << 20);
    let (mut answers, mut requests) = tokio::io::split(client);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let serve = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
        let send = async {
            requests.write_all(stream).await.unwrap();
            requests.shutdown().await.unwrap();
        };
        let mut rest = Vec::new();
        // A close with bytes unread, after the last request, may end either side in an error.
        let _ = tokio::join!(serve, send, answers.read_to_end(&mut rest));
    });
    all.into_inner()
}

fn one() -> impl Strategy<Value = Vec<u8>> {
    let line = select(&["GET /", "POST /a?b=c", "HEAD //x", "OPTIONS *", "PUT http://x/y", "X-1 /{}|"][..]);
    let end = prop_oneof![6 => Just("1.1\r\n"), 1 => Just("1.0\r\nconnection: keep-alive\r\n"), 1 => Just("1.0\r\n")];
    let field = select(
        &[
            "",
            "X-A: 1\r\n",
            "x-a:\t2 \r\n",
            "Connection: close\r\n",
            "connection: x, Keep-Alive\r\n",
            "cookie: \u{fc}\r\n",
        ][..],
    );
    // Data that looks like a request is what smuggling hides.
    let data = prop_oneof![
        Just(b"GET /smuggled HTTP/1.1\r\nhost: y\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let chunk_end = select(&["\r\n", ";a=b\r\n", ";\"0\"\t \r\n"][..]);
    let last = select(&["0\r\n\r\n", "000;x\r\n\r\n", "0\r\nx-sum: 1\r\nhost: y\r\n\r\n"][..]);
    (line, end, field, select(&["none", "length", "chunks"][..]), data, chunk_end, last).prop_map(
        |(line, end, field, framing, data, chunk_end, last)| {
            let mut bytes = format!("{line} HTTP/{end}Host: x\r\n{field}").into_bytes();
            match framing {
                "chunks" if !end.starts_with("1.0") => {
                    bytes.extend_from_slice(b"Transfer-Encoding: Chunked\r\n\r\n");
                    for chunk in data.chunks(7) {
                        bytes.extend_from_slice(format!("0{:X}{chunk_end}", chunk.len()).as_bytes());
                        bytes.extend_from_slice(chunk);
                        bytes.extend_from_slice(b"\r\n");
                    }
                    bytes.extend_from_slice(last.as_bytes());
                }
                "length" => {
                    bytes.extend_from_slice(format!("Content-Length: 0{}\r\n\r\n", data.len()).as_bytes());
                    bytes.extend_from_slice(&data);
                }
                _ => bytes.extend_from_slice(b"\r\n"),
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..Default::default() })]

    #[test]
    fn hyper_cuts_a_stream_at_the_same_places(requests in prop::collection::vec(one(), 1..5)) {
        let stream = requests.concat();
        prop_assert_eq!(hypers(&stream), ours(&stream));
    }
}
