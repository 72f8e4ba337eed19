use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::ConnectionContext;

/// Serves an HTTP/2 connection to its end. `buffered` are its first bytes, already read (the preface included).
pub(crate) async fn serve<IO>(io: IO, buffered: BytesMut, context: ConnectionContext)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    drop((io, buffered, context));
}
