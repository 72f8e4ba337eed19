/// Where the body of a message ends. Source: RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body, and no field speaks of one; or a body that the method or status rules out.
    Empty,
    /// That many bytes, as Content-Length says; it may be 0.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the transport ends: responses only. Of a 101, the tunnel.
    UntilClose,
}
