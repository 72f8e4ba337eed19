use serde_json::{Value as Json, json};

/// What is done with a request on its way, as HTTPRoute's filters say it. Of most of them a rule may have one only.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Effects {
    pub(super) cors: Option<Json>,
    pub(super) request: HeaderEdits,
    pub(super) response: HeaderEdits,
    pub(super) redirect: Option<Redirect>,
    /// The Host that the backend sees.
    pub(super) host: Option<String>,
    /// The path that the backend sees.
    pub(super) path: Option<PathChange>,
    /// `requestMirror` of each copy.
    pub(super) mirrors: Vec<Json>,
}

/// A new path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathChange {
    /// In the place of the whole path.
    Full(String),
    /// In the place of the prefix that the rule matches.
    Prefix(String),
}

/// An answer that sends the client elsewhere. What is absent is the request's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) scheme: Option<&'static str>,
    pub(super) hostname: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) path: Option<PathChange>,
    pub(super) status: u16,
}

/// Changes to a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderEdits {
    set: Vec<(String, String)>,
    remove: Vec<String>,
}

impl HeaderEdits {
    /// Sets a field; an empty value removes it. The last word on a name counts.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.set.retain(|(set, _)| !set.eq_ignore_ascii_case(name));
        self.remove.retain(|removed| !removed.eq_ignore_ascii_case(name));
        if value.is_empty() {
            self.remove.push(name.to_owned());
        } else {
            self.set.push((name.to_owned(), value.to_owned()));
        }
    }

    fn document(&self) -> Option<Json> {
        let Self { set, remove } = self;
        let mut document = json!({});
        if !set.is_empty() {
            document["set"] =
                set.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        }
        if !remove.is_empty() {
            document["remove"] = json!(remove);
        }
        (!set.is_empty() || !remove.is_empty()).then_some(document)
    }
}

impl Redirect {
    /// To the same place over TLS.
    pub(super) fn to_https(status: u16) -> Self {
        Self { scheme: Some("https"), hostname: None, port: None, path: None, status }
    }

    fn document(&self) -> Json {
        let Self { scheme, hostname, port, path, status } = self;
        let mut document = json!({});
        if let Some(scheme) = scheme {
            document["scheme"] = json!(scheme);
        }
        if let Some(hostname) = hostname {
            document["hostname"] = json!(hostname);
        }
        if let Some(port) = port {
            document["port"] = json!(port);
        }
        if let Some(path) = path {
            document["path"] = path.document();
        }
        document["statusCode"] = json!(status);
        document
    }
}

impl PathChange {
    fn document(&self) -> Json {
        match self {
            Self::Full(path) => json!({ "type": "ReplaceFullPath", "replaceFullPath": path }),
            Self::Prefix(prefix) => json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": prefix }),
        }
    }
}

impl Effects {
    /// True if the rule must match by one prefix, which is replaced.
    pub(super) fn replaces_prefix(&self) -> bool {
        let redirect = self.redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
        [self.path.as_ref(), redirect].into_iter().flatten().any(|path| matches!(path, PathChange::Prefix(_)))
    }

    /// `filters[]`, in an order in which they do what was asked for.
    pub(super) fn documents(&self) -> Vec<Json> {
        let Self { cors, request, response, redirect, host, path, mirrors } = self;
        let filter = |kind: &str, field: &str, settings: Json| json!({ "type": kind, field: settings });
        let mut filters = Vec::new();
        filters.extend(cors.as_ref().map(|cors| filter("CORS", "cors", cors.clone())));
        filters.extend(
            request.document().map(|edits| filter("RequestHeaderModifier", "requestHeaderModifier", edits)),
        );
        filters.extend(mirrors.iter().map(|mirror| filter("RequestMirror", "requestMirror", mirror.clone())));
        if let Some(redirect) = redirect {
            filters.push(filter("RequestRedirect", "requestRedirect", redirect.document()));
        } else if host.is_some() || path.is_some() {
            let mut rewrite = json!({});
            if let Some(host) = host {
                rewrite["hostname"] = json!(host);
            }
            if let Some(path) = path {
                rewrite["path"] = path.document();
            }
            filters.push(filter("URLRewrite", "urlRewrite", rewrite));
        }
        filters.extend(
            response
                .document()
                .map(|edits| filter("ResponseHeaderModifier", "responseHeaderModifier", edits)),
        );
        filters
    }
}
