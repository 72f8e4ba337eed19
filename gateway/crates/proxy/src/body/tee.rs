use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::{Body, BodyError, Polled};

/// Bytes of a body that may wait for one copy's reader; one that falls further behind is cut off.
pub(crate) const BACKLOG: usize = 256 << 10;

/// A body that hands what is read from it to copies too, and never waits for them.
pub(crate) struct Teed {
    source: Body,
    copies: Vec<Rc<RefCell<Line>>>,
}

/// A copy of a body that somebody else reads. It comes to its end if and only if that one does.
pub(crate) struct Copied {
    line: Rc<RefCell<Line>>,
    left: Option<u64>,
}

/// Tells when a copy is cut off, to who holds a request that can send no more of it.
pub(crate) struct Cut(Weak<RefCell<Line>>);

/// What waits between a body and a copy of it.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Piece>,
    bytes: usize,
    /// `Some`: nothing more comes, with the reason why if the body did not come to its end.
    ended: Option<Result<(), BodyError>>,
    reader: Option<Waker>,
    watcher: Option<Waker>,
}

enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Makes copies of a body that is not read yet. An empty one costs nothing.
pub(crate) fn tee(body: &mut Body, copies: usize) -> Vec<(Body, Cut)> {
    match body {
        Body::Empty => (0..copies).map(|_| (Body::Empty, Cut(Weak::new()))).collect(),
        Body::Full(bytes) => (0..copies).map(|_| (Body::Full(bytes.clone()), Cut(Weak::new()))).collect(),
        Body::Request(_)
        | Body::Http1(_)
        | Body::Http2(_)
        | Body::Teed(_)
        | Body::Copied(_)
        | Body::Replayed(_) => {
            let left = body.length();
            let lines: Vec<Rc<RefCell<Line>>> = (0..copies).map(|_| Rc::default()).collect();
            let copy = |line: &Rc<RefCell<Line>>| {
                (Body::Copied(Copied { line: Rc::clone(line), left }), Cut(Rc::downgrade(line)))
            };
            let copied = lines.iter().map(copy).collect();
            let source = std::mem::replace(body, Body::Empty);
            *body = Body::Teed(Box::new(Teed { source, copies: lines }));
            copied
        }
    }
}

impl Cut {
    /// Resolves once the copy is cut off, and never if it comes to its end.
    pub(crate) async fn off(&self) {
        poll_fn(|cx| match self.0.upgrade() {
            Some(line) => line.borrow_mut().poll_cut(cx),
            None => Poll::Pending,
        })
        .await;
    }
}

impl Teed {
    /// Bytes that are still to come, if that is known ahead.
    pub(super) fn length(&self) -> Option<u64> {
        self.source.length()
    }

    /// The next piece, for its reader and for the copies.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let next = ready!(self.source.poll_next(cx));
        self.copies.retain(|line| {
            // A line that the body alone holds has lost its reader.
            let goes_on = Rc::strong_count(line) > 1 && line.borrow_mut().take(&next);
            goes_on && next.is_some()
        });
        Poll::Ready(next)
    }
}

impl Drop for Teed {
    /// What is read no further ends its copies too.
    fn drop(&mut self) {
        for line in &self.copies {
            line.borrow_mut().end(Err(BodyError::Truncated));
        }
    }
}

impl Line {
    /// False: nothing more is to be given.
    fn take(&mut self, next: &Option<Result<Frame<Bytes>, BodyError>>) -> bool {
        match next {
            None => self.end(Ok(())),
            Some(Err(error)) => self.end(Err(error.clone())),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes += data.len();
                    self.waiting.push_back(Piece::Data(data.clone()));
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.waiting.push_back(Piece::Trailers(trailers.clone()));
                }
                if self.bytes > BACKLOG {
                    (self.bytes, self.waiting) = (0, VecDeque::new());
                    self.end(Err(BodyError::Truncated));
                }
            }
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        self.ended.is_none()
    }

    fn end(&mut self, how: Result<(), BodyError>) {
        self.ended.get_or_insert(how);
        self.reader.take().into_iter().chain(self.watcher.take()).for_each(Waker::wake);
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(Err(_)) = self.ended {
            return Poll::Ready(());
        }
        self.watcher = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Copied {
    /// Bytes that are still to come, if that is known ahead.
    pub(super) fn length(&self) -> Option<u64> {
        self.left
    }

    /// The next piece.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let mut line = self.line.borrow_mut();
        match line.waiting.pop_front() {
            Some(Piece::Data(data)) => {
                line.bytes -= data.len();
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Piece::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            None => match &line.ended {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(error)) => Poll::Ready(Some(Err(error.clone()))),
                None => {
                    line.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of pieces as a test gives them, and a copy of it.
    struct Bench {
        source: Rc<RefCell<Line>>,
        body: Body,
        copy: Body,
        cut: Cut,
    }

    impl Bench {
        fn new(length: Option<u64>) -> Self {
            let source: Rc<RefCell<Line>> = Rc::default();
            let mut body = Body::Copied(Copied { line: Rc::clone(&source), left: length });
            let (copy, cut) = tee(&mut body, 1).remove(0);
            Self { source, body, copy, cut }
        }

        fn is_cut(&self) -> bool {
            let off = std::pin::pin!(self.cut.off());
            off.poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }

        fn give(&self, data: &'static [u8]) {
            let mut line = self.source.borrow_mut();
            line.bytes += data.len();
            line.waiting.push_back(Piece::Data(Bytes::from_static(data)));
        }
    }

    fn poll(body: &mut Body) -> String {
        match body.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => "pending".to_owned(),
            Poll::Ready(None) => "end".to_owned(),
            Poll::Ready(Some(Err(error))) => error.to_string(),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => String::from_utf8_lossy(&data).into_owned(),
                Err(frame) => format!("{:?}", frame.into_trailers()),
            },
        }
    }

    #[test]
    fn a_copy_has_what_was_read_and_its_end() {
        let mut bench = Bench::new(Some(4));
        assert_eq!((bench.body.length(), bench.copy.length()), (Some(4), Some(4)));
        assert_eq!((poll(&mut bench.copy), poll(&mut bench.body)), ("pending".into(), "pending".into()));
        bench.give(b"te");
        bench.give(b"a!");
        assert_eq!(poll(&mut bench.copy), "pending", "it is the body that is read");
        assert_eq!((poll(&mut bench.body), poll(&mut bench.body)), ("te".into(), "a!".into()));
        bench.source.borrow_mut().end(Ok(()));
        assert_eq!(poll(&mut bench.body), "end");
        assert_eq!((poll(&mut bench.copy), poll(&mut bench.copy)), ("te".into(), "a!".into()));
        assert_eq!(bench.copy.length(), Some(0));
        assert_eq!(poll(&mut bench.copy), "end");
    }

    #[test]
    fn a_body_that_is_read_no_further_truncates_its_copy() {
        let mut bench = Bench::new(None);
        bench.give(b"te");
        assert_eq!(poll(&mut bench.body), "te");
        bench.body = Body::Empty;
        assert_eq!(poll(&mut bench.copy), "te");
        assert_eq!(poll(&mut bench.copy), BodyError::Truncated.to_string());
    }

    #[test]
    fn a_copy_that_nobody_reads_costs_the_body_nothing_and_is_cut_off_at_the_bound() {
        static BLOCK: [u8; BACKLOG] = [b'x'; BACKLOG];
        let mut bench = Bench::new(None);
        bench.give(&BLOCK);
        assert_eq!(poll(&mut bench.body).len(), BACKLOG);
        assert!(!bench.is_cut());
        bench.give(b"y");
        assert_eq!(poll(&mut bench.body), "y");
        assert!(bench.is_cut());
        assert_eq!(poll(&mut bench.copy), BodyError::Truncated.to_string());
        bench.give(b"z");
        assert_eq!(poll(&mut bench.body), "z");
    }

    #[test]
    fn a_dropped_copy_is_forgotten() {
        let mut bench = Bench::new(None);
        bench.copy = Body::Empty;
        bench.give(b"te");
        assert_eq!(poll(&mut bench.body), "te");
        let Body::Teed(teed) = &bench.body else { panic!("it was teed") };
        assert!(teed.copies.is_empty());
    }

    #[test]
    fn what_is_known_whole_is_cloned() {
        let mut full = Body::Full(Bytes::from_static(b"tea"));
        let mut copies: Vec<Body> = tee(&mut full, 2).into_iter().map(|(copy, _)| copy).collect();
        assert_eq!(
            (poll(&mut copies[0]), poll(&mut copies[1]), poll(&mut full)),
            ("tea".into(), "tea".into(), "tea".into())
        );
        assert!(tee(&mut Body::Empty, 1)[0].0.is_empty());
    }
}
