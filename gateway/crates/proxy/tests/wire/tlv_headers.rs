//! Request headers that are filled from the TLVs of a PROXY header, whatever the connection speaks.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
};

use ir::{
    AccessLogFormat, CipherSuites, ClientSettings, ConnectionRules, HeaderMatch, HttpMatch, Listener,
    Matcher, ProxyProtocol, ProxyTlv, RuleEntry, Tls, TlsVersion, TlvHeader, Underscores,
};
use proxy::{Options, Proxy, access_log::Sink};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::{backend::*, client::Client, configure::*, rules::*, trust::*};

/// From 203.0.113.8, of `me`, whose certificate was verified (or not), over HTTP/2, with a value of a sender's own.
fn header(verify: u8) -> Vec<u8> {
    let mut header =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x29\xcb\0\x71\x08\xc6\x33\x64\x01\xdc\x04\x01\xbb".to_vec();
    header.extend(b"\x01\0\x02h2\x20\0\x0a\x07\0\0\0");
    header.push(verify);
    header.extend(b"\x22\0\x02me\xea\0\x02\x01v\x04\0\x01.\x05\0");
    header.extend(b"\0");
    header[15] = (header.len() - 16) as u8;
    header
}

/// A port in the clear and one in TLS, that read PROXY headers and fill request headers from them.
struct Served {
    _proxy: Proxy,
    plain: ReservedPort,
    secure: ReservedPort,
    lines: Receiver<String>,
    _echoes: [Echo; 2],
}

impl Served {
    fn new() -> Self {
        let echoes = [Echo::start("all"), Echo::start("named")];
        let (sender, lines) = channel();
        let options = Options { workers: Some(1), access_log: Sink::Channel(sender), ..Options::default() };
        let mut proxy = start_with(options);
        let (plain, secure) = (ReservedPort::new(), ReservedPort::new());
        let mut client = ClientSettings {
            proxy_protocol: Some(ProxyProtocol { optional: true }),
            ..ClientSettings::default()
        };
        client.headers.underscores = Underscores::Allow;
        let client = Arc::new(client);
        let tls = Tls {
            certificates: vec![certificate("default/web", &["a.test"])],
            min: TlsVersion::V1_2,
            max: TlsVersion::V1_3,
            ciphers: CipherSuites::default(),
            alpn: vec!["h2".into(), "http/1.1".into()],
            client_validation: None,
        };
        let fill = |listener: &mut Arc<Listener>| {
            let listener = Arc::make_mut(listener);
            let header = |name: &str, tlv| TlvHeader { name: name.parse().unwrap(), tlv };
            let tlv_headers = vec![
                header("x-cn", ProxyTlv::SslCommonName),
                header("x-own", ProxyTlv::Custom(0xea)),
                header("x-unique", ProxyTlv::UniqueId),
            ];
            listener.connection = Some(ConnectionRules { tlv_headers, ..ConnectionRules::default() }.into());
            let by_name = HeaderMatch { name: "x-cn".parse().unwrap(), value: Matcher::Exact("me".into()) };
            let named = RuleEntry {
                matches: HttpMatch { headers: vec![by_name], ..HttpMatch::default() },
                rule: rule("named", Vec::new(), to(echoes[1].address)),
            };
            listener.hosts[0].entries.insert(0, named);
        };
        let mut listeners = vec![listener("tls", None, Some(tls), &client, Some(echoes[0].address))];
        listeners.iter_mut().for_each(fill);
        let mut web = http("web", plain.key(), (*client).clone(), Some(echoes[0].address));
        web.listeners.iter_mut().for_each(fill);
        let mut tls = https("tls", secure.key(), listeners);
        tls.client = client;
        let mut config = gateway(vec![web, tls]);
        config.appliance.log_format = AccessLogFormat::Json;
        config.appliance.trusted_proxy_senders = vec!["127.0.0.0/8".parse().unwrap()];
        publish(&mut proxy, config);
        Self { _proxy: proxy, plain, secure, lines, _echoes: echoes }
    }

    fn line(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }
}

/// What a client claims.
const CLAIMS: [&str; 3] = ["x-cn", "x_cn", "x-own"];

fn http1(served: &Served, tls: bool, before: &[u8]) -> String {
    let mut stream = connect(if tls { served.secure.address() } else { served.plain.address() });
    stream.write_all(before).unwrap();
    let fields = CLAIMS.map(|name| format!("{name}: spoofed"));
    let fields = fields.each_ref().map(String::as_str);
    let answer = if tls {
        let name = ServerName::try_from("a.test").unwrap();
        let connection = ClientConnection::new(Offer::alpn(&["http/1.1"]).config(), name).unwrap();
        ask_on(StreamOwned::new(connection, stream), "GET", "/", "a.test", &fields)
    } else {
        ask_on(stream, "GET", "/", "a.test", &fields)
    };
    assert_eq!(answer.status, 200, "{answer:?}");
    format!("{}\n{}", answer.field("x-backend").unwrap(), answer.body)
}

async fn http2(address: SocketAddr, tls: bool, before: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(before).await.unwrap();
    let mut client = if tls {
        let connector = TlsConnector::from(Offer::alpn(&["h2"]).config());
        let name = ServerName::try_from("a.test").unwrap();
        Client::over(connector.connect(name, stream).await.unwrap()).await
    } else {
        Client::over(stream).await
    };
    let scheme = if tls { "https" } else { "http" };
    let request = http::Request::builder().uri(format!("{scheme}://a.test/"));
    let request = CLAIMS.into_iter().fold(request, |request, name| request.header(name, "spoofed"));
    let answer = client.ask(request).await.unwrap();
    format!("{}\n{}", answer.field("x-backend").unwrap(), answer.text())
}

/// The backend, and what it was told in the headers that are filled.
fn told(answer: &str) -> Vec<&str> {
    let (backend, request) = answer.split_once('\n').unwrap();
    assert!(!request.contains("spoofed"), "{request}");
    let filled =
        |line: &&str| ["x-cn", "x_cn", "x-own", "x-unique"].iter().any(|name| line.starts_with(name));
    let mut told: Vec<&str> = request.lines().filter(filled).collect();
    told.sort_unstable();
    told.insert(0, backend);
    told
}

#[tokio::test]
async fn requests_carry_what_the_header_says_and_never_what_the_client_claims() {
    let served = Served::new();
    let table: [(Vec<u8>, &[&str], Option<&str>); 4] = [
        (header(0), &["named", "x-cn: me", "x-own: 0176"], Some("me")),
        // A certificate that is not verified names nobody.
        (header(18), &["all", "x-own: 0176"], None),
        (b"PROXY TCP4 203.0.113.8 198.51.100.1 56324 443\r\n".to_vec(), &["all"], None),
        (Vec::new(), &["all"], None),
    ];
    for (before, expected, name) in &table {
        for tls in [false, true] {
            let address = if tls { served.secure.address() } else { served.plain.address() };
            for answer in [http1(&served, tls, before), http2(address, tls, before).await] {
                assert_eq!(told(&answer), *expected, "TLS {tls}: {answer}");
                let line = served.line();
                assert_eq!(line["tlv_ssl_cn"].as_str(), *name, "{line}");
                let client = if before.is_empty() { "127.0.0.1" } else { "203.0.113.8" };
                assert_eq!(line["client"], client);
                let destination = line["destination"].as_str().map(|end| end.split(':').next().unwrap());
                assert_eq!(destination, (!before.is_empty()).then_some("198.51.100.1"), "{line}");
                assert_eq!(
                    line["local"],
                    address.to_string(),
                    "the header's destination is told, not believed"
                );
            }
        }
    }
}
