use http::StatusCode;

/// Why the bytes of a client are no request that is served. The connection is unusable afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// The client broke the grammar, or said something that another parser may read differently.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// The request target does not fit the limit of a head.
    #[error("the request target is too long")]
    TargetTooLong,
    /// Too many fields, or too many bytes of them.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// Neither HTTP/1.1 nor HTTP/1.0: the client speaks another protocol or came to the wrong port.
    #[error("the HTTP version is not supported")]
    UnsupportedVersion,
    /// A transfer coding other than chunked.
    #[error("the transfer coding is not supported")]
    UnknownTransferCoding,
}

impl RequestError {
    /// What to answer before closing.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnsupportedVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

/// Why the bytes of a backend are no response that is passed on. The connection is unusable afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseError {
    /// The backend broke the grammar, or said something that another parser may read differently.
    #[error("malformed response: {0}")]
    Malformed(&'static str),
    /// Too many fields, or too many bytes of them.
    #[error("the response head is too large")]
    HeadTooLarge,
    /// Neither HTTP/1.1 nor HTTP/1.0: the backend speaks another protocol, or its port is the wrong one.
    #[error("the HTTP version is not supported")]
    UnsupportedVersion,
    /// A transfer coding other than chunked.
    #[error("the transfer coding is not supported")]
    UnknownTransferCoding,
}

/// Why a body did not come whole. The connection is unusable afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The sender broke the grammar of chunks or trailers.
    #[error("malformed body: {0}")]
    Malformed(&'static str),
    /// More bytes of chunk extensions or trailer fields than are read over.
    #[error("the chunk extensions or trailers are too large")]
    TooLarge,
    /// The transport ended before the body did.
    #[error("the body ends early: the sender closed the connection")]
    Truncated,
}
