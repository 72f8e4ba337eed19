use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use http::{StatusCode, header::LOCATION, request::Parts};
use ir::{Protocol, SocketKey};

use super::{
    Asked, Chance, Course, Ending, Request,
    candidates::{Around, Candidates},
};
use crate::{
    error::ProxyError,
    filter::Redirected,
    policy::{Facts, Judgement, request_phase, strip_hop_by_hop},
    respond::Reply,
    route::{self, Action, Backends, Rule, authority, host_name},
    snapshot::{Bind, Held, Scope, Snapshot},
    sources::Source,
};

/// The way of a request on one port: what `Exchange::answer` does with it, by the same rooms and in the same order.
pub(super) fn course(
    snapshot: &Arc<Snapshot>,
    (socket, place): (SocketKey, usize),
    request: &Request,
) -> Course {
    let bind = &snapshot.binds[place];
    let mut course = Course {
        socket,
        bind: bind.id.clone(),
        listener: None,
        target: None,
        host: None,
        found: None,
        near: Vec::new(),
        next: None,
        ending: Ending::Forwarded(Vec::new()),
    };
    course.ending = match handshake(bind, request) {
        Err(why) => Ending::NoExchange(why),
        Ok(listener) => {
            let scope = Scope::new(Held::new(Arc::clone(snapshot)), place, listener);
            let walk = Walk { snapshot, place, source: source(request, socket), tls: request.tls };
            let mut head = request.head.clone();
            walk.exchange(scope, &mut head, &mut course).unwrap_or_else(|error| refused(&error))
        }
    };
    course
}

/// The listener that TLS settles, if there is TLS. Fails with why no request can be made.
fn handshake(bind: &Bind, request: &Request) -> Result<Option<usize>, &'static str> {
    match (bind.protocol, request.tls) {
        (Protocol::Http, false) => Ok(None),
        (Protocol::Https, true) => match bind.listener_for(request.server_name.as_deref()) {
            Some(listener) => Ok(Some(listener)),
            None => {
                Err("no listener of the port has a hostname that covers the server name of the handshake")
            }
        },
        (Protocol::Http, true) => Err("the port speaks HTTP in the clear, not TLS"),
        (Protocol::Https, false) => Err("the port speaks TLS"),
    }
}

fn source(request: &Request, socket: SocketKey) -> Source {
    let bound = Some(socket.address).filter(|address| !address.is_unspecified());
    let address = request.address.or(bound).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Source { peer: request.peer, local: SocketAddr::new(address, request.port), proxied: None }
}

fn refused(error: &ProxyError) -> Ending {
    Ending::Refused(error.status(), error.to_string())
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    place: usize,
    source: Source,
    tls: bool,
}

impl Walk<'_> {
    fn exchange(&self, scope: Scope, head: &mut Parts, course: &mut Course) -> Result<Ending, ProxyError> {
        let facts = Facts { source: &self.source, tls: self.tls };
        strip_hop_by_hop(&mut head.headers);
        if let Err(early) = request_phase(head, scope.client(), facts) {
            return early.reply().map(|reply| redirected(&reply));
        }
        course.target = head.uri.path_and_query().map(|target| target.as_str().to_owned());
        course.host = authority(head).map(|authority| host_name(authority).into_owned());
        let host = course.host.as_deref();
        let request = route::Request::new(head);
        let config = &self.snapshot.config.binds[self.place];
        let mut candidates = Candidates {
            listeners: &config.listeners,
            listener: None,
            virtual_host: None,
            host,
            request: &request,
        };
        if scope.is_misdirected(host) {
            course.near = candidates.around(None).near;
            return Err(ProxyError::Misdirected);
        }
        let Some(scope) = scope.at_host(host) else {
            course.near = candidates.around(None).near;
            return Err(ProxyError::NoListener);
        };
        let listener = scope.listener_or_first();
        course.listener = Some(listener.id.clone());
        if listener.broken {
            return Err(ProxyError::Broken);
        }
        candidates.listener = scope.bind().listeners.iter().position(|one| one.id == listener.id);
        candidates.virtual_host = listener.router.host(host);
        let found = listener.router.find(host, head).map(|key| listener.router.rule(key));
        let id = found.as_ref().ok().map(|rule| &rule.config.id);
        let Around { found: own, near, next } = candidates.around(id);
        (course.found, course.near, course.next) = (own, near, next);
        answer(found?, head, facts)
    }
}

fn answer(rule: &Rule, head: &mut Parts, facts: Facts<'_>) -> Result<Ending, ProxyError> {
    if let Some(Judgement::Preflight(_)) = rule.filters.cors.as_ref().and_then(|cors| cors.judge(head)) {
        return Ok(Ending::Preflight(StatusCode::OK));
    }
    if let Some(Redirected { status, location }) = rule.filters.apply_request(head, facts)? {
        return Ok(Ending::Redirected(status, String::from_utf8_lossy(location.as_bytes()).into_owned()));
    }
    match &rule.action {
        Action::Respond(status) => Ok(Ending::Responds(*status)),
        Action::Forward(backends) => match chances(rule, backends, head, facts) {
            chances if chances.is_empty() => Err(ProxyError::NoBackend),
            chances => Ok(Ending::Forwarded(chances)),
        },
    }
}

/// Every backend that may be drawn.
fn chances(rule: &Rule, backends: &Backends, head: &Parts, facts: Facts<'_>) -> Vec<Chance> {
    let ir::Action::Forward(choices) = &rule.config.action else { return Vec::new() };
    let drawn = choices.iter().enumerate().filter(|(_, choice)| choice.weight > 0);
    let chances = drawn.enumerate().filter_map(|(number, (place, choice))| {
        let share = backends.share(number)?;
        let upstream = share.upstream.as_ref().map(|upstream| Arc::clone(&upstream.config));
        let mut head = head.clone();
        let asked = match (share.filters.apply_request(&mut head, facts), &upstream) {
            (_, None) => Err(ProxyError::NoBackend.to_string()),
            (Err(error), _) => Err(error.to_string()),
            (Ok(Some(_)), _) => Err("it redirects".to_owned()),
            (Ok(None), Some(upstream)) if upstream.endpoints.is_empty() => {
                Err(ProxyError::NoEndpoint.to_string())
            }
            (Ok(None), Some(_)) => Ok(Asked {
                host: authority(&head).map(str::to_owned),
                target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            }),
        };
        Some(Chance { place, weight: choice.weight, upstream, asked })
    });
    chances.collect()
}

fn redirected(reply: &Reply) -> Ending {
    let location = reply.head.headers.get(LOCATION);
    let location = location.map(|location| String::from_utf8_lossy(location.as_bytes()).into_owned());
    Ending::Redirected(reply.head.status, location.unwrap_or_default())
}
