use std::collections::BTreeSet;

use ebpf_common::proxy_protocol::{
    Header, Malformed, Parser, Step,
    block::{Ssl, TlvReader},
};

/// Types, and values that hold others.
pub const DICTIONARY: &[&[u8]] = &[
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x21\x11\0\x0c",
    b"\x21\x21\0\x24",
    b"\x21\0\0\0",
    b"\x20\x11",
    b"\x21\x31\0\xd8",
    b"\x01\0\x02h2",
    b"\x02\0\x06a.test",
    b"\x03\0\x04\0\0\0\0",
    b"\x04\0\0",
    b"\x05\0\x01i",
    b"\x20\0\x05\x01\0\0\0\0",
    b"\x20\0\x0a\x07\0\0\0\0\x22\0\x02me",
    b"\x21\0\x03TLS",
    b"\x22\0\x02me",
    b"\x23\0\x00",
    b"\x24\0\x01s",
    b"\x25\0\x01k",
    b"\x30\0\x02ns",
    b"\xea\0\x02\x01v",
    b"\xff\xff",
];

/// A block that fits its header is read alike by the automaton, by the reader and naively.
pub fn check(input: &[u8]) -> String {
    let mut parser = Parser::new();
    let step = parser.feed(input);
    // Whatever it is, reading it ends, and gives no more than is there.
    let given: usize = TlvReader::of_header(input).flatten().map(|tlv| tlv.value.len() + 3).sum();
    assert!(given <= input.len(), "{given} bytes of {}", input.len());
    raw(input);
    let Step::Done(header) = step else { return format!("{step:?}") };
    let whole = &input[..parser.consumed()];
    let reader = TlvReader::of_header(whole);
    let read: Result<Vec<(u8, Vec<u8>)>, Malformed> =
        reader.map(|tlv| tlv.map(|tlv| (tlv.kind, tlv.value.to_vec()))).collect();
    let read = read.expect("the automaton has seen that they fit");
    assert_eq!(read, naive(header, whole).expect("and so do we"), "the reader and the naive reference");
    let checked = reader.checked().map(|_| ());
    assert_eq!(checked, judged(&read), "what two readers could take differently");
    let of_note = |kind: &u8| matches!(kind, 1..=5 | 0x20 | 0x30 | 0xe0..);
    let kinds: BTreeSet<u8> = read.iter().map(|(kind, _)| (*kind).min(0xe0)).filter(of_note).collect();
    format!("{checked:?} {kinds:x?}")
}

/// The input as a block of its own.
fn raw(input: &[u8]) {
    let mut items = TlvReader::new(input);
    let ended = items.by_ref().take_while(Result::is_ok).count() <= input.len() / 3;
    assert!(ended && items.next().is_none(), "an error is the last item");
    if let Some(ssl) = Ssl::read(input) {
        assert_eq!(ssl.is_verified(), input[0] & 6 != 0 && input[1..5] == [0; 4], "who was verified");
        assert!(input.len() >= 5, "flags and outcome");
    } else {
        assert!(input.len() < 5, "flags and outcome");
    }
}

fn split(mut block: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut tlvs = Vec::new();
    while !block.is_empty() {
        let length = usize::from(*block.get(1)?) * 256 + usize::from(*block.get(2)?);
        tlvs.push((block[0], block.get(3..3 + length)?.to_vec()));
        block = &block[3 + length..];
    }
    Some(tlvs)
}

fn naive(header: Header, whole: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let addresses = match header {
        _ if whole.starts_with(b"PROXY") => return Some(Vec::new()),
        Header::Local => return Some(Vec::new()),
        Header::Unknown => 0,
        Header::Unix => 216,
        Header::Tcp(_) | Header::Udp(_) if whole[13] < 0x20 => 12,
        Header::Tcp(_) | Header::Udp(_) => 36,
    };
    split(&whole[16 + addresses..])
}

/// In the order in which they stand.
fn judged(tlvs: &[(u8, Vec<u8>)]) -> Result<(), Malformed> {
    for (place, (kind, value)) in tlvs.iter().enumerate() {
        let again = tlvs[..place].iter().any(|(other, _)| other == kind);
        if again && [1, 2, 5, 0x20, 0x30].contains(kind) {
            return Err(Malformed::RepeatedTlv);
        }
        if *kind == 0x20 {
            let inner = value.get(5..).ok_or(Malformed::Tlv)?;
            details(inner)?;
        }
    }
    Ok(())
}

/// What comes first, a repetition or an end too early.
fn details(mut block: &[u8]) -> Result<(), Malformed> {
    let mut seen = Vec::new();
    while !block.is_empty() {
        let fits = block.len() >= 3 && block.len() >= 3 + usize::from(block[1]) * 256 + usize::from(block[2]);
        if !fits {
            return Err(Malformed::Tlv);
        }
        if seen.contains(&block[0]) && (0x21..=0x25).contains(&block[0]) {
            return Err(Malformed::RepeatedTlv);
        }
        seen.push(block[0]);
        block = &block[3 + usize::from(block[1]) * 256 + usize::from(block[2])..];
    }
    Ok(())
}
