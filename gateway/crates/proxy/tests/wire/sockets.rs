//! What accepted sockets are set to, and what happens when descriptors run out.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::fd::{BorrowedFd, RawFd},
    time::Duration,
};

use ir::{ClientSettings, TcpKeepalive};
use proxy::{Options, access_log::Sink};
use socket2::SockRef;

use crate::{backend::*, configure::*, rules::*, script::*};

/// Runs a closure on the proxy's end of a connection: the socket of this process whose peer is the client's.
fn at_the_other_end<T>(client: &TcpStream, look: impl Fn(SockRef<'_>) -> T) -> Option<T> {
    let local = client.local_addr().unwrap();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        // SAFETY: the descriptor is only asked, and one that was closed meanwhile answers with an error. That it is
        // another's by then would be found in its peer.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = SockRef::from(&fd);
        let peer = socket.peer_addr().ok().and_then(|address| address.as_socket());
        if peer == Some(local) {
            return Some(look(socket));
        }
    }
    None
}

#[test]
fn keepalive_is_what_the_policy_says() {
    let mut proxy = start();
    let (with, without) = (ReservedPort::new(), ReservedPort::new());
    let keepalive = TcpKeepalive {
        probes: Some(3),
        idle_time: Some("61s".parse().unwrap()),
        interval: Some("11s".parse().unwrap()),
    };
    let client = ClientSettings { tcp_keepalive: Some(keepalive), ..ClientSettings::default() };
    publish(
        &mut proxy,
        gateway(vec![
            http("with", with.key(), client, None),
            http("without", without.key(), ClientSettings::default(), None),
        ]),
    );
    let (kept, plain) = (connect(with.address()), connect(without.address()));
    eventually("both are past accept", || proxy.open_connections() == 2);
    let seen = at_the_other_end(&kept, |socket| {
        (
            socket.keepalive().unwrap(),
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_interval().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
        )
    });
    assert_eq!(seen, Some((true, Duration::from_secs(61), Duration::from_secs(11), 3)));
    assert_eq!(at_the_other_end(&plain, |socket| socket.keepalive().unwrap()), Some(false));
}

#[test]
fn accepting_pauses_where_descriptors_would_run_out_and_nobody_is_refused() {
    let mut proxy = start_with(Options { workers: Some(1), access_log: Sink::Off, descriptor_cap: Some(2) });
    let echo = Echo::start("echo");
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), to(echo.address)))])];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), hosts);
    let mut held = vec![connect(address), connect(address)];
    eventually("both are past accept", || proxy.open_connections() == 2);
    let mut waiting = connect(address);
    waiting.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    // Those that are served go on, and the one that waits is not.
    for stream in &mut held {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert!(read_head(stream).unwrap().starts_with("HTTP/1.1 200 "));
    }
    assert_eq!((proxy.open_connections(), echo.answered()), (2, 2));
    held.pop();
    assert!(read_head(&mut waiting).unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(echo.answered(), 3);
}
