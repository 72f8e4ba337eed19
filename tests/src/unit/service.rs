use std::{fs, path::Path};

use anyhow::{Context, Result};

/// The `[Service]` section of a unit, in order.
#[derive(Debug)]
pub(super) struct Service(Vec<(String, String)>);

/// Begin the names of what confines a service, and of nothing else that the unit says (systemd.exec(5)).
const CONFINING: [&str; 21] = [
    "AmbientCapabilities",
    "Bind",
    "Capability",
    "Device",
    "Inaccessible",
    "Keyring",
    "Limit",
    "LockPersonality",
    "MemoryDeny",
    "NoExecPaths",
    "NoNewPrivileges",
    "Private",
    "Proc",
    "Protect",
    "ReadOnly",
    "RemoveIPC",
    "Restrict",
    "RootDirectory",
    "SecureBits",
    "SystemCall",
    "TemporaryFileSystem",
];

impl Service {
    /// Reads a unit file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(&text))
    }

    /// Source: systemd.syntax(7). Lines that go on with a backslash do not occur here.
    pub(super) fn parse(text: &str) -> Self {
        let mut here = false;
        let mut lines = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                here = line == "[Service]";
            } else if let Some((key, value)) =
                line.split_once('=').filter(|_| here && !line.starts_with(['#', ';']))
            {
                lines.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Self(lines)
    }

    /// All values of a setting, in order; those before an empty one are taken back.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let is_empty = |(found, value): &(String, String)| found == key && value.is_empty();
        let from = self.0.iter().rposition(is_empty).map_or(0, |at| at + 1);
        self.0[from..].iter().filter(move |(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// The value that counts where there is one.
    pub(super) fn last(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// True: switched on.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.last(key).is_some_and(|value| !matches!(value, "no" | "false" | "off" | "0"))
    }

    /// Words of all values of a setting.
    pub(super) fn words<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(key).flat_map(str::split_whitespace)
    }

    /// Settings that confine the service.
    pub(super) fn confining(&self) -> impl Iterator<Item = &str> {
        let keys = self.0.iter().map(|(key, _)| key.as_str());
        keys.filter(|key| {
            CONFINING.iter().any(|prefix| key.starts_with(prefix)) || matches!(*key, "User" | "Group")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_in_order() {
        let service = Service::parse(
            "[Unit]\nUser=no\n[Service]\n# a comment=\nSystemCallFilter=@a b\nSystemCallFilter=~@c\nRemoveIPC=no\n\
             Restart=always\nGroup=a\nGroup=\nGroup=b\n[Install]\nUser=no\n",
        );
        assert_eq!(service.all("Group").collect::<Vec<_>>(), ["b"], "an empty value takes back");
        assert_eq!(service.all("SystemCallFilter").collect::<Vec<_>>(), ["@a b", "~@c"]);
        assert_eq!(service.words("SystemCallFilter").collect::<Vec<_>>(), ["@a", "b", "~@c"]);
        assert_eq!((service.last("User"), service.is_set("RemoveIPC")), (None, false));
        let confining: Vec<&str> = service.confining().collect();
        assert_eq!(
            confining,
            ["SystemCallFilter", "SystemCallFilter", "RemoveIPC", "Group", "Group", "Group"]
        );
    }
}
