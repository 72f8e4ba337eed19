use std::collections::HashMap;

use ir::Hostname;

/// Finds the most specific of several hostnames for a name: the exact one, else the longest wildcard, else
/// the one of "any host". Of equal hostnames the first counts.
pub(crate) struct HostIndex {
    exact: HashMap<Box<str>, usize>,
    /// Suffixes with their leading dot, longest first.
    wildcards: Vec<(Box<str>, usize)>,
    any: Option<usize>,
}

impl HostIndex {
    /// Indexes hostnames by their place; `None` means any host.
    pub(crate) fn build<'a>(hostnames: impl Iterator<Item = Option<&'a Hostname>>) -> Self {
        let mut index = Self { exact: HashMap::new(), wildcards: Vec::new(), any: None };
        for (place, hostname) in hostnames.enumerate() {
            match hostname.map(|hostname| (hostname, hostname.wildcard_suffix())) {
                None => {
                    index.any.get_or_insert(place);
                }
                Some((_, Some(suffix))) => index.wildcards.push((suffix.into(), place)),
                Some((hostname, None)) => {
                    index.exact.entry(hostname.as_str().into()).or_insert(place);
                }
            }
        }
        index.wildcards.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        index
    }

    /// The place of the hostname that a name (lower case, no port) falls under. A missing name falls only
    /// under "any host".
    pub(crate) fn find(&self, name: Option<&str>) -> Option<usize> {
        let Some(name) = name else { return self.any };
        if let Some(place) = self.exact.get(name) {
            return Some(*place);
        }
        let covers =
            |suffix: &str| name.len() > suffix.len() && name.ends_with(suffix) && !name.starts_with('.');
        self.wildcards.iter().find(|(suffix, _)| covers(suffix)).map(|(_, place)| *place).or(self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_hostname_wins() {
        let names: Vec<Option<Hostname>> =
            ["*.example.com", "a.example.com", "*.b.example.com", "", "c.test"]
                .map(|text| text.parse().ok())
                .to_vec();
        let index = HostIndex::build(names.iter().map(Option::as_ref));
        for (name, place) in [
            (Some("a.example.com"), 1),
            (Some("x.example.com"), 0),
            (Some("x.b.example.com"), 2),
            (Some("b.example.com"), 0),
            (Some("example.com"), 3),
            (Some(".example.com"), 3),
            (Some("c.test"), 4),
            (None, 3),
        ] {
            assert_eq!(index.find(name), Some(place), "{name:?}");
        }
    }

    #[test]
    fn nothing_covers_a_name_without_a_listener_for_any_host() {
        let name: Hostname = "a.test".parse().unwrap();
        let index = HostIndex::build([Some(&name)].into_iter());
        assert_eq!(index.find(Some("b.test")), None);
        assert_eq!(index.find(None), None);
    }
}
