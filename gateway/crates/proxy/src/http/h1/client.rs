use std::{
    cell::RefCell,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    codec::{BodyDecoder, Decoded, Framing, encode_informational},
    fill,
    outbox::Outbox,
};
use crate::body::{BodyError, Polled};

/// Bytes of a request that are read ahead while another is being answered.
const READ_AHEAD: usize = 16 << 10;

/// How long a client that has ended its side is waited for: one that is gone says the same, until it is written
/// to.
pub(super) const HALF_CLOSED: Duration = Duration::from_secs(2);

/// A client's connection: its bytes in both directions, and the body that is being read from it.
pub(super) struct Client<IO>(RefCell<State<IO>>);

pub(super) struct State<IO> {
    pub(super) io: IO,
    /// Read and not yet consumed.
    pub(super) read: BytesMut,
    /// On its way out.
    pub(super) outbox: Outbox,
    decoder: BodyDecoder,
    /// Bytes of the body that are still to come, if its header says.
    left: Option<u64>,
    asked: Asked,
    buffer_limit: usize,
    /// When the client ended its side, if it has.
    ended: Option<Instant>,
}

/// How it stands with 100 (Continue), for which a client may wait (RFC 9110 §10.1.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The client does not wait, or no longer.
    Done,
    /// It waits to be asked.
    Owed,
    /// The question is on its way.
    Sending,
}

/// The body of a request, as whom it was given to reads it.
pub(crate) trait RequestReader {
    /// The next piece. Asking is what makes the client send, where it waits to be asked.
    fn poll_next(&self, cx: &mut Context<'_>) -> Polled;

    /// Bytes that are still to come, if the header says.
    fn length(&self) -> Option<u64>;
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    /// A connection with bytes that are read already.
    pub(super) fn new(io: IO, read: BytesMut) -> Rc<Self> {
        Rc::new(Self(RefCell::new(State {
            io,
            read,
            outbox: Outbox::default(),
            decoder: BodyDecoder::new(Framing::Empty),
            left: Some(0),
            asked: Asked::Done,
            buffer_limit: READ_AHEAD,
            ended: None,
        })))
    }

    /// The connection, between two polls of whoever reads a body from it.
    pub(super) fn state(&self) -> std::cell::RefMut<'_, State<IO>> {
        self.0.borrow_mut()
    }

    /// A body of this framing follows.
    pub(super) fn begin_body(&self, framing: Framing, expects_continue: bool, buffer_limit: usize) {
        let mut state = self.state();
        state.decoder = BodyDecoder::new(framing);
        state.left = match framing {
            Framing::Empty => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        state.asked = if expects_continue && framing != Framing::Empty { Asked::Owed } else { Asked::Done };
        state.buffer_limit = buffer_limit;
    }

    /// True once the body was read to its end.
    pub(super) fn body_is_ended(&self) -> bool {
        self.state().decoder.is_end()
    }

    /// Waits for the client to go away, while nothing is to be read from it; what it sends meanwhile is kept. A
    /// client that has ended its side may only have ended its side: it is gone for sure by
    /// [`Client::gone_by`].
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let State { io, read, decoder, ended, .. } = &mut *self.state();
        while ended.is_none() && decoder.is_end() && read.len() < READ_AHEAD {
            match ready!(fill::poll_some(io, read, cx)) {
                Ok(1..) => {}
                Ok(0) => *ended = Some(Instant::now()),
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// When a client that has ended its side is no longer waited for.
    pub(super) fn gone_by(&self) -> Option<Instant> {
        self.0.borrow().ended.map(|ended| ended + HALF_CLOSED)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> State<IO> {
    /// Writes until nothing waits. `written` counts bytes that the connection took.
    pub(super) fn poll_flush(&mut self, written: &mut usize, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_flush(&mut self.io, written, cx)
    }

    /// Reads once, for nobody. `Ok(0)`: the client has closed.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.clear();
        fill::poll_some(&mut self.io, &mut self.read, cx)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Polled {
        loop {
            match self.decoder.decode(&mut self.read) {
                Ok(Decoded::Data(data)) => {
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Decoded::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::NeedMore) => {
                    ready!(self.poll_ask(cx)).map_err(|error| BodyError::Io(error.kind()))?;
                    let limit = self.buffer_limit;
                    match ready!(fill::poll_many(&mut self.io, &mut self.read, limit, cx)) {
                        Ok(1..) => {}
                        Ok(0) => return Poll::Ready(Some(Err(BodyError::Truncated))),
                        Err(error) => return Poll::Ready(Some(Err(BodyError::Io(error.kind())))),
                    }
                }
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    /// Asks for the body where the client waits for that.
    fn poll_ask(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.asked == Asked::Owed {
            encode_informational(StatusCode::CONTINUE, &HeaderMap::new(), self.outbox.buffer());
            self.asked = Asked::Sending;
        }
        if self.asked == Asked::Sending {
            ready!(self.poll_flush(&mut 0, cx))?;
            self.asked = Asked::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// A final response goes out: the client is no longer asked for its body.
    pub(super) fn forget_to_ask(&mut self) {
        self.asked = Asked::Done;
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> RequestReader for Client<IO> {
    fn poll_next(&self, cx: &mut Context<'_>) -> Polled {
        self.state().poll_body(cx)
    }

    fn length(&self) -> Option<u64> {
        self.0.borrow().left
    }
}
