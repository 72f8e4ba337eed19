use super::super::whole::literal;

/// Where braces of Traefik 2 stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Host,
}

/// The expression of a template with `{name}` and `{name:expression}`, as Traefik 2 has it from gorilla/mux; `None` if it
/// has no braces. The error says what is wrong.
pub(super) fn expression(template: &str, place: Place) -> Result<Option<String>, String> {
    if !template.contains('{') {
        return Ok(None);
    }
    let by_default = if place == Place::Path { "[^/]+" } else { "[^.]+" };
    let mut found = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        found.push_str(&literal(&rest[..open]));
        let close = closing(&rest[open..]).ok_or("a brace is not closed")?;
        let inner = &rest[open + 1..open + close];
        let expression = inner.split_once(':').map_or(by_default, |(_, expression)| expression);
        found.push_str(&format!("(?:{expression})"));
        rest = &rest[open + close + 1..];
    }
    found.push_str(&literal(rest));
    Ok(Some(found))
}

/// The brace that closes the first one: expressions have braces of their own.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_braces_is_an_expression_and_the_rest_a_text() {
        let path = |template| expression(template, Place::Path);
        assert_eq!(path("/plain"), Ok(None));
        assert_eq!(path("/a.b/{id:[0-9]{2}}"), Ok(Some(r"/a\.b/(?:[0-9]{2})".to_owned())));
        assert_eq!(path("/{any}/x"), Ok(Some("/(?:[^/]+)/x".to_owned())));
        path("/{id").expect_err("open");
        assert_eq!(expression("{sub}.a", Place::Host), Ok(Some(r"(?:[^.]+)\.a".to_owned())));
    }
}
