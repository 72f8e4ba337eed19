use std::{
    io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout_at},
};

use tokio_rustls::client::TlsStream;

use crate::{carry::UpstreamState, error::ProxyError, metrics::UpstreamMetrics, snapshot::Upstream};

/// A stream to an endpoint.
pub(crate) enum UpstreamIo {
    /// To an address.
    Tcp(TcpStream),
    /// To a Unix socket.
    Unix(UnixStream),
    /// To either, in TLS. In a box, since most are not.
    Tls(Box<TlsStream<UpstreamIo>>),
}

/// Where one attempt goes: what an endpoint comes to once its name is resolved.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Address(SocketAddr),
    Path(&'a Path),
}

/// A place among the connections of an upstream, held as long as the connection.
pub(super) struct Place {
    /// Not held strongly: an upstream that no snapshot names is forgotten while its last connections end.
    state: Weak<UpstreamState>,
    metrics: Option<Arc<UpstreamMetrics>>,
}

impl Place {
    /// Takes a place, unless as many as the circuit breaker allows are taken.
    pub(super) fn take(upstream: &Upstream) -> Result<Self, ProxyError> {
        let place = Self { state: Arc::downgrade(&upstream.state), metrics: None };
        let before = upstream.state.connections.fetch_add(1, Ordering::Relaxed);
        if before >= u64::from(upstream.config.settings.max_connections) {
            return Err(ProxyError::Overflow);
        }
        Ok(place)
    }

    fn is_open(&mut self, upstream: &Upstream) {
        upstream.metrics.opened();
        self.metrics = Some(Arc::clone(&upstream.metrics));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(state) = self.state.upgrade() {
            state.connections.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(metrics) = &self.metrics {
            metrics.closed();
        }
    }
}

/// Opens a connection, TLS included, within the upstream's connect timeout.
pub(super) async fn connect(
    upstream: &Upstream,
    target: Target<'_>,
) -> Result<(UpstreamIo, Place), ProxyError> {
    let mut place = Place::take(upstream)?;
    let until = Instant::now() + upstream.config.settings.connect_timeout;
    let dialled = timeout_at(until, dial(target)).await;
    let io = match dialled.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
        Ok(io) => io,
        Err(error) => {
            tracing::debug!(upstream = %upstream.config.name, ?target, %error, "cannot connect");
            return Err(ProxyError::Connect);
        }
    };
    place.is_open(upstream);
    let io = match &upstream.tls {
        None => io,
        Some(tls) => tls.shake(io, until, upstream, target).await?,
    };
    Ok((io, place))
}

async fn dial(target: Target<'_>) -> io::Result<UpstreamIo> {
    match target {
        Target::Address(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(UpstreamIo::Tcp(stream))
        }
        Target::Path(path) => Ok(UpstreamIo::Unix(UnixStream::connect(path).await?)),
    }
}

impl UpstreamIo {
    /// True if the other side has closed or sent something, as far as the runtime has heard. Costs no system
    /// call while it has heard nothing.
    pub(super) fn is_stale(&mut self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Tls(stream) => {
                // What TLS sends for itself (tickets, keys) is taken in, and is no reason to close.
                let mut cx = Context::from_waker(Waker::noop());
                return Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_ready();
            }
        };
        !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => true,
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Neither kind of socket holds bytes back.
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
