use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ebpf_common::{
    Said,
    proxy_protocol::{Header, Parser, Progress, Step, WholeLine},
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    automaton,
    build::{LOCAL, NOOP, PROXY, addresses, tlv, v2, v2_with_checksum},
    reference,
};

/// Bytes after a header, more than any header is long: neither reader can want more.
fn ended(header: &[u8]) -> Vec<u8> {
    [header, b"\r\n", &[b'.'; 70_000]].concat()
}

fn endpoints() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = || any::<[u8; 4]>().prop_map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 = || {
        any::<[u16; 8]>().prop_map(|groups| IpAddr::from(Ipv6Addr::from(groups.map(|group| group & 0xf0f))))
    };
    let ips = prop_oneof![(v4(), v4()), (v6(), v6())];
    (ips, any::<(u16, u16)>()).prop_map(|((source, destination), (from, to))| {
        (SocketAddr::new(source, from), SocketAddr::new(destination, to))
    })
}

/// As senders write them.
fn sound_lines() -> impl Strategy<Value = Vec<u8>> {
    endpoints().prop_map(|(source, destination)| {
        let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.port(), destination.port());
        format!("PROXY {protocol} {} {} {from} {to}\r\n", source.ip(), destination.ip()).into_bytes()
    })
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    // Lines of the right letters, mostly wrong.
    let odd = "PROXY (TCP4|TCP6|UNKNOWN|TCP)( [0-9a-f:.]{1,12}){0,2}( [0-9]{1,5}){0,3} ?\r?\n"
        .prop_map(String::into_bytes);
    prop_oneof![2 => sound_lines(), 1 => odd]
}

/// IPv6 text that is often sound: groups, gaps and quads in any order.
fn ipv6_texts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[0-9a-fA-F]{1,4}:",
        1 => Just(":".to_owned()),
        1 => "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
    ];
    let last = prop_oneof![3 => "[0-9a-f]{0,4}", 1 => "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}"];
    ("::|:|", vec(part, 0..8), last).prop_map(|(first, parts, last)| first + &parts.concat() + &last)
}

fn binaries() -> impl Strategy<Value = Vec<u8>> {
    let tlvs =
        || vec((any::<u8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, value)| tlv(kind, &value)), 0..4);
    let skipped = || {
        vec(vec(any::<u8>(), 0..20).prop_map(|value| tlv(NOOP, &value)), 0..3).prop_map(|all| all.concat())
    };
    let family = |stream: bool, source: SocketAddr| {
        (if source.is_ipv4() { 0x10 } else { 0x20 }) | if stream { 1 } else { 2 }
    };
    let plain =
        (endpoints(), any::<bool>(), tlvs()).prop_map(move |((source, destination), stream, tlvs)| {
            v2(PROXY, family(stream, source), &[addresses(source, destination), tlvs.concat()].concat())
        });
    let summed =
        (endpoints(), skipped(), skipped()).prop_map(move |((source, destination), before, after)| {
            let before = [addresses(source, destination), before].concat();
            v2_with_checksum(PROXY, family(true, source), &before, &after)
        });
    let any_block =
        (prop_oneof![Just(LOCAL), Just(PROXY), any::<u8>()], any::<u8>(), vec(any::<u8>(), 0..300))
            .prop_map(|(command, family, block)| v2(command, family, &block));
    let unspecified = tlvs().prop_map(|tlvs| v2(PROXY, 0, &tlvs.concat()));
    let unix = tlvs().prop_map(|tlvs| v2(PROXY, 0x31, &[vec![b'/'; 216], tlvs.concat()].concat()));
    prop_oneof![3 => plain, 3 => summed, 1 => any_block, 1 => unspecified, 1 => unix]
}

fn headers() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![lines(), binaries()]
}

/// What an attacker or a broken sender makes of a sound header.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    Double(Index, Index),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let byte =
        || prop_oneof![any::<u8>(), Just(b' '), Just(b'0'), Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'.')];
    vec(
        prop_oneof![
            (any::<Index>(), 1..=255u8).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
            (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
            any::<Index>().prop_map(Mutation::Remove),
            any::<Index>().prop_map(Mutation::Truncate),
            any::<(Index, Index)>().prop_map(|(from, to)| Mutation::Double(from, to)),
        ],
        1..4,
    )
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    match mutation {
        Mutation::Flip(at, bits) => bytes[at.index(length)] ^= bits,
        Mutation::Insert(at, byte) => bytes.insert(at.index(length), *byte),
        Mutation::Remove(at) => drop(bytes.remove(at.index(length))),
        Mutation::Truncate(at) => bytes.truncate(at.index(length)),
        Mutation::Double(from, to) => {
            let (from, to) = (from.index(length), to.index(length));
            let piece = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(to..to, piece);
        }
    }
}

/// What the reader of whole lines makes of a line of that length, with others' bytes behind it.
fn whole(bytes: &[u8], length: usize) -> Option<Said> {
    let text = [bytes, &[b'1'; WholeLine::BEYOND]].concat();
    let mut line = WholeLine::UNREAD;
    if !line.begin(&&text[..]) {
        return None;
    }
    for _ in 0..WholeLine::NUMBERS {
        match line.step(&&text[..], length) {
            Progress::More => {}
            Progress::Whole(said) => return Some(said),
            Progress::Other => return None,
        }
    }
    panic!("a line has no more numbers");
}

/// The same of the automaton, if it is a whole header of TCP.
fn by_bytes(bytes: &[u8]) -> Option<Said> {
    let mut parser = Parser::new();
    match parser.feed(bytes) {
        Step::Done(Header::Tcp(ends)) => {
            let length = u16::try_from(parser.consumed()).expect("a header is short");
            Some(Said::named(ends.source(), ends.destination(), length))
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn proxy_headers_read_as_the_reference_reads_them(header in headers()) {
        let bytes = ended(&header);
        prop_assert_eq!(automaton(&bytes), Some(reference::read(&bytes)));
    }

    #[test]
    fn mutated_headers_read_as_the_reference_reads_them(header in headers(), mutations in mutations()) {
        let mut header = header;
        mutations.iter().for_each(|mutation| mutate(&mut header, mutation));
        let bytes = ended(&header);
        prop_assert_eq!(automaton(&bytes), Some(reference::read(&bytes)));
    }

    #[test]
    fn ipv6_text_reads_as_the_reference_reads_it(text in ipv6_texts()) {
        let bytes = ended(format!("PROXY TCP6 {text} ::1 1 2\r\n").as_bytes());
        prop_assert_eq!(automaton(&bytes), Some(reference::read(&bytes)));
    }

    #[test]
    fn a_sound_line_is_read_whole(line in sound_lines(), behind in vec(any::<u8>(), 0..8)) {
        let bytes = [&line[..], &behind].concat();
        prop_assert_eq!(whole(&bytes, bytes.len()), by_bytes(&line));
        prop_assert!(whole(&bytes, line.len()).is_some());
        prop_assert_eq!(whole(&bytes, line.len() - 1), None, "its end has not come");
    }

    #[test]
    fn what_is_read_whole_reads_the_same_by_bytes(
        line in lines(),
        mutations in mutations(),
        text in ipv6_texts(),
    ) {
        let mut mutated = line.clone();
        mutations.iter().for_each(|mutation| mutate(&mut mutated, mutation));
        let other = format!("PROXY TCP6 {text} {text} 1 65536\r\n").into_bytes();
        let address = format!("PROXY TCP6 ::1 {text} 1 2\r\n").into_bytes();
        for bytes in [&line, &mutated, &other, &address] {
            for length in [bytes.len(), bytes.len() / 2] {
                if let Some(said) = whole(bytes, length) {
                    prop_assert_eq!(Some(said), by_bytes(&bytes[..length]));
                }
            }
        }
        // Nothing but a dotted quad in an address of IPv6 is left to the automaton.
        prop_assert!(text.contains('.') || whole(&address, address.len()) == by_bytes(&address));
    }

    #[test]
    fn a_header_cut_anywhere_reads_like_a_whole_one(header in headers(), tail in vec(any::<u8>(), 0..8)) {
        let bytes = [header, tail].concat();
        let mut whole = Parser::new();
        let end = whole.feed(&bytes);
        for cut in 0..=bytes.len() {
            let mut parser = Parser::new();
            let first = parser.feed(&bytes[..cut]);
            // An end is said with the byte that makes it one, and never taken back.
            prop_assert_eq!(first != Step::NeedMore, end != Step::NeedMore && cut >= whole.consumed());
            prop_assert_eq!(parser.feed(&bytes[cut..]), end);
            prop_assert_eq!(parser.consumed(), whole.consumed());
            prop_assert_eq!(parser.is_recognised(), whole.is_recognised());
        }
    }

    #[test]
    fn no_bytes_hurt(bytes in vec(any::<u8>(), 0..200), signature in 0..3usize) {
        let start: &[u8] = [&b""[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"][signature];
        let bytes = ended(&[start, &bytes].concat());
        prop_assert_eq!(automaton(&bytes), Some(reference::read(&bytes)));
    }
}
