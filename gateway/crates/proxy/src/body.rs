mod replay;
mod tee;

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

pub(crate) use self::{replay::Replay, tee::tee};
use self::{
    replay::Replayed,
    tee::{Copied, Teed},
};
use crate::{
    http::h1::{RequestReader, codec},
    upstream::{Http1Response, Http2Response, InFlight},
};

/// The body of a message, whichever protocol it comes by. What is not polled is not read.
pub(crate) enum Body {
    /// None, or no byte of one.
    Empty,
    /// One that is known whole.
    Full(Bytes),
    /// A client's.
    Request(RequestBody),
    /// A backend's, by HTTP/1. Polling it also sends what is left of the request's.
    Http1(Box<Http1Response>),
    /// A backend's, by HTTP/2.
    Http2(Http2Response),
    /// One that is copied while it is read.
    Teed(Box<Teed>),
    /// A copy of one that somebody else reads.
    Copied(Copied),
    /// A request's, which may be sent again.
    Replayed(Replayed),
}

/// A client's body, which says how far it has come.
pub(crate) struct RequestBody {
    reader: RequestReading,
    progress: Rc<Progress>,
}

enum RequestReading {
    Http1(Rc<dyn RequestReader>),
    Http2(Incoming),
}

/// How far a request has come, as its timers and its log line ask. Shared between the body, wherever it has
/// gone, and who watches the request.
#[derive(Debug)]
pub(crate) struct Progress {
    received: Cell<u64>,
    ended: Cell<bool>,
    touched: Cell<Instant>,
}

/// Why a body does not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// Bytes that are no body of the announced framing.
    #[error("malformed body: {0}")]
    Malformed(&'static str),
    /// Chunk extensions or trailers beyond what is read over.
    #[error("the chunk extensions or trailers are too large")]
    TooLarge,
    /// The sender has closed in the middle.
    #[error("the sender closed the connection in the middle of the body")]
    Truncated,
    /// The connection has failed.
    #[error("the connection failed in the middle of the body: {0}")]
    Io(io::ErrorKind),
    /// The HTTP/2 stream was reset.
    #[error("the stream was reset in the middle of the body")]
    Reset,
}

pub(crate) type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl Body {
    /// A client's body by HTTP/1.
    pub(crate) fn from_http1(reader: Rc<dyn RequestReader>, progress: &Rc<Progress>) -> Self {
        Self::Request(RequestBody { reader: RequestReading::Http1(reader), progress: Rc::clone(progress) })
    }

    /// A client's body by HTTP/2.
    pub(crate) fn from_http2(body: Incoming, progress: &Rc<Progress>) -> Self {
        if http_body::Body::is_end_stream(&body) {
            progress.end();
            return Self::Empty;
        }
        Self::Request(RequestBody { reader: RequestReading::Http2(body), progress: Rc::clone(progress) })
    }

    /// True if there is nothing to send, so that the request may be sent again as it was.
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Bytes that are still to come, if that is known ahead.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Request(body) => match &body.reader {
                RequestReading::Http1(reader) => reader.length(),
                RequestReading::Http2(incoming) => http_body::Body::size_hint(incoming).exact(),
            },
            Self::Http1(response) => response.length(),
            Self::Http2(response) => response.length(),
            Self::Teed(teed) => teed.length(),
            Self::Copied(copied) => copied.length(),
            Self::Replayed(replayed) => replayed.length(),
        }
    }

    /// A request is in flight as long as the response's body that the backend still sends.
    pub(crate) fn hold(&mut self, flight: InFlight) {
        match self {
            Self::Http1(response) => response.hold(flight),
            Self::Http2(response) => response.hold(flight),
            Self::Empty
            | Self::Full(_)
            | Self::Request(_)
            | Self::Teed(_)
            | Self::Copied(_)
            | Self::Replayed(_) => {}
        }
    }

    /// The next piece.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Request(body) => body.poll_next(cx),
            Self::Http1(response) => response.poll_next(cx),
            Self::Http2(response) => response.poll_next(cx),
            Self::Teed(teed) => teed.poll_next(cx),
            Self::Copied(copied) => copied.poll_next(cx),
            Self::Replayed(replayed) => replayed.poll_next(cx),
        }
    }

    /// True if polling does more than reading, now.
    pub(crate) fn has_beside(&self) -> bool {
        matches!(self, Self::Http1(response) if response.has_beside())
    }

    /// Goes on with what polling does beside reading: sending the request's body, while the client is not
    /// ready for more of the response's.
    pub(crate) fn poll_beside(&mut self, cx: &mut Context<'_>) {
        if let Self::Http1(response) = self {
            response.poll_beside(cx);
        }
    }
}

impl RequestBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let next = match &mut self.reader {
            RequestReading::Http1(reader) => ready!(reader.poll_next(cx)),
            RequestReading::Http2(incoming) => ready!(poll_incoming(incoming, cx)),
        };
        match &next {
            Some(Ok(frame)) => self.progress.received(frame.data_ref().map_or(0, Bytes::len)),
            None => self.progress.end(),
            Some(Err(_)) => {}
        }
        Poll::Ready(next)
    }
}

fn poll_incoming(incoming: &mut Incoming, cx: &mut Context<'_>) -> Polled {
    let next = ready!(http_body::Body::poll_frame(Pin::new(incoming), cx));
    Poll::Ready(next.map(|frame| frame.map_err(|_| BodyError::Reset)))
}

impl From<codec::BodyError> for BodyError {
    fn from(error: codec::BodyError) -> Self {
        match error {
            codec::BodyError::Malformed(reason) => Self::Malformed(reason),
            codec::BodyError::TooLarge => Self::TooLarge,
            codec::BodyError::Truncated => Self::Truncated,
        }
    }
}

impl Progress {
    /// Nothing received yet. `ended`: there is no body to come.
    pub(crate) fn new(now: Instant, ended: bool) -> Rc<Self> {
        Rc::new(Self { received: Cell::new(0), ended: Cell::new(ended), touched: Cell::new(now) })
    }

    /// More of the request has come.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
        self.touch(Instant::now());
    }

    /// The request has come to its end.
    pub(crate) fn end(&self) {
        self.ended.set(true);
    }

    /// True once the whole request was received.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.get()
    }

    /// Bytes of the body that were received.
    pub(crate) fn bytes(&self) -> u64 {
        self.received.get()
    }

    /// Something has moved, in either direction.
    pub(crate) fn touch(&self, now: Instant) {
        self.touched.set(now);
    }

    /// When something has last moved.
    pub(crate) fn touched(&self) -> Instant {
        self.touched.get()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        self.poll_next(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
