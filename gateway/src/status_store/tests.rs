use serde_json::{Value, json};

use super::{Document, Metadata, ObjectStatus, StatusStore, path, read, transition};
use manifest::ObjectId;

fn status(kind: &str, namespace: &str, name: &str, status: Value) -> ObjectStatus {
    let id = ObjectId {
        kind: kind.into(),
        group: "example.test".into(),
        namespace: namespace.into(),
        name: name.into(),
    };
    let metadata = Metadata {
        name: name.to_owned(),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        uid: None,
        generation: 1,
    };
    let document =
        Document { api_version: "example.test/v1".to_owned(), kind: kind.to_owned(), metadata, status };
    ObjectStatus { id, document }
}

fn condition(value: &str) -> Value {
    json!({"conditions": [{"type": "Accepted", "status": value, "reason": "Because"}]})
}

#[test]
fn files_come_change_and_go_with_their_objects() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = StatusStore::open(directory.path());
    let mut both =
        [status("Gateway", "default", "eg", condition("True")), status("Class", "", "c", condition("True"))];
    store.publish(&mut both).expect("written");
    let gateway = directory.path().join("status/Gateway.example.test/default/eg.json");
    let class = directory.path().join("status/Class.example.test/_/c.json");
    assert!(gateway.exists() && class.exists());
    assert_eq!(read(directory.path()).len(), 2);
    // Another process finds them, and removes what has gone.
    let mut store = StatusStore::open(directory.path());
    store.publish(&mut both[..1]).expect("written");
    assert!(gateway.exists() && !class.exists());
}

#[test]
fn another_object_of_the_same_name_has_its_own_uid_and_times() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = StatusStore::open(directory.path());
    let mut conditions = condition("True");
    conditions["conditions"][0]["lastTransitionTime"] = json!("then");
    let mut first = status("Gateway", "default", "eg", conditions);
    first.document.metadata.uid = Some("1".to_owned());
    let path = path(&first.id).expect("a path");
    store.written.insert(path, first.document.clone());
    let time = |store: &mut StatusStore, uid: &str| {
        let mut next = status("Gateway", "default", "eg", condition("True"));
        next.document.metadata.uid = Some(uid.to_owned());
        store.publish(std::slice::from_mut(&mut next)).expect("written");
        next.document.status["conditions"][0]["lastTransitionTime"].clone()
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
    store
        .publish(&mut [status("K", "..", "x", json!({})), status("K", "n", "../x", json!({}))])
        .expect("nothing");
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
