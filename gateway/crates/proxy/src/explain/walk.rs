use std::net::SocketAddr;

use ir::Protocol;

use super::{Check, Moment, Outcome, Path, Reads, Step};
use crate::{
    carry::Carry,
    connection::{Applicant, Known, ask},
    refusal::Refusal,
    slots::{Gate, Stage},
    snapshot::{Bind, Listener, Snapshot},
    sources::{Proxied, Source},
};

/// What a connection meets, wherever on its port it goes.
pub(super) struct Walk<'a> {
    pub(super) carry: &'a Carry,
    pub(super) snapshot: &'a Snapshot,
    pub(super) bind: &'a Bind,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) proxied: Option<Proxied>,
}

impl Walk<'_> {
    /// The way to a listener of the port; `None`: its server name falls under none.
    pub(super) fn to(&self, listener: Option<usize>) -> Path {
        let listener = listener.map(|place| &self.bind.listeners[place]);
        let mut look = Look {
            source: Source { peer: self.peer, local: self.local, proxied: None },
            moment: Moment::Accept,
            waved_through: false,
            has_slot: false,
            steps: Vec::new(),
        };
        // Whoever refuses has made the last step; there is nothing else to tell.
        let _ = self.walk(listener, &mut look);
        let decides = self.bind.protocol == Protocol::Https;
        let hostname = listener.filter(|_| decides).and_then(|listener| listener.hostname.as_ref());
        Path {
            listener: listener.map(|listener| listener.id.clone()),
            hostname: hostname.map(|hostname| hostname.as_str().to_owned()),
            is_broken: listener.is_some_and(|listener| listener.broken),
            steps: look.steps,
        }
    }

    /// The same way as `Port::admit`, `establish` and `Handshake::run` go.
    fn walk(&self, listener: Option<&Listener>, look: &mut Look) -> Result<(), Refusal> {
        let (open, limit) = (self.carry.connections.open(), self.snapshot.max_connections);
        let room = self.carry.connections.has_room(Some(limit));
        look.note(Check::Global { open, limit }, room.then_some(()).ok_or(Refusal::OverGlobalLimit))?;
        let first = &self.bind.listeners[0];
        if let Some(known) = Known::at_accept(self.bind) {
            ask(first, known, look)?;
        }
        self.header(look)?;
        if look.has_slot && self.bind.client.proxy_protocol.is_some() {
            ask(first, Known::Source, look)?;
        }
        if self.bind.protocol == Protocol::Https {
            look.moment = Moment::ClientHello;
            look.note(Check::ServerName, listener.map(|_| ()).ok_or(Refusal::TlsNoListener))?;
        }
        match listener {
            Some(listener) if !look.has_slot => ask(listener, Known::Both, look),
            _ => Ok(()),
        }
    }

    fn header(&self, look: &mut Look) -> Result<(), Refusal> {
        let source = self.proxied.map(|proxied| proxied.source.ip());
        let Some(ir::ProxyProtocol { optional }) = self.bind.client.proxy_protocol else {
            if source.is_some() {
                return look.note(Check::Header { source, reads: Reads::Nothing }, Ok(()));
            }
            return Ok(());
        };
        look.moment = Moment::Header;
        let trusted = self.bind.trusted_senders.covers(self.peer.ip());
        let outcome = match source {
            Some(_) if !trusted => Err(Refusal::ProxyUntrusted),
            None if !optional => Err(Refusal::ProxyMissing),
            _ => Ok(()),
        };
        look.note(Check::Header { source, reads: Reads::Header { optional, trusted } }, outcome)?;
        look.source.proxied = self.proxied;
        Ok(())
    }
}

/// Somebody who wants to know.
struct Look {
    source: Source,
    moment: Moment,
    waved_through: bool,
    has_slot: bool,
    steps: Vec<Step>,
}

impl Look {
    fn note(&mut self, check: Check, outcome: Result<(), Refusal>) -> Result<(), Refusal> {
        self.steps.push(Step { moment: self.moment, check, outcome: Outcome::Passes });
        outcome.inspect_err(|refusal| self.end(Outcome::Refused(refusal.reason())))
    }

    /// What comes of the last check.
    fn end(&mut self, outcome: Outcome) {
        if let Some(last) = self.steps.last_mut() {
            last.outcome = outcome;
        }
    }
}

impl Applicant for Look {
    fn is_waved_through(&self) -> bool {
        self.waved_through
    }

    fn judge(&mut self, gate: &Gate, stage: Stage) -> Result<(), Refusal> {
        let Self { source, moment, steps, .. } = self;
        let moment = *moment;
        let outcome = gate.look(stage, source, &mut |check| {
            steps.push(Step { moment, check: Check::Policy(check), outcome: Outcome::Passes });
        });
        outcome.inspect_err(|refusal| self.end(Outcome::Refused(refusal.reason())))
    }

    fn wave_through(&mut self, refusal: Refusal) {
        self.waved_through = true;
        self.end(Outcome::WouldRefuse(refusal.reason()));
    }

    fn has_slot(&self) -> bool {
        self.has_slot
    }

    fn take_slot(&mut self, listener: &Listener, limit: Option<u64>) -> Result<(), Refusal> {
        let room = listener.slots.has_room(limit);
        self.has_slot = true;
        let check = Check::Connections { open: listener.slots.open(), limit };
        self.note(check, room.then_some(()).ok_or(Refusal::OverConnectionLimit))
    }
}
