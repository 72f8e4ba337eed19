use std::borrow::Cow;

/// The parameters of a query, decoded, in their order. `+` stays: RFC 3986 gives it no meaning.
pub(super) struct Query<'a>(Vec<Parameter<'a>>);

/// A name and its value.
type Parameter<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> Query<'a> {
    /// Splits `a=1&b=2`. A parameter without `=` has an empty value.
    pub(super) fn parse(query: &'a str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// The value of the first parameter of that name.
    pub(super) fn first(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(present, _)| **present == *name.as_bytes());
        found.map(|(_, value)| &**value)
    }
}

/// Percent-decoding of RFC 3986 §2.1; a `%` without two hexadecimal digits stands for itself.
fn decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, escaped(rest)) {
            (b'%', Some(value)) => {
                decoded.push(value);
                rest = &rest[3..];
            }
            _ => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(decoded)
}

/// The byte that `%XY` at the start stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let digit = |place: usize| char::from(*bytes.get(place)?).to_digit(16);
    u8::try_from(digit(1)? << 4 | digit(2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts_after_decoding() {
        let query = Query::parse("a=1&b=x%20y&a=2&&c&%64=4&e=1=2&f=100%&g=a+b&h=%ff");
        for (name, value) in [
            ("a", Some(&b"1"[..])),
            ("b", Some(b"x y")),
            ("c", Some(b"")),
            ("d", Some(b"4")),
            ("e", Some(b"1=2")),
            ("f", Some(b"100%")),
            ("g", Some(b"a+b")),
            ("h", Some(b"\xff")),
            ("i", None),
            ("", None),
        ] {
            assert_eq!(query.first(name), value, "{name}");
        }
    }
}
