//! `cargo xtask doctor`: what this machine lacks, why it matters, and how to get it.

use std::path::Path;

use anyhow::Result;

use crate::{ebpf, go, setup, step};

/// Prints a line per fact; never fails: it is for reading.
pub fn run() -> Result<()> {
    let mut missing = 0;
    let mut fact = |ok: bool, what: &str, otherwise: &str| {
        if ok {
            println!("  ok       {what}");
        } else {
            missing += 1;
            println!("  MISSING  {what}: {otherwise}");
        }
    };
    println!("Programs");
    for program in setup::PROGRAMS {
        let otherwise = format!("{}; apt-get install {}", program.why, program.package);
        fact(step::on_path(program.name), program.name, &otherwise);
    }
    println!("BPF toolchain");
    let toolchain = ebpf::missing();
    fact(toolchain.is_empty(), "compiler and linker of the kernel half", "see below");
    for lack in &toolchain {
        println!("           - {lack}");
    }
    println!("Conformance suite");
    let lack = go::missing();
    fact(lack.is_none(), "Go", lack.as_deref().unwrap_or_default());
    println!("Rights and kernel");
    fact(
        step::is_root(),
        "root",
        "`run` and the wire tests make namespaces and load BPF; without it only the accept tier runs",
    );
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("  ok       kernel {}: {}", kernel.trim(), tier(kernel.trim()));
    fact(
        Path::new("/sys/kernel/btf/vmlinux").exists(),
        "kernel BTF",
        "sock_ops counting needs CONFIG_DEBUG_INFO_BTF",
    );
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    fact(
        mounts.contains(" - cgroup2 "),
        "cgroup2",
        "connections cannot be counted in the kernel: accept tier only; mount -t cgroup2 none /sys/fs/cgroup/unified",
    );
    fact(
        std::fs::read_to_string("/proc/filesystems").is_ok_and(|known| known.contains("\tbpf\n")),
        "BPF file system",
        "nothing can be pinned: accept tier only; the kernel needs CONFIG_BPF_SYSCALL",
    );
    fact(
        has_capabilities(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()),
        "capabilities",
        "CAP_BPF, CAP_NET_ADMIN or CAP_PERFMON is not ours, as in a container: accept tier only",
    );
    println!(
        "{}",
        if missing == 0 {
            "Nothing is missing."
        } else {
            "`cargo xtask setup` installs what can be installed."
        }
    );
    Ok(())
}

/// True if this process has what the kernel half needs: CAP_NET_ADMIN (12), CAP_PERFMON (38), CAP_BPF (39).
fn has_capabilities(status: &str) -> bool {
    const NEEDED: u64 = 1 << 12 | 1 << 38 | 1 << 39;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & NEEDED == NEEDED)
}

/// What a kernel version gives.
fn tier(release: &str) -> &'static str {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version {
        (6, 6..) | (7.., _) => "XDP, TC by TCX links, accept",
        (5, 15..) | (6, _) => "XDP, TC by clsact (its filter is not pinned), accept",
        _ => "accept only: the kernel half is tested from 5.15 on",
    }
}
