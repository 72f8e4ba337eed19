//! Network namespaces and veth pairs, by the `ip` command; entered by `setns` on a thread of their own.
//! (`ip netns exec` would remount /sys and hide the cgroups.)

use std::{
    fs::File,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use nix::sched::{CloneFlags, setns};

use crate::wait;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A namespace, deleted when dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// A new one, with its loopback up.
    pub fn new(role: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gwt-{}-{number}-{role}", std::process::id());
        ip(&format!("netns add {name}"));
        let netns = Self { name };
        netns.ip("link set lo up");
        netns
    }

    /// Its name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip WORDS` inside.
    pub fn ip(&self, words: &str) {
        ip(&format!("-n {} {words}", self.name));
    }

    /// Waits until an interface sends: after its carrier has come the kernel may take a second, and drops what is
    /// sent before.
    fn wait_up(&self, interface: &str) {
        wait::until(&format!("{interface} is up"), || {
            let mut show = Command::new("ip");
            let output =
                show.args(["-n", &self.name, "link", "show", interface]).output().expect("ip can be started");
            String::from_utf8_lossy(&output.stdout).contains("state UP").then_some(())
        });
    }

    /// Runs a closure on a new thread that is inside. Sockets and child processes that it makes belong there.
    ///
    /// # Panics
    ///
    /// With the closure's panic.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter();
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside, for good.
    ///
    /// # Panics
    ///
    /// Without the right to.
    pub fn enter(&self) {
        enter(&self.name);
    }
}

/// Moves the calling thread into the namespace of that name, for good.
///
/// # Panics
///
/// Without the right to.
pub fn enter(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).expect("the namespace exists");
    setns(file, CloneFlags::CLONE_NEWNET).expect("setns needs root");
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Two namespaces joined by a veth pair: clients on one side, the gateway on the other.
#[derive(Debug)]
pub struct Wire {
    /// Holds `cl0` with 198.51.100.1 (and .10 to .19) and 2001:db8:1::1.
    pub client: Netns,
    /// Holds `gw0` with 198.51.100.100 and 2001:db8:1::100.
    pub gateway: Netns,
}

/// The gateway's addresses on a [`Wire`].
pub const GATEWAY: &str = "198.51.100.100";
/// As [`GATEWAY`], for IPv6.
pub const GATEWAY6: &str = "2001:db8:1::100";

impl Wire {
    /// Makes both.
    pub fn new() -> Self {
        let wire = Self { client: Netns::new("cl"), gateway: Netns::new("gw") };
        wire.join();
        wire
    }

    /// Deletes the pair; the namespaces stay.
    pub fn cut(&self) {
        self.gateway.ip("link delete gw0");
    }

    /// Makes a pair like the one that was cut.
    pub fn join(&self) {
        let Self { client, gateway } = self;
        client.ip(&format!("link add cl0 type veth peer name gw0 netns {}", gateway.name));
        client.ip("address add 198.51.100.1/24 dev cl0");
        for last in 10..20 {
            client.ip(&format!("address add 198.51.100.{last}/24 dev cl0"));
        }
        client.ip("address add 2001:db8:1::1/64 dev cl0 nodad");
        client.ip("link set cl0 up");
        // XDP answers over veth arrive only where the receiving end has a NAPI context.
        client.run(|| run(Command::new("ethtool").args(["-K", "cl0", "gro", "on"])));
        gateway.ip(&format!("address add {GATEWAY}/24 dev gw0"));
        gateway.ip(&format!("address add {GATEWAY6}/64 dev gw0 nodad"));
        gateway.ip("link set gw0 up");
        client.wait_up("cl0");
        gateway.wait_up("gw0");
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::new()
    }
}

fn ip(words: &str) {
    run(Command::new("ip").args(words.split(' ')));
}

fn run(command: &mut Command) {
    let output = command.output().expect("the command can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
