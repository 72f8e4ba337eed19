/// Bytes of a frame's header (RFC 9113 §4.1).
const HEADER: usize = 9;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of the payload.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0: the connection.
    pub(super) stream: u32,
}

/// Kinds of frames that are told apart (RFC 9113 §6).
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Frame {
    fn parse(header: [u8; HEADER]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = header;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            // The highest bit is reserved, and ignored.
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    /// Nothing of this stream follows. Only of DATA and HEADERS.
    pub(super) const fn ends_stream(self) -> bool {
        self.flags & END_STREAM != 0
    }

    /// The header block is complete. Only of HEADERS and CONTINUATION.
    pub(super) const fn ends_headers(self) -> bool {
        self.flags & END_HEADERS != 0
    }
}

/// Finds the frames in bytes that go by, and keeps none of them.
#[derive(Debug, Default)]
pub(super) struct Framer {
    header: [u8; HEADER],
    have: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
}

impl Framer {
    /// Looks at the next bytes, and takes those up to the end of the next frame's header off them.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.left.min(bytes.len());
        self.left -= skipped;
        *bytes = &bytes[skipped..];
        let count = (HEADER - self.have).min(bytes.len());
        self.header[self.have..self.have + count].copy_from_slice(&bytes[..count]);
        self.have += count;
        *bytes = &bytes[count..];
        if self.have < HEADER {
            return None;
        }
        self.have = 0;
        let frame = Frame::parse(self.header);
        self.left = frame.length as usize;
        Some(frame)
    }

    /// True if a frame of another sender could follow.
    pub(super) const fn is_between_frames(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_wherever_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&[0, 0, 3, kind::DATA, END_STREAM, 0x80, 0, 0, 5, 1, 2, 3]);
        bytes.extend_from_slice(&[0, 0, 0, kind::HEADERS, END_HEADERS, 0, 0, 1, 7]);
        bytes.extend_from_slice(&[0, 1, 0, 0xfe, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[9; 256]);
        let expected = [
            Frame { length: 3, kind: kind::DATA, flags: END_STREAM, stream: 5 },
            Frame { length: 0, kind: kind::HEADERS, flags: END_HEADERS, stream: 263 },
            Frame { length: 256, kind: 0xfe, flags: 0, stream: 0 },
        ];
        for cut in 0..=bytes.len() {
            let mut framer = Framer::default();
            let mut found = Vec::new();
            for (mut piece, end) in [(&bytes[..cut], cut), (&bytes[cut..], bytes.len())] {
                while let Some(frame) = framer.next(&mut piece) {
                    found.push(frame);
                }
                assert!(piece.is_empty());
                assert_eq!(framer.is_between_frames(), [0, 12, 21, 286].contains(&end), "{cut}");
            }
            assert_eq!(found, expected, "{cut}");
        }
        assert!(expected[0].ends_stream() && expected[1].ends_headers());
    }
}
