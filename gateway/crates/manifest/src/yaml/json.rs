//! JSON, read by itself: the YAML parser would hold all tokens of a bracketed document in memory at once, and
//! does not know JSON's pairs of surrogates.

use super::tally::{MAX_DEPTH, MAX_NODES};
use crate::{
    Position,
    node::{Entry, Node, Scalar, Value},
};

/// The document, if the text is JSON (RFC 8259) within the budgets; else it is for the YAML parser to say.
pub(super) fn read(text: &str) -> Option<Node> {
    let is_bracketed = text.trim_start().starts_with(['{', '[']);
    if !is_bracketed || count(text.as_bytes()) > MAX_NODES {
        return None;
    }
    let mut reader = Reader { text, at: 0, position: Position { line: 1, column: 1 } };
    let node = reader.value(0)?;
    reader.skip_space();
    (reader.at == text.len()).then_some(node)
}

/// Keys and values, without building any.
fn count(text: &[u8]) -> u64 {
    let (mut count, mut in_text, mut in_literal, mut escaped) = (0, false, false, false);
    for byte in text {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        let literal = is_literal(*byte);
        in_text = *byte == b'"';
        count += u64::from(in_text || matches!(byte, b'[' | b'{') || (literal && !in_literal));
        in_literal = literal;
    }
    count
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    position: Position,
}

impl Reader<'_> {
    fn value(&mut self, depth: u64) -> Option<Node> {
        self.skip_space();
        let position = self.position;
        let value = match self.peek()? {
            b'{' | b'[' if depth >= MAX_DEPTH => return None,
            b'{' => Value::Mapping(self.members(b'}', |reader| reader.entry(depth + 1))?),
            b'[' => Value::Sequence(self.members(b']', |reader| reader.value(depth + 1))?),
            b'"' => Value::Scalar(Scalar::Text, self.string()?.into()),
            _ => self.literal()?,
        };
        Some(Node { position, value })
    }

    /// What stands between brackets, the opening one included.
    fn members<T>(&mut self, close: u8, mut member: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut members = Vec::new();
        self.step();
        self.skip_space();
        if self.peek()? == close {
            self.step();
            return Some(members);
        }
        loop {
            members.push(member(self)?);
            self.skip_space();
            let next = self.peek()?;
            self.step();
            match next {
                b',' => {}
                next if next == close => return Some(members),
                _ => return None,
            }
        }
    }

    fn entry(&mut self, depth: u64) -> Option<Entry> {
        self.skip_space();
        let position = self.position;
        let key = self.string()?.into();
        self.skip_space();
        if self.peek()? != b':' {
            return None;
        }
        self.step();
        Some(Entry { key, position, node: self.value(depth)? })
    }

    fn string(&mut self) -> Option<String> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            self.step();
            match self.peek()? {
                b'"' if !escaped => break,
                byte => escaped = !escaped && byte == b'\\',
            }
        }
        self.step();
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn literal(&mut self) -> Option<Value> {
        let start = self.at;
        while self.peek().is_some_and(is_literal) {
            self.step();
        }
        let text = self.text.get(start..self.at)?;
        let scalar = match text {
            "null" => Scalar::Null,
            "true" | "false" => Scalar::Bool,
            _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => Scalar::of_plain(text),
            _ => return None,
        };
        (scalar != Scalar::PlainText).then(|| Value::Scalar(scalar, text.into()))
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.step();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        match self.peek() {
            Some(b'\n') => self.position = Position { line: self.position.line + 1, column: 1 },
            // Bytes that go on with a character are no columns.
            Some(byte) if byte & 0xc0 != 0x80 => self.position.column += 1,
            _ => {}
        }
        self.at += 1;
    }
}
