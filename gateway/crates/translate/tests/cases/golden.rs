use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{render, support};

#[test]
fn every_case_means_what_it_meant() {
    let bless = std::env::var_os("GATEWAY_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut expected = BTreeSet::new();
    let files = support::golden_files();
    for input in files.iter().filter(|path| path.to_string_lossy().ends_with(".in.yaml")) {
        let sibling = |end: &str| PathBuf::from(input.to_string_lossy().replace(".in.yaml", end));
        let (output, before) = (sibling(".out.yaml"), sibling(".before.yaml"));
        let before = Some(before).filter(|path| files.contains(path));
        expected.extend([input.clone(), output.clone()].into_iter().chain(before.clone()));
        let found = rendered(input, before.as_deref());
        if bless {
            fs::write(&output, &found).expect("the case's output is written");
        } else if fs::read_to_string(&output).ok().as_ref() != Some(&found) {
            let was = fs::read_to_string(&output).unwrap_or_default();
            wrong.push(format!("{}:\n{}", output.display(), difference(&was, &found)));
        }
    }
    assert!(!expected.is_empty(), "there are no cases under tests/golden");
    let extra: Vec<_> = files.iter().filter(|path| !expected.contains(*path)).collect();
    assert!(extra.is_empty(), "files that belong to no case: {extra:?}");
    assert!(wrong.is_empty(), "GATEWAY_BLESS=1 rewrites:\n{}", wrong.join("\n"));
}

/// Where there is a `CASE.before.yaml`, it was in the file first.
fn rendered(input: &Path, before: Option<&Path>) -> String {
    let text = |path: &Path| fs::read_to_string(path).expect("the case's input is read");
    let name = input.file_name().and_then(|name| name.to_str()).expect("a plain name");
    let before = before.map(text);
    let versions: Vec<String> = before.into_iter().chain([text(input)]).collect();
    render::rendered(&support::translated_in_turn(name, &versions))
}

fn difference(was: &str, found: &str) -> String {
    let (was, found): (Vec<&str>, Vec<&str>) = (was.lines().collect(), found.lines().collect());
    let same = was.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let ends = was[same..].iter().rev().zip(found[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let minus = was[same..was.len() - ends].iter().map(|line| format!("- {line}\n"));
    let plus = found[same..found.len() - ends].iter().map(|line| format!("+ {line}\n"));
    format!("from line {}:\n{}", same + 1, minus.chain(plus).collect::<String>())
}
