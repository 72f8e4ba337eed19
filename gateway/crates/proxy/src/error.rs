use http::StatusCode;

use crate::body::BodyError;

/// Why a request is not answered by its backend. What each comes to for the client, in the log and for retries
/// is decided here and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// No listener of the port has a hostname that covers the request's.
    #[error("no listener of the port serves this host")]
    NoListener,
    /// The host belongs to another listener of the port than the one that TLS was agreed on with (RFC 9110 §7.4).
    #[error("the host belongs to another listener than the connection")]
    Misdirected,
    /// No rule of the listener matches.
    #[error("no route matches the request")]
    NoRoute,
    /// TRACE or CONNECT, which only a rule that names the method serves.
    #[error("no route names this method")]
    MethodNotNamed,
    /// The path cannot be made normal.
    #[error("{0}")]
    BadPath(&'static str),
    /// A header name with an underscore where those are refused.
    #[error("a header name has an underscore")]
    Underscore,
    /// The listener's policy never was valid.
    #[error("the listener's policy is not valid")]
    Broken,
    /// The rule has no backend, or the drawn reference does not resolve.
    #[error("the route has no backend that resolves")]
    NoBackend,
    /// The backend has no endpoint.
    #[error("the backend has no endpoint")]
    NoEndpoint,
    /// A circuit breaker: as many connections or requests as the backend's limits allow.
    #[error("the backend has as many connections or requests as its limits allow")]
    Overflow,
    /// No endpoint could be connected to.
    #[error("no endpoint of the backend could be connected to")]
    Connect,
    /// The backend's end of TLS is not who it must be, or no TLS at all. What is wrong with it, in short.
    #[error("the TLS handshake with the backend failed: {0}")]
    UpstreamTls(&'static str),
    /// The connection ended or failed before the response's header.
    #[error("the backend closed the connection before it answered")]
    UpstreamClosed,
    /// What the backend sent is no HTTP response.
    #[error("the backend's response is malformed: {0}")]
    UpstreamMalformed(&'static str),
    /// A timeout of the route, before the response's header.
    #[error("the backend did not answer within the route's timeout")]
    UpstreamTimeout,
    /// The backend does not speak what the request asks to switch to.
    #[error("the backend's protocol has no upgrade")]
    NoUpgrade,
    /// The request was not received whole within `requestReceivedTimeout` or
    /// `requestHeadersReceivedTimeout`.
    #[error("the request was not received in time")]
    RequestTimeout,
    /// Nothing has moved for `streamIdleTimeout`, with the request incomplete.
    #[error("the request came to a standstill")]
    RequestIdle,
    /// Nothing has moved for `streamIdleTimeout`, with the request complete.
    #[error("the backend's answer came to a standstill")]
    ResponseIdle,
    /// The client's bytes are no HTTP request.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// A request head that is refused by its size or version, with the status that says so.
    #[error("request refused: {0}")]
    Refused(StatusCode),
    /// The client has gone before it was answered.
    #[error("the client closed the connection before it was answered")]
    ClientGone,
}

impl ProxyError {
    /// What the client is answered.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::NoListener | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::MethodNotNamed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadPath(_) | Self::Underscore | Self::Malformed(_) | Self::ClientGone => {
                StatusCode::BAD_REQUEST
            }
            Self::Broken | Self::NoBackend => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoEndpoint | Self::Overflow | Self::Connect | Self::UpstreamClosed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamMalformed(_) | Self::UpstreamTls(_) | Self::NoUpgrade => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout | Self::ResponseIdle => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTimeout | Self::RequestIdle => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(status) => *status,
        }
    }

    /// Envoy's response flag (`%RESPONSE_FLAGS%`).
    pub(crate) const fn flag(&self) -> &'static str {
        match self {
            Self::NoListener | Self::Misdirected | Self::NoRoute | Self::MethodNotNamed => "NR",
            Self::BadPath(_) | Self::Underscore | Self::Malformed(_) | Self::Refused(_) => "DPE",
            Self::Broken | Self::NoBackend => "NC",
            Self::NoEndpoint => "UH",
            Self::Overflow => "UO",
            Self::Connect | Self::UpstreamTls(_) => "UF",
            Self::UpstreamClosed => "UC",
            Self::UpstreamMalformed(_) | Self::NoUpgrade => "UPE",
            Self::UpstreamTimeout => "UT",
            Self::RequestTimeout | Self::RequestIdle | Self::ResponseIdle => "SI",
            Self::ClientGone => "DC",
        }
    }

    /// True if the attempt has left no trace with a backend, so that another endpoint may be tried.
    pub(crate) const fn is_retryable(&self) -> bool {
        match self {
            Self::Connect | Self::UpstreamTls(_) => true,
            Self::NoListener
            | Self::Misdirected
            | Self::NoRoute
            | Self::MethodNotNamed
            | Self::BadPath(_)
            | Self::Underscore
            | Self::Broken
            | Self::NoBackend
            | Self::NoEndpoint
            | Self::Overflow
            | Self::UpstreamClosed
            | Self::UpstreamMalformed(_)
            | Self::UpstreamTimeout
            | Self::NoUpgrade
            | Self::RequestTimeout
            | Self::RequestIdle
            | Self::ResponseIdle
            | Self::Malformed(_)
            | Self::Refused(_)
            | Self::ClientGone => false,
        }
    }

    /// What it comes to if a client's body does not come to its end.
    pub(crate) const fn of_request_body(error: &BodyError) -> Self {
        match error {
            BodyError::Malformed(reason) => Self::Malformed(reason),
            BodyError::TooLarge => Self::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            BodyError::Truncated | BodyError::Io(_) | BodyError::Reset => Self::ClientGone,
        }
    }
}
