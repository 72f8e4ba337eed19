use http::{HeaderName, HeaderValue};
use ir::{Filter, HeaderModifier, Mirror, PathRewrite, Redirect, UrlRewrite};
use manifest::kind::{
    HttpFilter, HttpFilterType, HttpPathModifier, HttpPathModifierType, HttpRequestMirror,
    HttpRequestRedirect, HttpUrlRewrite, RedirectScheme,
};

use super::matches::prefix;

/// A field that keeps a rule from being served as written.
pub(super) struct Unsupported {
    pub(super) path: String,
    pub(super) message: String,
}

/// The filters of a list, in its order. `matched`: the prefix that every request of the rule has. `mirror` gives
/// what the mirror at a path comes to; one that leads nowhere is left out, as the API says.
pub(super) fn filters(
    specs: &[HttpFilter],
    path: &str,
    matched: Option<&str>,
    mut mirror: impl FnMut(&HttpRequestMirror, &str) -> Option<Mirror>,
) -> Result<Vec<Filter>, Unsupported> {
    let mut filters = Vec::with_capacity(specs.len());
    for (place, spec) in specs.iter().enumerate() {
        let path = format!("{path}[{place}]");
        match &spec.request_mirror {
            Some(spec) => {
                filters.extend(mirror(spec, &format!("{path}.requestMirror")).map(Filter::RequestMirror))
            }
            None => filters.push(filter(spec, &path, matched)?),
        }
    }
    Ok(filters)
}

/// As [`filters`], for one of a rule's backends. What answers in a backend's place or asks another one too is
/// implementation-specific there.
pub(super) fn of_backend(
    specs: &[HttpFilter],
    path: &str,
    matched: Option<&str>,
) -> Result<Vec<Filter>, Unsupported> {
    let of_rule = |spec: &HttpFilter| match spec.filter_type {
        HttpFilterType::RequestRedirect | HttpFilterType::RequestMirror | HttpFilterType::Cors => true,
        HttpFilterType::RequestHeaderModifier
        | HttpFilterType::ResponseHeaderModifier
        | HttpFilterType::UrlRewrite
        | HttpFilterType::ExternalAuth
        | HttpFilterType::ExtensionRef => false,
    };
    match specs.iter().position(of_rule) {
        Some(place) => {
            let message = format!("{} is served for a whole rule only", specs[place].filter_type.as_str());
            Err(Unsupported { path: format!("{path}[{place}]"), message })
        }
        None => filters(specs, path, matched, |_, _| None),
    }
}

fn filter(spec: &HttpFilter, path: &str, matched: Option<&str>) -> Result<Filter, Unsupported> {
    let HttpFilter {
        filter_type,
        request_header_modifier,
        response_header_modifier,
        request_mirror: _, // It names another object: `filters` has asked for it.
        request_redirect,
        url_rewrite,
        cors,
        external_auth: _,
        extension_ref: _,
    } = spec;
    match filter_type {
        HttpFilterType::RequestHeaderModifier => {
            let modifier = request_header_modifier.clone().unwrap_or_default();
            edits(&modifier, &format!("{path}.requestHeaderModifier"))?;
            Ok(Filter::RequestHeaderModifier(modifier))
        }
        HttpFilterType::ResponseHeaderModifier => {
            let modifier = response_header_modifier.clone().unwrap_or_default();
            edits(&modifier, &format!("{path}.responseHeaderModifier"))?;
            Ok(Filter::ResponseHeaderModifier(modifier))
        }
        HttpFilterType::RequestRedirect => {
            let spec = request_redirect.clone().unwrap_or_default();
            redirect(spec, &format!("{path}.requestRedirect"), matched).map(Filter::RequestRedirect)
        }
        HttpFilterType::UrlRewrite => {
            let HttpUrlRewrite { hostname, path: modifier } = url_rewrite.clone().unwrap_or_default();
            let hostname = hostname.map(Into::into);
            let path =
                modifier.map(|modifier| path_rewrite(modifier, &format!("{path}.urlRewrite.path"), matched));
            Ok(Filter::UrlRewrite(UrlRewrite { hostname, path: path.transpose()? }))
        }
        HttpFilterType::Cors => Ok(Filter::Cors(cors.clone().unwrap_or_default())),
        unserved @ (HttpFilterType::RequestMirror
        | HttpFilterType::ExtensionRef
        | HttpFilterType::ExternalAuth) => Err(Unsupported {
            path: path.to_owned(),
            message: format!("{} is not served yet", unserved.as_str()),
        }),
    }
}

/// The schema knows which names are tokens and how long a value is; what a value is made of, and what the names
/// to be removed are, it does not.
fn edits(modifier: &HeaderModifier, path: &str) -> Result<(), Unsupported> {
    let HeaderModifier { set, add, remove } = modifier;
    for (list, field) in [(set, "set"), (add, "add")] {
        for (place, edit) in list.iter().enumerate() {
            if HeaderValue::from_str(&edit.value).is_err() {
                let path = format!("{path}.{field}[{place}].value");
                let message = format!("{:?} is no field value (RFC 9110 section 5.5)", edit.value);
                return Err(Unsupported { path, message });
            }
        }
    }
    match remove.iter().position(|name| name.parse::<HeaderName>().is_err()) {
        Some(place) => Err(Unsupported {
            path: format!("{path}.remove[{place}]"),
            message: format!("{:?} is no header name", remove[place]),
        }),
        None => Ok(()),
    }
}

fn redirect(spec: HttpRequestRedirect, path: &str, matched: Option<&str>) -> Result<Redirect, Unsupported> {
    let HttpRequestRedirect { scheme, hostname, path: modifier, port, status_code } = spec;
    let scheme = scheme.map(|scheme| match scheme {
        RedirectScheme::Http => ir::RedirectScheme::Http,
        RedirectScheme::Https => ir::RedirectScheme::Https,
    });
    let modifier = modifier.map(|modifier| path_rewrite(modifier, &format!("{path}.path"), matched));
    Ok(Redirect {
        scheme,
        hostname: hostname.map(Into::into),
        path: modifier.transpose()?,
        port,
        status: status_code.unwrap_or(302),
    })
}

/// The schema says nothing of what a path is made of. The check of the object has seen that `matched` is there
/// where a prefix is replaced.
fn path_rewrite(
    modifier: HttpPathModifier,
    path: &str,
    matched: Option<&str>,
) -> Result<PathRewrite, Unsupported> {
    let HttpPathModifier { modifier_type, replace_full_path, replace_prefix_match } = modifier;
    match modifier_type {
        HttpPathModifierType::ReplaceFullPath => {
            let text = replace_full_path.unwrap_or_default();
            let text = if text.is_empty() { "/".to_owned() } else { text };
            let (whole, _) = text.split_once('?').unwrap_or((&text, ""));
            check_path(whole, &text, &format!("{path}.replaceFullPath"))?;
            Ok(PathRewrite::Full(text.into()))
        }
        HttpPathModifierType::ReplacePrefixMatch => {
            let path = format!("{path}.replacePrefixMatch");
            let text = replace_prefix_match.unwrap_or_default();
            if text.contains('?') {
                let message = format!("{text:?} holds a query; a prefix is of a path");
                return Err(Unsupported { path, message });
            }
            if !text.is_empty() {
                check_path(&text, &text, &path)?;
            }
            let Some(matched) = matched else {
                let message = "the rule matches by no prefix that could be replaced".to_owned();
                return Err(Unsupported { path, message });
            };
            Ok(PathRewrite::Prefix { matched: prefix(matched).into(), replacement: text.into() })
        }
    }
}

/// `whole` starts with a slash, and `text`, the same with its query, is made of what a request line may hold
/// (RFC 3986 section 3.3).
fn check_path(whole: &str, text: &str, path: &str) -> Result<(), Unsupported> {
    let unsupported = |message| Err(Unsupported { path: path.to_owned(), message });
    if !whole.starts_with('/') {
        return unsupported(format!("{text:?} does not start with `/`"));
    }
    let allowed = |c: &char| c.is_ascii_graphic() && !"#\"<>\\^`{|}".contains(*c);
    match text.chars().find(|c| !allowed(c)) {
        Some(bad) => {
            unsupported(format!("{text:?} contains {bad:?}, which a path holds percent-encoded only"))
        }
        None => Ok(()),
    }
}
