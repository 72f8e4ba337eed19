use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use saphyr_parser::Event;

use super::FileError;
use crate::Position;

/// Nodes of one file: keys and values, aliases counted as what they stand for, and what has an anchor twice.
pub(super) const MAX_NODES: u64 = 750_000;
/// Bytes of scalars, aliases counted as what they stand for.
const MAX_TEXT: u64 = 16 << 20;
/// Nested lists and mappings.
pub(super) const MAX_DEPTH: u64 = 64;
const MAX_TIME: Duration = Duration::from_secs(2);

/// Counts what a tree would hold, without building it.
pub(super) struct Tally {
    started: Instant,
    events: u64,
    total: Size,
    open: Vec<Open>,
    anchors: HashMap<usize, Size>,
}

/// What lies below a node, itself included.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: u64,
    text: u64,
    height: u64,
}

struct Open {
    anchor: usize,
    size: Size,
}

impl Tally {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, events: 0, total: Size::default(), open: Vec::new(), anchors: HashMap::new() }
    }

    pub(super) fn note(&mut self, event: &Event<'_>, position: Position) -> Result<(), FileError> {
        self.events += 1;
        if self.events.is_multiple_of(1024) && self.started.elapsed() > MAX_TIME {
            return Err(over(position, "reading this file takes more than 2 s".to_owned()));
        }
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.close(*anchor, Size { nodes: 1, text: text.len() as u64, height: 0 });
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                let size = Size { nodes: 1, text: 0, height: 1 };
                self.open.push(Open { anchor: *anchor, size });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { anchor, size }) = self.open.pop() {
                    self.total.nodes += 1;
                    self.close_counted(anchor, size);
                }
            }
            Event::Alias(anchor) => {
                let Some(size) = self.anchors.get(anchor).copied() else {
                    let message = "an alias that stands inside what it refers to has no end";
                    return Err(FileError::new(Some(position), "SelfReference", message));
                };
                self.close(0, size);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        self.within_budget(position)
    }

    fn close(&mut self, anchor: usize, size: Size) {
        self.total.nodes += size.nodes;
        self.total.text += size.text;
        self.total.height = self.open.len() as u64 + size.height;
        self.close_counted(anchor, size);
    }

    /// A node whose parts are counted already.
    fn close_counted(&mut self, anchor: usize, size: Size) {
        if anchor != 0 {
            self.anchors.insert(anchor, size);
            self.total.nodes += size.nodes;
            self.total.text += size.text;
        }
        if let Some(parent) = self.open.last_mut() {
            parent.size.nodes += size.nodes;
            parent.size.text += size.text;
            parent.size.height = parent.size.height.max(size.height + 1);
        }
    }

    fn within_budget(&self, position: Position) -> Result<(), FileError> {
        let depth = self.total.height.max(self.open.len() as u64);
        if depth > MAX_DEPTH {
            return Err(over(position, format!("lists and mappings are nested more than {MAX_DEPTH} deep")));
        }
        if self.total.nodes + self.open.len() as u64 > MAX_NODES {
            let message =
                format!("more than {MAX_NODES} keys and values, aliases counted as what they stand for");
            return Err(over(position, message));
        }
        if self.total.text > MAX_TEXT {
            let message = "more than 16 MiB of text, aliases counted as what they stand for";
            return Err(over(position, message.to_owned()));
        }
        Ok(())
    }
}

fn over(position: Position, message: String) -> FileError {
    FileError::new(Some(position), "OverBudget", message)
}
