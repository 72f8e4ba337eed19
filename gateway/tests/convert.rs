use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::harness::{Place, gateway, project, stderr, stdout};

/// `NAME.from.yaml` of every case; what it becomes is `NAME.to.yaml`, and what is said of it `NAME.said.txt`.
fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(project("tests/convert")).expect("the cases");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<PathBuf> =
        paths.filter(|path| path.to_string_lossy().ends_with(".from.yaml")).collect();
    cases.sort();
    assert!(cases.len() > 1, "there are cases");
    cases
}

fn sibling(case: &Path, end: &str) -> PathBuf {
    PathBuf::from(case.to_string_lossy().replace(".from.yaml", end))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain")
}

#[test]
fn every_case_becomes_what_it_became() {
    let bless = std::env::var_os("GATEWAY_BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let output = gateway(&["convert", text(&case)]);
        let directory = format!("{}/", case.parent().expect("it has one").display());
        let said = stderr(&output).replace(&directory, "");
        let failed = said.lines().any(|line| line.starts_with("error: "));
        assert_eq!(output.status.code(), Some(i32::from(failed)), "{}: {said}", case.display());
        for (end, found) in [(".to.yaml", stdout(&output)), (".said.txt", said)] {
            let expected = sibling(&case, end);
            if bless {
                fs::write(&expected, &found).expect("written");
            } else if fs::read_to_string(&expected).ok().as_ref() != Some(&found) {
                wrong.push(format!("{}:\n{found}", expected.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "GATEWAY_BLESS=1 rewrites:\n{}", wrong.join("\n"));
}

#[test]
fn whatever_is_written_is_served_without_an_error() {
    for case in cases() {
        let place = Place::new();
        place.write("class.yaml", CLASS);
        place.write("to.yaml", &fs::read_to_string(sibling(&case, ".to.yaml")).expect("the result"));
        // Services, Secrets and the like stand beside it.
        place.write("from.yaml", &fs::read_to_string(&case).expect("the case"));
        write_certificates(&place);
        write_endpoints(&place);
        let output = gateway(&["check", text(&place.config(""))]);
        assert_eq!(output.status.code(), Some(0), "{}:\n{}", case.display(), stdout(&output));
    }
}

/// A key pair for every Secret that the Gateway names: what stands in a user's Secrets stands in no case.
fn write_certificates(place: &Place) {
    for object in objects(place, "to.yaml") {
        let namespace = object["metadata"]["namespace"].as_str().expect("it has one");
        for listener in object["spec"]["listeners"].as_array().into_iter().flatten() {
            for secret in listener["tls"]["certificateRefs"].as_array().into_iter().flatten() {
                let host = listener["hostname"].as_str().unwrap_or("any.example").to_owned();
                let made = rcgen::generate_simple_self_signed([host]).expect("a certificate");
                let at = |key: &str| {
                    format!("secrets/{namespace}/{}/{key}", secret["name"].as_str().expect("a name"))
                };
                place.write(&at("tls.crt"), &made.cert.pem());
                place.write(&at("tls.key"), &made.signing_key.serialize_pem());
            }
        }
    }
}

/// An endpoint for every port of every Service.
fn write_endpoints(place: &Place) {
    let services = objects(place, "from.yaml").into_iter().filter(|object| object["kind"] == "Service");
    for service in services {
        let (name, namespace) = (&service["metadata"]["name"], &service["metadata"]["namespace"]);
        let slice = serde_json::json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "name": name, "namespace": namespace, "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4",
            "ports": service["spec"]["ports"],
            "endpoints": [{ "addresses": ["127.0.0.1"] }],
        });
        place.write(&format!("endpoints-{}.json", name.as_str().expect("a name")), &slice.to_string());
    }
}

fn objects(place: &Place, file: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(place.config(file)).expect("it was written");
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents.map(|document| serde_json::Value::deserialize(document).expect("an object")).collect()
}

const CLASS: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.internal/appliance}
";
