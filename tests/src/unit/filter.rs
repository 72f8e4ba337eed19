use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::{errno::Errno, libc};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use syscalls::Sysno;

use super::service::Service;

/// Rules by system call; an empty list stands for every call of it.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters that a unit asks for, one per setting as systemd makes them. A call must pass all.
pub(super) fn of(service: &Service) -> Result<Vec<BpfProgram>> {
    let mut filters = Vec::new();
    let families: Vec<&str> = service.words("RestrictAddressFamilies").collect();
    if !families.is_empty() {
        let rule = SeccompRule::new(families.into_iter().map(no_family).collect::<Result<_>>()?)?;
        let refused = SeccompAction::Errno(Errno::EAFNOSUPPORT as u32);
        filters.push(compile([(libc::SYS_socket, vec![rule])].into(), SeccompAction::Allow, refused)?);
    }
    let refused = || SeccompAction::Errno(Errno::EPERM as u32);
    if service.is_set("RestrictNamespaces") {
        filters.push(compile(namespaces()?, SeccompAction::Allow, refused())?);
        // Its flags are in memory, where no filter looks: the C library is to take the older call.
        let refused = SeccompAction::Errno(Errno::ENOSYS as u32);
        filters.push(compile([(libc::SYS_clone3, Vec::new())].into(), SeccompAction::Allow, refused)?);
    }
    if service.is_set("LockPersonality") {
        filters.push(compile([(libc::SYS_personality, Vec::new())].into(), SeccompAction::Allow, refused())?);
    }
    // The last: it lets nobody install another.
    if service.last("SystemCallFilter").is_some() {
        let rules = allowed(service)?.into_iter().map(|number| (number, Vec::new())).collect();
        filters.push(compile(rules, SeccompAction::Errno(refused_as(service)?), SeccompAction::Allow)?);
    }
    Ok(filters)
}

/// From now on, for good. Another architecture's calls end the process (`SystemCallArchitectures=native`).
pub(super) fn install(filters: &[BpfProgram]) -> Result<()> {
    for filter in filters {
        apply_filter(filter).map_err(|error| anyhow!("cannot install a system-call filter: {error:?}"))?;
    }
    Ok(())
}

fn compile(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> Result<BpfProgram> {
    let filter = SeccompFilter::new(rules, otherwise, matching, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

/// `SystemCallErrorNumber=`.
fn refused_as(service: &Service) -> Result<u32> {
    match service.last("SystemCallErrorNumber") {
        Some("EPERM") => Ok(Errno::EPERM as u32),
        other => {
            bail!("the tests do not know the unit's SystemCallErrorNumber={}", other.unwrap_or_default())
        }
    }
}

/// Numbers of the calls that `SystemCallFilter=` lets pass: the first setting makes it a list of what is allowed, to
/// which others add and, with `~`, from which they take (systemd.exec(5)).
fn allowed(service: &Service) -> Result<BTreeSet<i64>> {
    let sets = Sets::known()?;
    let mut names = BTreeSet::new();
    sets.collect("@default", &mut names)?;
    for (at, line) in service.all("SystemCallFilter").enumerate() {
        let (taken, words) = line.strip_prefix('~').map_or((false, line), |rest| (true, rest));
        if at == 0 && taken {
            bail!("the tests know system-call filters that begin with what is allowed only");
        }
        let mut meant = BTreeSet::new();
        words.split_whitespace().try_for_each(|word| sets.collect(word, &mut meant))?;
        if taken {
            names = &names - &meant;
        } else {
            names.append(&mut meant);
        }
    }
    // Other architectures' calls are in the sets too.
    let numbers = names.iter().filter_map(|name| name.parse::<Sysno>().ok());
    Ok(numbers.map(|number| i64::from(number.id())).collect())
}

/// The sets of system calls that this machine's systemd knows, by name.
struct Sets(BTreeMap<String, Vec<String>>);

impl Sets {
    fn known() -> Result<Self> {
        let output = Command::new("systemd-analyze").arg("syscall-filter").output();
        let output = output.context("cannot start systemd-analyze, which knows the sets of system calls")?;
        ensure!(output.status.success(), "systemd-analyze does not tell the sets of system calls");
        Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// A set begins with its name; below it, indented, a comment and the members.
    fn parse(text: &str) -> Self {
        let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with('@') {
                current = Some(line.trim().to_owned());
            } else if let (Some(set), true) = (&current, line.starts_with(' ')) {
                let member = Some(line.trim()).filter(|member| !member.starts_with('#'));
                sets.entry(set.clone()).or_default().extend(member.map(str::to_owned));
            }
        }
        Self(sets)
    }

    /// Adds a call, or all of a set.
    fn collect(&self, word: &str, names: &mut BTreeSet<String>) -> Result<()> {
        if !word.starts_with('@') {
            names.insert(word.to_owned());
            return Ok(());
        }
        let members = self.0.get(word);
        let members =
            members.with_context(|| format!("systemd-analyze knows no set of system calls {word}"))?;
        members.iter().try_for_each(|member| self.collect(member, names))
    }
}

/// True for a socket of any family but one.
fn no_family(name: &str) -> Result<SeccompCondition> {
    let family = match name {
        "AF_UNIX" => libc::AF_UNIX,
        "AF_INET" => libc::AF_INET,
        "AF_INET6" => libc::AF_INET6,
        "AF_NETLINK" => libc::AF_NETLINK,
        other => bail!("the tests do not know the address family {other}"),
    };
    let family = u64::try_from(family)?;
    Ok(SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)?)
}

/// Calls that make or enter a namespace.
fn namespaces() -> Result<Rules> {
    let flags = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];
    let rule = |flag: libc::c_int| {
        let flag = u64::try_from(flag)?;
        let has = SeccompCmpOp::MaskedEq(flag);
        Ok(SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, has, flag)?])?)
    };
    let rules: Vec<SeccompRule> = flags.into_iter().map(rule).collect::<Result<_>>()?;
    Ok([
        (libc::SYS_clone, rules.clone()),
        (libc::SYS_unshare, rules),
        // Also by a number of 0, any kind.
        (libc::SYS_setns, Vec::new()),
    ]
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_sets() {
        let sets =
            Sets::parse("# comment\n@a\n    # Comment\n    @b\n    read\n\n@b\n    # Other\n    write\n");
        let mut names = BTreeSet::new();
        sets.collect("@a", &mut names).expect("it is known");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["read", "write"]);
        assert!(sets.collect("@c", &mut BTreeSet::new()).is_err());
    }
}
