//! What is explained of a request is what becomes of it.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue, Method};
use ir::{
    Action, ClientSettings, Cors, Filter, HeaderEdit, HeaderMatch, HeaderModifier, HttpMatch, Matcher,
    PathMatch, PathRewrite, Pattern, QueryMatch, Redirect, VirtualHost,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use proxy::{
    Proxy,
    explain::{Course, Ending, Request, RequestExplanation},
};

use crate::{backend::*, configure::*, rules::*};

const PREFIXES: [&str; 6] = ["/", "/a", "/a/b", "/b", "/ab", "/a/b/c"];
const TARGETS: [&str; 14] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a//b",
    "/a/../b",
    "/%61/b",
    "/a%2Fb",
    "/A",
    "/ab?a=1",
    "/a/b?a=2&a=1",
    "/b?b=1&a=2",
    "/../a",
    "/c",
];
const HOSTS: [&str; 5] = ["", "a.test", "*.test", "*.a.test", "b.a.test"];
const VALUES: [&str; 3] = ["1", "2", "1,2"];

/// A rule answers with a status of its own, or sends the client to a path of its own.
fn any_rule() -> impl Strategy<Value = (Vec<Filter>, bool)> {
    let set = |name: &str| HeaderModifier {
        set: vec![HeaderEdit { name: name.into(), value: "1".into() }],
        ..HeaderModifier::default()
    };
    let filter = prop_oneof![
        Just(Filter::RequestHeaderModifier(set("x-a"))),
        Just(Filter::ResponseHeaderModifier(set("x-seen"))),
        Just(Filter::Cors(Cors {
            allow_origins: vec!["https://a.test".parse().unwrap()],
            ..Cors::default()
        })),
    ];
    (vec(filter, 0..2), any::<bool>())
}

fn any_match() -> impl Strategy<Value = HttpMatch> {
    let path = prop_oneof![
        2 => select(&PREFIXES).prop_map(|path| PathMatch::Exact(path.into())),
        4 => select(&PREFIXES).prop_map(|path| PathMatch::Prefix(path.into())),
        1 => select(&["/a.*", "/[ab]"]).prop_map(|text| PathMatch::Pattern(Pattern::new(text).unwrap())),
    ];
    let method = option::weighted(0.3, select(&[Method::GET, Method::POST, Method::TRACE]));
    let value = || select(&VALUES).prop_map(|value| Matcher::Exact(value.into()));
    let header = (select(&["x-a", "x-b", "te"]), value())
        .prop_map(|(name, value)| HeaderMatch { name: HeaderName::from_static(name), value });
    let query =
        (select(&["a", "b"]), value()).prop_map(|(name, value)| QueryMatch { name: name.into(), value });
    (path, method, vec(header, 0..2), vec(query, 0..2)).prop_map(|(path, method, headers, query)| HttpMatch {
        path,
        method,
        headers,
        query,
    })
}

fn any_hosts() -> impl Strategy<Value = Vec<VirtualHost>> {
    let entries = vec((any_match(), any_rule()), 1..8);
    vec((select(&HOSTS), entries), 1..4).prop_map(|hosts| {
        let mut numbers = 0..;
        let mut entry = |(matches, (mut filters, redirects)): (HttpMatch, (Vec<Filter>, bool))| {
            let number: u16 = numbers.next().unwrap();
            if redirects {
                let path = Some(PathRewrite::Full(format!("/{number}").into()));
                filters.push(Filter::RequestRedirect(Redirect {
                    scheme: None,
                    hostname: None,
                    path,
                    port: None,
                    status: 302,
                }));
            }
            (matches, rule(&number.to_string(), filters, Action::Respond(210 + number)))
        };
        let mut seen = Vec::new();
        let hosts = hosts.into_iter().filter(|(name, _)| {
            let new = !seen.contains(name);
            seen.push(*name);
            new
        });
        let hosts: Vec<_> = hosts.collect();
        hosts
            .into_iter()
            .map(|(name, entries)| {
                host(
                    Some(name).filter(|name| !name.is_empty()),
                    entries.into_iter().map(&mut entry).collect(),
                )
            })
            .collect()
    })
}

type Asking = (&'static str, &'static str, &'static str, Vec<(&'static str, &'static str)>);

fn any_request() -> impl Strategy<Value = Asking> {
    let host = select(&["a.test", "B.A.test", "x.test:80", "other"]);
    let fields = [
        ("x-a", "1"),
        ("x-a", "2"),
        ("x-b", "1"),
        ("te", "1"),
        ("origin", "https://a.test"),
        ("access-control-request-method", "GET"),
    ];
    (select(&["GET", "POST", "TRACE", "OPTIONS"]), select(&TARGETS), host, vec(select(fields.to_vec()), 0..4))
}

fn course(proxy: &Proxy, address: SocketAddr, (method, target, host, fields): &Asking) -> Course {
    let mut head = http::Request::builder().method(*method).uri(*target).body(()).unwrap().into_parts().0;
    head.headers.insert("host", HeaderValue::from_static(host));
    for (name, value) in fields {
        head.headers.append(*name, HeaderValue::from_static(value));
    }
    let request = Request {
        peer: "127.0.0.1:1".parse().unwrap(),
        address: Some(address.ip()),
        port: address.port(),
        tls: false,
        server_name: None,
        head,
    };
    match proxy.explainer().explain_request(&request) {
        Some(RequestExplanation::Courses(mut courses)) if courses.len() == 1 => courses.remove(0),
        other => panic!("one port is meant: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn what_is_explained_of_a_request_is_what_it_is_answered(
        hosts in any_hosts(),
        requests in vec(any_request(), 40),
    ) {
        let mut proxy = start();
        let (_port, address) = serve(&mut proxy, ClientSettings::default(), hosts);
        for request in requests {
            let course = course(&proxy, address, &request);
            let (method, target, host, fields) = &request;
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let answer = ask(address, method, target, host, &fields);
            let status = course.ending.status().map(|status| status.as_u16());
            prop_assert_eq!(status, Some(answer.status), "{:?}\n{:#?}", request, course);
            if let Ending::Responds(status) = &course.ending {
                let rule = format!("default/{}", status.as_u16() - 210);
                let found = course.found.as_ref().map(|found| &*found.rule.id.route);
                prop_assert_eq!(found, Some(&*rule), "{:?}", request);
            }
            if let Ending::Redirected(_, location) = &course.ending {
                prop_assert_eq!(answer.field("location"), Some(location.as_str()), "{:?}", request);
            }
        }
    }
}
