use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for a deadline that keeps moving: it is armed at the earliest that was asked for and looks again
/// when that has come, so that a deadline which only moves later, as idle timers do, costs nothing to move.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once the deadline has come; `None`: never.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

/// The earlier of two deadlines, where `None` is never.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_may_move_both_ways() {
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let mut alarm = Alarm::default();
        let is_pending = |alarm: &mut Alarm, deadline| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            alarm.poll(&mut cx, deadline).is_pending()
        };
        assert!(is_pending(&mut alarm, None) && is_pending(&mut alarm, at(10)));
        assert!(is_pending(&mut alarm, at(60)));
        poll_fn(|cx| alarm.poll(cx, at(60))).await;
        assert_eq!(Some(Instant::now()), at(60));
        assert!(is_pending(&mut alarm, at(90)));
        poll_fn(|cx| alarm.poll(cx, at(70))).await;
        assert_eq!(Some(Instant::now()), at(70));
        assert!(!is_pending(&mut alarm, at(70)) && is_pending(&mut alarm, at(71)));
    }
}
