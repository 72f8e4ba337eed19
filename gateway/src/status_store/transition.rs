use serde_json::{Map, Value};

const TIME: &str = "lastTransitionTime";

/// Gives every condition below `new` its `lastTransitionTime`: the old one while its `status` is the same, else
/// `now`. Elements of a list are recognised by what names them, not by their place.
pub(super) fn fill_in(new: &mut Value, old: Option<&Value>, now: &str) {
    match new {
        Value::Object(new) => {
            if is_condition(new) {
                let kept =
                    old.filter(|old| old.get("status") == new.get("status")).and_then(|old| old.get(TIME));
                new.insert(TIME.to_owned(), kept.cloned().unwrap_or_else(|| now.into()));
                return;
            }
            for (key, value) in new {
                fill_in(value, old.and_then(|old| old.get(key)), now);
            }
        }
        Value::Array(new) => {
            let old = old.and_then(Value::as_array);
            for element in new {
                let twin = old.and_then(|old| old.iter().find(|old| is_same_element(element, old)));
                fill_in(element, twin, now);
            }
        }
        _ => {}
    }
}

fn is_condition(value: &Map<String, Value>) -> bool {
    ["type", "status", "reason"].iter().all(|key| value.contains_key(*key))
}

/// The names that Gateway API's lists of statuses go by: conditions, listeners, parents, ancestors.
fn is_same_element(new: &Value, old: &Value) -> bool {
    let named = |key: &&str| new.get(key).is_some();
    let mut keys =
        ["type", "name", "parentRef", "ancestorRef", "controllerName"].into_iter().filter(named).peekable();
    keys.peek().is_some() && keys.all(|key| new.get(key) == old.get(key))
}
