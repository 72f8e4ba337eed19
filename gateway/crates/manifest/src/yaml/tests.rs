use super::*;
use crate::node::Value;

fn refused(text: &str) -> FileError {
    read(text.as_bytes()).expect_err("refused")
}

#[test]
fn reads_documents_with_positions() {
    let documents = read(b"\xef\xbb\xbfa: 1\nb:\n  - x\n  - y: {z: 2}\n---\n---\n{\"c\": [true]}\n").unwrap();
    assert_eq!(documents.len(), 2);
    let at = |path: &str| documents[0].nearest(path);
    assert_eq!(at("a"), Position { line: 1, column: 4 });
    assert_eq!(at("b[1].y.z"), Position { line: 4, column: 12 });
    assert_eq!(at("b[1].nothing.here"), Position { line: 4, column: 5 });
    assert_eq!(documents[1].nearest("c[0]"), Position { line: 7, column: 8 });
}

#[test]
fn takes_aliases_and_merge_keys_as_yaml_1_1_does() {
    let text = "base: &b {x: 1, y: 2}\none:\n  <<: *b\n  y: 3\ntwo:\n  <<: [{z: 9}, *b]\n\"<<\": q\n";
    let document = read(text.as_bytes()).unwrap().remove(0);
    let plain = |path: &[&str]| {
        let node = path.iter().fold(&document, |node, key| node.field(key).unwrap());
        node.describe()
    };
    assert_eq!(plain(&["one", "x"]), "the number 1");
    assert_eq!(plain(&["one", "y"]), "the number 3");
    assert_eq!(plain(&["two", "z"]), "the number 9");
    assert_eq!(plain(&["<<"]), "the text `q`");
    assert_eq!(refused("a: {<<: 1}").reason, "InvalidSyntax");
}

#[test]
fn refuses_what_grows_without_bound() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..9 {
        let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    assert_eq!(refused(&bomb).reason, "OverBudget");
    let long = "y".repeat(200_000);
    let text_bomb = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 1000].join(", "));
    assert!(refused(&text_bomb).message.contains("16 MiB of text"));
    assert_eq!(refused("a: &a\n  b: *a\n").reason, "SelfReference");
    assert_eq!(refused("a: &a [1, *a]\n").reason, "SelfReference");
    let deep = refused(&"[".repeat(100_000));
    assert_eq!(deep.reason, "OverBudget", "{}", deep.message);
    assert_eq!(refused(&"- ".repeat(10_000)).reason, "OverBudget");
    assert!(read(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes()).is_ok());
    assert_eq!(refused(&format!("{}{}", "[".repeat(65), "]".repeat(65))).reason, "OverBudget");
    assert!(refused(&"- a\n".repeat(750_001)).message.contains("750000"));
}

#[test]
fn an_alias_adds_the_depth_of_what_it_stands_for() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let text = |n: usize| format!("- &a {}\n- {}*a{}\n", deep(30), "[".repeat(n), "]".repeat(n));
    assert!(read(text(33).as_bytes()).is_ok());
    assert_eq!(refused(&text(34)).reason, "OverBudget");
}

#[test]
fn says_where_bytes_are_not_utf_8() {
    let error = read(b"a: 1\nb: x\xffy\n").expect_err("refused");
    assert_eq!(error.reason, "InvalidEncoding");
    assert_eq!(error.position, Some(Position { line: 2, column: 5 }));
    assert!(error.message.contains("offset 9"), "{}", error.message);
    assert!(read(b"\xff\xfea\0").expect_err("refused").message.contains("UTF-16"));
}

#[test]
fn refuses_syntax_keys_and_tags_that_mean_nothing() {
    for text in ["a: [1", "a: b: c", "? [x]\n: y", "a: !thing x", "a: !!int x", "a: *nowhere"] {
        assert_eq!(read(text.as_bytes()).map_err(|error| error.reason), Err("InvalidSyntax"), "{text}");
    }
    let document = read(b"a: !!str 1").unwrap().remove(0);
    assert!(matches!(&document.field("a").unwrap().value, Value::Scalar(crate::node::Scalar::Text, _)));
}

#[test]
fn reads_json_with_what_yaml_does_not_have() {
    let document = read("{\n\t\"a\": \"\\ud83d\\ude00 \\/\",\r\n\t\"b\": [1, null, {}]\n}\n".as_bytes())
        .unwrap()
        .remove(0);
    assert_eq!(document.field("a").and_then(Node::text), Some("\u{1f600} /"));
    let escaped = read(br#"{"a": "\\ud83d\\ude00", "b": 1}"#).unwrap().remove(0);
    assert_eq!(escaped.field("a").and_then(Node::text), Some("\\ud83d\\ude00"));
    assert_eq!(document.nearest("b[2]"), Position { line: 3, column: 17 });
    assert_eq!(read(br#"{"a": "\ud83d"}"#).unwrap_err().reason, "InvalidSyntax");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 64, ..Default::default() })]

    /// Both parsers see the same tree where a text is JSON and YAML at once.
    #[test]
    fn json_and_yaml_agree(numbers in proptest::collection::vec(-99_i32..99, 0..4), text in "[a-z:,{} é-]{0,8}") {
        let value = serde_json::json!({"a": numbers, "b": {"c": text, "d": null, "e": true}, "f": [{}, []]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let mut builder = Builder::default();
        events(&text, |event, position| builder.take(event, position)).unwrap();
        proptest::prop_assert_eq!(json::read(&text), builder.documents.pop());
    }
}
