use std::{fs, sync::Arc};

use manifest::{Loader, ManifestSet};
use proptest::{prelude::*, sample::Index};
use translate::{Translator, translate};

use crate::{render::rendered, support};

/// Swaps objects of every kind. The loader sorts them; translation must not rely on it.
fn shuffle(set: &mut ManifestSet, swaps: &[(Index, Index)]) {
    fn swap<T>(objects: &mut [T], swaps: &[(Index, Index)]) {
        if objects.is_empty() {
            return;
        }
        for (a, b) in swaps {
            objects.swap(a.index(objects.len()), b.index(objects.len()));
        }
    }
    let ManifestSet {
        gateway_classes,
        gateways,
        listener_sets,
        http_routes,
        reference_grants,
        namespaces,
        secrets,
        config_maps,
        services,
        endpoint_slices,
        backends,
        backend_tls_policies,
        client_traffic_policies,
        connection_policies,
        appliances,
        unmodelled,
        diagnostics,
    } = set;
    swap(gateway_classes, swaps);
    swap(gateways, swaps);
    swap(listener_sets, swaps);
    swap(http_routes, swaps);
    swap(reference_grants, swaps);
    swap(namespaces, swaps);
    swap(secrets, swaps);
    swap(config_maps, swaps);
    swap(services, swaps);
    swap(endpoint_slices, swaps);
    swap(backends, swaps);
    swap(backend_tls_policies, swaps);
    swap(client_traffic_policies, swaps);
    swap(connection_policies, swaps);
    swap(appliances, swaps);
    swap(unmodelled, swaps);
    swap(diagnostics, swaps);
}

/// A case's documents, each with the number of the file that it goes to.
fn spread() -> impl Strategy<Value = (String, Vec<(usize, String)>)> {
    let case = any::<Index>().prop_map(|index| {
        let mut cases = support::golden_inputs();
        cases.swap_remove(index.index(cases.len()))
    });
    case.prop_flat_map(|case| {
        let documents: Vec<String> = case.split("\n---\n").map(str::to_owned).collect();
        let files = prop::collection::vec(0..3_usize, documents.len());
        let spread = (Just(documents).prop_shuffle(), files)
            .prop_map(|(documents, files)| files.into_iter().zip(documents).collect());
        (Just(case), spread)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn translation_does_not_depend_on_the_order_of_objects(
        case in any::<Index>(),
        swaps in prop::collection::vec(any::<(Index, Index)>(), 0..40),
    ) {
        let cases = support::golden_inputs();
        let mut set = support::loaded([("case.yaml", cases[case.index(cases.len())].as_str())]);
        let before = rendered(&translate(&set, &support::facts()));
        shuffle(&mut set, &swaps);
        prop_assert_eq!(before, rendered(&translate(&set, &support::facts())));
    }

    #[test]
    fn what_is_served_does_not_depend_on_which_file_an_object_is_in((case, spread) in spread()) {
        let mut files = [const { String::new() }; 3];
        for (file, document) in &spread {
            files[*file].push_str(&format!("---\n{document}\n"));
        }
        let names = ["z.yaml", "a/b.yaml", "m.yaml"];
        let spread = support::loaded(names.into_iter().zip(files.iter().map(String::as_str)));
        let whole = support::loaded([("case.yaml", case.as_str())]);
        let (spread, whole) =
            (translate(&spread, &support::facts()), translate(&whole, &support::facts()));
        prop_assert_eq!(spread.gateway, whole.gateway);
    }
}

/// One translator and one directory for a case whole, without each of its documents in turn, and whole again.
#[test]
fn what_is_remembered_changes_nothing() {
    let mut remembered = 0;
    for case in support::golden_inputs() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("written");
        write("secrets.yaml", support::secrets());
        let documents: Vec<&str> = case.split("\n---\n").collect();
        let mut loader = Loader::new(directory.path(), None);
        let mut translator = Translator::default();
        let turns = (0..documents.len()).flat_map(|missing| [documents.len(), missing]);
        for missing in turns.chain([documents.len(), documents.len()]) {
            for (place, text) in documents.iter().enumerate() {
                write(&format!("{place}.yaml"), if place == missing { "" } else { text });
            }
            let set = loader.load_at(support::NOW);
            let fresh = translate(&set, &support::facts());
            let again = translator.translate(&set, &support::facts());
            assert_eq!(rendered(&again), rendered(&fresh), "without {missing}:\n{case}");
            let next = translator.translate(&set, &support::facts());
            assert_eq!(rendered(&next), rendered(&fresh), "the same once more:\n{case}");
            let same = next.statuses.iter().zip(&again.statuses).filter(|(a, b)| Arc::ptr_eq(a, b));
            remembered += same.count();
        }
    }
    assert!(remembered > 100, "something is remembered: {remembered}");
}
