use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use http::{header::UPGRADE, response::Parts};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    client::{Client, State},
    codec::{Connection, Framing, encode_response},
    fill,
};
use crate::{alarm::Alarm, connection::ClientIo, exchange::Exchange, upstream::Tunnel};

/// Bytes that wait in each direction at most.
const BUFFER: usize = 32 << 10;

/// Sends the response that switches protocols, then moves bytes both ways until both sides have ended, one has
/// failed, or nothing has moved for `idle`. The end of one side's bytes is passed on, and the other may go on.
pub(super) async fn run<IO: ClientIo>(
    client: &Client<IO>,
    exchange: &mut Exchange,
    mut head: Parts,
    tunnel: Tunnel,
    idle: Option<Duration>,
    alarm: &mut Alarm,
) {
    let Tunnel { io: mut upstream, early, upgrade, .. } = tunnel;
    if let Some(upgrade) = upgrade {
        head.headers.insert(UPGRADE, upgrade);
    }
    let mut up = {
        let State { read, outbox, .. } = &mut *client.state();
        encode_response(&head, Framing::Empty, Connection::Upgrade, http::Version::HTTP_11, outbox.buffer());
        Direction::new(std::mem::take(read))
    };
    let mut down = Direction::new(early);
    exchange.replied(head.status, None);
    if poll_fn(|cx| client.state().poll_flush(&mut 0, cx)).await.is_err() {
        return;
    }
    let moved = poll_fn(|cx| {
        let State { io, .. } = &mut *client.state();
        let (mut sent, mut received) = (0, 0);
        let went_up = up.poll(io, &mut upstream, &mut received, cx);
        let came_down = down.poll(&mut upstream, io, &mut sent, cx);
        exchange.sent(sent);
        if received > 0 {
            exchange.progress().received(received);
        }
        if sent > 0 {
            exchange.progress().touch(Instant::now());
        }
        match (went_up, came_down) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            _ => {
                let deadline = idle.map(|idle| exchange.progress().touched() + idle);
                alarm.poll(cx, deadline).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    })
    .await;
    if moved.is_ok() {
        exchange.complete();
    }
}

/// Bytes that go one way.
struct Direction {
    buffer: BytesMut,
    /// The sender has ended.
    ended: bool,
    /// That was passed on.
    shut: bool,
}

impl Direction {
    const fn new(buffer: BytesMut) -> Self {
        Self { buffer, ended: false, shut: false }
    }

    /// Ready once the sender has ended and the receiver knows. `moved` counts bytes that were written.
    fn poll<From, To>(
        &mut self,
        from: &mut From,
        to: &mut To,
        moved: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        From: AsyncRead + Unpin,
        To: AsyncWrite + Unpin,
    {
        loop {
            while !self.buffer.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.buffer.advance(count);
                *moved += count;
            }
            if self.shut {
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut *to).poll_flush(cx))?;
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.shut = true;
            } else if ready!(fill::poll_many(from, &mut self.buffer, BUFFER, cx))? == 0 {
                self.ended = true;
            }
        }
    }
}
