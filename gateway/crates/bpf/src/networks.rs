use std::{collections::BTreeMap, net::IpAddr};

use ebpf_common::{NetworkKey, Networks as Says};

use crate::{limits::fnv1a, policy::mapped};

/// Networks that may not connect, may, or are free of limits, made ready for a trie: each row says what it says and what
/// every network around it says, since a look-up finds the smallest only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    id: u64,
    allow_listed: bool,
    /// By address and number of bits, IPv4 in IPv6's form.
    rows: BTreeMap<([u8; 16], u8), u32>,
}

/// Where IPv4 addresses are: a network of IPv6 around them is not meant for them.
const IPV4: ([u8; 16], u8) = ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], 96);

impl Networks {
    /// Of addresses and numbers of bits; host bits are passed over.
    pub fn new(deny: &[(IpAddr, u8)], allow: &[(IpAddr, u8)], exempt: &[(IpAddr, u8)]) -> Self {
        let lists = [(deny, Says::DENY), (allow, Says::ALLOW), (exempt, Says::EXEMPT)];
        let rows = rows(&lists);
        Self { id: if rows.is_empty() { 0 } else { id(&rows) }, allow_listed: !allow.is_empty(), rows }
    }

    /// Of those who may send PROXY headers; there may be none.
    pub fn of_senders(senders: &[(IpAddr, u8)]) -> Self {
        let rows = rows(&[(senders, Says::SENDER)]);
        Self { id: id(&rows), allow_listed: false, rows }
    }

    /// Names the set by what is in it; 0: it is never asked.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// True: only some may connect.
    pub(crate) const fn are_allow_listed(&self) -> bool {
        self.allow_listed
    }

    /// Key, bits of it that count, and value of each row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (NetworkKey, u32, u32)> {
        let row = |(&(address, bits), &says): (&([u8; 16], u8), &u32)| {
            (NetworkKey::of_network(self.id, address), NetworkKey::SET_BITS + u32::from(bits), says)
        };
        self.rows.iter().map(row)
    }
}

fn rows(lists: &[(&[(IpAddr, u8)], u32)]) -> BTreeMap<([u8; 16], u8), u32> {
    let mut own = BTreeMap::<_, u32>::new();
    for (network, says) in lists.iter().flat_map(|(list, says)| list.iter().map(move |one| (*one, *says))) {
        *own.entry(key(network)).or_default() |= says;
    }
    let is_ipv4 = |(address, bits): &([u8; 16], u8)| *bits >= 96 && address[..12] == IPV4.0[..12];
    if own.keys().any(|key| !is_ipv4(key) && covers(*key, IPV4)) {
        own.entry(IPV4).or_default();
    }
    // In this order a network comes after those around it, which are still on the stack.
    let mut around: Vec<(([u8; 16], u8), u32)> = Vec::new();
    let rows = own.into_iter().map(|(key, says)| {
        let is_around = |other: ([u8; 16], u8)| covers(other, key) && is_ipv4(&other) == is_ipv4(&key);
        // One of IPv6 around all of IPv4 comes back after it.
        let says =
            around.iter().filter(|(other, _)| is_around(*other)).fold(says, |says, (_, more)| says | more);
        while around.last().is_some_and(|(other, _)| !covers(*other, key)) {
            around.pop();
        }
        around.push((key, says));
        (key, says)
    });
    rows.collect()
}

fn key((address, bits): (IpAddr, u8)) -> ([u8; 16], u8) {
    let bits = if address.is_ipv4() { 96 + bits.min(32) } else { bits.min(128) };
    (truncated(mapped(address), bits), bits)
}

fn truncated(address: [u8; 16], bits: u8) -> [u8; 16] {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    (u128::from_be_bytes(address) & mask).to_be_bytes()
}

fn covers((around, bits): ([u8; 16], u8), (address, more): ([u8; 16], u8)) -> bool {
    bits <= more && truncated(address, bits) == around
}

/// A hash of every row; never 0.
fn id(rows: &BTreeMap<([u8; 16], u8), u32>) -> u64 {
    let bytes = rows
        .iter()
        .flat_map(|((address, bits), says)| address.iter().copied().chain([*bits]).chain(says.to_be_bytes()));
    fnv1a(bytes).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network() -> impl Strategy<Value = (IpAddr, u8)> {
        // Few addresses, so that networks lie in one another.
        let v4 = (0..4u8, 0..4u8, 0..=32u8).prop_map(|(a, d, bits)| (IpAddr::from([10, a, 0, d]), bits));
        let v6 = (0..3u16, 0..3u16, 0..=128u8).prop_map(|(a, h, bits)| {
            (IpAddr::from([if a == 2 { 0 } else { 0x2001 }, a, 0, 0, 0, 0, 0, h]), bits)
        });
        prop_oneof![v4, v6]
    }

    fn contains((network, bits): (IpAddr, u8), address: IpAddr) -> bool {
        network.is_ipv4() == address.is_ipv4() && covers(key((network, bits)), key((address, 128)))
    }

    proptest! {
        #[test]
        fn the_smallest_row_says_what_every_network_around_an_address_says(
            deny in prop::collection::vec(network(), 0..6),
            allow in prop::collection::vec(network(), 0..6),
            exempt in prop::collection::vec(network(), 0..6),
            (address, _) in network(),
        ) {
            let networks = Networks::new(&deny, &allow, &exempt);
            let lists = [(&deny, Says::DENY), (&allow, Says::ALLOW), (&exempt, Says::EXEMPT)];
            let expected = lists.into_iter().filter(|(list, _)| list.iter().any(|one| contains(*one, address)));
            let expected = expected.fold(0, |says, (_, more)| says | more);
            let found = networks.rows.iter().filter(|(row, _)| covers(**row, key((address, 128))));
            let found = found.max_by_key(|((_, bits), _)| *bits).map_or(0, |(_, says)| *says);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_set_is_named_by_what_is_in_it() {
        let ten = [("10.0.0.0".parse().expect("an address"), 8)];
        let host = [("10.1.2.3".parse().expect("an address"), 8)];
        assert_eq!(Networks::new(&ten, &[], &[]), Networks::new(&host, &[], &[]));
        assert_ne!(Networks::new(&ten, &[], &[]).id(), Networks::new(&[], &[], &ten).id());
        assert_eq!(Networks::new(&[], &[], &[]).id(), 0);
    }
}
