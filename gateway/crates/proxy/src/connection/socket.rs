use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::{
    metrics::ListenerMetrics,
    slots::{Passes, Slot},
    worker::Worker,
};

/// An accepted connection's descriptor, with what it holds as long as it is open. The fields drop in this
/// order: the descriptor is closed before its slots are free, so that a limit counts open descriptors.
pub(crate) struct Socket {
    stream: TcpStream,
    _open: Option<Open>,
    _listener: Option<Slot>,
    passes: Option<Box<Passes>>,
    _global: Slot,
    _descriptor: Descriptor,
    unread: BytesMut,
}

/// Keeps `gateway_connections_open` of a listener.
struct Open(Arc<ListenerMetrics>);

/// Keeps a worker's count of accepted descriptors, and wakes who waits for one.
struct Descriptor(Rc<Worker>);

impl Socket {
    /// Wraps an accepted stream that holds its slot of the global cap.
    pub(crate) fn new(stream: TcpStream, global: Slot, worker: Rc<Worker>) -> Self {
        worker.descriptor_opened();
        Self {
            stream,
            _open: None,
            _listener: None,
            passes: None,
            _global: global,
            _descriptor: Descriptor(worker),
            unread: BytesMut::new(),
        }
    }

    /// The connection has its listener: holds the listener's slot and is counted there.
    pub(crate) fn belongs_to(&mut self, slot: Slot, metrics: &Arc<ListenerMetrics>) {
        metrics.opened();
        self._open = Some(Open(Arc::clone(metrics)));
        self._listener = Some(slot);
    }

    /// True once [`Socket::belongs_to`] was called.
    pub(crate) fn has_listener(&self) -> bool {
        self._listener.is_some()
    }

    /// True: a dry run has let the connection through.
    pub(crate) fn is_waved_through(&self) -> bool {
        self.passes.as_ref().is_some_and(|passes| passes.waved_through)
    }

    /// What the connection has taken of its listener's connection policy.
    pub(crate) fn passes(&mut self) -> &mut Passes {
        self.passes.get_or_insert_default()
    }

    /// The connection is refused and held: it is no listener's any more, and takes the place of a held one in place
    /// of one that is served.
    pub(crate) fn hold(&mut self, held: Slot) {
        self._open = None;
        self._listener = None;
        self.passes = None;
        self._global = held;
        self.unread = BytesMut::new();
    }

    /// Reads and forgets until the client closes. A client that sends more than [`DISCARDED`] is not read on, so that
    /// it costs no more than that.
    pub(crate) async fn discard(&mut self) {
        let mut scratch = BytesMut::new();
        let mut left = DISCARDED;
        while left > 0 {
            match self.fill(&mut scratch).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
            scratch.clear();
        }
        std::future::pending().await
    }

    /// Waits for bytes without holding a buffer, then reads some. `Ok(0)`: the client has closed.
    pub(crate) async fn fill(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            buffer.reserve(READ_SIZE);
            match self.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Puts bytes back: they are read again first.
    pub(crate) fn unread(&mut self, bytes: BytesMut) {
        debug_assert!(self.unread.is_empty(), "bytes are put back once");
        self.unread = bytes;
    }

    /// Makes closing send a reset and forget what is queued.
    pub(crate) fn reset_on_close(&self) {
        reset_on_close(&self.stream);
    }
}

/// What a protocol driver speaks through: a socket, or TLS over one.
pub(crate) trait ClientIo: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Makes closing send a reset and forget what is queued.
    fn reset_on_close(&self);
}

impl ClientIo for Socket {
    fn reset_on_close(&self) {
        Socket::reset_on_close(self);
    }
}

impl ClientIo for TlsStream<Socket> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

/// What a refused client may send while it is held.
const DISCARDED: usize = 64 << 10;

/// What a first read may take: more than a usual request head or ClientHello.
const READ_SIZE: usize = 8 << 10;

/// Makes closing a socket send a reset. Where the option cannot be set, closing is orderly instead.
pub(crate) fn reset_on_close(socket: &impl std::os::fd::AsFd) {
    if let Err(error) = SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot arrange for a reset");
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let len = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..len]);
        self.unread.advance(len);
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed();
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.0.descriptor_closed();
    }
}
