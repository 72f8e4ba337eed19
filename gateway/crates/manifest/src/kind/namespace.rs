use schemars::JsonSchema;
use serde::Deserialize;

use super::Kind;

/// A namespace: only its labels matter, for `allowedRoutes.namespaces.selector`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Namespace {}

impl Kind for Namespace {
    const KIND: &'static str = "Namespace";
    const GROUP: &'static str = "";
    const VERSIONS: &'static [&'static str] = &["v1"];
    const NAMESPACED: bool = false;
    const CORE: bool = true;
    const SPEC: bool = false;
}
