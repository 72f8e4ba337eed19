use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use aya::maps::{HashMap, MapData};
use ebpf_common::{Begins, SourceCount, SourceKey, names};

use crate::{
    Error,
    limits::QuotaId,
    pins::Pins,
    policy::mapped,
    row::{BeginningRow, Flow, Source, SourceRow},
    rows::{failed, gone, owner, pinned},
};

/// Who is really calling, as the programs have read it in PROXY headers, and who of them has as many connections as one
/// may have, as they are told. Handles of their own, to be used from any thread.
#[derive(Clone)]
pub struct Sources(Arc<Maps>);

struct Maps {
    netns: u64,
    beginnings: Mutex<HashMap<MapData, Flow, BeginningRow>>,
    counts: Mutex<HashMap<MapData, Source, SourceRow>>,
}

/// What a connection began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// A whole header that names both ends of a TCP connection.
    Named {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
        /// Bytes of the header.
        length: u16,
    },
    /// A whole header that names nobody.
    Nameless {
        /// Bytes of the header.
        length: u16,
    },
    /// No header, an unsound one, or one that is not whole in the first segment.
    Unknown,
    /// What the programs have refused the connection for: they have counted it, and reset our end.
    Refused,
}

impl Sources {
    /// Opens the pinned maps.
    pub(crate) fn open(pins: &Pins, netns: u64) -> Result<Self, Error> {
        let beginnings = pinned(pins, names::BEGINNINGS)?;
        let mut counts: HashMap<_, Source, SourceRow> = pinned(pins, names::SOURCES)?;
        forget_full(&mut counts)?;
        Ok(Self(Arc::new(Maps { netns, beginnings: Mutex::new(beginnings), counts: Mutex::new(counts) })))
    }

    /// What the connection of these ends began with; it is forgotten with that. `None`: the programs have not seen its
    /// first segment, or not known it for that.
    pub fn header(&self, peer: SocketAddr, local: SocketAddr) -> Option<Header> {
        let end = |address: SocketAddr| (mapped(address.ip()), address.port());
        let flow = Flow(ebpf_common::FlowKey::new(end(peer), end(local)));
        let mut rows = self.0.beginnings.lock().unwrap_or_else(PoisonError::into_inner);
        let BeginningRow(beginning) = rows.get(&flow, 0).ok()?;
        // It is said once: the next connection of the same ends may come where nobody reads.
        let _ = rows.remove(&flow);
        drop(rows);
        let said = beginning.said()?;
        let length = said.length();
        Some(match said.ends() {
            Some((source, destination)) => {
                Header::Named { source: source.socket_addr(), destination: destination.socket_addr(), length }
            }
            None if said.begins(Begins::Nameless) => Header::Nameless { length },
            None if said.begins(Begins::Refused) => Header::Refused,
            None => Header::Unknown,
        })
    }

    /// From now on connections of this source or network in PROXY headers are refused, or are not any more. `bits`: of the
    /// address, of its own family. Fails where the map cannot be written.
    pub fn mark(&self, quota: QuotaId, address: IpAddr, bits: u8, full: bool) -> Result<(), Error> {
        let bits = if address.is_ipv4() { bits.saturating_add(96) } else { bits };
        let key = Source(SourceKey::new(owner(self.0.netns, quota, true), mapped(address), bits));
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if full {
            counts.insert(key, SourceRow(SourceCount::FULL), 0).map_err(failed("write", names::SOURCES))
        } else {
            gone(counts.remove(&key)).map_err(failed("remove from", names::SOURCES))
        }
    }
}

/// What an earlier process has said of sources in PROXY headers: it counted them, and we begin anew.
fn forget_full(counts: &mut HashMap<MapData, Source, SourceRow>) -> Result<(), Error> {
    let marked = counts.iter().flatten().filter(|(_, row)| row.0.open() == SourceCount::FULL.open());
    let marked: Vec<Source> = marked.map(|(key, _)| key).collect();
    marked.iter().try_for_each(|key| gone(counts.remove(key))).map_err(failed("remove from", names::SOURCES))
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("netns", &self.0.netns).finish_non_exhaustive()
    }
}
