use http::{HeaderMap, HeaderName};
use ir::Underscores;

use super::{remove_fields, request_phase::EarlyResponse};

/// `headers.withUnderscoresAction`. Backends that read headers as CGI does cannot tell `a_b` from `a-b`, so a
/// name with an underscore could stand in for one that a proxy vouches for.
pub(super) fn apply(headers: &mut HeaderMap, action: Underscores) -> Result<(), EarlyResponse> {
    match action {
        Underscores::RejectRequest if headers.keys().any(has_underscore) => {
            return Err(EarlyResponse::Underscore);
        }
        Underscores::DropHeader => remove_fields(headers, has_underscore),
        Underscores::RejectRequest | Underscores::Allow => {}
    }
    Ok(())
}

fn has_underscore(name: &HeaderName) -> bool {
    name.as_str().as_bytes().contains(&b'_')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Envoy Gateway: `headers.withUnderscoresAction`.
    #[test]
    fn rejected_dropped_or_allowed() {
        let mut with = HeaderMap::new();
        for name in ["x-a", "x_a", "x_b"] {
            with.append(name, HeaderValue::from_static("1"));
        }
        let left = |action| {
            let mut headers = with.clone();
            apply(&mut headers, action).map(|()| headers.len())
        };
        assert_eq!(left(Underscores::Allow), Ok(3));
        assert_eq!(left(Underscores::DropHeader), Ok(1));
        assert_eq!(left(Underscores::RejectRequest), Err(EarlyResponse::Underscore));
        with.remove("x_a");
        with.remove("x_b");
        assert_eq!(apply(&mut with, Underscores::RejectRequest), Ok(()));
    }
}
