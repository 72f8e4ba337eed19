//! What the tests of this crate share: the cases, certificates that are made on the spot, and loading without a
//! disk.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use manifest::{Loader, ManifestSet, Timestamp};
use translate::{HostFacts, Translation, translate};

/// When every object without a creationTimestamp was first seen.
pub const NOW: Timestamp = Timestamp(1_700_000_000);

/// Addresses of the host that cases are translated for.
pub fn facts() -> HostFacts {
    let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
    let addresses = addresses.map(|text| text.parse().expect("an address")).to_vec();
    static SYSTEM: LazyLock<Arc<ir::Authorities>> = LazyLock::new(|| {
        ir::Authorities::from_pem("System", authority().as_bytes()).expect("an authority").into()
    });
    HostFacts { addresses: Some(addresses), authorities: Some(Arc::clone(&SYSTEM)) }
}

/// Every file under `tests/golden`, sorted.
pub fn golden_files() -> Vec<PathBuf> {
    fn below(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).expect("golden cases").flatten();
        entries
            .map(|entry| entry.path())
            .flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] })
            .collect()
    }
    let mut all = below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/golden"));
    all.sort();
    all
}

/// The input of every case.
pub fn golden_inputs() -> Vec<String> {
    let inputs = golden_files().into_iter().filter(|path| path.to_string_lossy().ends_with(".in.yaml"));
    inputs.map(|path| fs::read_to_string(path).expect("the case's input is read")).collect()
}

/// Loads texts as files, the secrets beside them.
pub fn loaded<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> ManifestSet {
    let files = files.into_iter().chain([("secrets.yaml", secrets())]);
    Loader::of_paths([]).load_texts(files.map(|(path, text)| (path, text.as_bytes())), NOW)
}

/// Loads one version of a file after another, the secrets beside it, and translates the last.
pub fn translated_in_turn(name: &str, versions: &[String]) -> Translation {
    let mut loader = Loader::of_paths([]);
    let mut set = ManifestSet::default();
    for text in versions {
        let files = [(name, text.as_bytes()), ("secrets.yaml", secrets().as_bytes())];
        set = loader.load_texts(files, NOW);
    }
    translate(&set, &facts())
}

/// Secrets that every case may name, all in namespace `default` but the last:
/// `eg-cert` for cafe.example.com, `wildcard` for *.example.com, `other-cert` for shop.example.net, `no-key`
/// without its key, `mismatch` with another's key, `garbage`, and `elsewhere/eg-cert`. Beside them authorities, in
/// ConfigMaps: `ca`, `other-ca`, `not-pem`, `no-ca` without its key, and `elsewhere/ca`; and in Secret `secret-ca`.
pub fn secrets() -> &'static str {
    static SECRETS: LazyLock<String> = LazyLock::new(|| {
        let [cafe, wildcard, shop] =
            ["cafe.example.com", "*.example.com", "shop.example.net"].map(certificate);
        let mut all = String::new();
        let mut add = |namespace: &str, name: &str, keys: &[(&str, &str)]| {
            all.push_str(&secret(namespace, name, keys));
        };
        add("default", "eg-cert", &[("tls.crt", &cafe.0), ("tls.key", &cafe.1)]);
        add("default", "wildcard", &[("tls.crt", &wildcard.0), ("tls.key", &wildcard.1)]);
        add("default", "other-cert", &[("tls.crt", &shop.0), ("tls.key", &shop.1)]);
        add("default", "no-key", &[("tls.crt", &cafe.0)]);
        add("default", "mismatch", &[("tls.crt", &cafe.0), ("tls.key", &shop.1)]);
        add("default", "garbage", &[("tls.crt", "not PEM"), ("tls.key", "not PEM")]);
        add("elsewhere", "eg-cert", &[("tls.crt", &cafe.0), ("tls.key", &cafe.1)]);
        add("default", "secret-ca", &[("ca.crt", &authority())]);
        let mut add = |namespace: &str, name: &str, keys: &[(&str, &str)]| {
            all.push_str(&config_map(namespace, name, keys));
        };
        add("default", "ca", &[("ca.crt", &authority())]);
        add("default", "other-ca", &[("ca.crt", &authority())]);
        add("default", "not-pem", &[("ca.crt", "not PEM")]);
        add("default", "no-ca", &[("ca.pem", &authority())]);
        add("elsewhere", "ca", &[("ca.crt", &authority())]);
        all
    });
    &SECRETS
}

fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a name that can be certified");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A certificate that may sign others.
fn authority() -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new([]).expect("no name that is none");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.self_signed(&key).expect("its own key").pem()
}

fn config_map(namespace: &str, name: &str, keys: &[(&str, &str)]) -> String {
    let data: BTreeMap<&str, &str> = keys.iter().copied().collect();
    let document = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    });
    format!("---\n{document}\n")
}

fn secret(namespace: &str, name: &str, keys: &[(&str, &str)]) -> String {
    let data: BTreeMap<&str, &str> = keys.iter().copied().collect();
    let document = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/tls",
        "stringData": data,
    });
    format!("---\n{document}\n")
}
