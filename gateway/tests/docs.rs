use std::fs;

use serde_json::Value;

use crate::harness::{Place, gateway, gateway_manifest, project, stdout};

/// The manifests in a page, each with the line that it starts at.
fn recipes(page: &str) -> Vec<(usize, String)> {
    let mut recipes = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == "```yaml" {
            let block: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            recipes.push((number + 2, block.join("\n") + "\n"));
        }
    }
    recipes
}

fn page() -> String {
    fs::read_to_string(project("docs/connection-policy.md")).expect("the page")
}

#[test]
fn every_recipe_of_the_connection_policy_is_a_manifest_without_a_complaint() {
    let recipes = recipes(&page());
    assert!(recipes.len() > 5, "the page has its recipes");
    for (line, recipe) in recipes {
        let place = Place::new();
        place.write("gateway.yaml", &gateway_manifest(8080));
        place.write("recipe.yaml", &recipe);
        let output = gateway(&["check", "--strict", place.config("").to_str().expect("plain")]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "the recipe at line {line}:\n{text}");
        assert!(text.contains(" 0 errors, 0 warnings"), "the recipe at line {line}:\n{text}");
    }
}

/// Names of fields anywhere in a schema.
fn fields(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            let properties = object.get("properties").and_then(Value::as_object);
            names.extend(properties.into_iter().flat_map(|properties| properties.keys().cloned()));
            object.values().for_each(|value| fields(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_connection_policy_is_in_a_recipe() {
    let all: String = recipes(&page()).into_iter().map(|(_, recipe)| recipe).collect();
    let mut names = Vec::new();
    fields(&manifest::schema::<manifest::kind::ConnectionPolicy>(), &mut names);
    let missing: Vec<&String> = names.iter().filter(|name| !all.contains(&format!("{name}:"))).collect();
    assert!(names.len() > 15 && missing.is_empty(), "no recipe shows {missing:?}");
}
