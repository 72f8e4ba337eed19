use std::{
    fs,
    os::unix::fs::{MetadataExt, lchown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use nix::unistd::{self, Gid, Uid, setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities, set_no_new_privs,
};

use super::service::Service;

/// The traditional user who owns nothing.
const NOBODY: u32 = 65534;

/// The unit's user, or one without rights in its place where it does not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    uid: Uid,
    gid: Gid,
}

impl User {
    /// `User=` and `Group=`.
    pub(super) fn of(service: &Service) -> Result<Self> {
        let user = service.last("User").context("the unit has no User")?;
        let group = service.last("Group").unwrap_or(user);
        let uid = unistd::User::from_name(user)?.map_or(Uid::from_raw(NOBODY), |user| user.uid);
        let gid = unistd::Group::from_name(group)?.map_or(Gid::from_raw(NOBODY), |group| group.gid);
        ensure!(!uid.is_root(), "the unit's user is root");
        Ok(Self { uid, gid })
    }

    /// Gives the user directories with all that is in them, as `StateDirectory=` does.
    pub(super) fn own(&self, directories: &[PathBuf]) -> Result<()> {
        for directory in directories {
            fs::create_dir_all(directory)
                .and_then(|()| self.own_tree(directory))
                .with_context(|| format!("cannot give {} to the unit's user", directory.display()))?;
        }
        Ok(())
    }

    fn own_tree(&self, path: &Path) -> std::io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if metadata.uid() != self.uid.as_raw() {
            lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))?;
        }
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                self.own_tree(&entry?.path())?;
            }
        }
        Ok(())
    }
}

/// Becomes the user, with the unit's capabilities and no way to others.
pub(super) fn assume(service: &Service, user: &User) -> Result<()> {
    let bounding = set(service, "CapabilityBoundingSet")?;
    let ambient = set(service, "AmbientCapabilities")?;
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if !bounding.contains(capability) && remove_capability_from_bounding_set(capability).is_err() {
            // Above the last that this kernel knows.
            break;
        }
    }
    set_keep_capabilities(true)?;
    setgroups(&[])?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid).context("cannot become the unit's user")?;
    let sets = CapabilitySets { effective: ambient, permitted: ambient, inheritable: ambient };
    set_capabilities(None, sets)
        .context("cannot take on the unit's capabilities: is this root with all of them?")?;
    for capability in ambient.iter() {
        configure_capability_in_ambient_set(capability, true).context("cannot make a capability ambient")?;
    }
    if service.is_set("NoNewPrivileges") {
        set_no_new_privs(true)?;
    }
    Ok(())
}

/// Capabilities by name.
fn set(service: &Service, key: &str) -> Result<CapabilitySet> {
    let capability = |word: &str| {
        let known = word.strip_prefix("CAP_").and_then(CapabilitySet::from_name);
        known.with_context(|| format!("{key}: the tests know no capability {word}"))
    };
    service.words(key).map(capability).collect()
}
