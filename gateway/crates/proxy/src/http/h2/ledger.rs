use std::time::Duration;

use tokio::time::Instant;

use super::framer::{Frame, Framer, kind};

/// What comes before a client's first frame (RFC 9113 §3.4). What it says is hyper's to check.
const PREFACE: usize = 24;

/// What frames of a client are counted over.
const WINDOW: Duration = Duration::from_secs(10);

/// Frames that move nothing, within [`WINDOW`].
const CONTROL_FRAMES: u32 = 1_000;

/// Streams that the client opens and resets, within [`WINDOW`].
const RESETS: u32 = 200;

/// Bytes of one header block, the frames' headers included.
const HEADER_BLOCK: usize = 64 << 10;

/// WINDOW_UPDATE frames that a DATA frame of ours pays for, as in Envoy: there are clients that send one for every
/// few kilobytes they read, for the stream and for the connection.
const UPDATES_PER_DATA: u32 = 10;

/// WINDOW_UPDATE frames that are paid for at most, so that a long download is no licence to flood.
const UPDATES_SAVED: u32 = 100_000;

/// Streams that are kept track of: more than a client may have open. Those that come after we have said goodbye are
/// ignored, and never end.
const TRACKED: usize = 4_096;

/// The books of a connection's frames.
#[derive(Debug)]
pub(super) struct Ledger {
    preface_left: usize,
    inbound: Framer,
    outbound: Framer,
    window: Option<Instant>,
    control_frames: u32,
    resets: u32,
    updates_paid: u32,
    block: Option<Block>,
    /// Streams whose responses have not gone out whole.
    open: Vec<u32>,
    latest: u32,
    data_sent: u64,
}

/// A header block that is not complete.
#[derive(Clone, Copy, Debug)]
struct Block {
    bytes: usize,
    since: Instant,
}

/// What no client does that means well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flood {
    #[error("more than {CONTROL_FRAMES} control frames in ten seconds")]
    ControlFrames,
    #[error("more than {RESETS} streams reset in ten seconds")]
    Resets,
    #[error("a header block of more than {HEADER_BLOCK} bytes")]
    HeaderBlock,
}

impl Ledger {
    /// The books of a new connection.
    pub(super) fn new() -> Self {
        Self {
            preface_left: PREFACE,
            inbound: Framer::default(),
            outbound: Framer::default(),
            window: None,
            control_frames: 0,
            resets: 0,
            updates_paid: 0,
            block: None,
            open: Vec::new(),
            latest: 0,
            data_sent: 0,
        }
    }

    /// Enters bytes that the client sent.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = &bytes[preface..];
        if self.preface_left > 0 {
            return Ok(());
        }
        while let Some(frame) = self.inbound.next(&mut bytes) {
            match frame.kind {
                kind::DATA if frame.length > 0 || frame.ends_stream() => {}
                kind::HEADERS | kind::CONTINUATION => self.header_block(frame)?,
                kind::RST_STREAM => {
                    self.close(frame.stream);
                    self.count(true)?;
                }
                kind::WINDOW_UPDATE if self.updates_paid > 0 => self.updates_paid -= 1,
                _ => self.count(false)?,
            }
        }
        Ok(())
    }

    /// Enters bytes that the client was sent.
    pub(super) fn sent(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.outbound.next(&mut bytes) {
            match frame.kind {
                kind::DATA => {
                    self.data_sent += u64::from(frame.length);
                    self.updates_paid = (self.updates_paid + UPDATES_PER_DATA).min(UPDATES_SAVED);
                    if frame.ends_stream() {
                        self.close(frame.stream);
                    }
                }
                kind::HEADERS if frame.ends_stream() => self.close(frame.stream),
                kind::RST_STREAM => self.close(frame.stream),
                _ => {}
            }
        }
    }

    fn header_block(&mut self, frame: Frame) -> Result<(), Flood> {
        // Trailers open no stream, and neither does what hyper is about to find malformed.
        if frame.kind == kind::HEADERS && frame.stream > self.latest {
            self.latest = frame.stream;
            if self.open.len() < TRACKED {
                self.open.push(frame.stream);
            }
        }
        let before = self.block.take();
        let bytes = before.map_or(0, |block| block.bytes) + 9 + frame.length as usize;
        if bytes > HEADER_BLOCK {
            return Err(Flood::HeaderBlock);
        }
        if !frame.ends_headers() {
            let since = before.map_or_else(Instant::now, |block| block.since);
            self.block = Some(Block { bytes, since });
        }
        Ok(())
    }

    fn count(&mut self, is_reset: bool) -> Result<(), Flood> {
        let now = Instant::now();
        if self.window.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (self.window, self.control_frames, self.resets) = (Some(now), 0, 0);
        }
        self.control_frames += 1;
        self.resets += u32::from(is_reset);
        if self.resets > RESETS {
            Err(Flood::Resets)
        } else if self.control_frames > CONTROL_FRAMES {
            Err(Flood::ControlFrames)
        } else {
            Ok(())
        }
    }

    fn close(&mut self, stream: u32) {
        if let Some(place) = self.open.iter().position(|open| *open == stream) {
            self.open.swap_remove(place);
        }
    }

    /// True once the client has sent the preface.
    pub(super) const fn has_begun(&self) -> bool {
        self.preface_left == 0
    }

    /// Since when a header block has been incomplete, if one is.
    pub(super) fn incomplete_since(&self) -> Option<Instant> {
        self.block.map(|block| block.since)
    }

    /// True if every stream's response has gone out whole, or was reset.
    pub(super) const fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// Bytes of bodies that the client was sent.
    pub(super) const fn data_sent(&self) -> u64 {
        self.data_sent
    }

    /// The stream that the client opened last.
    pub(super) const fn latest_stream(&self) -> u32 {
        self.latest
    }

    /// True if a frame that is not hyper's could be sent.
    pub(super) const fn may_interject(&self) -> bool {
        self.outbound.is_between_frames()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(payload).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.resize(9 + payload, 0);
        bytes
    }

    fn begun() -> Ledger {
        let mut ledger = Ledger::new();
        assert!(!ledger.has_begun());
        ledger.received(&[b'P'; PREFACE]).unwrap();
        assert!(ledger.has_begun());
        ledger
    }

    const PING: u8 = 6;

    /// Frames of every kind, and what becomes of the books, cut at every byte.
    #[tokio::test(start_paused = true)]
    async fn the_books_are_the_same_wherever_the_bytes_are_cut() {
        let mut bytes = vec![b'P'; PREFACE];
        bytes.extend(frame(4, 0, 0, 6));
        bytes.extend(frame(kind::HEADERS, 5, 1, 20));
        bytes.extend(frame(kind::HEADERS, 0, 3, 20));
        bytes.extend(frame(kind::CONTINUATION, 4, 3, 20));
        bytes.extend(frame(kind::DATA, 0, 3, 0));
        bytes.extend(frame(kind::DATA, 1, 3, 0));
        bytes.extend(frame(kind::HEADERS, 4, 5, 20));
        bytes.extend(frame(kind::RST_STREAM, 0, 5, 4));
        bytes.extend(frame(kind::HEADERS, 4, 7, 20));
        bytes.extend(frame(kind::HEADERS, 5, 7, 20));
        bytes.extend(frame(kind::WINDOW_UPDATE, 0, 0, 4));
        bytes.extend(frame(PING, 0, 0, 8));
        bytes.extend(frame(kind::HEADERS, 0, 9, 20));
        for cut in 0..=bytes.len() {
            let mut ledger = Ledger::new();
            ledger.received(&bytes[..cut]).unwrap();
            ledger.received(&bytes[cut..]).unwrap();
            assert_eq!((ledger.control_frames, ledger.resets), (5, 1), "{cut}");
            assert_eq!((ledger.open.as_slice(), ledger.latest), ([1, 3, 7, 9].as_slice(), 9), "{cut}");
            assert_eq!(ledger.incomplete_since(), Some(Instant::now()), "{cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn control_frames_and_resets_are_counted_over_ten_seconds() {
        let (ping, reset, empty) =
            (frame(PING, 0, 0, 8), frame(kind::RST_STREAM, 0, 1, 4), frame(kind::DATA, 0, 1, 0));
        for (bytes, limit, flood) in [
            (&ping, CONTROL_FRAMES, Flood::ControlFrames),
            (&empty, CONTROL_FRAMES, Flood::ControlFrames),
            (&reset, RESETS, Flood::Resets),
        ] {
            let mut ledger = begun();
            for _ in 0..3 {
                for _ in 0..limit {
                    ledger.received(bytes).unwrap();
                }
                tokio::time::advance(WINDOW).await;
            }
            for _ in 0..limit {
                ledger.received(bytes).unwrap();
            }
            tokio::time::advance(WINDOW / 2).await;
            assert_eq!(ledger.received(bytes), Err(flood));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn window_updates_are_paid_for_by_data() {
        let update = frame(kind::WINDOW_UPDATE, 0, 1, 4);
        let mut ledger = begun();
        for _ in 0..50 {
            ledger.sent(&frame(kind::DATA, 0, 1, 1 << 14));
            for _ in 0..UPDATES_PER_DATA {
                ledger.received(&update).unwrap();
            }
        }
        assert_eq!((ledger.control_frames, ledger.data_sent()), (0, 50 << 14));
        for _ in 0..CONTROL_FRAMES {
            ledger.received(&update).unwrap();
        }
        assert_eq!(ledger.received(&update), Err(Flood::ControlFrames));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_block_has_a_limit_and_each_starts_anew() {
        let mut ledger = begun();
        for stream in 0..10 {
            ledger.received(&frame(kind::HEADERS, 0, stream * 2 + 1, 1 << 14)).unwrap();
            ledger.received(&frame(kind::CONTINUATION, 0, stream * 2 + 1, 1 << 14)).unwrap();
            ledger.received(&frame(kind::CONTINUATION, 4, stream * 2 + 1, 1 << 14)).unwrap();
            assert_eq!(ledger.incomplete_since(), None);
        }
        ledger.received(&frame(kind::HEADERS, 0, 31, 0)).unwrap();
        let empty = frame(kind::CONTINUATION, 0, 31, 0);
        for _ in 1..HEADER_BLOCK / 9 {
            ledger.received(&empty).unwrap();
        }
        assert_eq!(ledger.received(&empty), Err(Flood::HeaderBlock));
    }

    #[test]
    fn a_stream_is_open_until_its_response_is_out() {
        let mut ledger = begun();
        for stream in [1, 3, 5, 7] {
            ledger.received(&frame(kind::HEADERS, 4, stream, 1)).unwrap();
        }
        ledger.received(&frame(kind::DATA, 1, 1, 1)).unwrap();
        ledger.sent(&frame(kind::HEADERS, 4, 1, 5));
        ledger.sent(&frame(kind::HEADERS, 5, 3, 5));
        ledger.sent(&frame(kind::RST_STREAM, 0, 5, 4));
        ledger.received(&frame(kind::RST_STREAM, 0, 7, 4)).unwrap();
        assert_eq!(ledger.open, [1]);
        let data = frame(kind::DATA, 1, 1, 100);
        ledger.sent(&data[..50]);
        assert!(!ledger.may_interject() && ledger.is_settled());
        ledger.sent(&data[50..]);
        assert!(ledger.may_interject());
    }
}
