use ir::Protocol;

use super::{Socket, would_refuse};
use crate::{
    refusal::Refusal,
    slots::{Gate, Slot, Stage},
    snapshot::{Bind, Listener, Scope},
    sources::Source,
    worker::Worker,
};

/// What is known of a connection when it asks to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its peer; a PROXY header may follow.
    Peer,
    /// Its source too, now.
    Source,
    /// Both at once: no header is read, or it was read before the listener was known.
    Both,
}

impl Known {
    /// What a connection of a port is asked by when it is accepted. `None`: which of several TLS listeners it is for
    /// is known only with its ClientHello.
    pub(crate) fn at_accept(bind: &Bind) -> Option<Self> {
        let is_settled = bind.protocol == Protocol::Http || bind.listeners.len() == 1;
        is_settled.then_some(if bind.client.proxy_protocol.is_some() { Self::Peer } else { Self::Both })
    }

    fn stages(self) -> &'static [Stage] {
        match self {
            Self::Peer => &[Stage::Accepted],
            Self::Source => &[Stage::Identified],
            Self::Both => &[Stage::Accepted, Stage::Identified],
        }
    }
}

/// Who asks a listener: a connection that wants to be served, or somebody who wants to know whether it would be.
pub(crate) trait Applicant {
    /// True: a dry run has let it through, and the connection policy has nothing more to say.
    fn is_waved_through(&self) -> bool;

    /// Is judged by a gate.
    fn judge(&mut self, gate: &Gate, stage: Stage) -> Result<(), Refusal>;

    /// Is let through, though it would have been refused.
    fn wave_through(&mut self, refusal: Refusal);

    /// True: it has the listener's slot.
    fn has_slot(&self) -> bool;

    /// Takes the listener's slot. `limit`: the most that may be taken.
    fn take_slot(&mut self, listener: &Listener, limit: Option<u64>) -> Result<(), Refusal>;
}

/// May this connection be served by its listener? Asks the listener's connection policy by what is known, and takes
/// the listener's slot if it is not taken yet.
pub(crate) fn ask(listener: &Listener, known: Known, applicant: &mut impl Applicant) -> Result<(), Refusal> {
    if let Some(gate) = &listener.gate {
        for stage in known.stages() {
            if applicant.is_waved_through() {
                break;
            }
            match applicant.judge(gate, *stage) {
                Ok(()) => {}
                Err(refusal) if gate.rules().dry_run => applicant.wave_through(refusal),
                Err(refusal) => return Err(refusal),
            }
        }
    }
    if !applicant.has_slot() {
        applicant.take_slot(listener, listener.client.connection.limit.map(|limit| limit.value))?;
    }
    Ok(())
}

/// Asks on behalf of a connection: what it takes is held by its socket.
pub(crate) fn admit(
    worker: &Worker,
    socket: &mut Socket,
    scope: &Scope,
    source: &Source,
    known: Known,
) -> Result<(), Refusal> {
    ask(scope.listener_or_first(), known, &mut Arrival { worker, socket, scope, source })
}

struct Arrival<'a> {
    worker: &'a Worker,
    socket: &'a mut Socket,
    scope: &'a Scope,
    source: &'a Source,
}

impl Applicant for Arrival<'_> {
    fn is_waved_through(&self) -> bool {
        self.socket.is_waved_through()
    }

    fn judge(&mut self, gate: &Gate, stage: Stage) -> Result<(), Refusal> {
        gate.admit(stage, self.source, self.socket.passes())
    }

    fn wave_through(&mut self, refusal: Refusal) {
        let passes = self.socket.passes();
        passes.free();
        passes.waved_through = true;
        would_refuse(self.worker, self.scope, self.source, refusal);
    }

    fn has_slot(&self) -> bool {
        self.socket.has_listener()
    }

    fn take_slot(&mut self, listener: &Listener, limit: Option<u64>) -> Result<(), Refusal> {
        let slot = Slot::take(&listener.slots, limit, self.source.peer, self.source.local)?;
        self.socket.belongs_to(slot, &listener.metrics);
        Ok(())
    }
}
