//! Configurations as `translate` would make them, ports that are held free, and a proxy that serves one.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use ir::{
    Action, BackendChoice, BackendTarget, Bind, BindId, ClientSettings, ConnectionLimit, Endpoint,
    EndpointAddress, Gateway, HttpMatch, HttpRule, Listener, ListenerId, Protocol, RouteTimeouts, RuleEntry,
    RuleId, SocketKey, Tls, Transport, Upstream, UpstreamId, UpstreamProtocol, UpstreamSettings, VirtualHost,
};
use proxy::{Options, Proxy, access_log::Sink};
use socket2::{Domain, Socket, Type};

/// Long enough that only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A loopback port that nobody else is given while this lives: bound, shareable, never listening.
pub struct ReservedPort {
    address: SocketAddr,
    _socket: Socket,
}

impl ReservedPort {
    pub fn new() -> Self {
        Self::at(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    pub fn at(address: IpAddr) -> Self {
        let wanted = SocketAddr::new(address, 0);
        let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&wanted.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, _socket: socket }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn key(&self) -> SocketKey {
        key(self.address)
    }
}

pub fn key(address: SocketAddr) -> SocketKey {
    SocketKey { transport: Transport::Tcp, address: address.ip(), port: address.port() }
}

pub fn gateway(binds: Vec<Bind>) -> Gateway {
    Gateway { binds, ..Gateway::default() }
}

/// A clear-text bind with one listener for any host, which forwards everything to `backend`.
pub fn http(name: &str, socket: SocketKey, client: ClientSettings, backend: Option<SocketAddr>) -> Bind {
    let client = Arc::new(client);
    let listener = listener(name, None, None, &client, backend);
    Bind {
        id: bind_id(name),
        sockets: vec![socket],
        protocol: Protocol::Http,
        client,
        listeners: vec![listener],
    }
}

/// A TLS bind with one listener per hostname.
pub fn https(name: &str, socket: SocketKey, listeners: Vec<Arc<Listener>>) -> Bind {
    let client = Arc::clone(&listeners[0].client);
    Bind { id: bind_id(name), sockets: vec![socket], protocol: Protocol::Https, client, listeners }
}

pub fn bind_id(name: &str) -> BindId {
    BindId(format!("default/{name}").into())
}

pub fn listener(
    name: &str,
    hostname: Option<&str>,
    tls: Option<Tls>,
    client: &Arc<ClientSettings>,
    backend: Option<SocketAddr>,
) -> Arc<Listener> {
    Arc::new(Listener {
        id: ListenerId(format!("default/eg/{name}").into()),
        hostname: hostname.map(|name| name.parse().unwrap()),
        tls,
        client: Arc::clone(client),
        hosts: backend.map(virtual_host).into_iter().collect(),
        connection: None,
        policies: ir::PolicyNames::default(),
        broken: false,
    })
}

fn virtual_host(backend: SocketAddr) -> VirtualHost {
    let upstream = Upstream {
        id: UpstreamId(format!("backend-{backend}").into()),
        name: format!("Service default/backend-{}", backend.port()).into(),
        endpoints: vec![Endpoint { address: EndpointAddress::Ip(backend) }],
        protocol: UpstreamProtocol::Http1,
        tls: None,
        settings: UpstreamSettings::default(),
    };
    let rule = HttpRule {
        id: RuleId { route: "default/all".into(), index: 0, name: None },
        filters: Box::default(),
        action: Action::Forward(vec![BackendChoice {
            weight: 1,
            filters: Box::default(),
            target: BackendTarget::Upstream(Arc::new(upstream)),
        }]),
        timeouts: RouteTimeouts::default(),
    };
    let entry = RuleEntry { matches: HttpMatch::default(), rule: Arc::new(rule) };
    VirtualHost { hostname: None, entries: vec![entry] }
}

pub fn limit(value: u64) -> ClientSettings {
    let mut client = ClientSettings::default();
    client.connection.limit = Some(ConnectionLimit { value, close_delay: None });
    client
}

/// A proxy with two workers and no access log.
pub fn start() -> Proxy {
    start_with(Options { workers: Some(2), access_log: Sink::Off, ..Options::default() })
}

pub fn start_with(options: Options) -> Proxy {
    Proxy::start(options).unwrap()
}

/// Puts a configuration in force; every socket must be bound.
pub fn publish(proxy: &mut Proxy, gateway: Gateway) {
    let prepared = proxy.prepare(Arc::new(gateway), proxy.generation() + 1);
    for (_, key, outcome) in prepared.bind_outcomes() {
        assert!(outcome.is_ok(), "{key}: {outcome:?}");
    }
    let failed = proxy.publish(prepared);
    assert!(failed.is_empty(), "{failed:?}");
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits for a condition that other threads bring about.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// True if a new connection is reset, be it before `connect` has returned.
pub fn is_refused(address: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(mut stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            is_reset(&mut stream)
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
            true
        }
    }
}

/// True if the peer resets the connection before it sends a byte.
pub fn is_reset(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(0) => false,
        Ok(_) => panic!("a byte where none was expected"),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
            true
        }
    }
}
