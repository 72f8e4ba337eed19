//! What a rule does to a request and its response beside choosing a backend, compiled: `filters[]` of Gateway API.

mod headers;
mod mirror;
mod path;
mod redirect;
mod rewrite;

use std::rc::Rc;

use http::{HeaderMap, request::Parts};
use ir::RouteTimeouts;

pub(crate) use self::redirect::Redirected;
use self::{headers::HeaderEdits, mirror::Mirror, rewrite::Rewrite};
use crate::{
    error::ProxyError,
    policy::{Cors, Facts},
    snapshot::Builder,
    upstream,
    worker::Worker,
};

/// The filters of one rule, by the message that they change, each in the user's order.
#[derive(Default)]
pub(crate) struct Filters {
    request: Box<[Step]>,
    response: Box<[HeaderEdits]>,
    mirrors: Box<[Mirror]>,
    /// Judges before any other filter, so that a preflight request is answered whatever those do.
    pub(crate) cors: Option<Cors>,
}

/// What is done to a request.
#[derive(Debug)]
enum Step {
    Edit(HeaderEdits),
    Redirect(ir::Redirect),
    Rewrite(Rewrite),
}

impl Filters {
    /// Compiles the filters of a rule.
    pub(crate) fn compile(filters: &[ir::Filter], builder: &mut Builder<'_>) -> Self {
        let (mut request, mut response, mut mirrors) = (Vec::new(), Vec::new(), Vec::new());
        let mut cors = None;
        for filter in filters {
            match filter {
                ir::Filter::Cors(settings) => cors = Some(Cors::compile(settings)),
                ir::Filter::RequestHeaderModifier(edits) => {
                    request.push(Step::Edit(HeaderEdits::compile(edits)));
                }
                ir::Filter::ResponseHeaderModifier(edits) => response.push(HeaderEdits::compile(edits)),
                ir::Filter::RequestMirror(mirror) => mirrors.push(Mirror::build(mirror, builder)),
                ir::Filter::UrlRewrite(rewrite) => request.push(Step::Rewrite(Rewrite::compile(rewrite))),
                ir::Filter::RequestRedirect(redirect) => request.push(Step::Redirect(redirect.clone())),
            }
        }
        Self { request: request.into(), response: response.into(), mirrors: mirrors.into(), cors }
    }

    /// Changes a request before it goes to a backend, or says where the client is sent instead.
    pub(crate) fn apply_request(
        &self,
        head: &mut Parts,
        facts: Facts<'_>,
    ) -> Result<Option<Redirected>, ProxyError> {
        for step in &self.request {
            match step {
                Step::Edit(edits) => edits.apply(&mut head.headers),
                Step::Rewrite(rewrite) => rewrite.apply(head)?,
                Step::Redirect(redirect) => return redirect::apply(redirect, head, facts).map(Some),
            }
        }
        Ok(None)
    }

    /// Sends the copies of a request that the rule asks for, as its other filters have made it: those of a backend come
    /// later, and are that one's alone.
    pub(crate) fn mirror(
        &self,
        worker: &Rc<Worker>,
        timeouts: &RouteTimeouts,
        request: &mut upstream::Request,
    ) {
        if !self.mirrors.is_empty() {
            mirror::copy(&self.mirrors, worker, timeouts, request);
        }
    }

    /// Edits a response's header before it goes to the client.
    pub(crate) fn apply_response(&self, headers: &mut HeaderMap) {
        self.response.iter().for_each(|edits| edits.apply(headers));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use ir::{Filter, HeaderEdit, HeaderModifier, Redirect};

    use super::*;
    use crate::{carry::Carry, sources::Source};

    fn modifier(value: &str) -> HeaderModifier {
        let edit = HeaderEdit { name: "x".into(), value: value.into() };
        HeaderModifier { set: vec![edit], ..Default::default() }
    }

    fn run(filters: &[Filter]) -> (HeaderMap, HeaderMap, Option<Redirected>) {
        let request = http::Request::builder().uri("/").header("host", "a.test");
        let mut head = request.body(()).unwrap().into_parts().0;
        let (peer, local) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
        let source = Source { peer, local, proxied: None };
        let carry = Carry::new(crate::metrics::Metrics::new(), 1);
        let filters = Filters::compile(filters, &mut Builder::new(&carry));
        let answer = filters.apply_request(&mut head, Facts { source: &source, tls: false }).unwrap();
        let mut response = HeaderMap::new();
        filters.apply_response(&mut response);
        (head.headers, response, answer)
    }

    #[test]
    fn filters_run_in_the_users_order() {
        let set = |value: &str| Filter::ResponseHeaderModifier(modifier(value));
        let remove =
            Filter::ResponseHeaderModifier(HeaderModifier { remove: vec!["x".into()], ..Default::default() });
        let apply = |filters: &[Filter]| run(filters).1.remove("x");
        assert_eq!(apply(&[set("a"), set("b")]), Some(HeaderValue::from_static("b")));
        assert_eq!(apply(&[set("a"), remove.clone()]), None);
        assert_eq!(apply(&[remove, set("a")]), Some(HeaderValue::from_static("a")));
    }

    #[test]
    fn each_message_has_its_own_filters() {
        let both = [
            Filter::RequestHeaderModifier(modifier("request")),
            Filter::ResponseHeaderModifier(modifier("response")),
        ];
        let (request, response, _) = run(&both);
        assert_eq!(
            (&request["x"], &response["x"]),
            (&HeaderValue::from_static("request"), &HeaderValue::from_static("response"))
        );
    }

    #[test]
    fn a_redirect_is_the_last_step() {
        let redirect = Redirect { scheme: None, hostname: None, path: None, port: None, status: 307 };
        let steps = [Filter::RequestRedirect(redirect), Filter::RequestHeaderModifier(modifier("late"))];
        let (request, _, answer) = run(&steps);
        assert!(!request.contains_key("x"));
        assert_eq!(answer.unwrap().status, 307);
    }
}
