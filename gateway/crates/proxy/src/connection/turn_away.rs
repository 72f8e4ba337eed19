use std::{rc::Rc, time::Duration};

use tokio::time::sleep;

use super::{Socket, refuse};
use crate::{
    cohort::Cohort, refusal::Refusal, slots::Slot, snapshot::Scope, sources::Source, worker::Worker,
};

/// Ends a refused connection as its policy says: counts and logs it, then resets it or holds it for a while. Held
/// sockets have a cap of their own over all listeners, and are resets beyond it.
pub(crate) fn turn_away(
    worker: &Rc<Worker>,
    cohort: &Rc<Cohort>,
    scope: &Scope,
    source: &Source,
    refusal: Refusal,
    mut socket: Socket,
) {
    refuse(worker, scope, source, refusal);
    let delay = close_delay(scope, refusal).and_then(|delay| {
        let most = Some(worker.carry.held_most());
        let slot = Slot::take(&worker.carry.held, most, source.peer, source.local).ok()?;
        Some((delay, slot))
    });
    match delay {
        Some((delay, slot)) => {
            socket.hold(slot);
            tokio::task::spawn_local(hold(socket, Rc::clone(cohort), delay));
        }
        None => socket.reset_on_close(),
    }
}

/// How long a connection that is refused for this reason is held.
fn close_delay(scope: &Scope, refusal: Refusal) -> Option<Duration> {
    let listener = scope.listener_or_first();
    match refusal {
        Refusal::OverConnectionLimit => listener.client.connection.limit?.close_delay,
        _ => listener.gate.as_ref()?.rules().action.close_delay(),
    }
}

/// Keeps a refused socket open, silent, until the time is up, the client has closed, or everybody has to go.
async fn hold(mut socket: Socket, cohort: Rc<Cohort>, delay: Duration) {
    tokio::select! {
        () = sleep(delay) => {}
        () = socket.discard() => {}
        () = cohort.drained() => {}
    }
}
