use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, StatusCode, Uri, Version, header::HOST, header::USER_AGENT, request::Parts};
use ir::{EndpointAddress, ListenerId, RuleId};

use crate::{
    connection::TlsInfo,
    policy::X_REQUEST_ID,
    sources::{Source, Tlvs},
};

/// What is known of one request. Made when its head has been read, and only if the access log is on; filled
/// while it is served; written when its response has ended.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// When the first byte of its header came.
    pub(crate) started: SystemTime,
    /// As received.
    pub(crate) method: Method,
    /// As received, before normalisation.
    pub(crate) target: Uri,
    /// The Host field, or the authority of the target.
    pub(crate) authority: Option<HeaderValue>,
    /// Of the request.
    pub(crate) version: Version,
    /// As received.
    pub(crate) user_agent: Option<HeaderValue>,
    /// As forwarded.
    pub(crate) request_id: Option<HeaderValue>,
    /// The client's address as policies found it.
    pub(crate) client: IpAddr,
    /// What the client was sent; `None`: it left before, or its stream was reset.
    pub(crate) status: Option<StatusCode>,
    /// Envoy's response flags; empty: none.
    pub(crate) flags: &'static str,
    /// What went wrong, in words.
    pub(crate) detail: Option<Arc<str>>,
    /// Bytes of the request's body that were read.
    pub(crate) bytes_received: u64,
    /// Bytes of the response's body that were written.
    pub(crate) bytes_sent: u64,
    /// From the first byte of the request's header to the last byte of the response.
    pub(crate) duration: Duration,
    /// The last attempt, if there was one.
    pub(crate) upstream: Option<Upstreamed>,
}

/// What is known of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Upstreamed {
    /// Where it went.
    pub(crate) endpoint: EndpointAddress,
    /// The address that was dialled, if it is one.
    pub(crate) address: Option<SocketAddr>,
    /// From its start to the end of the response's header; `None`: it had none.
    pub(crate) duration: Option<Duration>,
    /// How many there have been with it.
    pub(crate) attempts: u32,
    /// The rule's `retry` asks for another one and allows no more.
    pub(crate) exhausted: bool,
}

/// The rest of a line, borrowed from where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    /// Which listener; of several on a port the first, where none was found for a request.
    pub(crate) listener: &'a ListenerId,
    /// Which rule answered, if any.
    pub(crate) rule: Option<&'a RuleId>,
    /// Which backend, as the manifests name it.
    pub(crate) upstream: Option<&'a str>,
    /// Who is calling.
    pub(crate) source: &'a Source,
    /// Of the PROXY header.
    pub(crate) tlvs: Option<&'a Tlvs>,
    /// Of the handshake.
    pub(crate) tls: Option<&'a TlsInfo>,
}

impl Record {
    /// Notes what a request says of itself. Call it before policies change the head.
    pub(crate) fn begin(head: &Parts, started: SystemTime, source: &Source) -> Self {
        let headers = &head.headers;
        let authority = headers.get(HOST).cloned().or_else(|| {
            let authority = head.uri.authority()?;
            HeaderValue::from_str(authority.as_str()).ok()
        });
        Self {
            started,
            method: head.method.clone(),
            target: head.uri.clone(),
            authority,
            version: head.version,
            user_agent: headers.get(USER_AGENT).cloned(),
            request_id: None,
            client: source.client().ip(),
            status: None,
            flags: "",
            detail: None,
            bytes_received: 0,
            bytes_sent: 0,
            duration: Duration::ZERO,
            upstream: None,
        }
    }

    /// Notes what policies found. Call it after them.
    pub(crate) fn identify(&mut self, head: &Parts, client: IpAddr) {
        self.request_id = head.headers.get(X_REQUEST_ID).cloned();
        self.client = client;
    }
}
