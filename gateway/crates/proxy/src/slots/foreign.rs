use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use ir::{ConnectionRate, ListenerId, SourceKey};

use super::{Count, Counted, GateState, Slots, gate::Held};
use crate::carry::Carry;

/// The connections that a predecessor still serves, as this process counts them: on top of its own, so that one limit
/// holds for both. Dropping it, as when the predecessor has ended, gives back whatever is left.
pub struct Foreign {
    carry: Arc<Carry>,
    slots: HashMap<Counted, (Arc<dyn Slots>, u64)>,
    sources: HashMap<Counted, Vec<Held>>,
}

/// Slots are counted by listener; whose connection it is plays no part.
const SOMEBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Foreign {
    /// Nothing yet.
    pub(crate) fn new(carry: &Arc<Carry>) -> Self {
        Self { carry: Arc::clone(carry), slots: HashMap::new(), sources: HashMap::new() }
    }

    /// Counts what the predecessor has counted up to now, whatever the limits here.
    pub fn hold(&mut self, count: &Count) {
        let Count { of, open, full_in } = count;
        match of {
            Counted::Source { listener, network, key } => {
                let state = self.carry.gate(listener);
                let source = (*network, *key);
                let held = (0..*open).filter_map(|_| open_foreign(&state, source, None));
                if *open > 0 {
                    self.sources.entry(of.clone()).or_default().extend(held);
                }
                if !full_in.is_zero() {
                    state.drain_to(Some(source), *full_in);
                }
            }
            Counted::Connections | Counted::Listener(_) => {
                if *open > 0 {
                    let (slots, held) = self.entry(of);
                    slots.hold(*open);
                    *held += open;
                    self.note(of, i64::try_from(*open).unwrap_or(i64::MAX));
                }
                if let Counted::Listener(listener) = of
                    && !full_in.is_zero()
                {
                    self.carry.gate(listener).drain_to(None, *full_in);
                }
            }
        }
    }

    /// Counts one more, which the predecessor had accepted before it stopped to. False: the limit is reached.
    pub fn take(&mut self, counted: &Counted, limit: Option<u64>) -> bool {
        match counted {
            Counted::Source { listener, network, key } => {
                let Some(held) = open_foreign(&self.carry.gate(listener), (*network, *key), limit) else {
                    return false;
                };
                self.sources.entry(counted.clone()).or_default().push(held);
                true
            }
            Counted::Connections | Counted::Listener(_) => {
                let (slots, held) = self.entry(counted);
                let taken = slots.take(limit, SOMEBODY, SOMEBODY).is_ok();
                if taken {
                    *held += 1;
                    self.note(counted, 1);
                }
                taken
            }
        }
    }

    /// One of them is closed.
    pub fn free(&mut self, counted: &Counted) {
        if let Some(held) = self.sources.get_mut(counted) {
            held.pop();
            if held.is_empty() {
                self.sources.remove(counted);
            }
        } else if let Some((slots, held @ 1..)) = self.slots.get_mut(counted) {
            *held -= 1;
            slots.free();
            self.note(counted, -1);
        }
    }

    /// Takes a token of a bucket that both draw from.
    pub fn spend(&self, counted: &Counted, rate: ConnectionRate) -> bool {
        let gate = |listener: &ListenerId| self.carry.gate(listener);
        match counted {
            Counted::Source { listener, network, key } => {
                gate(listener).spend_foreign(Some((*network, *key)), rate)
            }
            Counted::Listener(listener) => gate(listener).spend_foreign(None, rate),
            Counted::Connections => true,
        }
    }

    fn entry(&mut self, counted: &Counted) -> &mut (Arc<dyn Slots>, u64) {
        let carry = &self.carry;
        self.slots.entry(counted.clone()).or_insert_with(|| match counted {
            Counted::Listener(id) | Counted::Source { listener: id, .. } => (carry.slots(id), 0),
            Counted::Connections => (Arc::clone(&carry.connections), 0),
        })
    }

    /// Tells apart what costs this process no descriptor.
    fn note(&self, counted: &Counted, more: i64) {
        if *counted == Counted::Connections {
            self.carry.foreign.add(more);
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        for (counted, (slots, held)) in std::mem::take(&mut self.slots) {
            (0..held).for_each(|_| slots.free());
            self.note(&counted, -i64::try_from(held).unwrap_or(i64::MAX));
        }
    }
}

fn open_foreign(state: &Arc<GateState>, source: (IpNet, SourceKey), limit: Option<u64>) -> Option<Held> {
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(u32::MAX);
    GateState::open_foreign(state, source.0, source.1, limit)
}
