use super::*;

#[test]
fn keeps_the_last_good_version_of_an_object_and_says_why() {
    let mut loader = Loader::of_paths([]);
    load(&mut loader, &[("f.yaml", &route("r", ""))]);
    let set = load(&mut loader, &[("f.yaml", &route("r", "  rules: x\n"))]);
    let SpecState::Stale(spec, why) = &set.http_routes[0].spec else { panic!("stale") };
    assert_eq!(spec.hostnames.len(), 1);
    assert_eq!(why, "f.yaml:7:10: spec.rules: found the text `x`, expected a list");
    assert_eq!((set.http_routes[0].meta.generation, errors(&set)), (1, 1));
    let set = load(&mut loader, &[("f.yaml", &route("r", "  rules: [{}]\n"))]);
    assert!(matches!(set.http_routes[0].spec, SpecState::Good(_)));
    assert_eq!((set.http_routes[0].meta.generation, errors(&set)), (2, 0));
}

#[test]
fn keeps_the_last_good_objects_of_a_broken_file_and_of_no_other() {
    let mut loader = Loader::of_paths([]);
    let two = format!("{}---\n{}", route("a", ""), route("b", ""));
    load(&mut loader, &[("f.yaml", &two), ("g.yaml", &route("c", ""))]);
    let set = load(&mut loader, &[("f.yaml", "a: [")]);
    assert_eq!(names(&set), ["a", "b"]);
    let stale =
        |set: &ManifestSet| set.http_routes.iter().all(|route| matches!(route.spec, SpecState::Stale(..)));
    assert!(stale(&set) && errors(&set) == 1, "{:?}", lines(&set));

    // Over a restart too.
    let state = serde_json::to_string(&loader.state()).unwrap();
    let mut loader = Loader::of_roots(Vec::new(), Some(serde_json::from_str(&state).unwrap()));
    let set = load(&mut loader, &[("f.yaml", "a: [")]);
    assert_eq!(names(&set), ["a", "b"]);
    assert!(stale(&set));

    // What a good file does not have any more is gone at once.
    let set = load(&mut loader, &[("f.yaml", &route("b", ""))]);
    assert_eq!(names(&set), ["b"]);
    assert!(!stale(&set));
    let set = load(&mut loader, &[]);
    assert!(set.http_routes.is_empty());
}

#[test]
fn remembers_when_objects_were_seen_and_counts_their_changes() {
    let mut loader = Loader::of_paths([]);
    let at = |loader: &mut Loader, text: &str, now| {
        let set = loader.load_texts([("f.yaml", text.as_bytes())], Timestamp(now));
        (set.http_routes[0].meta.created.0, set.http_routes[0].meta.generation)
    };
    assert_eq!(at(&mut loader, ROUTE, 10), (10, 1));
    assert_eq!(at(&mut loader, ROUTE, 20), (10, 1));
    assert_eq!(at(&mut loader, &ROUTE.replace("a.example", "\"a.example\" # quoted"), 20), (10, 1));
    assert_eq!(at(&mut loader, &ROUTE.replace("name: r", "name: r\n  labels: {a: b}"), 30), (10, 1));
    assert_eq!(at(&mut loader, &ROUTE.replace("a.example", "b.example"), 40), (10, 2));
    let mut loader = Loader::of_roots(Vec::new(), Some(loader.state()));
    assert_eq!(at(&mut loader, &ROUTE.replace("a.example", "b.example"), 50), (10, 2));
    assert_eq!(at(&mut loader, &ROUTE.replace("a.example", "c.example"), 60), (10, 3));
}

#[test]
fn the_duplicate_in_force_stays_else_the_smaller_path_wins() {
    let (one, two) = (route("r", ""), route("r", "  rules: [{}]\n"));
    let rules = |set: &ManifestSet| set.http_routes[0].spec.in_force().unwrap().rules.is_some();
    let set = texts(&[("b.yaml", &one), ("a.yaml", &two)]);
    assert!(rules(&set));
    let said = [
        "in force; the same object stands again at b.yaml:1:1",
        "has no effect: the same object is in force from a.yaml:1:1",
    ];
    assert_eq!(
        lines(&set),
        [
            format!("warning: a.yaml:1:1: HTTPRoute default/r: {} [DuplicateObject]", said[0]),
            format!("error: b.yaml:1:1: HTTPRoute default/r: {} [DuplicateObject]", said[1]),
        ]
    );
    let mut loader = Loader::of_paths([]);
    load(&mut loader, &[("b.yaml", &one)]);
    let set = load(&mut loader, &[("b.yaml", &one), ("a.yaml", &two)]);
    assert!(!rules(&set));
    assert_eq!((set.http_routes.len(), set.diagnostics.len()), (1, 2));
    let set = load(&mut loader, &[("a.yaml", &two)]);
    assert!(rules(&set) && set.diagnostics.is_empty());

    let both = format!("{two}---\n{one}");
    assert!(rules(&texts(&[("f.yaml", &both)])));
}
