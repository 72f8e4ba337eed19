use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::{Body, BodyError, Polled};

/// A request's body in the hands of hyper's connection, until it is called back: hyper sends it from a task that
/// outlives the exchange, and with the body would keep the client's connection.
pub(super) struct Lent(Option<Rc<RefCell<State>>>);

/// The right to call a body back, which dropping this does.
pub(super) struct Loan(Option<Rc<RefCell<State>>>);

struct State {
    body: Option<Body>,
    failed: Option<BodyError>,
    /// Of who sends the body.
    waker: Option<Waker>,
}

/// Lends a body.
pub(super) fn lend(body: Body) -> (Lent, Loan) {
    let state = (!body.is_empty())
        .then(|| Rc::new(RefCell::new(State { body: Some(body), failed: None, waker: None })));
    (Lent(state.clone()), Loan(state))
}

impl Loan {
    /// Takes the body back, as far as it was not read.
    pub(super) fn recall(&mut self) -> Body {
        let Some(state) = self.0.take() else { return Body::Empty };
        let (body, waker) = {
            let mut state = state.borrow_mut();
            (state.body.take(), state.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        body.unwrap_or(Body::Empty)
    }

    /// Why the client's body did not come to its end, if that is so.
    pub(super) fn failed(&self) -> Option<BodyError> {
        self.0.as_ref()?.borrow().failed.clone()
    }

    /// True if there is no body.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.recall();
    }
}

impl State {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err(BodyError::Truncated)));
        };
        let next = body.poll_next(cx);
        match &next {
            Poll::Pending => match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => self.waker = Some(cx.waker().clone()),
            },
            Poll::Ready(Some(Err(error))) => self.failed = Some(error.clone()),
            Poll::Ready(_) => {}
        }
        next
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.as_ref().map_or(Poll::Ready(None), |state| state.borrow_mut().poll_next(cx))
    }

    fn is_end_stream(&self) -> bool {
        let length = |state: &State| state.body.as_ref().and_then(Body::length);
        self.0.as_ref().is_none_or(|state| length(&state.borrow()) == Some(0))
    }

    fn size_hint(&self) -> SizeHint {
        let length = match &self.0 {
            Some(state) => state.borrow().body.as_ref().and_then(Body::length),
            None => Some(0),
        };
        length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    fn poll(lent: &mut Lent) -> Polled {
        Pin::new(lent).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_called_back_cannot_be_read_to_its_end() {
        let (mut lent, mut loan) = lend(Body::Full(Bytes::from_static(b"abc")));
        assert!(!lent.is_end_stream() && !loan.is_empty());
        assert_eq!(lent.size_hint().exact(), Some(3));
        assert_eq!(loan.recall().length(), Some(3));
        assert!(matches!(poll(&mut lent), Poll::Ready(Some(Err(BodyError::Truncated)))));

        let (mut lent, loan) = lend(Body::Full(Bytes::from_static(b"abc")));
        assert!(matches!(poll(&mut lent), Poll::Ready(Some(Ok(_)))));
        assert!(lent.is_end_stream() && loan.failed().is_none());
        assert!(matches!(poll(&mut lent), Poll::Ready(None)));
        drop(loan);
        assert!(matches!(poll(&mut lent), Poll::Ready(Some(Err(_)))));

        let (mut lent, loan) = lend(Body::Empty);
        assert!(lent.is_end_stream() && loan.is_empty());
        assert!(matches!(poll(&mut lent), Poll::Ready(None)));
    }
}
