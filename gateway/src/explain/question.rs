use std::net::{IpAddr, SocketAddr};

use ir::Hostname;
use proxy::explain::Question;

/// A connection that somebody wants to know of, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked(pub(crate) Question);

/// What was asked cannot be read; in one line, what was found and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misread(pub(crate) String);

impl Asked {
    /// From texts: `from` an address, `to` an address with a port, `source` an address (both of them with a port or
    /// without), `name` a server name.
    pub(crate) fn parse(
        from: &str,
        to: &str,
        source: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self, Misread> {
        let local = to.parse::<SocketAddr>().ok().filter(|local| local.port() != 0).ok_or_else(|| {
            let expected = "an address and a port: 192.0.2.1:443, [2001:db8::1]:443";
            Misread(format!("TO: found `{}`, expected {expected}", to.escape_default()))
        })?;
        let (peer, local) = (end("FROM", from)?, canonical(local));
        if peer.is_ipv4() != local.is_ipv4() {
            let family = |end: SocketAddr| if end.is_ipv4() { "IPv4" } else { "IPv6" };
            return Err(Misread(format!(
                "FROM and TO: found {} and {}, expected addresses of one family",
                family(peer),
                family(local)
            )));
        }
        let server_name = name.map(server_name).transpose()?;
        let proxied = source.map(|source| end("--proxy-source", source)).transpose()?;
        Ok(Self(Question { peer, local, proxied, server_name }))
    }

    /// The query of the admin page's `/explain`.
    pub(crate) fn query(&self) -> String {
        let Question { peer, local, proxied, server_name } = &self.0;
        let mut query = format!("from={peer}&to={local}");
        query.extend(proxied.map(|source| format!("&source={source}")));
        query.extend(server_name.as_ref().map(|name| format!("&name={name}")));
        query
    }
}

/// An address, with a port or without.
pub(super) fn end(what: &str, text: &str) -> Result<SocketAddr, Misread> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0));
    text.parse().or(alone).map(canonical).map_err(|_| {
        let expected = "an address, with a port or without: 192.0.2.1, 192.0.2.1:4711, 2001:db8::1";
        Misread(format!("{what}: found `{}`, expected {expected}", text.escape_default()))
    })
}

/// A v4-mapped address is an IPv4 address.
pub(super) fn canonical(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip().to_canonical(), end.port())
}

fn server_name(text: &str) -> Result<String, Misread> {
    let name = text.to_ascii_lowercase();
    let is_name = name.parse::<Hostname>().is_ok() && !name.starts_with('*');
    is_name.then_some(name).ok_or_else(|| {
        Misread(format!(
            "--server-name: found `{}`, expected a name: shop.example.com",
            text.escape_default()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_with_what_was_expected() {
        for (from, to, source, name, said) in [
            ("x", "192.0.2.1:80", None, None, "FROM: found `x`, expected an address"),
            ("", "192.0.2.1:80", None, None, "FROM: found ``"),
            ("192.0.2.300", "192.0.2.1:80", None, None, "FROM: found `192.0.2.300`"),
            ("192.0.2.9", "192.0.2.1", None, None, "TO: found `192.0.2.1`, expected an address and a port"),
            ("192.0.2.9", "192.0.2.1:0", None, None, "TO: found `192.0.2.1:0`"),
            ("192.0.2.9", "eg:80\n", None, None, "TO: found `eg:80\\n`"),
            ("192.0.2.9", "[2001:db8::1]:80", None, None, "found IPv4 and IPv6, expected addresses of one"),
            ("192.0.2.9", "192.0.2.1:80", Some("?"), None, "--proxy-source: found `?`"),
            ("192.0.2.9", "192.0.2.1:80", None, Some("*.test"), "--server-name: found `*.test`"),
        ] {
            let Misread(message) = Asked::parse(from, to, source, name).expect_err(said);
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn addresses_are_read_as_people_write_them_and_survive_the_query() {
        for (from, to, query) in [
            ("192.0.2.9", "192.0.2.1:80", "from=192.0.2.9:0&to=192.0.2.1:80"),
            ("192.0.2.9:7", "[::ffff:192.0.2.1]:80", "from=192.0.2.9:7&to=192.0.2.1:80"),
            ("2001:db8::9", "[2001:db8::1]:80", "from=[2001:db8::9]:0&to=[2001:db8::1]:80"),
            ("[2001:db8::9]", "[2001:db8::1]:80", "from=[2001:db8::9]:0&to=[2001:db8::1]:80"),
        ] {
            let asked = Asked::parse(from, to, None, None).expect(from);
            assert_eq!(asked.query(), query);
            assert!(format!("/explain?{query}").parse::<http::Uri>().is_ok(), "{query}");
        }
        let asked = Asked::parse("192.0.2.9", "192.0.2.1:80", Some("203.0.113.1"), Some("Shop.Test"));
        let query = asked.expect("well-formed").query();
        assert_eq!(query, "from=192.0.2.9:0&to=192.0.2.1:80&source=203.0.113.1:0&name=shop.test");
    }
}
