use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use ebpf_common::names;

use crate::{
    call::RawMap,
    counting,
    inspection::{CountLine, LimitLine},
    limits::{Limit, Limits, QuotaId},
    pins::{self, Pins},
};

/// What a gateway of another map layout has left pinned and goes on to count: connections that were open when this one
/// took its place. Its program takes each off its own map when it ends, and counts no new one.
///
/// Version 2 is read, by the sizes and places that its rows had.
#[derive(Debug)]
pub(crate) struct Earlier {
    netns: u64,
    layouts: Vec<Layout>,
}

/// What limits and counts of one version's pins say, whatever else it has.
#[derive(Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
    limits: RawMap,
    counts: RawMap,
}

/// Sizes of version 2's `ListenerKey` and `QuotaKey`, and what of `Limit` and `Count` is read here.
const LISTENER: usize = 32;
const QUOTA: usize = 16;
const LIMIT: usize = 16;
const COUNT: usize = 16;

impl Earlier {
    /// Finds them, and removes what counts nothing.
    pub(crate) fn find(pins: &Pins, netns: u64) -> Self {
        let mut layouts = Vec::new();
        for directory in pins.other_versions() {
            let is_counting = pins::exists(&directory.join(counting::PIN));
            match Layout::open(&directory).filter(|_| is_counting) {
                Some(layout) => layouts.push(layout),
                None => {
                    tracing::info!(directory = %directory.display(), "removing pins of another layout, which count nothing");
                    pins::remove_directory(&directory);
                }
            }
        }
        Self { netns, layouts }
    }

    /// True: there is nothing, or no more.
    pub(crate) fn is_empty(&self) -> bool {
        self.layouts.is_empty()
    }

    /// Takes over the links on interfaces, for programs to be replaced under them without a gap.
    pub(crate) fn hand_over_links(&self, pins: &Pins) {
        for layout in &self.layouts {
            pins.take_links(&layout.directory);
        }
    }

    /// The limits that its programs enforce.
    pub(crate) fn limits(&self) -> Limits {
        let rows = self.layouts.iter().flat_map(Layout::limits).filter(|row| row.netns == self.netns);
        let limit = |row: LimitLine| {
            (row.address, Limit { quota: row.quota, most: row.most, policy: None, proxied: None })
        };
        rows.map(limit).collect()
    }

    /// Lets its program count no new connection: without limits it knows no listener.
    pub(crate) fn close(&self) {
        self.layouts.iter().for_each(Layout::close);
    }

    /// Connections that it still counts. What has none left is removed.
    pub(crate) fn open(&mut self) -> BTreeMap<QuotaId, u64> {
        let mut open = BTreeMap::new();
        self.layouts.retain(|layout| {
            let counted = layout.counts();
            let is_left = counted.iter().any(|row| row.open > 0);
            if !is_left {
                tracing::info!(directory = %layout.directory.display(), "no connection of the other layout is left");
                pins::remove_directory(&layout.directory);
            }
            for row in counted.iter().filter(|row| row.netns == self.netns && row.open > 0) {
                *open.entry(row.quota).or_default() += row.open;
            }
            is_left
        });
        open
    }
}

impl Layout {
    /// `None`: it has no such maps, or none of the sizes that version 2 has.
    pub(crate) fn open(directory: &Path) -> Option<Self> {
        Some(Self {
            directory: directory.to_owned(),
            limits: RawMap::open(&directory.join(names::LIMITS), LISTENER, LIMIT)?,
            counts: RawMap::open(&directory.join(names::COUNTS), QUOTA, COUNT)?,
        })
    }

    /// What listening sockets may have, in every namespace.
    pub(crate) fn limits(&self) -> Vec<LimitLine> {
        let row = |(key, value): (Vec<u8>, Vec<u8>)| {
            let (netns, address) = listener(&key)?;
            let most = number(&value, 8).filter(|most| *most != u64::MAX);
            Some(LimitLine { netns, address, quota: QuotaId(number(&value, 0)?), most })
        };
        self.limits.rows().unwrap_or_default().into_iter().filter_map(row).collect()
    }

    /// What is open, in every namespace.
    pub(crate) fn counts(&self) -> Vec<CountLine> {
        let row = |(key, value): (Vec<u8>, Vec<u8>)| {
            let open = number(&value, 0)?.cast_signed().max(0).unsigned_abs();
            Some(CountLine { netns: number(&key, 0)?, quota: QuotaId(number(&key, 8)?), open })
        };
        self.counts.rows().unwrap_or_default().into_iter().filter_map(row).collect()
    }

    /// Lets its programs know no listener: they count no new connection and refuse none.
    pub(crate) fn close(&self) {
        if let Err(error) = self.limits.clear() {
            tracing::warn!(directory = %self.directory.display(), %error, "cannot empty the limits of these pins");
        }
    }
}

/// A word of a row, as this machine writes it.
fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A listening socket's namespace and address: `ebpf_common::ListenerKey`.
fn listener(key: &[u8]) -> Option<(u64, SocketAddr)> {
    let address: [u8; 16] = *key.get(8..)?.first_chunk()?;
    let port = u16::from_be_bytes(*key.get(24..)?.first_chunk()?);
    Some((number(key, 0)?, SocketAddr::new(IpAddr::from(address).to_canonical(), port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_version_2_are_read_where_they_have_their_parts() {
        let mut limit = 7_u64.to_ne_bytes().to_vec();
        limit.extend(9_u64.to_ne_bytes());
        assert_eq!((number(&limit, 0), number(&limit, 8), number(&limit, 16)), (Some(7), Some(9), None));
        for text in ["192.0.2.7:80", "[2001:db8::7]:65535", "0.0.0.0:443"] {
            let address: SocketAddr = text.parse().expect("an address");
            let mut key = 3_u64.to_ne_bytes().to_vec();
            key.extend(crate::policy::mapped(address.ip()));
            key.extend(address.port().to_be_bytes());
            key.extend([0; 6]);
            assert_eq!(key.len(), LISTENER);
            assert_eq!(listener(&key), Some((3, address)));
        }
    }
}
