use std::{io, rc::Rc, time::Duration};

use bytes::BytesMut;
use ir::Protocol;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{Known, Socket, TlsInfo, admit, preface::Preface};
use crate::{
    cohort::Cohort,
    refusal::Refusal,
    snapshot::Scope,
    sources::{Source, Tlvs},
    worker::Worker,
};

/// How long PROXY header, handshake and preface may take together.
const PHASE: Duration = Duration::from_secs(10);

/// What a client gets to send its first byte when it was accepted from the queue of a listener that drains.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A connection that is ready for its first request.
pub(super) struct Established {
    pub(super) ready: Ready,
    /// Bytes already read and not consumed.
    pub(super) buffered: BytesMut,
    pub(super) source: Source,
    /// Of the PROXY header.
    pub(super) tlvs: Option<Tlvs>,
    pub(super) tls: Option<TlsInfo>,
    pub(super) cohort: Rc<Cohort>,
}

/// What the connection turned out to speak.
pub(super) enum Ready {
    Http1(Socket),
    Http2(Socket),
    TlsHttp1(TlsStream<Socket>),
    TlsHttp2(TlsStream<Socket>),
}

/// A connection that was closed before its first request, with what was known of it by then.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) scope: Scope,
    pub(super) source: Source,
    /// Its socket, where a limit or a policy has refused it, which may have a wish how it ends.
    pub(super) turned_away: Option<Socket>,
}

/// Takes a connection from accept to its first request. `None`: the client closed, or stayed idle, before
/// any byte, which is nobody's fault.
pub(super) async fn establish(
    worker: &Rc<Worker>,
    cohort: &Rc<Cohort>,
    scope: Scope,
    mut socket: Socket,
    mut source: Source,
) -> Result<Option<Established>, Refused> {
    let deadline = Instant::now() + PHASE;
    let mut buffered = BytesMut::new();
    let mut tlvs = None;
    if let Some(settings) = scope.bind().client.proxy_protocol {
        let header = crate::sources::read_header(&mut socket, &mut buffered, &scope, source.peer, settings);
        match timeout_at(deadline, header).await.unwrap_or(Err(Refusal::Timeout)) {
            Ok(introduction) => (source.proxied, tlvs) = (introduction.proxied, introduction.tlvs),
            // It is counted below, and what is seen here is the reset that it was ended with.
            Err(Refusal::Aborted) if worker.carry.below.has_refused(&source) => return Ok(None),
            Err(refusal) => return Err(Refused { refusal, scope, source, turned_away: None }),
        }
        if let Err(refusal) = worker.carry.below.check(&source) {
            return Err(Refused { refusal, scope, source, turned_away: None });
        }
        if socket.has_listener()
            && let Err(refusal) = admit(worker, &mut socket, &scope, &source, Known::Source)
        {
            return Err(Refused { refusal, scope, source, turned_away: Some(socket) });
        }
    }
    let established = match scope.bind().protocol {
        Protocol::Http => clear_text(cohort, scope, socket, buffered, source, deadline).await?,
        Protocol::Https => {
            let mut phase = Handshake { worker, cohort, scope, source, turned_away: None };
            match timeout_at(deadline, phase.run(socket, buffered)).await.unwrap_or(Err(Refusal::Timeout)) {
                Ok(established) => Some(established),
                Err(refusal) => {
                    let Handshake { scope, turned_away, .. } = phase;
                    return Err(Refused { refusal, scope, source, turned_away });
                }
            }
        }
    };
    Ok(established.map(|established| Established { tlvs, ..established }))
}

async fn clear_text(
    cohort: &Rc<Cohort>,
    scope: Scope,
    mut socket: Socket,
    mut buffered: BytesMut,
    source: Source,
    deadline: Instant,
) -> Result<Option<Established>, Refused> {
    // Without a PROXY header before it, the first byte may take as long as any other first byte of a request.
    let client = scope.client();
    let until = match client.proxy_protocol {
        Some(_) => Some(deadline),
        None => client.timeouts.idle.and_then(|idle| Instant::now().checked_add(idle)),
    };
    if buffered.is_empty() {
        // An idle connection keeps no snapshot alive.
        drop(scope);
        if !first_bytes(cohort, &mut socket, &mut buffered, until).await {
            return Ok(None);
        }
    }
    let deadline = deadline.max(Instant::now() + PHASE);
    let http2 = timeout_at(deadline, is_http2(&mut socket, &mut buffered)).await;
    let ready = match http2 {
        Ok(Ok(true)) => Ready::Http2(socket),
        Ok(Ok(false)) => Ready::Http1(socket),
        Ok(Err(_)) => return Err(ended(cohort, source, Refusal::Aborted)),
        Err(_) => return Err(ended(cohort, source, Refusal::Timeout)),
    };
    Ok(Some(Established { ready, buffered, source, tlvs: None, tls: None, cohort: Rc::clone(cohort) }))
}

/// A clear-text connection that has come to nothing.
fn ended(cohort: &Cohort, source: Source, refusal: Refusal) -> Refused {
    Refused { refusal, scope: cohort.scope(), source, turned_away: None }
}

/// Waits for a client's first bytes, at most `until` (`None`: as long as it takes). False: there will be none.
async fn first_bytes(
    cohort: &Cohort,
    socket: &mut Socket,
    buffer: &mut BytesMut,
    until: Option<Instant>,
) -> bool {
    let too_long = async {
        match until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    let last_call = async {
        cohort.dismissed().await;
        sleep(LAST_CALL).await;
    };
    tokio::select! {
        biased;
        read = socket.fill(buffer) => matches!(read, Ok(1..)),
        () = too_long => false,
        () = last_call => false,
    }
}

/// Reads on until the bytes are the preface of HTTP/2 or are not.
async fn is_http2(socket: &mut Socket, buffer: &mut BytesMut) -> io::Result<bool> {
    loop {
        match Preface::of(buffer) {
            Preface::Http1 => return Ok(false),
            Preface::Http2 => return Ok(true),
            Preface::Partial => {
                if socket.fill(buffer).await? == 0 {
                    // `PRI` and no more is for HTTP/1 to refuse.
                    return Ok(false);
                }
            }
        }
    }
}

/// TLS from ClientHello to the protocol inside.
struct Handshake<'a> {
    worker: &'a Rc<Worker>,
    cohort: &'a Rc<Cohort>,
    /// Gains its listener with the SNI.
    scope: Scope,
    source: Source,
    /// Where a limit or a policy has refused the connection: its socket.
    turned_away: Option<Socket>,
}

impl Handshake<'_> {
    async fn run(&mut self, mut socket: Socket, buffered: BytesMut) -> Result<Established, Refusal> {
        socket.unread(buffered);
        let mut acceptor = std::pin::pin!(LazyConfigAcceptor::new(Default::default(), socket));
        let mut start = acceptor.as_mut().await.map_err(|error| classify(&error, Refusal::TlsMalformed))?;
        let hello = start.client_hello();
        let sni: Option<Box<str>> = hello.server_name().map(|name| name.to_ascii_lowercase().into());
        match self.scope.at_host(sni.as_deref()) {
            Some(scope) => self.scope = scope,
            None => {
                // Nothing can be done if even the alert cannot be sent.
                let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
                return Err(Refusal::TlsNoListener);
            }
        }
        let listener = self.scope.listener_or_first();
        let config = listener.tls.as_ref().and_then(|tls| tls.config_for(hello.alpn()));
        let config = config.ok_or(Refusal::TlsIncompatible)?;
        if !start.io.has_listener()
            && let Err(refusal) = admit(self.worker, &mut start.io, &self.scope, &self.source, Known::Both)
        {
            self.turned_away = Some(start.io);
            return Err(refusal);
        }
        let io = start.into_stream(config).await.map_err(|error| classify(&error, Refusal::TlsHandshake))?;
        let is_http2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
        let version = io.get_ref().1.protocol_version();
        let cohort = self.worker.join(self.cohort, &self.scope);
        // Inside TLS, HTTP/2 is agreed on by ALPN and by nothing else (RFC 9113 §3.2).
        let ready = if is_http2 { Ready::TlsHttp2(io) } else { Ready::TlsHttp1(io) };
        let tls = Some(TlsInfo { sni, version });
        Ok(Established { ready, buffered: BytesMut::new(), source: self.source, tlvs: None, tls, cohort })
    }
}

/// A fatal alert `unrecognized_name` in a record of its own, in the clear: nothing is encrypted before
/// ServerHello. Source: RFC 6066 §3, RFC 8446 §6.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Finds out why a handshake ended. `otherwise` is what an unlisted error of the client's comes to.
fn classify(error: &io::Error, otherwise: Refusal) -> Refusal {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::PeerIncompatible(_)) => Refusal::TlsIncompatible,
        Some(rustls::Error::InvalidMessage(_)) => Refusal::TlsMalformed,
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Refusal::TlsClientCertificate
        }
        Some(_) => otherwise,
        None => Refusal::Aborted,
    }
}
