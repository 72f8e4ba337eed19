/// The candidate that was probably meant: at most a third of its characters differ, or it has the text as its
/// beginning or end (`Prefix` for `PathPrefix`).
pub(crate) fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found_lower = found.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (candidate.to_lowercase(), candidate))
        .filter_map(|(lower, candidate)| {
            let distance = distance(&found_lower, &lower);
            let is_part =
                found.len() >= 4 && (lower.starts_with(&found_lower) || lower.ends_with(&found_lower));
            (distance <= candidate.chars().count().max(3) / 3 || is_part).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// `, did you mean ...?` for the candidate that was probably meant, or nothing.
pub fn did_you_mean<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(found, candidates).map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// Insertions, deletions, replacements and swaps of neighbours from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far_fetched() {
        let names = ["hostnames", "parentRefs", "rules"];
        assert_eq!(nearest("hostname", names), Some("hostnames"));
        assert_eq!(nearest("ruels", names), Some("rules"));
        assert_eq!(nearest("parentrefs", names), Some("parentRefs"));
        assert_eq!(nearest("timeout", names), None);
        assert_eq!(nearest("prefix", ["Exact", "PathPrefix"]), Some("PathPrefix"));
        assert_eq!(nearest("gatewayClass", ["gatewayClassName", "listeners"]), Some("gatewayClassName"));
        assert_eq!(did_you_mean("x", ["tls"]), "");
    }
}
