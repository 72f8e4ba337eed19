use std::net::{IpAddr, SocketAddr};

use http::{
    HeaderName, HeaderValue, Method, Uri,
    header::HOST,
    request::Parts,
    uri::{PathAndQuery, Scheme},
};
use proxy::explain::Request;

use super::percent;
use crate::explain::{
    Misread,
    question::{canonical, end},
};

/// A request that somebody wants to know of, as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct AskedRequest {
    /// The words that it was asked for with, for the running gateway to read again.
    words: Vec<(&'static str, String)>,
    /// For people.
    pub(super) method: Method,
    /// Likewise.
    pub(super) url: String,
    /// Who would send it, if that was said.
    pub(super) from: Option<SocketAddr>,
    /// For the proxy.
    pub(super) request: Request,
}

const URL: &str = "an absolute URL: http://shop.example.com:8080/cart?id=1";

impl AskedRequest {
    /// From texts: a method, an absolute URL, fields as `name: value`, and if there are, an address `from` (with a port
    /// or without) and an address `to` with its port, where the URL's host and port are not what is connected to.
    pub(crate) fn parse(
        method: &str,
        url: &str,
        fields: &[String],
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Self, Misread> {
        let mut words = vec![("method", method.to_owned()), ("url", url.to_owned())];
        words.extend(fields.iter().map(|field| ("header", field.clone())));
        words.extend(from.map(|from| ("from", from.to_owned())));
        words.extend(to.map(|to| ("to", to.to_owned())));
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| misread("METHOD", method, "a method such as GET"))?;
        let place = Place::parse(url)?;
        let from = from.map(|from| end("--from", from)).transpose()?;
        let to = to.map(destination).transpose()?;
        let head = head(&method, &place, fields)?;
        let request = Request {
            peer: from.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            address: to.map_or_else(|| place.address(), |to| Some(to.ip())),
            port: to.map_or(place.port, |to| to.port()),
            tls: place.tls,
            server_name: place.address().is_none().then(|| place.host.clone()),
            head,
        };
        Ok(Self { words, method, url: url.to_owned(), from, request })
    }

    /// From the query of the admin page's `/explain/request`.
    pub(crate) fn of_query(query: &str) -> Result<Self, Misread> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut words = Vec::new();
        for (key, value) in pairs {
            let expected = "a value that is percent-encoded";
            words.push((key, percent::decode(value).ok_or_else(|| misread(key, value, expected))?));
        }
        let one = |name: &str| words.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        let fields: Vec<String> =
            words.iter().filter(|(key, _)| *key == "header").map(|(_, field)| field.clone()).collect();
        Self::parse(
            one("method").unwrap_or("GET"),
            one("url").unwrap_or_default(),
            &fields,
            one("from"),
            one("to"),
        )
    }

    /// For the proxy.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// That query.
    pub(crate) fn query(&self) -> String {
        let mut query = String::new();
        for (key, value) in &self.words {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(key);
            query.push('=');
            percent::encode(value, &mut query);
        }
        query
    }
}

/// What a URL says.
struct Place {
    tls: bool,
    authority: String,
    host: String,
    port: u16,
    target: PathAndQuery,
}

impl Place {
    fn parse(url: &str) -> Result<Self, Misread> {
        let wrong = || misread("URL", url, URL);
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(wrong)?;
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if port == 0 || authority.host().is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            tls,
            authority: authority.to_string(),
            host: authority.host().to_ascii_lowercase(),
            port,
            target: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
        })
    }

    /// The host, if it is an address.
    fn address(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host);
        bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
    }
}

/// The head of the request as an HTTP/1 client sends it. A Host among the fields stands in the place of the URL's.
fn head(method: &Method, place: &Place, fields: &[String]) -> Result<Parts, Misread> {
    let target = match *method {
        Method::CONNECT => place.authority.parse(),
        _ => Ok(Uri::from(place.target.clone())),
    };
    let mut head = http::Request::new(()).into_parts().0;
    head.method = method.clone();
    head.uri = target.map_err(|_| misread("URL", &place.authority, URL))?;
    for field in fields {
        let (name, value) = read_field(field)?;
        head.headers.append(name, value);
    }
    if !head.headers.contains_key(HOST) {
        let host = HeaderValue::from_str(&place.authority);
        head.headers.insert(HOST, host.map_err(|_| misread("URL", &place.authority, URL))?);
    }
    Ok(head)
}

fn read_field(field: &str) -> Result<(HeaderName, HeaderValue), Misread> {
    let wrong = || misread("-H", field, "a field such as `x-user: me`");
    let (name, value) = field.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim_matches([' ', '\t'])).map_err(|_| wrong())?;
    Ok((name, value))
}

fn destination(to: &str) -> Result<SocketAddr, Misread> {
    let expected = "an address and a port: 192.0.2.1:443, [2001:db8::1]:443";
    let parsed = to.parse::<SocketAddr>().ok().filter(|to| to.port() != 0);
    parsed.map(canonical).ok_or_else(|| misread("--to", to, expected))
}

fn misread(what: &str, found: &str, expected: &str) -> Misread {
    Misread(format!("{what}: found `{}`, expected {expected}", found.escape_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, url: &str, fields: &[&str], from: Option<&str>) -> Result<AskedRequest, Misread> {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        AskedRequest::parse(method, url, &fields, from, None)
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_was_expected() {
        for (method, url, fields, from, said) in [
            ("G T", "http://a.test/", &[][..], None, "METHOD: found `G T`, expected a method"),
            ("GET", "a.test/x", &[], None, "URL: found `a.test/x`, expected an absolute URL"),
            ("GET", "ftp://a.test/", &[], None, "URL: found `ftp://a.test/`"),
            ("GET", "http://me@a.test/", &[], None, "URL: found"),
            ("GET", "http://a.test:0/", &[], None, "URL: found"),
            ("GET", "/x", &[], None, "URL: found `/x`"),
            ("GET", "http://a.test/", &["x-a"], None, "-H: found `x-a`, expected a field"),
            ("GET", "http://a.test/", &["x a: 1"], None, "-H: found `x a: 1`"),
            ("GET", "http://a.test/", &[], Some("me"), "--from: found `me`, expected an address"),
        ] {
            let Misread(message) = parse(method, url, fields, from).expect_err(said);
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn a_url_says_where_a_host_what_and_both_survive_the_query() {
        for (url, fields, port, address, name, host, target) in [
            ("http://A.test", &[][..], 80, None, Some("a.test"), "A.test", "/"),
            ("https://a.test/x?y=1&z", &["x-a: 1"], 443, None, Some("a.test"), "a.test", "/x?y=1&z"),
            ("http://192.0.2.1:8080/", &["host: b.test"], 8080, Some("192.0.2.1"), None, "b.test", "/"),
            ("https://[2001:db8::1]/", &[], 443, Some("2001:db8::1"), None, "[2001:db8::1]", "/"),
        ] {
            let asked = parse("PUT", url, fields, Some("192.0.2.9")).expect(url);
            let again = AskedRequest::of_query(&asked.query()).expect(url);
            assert_eq!(again.query(), asked.query());
            for asked in [asked, again] {
                let Request { peer, address: at, port: on, server_name, head, .. } = asked.request;
                assert_eq!((on, at.map(|at| at.to_string()).as_deref()), (port, address), "{url}");
                assert_eq!(
                    (server_name.as_deref(), &head.headers[HOST]),
                    (name, &HeaderValue::from_static(host))
                );
                assert_eq!((head.uri.to_string().as_str(), head.method.as_str()), (target, "PUT"));
                assert_eq!(peer.ip().to_string(), "192.0.2.9");
            }
        }
    }
}
