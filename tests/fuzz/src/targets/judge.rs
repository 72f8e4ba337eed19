use std::{cell::RefCell, net::IpAddr};

use ebpf_common::{
    Handshakes, Limit, ListenerKey, Listeners, NetworkKey, Networks, Opening, Policy, QuotaKey, Rate, Reset,
    SourceKey, Sources, Verdict, judge,
};

use super::judge_reference::{self, Read, Segment};

/// Ethernet and VLAN, IPv4 and IPv6 with their extensions and fragments, TCP with its options.
pub const DICTIONARY: &[&[u8]] = &[
    b"\x81\0\0\x07",
    b"\x88\xa8\0\x07",
    b"\x08\0",
    b"\x86\xdd",
    b"\x45\0\0\x28",
    b"\x46\0\0\x2c\x01\x01\x01\0",
    b"\x4f\0\0\x50",
    b"\x40\0\x40\x06",
    b"\x20\0\x40\x06",
    b"\0\x01\x40\x06",
    b"\0\x14\x06\x40",
    b"\0\x1c\0\x40",
    b"\x06\0\0\0\0\0\0\0",
    b"\x3c\x01",
    b"\x2b\0\0\0\0\0\0\0",
    b"\x33\x04",
    b"\x2c\0\0\x01",
    b"\x06\xff",
    b"\x87\x8b\x8c",
    b"\x50\x02",
    b"\x50\x10",
    b"\x50\x11",
    b"\x50\x12",
    b"\xf0\x02",
    b"\x60\x02\xff\xff\0\0\0\0\x02\x04\x05\xb4",
    b"\xe0\0\0\x01",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\0\0\0\xff\xff",
    b"\xff\x02",
    b"\0\0",
];

const NETNS: u64 = 7;
const QUOTA: u64 = 9;
const OWNER: u64 = 11;
const SET: u64 = 13;
const MOST: u64 = 4;
const MOST_PER_SOURCE: u32 = 2;
const MOST_PER_PREFIX: u32 = 3;
/// Bytes of an input before the frame.
const TABLES: usize = 8;

/// What maps and sockets say, from the first bytes of an input.
struct Tables {
    /// The port's lowest bit of those that have a listener.
    parity: u16,
    limit: Limit,
    open: i64,
    lately: bool,
    handshake: bool,
    limited: bool,
    policed: bool,
    allow_listed: bool,
    silent: bool,
    by_source: Option<i64>,
    by_prefix: Option<i64>,
    /// Bits of an IPv4 and of an IPv6 address that name a network.
    bits: (u8, u8),
    says: Option<u32>,
    /// Whether a token is left.
    source_rate: Option<bool>,
    listener_rate: Option<bool>,
    /// Rows that were asked for.
    asked: RefCell<Vec<SourceKey>>,
}

impl Tables {
    fn read(bytes: &[u8; TABLES]) -> Self {
        let [what, open, says, counts, rates, v4, v6, parity] = *bytes;
        let bit = |byte: u8, place: u8| byte >> place & 1 == 1;
        let tables = Self {
            parity: u16::from(parity & 1),
            limit: Limit::new(QUOTA, bit(what, 2).then_some(MOST)),
            open: i64::from(open % 8) - 1,
            lately: bit(what, 0),
            handshake: bit(what, 1),
            limited: bit(what, 2),
            policed: bit(what, 3),
            allow_listed: bit(what, 4),
            silent: bit(what, 5),
            by_source: bit(what, 6).then_some(i64::from(counts & 7)),
            by_prefix: bit(what, 7).then_some(i64::from(counts >> 3 & 7)),
            bits: (v4 % 33, v6 % 129),
            says: bit(says, 3).then_some(u32::from(says & 7)),
            source_rate: bit(rates, 0).then_some(bit(rates, 1)),
            listener_rate: bit(rates, 2).then_some(bit(rates, 3)),
            asked: RefCell::default(),
        };
        let rate = |rate: Option<bool>| if rate.is_some() { Rate::new(1, 1) } else { Rate::NONE };
        let mut policy = Policy::of(OWNER).with_rates(rate(tables.source_rate), rate(tables.listener_rate));
        if tables.says.is_some() || tables.allow_listed {
            policy = policy.with_networks(SET, tables.allow_listed);
        }
        if tables.by_source.is_some() {
            policy = policy.with_source_limit(MOST_PER_SOURCE);
        }
        if tables.by_prefix.is_some() {
            policy = policy.with_prefix_limit(MOST_PER_PREFIX, tables.bits.0, tables.bits.1);
        }
        if tables.silent {
            policy = policy.dropping();
        }
        let policy = if tables.policed { policy } else { Policy::NONE };
        Self { limit: tables.limit.with_policy(policy), ..tables }
    }

    /// Why a segment is refused, by one rule after the other.
    fn refuses(&self, segment: &Segment) -> Option<(&'static str, bool)> {
        let begins = segment.acknowledged.is_none();
        if segment.ports.1 & 1 != self.parity {
            return None;
        }
        let says = self.says.unwrap_or(0);
        let exempt = says & 4 != 0;
        let policy = [
            ("source_denied", begins && says & 1 != 0),
            ("source_not_allowed", begins && self.allow_listed && says & 2 == 0),
            ("over_source_limit", !exempt && self.by_source.is_some_and(|open| open >= 2)),
            ("over_prefix_limit", !exempt && self.by_prefix.is_some_and(|open| open >= 3)),
            ("over_source_rate", begins && !exempt && self.source_rate == Some(false)),
            ("over_listener_rate", begins && !exempt && self.listener_rate == Some(false)),
        ];
        let by_policy = policy.into_iter().find(|(_, holds)| self.policed && *holds);
        let full = self.limited && self.open >= MOST as i64;
        let (reason, silent) = match by_policy {
            Some((reason, _)) => (reason, self.silent),
            None if full => ("over_connection_limit", false),
            None => return None,
        };
        // A connection that is established already is nobody's to refuse.
        (begins || self.handshake).then_some((reason, silent))
    }

    /// The rows by source and by network that may be asked for.
    fn rows(&self, source: IpAddr) -> [SourceKey; 2] {
        let (bytes, bits) = match source.to_canonical() {
            IpAddr::V4(address) => (address.to_ipv6_mapped().octets(), 96 + self.bits.0),
            IpAddr::V6(address) => (address.octets(), self.bits.1),
        };
        let mut network = bytes;
        for bit in usize::from(bits)..128 {
            network[bit / 8] &= !(0x80 >> (bit % 8));
        }
        [SourceKey::new(OWNER, bytes, 128), SourceKey::new(OWNER, network, bits)]
    }
}

impl Listeners for Tables {
    fn limit(&self, listener: &ListenerKey) -> Option<&Limit> {
        assert_eq!(listener.netns(), NETNS, "the namespace of the interface");
        (listener.port() & 1 == self.parity).then_some(&self.limit)
    }

    fn open(&self, quota: &QuotaKey) -> i64 {
        assert_eq!((quota.netns(), quota.id()), (NETNS, QUOTA), "the listener's own quota");
        self.open
    }

    fn sources(&self, quota: &QuotaKey) -> impl Sources {
        assert_eq!((quota.netns(), quota.id()), (NETNS, QUOTA), "the listener's own quota");
        Of(self)
    }
}

struct Of<'a>(&'a Tables);

impl Sources for Of<'_> {
    fn networks(&self, key: &NetworkKey) -> Networks {
        assert_eq!(key.set(), SET, "the policy's own networks");
        Networks(self.0.says.unwrap_or(0))
    }

    fn open(&self, place: &SourceKey) -> i64 {
        let mut asked = self.0.asked.borrow_mut();
        let is_source = asked.is_empty() && self.0.by_source.is_some();
        asked.push(*place);
        if is_source { self.0.by_source } else { self.0.by_prefix }
            .expect("what is not counted is not asked for")
    }

    fn spend(&self, source: &SourceKey, _: &Rate) -> bool {
        self.0.asked.borrow_mut().push(*source);
        self.0.source_rate.expect("there is no such rate")
    }

    fn spend_of_listener(&self, _: &Rate) -> bool {
        self.0.listener_rate.expect("there is no such rate")
    }
}

impl Handshakes for Tables {
    fn filled_lately(&self) -> bool {
        self.lately
    }

    fn is_open(&self, segment: &Opening) -> bool {
        assert!(self.lately && segment.is_last(), "a SYN opens nothing before it is let in");
        self.handshake
    }
}

/// Judged as the naive reference judges, whole and cut at every byte; whoever is refused is answered as RFC 9293 has it.
pub fn check(input: &[u8]) -> String {
    let Some((tables, frame)) = input.split_first_chunk() else { return "no tables".to_owned() };
    for cut in 0..frame.len().min(MOST_CUTS) {
        compare(tables, &frame[..cut]);
    }
    compare(tables, frame)
}

/// Headers are no longer; what follows them is not looked at.
const MOST_CUTS: usize = 256;

fn compare(tables: &[u8; TABLES], frame: &[u8]) -> String {
    let tables = Tables::read(tables);
    let verdict = judge(&frame, NETNS, &tables, &tables);
    let found = match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::PassUnread(unread) => unread.name().to_owned(),
        Verdict::Refuse(refusal) => format!("{} {}", refusal.reason.name(), refusal.silent),
    };
    let read = judge_reference::read(frame, tables.lately);
    let expected = match &read {
        Read::Other => "pass".to_owned(),
        Read::Unread(reason) => (*reason).to_owned(),
        Read::Segment(segment) => tables
            .refuses(segment)
            .map_or_else(|| "pass".to_owned(), |(reason, silent)| format!("{reason} {silent}")),
    };
    assert_eq!(found, expected, "the judge and the naive reference: {read:?}");
    if let Read::Segment(segment) = &read {
        let [source, prefix] = tables.rows(segment.source);
        let asked = tables.asked.borrow();
        assert!(asked.iter().all(|row| *row == source || *row == prefix), "rows of others: {asked:?}");
        if let Verdict::Refuse(refusal) = verdict {
            answer(segment, &Reset::answering(&refusal.opening));
        }
        return format!("{found} {} {}", segment.source.is_ipv6(), segment.acknowledged.is_some());
    }
    found
}

/// The ones' complement sum of RFC 1071: 0xffff where a checksum within is right.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// RFC 9293 §3.10.7.1.
fn answer(segment: &Segment, reset: &Reset) {
    let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let (packet, header, ends) = match (reset, segment.source, segment.destination) {
        (Reset::V4(words), IpAddr::V4(to), IpAddr::V4(from)) => {
            let packet = bytes(words);
            assert_eq!(
                (packet[0], sum(&packet[..20]), &packet[2..4]),
                (0x45, 0xffff, &[0, 40][..]),
                "the IP header"
            );
            (packet, 20, [from.octets(), to.octets()].concat())
        }
        (Reset::V6(words), IpAddr::V6(to), IpAddr::V6(from)) => {
            let packet = bytes(words);
            assert_eq!((packet[0], &packet[4..7]), (0x60, &[0, 20, 6][..]), "the IP header");
            (packet, 40, [from.octets(), to.octets()].concat())
        }
        _ => panic!("an answer in another family: {segment:?} {reset:?}"),
    };
    let (ip, tcp) = packet.split_at(header);
    assert_eq!(&ip[header - ends.len()..], ends, "from whom it was sent to, to who has sent it");
    let pseudo = [&ends[..], &[0, 6, 0, 20], tcp].concat();
    assert_eq!(sum(&pseudo), 0xffff, "the TCP checksum");
    let number =
        |at: usize, length: usize| tcp[at..at + length].iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
    let ports = (number(2, 2) as u16, number(0, 2) as u16);
    let (sequence, acknowledged, flags) = match segment.acknowledged {
        Some(acknowledged) => (acknowledged, 0, 0x04),
        None => (0, segment.sequence.wrapping_add(segment.payload).wrapping_add(1), 0x14),
    };
    assert_eq!(
        (ports, number(4, 4), number(8, 4), u32::from(tcp[13])),
        (segment.ports, sequence, acknowledged, flags),
        "the TCP header"
    );
}
