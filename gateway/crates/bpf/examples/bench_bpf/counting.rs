//! What counting costs a connection: the kernel's own figures of the program that sees sockets (`kernel.bpf_stats_enabled`),
//! over connections that come and go on the loopback interface.

use std::{
    error::Error,
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use aya::{
    Ebpf,
    programs::{CgroupAttachMode, SockOps},
    sys::{Stats, enable_stats},
};
use ebpf_common::{ListenerKey, Policy, names};
use nix::libc;

/// Rounds of which the best counts.
const ROUNDS: usize = 5;
/// Connections of a round.
const CONNECTIONS: u32 = 2_000;

/// Measures three listeners: nobody's, one that is counted, and one whose sources and networks are counted too. `listen`
/// makes a key's row.
pub fn print(
    ebpf: &mut Ebpf,
    listen: impl Fn(&mut Ebpf, ListenerKey, Policy) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let cgroup = Cgroup::enter()?;
    let program: &mut SockOps = ebpf.program_mut(names::SOCK_OPS).ok_or(names::SOCK_OPS)?.try_into()?;
    program.load()?;
    program.attach(fs::File::open(&cgroup.path)?, CgroupAttachMode::Single)?;
    let _told = enable_stats(Stats::RunTime)?;
    println!(
        "\n| connection, opened and closed, both ends on this host | calls of sock_ops | ns of sock_ops |"
    );
    println!("| --- | --- | --- |");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let own = listener.local_addr()?.port();
    let key = ListenerKey::new(netns()?, Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(), own);
    row(ebpf, "to a port of nobody's", &listener)?;
    listen(ebpf, key, Policy::NONE)?;
    row(ebpf, "counted for its listener", &listener)?;
    listen(ebpf, key, Policy::of(9).with_source_limit(1 << 20).with_prefix_limit(1 << 20, 24, 64))?;
    row(ebpf, "counted by source and network too", &listener)
}

fn row(ebpf: &Ebpf, what: &str, listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    let rounds = (0..ROUNDS).map(|_| round(ebpf, listener)).collect::<Result<Vec<_>, _>>()?;
    let (calls, time) = rounds.into_iter().min_by_key(|(_, time)| *time).unwrap_or_default();
    let (calls, time) = (calls as f64 / f64::from(CONNECTIONS), time.as_nanos() / u128::from(CONNECTIONS));
    println!("| {what} | {calls:.1} | {time} |");
    Ok(())
}

/// Calls of the program, and the time that they took.
fn round(ebpf: &Ebpf, listener: &TcpListener) -> Result<(u64, Duration), Box<dyn Error>> {
    let program: &SockOps = ebpf.program(names::SOCK_OPS).ok_or(names::SOCK_OPS)?.try_into()?;
    let figures = || program.info().map(|info| (info.run_count(), info.run_time()));
    let (calls, time) = figures()?;
    for _ in 0..CONNECTIONS {
        let client = TcpStream::connect(listener.local_addr()?)?;
        drop(listener.accept()?);
        drop(client);
    }
    let (later, more) = figures()?;
    Ok((later - calls, more - time))
}

/// A control group of our own, so that nobody else's connections are measured.
struct Cgroup {
    root: PathBuf,
    path: PathBuf,
}

impl Cgroup {
    fn enter() -> Result<Self, Box<dyn Error>> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).ok_or("no cgroup2 is mounted")?;
        let root = Path::new(line.split(' ').nth(4).ok_or("a mount has a place")?).to_owned();
        let path = root.join(format!("gateway-bench-{}", process::id()));
        fs::create_dir(&path)?;
        let own = Self { root, path };
        fs::write(own.path.join("cgroup.procs"), "0")?;
        Ok(own)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.root.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&self.path);
    }
}

/// The cookie of this network namespace.
fn netns() -> Result<u64, Box<dyn Error>> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut cookie = 0u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which `cookie` has.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 { Ok(cookie) } else { Err(io::Error::last_os_error().into()) }
}
