//! HTTP/1 on the client's side.

pub(crate) mod codec;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::ConnectionContext;

/// Serves an HTTP/1 connection to its end. `buffered` are its first bytes, already read.
pub(crate) async fn serve<IO>(io: IO, buffered: BytesMut, context: ConnectionContext)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    drop((io, buffered, context));
}
