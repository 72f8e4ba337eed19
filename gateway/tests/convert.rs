use std::{
    fs,
    path::{Path, PathBuf},
};

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
        let output = gateway(&["check", text(&place.config(""))]);
        assert_eq!(output.status.code(), Some(0), "{}:\n{}", case.display(), stdout(&output));
    }
}

const CLASS: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.internal/appliance}
";
