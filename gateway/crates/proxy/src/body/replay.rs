use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::{Body, Polled};

/// Bytes of a request's body that are kept. One of which more was sent is not sent again.
pub(crate) const REPLAYABLE: usize = 64 << 10;

/// What is needed to send a request's body several times, one time after the other.
pub(crate) enum Replay {
    /// There is none.
    Empty,
    /// It is known whole.
    Full(Bytes),
    /// It is kept while it is read.
    Kept(Rc<RefCell<Kept>>),
}

/// A body as one attempt sends it: first what attempts before have read, then what nobody has.
pub(crate) struct Replayed {
    kept: Rc<RefCell<Kept>>,
    sent: usize,
    trailers_sent: bool,
    left: Option<u64>,
}

/// A body with what was read of it.
pub(crate) struct Kept {
    source: Body,
    length: Option<u64>,
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Something that was read is not kept, or it cannot be read to its end.
    lost: bool,
}

impl Replay {
    /// Takes a body that is not read yet. An empty one costs nothing.
    pub(crate) fn keep(body: Body) -> Self {
        match body {
            Body::Empty => Self::Empty,
            Body::Full(bytes) => Self::Full(bytes),
            source => Self::while_read(source),
        }
    }

    fn while_read(source: Body) -> Self {
        let (length, data, trailers) = (source.length(), Vec::new(), None);
        Self::Kept(Rc::new(RefCell::new(Kept { source, length, data, trailers, ended: false, lost: false })))
    }

    /// The body from its start, if it [is whole](Replay::is_whole). One that was given before is read no more.
    pub(crate) fn body(&self) -> Body {
        match self {
            Self::Empty => Body::Empty,
            Self::Full(bytes) => Body::Full(bytes.clone()),
            Self::Kept(kept) => {
                let left = kept.borrow().length;
                Body::Replayed(Replayed { kept: Rc::clone(kept), sent: 0, trailers_sent: false, left })
            }
        }
    }

    /// False: it cannot be sent from its start.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Empty | Self::Full(_) => true,
            Self::Kept(kept) => !kept.borrow().lost,
        }
    }
}

impl Replayed {
    /// Bytes that are still to come, if that is known ahead.
    pub(super) const fn length(&self) -> Option<u64> {
        self.left
    }

    /// The next piece.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let mut kept = self.kept.borrow_mut();
        let kept = &mut *kept;
        let next = match (kept.data.get(self.sent..), &kept.trailers) {
            (Some(data @ [_, ..]), _) => Some(Ok(Frame::data(Bytes::copy_from_slice(data)))),
            (_, Some(trailers)) if !self.trailers_sent => Some(Ok(Frame::trailers(trailers.clone()))),
            _ => ready!(kept.read(cx)),
        };
        if let Some(Ok(frame)) = &next {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.sent += bytes;
            self.left = self.left.map(|left| left.saturating_sub(bytes as u64));
            self.trailers_sent |= frame.is_trailers();
        }
        Poll::Ready(next)
    }
}

impl Kept {
    fn read(&mut self, cx: &mut Context<'_>) -> Polled {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.source.poll_next(cx));
        match &next {
            Some(Ok(frame)) => self.take(frame),
            Some(Err(_)) => self.lost = true,
            None => self.ended = true,
        }
        Poll::Ready(next)
    }

    fn take(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            if self.lost || self.data.len() + data.len() > REPLAYABLE {
                (self.lost, self.data) = (true, Vec::new());
            } else {
                self.data.extend_from_slice(data);
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn read(body: &mut Body) -> Option<Bytes> {
        match body.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => next.map(|frame| frame.unwrap().into_data().unwrap()),
            Poll::Pending => panic!("it is all there"),
        }
    }

    fn of(length: usize) -> Replay {
        Replay::while_read(Body::Full(vec![b'x'; length].into()))
    }

    #[test]
    fn a_body_can_be_sent_from_its_start_again() {
        let replay = of(3);
        assert_eq!(replay.body().length(), Some(3), "dropped before it was read");
        for _ in 0..2 {
            let mut body = replay.body();
            assert_eq!((body.length(), read(&mut body).as_deref()), (Some(3), Some(&b"xxx"[..])));
            assert_eq!((body.length(), read(&mut body)), (Some(0), None));
            assert!(replay.is_whole());
        }
    }

    #[test]
    fn a_body_of_which_too_much_was_sent_is_lost_to_others_and_goes_on() {
        let replay = of(REPLAYABLE + 1);
        let mut body = replay.body();
        assert!(replay.is_whole(), "nothing was sent");
        assert_eq!(read(&mut body).map(|data| data.len()), Some(REPLAYABLE + 1));
        assert!(!replay.is_whole() && read(&mut body).is_none());

        let replay = of(REPLAYABLE);
        assert!(read(&mut replay.body()).is_some() && replay.is_whole());
    }

    #[test]
    fn what_is_known_whole_is_not_kept_twice() {
        assert!(matches!(Replay::keep(Body::Empty), Replay::Empty));
        let replay = Replay::keep(Body::Full(Bytes::from_static(b"abc")));
        assert!(matches!(replay, Replay::Full(_)) && replay.is_whole());
        assert_eq!(read(&mut replay.body()).as_deref(), Some(&b"abc"[..]));
    }
}
