use ir::CorsOrigin;
use serde_json::{Value as Json, json};

use super::{
    super::{matches::METHODS, remarks::Remarks},
    settings::Annotations,
};

/// What ingress-nginx allows where nothing is said.
const METHODS_BY_DEFAULT: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const HEADERS_BY_DEFAULT: &str = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";
const MAX_AGE_BY_DEFAULT: u32 = 1_728_000;

/// The CORS filter of `enable-cors` and the annotations beside it.
pub(super) fn cors(annotations: &Annotations<'_, '_>, remarks: &mut Remarks) -> Json {
    let words = |name: &str, default: &str| -> Vec<String> {
        let text = annotations.text(name).unwrap_or(default);
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let mut refuse = |name: &str, message: String| {
        if let Some(spot) = annotations.spot(name) {
            remarks.lost(spot, message);
        }
    };
    let mut origins = words("cors-allow-origin", "*");
    origins.retain(|origin| {
        let is_one = origin.parse::<CorsOrigin>();
        if let Err(error) = &is_one {
            refuse("cors-allow-origin", error.to_string());
        }
        is_one.is_ok()
    });
    let mut methods = words("cors-allow-methods", METHODS_BY_DEFAULT);
    methods.retain(|method| {
        let known = method == "*" || METHODS.contains(&method.as_str());
        if !known {
            refuse("cors-allow-methods", format!("the method `{method}` is none that an HTTPRoute knows"));
        }
        known
    });
    let credentials = annotations.text("cors-allow-credentials").is_none_or(super::super::spot::is_true);
    let age =
        annotations.text("cors-max-age").and_then(|text| text.parse().ok()).unwrap_or(MAX_AGE_BY_DEFAULT);
    let mut cors = json!({
        "allowOrigins": origins,
        "allowCredentials": credentials,
        "allowMethods": methods,
        "allowHeaders": words("cors-allow-headers", HEADERS_BY_DEFAULT),
    });
    let exposed = words("cors-expose-headers", "");
    if !exposed.is_empty() {
        cors["exposeHeaders"] = json!(exposed);
    }
    if age > 0 {
        cors["maxAge"] = json!(age);
    }
    cors
}
