use std::{borrow::Cow, collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::Kind;

/// Confidential values by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// What the keys mean, `kubernetes.io/tls` for one; by default `Opaque`.
    #[serde(rename = "type")]
    pub secret_type: Option<String>,
    /// Values in base64.
    #[serde(default)]
    pub data: BTreeMap<String, SecretBytes>,
    /// Values as they are; they win over `data`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub string_data: BTreeMap<String, SecretText>,
}

impl Secret {
    /// A Secret of files, one per key, as under `secrets/NAMESPACE/NAME/`.
    pub fn from_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let data = files.into_iter().map(|(key, bytes)| (key, SecretBytes(bytes))).collect();
        Self { secret_type: None, data, string_data: BTreeMap::new() }
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        let text = self.string_data.get(key).map(|text| text.0.as_bytes());
        text.or_else(|| self.data.get(key).map(|bytes| bytes.0.as_slice()))
    }
}

impl Kind for Secret {
    const KIND: &'static str = "Secret";
    const GROUP: &'static str = "";
    const VERSIONS: &'static [&'static str] = &["v1"];
    const NAMESPACED: bool = true;
    const CORE: bool = true;
    const SPEC: bool = false;
}

/// Bytes that are never printed; in manifests in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        STANDARD.decode(dense).map(Self).map_err(|_| de::Error::custom("expected base64"))
    }
}

impl JsonSchema for SecretBytes {
    fn schema_name() -> Cow<'static, str> {
        "SecretBytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "byte"})
    }
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_what_it_keeps() {
        let secret: Secret =
            serde_json::from_str(r#"{"data": {"a": "aHVudGVyMg=="}, "stringData": {"b": "hunter2"}}"#)
                .unwrap();
        assert_eq!(secret.value("a"), Some(b"hunter2".as_slice()));
        assert_eq!(secret.value("b"), Some(b"hunter2".as_slice()));
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
