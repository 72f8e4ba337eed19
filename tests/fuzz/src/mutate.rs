//! Makes inputs out of inputs.

use crate::random::Random;

/// Longer inputs take time and find nothing more.
const MAX_LENGTH: usize = 8 << 10;

/// Bytes that parsers ask about.
const BYTES: &[u8] = b"\r\n\0\t :,;/?#\"0159afAFgxX+-*\x01\x10\x11\x12\x20\x21\x7f\x80\xff";

/// One to a few changes of `input`, with words of the target's grammar and parts of `other`.
pub fn mutate(input: &[u8], other: &[u8], dictionary: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        change(&mut bytes, other, dictionary, random);
    }
    bytes.truncate(MAX_LENGTH);
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dictionary: &[&[u8]], random: &mut Random) {
    let place = random.below(bytes.len() + 1);
    let end = place + random.below((bytes.len() - place).min(32) + 1);
    match random.below(11) {
        0 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = *random.pick(BYTES);
            }
        }
        2 => bytes.insert(place, *random.pick(BYTES)),
        3 => drop(bytes.splice(place..place, random.pick(dictionary).iter().copied())),
        4 => drop(bytes.splice(place..end, random.pick(dictionary).iter().copied())),
        5 => drop(bytes.drain(place..end)),
        6 => {
            let part = bytes[place..end].to_vec();
            bytes.splice(place..place, part);
        }
        7 => {
            let begin = random.below(other.len() + 1);
            let length = random.below(other.len() - begin + 1);
            bytes.splice(place..end, other[begin..begin + length].iter().copied());
        }
        8 => {
            let begin = random.below(other.len() + 1);
            bytes.truncate(place);
            bytes.extend_from_slice(&other[begin..]);
        }
        9 => move_line(bytes, random),
        _ => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = byte.wrapping_add(1 + random.below(2) as u8 * 254);
            }
        }
    }
}

/// Moves, repeats or removes a line.
fn move_line(bytes: &mut Vec<u8>, random: &mut Random) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return;
    }
    let line = lines[random.below(lines.len())].clone();
    if random.below(2) == 0 {
        lines.remove(random.below(lines.len()));
    }
    lines.insert(random.below(lines.len() + 1), line);
    *bytes = lines.concat();
}
