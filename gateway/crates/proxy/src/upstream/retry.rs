use std::{mem, time::Duration};

use ir::Retry;
use tokio::time::sleep;

use super::send::{Attempts, Request};
use crate::{
    body::{Body, Replay},
    error::{Again, ProxyError},
    random,
    respond::Reply,
};

/// Waits between attempts grow up to this many times the first.
const LONGEST: u32 = 10;

/// Sends a request until it is answered as the rule wishes, or as often as the rule allows: then what the last
/// attempt came to is what the request comes to. Each attempt begins with the endpoint after the last one's.
pub(super) async fn retried(
    mut attempts: Attempts<'_>,
    retry: &Retry,
    mut request: Request,
) -> Result<Reply, ProxyError> {
    // Without one, a request is sent again only if nobody has seen it, and then it is as it was.
    let replay = request
        .head
        .method
        .is_idempotent()
        .then(|| Replay::keep(mem::replace(&mut request.body, Body::Empty)));
    let most = retry.attempts();
    for turn in 0.. {
        if let Some(replay) = &replay {
            request.body = replay.body();
        }
        let head = (turn < most).then(|| request.head.clone());
        let ended = attempts.run(&mut request).await;
        let again = is_wanted(retry, &ended, replay.as_ref());
        if turn > 0 {
            attempts.upstream.metrics.retried(ended.is_ok() && !again);
        }
        match head {
            _ if !again => return ended,
            None => {
                attempts.exhausted();
                return ended;
            }
            Some(head) => request.head = head,
        }
        if let Err(error) = &ended {
            attempts.upstream.metrics.failed(error.flag());
        }
        // What is left of an answer goes before the wait, and its connection with it.
        drop(ended);
        sleep(wait(retry.backoff(), turn)).await;
    }
    Err(ProxyError::Connect)
}

/// True if the rule asks for another attempt, and the request may be sent again after this one.
fn is_wanted(retry: &Retry, ended: &Result<Reply, ProxyError>, replay: Option<&Replay>) -> bool {
    let may_repeat = || replay.is_some_and(Replay::is_whole);
    match ended {
        Ok(reply) => retry.codes.contains(&reply.head.status.as_u16()) && may_repeat(),
        Err(error) => match error.again() {
            Again::Any => true,
            Again::Repeatable => may_repeat(),
            Again::None => false,
        },
    }
}

/// How long to wait after attempt `turn`, counted from 0: twice as long each time, up to a bound, and up to half of
/// that by chance, so that those who failed together do not come back together.
fn wait(backoff: Duration, turn: u32) -> Duration {
    let step = backoff * 2_u32.saturating_pow(turn).min(LONGEST);
    step + step / 2 * random::below(1 << 10) as u32 / (1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_never_fall_below_what_is_set() {
        let backoff = Duration::from_millis(100);
        for (turn, least) in
            [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1_000), (5, 1_000), (u32::MAX, 1_000)]
        {
            let least = Duration::from_millis(least);
            let waits: Vec<Duration> = (0..100).map(|_| wait(backoff, turn)).collect();
            assert!(waits.iter().all(|wait| (least..=least * 3 / 2).contains(wait)), "{turn}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{turn}: no chance in {waits:?}");
        }
        assert_eq!(wait(Duration::ZERO, 3), Duration::ZERO);
    }
}
