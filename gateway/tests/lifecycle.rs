use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixDatagram,
    process::Stdio,
};

use nix::sys::signal::Signal;

use crate::{
    backend::Backend,
    harness::{DEADLINE, Gateway, Place, free_port, gateway_manifest, route_manifest, stderr},
};

#[test]
fn what_keeps_it_from_starting_is_said() {
    let place = Place::new();
    let run = |change: &[&str]| {
        let output = place.command().args(change).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = output.expect("the binary is built");
        (output.status.code(), stderr(&output))
    };
    let (code, text) = run(&["--admin", "192.0.2.1:1"]);
    assert!(code == Some(1) && text.contains("not on loopback"), "{code:?} {text}");
    let (code, text) = run(&["--admin", "nonsense"]);
    assert!(code == Some(2) && text.contains("--admin"), "{code:?} {text}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let (code, text) = run(&["--admin", &taken.local_addr().expect("bound").to_string()]);
    assert!(code == Some(1) && text.contains("choose another with --admin"), "{code:?} {text}");
    fs::remove_dir(place.config("")).expect("removed");
    let (code, text) = run(&[]);
    assert!(code == Some(1) && text.contains("configuration directory"), "{code:?} {text}");
}

#[test]
fn a_second_instance_is_refused() {
    let place = Place::new();
    let gateway = Gateway::start(&place);
    let output = place.command().args(["--admin", "127.0.0.1:0"]).output().expect("the binary is built");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&gateway.id().to_string()), "{}", stderr(&output));
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::new();
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a free path");
    socket.set_read_timeout(Some(DEADLINE)).expect("set");
    let receive = || {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut gateway = Gateway::start_with(&place, |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert!(receive().starts_with("READY=1\nSTATUS="));
    gateway.signal(Signal::SIGHUP);
    let reloading = receive();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(receive().starts_with("READY=1\n"));
    gateway.signal(Signal::SIGTERM);
    assert!(receive().starts_with("STOPPING=1\n"));
    assert!(gateway.wait().success());
}

fn slow_request(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("set");
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: a.test\r\n\r\n").expect("sent");
    stream
}

#[test]
fn sigterm_lets_a_request_finish() {
    let (place, backend, port) = (Place::new(), Backend::start("a"), free_port());
    place.write("a.yaml", &gateway_manifest(port));
    place.write("b.yaml", &route_manifest("a", "/", backend.port));
    let mut gateway = Gateway::start(&place);
    let mut stream = slow_request(port);
    let go = backend.slow.recv_timeout(DEADLINE).expect("the request arrives");
    gateway.signal(Signal::SIGTERM);
    crate::harness::until("it stops listening", || {
        TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err().then_some(())
    });
    go.send(()).expect("the backend waits");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("an answer and an end");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("\r\n\r\na"), "{reply}");
    assert!(gateway.wait().success());
}

#[test]
fn a_second_signal_cuts() {
    let (place, backend, port) = (Place::new(), Backend::start("a"), free_port());
    place.write("a.yaml", &gateway_manifest(port));
    place.write("b.yaml", &route_manifest("a", "/", backend.port));
    let mut gateway = Gateway::start(&place);
    let _stream = slow_request(port);
    let _go = backend.slow.recv_timeout(DEADLINE).expect("the request arrives");
    gateway.signal(Signal::SIGINT);
    crate::harness::until("it drains", || gateway.log().contains("stopping").then_some(()));
    gateway.signal(Signal::SIGINT);
    assert!(!gateway.wait().success());
}
