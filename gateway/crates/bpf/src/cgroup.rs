use std::{fs, path::PathBuf};

use crate::Error;

/// Where the root of the cgroup2 tree is mounted. A service's own cgroup would end with the service, and every
/// link with it.
pub(crate) fn root() -> Result<PathBuf, Error> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    find(&mounts).ok_or(Error::NoCgroup)
}

/// Source: proc_pid_mountinfo(5). The field before the mount point is the part of the tree that is mounted.
fn find(mountinfo: &str) -> Option<PathBuf> {
    let mounted = mountinfo.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        (root == "/" && file_system.starts_with("cgroup2 ")).then(|| unescape(at))
    });
    mounted.map(PathBuf::from).next()
}

/// Blanks and backslashes are written in octal.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_the_unified_tree_is_found() {
        let hybrid = "23 1 0:21 / /proc rw - proc proc rw\n\
            30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            31 30 0:27 /user /sys/fs/cgroup/part rw - cgroup2 cgroup2 rw\n\
            32 30 0:27 / /sys/fs/cgroup/uni\\040fied rw,nosuid shared:5 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(find(hybrid), Some("/sys/fs/cgroup/uni fied".into()));
        assert_eq!(find("30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"), None);
    }
}
