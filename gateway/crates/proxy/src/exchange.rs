use std::{rc::Rc, sync::Arc, time::SystemTime};

use http::{HeaderValue, StatusCode, request::Parts};
use ir::{AccessLogFormat, ListenerId, RuleId};
use tokio::time::Instant;

use crate::{
    access_log::{Names, Record},
    body::{Body, BodyError, Progress},
    connection::ConnectionContext,
    error::ProxyError,
    filter::Redirected,
    metrics::RuleMetrics,
    policy::{CorsFields, EarlyResponse, Facts, Judgement, request_phase, response_phase, tlv_headers},
    respond::{self, Reply},
    route::{Action, Rule, RuleKey, Share, authority, host_name, needs_naming},
    snapshot::{Scope, Upstream},
    upstream,
};

/// One request and its response, from the end of the request's header to the last byte: what it is served
/// with, and what is told of it. However it ends, dropping it counts it once and writes its line.
pub(crate) struct Exchange {
    context: Rc<ConnectionContext>,
    place: Place,
    progress: Rc<Progress>,
    began: Instant,
    record: Option<Box<Record>>,
    /// What a page of another origin is told with whatever answer it gets.
    cors: Option<CorsFields>,
    status: Option<StatusCode>,
    flag: &'static str,
    sent: u64,
    complete: bool,
}

/// What a request hands to the pipeline beside its header.
pub(crate) struct Arrival {
    /// When the first byte of its header came.
    pub(crate) began: Instant,
    /// How far its body has come.
    pub(crate) progress: Rc<Progress>,
}

/// Longer responses than this do not keep their snapshot alive.
const SHORT: u64 = 1 << 20;

/// Where a request stands.
enum Place {
    /// In its snapshot.
    Held { scope: Scope, rule: Option<RuleKey>, backend: Option<usize> },
    /// On its own: a long response must not keep a snapshot alive.
    Released(Box<Released>),
}

/// What counting and the log line need of a snapshot.
struct Released {
    listener: ListenerId,
    rule: Option<RuleId>,
    upstream: Option<Arc<str>>,
    metrics: Arc<RuleMetrics>,
    access_log: Option<AccessLogFormat>,
}

impl Exchange {
    /// A request whose header has been read. Takes the newest snapshot that serves its connection.
    pub(crate) fn begin(context: &Rc<ConnectionContext>, head: &Parts, arrival: Arrival) -> Self {
        let Arrival { began, progress } = arrival;
        let scope = context.scope();
        let record = (scope.snapshot().access_log.is_some() && context.worker.access_log.is_on())
            .then(|| Box::new(Record::begin(head, SystemTime::now() - began.elapsed(), &context.source)));
        Self {
            context: Rc::clone(context),
            place: Place::Held { scope, rule: None, backend: None },
            progress,
            began,
            record,
            cors: None,
            status: None,
            flag: "",
            sent: 0,
            complete: false,
        }
    }

    /// The client's settings in force.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        match &self.place {
            Place::Held { scope, .. } => Some(scope),
            Place::Released(_) => None,
        }
    }

    /// How far the request has come.
    pub(crate) fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }

    /// The whole pipeline, from the header as received to the response's. `upgrade`: the protocols that an
    /// HTTP/1 client asks to switch to.
    pub(crate) async fn answer(
        &mut self,
        mut head: Parts,
        body: Body,
        upgrade: Option<HeaderValue>,
    ) -> Result<Reply, ProxyError> {
        let Place::Held { scope, .. } = &self.place else { return Err(ProxyError::NoRoute) };
        let scope = scope.clone();
        let context = Rc::clone(&self.context);
        let facts = Facts { source: &context.source, tls: context.tls.is_some() };
        let client = match request_phase(&mut head, scope.client(), facts) {
            Ok(client) => client,
            Err(EarlyResponse::Redirect(location)) => {
                return Ok(respond::redirect(StatusCode::TEMPORARY_REDIRECT, location));
            }
            Err(EarlyResponse::BadPath(reason)) => return Err(ProxyError::BadPath(reason)),
            Err(EarlyResponse::Underscore) => return Err(ProxyError::Underscore),
        };
        if let Some(record) = &mut self.record {
            record.identify(&head, client);
        }
        self.apply_tlvs(&mut head, &scope);
        let host = authority(&head).map(host_name);
        if scope.is_misdirected(host.as_deref()) {
            return Err(ProxyError::Misdirected);
        }
        let scope = scope.at_host(host.as_deref()).ok_or(ProxyError::NoListener)?;
        self.place = Place::Held { scope: scope.clone(), rule: None, backend: None };
        let listener = scope.listener_or_first();
        if listener.broken {
            return Err(ProxyError::Broken);
        }
        let Some(key) = listener.router.find(host.as_deref(), &head) else {
            let named = !needs_naming(&head.method);
            return Err(if named { ProxyError::NoRoute } else { ProxyError::MethodNotNamed });
        };
        drop(host);
        let rule = listener.router.rule(key);
        self.place = Place::Held { scope: scope.clone(), rule: Some(key), backend: None };
        match rule.filters.cors.as_ref().and_then(|cors| cors.judge(&head)) {
            None => {}
            Some(Judgement::Goes(fields)) => self.cors = Some(fields),
            Some(Judgement::Preflight(fields)) => {
                let mut reply = respond::plain(StatusCode::OK);
                fields.apply(&mut reply.head.headers);
                return Ok(reply);
            }
        }
        let redirected = rule.filters.apply_request(&mut head, facts)?;
        let mut reply = match (&rule.action, redirected) {
            (_, Some(Redirected { status, location })) => respond::redirect(status, location),
            (Action::Respond(status), None) => respond::plain(*status),
            (Action::Forward(backends), None) => {
                let backend = backends.pick();
                self.place = Place::Held { scope: scope.clone(), rule: Some(key), backend };
                let share = backend.and_then(|place| backends.share(place)).ok_or(ProxyError::NoBackend)?;
                let mut request = upstream::Request { head, body, upgrade };
                rule.filters.mirror(&context.worker, &rule.config.timeouts, &mut request);
                self.forward(rule, share, request, facts).await?
            }
        };
        if let Some(fields) = &self.cors {
            fields.apply(&mut reply.head.headers);
        }
        rule.filters.apply_response(&mut reply.head.headers);
        Ok(reply)
    }

    /// Fills request headers from the PROXY header, before the route is chosen, which may go by them. Listeners in
    /// clear text that share a port share their connection policy, so the first one's holds.
    fn apply_tlvs(&self, head: &mut Parts, scope: &Scope) {
        let listener = scope.listener_or_first();
        let dropped =
            tlv_headers::apply(&mut head.headers, &listener.tlv_headers, self.context.tlvs.as_ref());
        if dropped > 0 {
            listener.metrics.dropped_tlvs(dropped);
        }
    }

    async fn forward(
        &mut self,
        rule: &Rule,
        share: &Share,
        mut request: upstream::Request,
        facts: Facts<'_>,
    ) -> Result<Reply, ProxyError> {
        let upstream = share.upstream.as_ref().ok_or(ProxyError::NoBackend)?;
        if let Some(Redirected { status, location }) =
            share.filters.apply_request(&mut request.head, facts)?
        {
            return Ok(respond::redirect(status, location));
        }
        let mut attempted = None;
        let sent = upstream::send(
            &self.context.worker,
            upstream,
            request,
            &rule.config.timeouts,
            self.record.is_some().then_some(&mut attempted),
        )
        .await;
        if let Some(record) = &mut self.record {
            record.upstream = attempted;
        }
        match sent {
            Ok(mut reply) => {
                response_phase(&mut reply.head.headers);
                share.filters.apply_response(&mut reply.head.headers);
                Ok(reply)
            }
            Err(error) => {
                upstream.metrics.failed(error.flag());
                Err(error)
            }
        }
    }

    /// Notes what went wrong and makes the answer that says so.
    pub(crate) fn fail(&mut self, error: &ProxyError) -> Reply {
        self.note(error);
        let mut reply = respond::local(error);
        if let Some(fields) = &self.cors {
            fields.apply(&mut reply.head.headers);
        }
        reply
    }

    /// Notes what went wrong.
    pub(crate) fn note(&mut self, error: &ProxyError) {
        self.flag = error.flag();
        if let Some(record) = &mut self.record {
            record.detail = Some(error.to_string().into());
        }
    }

    /// The client is sent a response with this status and a body of this length, if that is known ahead. One that
    /// may take for ever lets go of the snapshot.
    pub(crate) fn replied(&mut self, status: StatusCode, length: Option<u64>) {
        self.status = Some(status);
        if length.is_none_or(|length| length > SHORT) {
            self.release();
        }
    }

    /// Bytes of the response's body went to the client's connection.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// The last byte of the response was sent.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    /// The response's body did not come to its end.
    pub(crate) fn broke_off(&mut self, error: &BodyError) {
        self.flag = "UC";
        if let Some(record) = &mut self.record {
            record.detail = Some(format!("response: {error}").into());
        }
    }

    fn release(&mut self) {
        let Place::Held { scope, rule, backend } = &self.place else { return };
        let listener = scope.listener_or_first();
        let rule = rule.map(|key| listener.router.rule(key));
        self.place = Place::Released(Box::new(Released {
            listener: listener.id.clone(),
            rule: rule.map(|rule| rule.config.id.clone()),
            upstream: upstream(rule, *backend).map(|upstream| Arc::clone(&upstream.config.name)),
            metrics: Arc::clone(rule.map_or(listener.metrics.unrouted(), |rule| &rule.metrics)),
            access_log: scope.snapshot().access_log,
        }));
    }

    fn finish(&mut self) {
        if !self.complete && self.flag.is_empty() {
            self.flag = ProxyError::ClientGone.flag();
        }
        let duration = self.began.elapsed();
        let mut record = self.record.take();
        if let Some(record) = &mut record {
            self.fill(record, duration);
        }
        let write = |format: Option<AccessLogFormat>, listener, rule, upstream| {
            if let (Some(record), Some(format)) = (&record, format) {
                let ConnectionContext { worker, source, tlvs, tls, .. } = &*self.context;
                let (tlvs, tls) = (tlvs.as_ref(), tls.as_ref());
                let names = Names { listener, rule, upstream, source, tlvs, tls };
                worker.access_log.request(format, record, &names);
            }
        };
        match &self.place {
            Place::Held { scope, rule, backend } => {
                let listener = scope.listener_or_first();
                let rule = rule.map(|key| listener.router.rule(key));
                rule.map_or(listener.metrics.unrouted(), |rule| &rule.metrics).observe(self.status, duration);
                write(
                    scope.snapshot().access_log,
                    &listener.id,
                    rule.map(|rule| &rule.config.id),
                    upstream(rule, *backend).map(|upstream| &*upstream.config.name),
                );
            }
            Place::Released(released) => {
                let Released { listener, rule, upstream, metrics, access_log } = &**released;
                metrics.observe(self.status, duration);
                write(*access_log, listener, rule.as_ref(), upstream.as_deref());
            }
        }
    }

    fn fill(&self, record: &mut Record, duration: std::time::Duration) {
        record.status = self.status;
        record.flags = self.flag;
        record.bytes_received = self.progress.bytes();
        record.bytes_sent = self.sent;
        record.duration = duration;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.finish();
    }
}

fn upstream(rule: Option<&Rule>, backend: Option<usize>) -> Option<&Arc<Upstream>> {
    rule?.upstream(backend?)
}
