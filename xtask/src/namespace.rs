//! A network namespace and a veth pair of our own, removed when dropped.

use anyhow::{Result, bail};

use crate::step;

/// The namespace's own end of the pair; the example's Appliance names it.
pub const INSIDE: &str = "gw0";
/// The address of the namespace: of a network that is set aside for tests (RFC 2544), since the documentation
/// networks are in use on some machines.
pub const ADDRESS: &str = "198.18.77.2";
/// As [`ADDRESS`], for IPv6 (RFC 5180).
pub const ADDRESS6: &str = "2001:2:0:77::2";
/// What the pair takes; nothing else on the machine may have it.
const NETWORKS: [&str; 2] = ["198.18.77.0/30", "2001:2:0:77::/64"];

/// The namespace's name, for `ip netns exec`.
pub const NAME: &str = "gateway-run";
/// Our end of the pair.
const OUTSIDE: &str = "gwrun0";

/// A namespace that is reached from this one by a veth pair.
pub struct Namespace(());

impl Namespace {
    /// Makes it, in the place of what a run that was killed has left. Needs root.
    pub fn new() -> Result<Self> {
        if let Some(pids) = step::output(step::command("ip").args(["netns", "pids", NAME])) {
            let pids: Vec<&str> = pids.split_whitespace().collect();
            if !pids.is_empty() {
                bail!(
                    "another run is alive in the namespace {NAME} (process {}): end it first",
                    pids.join(", ")
                );
            }
            delete();
        }
        for network in NETWORKS {
            let taken =
                step::output(step::command("ip").args(["-oneline", "address", "show", "to", network]));
            if let Some(taken) = taken.filter(|taken| !taken.trim().is_empty()) {
                bail!("the example's network {network} is in use on this machine: {}", taken.trim());
            }
        }
        let namespace = Self(());
        let (name, outside) = (NAME, OUTSIDE);
        let remedy = "is this root, and does the kernel have network namespaces and veth?";
        for words in [
            format!("ip netns add {name}"),
            format!("ip link add {outside} type veth peer name {INSIDE} netns {name}"),
            format!("ip address add 198.18.77.1/30 dev {outside}"),
            format!("ip address add 2001:2:0:77::1/64 dev {outside} nodad"),
            format!("ip link set {outside} up"),
            // Without receive offload a veth end has no NAPI context and drops what XDP sends back.
            format!("ethtool -K {outside} gro on"),
            format!("ip -n {name} address add {ADDRESS}/30 dev {INSIDE}"),
            format!("ip -n {name} address add {ADDRESS6}/64 dev {INSIDE} nodad"),
            format!("ip -n {name} link set lo up"),
            format!("ip -n {name} link set {INSIDE} up"),
        ] {
            let mut words = words.split(' ');
            let mut command = step::command(words.next().unwrap_or_default());
            step::run(command.args(words), "give the example a network of its own", remedy)?;
        }
        Ok(namespace)
    }

    /// The words that start a command inside. (`ip netns exec` would remount /sys and hide the cgroups.)
    pub fn enter(&self, program: &std::path::Path) -> std::process::Command {
        let mut command = step::command("nsenter");
        command.arg(format!("--net=/run/netns/{NAME}")).arg("--").arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete();
    }
}

/// Deletes the namespace, and the pair with it.
fn delete() {
    let _ = step::output(step::command("ip").args(["link", "delete", OUTSIDE]));
    if step::output(step::command("ip").args(["netns", "delete", NAME])).is_none() {
        eprintln!("could not clean up: ip netns delete {NAME}");
    }
}
