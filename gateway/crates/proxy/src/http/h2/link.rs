use std::{
    cell::{Ref, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use h2::Reason;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use super::ledger::{Flood, Ledger};
use crate::{connection::ClientIo, http::h1::fill};

/// How long, and how much, is read from a client that is told to go away while it still sends: closing on bytes
/// that were not read resets the connection, and with it what the client was told.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// A client's connection as hyper reads and writes it, and as who serves it keeps hold of it. Once a client is
/// found to flood it, reading fails.
pub(super) struct Link<IO>(Rc<RefCell<State<IO>>>);

struct State<IO> {
    io: IO,
    /// Read before, and read again first.
    unread: BytesMut,
    ledger: Ledger,
    flood: Option<Flood>,
}

impl<IO> Clone for Link<IO> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<IO: ClientIo> Link<IO> {
    /// A connection with bytes that are read already.
    pub(super) fn new(io: IO, unread: BytesMut) -> Self {
        Self(Rc::new(RefCell::new(State { io, unread, ledger: Ledger::new(), flood: None })))
    }

    /// The books, between two polls of hyper's connection.
    pub(super) fn ledger(&self) -> Ref<'_, Ledger> {
        Ref::map(self.0.borrow(), |state| &state.ledger)
    }

    /// How the client floods the connection, if it does.
    pub(super) fn flood(&self) -> Option<Flood> {
        self.0.borrow().flood
    }

    /// Makes closing send a reset and forget what is queued.
    pub(super) fn reset_on_close(&self) {
        self.0.borrow().io.reset_on_close();
    }

    /// Says goodbye, once hyper's connection is dropped: `last` goes out in a frame of its own, if no other is in
    /// the way. What the client has on its way is read for a moment, so that it can read what it was sent.
    pub(super) async fn close(self, last: Option<Reason>) {
        let Some(state) = Rc::into_inner(self.0) else { return };
        let State { mut io, ledger, .. } = state.into_inner();
        let going = async {
            if let Some(reason) = last.filter(|_| ledger.may_interject()) {
                io.write_all(&go_away(ledger.latest_stream(), reason)).await?;
                io.flush().await?;
            }
            io.shutdown().await?;
            let (mut total, mut scratch) = (0, BytesMut::new());
            while total < LINGER_BYTES {
                scratch.clear();
                match poll_fn(|cx| fill::poll_some(&mut io, &mut scratch, cx)).await? {
                    0 => break,
                    count => total += count,
                }
            }
            io::Result::Ok(())
        };
        // It is the end, whichever way it comes.
        let _ = timeout(LINGER, going).await;
    }
}

/// A GOAWAY frame (RFC 9113 §6.8).
fn go_away(latest_stream: u32, reason: Reason) -> [u8; 17] {
    let mut frame = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[9..13].copy_from_slice(&latest_stream.to_be_bytes());
    frame[13..].copy_from_slice(&u32::from(reason).to_be_bytes());
    frame
}

impl<IO: ClientIo> AsyncRead for Link<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let State { io, unread, ledger, flood } = &mut *self.0.borrow_mut();
        let before = buf.filled().len();
        if unread.is_empty() {
            ready!(Pin::new(io).poll_read(cx, buf))?;
        } else {
            let count = unread.len().min(buf.remaining());
            buf.put_slice(&unread[..count]);
            unread.advance(count);
            if unread.is_empty() {
                *unread = BytesMut::new();
            }
        }
        if let Err(found) = ledger.received(&buf.filled()[before..]) {
            *flood = Some(found);
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: ClientIo> AsyncWrite for Link<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let State { io, ledger, .. } = &mut *self.0.borrow_mut();
        let count = ready!(Pin::new(io).poll_write(cx, buf))?;
        ledger.sent(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let State { io, ledger, .. } = &mut *self.0.borrow_mut();
        let count = ready!(Pin::new(io).poll_write_vectored(cx, bufs))?;
        let mut left = count;
        for buf in bufs {
            let of_this = left.min(buf.len());
            ledger.sent(&buf[..of_this]);
            left -= of_this;
            if left == 0 {
                break;
            }
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_shutdown(cx)
    }
}
