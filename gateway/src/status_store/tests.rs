use serde_json::{Value, json};

use std::sync::Arc;

use super::{StatusStore, Written, path, read, transition};
use manifest::ObjectId;

fn status(kind: &str, namespace: &str, name: &str, status: Value) -> Arc<translate::ObjectStatus> {
    let id = ObjectId {
        kind: kind.into(),
        group: "example.test".into(),
        namespace: namespace.into(),
        name: name.into(),
    };
    let api_version = "example.test/v1".to_owned();
    Arc::new(translate::ObjectStatus { id, api_version, generation: 1, uid: None, status })
}

fn published(store: &mut StatusStore, statuses: &[Arc<translate::ObjectStatus>]) -> Vec<Value> {
    let (shown, outcome) = store.publish(statuses, |_| false);
    outcome.expect("written");
    shown.iter().map(|status| status.document.status.clone()).collect()
}

fn condition(value: &str) -> Value {
    json!({"conditions": [{"type": "Accepted", "status": value, "reason": "Because"}]})
}

#[test]
fn files_come_change_and_go_with_their_objects() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = StatusStore::open(directory.path());
    let both =
        [status("Gateway", "default", "eg", condition("True")), status("Class", "", "c", condition("True"))];
    published(&mut store, &both);
    let gateway = directory.path().join("status/Gateway.example.test/default/eg.json");
    let class = directory.path().join("status/Class.example.test/_/c.json");
    assert!(gateway.exists() && class.exists());
    assert_eq!(read(directory.path()).len(), 2);
    // Another process finds them, and removes what has gone.
    let mut store = StatusStore::open(directory.path());
    published(&mut store, &both[..1]);
    assert!(gateway.exists() && !class.exists());
}

#[test]
fn another_object_of_the_same_name_has_its_own_uid_and_times() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = StatusStore::open(directory.path());
    let mut conditions = condition("True");
    conditions["conditions"][0]["lastTransitionTime"] = json!("then");
    let with_uid = |uid: &str, conditions: Value| {
        let mut status = (*status("Gateway", "default", "eg", conditions)).clone();
        status.uid = Some(uid.to_owned());
        status
    };
    let first = super::ObjectStatus::from(&with_uid("1", conditions));
    let id = first.id.clone();
    store.written.insert(id, Written { status: Arc::new(first), source: None, round: 0 });
    let time = |store: &mut StatusStore, uid: &str| {
        let next = Arc::new(with_uid(uid, condition("True")));
        published(store, &[next])[0]["conditions"][0]["lastTransitionTime"].clone()
    };
    assert_eq!(time(&mut store, "1"), "then");
    assert_ne!(time(&mut store, "2"), "then");
    let [document] = &read(directory.path())[..] else { panic!("one object") };
    assert_eq!(document.metadata.uid.as_deref(), Some("2"));
}

#[test]
fn a_name_cannot_leave_the_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = StatusStore::open(directory.path());
    let statuses = [status("K", "..", "x", json!({})), status("K", "n", "../x", json!({}))];
    assert!(statuses.iter().all(|status| path(&status.id).is_none()));
    assert_eq!(published(&mut store, &statuses).len(), 2);
    assert!(read(directory.path()).is_empty());
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let old = json!({"parents": [
        {"parentRef": {"name": "b"}, "conditions": [
            {"type": "Accepted", "status": "True", "reason": "A", "lastTransitionTime": "then"},
            {"type": "ResolvedRefs", "status": "True", "reason": "A", "lastTransitionTime": "then"}]}]});
    let mut new = json!({"parents": [
        {"parentRef": {"name": "a"}, "conditions": [{"type": "Accepted", "status": "True", "reason": "A"}]},
        {"parentRef": {"name": "b"}, "conditions": [
            {"type": "ResolvedRefs", "status": "False", "reason": "A"},
            {"type": "Accepted", "status": "True", "reason": "Other"}]}]});
    transition::fill_in(&mut new, Some(&old), "now");
    let time = |parent: usize, condition: usize| {
        new["parents"][parent]["conditions"][condition]["lastTransitionTime"].as_str().unwrap_or("none")
    };
    assert_eq!([time(0, 0), time(1, 0), time(1, 1)], ["now", "now", "then"]);
}

#[test]
fn what_is_the_same_is_not_looked_at_unless_something_is_laid_over_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = StatusStore::open(directory.path());
    let same = [status("Route", "default", "eg", condition("True"))];
    let looked_at = std::cell::Cell::new(0);
    let mut publish = |is_laid_over: bool| {
        let (shown, outcome) = store.publish(&same, |_| {
            looked_at.set(looked_at.get() + 1);
            is_laid_over
        });
        outcome.expect("written");
        (looked_at.get(), shown)
    };
    let (first, before) = publish(true);
    let (second, _) = publish(false);
    let (third, after) = publish(false);
    assert_eq!([first, second, third], [1, 2, 2]);
    assert!(Arc::ptr_eq(&before[0], &after[0]));
    assert_eq!(read(directory.path()).len(), 1);
}
