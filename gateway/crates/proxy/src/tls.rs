/// TLS of one listener.
pub(crate) struct ServerTls;

impl ServerTls {
    /// Builds what rustls is given.
    pub(crate) fn build(_tls: &ir::Tls) -> Self {
        Self
    }

    /// True if connections made under the one may go on under the other.
    pub(crate) fn same_settings(&self, _other: &Self) -> bool {
        true
    }
}
