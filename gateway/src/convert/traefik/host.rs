use super::template::{Place, expression};

/// The hostname of HTTPRoute for HostRegexp, and whether it stands for more hosts than the expression; `None` as hostname:
/// every host. The error says why there is none.
pub(super) fn hostname(found: &str) -> Result<(Option<String>, bool), String> {
    let expression = expression(found, Place::Host)?.unwrap_or_else(|| found.to_owned());
    let inner = expression.strip_prefix('^').unwrap_or(&expression);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    if is_any(inner) {
        return Ok((None, false));
    }
    let names = "an HTTPRoute has names and `*.` before names only";
    let suffix = suffix(inner);
    let first = &inner[..inner.len() - suffix.1];
    let Some(parent) = suffix.0.strip_prefix('.').filter(|parent| !parent.is_empty()) else {
        return match first {
            "" if !suffix.0.is_empty() => Ok((Some(suffix.0), false)),
            _ => Err(names.to_owned()),
        };
    };
    // What the star stands for holds no slash and may hold dots; an open end of the expression would match more.
    if !expression.ends_with('$') && expression == found {
        return Err(format!("it has no `$`, so that names that go on match too, and {names}"));
    }
    let exact = is_any(first) && !matches!(first, ".*" | "(.*)" | "(?:.*)");
    Ok((Some(format!("*.{parent}")), !exact))
}

fn is_any(expression: &str) -> bool {
    matches!(expression, ".*" | ".+" | "(.*)" | "(.+)" | "(?:.*)" | "(?:.+)")
}

/// The longest end of an expression that is plain text: the text, and the length of its expression.
fn suffix(expression: &str) -> (String, usize) {
    let mut text = Vec::new();
    let mut length = 0;
    let mut rest = expression;
    while let Some(last) = rest.chars().next_back() {
        let before = &rest[..rest.len() - last.len_utf8()];
        let escaped = before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
        let plain = last.is_ascii_alphanumeric() || last == '-';
        let taken = match (plain, escaped) {
            (true, false) => 1,
            (false, true) if last == '.' || last == '-' => 2,
            _ => break,
        };
        text.push(last);
        length += taken;
        rest = &expression[..expression.len() - length];
    }
    (text.into_iter().rev().collect::<String>().to_ascii_lowercase(), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_wildcard_can_say_is_one() {
        let name = |name: &str, wider| Ok((Some(name.to_owned()), wider));
        for (found, expected) in [
            (r"^.+\.example\.com$", name("*.example.com", false)),
            (r"^[a-z]+\.example\.com$", name("*.example.com", true)),
            ("{sub:[a-z]+}.example.com", name("*.example.com", true)),
            ("{sub:.+}.example.com", name("*.example.com", false)),
            ("{any:.*}", Ok((None, false))),
            (".+", Ok((None, false))),
            (r"^a\.example$", name("a.example", false)),
        ] {
            assert_eq!(hostname(found), expected, "{found}");
        }
        for bad in [r"^(a|b)$", r".+\.example\.com", r"^a.*$", "{open"] {
            hostname(bad).expect_err(bad);
        }
    }
}
