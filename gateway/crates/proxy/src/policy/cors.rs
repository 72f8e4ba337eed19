use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
    request::Parts,
};
use ir::{CorsMethod, CorsOrigin};

/// Which pages of other origins may use what a rule serves, compiled. Source: Gateway API `HTTPCORSFilter`, the
/// Fetch standard's CORS protocol.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Box<[CorsOrigin]>,
    credentials: bool,
    methods: Allowed,
    headers: Allowed,
    /// `None`: nothing to tell, or `*` with credentials, which a browser would take for a header's name.
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

/// What a preflight request is told of methods or headers.
#[derive(Debug)]
enum Allowed {
    /// Nothing.
    None,
    /// This list.
    These(HeaderValue),
    /// What it has asked for.
    Any,
}

/// What the rule's CORS settings make of a request.
#[derive(Debug)]
pub(crate) enum Judgement {
    /// It goes on, and its response has these fields.
    Goes(Fields),
    /// It asks what is allowed: answered here with 200 and these fields, nothing of it goes to a backend.
    Preflight(Fields),
}

/// The fields of a response that a page of another origin has asked for.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Cors {
    /// Compiles the settings of a rule.
    pub(crate) fn compile(settings: &ir::Cors) -> Self {
        let ir::Cors {
            allow_origins,
            allow_credentials,
            allow_methods,
            allow_headers,
            expose_headers,
            max_age,
        } = settings;
        let credentials = allow_credentials.unwrap_or(false);
        let methods: Vec<&str> = allow_methods.iter().copied().map(CorsMethod::as_str).collect();
        let headers: Vec<&str> = allow_headers.iter().map(String::as_str).collect();
        let expose: Vec<&str> = expose_headers.iter().map(String::as_str).collect();
        let expose = if expose.contains(&"*") && credentials { None } else { list(&expose) };
        Self {
            origins: allow_origins.as_slice().into(),
            credentials,
            methods: Allowed::of(&methods),
            headers: Allowed::of(&headers),
            expose,
            max_age: HeaderValue::from(max_age.unwrap_or(5)),
        }
    }

    /// Judges a request of the rule. `None`: no page of another origin has sent it.
    pub(crate) fn judge(&self, head: &Parts) -> Option<Judgement> {
        let origin = head.headers.get(ORIGIN)?;
        let method = (head.method == Method::OPTIONS)
            .then(|| head.headers.get(ACCESS_CONTROL_REQUEST_METHOD))
            .flatten();
        let allowed = origin.to_str().is_ok_and(|text| self.origins.iter().any(|one| one.matches(text)));
        Some(match method {
            Some(method) if allowed => Judgement::Preflight(self.preflight(origin, method, &head.headers)),
            Some(_) => Judgement::Preflight(Fields::default()),
            None if allowed => Judgement::Goes(self.actual(origin)),
            None => Judgement::Goes(Fields::default()),
        })
    }

    fn actual(&self, origin: &HeaderValue) -> Fields {
        let mut fields = Vec::with_capacity(4);
        fields.push((ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
        if self.credentials {
            fields.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        fields.extend(self.expose.clone().map(|names| (ACCESS_CONTROL_EXPOSE_HEADERS, names)));
        Fields { fields }
    }

    fn preflight(&self, origin: &HeaderValue, method: &HeaderValue, headers: &HeaderMap) -> Fields {
        let mut answer = self.actual(origin);
        let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let methods = self.methods.answer(Some(method)).map(|value| (ACCESS_CONTROL_ALLOW_METHODS, value));
        let headers = self.headers.answer(asked).map(|value| (ACCESS_CONTROL_ALLOW_HEADERS, value));
        answer.fields.extend(methods.into_iter().chain(headers));
        answer.fields.push((ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        answer
    }
}

impl Allowed {
    fn of(names: &[&str]) -> Self {
        if names.contains(&"*") { Self::Any } else { list(names).map_or(Self::None, Self::These) }
    }

    /// What is asked for is told in the place of `*`: with credentials a browser would take that for a name.
    fn answer(&self, asked: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::These(names) => Some(names.clone()),
            Self::Any => asked.cloned(),
        }
    }
}

impl Fields {
    /// Puts the fields into a response, whatever a backend says of CORS there; caches are told that the answer
    /// depends on the origin.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in [
            ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ACCESS_CONTROL_EXPOSE_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_MAX_AGE,
        ] {
            headers.remove(name);
        }
        for (name, value) in &self.fields {
            headers.insert(name, value.clone());
        }
        let says_so = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default();
            text.split(',')
                .any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("origin"))
        };
        if !headers.get_all(VARY).iter().any(says_so) {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
    }
}

/// Names joined by commas; `None`: there are none.
fn list(names: &[&str]) -> Option<HeaderValue> {
    if names.is_empty() { None } else { HeaderValue::try_from(names.join(", ")).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool, methods: &[CorsMethod], headers: &[&str]) -> ir::Cors {
        ir::Cors {
            allow_origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
            allow_credentials: Some(credentials),
            allow_methods: methods.to_vec(),
            allow_headers: headers.iter().map(|&name| name.to_owned()).collect(),
            expose_headers: vec!["x-3".to_owned(), "x-4".to_owned()],
            max_age: None,
        }
    }

    /// What a request of that origin comes to: `goes` or `preflight`, and the response's fields without `vary`.
    fn outcome(settings: &ir::Cors, method: &str, fields: &[(&str, &str)]) -> (&'static str, Vec<String>) {
        let mut request = http::Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (kind, fields) = match Cors::compile(settings).judge(&request.body(()).unwrap().into_parts().0) {
            None => return ("no page", Vec::new()),
            Some(Judgement::Goes(fields)) => ("goes", fields),
            Some(Judgement::Preflight(fields)) => ("preflight", fields),
        };
        let mut headers = HeaderMap::new();
        fields.apply(&mut headers);
        assert_eq!(headers.remove(VARY).unwrap(), "origin");
        let short = |name: &HeaderName| name.as_str().trim_start_matches("access-control-").to_owned();
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{}: {}", short(name), value.to_str().unwrap()))
            .collect();
        lines.sort();
        (kind, lines)
    }

    const ASKS: [(&str, &str); 2] =
        [("access-control-request-method", "PUT"), ("access-control-request-headers", "x-1, x-2")];

    fn asks(origin: &'static str) -> Vec<(&'static str, &'static str)> {
        [&[("origin", origin)][..], &ASKS].concat()
    }

    #[test]
    fn a_preflight_is_told_the_lists() {
        let settings = cors(
            &["https://a.test", "https://*.b.test"],
            true,
            &[CorsMethod::Get, CorsMethod::Options],
            &["x-1", "x-2"],
        );
        for origin in ["https://a.test", "https://d.c.b.test"] {
            let (kind, lines) = outcome(&settings, "OPTIONS", &asks(origin));
            assert_eq!(kind, "preflight");
            assert_eq!(
                lines,
                [
                    "allow-credentials: true",
                    "allow-headers: x-1, x-2",
                    "allow-methods: GET, OPTIONS",
                    &*format!("allow-origin: {origin}"),
                    "expose-headers: x-3, x-4",
                    "max-age: 5",
                ]
            );
        }
    }

    #[test]
    fn a_star_is_answered_with_what_was_asked() {
        for credentials in [true, false] {
            let settings = cors(&["*"], credentials, &[CorsMethod::Any], &["*"]);
            let (_, lines) = outcome(&settings, "OPTIONS", &asks("https://a.test:8443"));
            let told = |line: &str| lines.iter().any(|told| told == line);
            assert!(told("allow-origin: https://a.test:8443"), "{lines:?}");
            assert!(told("allow-methods: PUT") && told("allow-headers: x-1, x-2"), "{lines:?}");
            assert_eq!(told("allow-credentials: true"), credentials);
            let (_, lines) = outcome(&settings, "OPTIONS", &asks("https://a.test")[..2]);
            assert!(!lines.iter().any(|line| line.starts_with("allow-headers")), "{lines:?}");
        }
    }

    #[test]
    fn another_origin_is_told_nothing() {
        let settings = cors(&["https://a.test"], true, &[CorsMethod::Any], &["*"]);
        assert_eq!(outcome(&settings, "OPTIONS", &asks("https://b.test")), ("preflight", Vec::new()));
        assert_eq!(outcome(&settings, "GET", &asks("https://b.test")), ("goes", Vec::new()));
        assert_eq!(outcome(&settings, "GET", &ASKS).0, "no page");
        assert_eq!(outcome(&cors(&[], false, &[], &[]), "GET", &asks("https://b.test")).1, [""; 0]);
    }

    /// OPTIONS without Access-Control-Request-Method is a request like any other.
    #[test]
    fn what_is_no_preflight_goes_on() {
        let settings = cors(&["https://a.test"], false, &[], &[]);
        for (method, fields) in
            [("GET", asks("https://a.test")), ("OPTIONS", asks("https://a.test")[..1].to_vec())]
        {
            let (kind, lines) = outcome(&settings, method, &fields);
            assert_eq!(
                (kind, lines),
                (
                    "goes",
                    vec!["allow-origin: https://a.test".to_owned(), "expose-headers: x-3, x-4".to_owned()]
                )
            );
        }
    }

    #[test]
    fn star_is_no_name_to_expose_with_credentials() {
        let star = ir::Cors { expose_headers: vec!["*".to_owned()], ..cors(&["*"], true, &[], &[]) };
        assert!(
            !outcome(&star, "GET", &asks("https://a.test")).1.iter().any(|line| line.starts_with("expose"))
        );
        let without = ir::Cors { allow_credentials: None, ..star };
        assert!(
            outcome(&without, "GET", &asks("https://a.test")).1.contains(&"expose-headers: *".to_owned())
        );
    }

    #[test]
    fn what_a_backend_says_of_cors_is_replaced_and_vary_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(VARY, HeaderValue::from_static("accept, Origin"));
        Fields::default().apply(&mut headers);
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["accept, Origin"]);
    }
}
