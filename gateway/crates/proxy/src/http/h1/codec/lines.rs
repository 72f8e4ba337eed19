use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    bytes::{text_length, token_length},
    names::header_name,
};

/// A field line, as places in the buffer that it was read from.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its name, as sent.
    pub(super) name: Range<usize>,
    /// Its value, without white space around it.
    pub(super) value: Range<usize>,
}

/// How far the lines of a section are read.
#[derive(Debug)]
pub(super) enum Step {
    /// A line is complete.
    Line(Line),
    /// The empty line that ends the section is complete.
    End,
    /// The bytes end within a line.
    NeedMore,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Begin,
    Name,
    BeforeValue,
    Value,
    LineFeed,
    LastLineFeed,
}

/// Reads field lines up to and with the empty line behind them (RFC 9112 §5), each byte once.
#[derive(Debug, Default)]
pub(super) struct Lines {
    state: State,
    name: usize,
    name_end: usize,
    value: usize,
}

impl Lines {
    /// Reads on in `bytes` from `at`, which are the bytes of the last call and more. Whatever it gives, `at` is then
    /// behind what was read.
    pub(super) fn step(&mut self, bytes: &[u8], at: &mut usize) -> Result<Step, &'static str> {
        loop {
            match self.state {
                State::Begin => match bytes.get(*at) {
                    None => return Ok(Step::NeedMore),
                    Some(b'\r') => self.advance(State::LastLineFeed, at),
                    Some(_) => {
                        self.name = *at;
                        self.state = State::Name;
                    }
                },
                State::Name => {
                    *at += token_length(&bytes[*at..]);
                    match bytes.get(*at) {
                        None => return Ok(Step::NeedMore),
                        Some(b':') if *at > self.name => {
                            self.name_end = *at;
                            self.advance(State::BeforeValue, at);
                        }
                        Some(byte) => return Err(name_fault(*byte, *at == self.name)),
                    }
                }
                State::BeforeValue => match bytes.get(*at) {
                    None => return Ok(Step::NeedMore),
                    Some(b' ' | b'\t') => *at += 1,
                    Some(_) => {
                        self.value = *at;
                        self.state = State::Value;
                    }
                },
                State::Value => {
                    *at += text_length(&bytes[*at..]);
                    match bytes.get(*at) {
                        None => return Ok(Step::NeedMore),
                        Some(b'\r') => self.advance(State::LineFeed, at),
                        Some(b'\n') => return Err("a field line ends with a bare line feed"),
                        Some(_) => return Err("a field value holds a control character"),
                    }
                }
                State::LineFeed => match bytes.get(*at) {
                    None => return Ok(Step::NeedMore),
                    Some(b'\n') => {
                        self.advance(State::Begin, at);
                        return Ok(Step::Line(self.line(bytes, *at - 2)));
                    }
                    Some(_) => return Err("a field value holds a bare carriage return"),
                },
                State::LastLineFeed => match bytes.get(*at) {
                    None => return Ok(Step::NeedMore),
                    Some(b'\n') => {
                        self.advance(State::Begin, at);
                        return Ok(Step::End);
                    }
                    Some(_) => return Err("a field line begins with a bare carriage return"),
                },
            }
        }
    }

    fn advance(&mut self, state: State, at: &mut usize) {
        self.state = state;
        *at += 1;
    }

    fn line(&self, bytes: &[u8], mut end: usize) -> Line {
        while end > self.value && matches!(bytes[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        Line { name: self.name..self.name_end, value: self.value..end }
    }
}

fn name_fault(byte: u8, first: bool) -> &'static str {
    match byte {
        b' ' | b'\t' if first => "a field line begins with white space",
        b' ' | b'\t' => "white space stands before a colon",
        b'\n' if first => "a section ends with a bare line feed",
        b'\r' | b'\n' => "a field line has no colon",
        b':' => "a field name is empty",
        _ => "a field name is not a token",
    }
}

/// Field lines whose values are not cut off the buffer yet.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(HeaderName, Range<usize>)>);

impl Fields {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps one. `false` if its name is longer than [`HeaderName`] holds.
    pub(super) fn push(&mut self, bytes: &[u8], line: Line) -> bool {
        match header_name(&bytes[line.name]) {
            Some(name) => {
                self.0.push((name, line.value));
                true
            }
            None => false,
        }
    }

    /// Drops those whose names do not pass.
    pub(super) fn retain(&mut self, passes: impl Fn(&HeaderName) -> bool) {
        self.0.retain(|(name, _)| passes(name));
    }

    /// Moves them into a map, with values that share `section`, the bytes that they were read from. `None` if there
    /// are more than a map holds.
    pub(super) fn drain_into_map(&mut self, section: &Bytes) -> Option<HeaderMap> {
        let mut map = HeaderMap::try_with_capacity(self.0.len()).ok()?;
        for (name, value) in self.0.drain(..) {
            // SAFETY: `Lines` gives a line only if `text_length` passed over its value, so that its bytes are HTAB,
            // 0x20 to 0x7e and from 0x80 on, which are those that `HeaderValue::from_bytes` takes.
            let value = unsafe { HeaderValue::from_maybe_shared_unchecked(section.slice(value)) };
            map.try_append(name, value).ok()?;
        }
        Some(map)
    }
}
