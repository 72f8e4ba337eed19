//! TLS to backends: who they must be, what they are told, and what becomes of a request where they are not.

use std::{io::Write, net::TcpStream, sync::Arc};

use ir::{
    AccessLogFormat, Action, Authorities, BackendTarget, CertifiedKey, ClientSettings, SubjectAltName,
    Upstream, UpstreamProtocol, UpstreamTls,
};
use proxy::{Options, Proxy, access_log::Sink};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use serde_json::Value;
use std::sync::mpsc::{Receiver, channel};

use crate::{backend::*, configure::*, h2_backend::echo_head, rules::*, script::*, trust::*};

/// The certificate of a backend that must have been asked for as `b.test`.
#[derive(Debug)]
struct Named(SingleCertAndKey);

impl ResolvesServerCert for Named {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        (hello.server_name() == Some("b.test")).then(|| ResolvesServerCert::resolve(&self.0, hello))?
    }
}

/// TLS of a backend, which asks for certificates of these authorities.
fn server(
    own: &CertifiedKey,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&Authorities>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let roots = Arc::clone(authorities.rustls());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let own = SingleCertAndKey::from(rustls::sign::CertifiedKey::clone(own.rustls()));
    let mut config = builder.with_cert_resolver(Arc::new(Named(own)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Answers every request with what was agreed on.
fn speak(config: &Arc<ServerConfig>, stream: TcpStream) {
    let mut secured = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
    while let Some(head) = read_head(&mut secured) {
        let alpn = String::from_utf8(secured.conn.alpn_protocol().unwrap_or_default().to_vec()).unwrap();
        let shown = secured.conn.peer_certificates().map_or(0, <[_]>::len);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nx-alpn: {alpn}\r\nx-shown: {shown}\r\ncontent-length: {}\r\n\r\n{head}",
            head.len()
        );
        if secured.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn backend(config: Arc<ServerConfig>) -> Script {
    Script::start(move |stream, _| speak(&config, stream))
}

/// What is asked of a backend that is `b.test`.
fn wanted(authorities: Authorities) -> UpstreamTls {
    UpstreamTls {
        server_name: "b.test".parse().unwrap(),
        authorities: authorities.into(),
        names: Vec::new(),
        client_certificate: None,
    }
}

fn action(backend: &Script, tls: UpstreamTls, protocol: UpstreamProtocol) -> Action {
    let BackendTarget::Upstream(plain) = upstream(vec![backend.address]) else { panic!("an upstream") };
    let target = Upstream { tls: Some(tls.into()), protocol, ..Upstream::clone(&plain) };
    Action::Forward(vec![choice(1, BackendTarget::Upstream(target.into()))])
}

/// A proxy of one worker before a backend in TLS, and its access log.
fn before(backend: &Script, tls: UpstreamTls) -> (Proxy, ReservedPort, Receiver<String>) {
    let (sender, lines) = channel();
    let mut proxy =
        start_with(Options { workers: Some(1), access_log: Sink::Channel(sender), ..Options::default() });
    let port = ReservedPort::new();
    let rule = rule("all", Vec::new(), action(backend, tls, UpstreamProtocol::Http1));
    let hosts = vec![host(None, vec![(prefix("/"), rule)])];
    let mut config = gateway(vec![bind(port.key(), ClientSettings::default(), hosts)]);
    config.appliance.log_format = AccessLogFormat::Json;
    publish(&mut proxy, config);
    (proxy, port, lines)
}

/// Asks once of a backend that must be what is wanted: what was answered, and what the log says of it.
fn asked(backend: &Script, tls: UpstreamTls) -> (Answer, Value) {
    let (_proxy, port, lines) = before(backend, tls);
    let answer = get(port.address(), "/");
    (answer, serde_json::from_str(&lines.recv_timeout(PATIENCE).unwrap()).unwrap())
}

fn assert_refused(backend: &Script, tls: UpstreamTls, why: &str) {
    let (answer, line) = asked(backend, tls);
    assert_eq!((answer.status, line["flags"].as_str()), (502, Some("UF")), "{line}");
    let detail = line["detail"].as_str().unwrap();
    assert_eq!(detail, format!("the TLS handshake with the backend failed: {why}"));
}

#[test]
fn a_backend_is_asked_for_by_its_name_and_its_connection_is_used_again() {
    let authority = Authority::new();
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let backend = backend(server(&authority.signs(&["b.test"]), versions, None));
        let (_proxy, port, _lines) = before(&backend, wanted(authority.trusted()));
        for _ in 0..5 {
            let answer = get(port.address(), "/");
            assert_eq!((answer.status, answer.field("x-alpn")), (200, Some("http/1.1")));
            assert_eq!((answer.sent("host"), answer.field("x-shown")), (Some("a.test"), Some("0")));
        }
        assert_eq!(backend.accepted(), 1);
    }
}

#[test]
fn large_bodies_go_both_ways() {
    let authority = Authority::new();
    let config = server(&authority.signs(&["b.test"]), BOTH, None);
    let backend = Script::start(move |stream, _| {
        let mut secured = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        read_head(&mut secured).unwrap();
        let body = read_exactly(&mut secured, 1 << 20);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        secured.write_all(head.as_bytes()).unwrap();
        secured.write_all(&body).unwrap();
        let _ = read_head(&mut secured);
    });
    let (_proxy, port, _lines) = before(&backend, wanted(authority.trusted()));
    let mut stream = connect(port.address());
    let body: String = (0..1 << 17).map(|number| format!("{number:08}")).collect();
    let head = format!(
        "PUT / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let answer = read_answer(stream);
    assert!(answer.status == 200 && answer.body == body);
}

#[test]
fn a_backend_of_another_name_or_authority_gets_no_request() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let named = |name: &str, by: &Authority| backend(server(&by.signs(&[name]), BOTH, None));
    let another = "its certificate is for another name";
    assert_refused(&named("c.test", &ours), wanted(ours.trusted()), another);
    assert_refused(&named("*.b.test", &ours), wanted(ours.trusted()), another);
    let mut unknown = wanted(ours.trusted());
    unknown.server_name = "c.test".parse().unwrap();
    let reason = "it ends it with an alert";
    assert_refused(&named("b.test", &ours), unknown, reason);
    let untrusted = "its certificate is of no authority that is trusted here";
    assert_refused(&named("b.test", &foreign), wanted(ours.trusted()), untrusted);
    // Both authorities have one subject, and each is tried.
    let (answer, _) = asked(&named("b.test", &foreign), wanted(ours.trusted().with(&foreign.trusted())));
    assert_eq!(answer.status, 200);
    let wildcard = named("*.c.test", &ours);
    let names = vec![SubjectAltName::Hostname("d.c.test".parse().unwrap())];
    assert_eq!(asked(&wildcard, UpstreamTls { names, ..wanted(ours.trusted()) }).0.status, 200);
}

#[test]
fn names_of_its_own_are_looked_for_in_the_place_of_the_one_that_is_asked_for() {
    let authority = Authority::new();
    let backend = backend(server(&authority.signs(&["leaf.c.test", "spiffe://c.test/leaf"]), BOTH, None));
    let uri = |uri: &str| SubjectAltName::Uri(uri.into());
    let dns = |name: &str| SubjectAltName::Hostname(name.parse().unwrap());
    let with =
        |names: &[SubjectAltName]| UpstreamTls { names: names.to_vec(), ..wanted(authority.trusted()) };
    for names in [
        &[uri("spiffe://c.test/leaf")][..],
        &[dns("leaf.c.test")],
        &[dns("*.c.test")],
        &[dns("b.test"), uri("spiffe://other.test/"), uri("spiffe://c.test/leaf")],
    ] {
        assert_eq!(asked(&backend, with(names)).0.status, 200, "{names:?}");
    }
    for names in [
        &[][..],
        &[dns("b.test")],
        &[dns("c.test")],
        &[dns("*.leaf.c.test")],
        &[uri("spiffe://c.test/Leaf")],
        &[uri("spiffe://c.test/leaf/")],
        &[uri("spiffe://d.test/leaf"), dns("d.test")],
    ] {
        assert_refused(&backend, with(names), "its certificate is for another name");
    }
}

#[test]
fn a_backend_that_asks_is_shown_the_gateways_own_certificate() {
    let (authority, clients, foreign) = (Authority::new(), Authority::new(), Authority::new());
    let showing = |own: Option<Arc<CertifiedKey>>| UpstreamTls {
        client_certificate: own,
        ..wanted(authority.trusted())
    };
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let config = server(&authority.signs(&["b.test"]), versions, Some(&clients.trusted()));
        let backend = backend(config);
        let (answer, _) = asked(&backend, showing(Some(clients.signs(&["gateway.test"]))));
        assert_eq!((answer.status, answer.field("x-shown")), (200, Some("1")));
        for own in [None, Some(foreign.signs(&["gateway.test"]))] {
            // TLS 1.3 knows of it after the handshake only.
            let (answer, line) = asked(&backend, showing(own));
            assert_eq!((answer.status, line["flags"].as_str()), (502, Some("UF")), "{line}");
        }
    }
}

#[test]
fn a_backend_in_the_clear_is_not_spoken_to() {
    let authority = Authority::new();
    let closing = Script::start(|_, _| {});
    assert_refused(&closing, wanted(authority.trusted()), "it closes the connection");
    let loud = Script::start(|mut stream, _| {
        stream.write_all(b"220 smtp.b.test\r\n").unwrap();
        let _ = read_head(&mut stream);
    });
    assert_refused(&loud, wanted(authority.trusted()), "it does not speak TLS");
}

#[test]
fn another_protocol_is_switched_to_in_tls() {
    let authority = Authority::new();
    let config = server(&authority.signs(&["b.test"]), BOTH, None);
    let backend = Script::start(move |stream, _| {
        let mut secured = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        read_head(&mut secured).unwrap();
        secured
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            )
            .unwrap();
        let bytes = read_exactly(&mut secured, 5);
        secured.write_all(&bytes).unwrap();
        let _ = read_head(&mut secured);
    });
    let (_proxy, port, _lines) = before(&backend, wanted(authority.trusted()));
    let mut stream = connect(port.address());
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream.write_all(b"hello").unwrap();
    assert_eq!(read_exactly(&mut stream, 5), b"hello");
}

#[test]
fn http_2_is_agreed_on_in_tls() {
    let authority = Authority::new();
    let config = server(&authority.signs(&["b.test"]), BOTH, None);
    let shared = Arc::clone(&config);
    let backend = Script::start(move |stream, _| {
        stream.set_nonblocking(true).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&shared));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let Ok(secured) = acceptor.accept(stream).await else { return };
            assert_eq!(secured.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let mut connection = h2::server::handshake(secured).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                echo_head(&request, &mut respond);
            }
        });
    });
    let mut proxy = start();
    let mut silent = ServerConfig::clone(&config);
    silent.alpn_protocols.clear();
    let silent = self::backend(silent.into());
    let to_silent = action(&silent, wanted(authority.trusted()), UpstreamProtocol::H2c);
    let action = action(&backend, wanted(authority.trusted()), UpstreamProtocol::H2c);
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), action))])];
    let (port, _) = serve(&mut proxy, ClientSettings::default(), hosts);
    let answer = get(port.address(), "/path?query");
    assert_eq!((answer.status, answer.field("x-uri")), (200, Some("https://a.test/path?query")));

    let foreign = Authority::new();
    for refused in [action_for(&backend, &foreign), to_silent] {
        let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), refused))])];
        let (port, _) = serve(&mut proxy, ClientSettings::default(), hosts);
        assert_eq!(get(port.address(), "/").status, 502);
    }
}

fn action_for(backend: &Script, authority: &Authority) -> Action {
    let Action::Forward(mut choices) = action(backend, wanted(authority.trusted()), UpstreamProtocol::H2c)
    else {
        panic!("it forwards")
    };
    if let BackendTarget::Upstream(upstream) = &mut choices[0].target {
        Arc::make_mut(upstream).id = ir::UpstreamId("another".into());
    }
    Action::Forward(choices)
}
