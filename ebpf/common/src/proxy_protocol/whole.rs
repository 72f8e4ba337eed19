use super::V1_MAX_LENGTH;
use crate::{Bytes, Packet, address::Address, first_segment::Said};

/// A version 1 header all of whose bytes are at hand, read number by number: several times as fast as
/// [`Line`](super::Line), which reads byte by byte. It reads what senders write; whatever else begins like a header is
/// left to that one, which reads what this one reads in the same way.
#[derive(Clone, Copy, Debug)]
pub struct WholeLine {
    v6: bool,
    /// The address under way, or the port.
    field: u32,
    /// Where its next number begins.
    at: usize,
    /// Octets or groups of the address under way, and those of them before `::`.
    count: u32,
    before: u32,
    gap: Gap,
    /// Its numbers so far, those behind `::` apart.
    head: Wide,
    tail: Wide,
    addresses: [Wide; 2],
    ports: [u16; 2],
}

/// An address as a number, the high half first.
type Wide = [u64; 2];

/// Where `::` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// Not yet, or nowhere.
    No,
    /// It was read just now.
    Here,
    /// Before the last group.
    Before,
}

/// What one more number comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read.
    More,
    /// The line is at its end, and sound.
    Whole(Said),
    /// It is for [`Line`](super::Line) to say what it is.
    Other,
}

/// Of an address.
const GROUPS: u32 = 8;

/// An IPv4 address in IPv6's form (RFC 4291 §2.5.5.2).
const MAPPED: u64 = 0xffff_0000_0000;

impl WholeLine {
    /// Most steps of a line: two addresses with a `::` and a space after it each, and two ports.
    pub const NUMBERS: u32 = 2 * (GROUPS + 2) + 2;

    /// Bytes that are asked for beyond a line's end: any will do.
    pub const BEYOND: usize = 8;

    /// All zeros: nothing is read.
    pub const UNREAD: Self = Self {
        v6: false,
        field: 0,
        at: 0,
        count: 0,
        before: 0,
        gap: Gap::No,
        head: [0; 2],
        tail: [0; 2],
        addresses: [[0; 2]; 2],
        ports: [0; 2],
    };

    /// Reads what comes before the first number. `line`: it and what lies beyond. False: this is none.
    #[inline(always)]
    pub fn begin(&mut self, line: &impl Packet) -> bool {
        const BEFORE: &[u8; 11] = b"PROXY TCP4 ";
        let Some(start) = line.part(0, BEFORE.len()) else { return false };
        let mut at = 0;
        while at < BEFORE.len() {
            if at != 9 && start.byte(at) != BEFORE[at] {
                return false;
            }
            at += 1;
        }
        self.v6 = start.byte(9) == b'6';
        self.at = at;
        self.v6 || start.byte(9) == b'4'
    }

    /// Reads one more number, and what follows it. `length`: of the line.
    #[inline(always)]
    pub fn step(&mut self, line: &impl Packet, length: usize) -> Progress {
        let read = match self.field {
            0 | 1 if self.v6 => self.group(line),
            0 | 1 => self.octet(line),
            2 => self.port(line, b' '),
            _ => self.port(line, b'\r'),
        };
        if read.is_none() {
            return Progress::Other;
        }
        if self.field < 4 {
            return Progress::More;
        }
        let end = self.at + 1;
        let is_whole = line.part(self.at, 1).is_some_and(|last| last.byte(0) == b'\n');
        if !is_whole || end > V1_MAX_LENGTH || end > length {
            return Progress::Other;
        }
        let [from, to] = self.addresses.map(address);
        Progress::Whole(Said::of((from, to), self.ports.map(u16::to_be), end as u16))
    }

    #[inline(always)]
    fn octet(&mut self, line: &impl Packet) -> Option<()> {
        let (octet, digits, next) = decimal::<3>(&line.part(self.at, 4)?)?;
        self.count += 1;
        let is_last = self.count == 4;
        if octet > 0xff || next != if is_last { b' ' } else { b'.' } {
            return None;
        }
        self.at += digits + 1;
        self.tail[1] = self.tail[1] << 8 | u64::from(octet);
        if is_last {
            self.end([0, MAPPED | self.tail[1]]);
        }
        Some(())
    }

    #[inline(always)]
    fn group(&mut self, line: &impl Packet) -> Option<()> {
        let text = line.part(self.at, 5)?;
        let (group, digits, next) = hexadecimal(&text);
        self.at += digits + 1;
        if digits == 0 {
            return match (next, self.gap) {
                (b':', Gap::No) => self.gap(text.byte(1)),
                (b' ', Gap::Here) => self.end_groups(),
                _ => None,
            };
        }
        if self.count == GROUPS {
            return None;
        }
        self.count += 1;
        self.tail = [self.tail[0] << 16 | self.tail[1] >> 48, self.tail[1] << 16 | u64::from(group)];
        if self.gap == Gap::Here {
            self.gap = Gap::Before;
        }
        match next {
            b' ' => self.end_groups(),
            b':' => Some(()),
            _ => None,
        }
    }

    /// The first colon of `::` was taken with the group before it, if there was one. `next`: behind the colon just read.
    #[inline(always)]
    fn gap(&mut self, next: u8) -> Option<()> {
        if self.count == 0 {
            if next != b':' {
                return None;
            }
            self.at += 1;
        }
        (self.gap, self.before) = (Gap::Here, self.count);
        (self.head, self.tail) = (self.tail, [0; 2]);
        Some(())
    }

    #[inline(always)]
    fn end_groups(&mut self) -> Option<()> {
        let whole = match self.gap {
            Gap::No if self.count < GROUPS => return None,
            Gap::No => self.tail,
            _ if self.count == GROUPS => return None,
            _ => {
                let [high, low] = moved(self.head, 16 * (GROUPS - self.before));
                [high | self.tail[0], low | self.tail[1]]
            }
        };
        self.end(whole);
        Some(())
    }

    #[inline(always)]
    fn end(&mut self, whole: Wide) {
        // No index: what the verifier knows of one is lost where the compiler knows more.
        if self.field == 0 {
            self.addresses[0] = whole;
        } else {
            self.addresses[1] = whole;
        }
        self.field += 1;
        (self.count, self.before, self.gap) = (0, 0, Gap::No);
        (self.head, self.tail) = ([0; 2], [0; 2]);
    }

    #[inline(always)]
    fn port(&mut self, line: &impl Packet, then: u8) -> Option<()> {
        let (port, digits, next) = decimal::<5>(&line.part(self.at, 6)?)?;
        if port > 0xffff || next != then {
            return None;
        }
        if self.field == 2 {
            self.ports[0] = port as u16;
        } else {
            self.ports[1] = port as u16;
        }
        self.field += 1;
        self.at += digits + 1;
        Some(())
    }
}

/// A decimal number in its one form, its digits, so many at most, and the byte behind it.
#[inline(always)]
fn decimal<const MOST: usize>(text: &impl Bytes) -> Option<(u32, usize, u8)> {
    let (mut value, mut digits) = (0, 0);
    while digits < MOST {
        let digit = text.byte(digits).wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + u32::from(digit);
        digits += 1;
    }
    let is_canonical = digits == 1 || (digits > 1 && text.byte(0) != b'0');
    if is_canonical { Some((value, digits, text.byte(digits))) } else { None }
}

/// A number of up to four hexadecimal digits, perhaps of none, their number, and the byte behind it.
#[inline(always)]
fn hexadecimal(text: &impl Bytes) -> (u16, usize, u8) {
    let (mut value, mut digits) = (0, 0);
    while digits < 4 {
        let read = text.byte(digits);
        let (digit, letter) = (read.wrapping_sub(b'0'), (read | 0x20).wrapping_sub(b'a'));
        let digit = if digit <= 9 {
            digit
        } else if letter <= 5 {
            letter + 10
        } else {
            break;
        };
        value = value << 4 | u16::from(digit);
        digits += 1;
    }
    (value, digits, text.byte(digits))
}

/// Moved up by so many bits, 16 to 128.
#[inline(always)]
const fn moved([high, low]: Wide, bits: u32) -> Wide {
    match bits {
        0..64 => [high << bits | low >> (64 - bits), low << bits],
        64..128 => [low << (bits - 64), 0],
        _ => [0, 0],
    }
}

/// As it lies in a packet.
#[inline(always)]
const fn address([high, low]: Wide) -> Address {
    let words = [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32];
    Address::v6([words[0].to_be(), words[1].to_be(), words[2].to_be(), words[3].to_be()])
}
