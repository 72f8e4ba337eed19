use std::{
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use aya::{
    Ebpf,
    maps::{Map, MapData, PerCpuArray, RingBuf},
};
use ebpf_common::{Event, names};

use crate::{Error, limits::QuotaId, row::DeskRow, rows::failed};

/// Refused connections that the programs tell of, as they come. Its descriptor is readable when there are some. There is
/// one reader at a time: what one has taken, another does not see.
pub struct Events(RingBuf<MapData>);

/// A connection that was refused in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedSegment {
    /// What it would have counted towards.
    pub quota: QuotaId,
    /// `xdp` or `tc`.
    pub tier: &'static str,
    /// As the metric names it.
    pub reason: &'static str,
    /// Who has called.
    pub peer: SocketAddr,
    /// Where.
    pub local: SocketAddr,
    /// Source and destination in its PROXY header, where that was read and is believed.
    pub proxied: Option<(SocketAddr, SocketAddr)>,
    /// Refusals of the same processor that were not told of, since the last that was.
    pub not_told: u64,
}

/// Refused connections by whether they were told of, since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Each has an event.
    pub told: u64,
    /// None, for the sake of the pace.
    pub not_told: u64,
    /// None, since too many waited to be read.
    pub lost: u64,
}

impl Events {
    /// Opens the ring buffer of loaded programs.
    pub(crate) fn open(programs: &Ebpf) -> Result<Self, Error> {
        let ring = second_handle(programs, names::EVENTS)?;
        Ok(Self(ring.try_into().map_err(failed("open", names::EVENTS))?))
    }

    /// The next one; `None`: there is none yet. What cannot be read, since another version has written it, is left out.
    pub fn take(&mut self) -> Option<RefusedSegment> {
        loop {
            let item = self.0.next()?;
            if let Some(refused) = Event::read(&item).and_then(|event| refused(&event)) {
                return Some(refused);
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

fn refused(event: &Event) -> Option<RefusedSegment> {
    let end = |(address, port): ([u8; 16], u16)| SocketAddr::new(IpAddr::from(address).to_canonical(), port);
    Some(RefusedSegment {
        quota: QuotaId(event.quota()),
        tier: event.tier()?.name(),
        reason: event.reason()?.name(),
        peer: end(event.source()),
        local: end(event.destination()),
        proxied: event
            .header()
            .map(|(source, destination)| (source.socket_addr(), destination.socket_addr())),
        not_told: event.not_told(),
    })
}

/// What each processor has told of.
pub(crate) fn desk(programs: &Ebpf) -> Result<PerCpuArray<MapData, DeskRow>, Error> {
    second_handle(programs, names::DESK)?.try_into().map_err(failed("open", names::DESK))
}

/// A handle of its own of a map that is not pinned: the first one stays with the programs, which may be loaded later.
fn second_handle(programs: &Ebpf, name: &'static str) -> Result<Map, Error> {
    let missing = || failed("open", name)("the object has no such map");
    let (Map::RingBuf(data) | Map::PerCpuArray(data)) = programs.map(name).ok_or_else(missing)? else {
        return Err(missing());
    };
    let descriptor = data.fd().as_fd().try_clone_to_owned().map_err(failed("open", name))?;
    MapData::from_fd(descriptor).and_then(Map::from_map_data).map_err(failed("open", name))
}
