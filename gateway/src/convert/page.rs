//! `docs/convert.md` says of every annotation, middleware and matcher what becomes of it. Its tables are those of the code.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::{
    counterpart::{Counterpart, Fate},
    ingress::annotation::{NGINX, NGINX_ORG, OF_NGINX, OF_NGINX_ORG},
    traefik::table::{HEADERS, MATCHERS, MIDDLEWARES, SERVICE},
};

/// Each table with the word that marks it, what stands before its names, and what they are.
const TABLES: [(&str, &str, &str, &[Counterpart]); 6] = [
    ("nginx", NGINX, "annotation", OF_NGINX),
    ("nginx.org", NGINX_ORG, "annotation", OF_NGINX_ORG),
    ("matchers", "", "in a rule", MATCHERS),
    ("middlewares", "", "middleware", MIDDLEWARES),
    ("headers", "", "field of `headers`", HEADERS),
    ("services", "", "field of a service", SERVICE),
];

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn table(what: &str, rows: &[Counterpart]) -> String {
    let fate = |fate: Fate| match fate {
        Fate::Converted => "converted",
        Fate::Needless => "not needed",
        Fate::Lost => "left out",
        Fate::Closes => "left out; **500**",
    };
    let row = |row: &Counterpart| format!("| `{}` | {} | {} |\n", row.name, fate(row.fate), row.text);
    format!("| {what} | | to what, or why not |\n| --- | --- | --- |\n")
        + &rows.iter().map(row).collect::<String>()
}

#[test]
fn the_page_has_the_tables_of_the_code() {
    let path = project("docs/convert.md");
    let mut page = fs::read_to_string(&path).expect("the page");
    for (mark, _, what, rows) in TABLES {
        let (begin, end) = (format!("<!-- table: {mark} -->\n"), "<!-- end -->");
        let start = page.find(&begin).unwrap_or_else(|| panic!("no table {mark}")) + begin.len();
        let stop = start + page[start..].find(end).expect("it ends");
        let wanted = table(what, rows);
        if std::env::var_os("GATEWAY_BLESS").is_some() {
            page.replace_range(start..stop, &wanted);
        }
        let found = &page[start..start + wanted.len().min(page.len() - start)];
        assert_eq!(found, wanted, "GATEWAY_BLESS=1 rewrites the table {mark}");
    }
    if std::env::var_os("GATEWAY_BLESS").is_some() {
        fs::write(path, page).expect("written");
    }
}

#[test]
fn every_name_stands_once_and_what_is_converted_is_in_a_case() {
    let entries = fs::read_dir(project("tests/convert")).expect("the cases");
    let cases: String = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(".from.yaml"))
        .map(|path| fs::read_to_string(path).expect("a case"))
        .collect();
    for (mark, before, _, rows) in TABLES {
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len(), "a name stands twice in {mark}");
        for row in rows.iter().filter(|row| row.fate == Fate::Converted) {
            let name = format!("{before}{}", row.name.replace('\\', ""));
            assert!(cases.contains(&name), "no case shows {name} of {mark}");
        }
    }
}
