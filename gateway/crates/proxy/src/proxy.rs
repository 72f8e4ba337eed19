use crate::access_log;

/// How the proxy is started.
#[derive(Debug, Default)]
pub struct Options {
    /// Worker threads; `None`: one per core that the process may use.
    pub workers: Option<usize>,
    /// Where access-log lines go.
    pub access_log: access_log::Sink,
}

/// The data plane.
pub struct Proxy;
/// A configuration that is ready to be published.
pub struct Prepared;
/// What a listener is doing.
pub struct ListenerState;
