use ir::{Cors, CorsMethod, CorsOrigin, HeaderModifier};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{BackendRef, FieldError, GROUP, KIND, NAMESPACE, SECTION_NAME, Unserved};

/// One step; `type` says which, and the field of that name holds its settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpFilter {
    /// Which step.
    #[serde(rename = "type")]
    pub filter_type: HttpFilterType,
    /// Edits the request's header.
    pub request_header_modifier: Option<HeaderModifier>,
    /// Edits the response's header.
    pub response_header_modifier: Option<HeaderModifier>,
    /// Copies requests to another backend.
    pub request_mirror: Option<HttpRequestMirror>,
    /// Answers with a redirect.
    pub request_redirect: Option<HttpRequestRedirect>,
    /// Rewrites host or path.
    #[serde(rename = "urlRewrite")]
    pub url_rewrite: Option<HttpUrlRewrite>,
    /// Cross-origin resource sharing.
    pub cors: Option<Cors>,
    /// Asks an external service (experimental channel).
    #[schemars(extend("x-gateway-unserved" = "external authorisation is not served yet; the rule answers 500"))]
    pub external_auth: Option<Unserved>,
    /// A filter of an implementation.
    #[schemars(extend("x-gateway-unserved" = "extension filters are not served yet; the rule answers 500"))]
    pub extension_ref: Option<Unserved>,
}

/// Steps that Gateway API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum HttpFilterType {
    /// Edits the request's header.
    RequestHeaderModifier,
    /// Edits the response's header.
    ResponseHeaderModifier,
    /// Copies requests to another backend.
    RequestMirror,
    /// Answers with a redirect.
    RequestRedirect,
    /// Rewrites host or path.
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    /// A filter of an implementation.
    ExtensionRef,
    /// Cross-origin resource sharing.
    #[serde(rename = "CORS")]
    Cors,
    /// Asks an external service (experimental channel).
    ExternalAuth,
}

impl HttpFilterType {
    /// The text of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestHeaderModifier => "RequestHeaderModifier",
            Self::ResponseHeaderModifier => "ResponseHeaderModifier",
            Self::RequestMirror => "RequestMirror",
            Self::RequestRedirect => "RequestRedirect",
            Self::UrlRewrite => "URLRewrite",
            Self::ExtensionRef => "ExtensionRef",
            Self::Cors => "CORS",
            Self::ExternalAuth => "ExternalAuth",
        }
    }
}

/// The answer that sends a client elsewhere. What is not given is the request's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRequestRedirect {
    /// The new scheme.
    pub scheme: Option<RedirectScheme>,
    /// The new host, without port.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECTION_NAME))]
    pub hostname: Option<String>,
    /// The new path; the query stays.
    pub path: Option<HttpPathModifier>,
    /// The new port; by default the well-known one of `scheme`, and the listener's without `scheme`.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// By default 302.
    #[schemars(extend("enum" = REDIRECT_STATUSES))]
    pub status_code: Option<u16>,
}

/// The statuses that Gateway API knows for a redirect.
const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// The scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RedirectScheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

/// What a backend is asked in the place of what the client has asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpUrlRewrite {
    /// The new Host.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECTION_NAME))]
    pub hostname: Option<String>,
    /// The new path; the query stays.
    pub path: Option<HttpPathModifier>,
}

/// Copies a share of the requests to another backend, whose answers are thrown away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRequestMirror {
    /// Where copies go.
    pub backend_ref: MirrorBackendRef,
    /// So many of a hundred requests are copied; by default all.
    #[schemars(range(max = 100))]
    pub percent: Option<u32>,
    /// This share of the requests is copied; in the place of `percent`.
    pub fraction: Option<MirrorFraction>,
}

/// A backend without a share of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MirrorBackendRef {
    /// Group; by default the core group.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: Option<String>,
    /// `Service` (the default), or `Backend` of group `gateway.envoyproxy.io`.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: Option<String>,
    /// Name of the backend.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace; by default the route's. Another one needs a ReferenceGrant.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE))]
    pub namespace: Option<String>,
    /// The Service's port; required for a Service.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

impl MirrorBackendRef {
    /// The same backend as a rule's only one.
    pub fn as_backend_ref(&self) -> BackendRef {
        let Self { group, kind, name, namespace, port } = self.clone();
        BackendRef { group, kind, name, namespace, port, weight: None, filters: Vec::new() }
    }
}

/// Numerator over denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MirrorFraction {
    /// Not above the denominator.
    #[schemars(range(max = 2_147_483_647))]
    pub numerator: u32,
    /// By default 100.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub denominator: Option<u32>,
}

impl HttpRequestMirror {
    /// Numerator and denominator of the share that is copied.
    pub fn share(&self) -> (u32, u32) {
        match (self.fraction, self.percent) {
            (Some(MirrorFraction { numerator, denominator }), _) => (numerator, denominator.unwrap_or(100)),
            (None, Some(percent)) => (percent, 100),
            (None, None) => (1, 1),
        }
    }

    fn check(&self, path: &str, errors: &mut Vec<FieldError>) {
        if self.percent.is_some() && self.fraction.is_some() {
            errors.push(FieldError::new(path, "`percent` and `fraction` exclude each other"));
        }
        let (numerator, denominator) = self.share();
        if numerator > denominator {
            let message = format!("{numerator} is above the denominator, which is {denominator}");
            errors.push(FieldError::new(format!("{path}.fraction.numerator"), message));
        }
        self.backend_ref.as_backend_ref().check_port(&format!("{path}.backendRef"), errors);
    }
}

/// A new path; `type` says which field holds it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpPathModifier {
    /// What is replaced.
    #[serde(rename = "type")]
    pub modifier_type: HttpPathModifierType,
    /// Stands in the place of the whole path.
    #[schemars(length(max = 1024))]
    pub replace_full_path: Option<String>,
    /// Stands in the place of the prefix that the rule matches.
    #[schemars(length(max = 1024))]
    pub replace_prefix_match: Option<String>,
}

/// What of a path is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum HttpPathModifierType {
    /// The whole path.
    ReplaceFullPath,
    /// The prefix that the rule matches.
    ReplacePrefixMatch,
}

impl HttpPathModifier {
    fn check(&self, path: &str, errors: &mut Vec<FieldError>) {
        let full = self.modifier_type == HttpPathModifierType::ReplaceFullPath;
        let fields = [
            (full, "replaceFullPath", self.replace_full_path.is_some()),
            (!full, "replacePrefixMatch", self.replace_prefix_match.is_some()),
        ];
        for (wanted, field, given) in fields {
            if wanted && !given {
                errors.push(FieldError::new(path, format!("type {:?} needs `{field}`", self.modifier_type)));
            }
            if given && !wanted {
                let message = format!("`{field}` does not go with type {:?}", self.modifier_type);
                errors.push(FieldError::new(format!("{path}.{field}"), message));
            }
        }
    }
}

impl HttpFilter {
    /// The new path that the filter gives, and the field that says so.
    fn path_modifier(&self) -> Option<(&HttpPathModifier, &'static str)> {
        let redirect = self.request_redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
        let rewrite = self.url_rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
        let redirect = redirect.map(|path| (path, "requestRedirect.path"));
        redirect.or_else(|| rewrite.map(|path| (path, "urlRewrite.path")))
    }
}

/// True if a prefix is replaced, so that the rule must match by one.
pub(super) fn replaces_prefix(filter: &HttpFilter) -> bool {
    filter
        .path_modifier()
        .is_some_and(|(path, _)| path.modifier_type == HttpPathModifierType::ReplacePrefixMatch)
}

/// `*` says it all, and nothing stands twice.
fn check_cors(cors: &Cors, path: &str, errors: &mut Vec<FieldError>) {
    let lists: [(&str, Vec<&str>); 4] = [
        ("allowOrigins", cors.allow_origins.iter().map(CorsOrigin::as_str).collect()),
        ("allowMethods", cors.allow_methods.iter().copied().map(CorsMethod::as_str).collect()),
        ("allowHeaders", cors.allow_headers.iter().map(String::as_str).collect()),
        ("exposeHeaders", cors.expose_headers.iter().map(String::as_str).collect()),
    ];
    for (field, values) in lists {
        if values.len() > 1 && values.contains(&"*") {
            let message = "`*` stands for all, and alone";
            errors.push(FieldError::new(format!("{path}.{field}"), message));
        }
        for (place, value) in values.iter().enumerate() {
            if values[..place].contains(value) {
                let message = format!("`{value}` stands twice");
                errors.push(FieldError::new(format!("{path}.{field}[{place}]"), message));
            }
        }
    }
}

/// The rules of a list of filters, wherever it stands.
pub(super) fn check_filters(filters: &[HttpFilter], path: &str, errors: &mut Vec<FieldError>) {
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let settings = [
            (
                HttpFilterType::RequestHeaderModifier,
                "requestHeaderModifier",
                filter.request_header_modifier.is_some(),
            ),
            (
                HttpFilterType::ResponseHeaderModifier,
                "responseHeaderModifier",
                filter.response_header_modifier.is_some(),
            ),
            (HttpFilterType::RequestMirror, "requestMirror", filter.request_mirror.is_some()),
            (HttpFilterType::RequestRedirect, "requestRedirect", filter.request_redirect.is_some()),
            (HttpFilterType::UrlRewrite, "urlRewrite", filter.url_rewrite.is_some()),
            (HttpFilterType::Cors, "cors", filter.cors.is_some()),
            (HttpFilterType::ExternalAuth, "externalAuth", filter.external_auth.is_some()),
            (HttpFilterType::ExtensionRef, "extensionRef", filter.extension_ref.is_some()),
        ];
        for (kind, field, given) in settings {
            if kind == filter.filter_type && !given {
                let message = format!("type {} needs `{field}`", kind.as_str());
                errors.push(FieldError::new(&path, message));
            }
            if kind != filter.filter_type && given {
                let message = format!("`{field}` does not go with type {}", filter.filter_type.as_str());
                errors.push(FieldError::new(format!("{path}.{field}"), message));
            }
        }
        if let Some(HttpRequestRedirect { status_code: Some(status), .. }) = &filter.request_redirect
            && !REDIRECT_STATUSES.contains(status)
        {
            let message = format!("found {status}, expected one of 301, 302, 303, 307, 308");
            errors.push(FieldError::new(format!("{path}.requestRedirect.statusCode"), message));
        }
        if let Some(cors) = &filter.cors {
            check_cors(cors, &format!("{path}.cors"), errors);
        }
        if let Some(mirror) = &filter.request_mirror {
            mirror.check(&format!("{path}.requestMirror"), errors);
        }
        if let Some((modifier, field)) = filter.path_modifier() {
            modifier.check(&format!("{path}.{field}"), errors);
        }
        let repeatable =
            matches!(filter.filter_type, HttpFilterType::RequestMirror | HttpFilterType::ExtensionRef);
        if !repeatable && filters[..index].iter().any(|earlier| earlier.filter_type == filter.filter_type) {
            let message = format!("{} stands twice", filter.filter_type.as_str());
            errors.push(FieldError::new(format!("{path}.type"), message));
        }
    }
    let has = |wanted| filters.iter().any(|filter| filter.filter_type == wanted);
    if has(HttpFilterType::RequestRedirect) && has(HttpFilterType::UrlRewrite) {
        errors.push(FieldError::new(path, "RequestRedirect and URLRewrite exclude each other"));
    }
}
