//! Connections in the kernel's count: once each, however they end, and whoever has accepted them.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use bpf::{Hook, Kernel};
use e2e::{dial::reset_on_close, netns::GATEWAY, wait};

use crate::site::{BOTH, PATIENCE, Site, connect, limits, shared};

fn start(site: &Site) -> Kernel {
    let mut kernel = site.start(&[Hook::Xdp]).expect("the kernel half works here");
    kernel.tighten(&shared(&BOTH, None)).expect("rows are added");
    kernel
}

const CLIENTS: usize = 10;
const EACH: usize = 1_000;

#[test]
fn ten_thousand_connections_that_end_in_every_way_leave_nothing() {
    let Some(site) = Site::open() else { return };
    let kernel = start(&site);
    let servers = BOTH.map(|address| site.listen(address));
    let opened: usize = thread::scope(|scope| {
        let client = |number: usize| {
            let client = &site.wire.client;
            scope.spawn(move || {
                client.enter();
                (0..EACH).filter(|n| end_somehow(number + n)).count()
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).sum()
    });
    assert!(opened > CLIENTS * EACH * 9 / 10, "{opened} opened: the test itself works");
    site.counted(&kernel, "all", 0);
    let held: Vec<TcpStream> =
        (0..200).map(|n| site.connect(BOTH[n % 2], wait::DEADLINE).expect("there is room")).collect();
    site.counted(&kernel, "all", 200);
    drop(held);
    site.counted(&kernel, "all", 0);
    drop(servers);
}

/// Opens a connection and ends it; true if it was opened.
fn end_somehow(n: usize) -> bool {
    let Ok(mut stream) = connect(BOTH[n % 2], wait::DEADLINE) else { return false };
    match n / 2 % 6 {
        0 => {}
        1 => reset_on_close(&stream),
        2 => {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0]);
        }
        3 => {
            let _ = stream.write_all(b"r");
            let _ = stream.read(&mut [0]);
        }
        4 => {
            let _ = stream.write_all(b"data in flight");
            reset_on_close(&stream);
        }
        _ => {
            let _ = stream.write_all(b"data");
        }
    }
    true
}

#[test]
fn connections_that_nobody_accepts_count_until_their_listener_closes() {
    let Some(site) = Site::open() else { return };
    let kernel = start(&site);
    let listener = site.backlog(GATEWAY);
    let open = |count: usize| -> Vec<TcpStream> {
        (0..count).map(|_| site.connect(GATEWAY, PATIENCE).expect("there is room")).collect()
    };
    let (kept, half, reset) = (open(50), open(20), open(30));
    site.counted(&kernel, "all", 100);
    for stream in &half {
        stream.shutdown(Shutdown::Write).expect("it is connected");
    }
    reset.iter().for_each(reset_on_close);
    drop(reset);
    // What the client has half closed is ours to serve still.
    site.counted(&kernel, "all", 70);
    drop(listener);
    site.counted(&kernel, "all", 0);
    drop((kept, half));
}

#[test]
fn what_is_no_listener_of_ours_is_not_counted() {
    let Some(site) = Site::open() else { return };
    let mut kernel = site.start(&[Hook::Xdp]).expect("the kernel half works here");
    kernel.tighten(&limits(&[BOTH[1]], None)).expect("rows are added");
    let servers = BOTH.map(|address| site.listen(address));
    let streams = BOTH.map(|address| site.connect(address, PATIENCE).expect("there is room"));
    site.counted(&kernel, BOTH[1], 1);
    assert_eq!(kernel.counters().open_connections().len(), 1, "one row, one quota");
    // The same address and port in another namespace is another listener.
    let elsewhere = e2e::netns::Netns::new("other");
    elsewhere.ip(&format!("address add {}/64 dev lo nodad", BOTH[1]));
    let strangers = elsewhere.run(|| {
        let listener = std::net::TcpListener::bind(crate::site::at(BOTH[1])).expect("the address is free");
        let streams =
            [connect(BOTH[1], PATIENCE), connect(BOTH[1], PATIENCE)].map(|s| s.expect("a loopback"));
        (listener, streams)
    });
    site.counted(&kernel, BOTH[1], 1);
    drop((streams, strangers));
    site.counted(&kernel, BOTH[1], 0);
    drop(servers);
}
