//! YAML and JSON text to raw trees, within the budgets of one file.

mod build;
mod flow;
mod json;
mod tally;

use std::time::Instant;

use saphyr_parser::{Event, Parser, ScanError, Span, StrInput};

use crate::{Position, node::Node};
use build::Builder;
use tally::Tally;

/// Why a file is not read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileError {
    pub(crate) position: Option<Position>,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl FileError {
    pub(crate) fn new(position: Option<Position>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { position, reason, message: message.into() }
    }
}

/// Bytes of one file.
pub(crate) const MAX_BYTES: u64 = 16 << 20;

/// Texts up to this length are counted while the tree is built: even refused, they cost little. Longer ones are
/// parsed twice.
const COUNT_ALONG: usize = 1 << 20;

/// The documents of a file, in order; empty ones are left out.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Node>, FileError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    let text = utf8(bytes)?;
    // The parser is not ours: should it ever panic, that is this file's problem and nobody else's.
    std::panic::catch_unwind(|| read_text(text)).unwrap_or_else(|_| {
        Err(FileError::new(None, "InvalidSyntax", "the YAML parser gave up on this file"))
    })
}

pub(crate) fn too_large(size: u64) -> FileError {
    let message = format!("{size} bytes; a file has at most {MAX_BYTES} (16 MiB)");
    FileError::new(None, "FileTooLarge", message)
}

fn read_text(text: &str) -> Result<Vec<Node>, FileError> {
    if let Some(document) = json::read(text) {
        return Ok(vec![document]);
    }
    if let Some(line) = flow::too_large(text) {
        let message = format!("more than {} entries in one pair of brackets", flow::MAX_ENTRIES);
        return Err(FileError::new(Some(place(line, 0)), "OverBudget", message));
    }
    let started = Instant::now();
    let may_alias = text.contains('&') && text.contains('*');
    if text.len() > COUNT_ALONG || may_alias {
        let mut tally = Tally::new(started);
        events(text, |event, position| tally.note(&event, position))?;
    }
    let mut tally = Tally::new(started);
    let mut builder = Builder::default();
    events(text, |event, position| {
        tally.note(&event, position)?;
        builder.take(event, position)
    })?;
    Ok(builder.documents)
}

fn events(
    text: &str,
    mut take: impl FnMut(Event<'_>, Position) -> Result<(), FileError>,
) -> Result<(), FileError> {
    let mut parser = Parser::new(StrInput::new(text));
    let mut open = Vec::new();
    while let Some(event) = parser.next_event() {
        match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                let position = start(&span);
                match event {
                    Event::SequenceStart(..) | Event::MappingStart(..) => open.push(position),
                    Event::SequenceEnd | Event::MappingEnd => drop(open.pop()),
                    _ => {}
                }
                take(event, position)?;
            }
            Err(error) => return Err(syntax(text, &error, &open)),
        }
    }
    Ok(())
}

/// What the parser objects to. It stumbles over a missing bracket where it looks for it, which may be the end of the
/// file: `open` is where lists and mappings began that have not ended.
fn syntax(text: &str, error: &ScanError, open: &[Position]) -> FileError {
    let marker = error.marker();
    let position = place(marker.line(), marker.col());
    if error.info().contains("recursion limit") {
        return FileError::new(Some(position), "OverBudget", "lists and mappings are nested too deep");
    }
    let bracket = open.iter().rev().find_map(|begin| {
        let bracket = character(text, *begin).filter(|c| matches!(c, '[' | '{'))?;
        Some((bracket, *begin))
    });
    match bracket {
        Some((bracket, Position { line, column })) => {
            let message = format!(
                "not YAML: `{bracket}` is not closed before line {}, column {} ({})",
                position.line,
                position.column,
                error.info()
            );
            FileError::new(Some(Position { line, column }), "InvalidSyntax", message)
        }
        None => {
            let hint = likely_cause(text, position, error.info());
            FileError::new(Some(position), "InvalidSyntax", format!("not YAML: {}{hint}", error.info()))
        }
    }
}

/// The likely cause, where the parser's words are about its own workings.
fn likely_cause(text: &str, position: Position, info: &str) -> &'static str {
    let line = line(text, position.line);
    let indent = line.len() - line.trim_start().len();
    let here = character(text, position);
    if line[..indent].contains('\t') {
        " (indent with spaces; this line begins with a tab)"
    } else if here == Some('*') {
        " (`*` begins an alias; text that begins so needs quotes)"
    } else if matches!(here, Some('"' | '\'')) && info.contains("end of stream") {
        " (this quote is not closed)"
    } else if info.contains("did not find expected key") || info.contains("did not find expected '-'") {
        " (is it indented like its neighbours?)"
    } else if info.contains("mapping values are not allowed") {
        " (a text with `: ` in it needs quotes; is the line before indented as it should be?)"
    } else {
        ""
    }
}

fn line(text: &str, number: u32) -> &str {
    let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    text.lines().nth(index).unwrap_or_default()
}

fn character(text: &str, position: Position) -> Option<char> {
    let column = usize::try_from(position.column).ok()?.checked_sub(1)?;
    line(text, position.line).chars().nth(column)
}

fn start(span: &Span) -> Position {
    place(span.start.line(), span.start.col())
}

fn place(line: usize, column: usize) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(line), column: number(column).saturating_add(1) }
}

fn utf8(bytes: &[u8]) -> Result<&str, FileError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let position = Some(Position { line: 1, column: 1 });
        return Err(FileError::new(
            position,
            "InvalidEncoding",
            "looks like UTF-16; write the file in UTF-8",
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = error.valid_up_to();
        let before = std::str::from_utf8(&bytes[..good]).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count();
        let message = format!("byte 0x{:02x} at offset {good} is not UTF-8", bytes[good]);
        FileError::new(Some(place(line, column)), "InvalidEncoding", message)
    })
}

#[cfg(test)]
mod tests;
