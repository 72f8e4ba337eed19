use std::net::{IpAddr, SocketAddr};

use http::StatusCode;
use ir::{Listener, PolicyNames, Retry, RouteTimeouts, SocketKey};
use proxy::explain::{Asked, Candidate, Chance, Course, Ending, Explanation, Question, RequestExplanation};

use super::{AskedRequest, BackendLine, CourseLine, MatchLine, RequestAnswer, words};
use crate::explain::{Behind, Context, context::nobody};

impl Context<'_> {
    /// The proxy's explanation of a request with everybody named. `connect` explains a connection: where it was said who
    /// sends the request, a refusal of its connection is told.
    pub(crate) fn answer_request(
        &self,
        asked: &AskedRequest,
        explanation: &RequestExplanation,
        connect: impl Fn(&Question) -> Option<Explanation>,
    ) -> RequestAnswer {
        let AskedRequest { method, url, from, request, .. } = asked;
        let mut answer = RequestAnswer {
            method: method.to_string(),
            url: url.clone(),
            from: from.map(|from| from.ip().to_string()),
            generation: self.running.map(|running| running.generation),
            courses: Vec::new(),
            answered: false,
            notes: Vec::new(),
        };
        let courses = match explanation {
            RequestExplanation::NoListener { nearest } => {
                let place = request.address.map_or_else(
                    || format!("port {} of any address", request.port),
                    |address| SocketAddr::new(address, request.port).to_string(),
                );
                answer.notes = nobody(place, nearest.as_ref());
                return answer;
            }
            RequestExplanation::Courses(courses) => courses,
        };
        answer.answered = true;
        for course in courses {
            answer.answered &= is_answered(&course.ending);
            answer.courses.push(self.course(asked, course));
            if let Some((question, reason)) = refusal(asked, course.socket, &connect) {
                answer.answered = false;
                let (peer, local) = (question.peer.ip(), question.local);
                answer.notes.push(format!(
                    "its connection is refused: {reason}; `gateway explain connection {peer} {local}` says by whom"
                ));
            }
        }
        answer
    }

    fn course(&self, asked: &AskedRequest, course: &Course) -> CourseLine {
        let id = course.listener.as_ref();
        let listener = id.and_then(|id| {
            self.config.binds.iter().flat_map(|bind| &bind.listeners).find(|listener| listener.id == *id)
        });
        let rule = course.found.as_ref().map(|found| &found.rule);
        let line = |candidate: &Candidate| self.matched(asked, course, candidate);
        let mut next = course.next.as_ref().map(line);
        if let (Some(found), Some(after), Some(next)) = (&course.found, &course.next, &mut next) {
            next.why = vec![behind_why(found, after).to_owned()];
        }
        let (ending, status, detail) = match &course.ending {
            Ending::NoExchange(why) => ("not_connected", None, Some((*why).to_owned())),
            Ending::Refused(status, why) => ("refused", Some(*status), Some(why.clone())),
            Ending::Redirected(status, location) => ("redirected", Some(*status), Some(location.clone())),
            Ending::Preflight(status) => ("preflight", Some(*status), None),
            Ending::Responds(status) => ("responds", Some(*status), None),
            Ending::Forwarded(_) => ("forwarded", None, None),
        };
        CourseLine {
            listening: course.socket.to_string(),
            listener: id.map(ToString::to_string),
            behind: id.and_then(|id| self.origins.listeners.get(id)).map(Behind::from),
            policies: listener.map_or_else(Vec::new, |listener| self.policies(listener)),
            host: course.host.clone(),
            target: course.target.clone(),
            matched: course.found.as_ref().map(line),
            next,
            near: course.near.iter().map(line).collect(),
            filters: rule.map_or_else(Vec::new, |rule| rule.filters.iter().map(words::filter).collect()),
            limits: rule.map(|rule| limits(&rule.timeouts, rule.retry.as_ref())),
            ending: ending.to_owned(),
            status: status.map(|status| status.as_u16()),
            detail,
            backends: self.backends(course),
        }
    }

    fn policies(&self, listener: &Listener) -> Vec<Behind> {
        let PolicyNames { client, connection } = &listener.policies;
        let client = client.as_ref().and_then(|name| self.origins.client_policies.get(name));
        let connection = connection.as_ref().and_then(|name| self.origins.connection_policies.get(name));
        client.into_iter().chain(connection).map(|policy| Behind::from(&policy.setting(""))).collect()
    }

    fn matched(&self, asked: &AskedRequest, course: &Course, candidate: &Candidate) -> MatchLine {
        let id = &candidate.rule.id;
        let field = format!("spec.rules[{}].matches[{}]", id.index, candidate.place);
        let misses = candidate.misses.iter();
        MatchLine {
            route: id.route.to_string(),
            rule: id.name.as_ref().map_or_else(|| id.index.to_string(), ToString::to_string),
            listener: candidate.listener.to_string(),
            hostname: candidate.hostname.as_ref().map(ToString::to_string),
            asks: words::matched(&candidate.matches),
            why: misses.map(|miss| words::miss(course, &asked.method, candidate, *miss)).collect(),
            behind: self.of_route(candidate, &field),
        }
    }

    fn backends(&self, course: &Course) -> Vec<BackendLine> {
        let (Ending::Forwarded(chances), Some(found)) = (&course.ending, &course.found) else {
            return Vec::new();
        };
        let of = chances.iter().map(|chance| u64::from(chance.weight)).sum();
        let ir::Action::Forward(choices) = &found.rule.action else { return Vec::new() };
        let line = |Chance { place, weight, upstream, asked }: &Chance| {
            let field = format!("spec.rules[{}].backendRefs[{place}]", found.rule.id.index);
            let endpoints = upstream.iter().flat_map(|upstream| &upstream.endpoints);
            let filters = choices.get(*place).into_iter().flat_map(|choice| &choice.filters);
            BackendLine {
                backend: upstream.as_ref().map(|upstream| upstream.name.to_string()),
                weight: *weight,
                of,
                endpoints: endpoints.map(|endpoint| endpoint.address.to_string()).collect(),
                filters: filters.map(words::filter).collect(),
                asked: asked.as_ref().ok().map(|Asked { host, target }| {
                    host.as_ref().map_or_else(|| target.clone(), |host| format!("{target} of {host}"))
                }),
                problem: asked.as_ref().err().cloned(),
                behind: self.of_route(found, &field),
            }
        };
        chances.iter().map(line).collect()
    }

    fn of_route(&self, candidate: &Candidate, field: &str) -> Option<Behind> {
        let route = self.origins.routes.get(&candidate.rule.id.route)?;
        Some(Behind::from(&route.setting(field)))
    }
}

/// Why a match that fits too comes after the one found.
fn behind_why(found: &Candidate, next: &Candidate) -> &'static str {
    let by_order = if found.rule.id.route == next.rule.id.route {
        "of equals of one route the rule that stands first goes first"
    } else {
        "of equals the older route goes first, then the one whose name is first"
    };
    found.matches.precedence().over(&next.matches.precedence()).unwrap_or(by_order)
}

/// Why the connection is refused that the request would come by.
fn refusal(
    asked: &AskedRequest,
    socket: SocketKey,
    connect: impl Fn(&Question) -> Option<Explanation>,
) -> Option<(Question, &'static str)> {
    let peer = asked.from?;
    let bound = Some(socket.address).filter(|address| !address.is_unspecified());
    let own_family = if peer.is_ipv4() { IpAddr::from([127, 0, 0, 1]) } else { IpAddr::from([0; 8]) };
    let address = asked.request.address.or(bound).unwrap_or(own_family);
    if address.is_ipv4() != peer.is_ipv4() {
        return None;
    }
    let local = SocketAddr::new(address, socket.port);
    let question = Question { peer, local, proxied: None, server_name: asked.request.server_name.clone() };
    let Explanation::Listener { paths, .. } = connect(&question)? else { return None };
    let reason = paths.iter().find_map(|path| path.refusal()).map(|(reason, _)| reason)?;
    // Who sends one is not said here.
    (reason != "proxy_missing").then_some((question, reason))
}

fn is_answered(ending: &Ending) -> bool {
    match ending {
        Ending::NoExchange(_) | Ending::Refused(..) => false,
        Ending::Redirected(..) | Ending::Preflight(_) => true,
        Ending::Responds(status) => *status < StatusCode::BAD_REQUEST,
        Ending::Forwarded(chances) => chances.iter().any(|chance| chance.asked.is_ok()),
    }
}

fn limits(timeouts: &RouteTimeouts, retry: Option<&Retry>) -> String {
    let RouteTimeouts { request, backend_request } = timeouts;
    let of = |limit: &Option<std::time::Duration>| {
        limit.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit:?}"))
    };
    let retry = retry.map_or_else(
        || "no retry".to_owned(),
        |retry| {
            let codes: Vec<String> = retry.codes.iter().map(ToString::to_string).collect();
            let codes =
                if codes.is_empty() { String::new() } else { format!(" and after {}", codes.join(", ")) };
            let (attempts, backoff) = (retry.attempts(), retry.backoff());
            format!("{attempts} retries, {backoff:?} apart at first, after failures{codes}")
        },
    );
    format!("timeouts: {}, {} for each attempt; {retry}", of(request), of(backend_request))
}
