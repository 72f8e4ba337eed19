use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    process::Output,
};

use nix::sys::{prctl::set_child_subreaper, signal::Signal};

use crate::{
    backend::Backend,
    harness::{
        DEADLINE, Gateway, Place, free_port, gateway_manifest, get, route_manifest, stderr, stdout, until,
    },
};

/// A gateway that serves one route, from a binary of its own.
fn served(place: &Place, backend: &Backend) -> (Gateway, SocketAddr) {
    // Who takes over is then a child of this process, which can be waited for.
    set_child_subreaper(true).expect("Linux has it");
    let port = free_port();
    place.own_binary();
    place.write("a.yaml", &gateway_manifest(port));
    place.write("b.yaml", &route_manifest("a", "/", backend.port));
    (Gateway::start(place), SocketAddr::from(([127, 0, 0, 1], port)))
}

fn state(place: &Place, field: &str) -> u64 {
    let text = fs::read(place.path("run/state.json")).expect("it is there");
    let state: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    state[field].as_u64().expect("a number")
}

/// Upgrades, and follows the process that has taken over.
fn upgrade(place: &Place, gateway: &mut Gateway) {
    let before = gateway.pid();
    let output = place.upgrade(&[]);
    assert!(output.status.success(), "{}\n{}", stderr(&output), gateway.log());
    let text = stdout(&output);
    let pid = text.split_once("(process ").and_then(|(_, rest)| rest.split_once(')')).expect("a number").0;
    gateway.follow(pid.parse().expect("a number"));
    assert!(text.ends_with(&format!("has taken over from process {before}\n")), "{text}");
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("set");
    stream
}

#[test]
fn a_successor_takes_over_and_what_has_begun_is_finished() {
    let (place, backend) = (Place::new(), Backend::start("a"));
    let (mut gateway, address) = served(&place, &backend);
    let mut slow = connect(address);
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a.test\r\n\r\n").expect("sent");
    let go = backend.slow.recv_timeout(DEADLINE).expect("the request arrives");
    let first = gateway.pid();
    upgrade(&place, &mut gateway);
    until("the successor tells of itself", || {
        (state(&place, "pid") == u64::from(gateway.pid().as_raw().unsigned_abs())).then_some(())
    });
    let lock = fs::read_to_string(place.path("run/lock")).expect("it is there");
    assert_eq!(lock, format!("{}\n", gateway.pid()));
    assert_eq!(gateway.get("/readyz").0, 200);
    assert_eq!(gateway.metric("gateway_predecessor_connections_open"), Some(1.0));
    assert_eq!(get(address, "/"), Some((200, "a".to_owned())));
    // A reload is the successor's.
    place.write("c.yaml", &route_manifest("c", "/c", backend.port));
    assert!(place.status(&["--wait"]).status.success());
    go.send(()).expect("the backend waits");
    let mut reply = String::new();
    slow.read_to_string(&mut reply).expect("an answer and an end");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("connection: close"), "{reply}");
    assert!(gateway.wait().success(), "process {first} has nothing more to do");
    until("nothing is left of it", || {
        (gateway.metric("gateway_predecessor_connections_open") == Some(0.0)).then_some(())
    });
    upgrade(&place, &mut gateway);
    assert_eq!(get(address, "/c"), Some((200, "a".to_owned())));
    gateway.signal(Signal::SIGTERM);
    assert!(until("the last one ends", || gateway.has_ended()));
    let left = |name: &str| place.path("run").join(name).exists();
    assert!(!left("control"));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_signal_asks_for_an_upgrade_too() {
    let (place, backend) = (Place::new(), Backend::start("a"));
    let (mut gateway, address) = served(&place, &backend);
    let first = u64::from(gateway.id());
    gateway.signal(Signal::SIGUSR2);
    let pid = until("another process serves", || Some(state(&place, "pid")).filter(|pid| *pid != first));
    gateway.follow(u32::try_from(pid).expect("a process"));
    assert_eq!(get(address, "/"), Some((200, "a".to_owned())));
    assert!(gateway.wait().success(), "the first one has ended");
}

#[test]
fn the_service_manager_is_told_who_serves_and_keeps_the_sockets() {
    let (place, backend) = (Place::new(), Backend::start("a"));
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a free path");
    socket.set_read_timeout(Some(DEADLINE)).expect("set");
    // What comes with a message is closed when it is read, which is what BARRIER=1 waits for.
    let hear = || {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let hear_but_watchdog = || loop {
        let text = hear();
        if text != "WATCHDOG=1" {
            return text;
        }
    };
    let port = free_port();
    let stored = format!("FDSTORE=1\nFDNAME=127.0.0.1.{port}/TCP");
    place.own_binary();
    place.write("a.yaml", &gateway_manifest(port));
    place.write("b.yaml", &route_manifest("a", "/", backend.port));
    set_child_subreaper(true).expect("Linux has it");
    let mut gateway = Gateway::start_with(&place, |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    });
    assert_eq!(hear_but_watchdog(), stored);
    assert!(hear_but_watchdog().starts_with("READY=1\n"));
    assert_eq!(hear(), "WATCHDOG=1", "every worker answers");
    let upgraded = std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| place.upgrade(&[]));
        let main = hear_but_watchdog();
        assert_eq!(hear(), "BARRIER=1");
        let output = upgrading.join().expect("it does not panic");
        assert!(output.status.success(), "{}", stderr(&output));
        main
    });
    let pid = upgraded.strip_prefix("MAINPID=").and_then(|text| text.lines().next()).expect("who serves");
    gateway.follow(pid.parse().expect("a number"));
    assert_eq!(hear(), stored, "the first one says nothing more");
    assert!(hear().starts_with("READY=1\n"));
    assert_eq!(hear(), "WATCHDOG=1", "the successor feeds it");
    place.write("a.yaml", &gateway_manifest(free_port()));
    assert!(hear_but_watchdog().starts_with("FDSTORE=1\n"));
    let removed = format!("FDSTOREREMOVE=1\nFDNAME=127.0.0.1.{port}/TCP");
    assert_eq!(hear_but_watchdog(), removed);
    gateway.signal(Signal::SIGTERM);
    assert!(hear_but_watchdog().starts_with("STOPPING=1\n"));
    assert!(until("it ends", || gateway.has_ended()));
}

#[test]
fn a_stop_waits_for_the_connections_of_the_process_before() {
    let (place, backend) = (Place::new(), Backend::start("a"));
    let (mut gateway, address) = served(&place, &backend);
    let mut slow = connect(address);
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a.test\r\n\r\n").expect("sent");
    let go = backend.slow.recv_timeout(DEADLINE).expect("the request arrives");
    upgrade(&place, &mut gateway);
    gateway.signal(Signal::SIGTERM);
    until("it listens no more", || TcpStream::connect(address).is_err().then_some(()));
    go.send(()).expect("the backend waits");
    let mut reply = String::new();
    slow.read_to_string(&mut reply).expect("an answer and an end");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(gateway.wait().success());
    assert!(until("the successor ends after it", || gateway.has_ended()));
}

#[test]
fn a_successor_that_cannot_serve_changes_nothing_and_the_reason_is_said() {
    let (place, backend) = (Place::new(), Backend::start("a"));
    let failures = [
        ("#!/bin/sh\nexit 7\n", "30s", "exit status: 7"),
        ("#!/bin/sh\nkill -9 $$\n", "30s", "SIGKILL"),
        ("#!/bin/sh\nexec sleep 1000\n", "200ms", "not ready within 200ms"),
        ("no program at all\n", "30s", "cannot start"),
    ];
    // Long before they are used: a file that was written a moment ago may be busy.
    for (number, (text, ..)) in failures.iter().enumerate() {
        let path = place.path(&number.to_string());
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    }
    let (mut gateway, address) = served(&place, &backend);
    let (own, pid) = (place.path("gateway"), u64::from(gateway.id()));
    let mut idle = connect(address);
    let ask = |idle: &mut TcpStream| {
        idle.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").expect("sent");
        let mut answer = Vec::new();
        // The body may come apart from the head.
        while !answer.ends_with(b"\r\n\r\na") {
            let mut byte = [0];
            idle.read_exact(&mut byte).expect("an answer");
            answer.extend(byte);
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200 OK") && !answer.contains("connection: close"), "{answer}");
    };
    ask(&mut idle);
    let refused = |output: Output, why: &str| {
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("the running process goes on") && text.contains(why), "{why}: {text}");
    };
    fs::remove_file(&own).expect("removed");
    refused(place.upgrade(&[]), "cannot start");
    for (number, (_, timeout, why)) in failures.into_iter().enumerate() {
        fs::rename(place.path(&number.to_string()), &own).expect("renamed");
        refused(place.upgrade(&["--timeout", timeout]), why);
    }
    place.own_binary();
    // Its manifests are read before anything is handed over.
    fs::rename(place.config(""), place.path("away")).expect("renamed");
    refused(place.upgrade(&[]), "cannot read the configuration directory");
    fs::rename(place.path("away"), place.config("")).expect("renamed");
    assert_eq!(state(&place, "pid"), pid);
    assert_eq!(get(address, "/"), Some((200, "a".to_owned())));
    assert_eq!(gateway.get("/readyz").0, 200);
    ask(&mut idle);
    place.write("c.yaml", &route_manifest("c", "/c", backend.port));
    assert!(place.status(&["--wait"]).status.success(), "reloads go on");
    upgrade(&place, &mut gateway);
    assert_eq!(get(address, "/c"), Some((200, "a".to_owned())));
}

#[test]
fn without_a_successor_nobody_counts_so_the_predecessor_ends_with_it() {
    let (place, backend) = (Place::new(), Backend::start("a"));
    let (mut gateway, address) = served(&place, &backend);
    let mut slow = connect(address);
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a.test\r\n\r\n").expect("sent");
    let _go = backend.slow.recv_timeout(DEADLINE).expect("the request arrives");
    upgrade(&place, &mut gateway);
    let refused = place.command().args(["--admin", "127.0.0.1:0"]).output().expect("it is there");
    assert!(stderr(&refused).contains(&format!("process {}", gateway.pid())), "{}", stderr(&refused));
    gateway.signal(Signal::SIGKILL);
    assert!(!until("it is dead", || gateway.has_ended()), "it was killed");
    gateway.wait();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert_eq!(rest, b"", "the request was cut");
    let next = Gateway::start(&place);
    assert_eq!(get(address, "/"), Some((200, "a".to_owned())));
    drop(next);
}

#[test]
fn an_upgrade_without_a_gateway_is_refused() {
    let place = Place::new();
    let output = place.upgrade(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is it running, with this --runtime-dir?"), "{}", stderr(&output));
}
