use std::net::SocketAddr;

use ebpf_common::proxy_protocol::{Malformed, Parser, Step, V2_SIGNATURE};

use crate::{
    Said, assert_header,
    build::{CRC32C, LOCAL, NOOP, PROXY, addresses, tlv, v2, v2_with_checksum},
    wrong,
};

fn v4() -> (SocketAddr, SocketAddr) {
    ("203.0.113.7:56324".parse().expect("an address"), "198.51.100.1:443".parse().expect("an address"))
}

fn v6() -> (SocketAddr, SocketAddr) {
    ("[2001:db8::7]:56324".parse().expect("an address"), "[2001:db8::1]:443".parse().expect("an address"))
}

fn inet() -> Vec<u8> {
    addresses(v4().0, v4().1)
}

#[test]
fn every_listed_family_is_read() {
    let inet6 = addresses(v6().0, v6().1);
    let mapped = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let through_v6 = addresses(mapped("[::ffff:203.0.113.7]:56324"), mapped("[::ffff:198.51.100.1]:443"));
    let table: [(u8, &[u8], Said); 9] = [
        (0x11, &inet(), Said::Tcp(v4().0, v4().1)),
        (0x12, &inet(), Said::Udp(v4().0, v4().1)),
        (0x21, &inet6, Said::Tcp(v6().0, v6().1)),
        (0x22, &inet6, Said::Udp(v6().0, v6().1)),
        (0x21, &through_v6, Said::Tcp(v4().0, v4().1)),
        (0x31, &[7; 216], Said::Unix),
        (0x32, &[0; 216], Said::Unix),
        (0x00, &[], Said::Unknown),
        (0x00, &tlv(NOOP, b"padding"), Said::Unknown),
    ];
    for (family, block, said) in table {
        assert_header(&v2(PROXY, family, block), said);
    }
}

#[test]
fn a_local_header_is_discarded_whole() {
    // Neither its family nor what its block holds is looked at.
    for (family, block) in [(0x00, &[][..]), (0x11, &inet()), (0x11, b"short"), (0xff, b"\x03\0\x04none")] {
        assert_header(&v2(LOCAL, family, block), Said::Local);
    }
    assert_header(&v2(LOCAL, 0, &[9; 4080]), Said::Local);
    assert_eq!(wrong(&v2(LOCAL, 0, &[9; 4081])), Some(Malformed::TooLong));
}

#[test]
fn lengths_are_strict() {
    assert_eq!(wrong(&v2(PROXY, 0x11, &inet()[..11])), Some(Malformed::TooShort));
    assert_eq!(wrong(&v2(PROXY, 0x11, &[])), Some(Malformed::TooShort));
    assert_eq!(wrong(&v2(PROXY, 0x21, &[0; 35])), Some(Malformed::TooShort));
    assert_eq!(wrong(&v2(PROXY, 0x31, &[0; 215])), Some(Malformed::TooShort));
    let filled = |length: usize| [inet(), tlv(NOOP, &vec![0; length - 16 - 12 - 3])].concat();
    assert_header(&v2(PROXY, 0x11, &filled(4096)), Said::Tcp(v4().0, v4().1));
    assert_eq!(wrong(&v2(PROXY, 0x11, &filled(4097))), Some(Malformed::TooLong));
    // The length alone decides, before a byte of the block is there.
    assert_eq!(wrong(&[&V2_SIGNATURE[..], b"\x21\x11\xff\xff"].concat()), Some(Malformed::TooLong));
}

#[test]
fn tlvs_end_where_the_header_does() {
    let tcp = Said::Tcp(v4().0, v4().1);
    let some = [tlv(NOOP, b""), tlv(0x01, b"h2"), tlv(0x20, b"\x07\0\0\0\0"), tlv(0xee, &[1; 300])].concat();
    assert_header(&v2(PROXY, 0x11, &[inet(), some].concat()), tcp);
    let torn: [&[u8]; 6] =
        [b"\x04", b"\x04\0", b"\x04\0\x01", b"\x04\0\x02a", b"\x04\xff\xff", b"\x04\0\0\x01\0"];
    for torn in torn {
        let header = v2(PROXY, 0x11, &[&inet(), torn].concat());
        assert_eq!(wrong(&header), Some(Malformed::Tlv), "{}", torn.escape_ascii());
        let header = v2(PROXY, 0x00, torn);
        assert_eq!(wrong(&header), Some(Malformed::Tlv), "{}", torn.escape_ascii());
    }
}

#[test]
fn a_checksum_is_held_against_the_header() {
    let tcp = Said::Tcp(v4().0, v4().1);
    let sound = v2_with_checksum(PROXY, 0x11, &inet(), &[]);
    assert_header(&sound, tcp);
    assert_header(&v2_with_checksum(PROXY, 0x11, &[inet(), tlv(NOOP, b"x")].concat(), &tlv(0xee, b"y")), tcp);
    assert_header(&v2_with_checksum(PROXY, 0x00, &[], &[]), Said::Unknown);
    for at in [16, 20, 24, 27, 31, 34] {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        assert_eq!(wrong(&changed), Some(Malformed::Checksum), "byte {at}");
    }
    let twice = v2_with_checksum(PROXY, 0x11, &inet(), &tlv(CRC32C, &[0; 4]));
    assert_eq!(wrong(&twice), Some(Malformed::ChecksumForm));
    for length in [0, 3, 5] {
        let header = v2(PROXY, 0x11, &[inet(), tlv(CRC32C, &[0; 5][..length])].concat());
        assert_eq!(wrong(&header), Some(Malformed::ChecksumForm), "{length}");
    }
}

#[test]
fn versions_commands_and_families_that_are_not_listed_are_malformed() {
    for (command, reason) in [
        (0x11, Malformed::Version),
        (0x31, Malformed::Version),
        (0x01, Malformed::Version),
        (0x22, Malformed::Command),
        (0x2f, Malformed::Command),
    ] {
        assert_eq!(wrong(&v2(command, 0x11, &inet())), Some(reason), "{command:#x}");
    }
    for family in [0x01, 0x02, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xff] {
        assert_eq!(wrong(&v2(PROXY, family, &[0; 216])), Some(Malformed::Family), "{family:#x}");
    }
}

#[test]
fn an_end_is_final() {
    for bytes in [v2(PROXY, 0x11, &inet()), v2(0x31, 0x11, &inet()), b"GET /".to_vec()] {
        let mut parser = Parser::new();
        let end = parser.feed(&bytes);
        let consumed = parser.consumed();
        assert_ne!(end, Step::NeedMore);
        assert_eq!((parser.step(b'P'), parser.feed(b""), parser.feed(b"PROXY ")), (end, end, end));
        assert_eq!(parser.consumed(), consumed);
    }
}
