use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::codec::{CHUNK_END, Framing, chunk_head};

/// Data up to this size is copied behind what waits, so that both go in one write and one TLS record.
const COPIED: usize = 16 << 10;

/// Bytes on their way to a connection: a buffer, then a piece of a body that is not copied.
#[derive(Default)]
pub(crate) struct Outbox {
    buffer: BytesMut,
    piece: Bytes,
    /// What follows the piece.
    after: &'static [u8],
    unflushed: bool,
}

impl Outbox {
    /// True if nothing waits, not even in a layer below.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_written() && !self.unflushed
    }

    fn is_written(&self) -> bool {
        self.buffer.is_empty() && self.piece.is_empty() && self.after.is_empty()
    }

    /// True if more can be put behind what waits without holding more than about `limit` bytes.
    pub(crate) fn has_room(&self, limit: usize) -> bool {
        self.piece.is_empty() && self.after.is_empty() && self.buffer.len() < limit
    }

    /// The buffer to encode into; only while [`Outbox::has_room`].
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        debug_assert!(self.piece.is_empty() && self.after.is_empty(), "a piece would be overtaken");
        &mut self.buffer
    }

    /// Puts a piece of a body behind what waits; only while [`Outbox::has_room`].
    pub(crate) fn push(&mut self, framing: Framing, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        let is_chunk = framing == Framing::Chunked;
        if is_chunk {
            chunk_head(piece.len(), &mut self.buffer);
        }
        let after = if is_chunk { CHUNK_END } else { b"" };
        if piece.len() <= COPIED {
            self.buffer.extend_from_slice(&piece);
            self.buffer.extend_from_slice(after);
        } else {
            self.piece = piece;
            self.after = after;
        }
    }

    /// Writes until nothing waits. Ready with the number of bytes written by this call; what was written
    /// before it had to wait is in `written` all the same.
    pub(crate) fn poll_flush<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        written: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let count = ready!(self.poll_write(io, cx))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += count;
            self.unflushed = true;
            self.advance(count);
        }
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<IO: AsyncWrite + Unpin>(
        &self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.piece.is_empty() {
            let next = if self.buffer.is_empty() { self.after } else { &self.buffer };
            return Pin::new(io).poll_write(cx, next);
        }
        let slices = [IoSlice::new(&self.buffer), IoSlice::new(&self.piece), IoSlice::new(self.after)];
        let first = usize::from(self.buffer.is_empty());
        if Pin::new(&*io).is_write_vectored() {
            Pin::new(io).poll_write_vectored(cx, &slices[first..])
        } else {
            Pin::new(io).poll_write(cx, &slices[first])
        }
    }

    fn advance(&mut self, mut count: usize) {
        let of_buffer = count.min(self.buffer.len());
        self.buffer.advance(of_buffer);
        count -= of_buffer;
        let of_piece = count.min(self.piece.len());
        self.piece.advance(of_piece);
        self.after = &self.after[count - of_piece..];
        if self.buffer.is_empty() {
            // What a large head has made of it is not kept.
            self.buffer = if self.buffer.capacity() > COPIED {
                BytesMut::new()
            } else {
                std::mem::take(&mut self.buffer)
            };
            self.buffer.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;

    /// Every way of cutting the writes gives the same bytes.
    #[tokio::test]
    async fn bytes_keep_their_order_however_they_are_written() {
        let small = Bytes::from_static(b"small");
        let large = Bytes::from(vec![b'x'; COPIED + 1]);
        for size in [1, 7, 64, 1 << 20] {
            let (mut near, mut far) = tokio::io::duplex(size);
            let pieces = [small.clone(), Bytes::new(), large.clone(), small.clone()];
            let writing = async move {
                let (mut outbox, mut written) = (Outbox::default(), 0);
                outbox.buffer().extend_from_slice(b"head ");
                for piece in pieces {
                    outbox.push(Framing::Chunked, piece);
                    if !outbox.has_room(COPIED) {
                        poll_fn(|cx| outbox.poll_flush(&mut near, &mut written, cx)).await.unwrap();
                    }
                }
                poll_fn(|cx| outbox.poll_flush(&mut near, &mut written, cx)).await.unwrap();
                assert!(outbox.is_empty());
                written
            };
            let mut read = Vec::new();
            let (written, _) = tokio::join!(writing, far.read_to_end(&mut read));
            let expected = format!(
                "head 5\r\nsmall\r\n{:x}\r\n{}\r\n5\r\nsmall\r\n",
                large.len(),
                "x".repeat(large.len())
            );
            assert_eq!((written, read), (expected.len(), expected.into_bytes()), "{size}");
        }
    }
}
