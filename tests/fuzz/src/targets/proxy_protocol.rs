use ebpf_common::{
    Said,
    proxy_protocol::{
        Header, Parser, Progress, Step, V1_MAX_LENGTH, V1_SIGNATURE, V2_MAX_LENGTH, V2_SIGNATURE, WholeLine,
    },
};

/// Words of both versions.
pub const DICTIONARY: &[&[u8]] = &[
    b"PROXY ",
    b"TCP4 ",
    b"TCP6 ",
    b"UNKNOWN",
    b"1.2.3.4 ",
    b"255.255.255.255",
    b"::1 ",
    b"2001:db8::1 ",
    b"::ffff:1.2.3.4 ",
    b"65535",
    b"65536",
    b"0 ",
    b"01",
    b"\r\n",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x20\0\0",
    b"\x21\x11\0\x0c",
    b"\x21\x21\0\x24",
    b"\x21\x31\0\xd8",
    b"\x01\0\x02h2",
    b"\x02\0\x01x",
    b"\x03\0\x04\0\0\0\0",
    b"\x04\0\0",
    b"\x05\0\x01i",
    b"\x20\0\x05\x01\0\0\0\0",
    b"\xff\xff",
    b"\x0f\xff",
    b"GET / HTTP/1.1\r\n",
];

/// Whole, number by number and byte by byte alike; it ends once and for ever, within its bounds, and never early.
pub fn check(input: &[u8]) -> String {
    let mut whole = Parser::new();
    let step = whole.feed(input);
    let consumed = whole.consumed();
    assert!(consumed <= input.len() && consumed <= V2_MAX_LENGTH, "{consumed} bytes of {}", input.len());
    let read = &input[..consumed];

    let mut bytewise = Parser::new();
    for byte in &read[..consumed.saturating_sub(1)] {
        assert_eq!(bytewise.step(*byte), Step::NeedMore, "it ended at its last byte");
    }
    if let Some(last) = read.last() {
        assert_eq!(bytewise.step(*last), step, "byte by byte");
    }
    for cut in [consumed / 3, consumed / 2, consumed.saturating_sub(1)] {
        let mut pieces = Parser::new();
        let first = pieces.feed(&input[..cut]);
        assert_eq!(first, if consumed == 0 { step } else { Step::NeedMore }, "before its last byte");
        assert_eq!((pieces.feed(&input[cut..]), pieces.consumed()), (step, consumed), "cut at {cut}");
    }
    if step == Step::NeedMore {
        assert_eq!(consumed, input.len(), "it reads while it needs more");
    } else {
        assert_eq!(
            (whole.feed(b"GET"), whole.step(b'\r'), whole.consumed()),
            (step, step, consumed),
            "for ever"
        );
    }
    judge_signature(&whole, step, read);
    read_numbers(input, step, consumed);
    // An address is one answer, not one each.
    let text = format!("{step:?} {}", whole.is_recognised());
    text.chars().filter(|character| !character.is_ascii_digit()).take(60).collect()
}

/// What is read number by number is what was read byte by byte.
fn read_numbers(input: &[u8], step: Step, consumed: usize) {
    let text = [input, &[b'1'; WholeLine::BEYOND]].concat();
    let mut line = WholeLine::UNREAD;
    if !line.begin(&&text[..]) {
        return;
    }
    for _ in 0..WholeLine::NUMBERS {
        match line.step(&&text[..], input.len()) {
            Progress::More => {}
            Progress::Other => return,
            Progress::Whole(said) => {
                let Step::Done(Header::Tcp(ends)) = step else { panic!("{said:?} is no header: {step:?}") };
                let length = u16::try_from(consumed).expect("a line is short");
                assert_eq!(said, Said::named(ends.source(), ends.destination(), length));
                return;
            }
        }
    }
    panic!("a line has no more numbers");
}

fn judge_signature(parser: &Parser, step: Step, read: &[u8]) {
    let (first, second) = (read.starts_with(&V1_SIGNATURE), read.starts_with(&V2_SIGNATURE));
    match step {
        Step::Done(_) => {
            assert!(parser.is_recognised() && (first || second), "a header begins with a signature");
            if first {
                assert!(read.len() <= V1_MAX_LENGTH && read.ends_with(b"\r\n"), "a line of version 1");
            } else {
                let length = usize::from(u16::from_be_bytes([read[14], read[15]]));
                assert_eq!(read.len(), 16 + length, "a header of version 2 is as long as it says");
            }
        }
        Step::NotProxy => assert!(!first && !second && !parser.is_recognised(), "no signature was read"),
        Step::Malformed(_) => assert!(first || second, "what is no header is not malformed"),
        Step::NeedMore => assert_eq!(parser.is_recognised(), first || second, "a signature is recognised"),
    }
}
