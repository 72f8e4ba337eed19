/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    /// Bytes from the first of the start line to the last line end, included.
    pub(crate) max_bytes: usize,
    /// Field lines.
    pub(crate) max_fields: usize,
}

impl Default for HeadLimits {
    /// Envoy's `max_request_headers_kb` and `max_headers_count`.
    fn default() -> Self {
        Self { max_bytes: 60 << 10, max_fields: 100 }
    }
}
