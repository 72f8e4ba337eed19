use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail};
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
    let mut names = BTreeSet::new();
    collect("@default", &mut names)?;
    for (at, line) in service.all("SystemCallFilter").enumerate() {
        let (taken, words) = line.strip_prefix('~').map_or((false, line), |rest| (true, rest));
        if at == 0 && taken {
            bail!("the tests know system-call filters that begin with what is allowed only");
        }
        let mut meant = BTreeSet::new();
        words.split_whitespace().try_for_each(|word| collect(word, &mut meant))?;
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

/// Adds a call, or all of a set.
fn collect(word: &str, names: &mut BTreeSet<String>) -> Result<()> {
    if !word.starts_with('@') {
        names.insert(word.to_owned());
        return Ok(());
    }
    let output = Command::new("systemd-analyze").args(["syscall-filter", word]).output();
    let output = output.context("cannot start systemd-analyze, which knows the sets of system calls")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let members =
        text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut members = members.peekable();
    if !output.status.success() || members.peek().is_none() {
        bail!("systemd-analyze knows no set of system calls {word}");
    }
    members.try_for_each(|member| collect(member, names))
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
