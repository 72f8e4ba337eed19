use crate::Position;

/// The lines around a place in a text, with a mark below the place:
///
/// ```text
///    8 |   rules:
///    9 |   - matchs:
///      |     ^
/// ```
///
/// Empty where the text has no such line. Long lines are cut; control characters are replaced.
pub fn excerpt(text: &str, place: Position) -> String {
    let line = place.line as usize;
    let from = line.saturating_sub(2);
    let lines: Vec<&str> = text.lines().skip(from).take(line.saturating_sub(from)).collect();
    if line == 0 || lines.len() < line - from {
        return String::new();
    }
    let mut out = String::new();
    for (index, text) in lines.iter().enumerate() {
        out.push_str(&format!("{:>5} | {}\n", from + index + 1, shown(text)));
    }
    let column = (place.column as usize).clamp(1, MAX_WIDTH);
    out.push_str(&format!("{:>5} | {}^\n", "", " ".repeat(column - 1)));
    out
}

const MAX_WIDTH: usize = 120;

fn shown(line: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    line.trim_end_matches('\r').chars().take(MAX_WIDTH).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_the_place() {
        let text = "a: 1\nb:\n  c: x\n";
        let at = |line, column| excerpt(text, Position { line, column });
        assert_eq!(at(3, 6), "    2 | b:\n    3 |   c: x\n      |      ^\n");
        assert_eq!(at(1, 1), "    1 | a: 1\n      | ^\n");
        assert_eq!(at(9, 1), "");
        assert_eq!(at(0, 0), "");
    }
}
