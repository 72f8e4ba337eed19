//! TLS that ends at listeners: which one, with which certificate, and what is spoken inside.

use std::{io::Write, net::SocketAddr, sync::Arc};

use ir::{CertifiedKey, CipherSuites, ClientSettings, Listener, Tls, TlsVersion};
use rustls::{AlertDescription, Error, ProtocolVersion, SignatureScheme, version};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::{backend::*, client::Client, configure::*, script::*, trust::*};

fn settings(certificates: &[&Arc<CertifiedKey>]) -> Tls {
    Tls {
        certificates: certificates.iter().map(|certificate| Arc::clone(certificate)).collect(),
        min: TlsVersion::V1_2,
        max: TlsVersion::V1_3,
        ciphers: CipherSuites::default(),
        alpn: vec!["h2".into(), "http/1.1".into()],
        client_validation: None,
    }
}

fn named(name: &str, hostname: Option<&str>, tls: Tls, backend: &Echo) -> Arc<Listener> {
    listener(name, hostname, Some(tls), &Arc::new(ClientSettings::default()), Some(backend.address))
}

fn served(listeners: Vec<Arc<Listener>>) -> (proxy::Proxy, ReservedPort) {
    let (mut proxy, port) = (start(), ReservedPort::new());
    publish(&mut proxy, gateway(vec![https("web", port.key(), listeners)]));
    (proxy, port)
}

/// One listener for any name.
fn alone(tls: Tls, backend: &Echo) -> (proxy::Proxy, ReservedPort) {
    served(vec![named("web", None, tls, backend)])
}

#[test]
fn sni_chooses_the_listener_and_its_certificate() {
    let backends = ["exact", "wildcard", "narrow"].map(Echo::start);
    let certificates = [
        certificate("default/exact", &["a.test"]),
        certificate("default/wildcard", &["*.b.test"]),
        certificate("default/narrow", &["c.b.test"]),
    ];
    let hosts = ["a.test", "*.b.test", "c.b.test"];
    let listeners = (0..3)
        .map(|place| {
            named(hosts[place], Some(hosts[place]), settings(&[&certificates[place]]), &backends[place])
        })
        .collect();
    let (_proxy, port) = served(listeners);
    for (sni, place, backend) in [
        ("a.test", 0, "exact"),
        ("A.Test", 0, "exact"),
        ("x.b.test", 1, "wildcard"),
        ("y.x.b.test", 1, "wildcard"),
        ("c.b.test", 2, "narrow"),
    ] {
        let secured = Offer::default().shake(port.address(), sni).unwrap();
        assert!(was_shown(&secured, &certificates[place]), "{sni}");
        assert_eq!(ask_on(secured, "GET", "/", sni, &[]).field("x-backend"), Some(backend), "{sni}");
    }
    for unknown in ["b.test", "x.a.test", "127.0.0.1"] {
        let refused = Offer::default().shake(port.address(), unknown).map(|_| ()).unwrap_err();
        assert_eq!(refused, Error::AlertReceived(AlertDescription::UnrecognisedName), "{unknown}");
    }
}

#[test]
fn a_listener_for_any_name_takes_what_no_other_covers() {
    let (any, named_backend) = (Echo::start("any"), Echo::start("named"));
    let (default, exact) =
        (certificate("default/any", &["any.test"]), certificate("default/exact", &["a.test"]));
    let (_proxy, port) = served(vec![
        named("any", None, settings(&[&default]), &any),
        named("exact", Some("a.test"), settings(&[&exact]), &named_backend),
    ]);
    for (sni, shown, backend) in
        [("a.test", &exact, "named"), ("b.test", &default, "any"), ("127.0.0.1", &default, "any")]
    {
        let secured = Offer::default().shake(port.address(), sni).unwrap();
        assert!(was_shown(&secured, shown), "{sni}");
        assert_eq!(ask_on(secured, "GET", "/", sni, &[]).field("x-backend"), Some(backend), "{sni}");
    }
}

#[test]
fn of_several_certificates_the_one_that_fits_is_shown() {
    let echo = Echo::start("echo");
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let first = certificate("default/first", &["first.test"]);
    let exact = certificate("default/exact", &["a.b.test"]);
    let wildcard = certificate("default/wildcard", &["*.b.test"]);
    let old = signed_by("default/old", &["a.b.test"], &rsa);
    let (_proxy, port) = alone(settings(&[&first, &wildcard, &exact, &old]), &echo);
    let shown =
        |offer: &Offer, sni: &str, expected| was_shown(&offer.shake(port.address(), sni).unwrap(), expected);
    let modern = Offer::default();
    assert!(shown(&modern, "a.b.test", &exact) && shown(&modern, "x.b.test", &wildcard));
    assert!(shown(&modern, "y.x.b.test", &first) && shown(&modern, "other.test", &first));
    assert!(shown(&modern, "127.0.0.1", &first));
    // A client that verifies RSA only.
    let schemes = vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
    let rsa_only = Offer { schemes, ..Offer::default() };
    assert!(shown(&rsa_only, "a.b.test", &old));
}

#[test]
fn the_first_name_of_ours_that_the_client_offers_is_spoken() {
    let echo = Echo::start("echo");
    let certificate = certificate("default/web", &["a.test"]);
    for (ours, offered, agreed) in [
        (&["h2", "http/1.1"][..], &["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1", "h2"], &["h2", "http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&["http/1.1"], &["h2", "http/1.1"], Some("http/1.1")),
        // Without an overlap it goes on, as with Envoy, in HTTP/1.1.
        (&["h2", "http/1.1"], &[], None),
        (&["h2", "http/1.1"], &["spdy/3"], None),
        (&["h2"], &["http/1.1"], None),
        (&[], &["h2", "http/1.1"], None),
    ] {
        let tls = Tls { alpn: ours.iter().map(|name| (*name).into()).collect(), ..settings(&[&certificate]) };
        let (_proxy, port) = alone(tls, &echo);
        let secured = Offer::alpn(offered).shake(port.address(), "a.test").unwrap();
        let said = secured.conn.alpn_protocol().map(|name| std::str::from_utf8(name).unwrap());
        assert_eq!(said, agreed, "{ours:?} and {offered:?}");
        if said != Some("h2") {
            assert_eq!(ask_on(secured, "GET", "/", "a.test", &[]).sent("x-forwarded-proto"), Some("https"));
        }
    }
}

/// RFC 9113 §3.2: inside TLS, HTTP/2 is what ALPN says, and not what comes.
#[test]
fn http_2_that_was_not_agreed_on_is_refused() {
    let echo = Echo::start("echo");
    let (_proxy, port) = alone(settings(&[&certificate("default/web", &["a.test"])]), &echo);
    let mut secured = Offer::alpn(&["http/1.1"]).shake(port.address(), "a.test").unwrap();
    secured.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let answer = read_head(&mut secured).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 505 "), "{answer}");
}

async fn http2(address: SocketAddr) -> Client {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let connector = TlsConnector::from(Offer::alpn(&["h2"]).config());
    Client::over(connector.connect(name, stream).await.unwrap()).await
}

#[tokio::test]
async fn http_2_is_served_in_tls() {
    let echo = Echo::start("echo");
    let (_proxy, port) = alone(settings(&[&certificate("default/web", &["a.test"])]), &echo);
    let client = http2(port.address()).await;
    let streams = (0..50).map(|_| {
        let mut client = client.share();
        tokio::spawn(async move {
            let request = http::Request::builder().uri("https://a.test/");
            client.ask(request).await.unwrap()
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        let answer = stream.await.unwrap();
        assert!(answer.text().contains("\r\nx-forwarded-proto: https\r\n"), "{answer:?}");
    }
}

#[test]
fn versions_are_those_of_the_listener() {
    let echo = Echo::start("echo");
    let certificate = certificate("default/web", &["a.test"]);
    let only = |version| Offer { versions: vec![version], ..Offer::default() };
    let (old, new) = (only(&version::TLS12), only(&version::TLS13));
    for (min, max, takes_old, takes_new) in [
        (TlsVersion::V1_2, TlsVersion::V1_3, true, true),
        (TlsVersion::V1_2, TlsVersion::V1_2, true, false),
        (TlsVersion::V1_3, TlsVersion::V1_3, false, true),
    ] {
        let (_proxy, port) = alone(Tls { min, max, ..settings(&[&certificate]) }, &echo);
        for (offer, version, takes) in
            [(&old, ProtocolVersion::TLSv1_2, takes_old), (&new, ProtocolVersion::TLSv1_3, takes_new)]
        {
            match offer.shake(port.address(), "a.test") {
                Ok(secured) => {
                    assert!(takes && secured.conn.protocol_version() == Some(version));
                    assert_eq!(ask_on(secured, "GET", "/", "a.test", &[]).status, 200);
                }
                Err(error) => {
                    assert!(!takes, "{error}");
                    assert_eq!(error, Error::AlertReceived(AlertDescription::ProtocolVersion));
                }
            }
        }
    }
}

#[test]
fn ciphers_of_tls_1_2_are_those_of_the_listener() {
    let echo = Echo::start("echo");
    let certificate = certificate("default/web", &["a.test"]);
    let ir::CipherName::Served(suite) = CipherSuites::lookup("ECDHE-ECDSA-CHACHA20-POLY1305") else {
        panic!("served")
    };
    let tls = Tls { ciphers: CipherSuites::new(vec![suite]), ..settings(&[&certificate]) };
    let (_proxy, port) = alone(tls, &echo);
    let old = Offer { versions: vec![&version::TLS12], ..Offer::default() };
    let secured = old.shake(port.address(), "a.test").unwrap();
    assert_eq!(secured.conn.negotiated_cipher_suite(), Some(suite));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_at_once_and_connections_go_on() {
    let echo = Echo::start("echo");
    let before = certificate("default/web", &["a.test"]);
    let after = certificate("default/web", &["a.test"]);
    let (mut proxy, port) = alone(settings(&[&before]), &echo);
    let address = port.address();
    let mut kept = tokio::task::spawn_blocking(move || Offer::default().shake(address, "a.test").unwrap())
        .await
        .unwrap();
    assert!(was_shown(&kept, &before));
    let mut streams = http2(address).await;
    let request = || http::Request::builder().uri("https://a.test/");
    assert_eq!(streams.ask(request()).await.unwrap().status(), 200);

    let renewed = named("web", None, settings(&[&after]), &echo);
    publish(&mut proxy, gateway(vec![https("web", port.key(), vec![renewed])]));
    assert_eq!(streams.ask(request()).await.unwrap().status(), 200);
    kept.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
    assert!(read_head(&mut kept).unwrap().starts_with("HTTP/1.1 200 "));
    assert!(was_shown(&Offer::default().shake(address, "a.test").unwrap(), &after));

    // Other settings are another matter: what was agreed on under the old ones ends.
    let tls = Tls { min: TlsVersion::V1_3, ..settings(&[&after]) };
    let changed = named("web", None, tls, &echo);
    publish(&mut proxy, gateway(vec![https("web", port.key(), vec![changed])]));
    streams.ended.await.unwrap().unwrap();
    let old = Offer { versions: vec![&version::TLS12], ..Offer::default() };
    assert!(old.shake(address, "a.test").is_err());
}

#[test]
fn what_is_no_tls_gets_no_further() {
    let echo = Echo::start("echo");
    let (proxy, port) = alone(settings(&[&certificate("default/web", &["a.test"])]), &echo);
    let mut stream = connect(port.address());
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // An alert, or nothing, and the end.
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    eventually("it is closed", || proxy.open_connections() == 0);
    assert_eq!(echo.answered(), 0);
}

/// RFC 9110 §7.4: a client that uses a connection for all names of its certificate is told where that is wrong.
#[tokio::test]
async fn what_belongs_to_another_listener_is_misdirected() {
    let backends = ["any", "exact", "wildcard"].map(Echo::start);
    let shown = certificate("default/all", &["*.test", "*.b.test"]);
    let hosts = [None, Some("a.test"), Some("*.b.test")];
    let names = ["any", "exact", "wildcard"];
    let listeners = (0..3)
        .map(|place| named(names[place], hosts[place], settings(&[&shown]), &backends[place]))
        .collect();
    let (_proxy, port) = served(listeners);
    for (sni, host, answer) in [
        ("a.test", "a.test", Ok("exact")),
        ("a.test", "A.Test:443", Ok("exact")),
        ("a.test", "x.b.test", Err(421)),
        ("a.test", "other.test", Err(421)),
        ("x.b.test", "y.b.test", Ok("wildcard")),
        ("x.b.test", "a.test", Err(421)),
        ("other.test", "more.test", Ok("any")),
        ("other.test", "a.test", Err(421)),
    ] {
        let expected = answer.map_or_else(|status| (status, None), |name| (200, Some(name)));
        let secured = Offer::default().shake(port.address(), sni).unwrap();
        let found = ask_on(secured, "GET", "/", host, &[]);
        assert_eq!((found.status, found.field("x-backend")), expected, "HTTP/1.1 {sni} {host}");

        let stream = tokio::net::TcpStream::connect(port.address()).await.unwrap();
        let name = ServerName::try_from(sni).unwrap();
        let connector = TlsConnector::from(Offer::alpn(&["h2"]).config());
        let mut client = Client::over(connector.connect(name, stream).await.unwrap()).await;
        let request = http::Request::builder().uri(format!("https://{host}/"));
        let found = client.ask(request).await.unwrap();
        assert_eq!((found.status(), found.field("x-backend")), expected, "HTTP/2 {sni} {host}");
    }
}
