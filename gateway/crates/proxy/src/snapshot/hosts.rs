use std::collections::HashMap;

use ir::Hostname;

/// Finds the most specific of several hostnames for a name: the exact one, else the longest wildcard, else
/// the one of "any host". Of equal hostnames the first counts.
pub(crate) struct HostIndex {
    exact: HashMap<Box<str>, usize>,
    /// By suffix, with its leading dot.
    wildcards: HashMap<Box<str>, usize>,
    longest_suffix: usize,
    any: Option<usize>,
}

impl HostIndex {
    /// Indexes hostnames by their place; `None` means any host.
    pub(crate) fn build<'a>(hostnames: impl Iterator<Item = Option<&'a Hostname>>) -> Self {
        let mut index =
            Self { exact: HashMap::new(), wildcards: HashMap::new(), longest_suffix: 0, any: None };
        for (place, hostname) in hostnames.enumerate() {
            match hostname.map(|hostname| (hostname, hostname.wildcard_suffix())) {
                None => {
                    index.any.get_or_insert(place);
                }
                Some((_, Some(suffix))) => {
                    index.longest_suffix = index.longest_suffix.max(suffix.len());
                    index.wildcards.entry(suffix.into()).or_insert(place);
                }
                Some((hostname, None)) => {
                    index.exact.entry(hostname.as_str().into()).or_insert(place);
                }
            }
        }
        index
    }

    /// The place of the hostname that a name (lower case, no port) falls under. A missing name falls only
    /// under "any host".
    pub(crate) fn find(&self, name: Option<&str>) -> Option<usize> {
        let Some(name) = name else { return self.any };
        if let Some(place) = self.exact.get(name) {
            return Some(*place);
        }
        self.wildcard(name).or(self.any)
    }

    /// Tries the suffixes of a name, longest first, but none longer than the longest there is: a name of many
    /// labels costs no more than one of that length.
    fn wildcard(&self, name: &str) -> Option<usize> {
        if self.wildcards.is_empty() || name.starts_with('.') {
            return None;
        }
        let start = name.len().saturating_sub(self.longest_suffix).max(1);
        let dots = name.bytes().enumerate().skip(start).filter(|(_, byte)| *byte == b'.');
        dots.filter_map(|(dot, _)| self.wildcards.get(&name[dot..])).next().copied()
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
