use std::io;

use ir::SocketKey;

/// Why a socket is not bound. A condition of its listeners; the others go on.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind {key}: {reason}")]
pub struct BindError {
    /// The address and port.
    pub key: SocketKey,
    /// What the kernel said.
    #[source]
    pub reason: io::Error,
}
