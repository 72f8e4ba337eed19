use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::{helpings::Helpings, watch::Watch};
use crate::{
    body::{Body, BodyError, Polled},
    exchange::Exchange,
    respond::Reply,
};

/// The body of a response, as hyper takes it from us, with the exchange that it is the end of.
pub(super) struct Outgoing {
    body: Source,
    exchange: Exchange,
    watch: Rc<Watch>,
    helpings: Helpings,
    ended: bool,
}

/// Where a body is.
enum Source {
    Here(Body),
    /// With the stream's watch too, which goes on with sending the request.
    Early(Rc<RefCell<Body>>),
}

impl Source {
    fn of(body: Body, watch: &Watch) -> Self {
        if !body.has_beside() {
            return Self::Here(body);
        }
        let body = Rc::new(RefCell::new(body));
        watch.replying_early(&body);
        Self::Early(body)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        match self {
            Self::Here(body) => body.poll_next(cx),
            Self::Early(body) => body.borrow_mut().poll_next(cx),
        }
    }

    fn length(&self) -> Option<u64> {
        match self {
            Self::Here(body) => body.length(),
            Self::Early(body) => body.borrow().length(),
        }
    }
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
        let length = body.length();
        exchange.replied(head.status, length);
        let ended = length == Some(0);
        if ended {
            exchange.complete();
        }
        let now = Instant::now();
        watch.replying(now);
        let body = Source::of(body, &watch);
        let outgoing = Self { body, exchange, watch, helpings: Helpings::new(now), ended };
        Response::from_parts(head, outgoing)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        if let Some(rest) = self.helpings.rest() {
            return Poll::Ready(Some(Ok(self.give(rest))));
        }
        let next = ready!(self.body.poll_next(cx));
        Poll::Ready(match next {
            Some(Ok(frame)) => Some(Ok(match frame.into_data() {
                Ok(data) => self.give(data),
                Err(frame) => {
                    self.end();
                    frame
                }
            })),
            Some(Err(error)) => {
                self.exchange.broke_off(&error);
                Some(Err(error))
            }
            None => {
                self.end();
                None
            }
        })
    }

    fn give(&mut self, piece: Bytes) -> Frame<Bytes> {
        let piece = self.helpings.give(piece);
        self.exchange.sent(piece.len());
        if self.helpings.is_all_given() && self.body.length() == Some(0) {
            self.end();
        }
        Frame::data(piece)
    }

    fn end(&mut self) {
        self.ended = true;
        self.exchange.complete();
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let taken = this.helpings.asked();
        let next = this.poll_next(cx);
        if let Some(now) = this.helpings.answered(taken, next.is_pending()) {
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
