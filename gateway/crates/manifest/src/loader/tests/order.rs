use proptest::{prelude::*, sample::select};

use super::*;

fn file() -> impl Strategy<Value = String> {
    let name = select(vec!["a", "b", "c", "d"]);
    let more = select(vec!["", "  rules: [{}]\n", "  rules: 1\n", "  x: [\n"]);
    let document = (name, more).prop_map(|(name, more)| route(name, more));
    prop::collection::vec(document, 1..4).prop_map(|documents| documents.join("---\n"))
}

fn files() -> impl Strategy<Value = Vec<(String, String)>> {
    let named = |(index, text)| (format!("{index}.yaml"), text);
    prop::collection::vec(file(), 1..5)
        .prop_map(move |files| files.into_iter().enumerate().map(named).collect())
}

fn outcome(loader: &mut Loader, files: &[(String, String)]) -> String {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let set = load(loader, &files);
    format!("{:#?}\n{}", set.http_routes, lines(&set).join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_not_depend_on_the_order_of_files(
        first in files(),
        (second, shuffled) in files().prop_flat_map(|files| (Just(files.clone()), Just(files).prop_shuffle())),
    ) {
        let (mut one, mut other) = (Loader::of_paths([]), Loader::of_paths([]));
        let backwards: Vec<_> = first.iter().rev().cloned().collect();
        prop_assert_eq!(outcome(&mut one, &first), outcome(&mut other, &backwards));
        prop_assert_eq!(outcome(&mut one, &second), outcome(&mut other, &shuffled));
    }

    #[test]
    fn survives_any_change_of_a_text(
        cuts in prop::collection::vec(
            (0..TEXT.len(), 0..40_usize, "[-:\\[\\]{}&*<!|>'\"%@`#,? \\n\\t\u{0}-\u{ff}a]{0,6}"),
            1..6,
        )
    ) {
        let mut bytes = TEXT.as_bytes().to_vec();
        for (at, length, insert) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, insert.bytes());
        }
        let mut loader = Loader::of_paths([]);
        let set = loader.load_texts([("f.yaml", bytes.as_slice()), ("g.yaml", ROUTE.as_bytes())], NOW);
        prop_assert!(names(&set).contains(&"r"));
    }
}

const TEXT: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: x, namespace: shop, labels: {a: \"b\"}}
spec:
  parentRefs: &p
  - name: eg
    sectionName: http
  rules:
  - matches:
    - path: {type: RegularExpression, value: '^/tea/[A-Z0-9]+'}
      method: GET
    backendRefs: [{name: tea-svc, port: 80, weight: 3}]
    timeouts:
      request: 1m30s
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set:
        - name: a
          value: |
            b
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: y}
spec: {parentRefs: [*nothing]}
";
