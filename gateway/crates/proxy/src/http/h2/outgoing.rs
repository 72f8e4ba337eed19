use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::watch::Watch;
use crate::{
    body::{Body, BodyError, Polled},
    exchange::Exchange,
    http::h1::Pace,
    respond::Reply,
};

/// Longer responses than this do not keep their snapshot alive.
const SHORT: u64 = 1 << 20;

/// A client that takes longer than this for a piece is slow.
const SLOW: Duration = Duration::from_secs(1);

/// What a slow client is given at a time. hyper asks for more once the client has taken what there was: small pieces
/// tell how much it takes.
const PIECE: usize = 1 << 10;

/// The body of a response, as hyper takes it from us, with the exchange that it is the end of.
pub(super) struct Outgoing {
    body: Body,
    exchange: Exchange,
    watch: Rc<Watch>,
    pace: Pace,
    /// Bytes that hyper was given last.
    given: usize,
    /// When hyper has last asked.
    asked: Instant,
    /// The client has taken all that the backend has sent.
    caught_up: bool,
    /// The client is slow.
    slow: bool,
    /// What a slow client is still to be given of a piece.
    rest: Bytes,
    ended: bool,
}

impl Outgoing {
    /// A response as hyper takes it. `is_head`: the request was HEAD.
    pub(super) fn respond(
        mut exchange: Exchange,
        reply: Reply,
        is_head: bool,
        watch: Rc<Watch>,
    ) -> Response<Self> {
        let Reply { mut head, body, tunnel: _ } = reply;
        let has_none = is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let body = if has_none { Body::Empty } else { body };
        settle_length(&mut head.headers, head.status, has_none, &body);
        exchange.replied(head.status);
        let length = body.length();
        if length.is_none_or(|length| length > SHORT) {
            exchange.release();
        }
        let ended = length == Some(0);
        if ended {
            exchange.complete();
        }
        let now = Instant::now();
        watch.replying(now);
        let outgoing = Self {
            body,
            exchange,
            watch,
            pace: Pace::new(now),
            given: 0,
            asked: now,
            caught_up: false,
            slow: false,
            rest: Bytes::new(),
            ended,
        };
        Response::from_parts(head, outgoing)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Polled {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.data(Bytes::new()))));
        }
        match self.body.poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => self.data(data),
                Err(frame) => {
                    self.end();
                    frame
                }
            }))),
            Poll::Ready(Some(Err(error))) => {
                self.exchange.broke_off(&error);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    /// What of a piece hyper is given now.
    fn data(&mut self, piece: Bytes) -> Frame<Bytes> {
        let mut piece = if self.rest.is_empty() { piece } else { std::mem::take(&mut self.rest) };
        if self.slow && piece.len() > PIECE {
            self.rest = piece.split_off(PIECE);
        }
        self.given = piece.len();
        self.exchange.sent(piece.len());
        if self.rest.is_empty() && self.body.length() == Some(0) {
            self.end();
        }
        Frame::data(piece)
    }

    fn end(&mut self) {
        self.ended = true;
        self.exchange.complete();
    }

    /// hyper asks for more: the client has taken what was given before.
    fn taken(&mut self, taken: usize, now: Instant) {
        self.slow = now.duration_since(self.asked) > SLOW;
        self.asked = now;
        if self.pace.took(taken, self.caught_up, now) {
            self.watch.touch(now);
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let taken = std::mem::take(&mut this.given);
        let was_caught_up = this.caught_up;
        let next = this.poll_data(cx);
        this.caught_up = next.is_pending();
        if taken > 0 {
            this.taken(taken, Instant::now());
        } else if was_caught_up && next.is_ready() {
            // From now on it is the client that is waited for.
            let now = Instant::now();
            (this.asked, this.slow, this.pace) = (now, false, Pace::new(now));
            this.watch.touch(now);
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.length().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// Makes Content-Length say what the body holds, whatever a filter has made of it; the answer to HEAD, and 304, keep
/// what the backend said of a body that is not sent (RFC 9110 §8.6).
fn settle_length(headers: &mut HeaderMap, status: StatusCode, has_none: bool, body: &Body) {
    headers.remove(TRANSFER_ENCODING);
    if has_none {
        if status == StatusCode::NO_CONTENT {
            headers.remove(CONTENT_LENGTH);
        }
        return;
    }
    let Some(length) = body.length() else {
        headers.remove(CONTENT_LENGTH);
        return;
    };
    let mut said = headers.get_all(CONTENT_LENGTH).iter();
    let is_right = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.parse() == Ok(length));
    if !said.next().is_some_and(is_right) || said.next().is_some() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
