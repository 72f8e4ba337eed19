use std::{collections::BTreeSet, process::ExitCode};

use anyhow::Result;
use clap::Args;
use manifest::{Field, KindFields, UnservedKind, did_you_mean, unserved_kinds};
use serde_json::{Value as Json, json};

use super::check::Format;

/// Explain the fields of manifests: what they mean, what they hold, and whether they are served.
///
/// Without a name: every kind. With KIND: its fields. With KIND.PATH, such as httproute.spec.rules.filters: that field
/// and what is in it.
///
/// Exit codes: 0 if there is such a field, 2 if not.
#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// A kind, or a field of one.
    #[arg(value_name = "KIND[.PATH]")]
    name: Option<String>,
    /// Only fields that are known and not served, each with the reason.
    #[arg(long)]
    unserved: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

impl Fields {
    /// Prints what was asked for.
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut kinds = match &self.name {
            None => manifest::fields(),
            Some(name) => match named(name, manifest::fields()) {
                Ok(kind) => vec![kind],
                Err(message) => {
                    eprintln!("gateway: {message}");
                    return Ok(ExitCode::from(USAGE));
                }
            },
        };
        if self.unserved {
            kinds.iter_mut().for_each(|kind| kind.fields.retain(|field| field.unserved.is_some()));
            kinds.retain(|kind| self.name.is_some() || !kind.fields.is_empty());
        }
        match self.output {
            Format::Json => {
                let kinds: Vec<Json> = kinds.iter().map(document).collect();
                let whole = match self.name {
                    None => json!({ "kinds": kinds, "unservedKinds": unserved() }),
                    Some(_) => json!({ "kinds": kinds }),
                };
                println!("{}", serde_json::to_string_pretty(&whole)?);
            }
            Format::Text if self.name.is_none() && !self.unserved => print_kinds(&kinds),
            Format::Text => {
                kinds.iter().for_each(print_fields);
                if self.name.is_none() {
                    print_unserved();
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The kind of that name, with the fields at and below the path that follows it. Lists and mappings need no `[]` and
/// `{}` in it, and kinds may be in lower case, as for kubectl.
fn named(name: &str, kinds: Vec<KindFields>) -> Result<KindFields, String> {
    let (kind, path) = name.split_once('.').unwrap_or((name, ""));
    let names: Vec<&str> = kinds.iter().map(|kind| kind.kind).collect();
    let unknown = format!(
        "there is no kind `{kind}`{}; `gateway fields` lists them",
        did_you_mean(kind, names.iter().copied())
    );
    let mut kind = kinds.into_iter().find(|one| super::is_kind(one.kind, kind)).ok_or(unknown)?;
    if path.is_empty() {
        return Ok(kind);
    }
    let path = plain(path);
    let paths: BTreeSet<String> = kind.fields.iter().map(|field| plain(&field.path)).collect();
    if !paths.contains(&path) {
        // Among its brothers, most of all.
        let known =
            path.match_indices('.').map(|(at, _)| &path[..at]).rfind(|parent| paths.contains(*parent));
        let (parent, depth) = known.map_or(("", 0), |parent| (parent, parent.matches('.').count() + 1));
        let wrong = path.split('.').nth(depth).unwrap_or_default();
        let members = paths.iter().filter_map(|one| {
            let rest = if parent.is_empty() { one } else { one.strip_prefix(parent)?.strip_prefix('.')? };
            (!rest.contains('.')).then_some(rest)
        });
        let place = if parent.is_empty() { kind.kind.to_owned() } else { format!("{}.{parent}", kind.kind) };
        return Err(format!("{place} has no field `{wrong}`{}", did_you_mean(wrong, members)));
    }
    let below = format!("{path}.");
    kind.fields.retain(|field| {
        let field = plain(&field.path);
        field == path || field.starts_with(&below)
    });
    Ok(kind)
}

fn plain(path: &str) -> String {
    path.replace("[]", "").replace("{}", "")
}

fn print_kinds(kinds: &[KindFields]) {
    for kind in kinds {
        let unserved = kind.fields.iter().filter(|field| field.unserved.is_some()).count();
        let (served, total) = (kind.fields.len() - unserved, kind.fields.len());
        let partial = if kind.partial { " (others are passed over)" } else { "" };
        println!("{} {}: {served} of {total} known fields served{partial}", kind.kind, api_version(kind));
        print_wrapped(&kind.description);
    }
    print_unserved();
}

fn print_unserved() {
    for UnservedKind { kind, group, reason } in unserved_kinds() {
        println!("{kind} {group}: known, but not served: {reason}");
    }
}

fn print_fields(kind: &KindFields) {
    println!("{} {}", kind.kind, api_version(kind));
    print_wrapped(&kind.description);
    for Field { path, shape, description, values, unserved } in &kind.fields {
        println!("{path} <{shape}>");
        print_wrapped(description);
        if !values.is_empty() {
            println!("  One of: {}", values.join(", "));
        }
        if let Some(why) = unserved {
            println!("  Known, but not served: {why}");
        }
    }
}

fn print_wrapped(text: &str) {
    wrap(text).iter().for_each(|line| println!("  {line}"));
}

/// Lines of about a hundred characters.
fn wrap(text: &str) -> Vec<String> {
    text.split_whitespace().fold(Vec::new(), |mut lines, word| {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 100 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
        lines
    })
}

fn api_version(kind: &KindFields) -> String {
    let version = kind.versions.first().copied().unwrap_or_default();
    if kind.group.is_empty() { version.to_owned() } else { format!("{}/{version}", kind.group) }
}

fn document(kind: &KindFields) -> Json {
    let KindFields { kind, group, versions, description, partial, fields } = kind;
    let fields: Vec<Json> = fields.iter().map(field).collect();
    json!({
        "kind": kind, "group": group, "versions": versions, "description": description, "partial": partial,
        "fields": fields,
    })
}

fn unserved() -> Vec<Json> {
    let document =
        |UnservedKind { kind, group, reason }| json!({ "kind": kind, "group": group, "reason": reason });
    unserved_kinds().into_iter().map(document).collect()
}

fn field(field: &Field) -> Json {
    let Field { path, shape, description, values, unserved } = field;
    let mut document = json!({
        "path": path, "type": shape, "description": description, "served": unserved.is_none(),
    });
    if !values.is_empty() {
        document["values"] = json!(values);
    }
    if let Some(why) = unserved {
        document["reason"] = json!(why);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(name: &str) -> Result<Vec<String>, String> {
        named(name, manifest::fields()).map(|kind| kind.fields.into_iter().map(|field| field.path).collect())
    }

    #[test]
    fn a_field_is_found_as_kubectl_users_would_name_it() {
        let matches = paths("httproute.spec.rules.matches.path").expect("there is such a field");
        let below = ["", ".type", ".value"].map(|name| format!("spec.rules[].matches[].path{name}"));
        assert_eq!(matches, below);
        assert_eq!(paths("HTTPRoute.spec.rules[].matches[].path"), Ok(matches));
        assert_eq!(paths("gateways"), paths("Gateway"));
        assert_eq!(paths("gatewayclasses"), paths("GatewayClass"));
        assert_eq!(paths("clienttrafficpolicies"), paths("ClientTrafficPolicy"));
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_may_have_been_meant() {
        for (name, message) in [
            (
                "HTTPRoutte",
                "there is no kind `HTTPRoutte`, did you mean `HTTPRoute`?; `gateway fields` lists them",
            ),
            ("gateway.spec.listner", "Gateway.spec has no field `listner`, did you mean `listeners`?"),
            (
                "gateway.spec.listeners.prt.x",
                "Gateway.spec.listeners has no field `prt`, did you mean `port`?",
            ),
            ("gateway.sppec", "Gateway has no field `sppec`, did you mean `spec`?"),
        ] {
            assert_eq!(paths(name), Err(message.to_owned()));
        }
    }

    #[test]
    fn the_document_says_of_each_field_whether_it_is_served() {
        let kind = named("httproute", manifest::fields()).expect("a modelled kind");
        let document = document(&kind);
        let fields = document["fields"].as_array().expect("a list");
        for field in fields {
            assert_eq!(field["served"] == json!(true), field["reason"].is_null(), "{field}");
        }
        let parents = fields.iter().find(|field| field["path"] == "spec.parentRefs").expect("it is known");
        assert_eq!((&parents["served"], &parents["type"]), (&json!(true), &json!("[]object")));
    }
}
