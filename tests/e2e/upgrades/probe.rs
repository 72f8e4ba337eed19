//! Clients that go on while the gateway is changed beneath them.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use e2e::{http::Connection, netns, wait};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{PROXIED, TLS};

/// Where to: address and port.
pub type Address = (&'static str, u16);

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// Asks over and over, and remembers what should not have been.
#[derive(Debug)]
pub struct Probe<'a> {
    namespace: &'a str,
    stop: &'a AtomicBool,
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
    /// True: only a refused connection is a failure; what is cut is not.
    forgiving: bool,
    tls: Arc<ClientConfig>,
}

impl<'a> Probe<'a> {
    /// From a client's namespace, until it is told to stop.
    pub fn new(namespace: &'a str, stop: &'a AtomicBool) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("the provider has them").dangerous();
        let tls = config.with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
        let (answered, failures) = (AtomicUsize::new(0), Mutex::default());
        Self { namespace, stop, answered, failures, forgiving: false, tls: Arc::new(tls) }
    }

    /// Forgives what a killed process has cut, but not that a connection is refused.
    pub fn forgiving(self) -> Self {
        Self { forgiving: true, ..self }
    }

    /// Requests that were answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// What has failed.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().expect("nobody panics with it").clone()
    }

    /// A connection for each request.
    pub fn once_each(&self, address: Address) {
        netns::enter(self.namespace);
        while self.goes_on() {
            let asked = self.connect(address).and_then(|mut connection| self.ask(&mut connection));
            self.judge(address, "its own connection", asked.map(|_| ()));
        }
    }

    /// One connection for many requests, until an answer says that it was the last.
    pub fn kept_alive(&self, address: Address) {
        netns::enter(self.namespace);
        while self.goes_on() {
            let asked = self.connect(address).and_then(|mut connection| {
                while self.goes_on() && self.ask(&mut connection)? {}
                Ok(())
            });
            self.judge(address, "a kept connection", asked);
        }
    }

    /// HTTP/2 connections, four requests at a time on each, until it says that it goes.
    pub fn multiplexed(&self, address: Address) {
        netns::enter(self.namespace);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        while self.goes_on() {
            let Ok(stream) = connect(address, wait::DEADLINE) else {
                self.fail("HTTP/2: cannot connect".to_owned());
                continue;
            };
            stream.set_nonblocking(true).expect("a socket of our own");
            let served = runtime.block_on(async {
                let stream = tokio::net::TcpStream::from_std(stream).expect("a socket of our own");
                let (mut requests, connection) = h2::client::handshake(stream).await?;
                let connection = tokio::spawn(connection);
                // A connection that goes takes no further request, and answers those that it has taken.
                while self.goes_on() && poll_ready(&mut requests).await {
                    let four = (0..4).map(|_| self.stream(&mut requests)).collect::<Vec<_>>();
                    for answer in four.into_iter().flatten() {
                        match answer.await {
                            Ok(()) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
                            // On its way when the GOAWAY was: not processed, and to be asked again (RFC 9113 §6.8).
                            Err(error)
                                if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {}
                            Err(error) => return Err(error),
                        }
                    }
                }
                drop(requests);
                connection.await.expect("our own task")
            });
            self.judge(address, "HTTP/2", served.map_err(io::Error::other));
        }
    }

    /// `None`: the connection takes no more requests.
    fn stream(
        &self,
        requests: &mut h2::client::SendRequest<bytes::Bytes>,
    ) -> Option<impl Future<Output = Result<(), h2::Error>> + use<>> {
        let request = http::Request::get("http://a.test:8080/").body(()).expect("well-formed");
        let (response, _) = requests.send_request(request, true).ok()?;
        Some(async {
            let mut body = response.await?.into_body();
            while let Some(data) = body.data().await {
                let length = data?.len();
                body.flow_control().release_capacity(length)?;
            }
            Ok(())
        })
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn connect(&self, (address, port): Address) -> io::Result<Connection<Box<dyn Stream>>> {
        let stream = connect((address, port), wait::DEADLINE).map_err(|error| {
            // Before there is a connection nobody can have cut it.
            self.fail(format!("{address} {port}: cannot connect: {error}"));
            error
        })?;
        if port != TLS {
            return Ok(Connection::over(Box::new(stream)));
        }
        let name = ServerName::try_from("a.test").expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        Ok(Connection::over(Box::new(StreamOwned::new(session, stream))))
    }

    /// True: the connection may be used again.
    fn ask(&self, connection: &mut Connection<Box<dyn Stream>>) -> io::Result<bool> {
        let response = connection.get("a.test", "/")?;
        if response.status != 200 {
            return Err(io::Error::other(format!("{response:?}")));
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(response.header("connection") != Some("close"))
    }

    fn judge(&self, (address, port): Address, on: &str, asked: io::Result<()>) {
        if let Err(error) = asked
            && !self.forgiving
        {
            self.fail(format!("{address} {port}: a request on {on}: {error}"));
        }
    }

    fn fail(&self, failure: String) {
        self.failures.lock().expect("nobody panics with it").push(failure);
    }
}

/// Clients of a limited listener: each holds a connection for two requests. Between the first answer and the second
/// the gateway certainly counts it.
#[derive(Debug)]
pub struct Crowd<'a> {
    namespace: &'a str,
    stop: &'a AtomicBool,
    here: AtomicUsize,
    most: AtomicUsize,
    served: AtomicUsize,
}

impl<'a> Crowd<'a> {
    /// From a client's namespace, until it is told to stop.
    pub fn new(namespace: &'a str, stop: &'a AtomicBool) -> Self {
        let [here, most, served] = Default::default();
        Self { namespace, stop, here, most, served }
    }

    /// Most that were served at an instant.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// How many were served.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// Comes, is served twice or refused, and goes.
    pub fn come_and_go(&self, address: Address) {
        self.come(address, || {});
    }

    /// The same, but stays from one event to the next: where nothing is cut, the gateway counts it all the time.
    pub fn stay(&self, address: Address, events: &AtomicUsize) {
        self.come(address, || {
            let now = events.load(Ordering::SeqCst);
            wait::until("something happens", || {
                let stop = self.stop.load(Ordering::Relaxed);
                (stop || events.load(Ordering::SeqCst) > now).then_some(())
            });
        });
    }

    fn come(&self, address: Address, between: impl Fn()) {
        netns::enter(self.namespace);
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(stream) = connect(address, Duration::from_millis(500)) else { continue };
            let mut connection = Connection::from(stream);
            if introduce(&mut connection, address).is_err() {
                continue;
            }
            let mut is_served = || connection.get("a.test", "/").is_ok_and(|response| response.status == 200);
            if is_served() {
                let now = self.here.fetch_add(1, Ordering::SeqCst) + 1;
                between();
                // One whose second request fails may have been cut before, and then counts for nothing.
                if is_served() {
                    self.most.fetch_max(now.min(self.here.load(Ordering::SeqCst)), Ordering::SeqCst);
                    self.served.fetch_add(1, Ordering::SeqCst);
                }
                self.here.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

/// Says who calls, where that is asked for: the same client, whichever family it comes by.
pub fn introduce(connection: &mut Connection, (_, port): Address) -> io::Result<()> {
    const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 203.0.113.1 12345 443\r\n";
    if port == PROXIED { connection.send(HEADER) } else { Ok(()) }
}

/// False: the connection goes.
async fn poll_ready(requests: &mut h2::client::SendRequest<bytes::Bytes>) -> bool {
    std::future::poll_fn(|cx| requests.poll_ready(cx)).await.is_ok()
}

fn connect((address, port): Address, patience: Duration) -> io::Result<TcpStream> {
    let address = SocketAddr::new(address.parse().map_err(|_| ErrorKind::InvalidInput)?, port);
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(wait::DEADLINE))?;
    Ok(stream)
}

/// Believes every certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
