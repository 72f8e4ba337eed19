use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cors, Mirror, Redirect, UrlRewrite};

/// One step on a request or response, in the order that the user wrote. Source: Gateway API `filters[]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Filter {
    /// Edits the request's header before it goes to a backend.
    RequestHeaderModifier(HeaderModifier),
    /// Edits the response's header before it goes to the client.
    ResponseHeaderModifier(HeaderModifier),
    /// Answers the request at once.
    RequestRedirect(Redirect),
    /// Asks a backend for another host or path.
    UrlRewrite(UrlRewrite),
    /// Copies the request, as the rule's other filters have made it.
    RequestMirror(Mirror),
    /// Answers preflight requests, and tells browsers which pages may use a response.
    Cors(Cors),
}

/// Header edits of Gateway API: `set` replaces, `add` appends, `remove` deletes; applied in that order.
/// Names compare without case; a repeated name keeps its first entry only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderModifier {
    /// Replaces each named field, or adds it where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub set: Vec<HeaderEdit>,
    /// Appends a value to each named field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub add: Vec<HeaderEdit>,
    /// Removes each named field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub remove: Vec<String>,
}

/// One header field of a [`HeaderModifier`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderEdit {
    /// A token of RFC 9110 §5.1.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"))]
    pub name: String,
    /// A field value of RFC 9110 §5.5.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}
