use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Kind, SecretBytes};

/// Values by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMap {
    /// Text values.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// Binary values in base64.
    #[serde(default)]
    pub binary_data: BTreeMap<String, SecretBytes>,
}

impl ConfigMap {
    /// A ConfigMap of files, one per key, as under `configmaps/NAMESPACE/NAME/`.
    pub fn from_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut map = Self::default();
        for (key, bytes) in files {
            match String::from_utf8(bytes) {
                Ok(text) => drop(map.data.insert(key, text)),
                Err(error) => drop(map.binary_data.insert(key, SecretBytes::new(error.into_bytes()))),
            }
        }
        map
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        let text = self.data.get(key).map(String::as_bytes);
        text.or_else(|| self.binary_data.get(key).map(SecretBytes::reveal))
    }
}

impl Kind for ConfigMap {
    const KIND: &'static str = "ConfigMap";
    const GROUP: &'static str = "";
    const VERSIONS: &'static [&'static str] = &["v1"];
    const NAMESPACED: bool = true;
    const CORE: bool = true;
    const SPEC: bool = false;
}
