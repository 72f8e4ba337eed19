//! Who connects: connections of every kind, and some that stay.

use std::{
    io::Write,
    net::{Shutdown, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use e2e::{
    dial,
    http::Connection,
    netns::{GATEWAY, GATEWAY6, Netns},
    wait,
};

use super::{CONNECTIONS, LISTENERS, books::Listener};
use crate::cafe::PORT;

const CLIENTS: usize = 8;

/// Who connects, each with the source in the headers that it sends; both families in turn.
pub const SOURCES: [(&str, &str); 6] = [
    ("198.51.100.10", "203.0.113.10"),
    ("2001:db8:1::1", "2001:db8:7::1"),
    ("198.51.100.11", "203.0.113.21"),
    ("2001:db8:1::11", "2001:db8:7::11"),
    (UNTRUSTED, "203.0.113.22"),
    ("2001:db8:1::12", "2001:db8:7::12"),
];
/// It may not send a header.
const UNTRUSTED: &str = "198.51.100.17";
/// Of each source, on each listener that is there all along.
pub const HELD: usize = 3;

/// Opens and ends connections of every kind; `meanwhile` is called again and again until they are through, and so often
/// at least. How many were opened.
pub fn hammer(client: &Netns, listeners: &[Listener], least: usize, mut meanwhile: impl FnMut()) -> usize {
    let [left, opened, rounds] = [CLIENTS, 0, 0].map(AtomicUsize::new);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (left, opened, rounds) = (&left, &opened, &rounds);
            scope.spawn(move || {
                client.enter();
                let goes_on =
                    |n: &usize| *n < CONNECTIONS / CLIENTS || rounds.load(Ordering::Relaxed) < least;
                for n in (0..).take_while(goes_on) {
                    let listener = listeners[n / 16 % listeners.len()];
                    if end_somehow(number + n, listener) {
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                }
                left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while left.load(Ordering::Relaxed) > 0 {
            meanwhile();
            rounds.fetch_add(1, Ordering::Relaxed);
        }
    });
    opened.into_inner()
}

fn to(source: &str, port: u16) -> SocketAddr {
    let gateway = if source.contains(':') { GATEWAY6 } else { GATEWAY };
    SocketAddr::new(gateway.parse().expect("an address"), port)
}

/// What a connection to that listener begins with.
fn header(behind: &str, listener: Listener) -> String {
    let family = if behind.contains(':') { "TCP6" } else { "TCP4" };
    let header = format!("PROXY {family} {behind} {behind} 12345 443\r\n");
    if listener.is_proxied { header } else { String::new() }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: cafe.example.com\r\n\r\n";

/// Opens a connection and ends it; true if it was opened. Every source ends some in every way, at each port.
fn end_somehow(n: usize, listener: Listener) -> bool {
    let (source, behind) = SOURCES[(n + n / 48 * 2) % SOURCES.len()];
    let Ok(mut stream) = dial::from(source, to(source, listener.port), Duration::from_millis(50)) else {
        return false;
    };
    let header = header(behind, listener);
    let mut say = |text: &str| {
        let _ = stream.write_all((header.clone() + text).as_bytes());
    };
    let way = match n / 2 % 8 {
        // A program has refused it by its header: it would wait until it sends that once more.
        5.. if listener.is_proxied && source == UNTRUSTED => 6,
        way => way,
    };
    match way {
        0 => say(""),
        1 => {
            say("");
            dial::reset_on_close(&stream);
        }
        2 => {
            say("");
            let _ = stream.shutdown(Shutdown::Write);
        }
        3 => {
            say(GET);
            dial::reset_on_close(&stream);
        }
        4 => say("GET / HT"),
        5 => {
            say("\0\r\n\r\n");
            let _ = Connection::from(stream).rest();
        }
        6 => {
            say(GET);
            let _ = stream.shutdown(Shutdown::Write);
        }
        _ => {
            say(GET);
            let _ = Connection::from(stream).response();
        }
    }
    true
}

/// Opens a connection of a source to a process that does not accept, and leaves it to its fate.
pub fn leave_in_the_backlog(n: usize) {
    let (source, _) = SOURCES[n % SOURCES.len()];
    let stream = dial::from(source, to(source, PORT), Duration::from_millis(50));
    if let (Ok(stream), true) = (stream, (n / 2).is_multiple_of(3)) {
        dial::reset_on_close(&stream);
    }
}

/// Those who may connect to a listener.
pub fn sources(listener: Listener) -> impl Iterator<Item = (&'static str, &'static str)> {
    SOURCES.into_iter().filter(move |(source, _)| !listener.is_proxied || *source != UNTRUSTED)
}

/// Begins connections of every source that may have them, with these bytes.
pub fn begin(client: &Netns, listener: Listener, bytes: &str) -> Vec<Connection> {
    let begun = |(source, behind): (&str, &str)| {
        let to = to(source, listener.port);
        let stream = client.run(|| dial::from(source, to, wait::DEADLINE)).expect("below the limit");
        let mut connection = Connection::from(stream);
        connection.send((header(behind, listener) + bytes).as_bytes()).expect("it is open");
        connection
    };
    (0..HELD).flat_map(|_| sources(listener).map(begun)).collect()
}

/// Each has an answer that it waits for.
pub fn are_answered(connections: &mut [Connection]) {
    for connection in connections {
        assert_eq!(connection.response().expect("served").status, 200);
    }
}

/// Connections that are open for as long as they are wanted.
pub fn hold(client: &Netns) -> Vec<Connection> {
    let all = [LISTENERS[0], LISTENERS[2]];
    let mut held: Vec<Connection> =
        all.into_iter().flat_map(|listener| begin(client, listener, GET)).collect();
    are_answered(&mut held);
    held
}
