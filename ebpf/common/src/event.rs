use crate::{
    Begins, DropReason, FlowKey, Pace, QuotaKey, Refusal, Said, address::Address, proxy_protocol::Endpoint,
};

/// A refused connection as user space is told of it, through a ring buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    quota: u64,
    not_told: u64,
    source: Address,
    destination: Address,
    ports: [u16; 2],
    reason: u32,
    tier: u32,
    /// 1: the header names ends.
    named: u32,
    /// Of the header, in words and order as they lie in a packet.
    header_source: Address,
    header_destination: Address,
    header_ports: [u16; 2],
    padding: u32,
}

const _: () = assert!(size_of::<Event>() == 104);

/// Where in the kernel a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tier {
    /// Before the network stack.
    Xdp = 0,
    /// At its entrance.
    Tc = 1,
}

impl Tier {
    /// Every tier, by its number.
    pub const ALL: [Self; 2] = [Self::Xdp, Self::Tc];

    /// As metrics and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
        }
    }
}

impl Event {
    /// Of a refused connection. `not_told`: refusals of the same processor since the last that it has told of.
    #[inline(always)]
    pub const fn new(refusal: &Refusal, tier: Tier, not_told: u64) -> Self {
        let opening = &refusal.opening;
        Self {
            quota: refusal.quota.id(),
            not_told,
            source: opening.source,
            destination: opening.destination,
            ports: [opening.ports.0, opening.ports.1],
            reason: refusal.reason.index(),
            tier: tier as u32,
            named: 0,
            header_source: Address::v6([0; 4]),
            header_destination: Address::v6([0; 4]),
            header_ports: [0; 2],
            padding: 0,
        }
    }

    /// Of a connection that is refused by its PROXY header. What a sender says that is not believed is not told.
    #[inline(always)]
    pub const fn of_header(
        (quota, reason): (&QuotaKey, DropReason),
        flow: &FlowKey,
        said: &Said,
        tier: Tier,
        not_told: u64,
    ) -> Self {
        let believed = said.begins(Begins::Named) && !matches!(reason, DropReason::ProxyUntrusted);
        let (source, destination, ports) = said.as_they_lie();
        Self {
            quota: quota.id(),
            not_told,
            source: flow.source,
            destination: flow.destination,
            ports: flow.ports,
            reason: reason.index(),
            tier: tier as u32,
            named: believed as u32,
            header_source: source,
            header_destination: destination,
            header_ports: ports,
            padding: 0,
        }
    }

    /// From what the ring buffer holds. `None`: these are other bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; size_of::<Self>()] = bytes.try_into().ok()?;
        let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let half = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let port = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let address = |at: usize| Some(Address::new(bytes.get(at..at + 16)?.try_into().ok()?));
        Some(Self {
            quota: word(0)?,
            not_told: word(8)?,
            source: address(16)?,
            destination: address(32)?,
            ports: [port(48)?, port(50)?],
            reason: half(52)?,
            tier: half(56)?,
            named: half(60)?,
            header_source: address(64)?,
            header_destination: address(80)?,
            header_ports: [port(96)?, port(98)?],
            padding: half(100)?,
        })
    }

    /// The id of the [`QuotaKey`] that it is counted for.
    pub const fn quota(&self) -> u64 {
        self.quota
    }

    /// Refusals of the same processor before it, since the last that was told of.
    pub const fn not_told(&self) -> u64 {
        self.not_told
    }

    /// Who has called: address, IPv4 in IPv6's form, and port.
    pub const fn source(&self) -> ([u8; 16], u16) {
        (self.source.bytes(), u16::from_be(self.ports[0]))
    }

    /// Where: likewise.
    pub const fn destination(&self) -> ([u8; 16], u16) {
        (self.destination.bytes(), u16::from_be(self.ports[1]))
    }

    /// Source and destination in the connection's PROXY header, where one was read, believed, and names them.
    pub fn header(&self) -> Option<(Endpoint, Endpoint)> {
        let end = |address: Address, port: u16| Endpoint::new(address.bytes(), u16::from_be(port));
        (self.named == 1).then(|| {
            (
                end(self.header_source, self.header_ports[0]),
                end(self.header_destination, self.header_ports[1]),
            )
        })
    }

    /// Why. `None`: it is another version's.
    pub fn reason(&self) -> Option<DropReason> {
        DropReason::ALL.into_iter().find(|reason| reason.index() == self.reason)
    }

    /// Where it was refused. `None`: it is another version's.
    pub fn tier(&self) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| *tier as u32 == self.tier)
    }
}

/// Which of its refusals a processor tells of: as many as a steady pace admits. The others are counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    pace: Pace,
    /// How many more are counted before the clock is read again.
    patience: u64,
    /// Since the last that was told.
    untold: u64,
    told: u64,
    not_told: u64,
    lost: u64,
}

const _: () = assert!(size_of::<Telling>() == 48);

/// How far ahead of their pace events may be, nanoseconds: a second's worth at once.
const BURST: u64 = 1_000_000_000;

/// Refusals that are counted after one that was one too many, before the clock is read again: it would be most of what
/// telling costs in a flood.
const PATIENCE: u64 = 15;

impl Telling {
    /// True: a refusal is to be told of now. `interval`: nanoseconds from one to the next at a steady pace; 0: each is.
    #[inline(always)]
    pub fn admits(&mut self, now: impl FnOnce() -> u64, interval: u64) -> bool {
        if self.patience == 0 {
            if self.pace.admits_ahead(now(), interval, BURST) {
                return true;
            }
            self.patience = PATIENCE;
        } else {
            self.patience -= 1;
        }
        self.untold = self.untold.wrapping_add(1);
        self.not_told = self.not_told.wrapping_add(1);
        false
    }

    /// How many were refused since the last that was told of.
    #[inline(always)]
    pub const fn untold(&self) -> u64 {
        self.untold
    }

    /// One that was admitted is told of.
    #[inline(always)]
    pub fn sent(&mut self) {
        self.untold = 0;
        self.told = self.told.wrapping_add(1);
    }

    /// One that was admitted is not: nobody reads, or not fast enough.
    #[inline(always)]
    pub fn lost(&mut self) {
        self.untold = self.untold.wrapping_add(1);
        self.lost = self.lost.wrapping_add(1);
    }

    /// Refusals that were told of, those that were not for the sake of the pace, and those that were lost.
    pub const fn totals(&self) -> [u64; 3] {
        [self.told, self.not_told, self.lost]
    }
}

/// What a processor does at a steady pace.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desk {
    /// Answering.
    pub answers: Pace,
    /// Telling of what it refuses.
    pub telling: Telling,
}

const _: () = assert!(size_of::<Desk>() == 56);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_told_of_or_counted() {
        let mut telling = Telling::default();
        let (mut told, mut weight) = (0_u64, 0);
        for number in 0..10_000_u64 {
            // Ten times as fast as the pace.
            if !telling.admits(|| number * 1_000_000, 10_000_000) {
                continue;
            }
            if number % 100 < 5 {
                telling.lost();
            } else {
                weight += telling.untold() + 1;
                told += 1;
                telling.sent();
            }
        }
        let [sent, not_told, lost] = telling.totals();
        assert_eq!((sent, sent + not_told + lost), (told, 10_000));
        assert_eq!(weight + telling.untold(), 10_000, "each event stands for those before it");
        assert!(lost > 0 && (600..1_200).contains(&(sent + lost)), "{sent} and {lost}");
    }
}
