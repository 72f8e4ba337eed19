/// Entries of one collection in brackets: the YAML parser may hold all of its tokens at once, some 800 bytes
/// for each entry.
pub(super) const MAX_ENTRIES: usize = 50_000;

/// A line on which a collection in brackets has grown too large. Quotes and comments are not looked at: an
/// unbalanced bracket in one counts until the document ends, which only matters above the limit.
pub(super) fn too_large(text: &str) -> Option<usize> {
    if text.len() <= MAX_ENTRIES {
        return None;
    }
    let (mut depth, mut entries) = (0_usize, 0_usize);
    for (index, line) in text.split('\n').enumerate() {
        if line.starts_with("---") {
            (depth, entries) = (0, 0);
        }
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => {
                    depth += 1;
                    entries += 1;
                }
                b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        entries = 0;
                    }
                }
                b',' | b'&' | b'*' | b'!' | b'?' if depth > 0 => entries += 1,
                _ => {}
            }
            if entries > MAX_ENTRIES {
                return Some(index + 1);
            }
        }
    }
    None
}
