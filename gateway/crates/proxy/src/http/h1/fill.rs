use std::{
    cell::RefCell,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// A usual head fits, and so does what comes with it.
const SCRATCH: usize = 16 << 10;

/// Reads once, by way of a buffer that the thread has: who waits for bytes holds no memory for them. `Ok(0)`:
/// the other side has closed.
pub(crate) fn poll_some<IO: AsyncRead + Unpin>(
    io: &mut IO,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    thread_local! {
        static BYTES: RefCell<Box<[MaybeUninit<u8>]>> = RefCell::new(Box::new_uninit_slice(SCRATCH));
    }
    BYTES.with_borrow_mut(|bytes| {
        let mut scratch = ReadBuf::uninit(bytes);
        ready!(Pin::new(io).poll_read(cx, &mut scratch))?;
        buffer.extend_from_slice(scratch.filled());
        Poll::Ready(Ok(scratch.filled().len()))
    })
}

/// Reads once, at most about `size` bytes, straight into the buffer. `Ok(0)`: the other side has closed.
pub(crate) fn poll_many<IO: AsyncRead + Unpin>(
    io: &mut IO,
    buffer: &mut BytesMut,
    size: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    buffer.reserve(size);
    // The future holds nothing of its own between polls.
    std::pin::pin!(io.read_buf(buffer)).poll(cx)
}
