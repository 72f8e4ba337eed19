use ir::HeaderModifier;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FieldError, SECTION_NAME, Unserved};

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
    #[schemars(extend("x-gateway-unserved" = "mirrors are not served yet; the rule answers 500"))]
    pub request_mirror: Option<Unserved>,
    /// Answers with a redirect.
    pub request_redirect: Option<HttpRequestRedirect>,
    /// Rewrites host or path.
    #[serde(rename = "urlRewrite")]
    pub url_rewrite: Option<HttpUrlRewrite>,
    /// Cross-origin resource sharing.
    #[schemars(extend("x-gateway-unserved" = "CORS is not served yet; the rule answers 500"))]
    pub cors: Option<Unserved>,
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
