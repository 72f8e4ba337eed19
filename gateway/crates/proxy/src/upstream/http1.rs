use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::EXPECT, header::UPGRADE, request, response};
use http_body::Frame;

use super::{
    connect::{Place, UpstreamIo},
    pool::EndpointPool,
    send::InFlight,
    tls,
};
use crate::{
    body::{Body, BodyError, Polled},
    error::ProxyError,
    http::h1::{
        Outbox,
        codec::{
            BodyDecoder, Decoded, Framing, HeadLimits, ResponseError, ResponseHead, ResponseParser,
            encode_request, last_chunk,
        },
        fill,
    },
};

/// Bytes of a message that may wait in each direction, and what one read may take.
const BUFFER: usize = 32 << 10;

/// A connection to a backend, between requests or in one.
pub(super) struct Connection {
    io: UpstreamIo,
    read: BytesMut,
    parser: ResponseParser,
    place: Place,
}

/// One request on a connection, as far as it is sent, and its response, as far as it is read.
pub(super) struct Call {
    connection: Connection,
    outbox: Outbox,
    /// What is left to send.
    request: Option<Body>,
    trailers: Option<HeaderMap>,
    framing: Framing,
    method: Method,
    /// The backend takes no more bytes; what it answered may still be read.
    write_failed: bool,
}

/// Why a call has no response.
pub(super) enum CallError {
    /// The client's body does not come to its end.
    Request(BodyError),
    /// The connection ended or failed before a response's header.
    Closed,
    /// TLS ended or failed, for the reason in words: a backend of TLS 1.3 refuses our certificate after the handshake.
    Tls(&'static str),
    /// What came is no response.
    Malformed(&'static str),
}

/// What a call comes to.
pub(super) enum Outcome {
    /// A response.
    Response(response::Parts, Body),
    /// Another protocol.
    Tunnel(response::Parts, Box<Tunnel>),
}

/// A backend's connection that speaks another protocol from now on.
pub(crate) struct Tunnel {
    /// The connection.
    pub(crate) io: UpstreamIo,
    /// What has already been read from it.
    pub(crate) early: BytesMut,
    /// The protocol, as the backend names it.
    pub(crate) upgrade: Option<HeaderValue>,
    _place: Place,
}

/// The body of a response, with what is left of the request's.
pub(crate) struct Http1Response {
    call: Option<Call>,
    decoder: BodyDecoder,
    left: Option<u64>,
    keep_alive: bool,
    failed: Option<BodyError>,
    home: Rc<EndpointPool>,
    flight: Option<InFlight>,
}

impl Connection {
    /// A new connection.
    pub(super) fn new(io: UpstreamIo, place: Place) -> Self {
        let parser = ResponseParser::new(HeadLimits::default());
        Self { io, read: BytesMut::new(), parser, place }
    }

    /// True if no request should be sent on it any more.
    pub(super) fn is_stale(&mut self) -> bool {
        self.io.is_stale()
    }
}

impl Call {
    /// Encodes the request's header.
    pub(super) fn begin(
        connection: Connection,
        head: &mut request::Parts,
        body: Body,
        upgrade: Option<&HeaderValue>,
    ) -> Self {
        // 100 (Continue) is ours to send, when the body is asked for.
        head.headers.remove(EXPECT);
        let framing = match (&body, body.length()) {
            (Body::Empty, _) => Framing::Empty,
            (_, Some(length)) => Framing::Length(length),
            (_, None) => Framing::Chunked,
        };
        let mut outbox = Outbox::default();
        encode_request(head, framing, upgrade, outbox.buffer());
        let request = (!body.is_empty()).then_some(body);
        let method = head.method.clone();
        Self { connection, outbox, request, trailers: None, framing, method, write_failed: false }
    }

    /// Ready once the request is sent, with an error only if its body does not come to its end.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            let waiting = self.take_from_body(cx)?;
            if self.write_failed {
                return Poll::Ready(Ok(()));
            }
            if let Err(error) = ready!(self.outbox.poll_flush(&mut self.connection.io, &mut 0, cx)) {
                tracing::debug!(%error, "a backend takes no more of a request");
                self.write_failed = true;
                self.request = None;
                return Poll::Ready(Ok(()));
            }
            if self.request.is_none() {
                return Poll::Ready(Ok(()));
            }
            if waiting {
                return Poll::Pending;
            }
        }
    }

    /// Moves what the body has ready to the outbox. True: the body has no more at the moment.
    fn take_from_body(&mut self, cx: &mut Context<'_>) -> Result<bool, BodyError> {
        while let Some(body) = &mut self.request
            && self.outbox.has_room(BUFFER)
        {
            match body.poll_next(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(Err(error))) => return Err(error),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.outbox.push(self.framing, data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(None) => {
                    if self.framing == Framing::Chunked {
                        last_chunk(self.trailers.as_ref(), self.outbox.buffer());
                    }
                    self.request = None;
                }
            }
        }
        Ok(false)
    }

    /// Sends, and reads up to the end of the response's header; interim responses are read over.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, CallError>> {
        if let Poll::Ready(Err(error)) = self.poll_request(cx) {
            return Poll::Ready(Err(CallError::Request(error)));
        }
        let Connection { io, read, parser, .. } = &mut self.connection;
        loop {
            match parser.parse(read, &self.method) {
                Ok(Some(head)) if is_interim(head.head.status) => {}
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => match ready!(fill::poll_some(io, read, cx)) {
                    Ok(1..) => {}
                    Ok(0) => return Poll::Ready(Err(CallError::Closed)),
                    Err(error) => {
                        let reason = tls::failure(&error);
                        return Poll::Ready(Err(reason.map_or(CallError::Closed, CallError::Tls)));
                    }
                },
                Err(error) => return Poll::Ready(Err(CallError::Malformed(reason(error)))),
            }
        }
    }

    /// What follows the header.
    pub(super) fn finish(mut self, head: ResponseHead, home: &Rc<EndpointPool>) -> Outcome {
        let ResponseHead { head, body, keep_alive } = head;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let Connection { io, read, place, .. } = self.connection;
            let upgrade = head.headers.get(UPGRADE).cloned();
            return Outcome::Tunnel(head, Box::new(Tunnel { io, early: read, upgrade, _place: place }));
        }
        let whole = match body {
            Framing::Empty => Some(0),
            Framing::Length(length) => usize::try_from(length).ok(),
            Framing::Chunked | Framing::UntilClose => None,
        };
        if let Some(length) = whole.filter(|length| *length <= self.connection.read.len()) {
            let bytes = self.connection.read.split_to(length).freeze();
            self.release(keep_alive, home);
            let body = if bytes.is_empty() { Body::Empty } else { Body::Full(bytes) };
            return Outcome::Response(head, body);
        }
        let left = match body {
            Framing::Length(length) => Some(length),
            Framing::Empty | Framing::Chunked | Framing::UntilClose => None,
        };
        let response = Http1Response {
            call: Some(self),
            decoder: BodyDecoder::new(body),
            left,
            keep_alive,
            failed: None,
            home: Rc::clone(home),
            flight: None,
        };
        Outcome::Response(head, Body::Http1(Box::new(response)))
    }

    /// The response is read to its end: the connection waits for another request, or is closed where bytes are
    /// left in either direction.
    fn release(self, keep_alive: bool, home: &EndpointPool) {
        let clean = self.request.is_none()
            && self.outbox.is_empty()
            && self.connection.read.is_empty()
            && !self.write_failed;
        if keep_alive && clean {
            home.put(self.connection);
        }
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn reason(error: ResponseError) -> &'static str {
    match error {
        ResponseError::Malformed(reason) => reason,
        ResponseError::HeadTooLarge => "its header is too large",
        ResponseError::UnsupportedVersion => "it is not HTTP/1",
        ResponseError::UnknownTransferCoding => "its transfer coding is not chunked",
    }
}

impl Http1Response {
    /// The request is in flight as long as this.
    pub(crate) fn hold(&mut self, flight: InFlight) {
        self.flight = Some(flight);
    }

    /// Bytes that are still to come, if the header says.
    pub(crate) fn length(&self) -> Option<u64> {
        self.left
    }

    /// The next piece. At its end the connection is free for another request.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        self.poll_beside(cx);
        if let Some(error) = self.failed.take() {
            self.call = None;
            return Poll::Ready(Some(Err(error)));
        }
        let next = ready!(self.poll_response(cx));
        match &next {
            Some(Ok(frame)) => {
                if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
                    *left = left.saturating_sub(data.len() as u64);
                }
            }
            Some(Err(_)) => self.call = None,
            None => {
                if let Some(call) = self.call.take() {
                    call.release(self.keep_alive, &self.home);
                }
            }
        }
        Poll::Ready(next)
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some(Call { connection: Connection { io, read, .. }, .. }) = &mut self.call else {
            return Poll::Ready(None);
        };
        loop {
            match self.decoder.decode(read).map_err(BodyError::from) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::NeedMore) => match ready!(fill::poll_many(io, read, BUFFER, cx)) {
                    Ok(1..) => {}
                    Ok(0) => {
                        self.keep_alive = false;
                        if let Err(error) = self.decoder.eof() {
                            return Poll::Ready(Some(Err(error.into())));
                        }
                    }
                    Err(error) => return Poll::Ready(Some(Err(BodyError::Io(error.kind())))),
                },
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// True if some of the request is left.
    pub(crate) fn has_beside(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.request.is_some() || !call.outbox.is_empty())
    }

    /// Sends what is left of the request. What goes wrong is told by the next [`Http1Response::poll_next`].
    pub(crate) fn poll_beside(&mut self, cx: &mut Context<'_>) {
        if self.has_beside()
            && let Some(call) = &mut self.call
            && let Poll::Ready(Err(error)) = call.poll_request(cx)
        {
            self.failed = Some(error);
        }
    }
}

impl From<CallError> for ProxyError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Request(error) => Self::of_request_body(&error),
            CallError::Closed => Self::UpstreamClosed,
            CallError::Tls(reason) => Self::UpstreamTls(reason),
            CallError::Malformed(reason) => Self::UpstreamMalformed(reason),
        }
    }
}
