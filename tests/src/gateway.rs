//! The gateway as a process of its own, on a configuration directory that the test writes to.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{netns::Netns, wait};

/// Directories that outlive a process, so that a test can kill it and start another on them.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    launcher: Vec<OsString>,
    bpf_mounted: bool,
}

impl Place {
    /// Empty directories, with a BPF file system for pins.
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        for name in ["config", "state", "runtime/bpf"] {
            fs::create_dir_all(directory.path().join(name)).expect("a directory of our own");
        }
        // Its own user need not be ours.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("a directory of our own");
        let bpf = directory.path().join("runtime/bpf");
        let bpf_mounted = mount(Some("bpf"), &bpf, Some("bpf"), MsFlags::empty(), None::<&str>).is_ok();
        let launcher = std::env::var_os("GATEWAY_LAUNCHER").into_iter().collect();
        Self { directory, launcher, bpf_mounted }
    }

    /// A path below the configuration directory.
    pub fn config(&self, name: &str) -> PathBuf {
        self.directory.path().join("config").join(name)
    }

    /// A path below the runtime directory.
    pub fn runtime(&self, name: &str) -> PathBuf {
        self.directory.path().join("runtime").join(name)
    }

    /// From now on the gateway is started by these words, which a `--` follows.
    pub fn launch_by(&mut self, launcher: Vec<OsString>) {
        self.launcher = launcher;
    }

    /// The gateway's binary, before its arguments: as root, or as a launcher (`GATEWAY_LAUNCHER`) starts it.
    pub fn command(&self) -> Command {
        let binary = std::env::var_os("GATEWAY_BIN").map_or_else(built, PathBuf::from);
        let [program, words @ ..] = &*self.launcher else { return Command::new(binary) };
        let mut command = Command::new(program);
        command.args(words);
        for own in ["state", "runtime"] {
            command.arg("--own").arg(self.directory.path().join(own));
        }
        command.arg("--").arg(binary);
        command
    }

    /// Writes a manifest as an editor does: beside, then renamed.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.config(name);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory of our own");
        let beside = self.directory.path().join("beside");
        fs::write(&beside, text).expect("a file of our own");
        fs::rename(&beside, &path).expect("a file of our own");
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.bpf_mounted {
            let _ = umount2(&self.directory.path().join("runtime/bpf"), MntFlags::MNT_DETACH);
        }
    }
}

/// A running gateway; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    log: PathBuf,
    admin_in: Option<String>,
}

/// The admin page's port in every test: each has a namespace of its own.
pub const ADMIN: &str = "127.0.0.1:19000";

impl Gateway {
    /// Starts it inside a namespace and waits until its first snapshot is published.
    pub fn start(netns: &Netns, place: &Place, flags: &[&str]) -> Self {
        let gateway = Self::spawn(netns, place, flags);
        gateway.wait_ready(netns);
        gateway
    }

    /// Starts it and does not wait.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn spawn(netns: &Netns, place: &Place, flags: &[&str]) -> Self {
        let log = place.directory.path().join("log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log of our own");
        let child = netns.run(|| {
            place
                .command()
                .arg("run")
                .args(["--config-dir".as_ref(), place.config("").as_os_str()])
                .args(["--state-dir".as_ref(), place.directory.path().join("state").as_os_str()])
                .args(["--runtime-dir".as_ref(), place.runtime("").as_os_str()])
                .args(["--admin", ADMIN])
                .args(flags)
                .stdin(Stdio::null())
                .stdout(file.try_clone().expect("a second handle"))
                .stderr(file)
                .spawn()
                .expect("the gateway can be started: was it built?")
        });
        Self { child, log, admin_in: Some(netns.name().to_owned()) }
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    ///
    /// If it ends instead.
    pub fn wait_ready(&self, netns: &Netns) {
        assert!(self.becomes_ready(netns), "it ended instead of serving");
    }

    /// Waits until `/readyz` answers 200. False: it ended instead.
    pub fn becomes_ready(&self, netns: &Netns) -> bool {
        netns.run(|| {
            wait::until(&format!("the gateway is ready; its log: {}", self.log.display()), || {
                // It stays to be waited for.
                let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
                let state = waitid(Id::Pid(self.pid()), flags).expect("our own child");
                let is_ready = || admin("/readyz").is_some_and(|reply| reply.starts_with("HTTP/1.1 200"));
                (state != WaitStatus::StillAlive).then_some(false).or_else(|| is_ready().then_some(true))
            })
        })
    }

    /// What it has logged so far, access log included.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the gateway runs");
    }

    /// Waits for its end; true if it was orderly.
    pub fn wait(&mut self) -> bool {
        wait::until("the gateway ends", || self.child.try_wait().expect("our own child")).success()
    }

    /// kill -9, and waits.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The value of a metric line that starts with `prefix` (name and, if any, labels).
    pub fn metric(&self, netns: &Netns, prefix: &str) -> Option<f64> {
        let page = netns.run(|| admin("/metrics"))?;
        let line = page.lines().find(|line| line.starts_with(prefix))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// The namespace that its admin page is in.
    pub fn namespace(&self) -> &str {
        self.admin_in.as_deref().unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(6000);
            let tail = (tail..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("--- the gateway's log, its end\n{}", &log[tail..]);
        }
    }
}

fn built() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/gateway")
}

/// GET on the admin page, from a thread inside the gateway's namespace: head and body, or `None`.
pub fn admin(path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(ADMIN).ok()?;
    stream.set_read_timeout(Some(wait::DEADLINE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}
