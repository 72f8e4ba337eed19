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
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{netns::Netns, supervisor::Supervisor, wait};

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

    /// A path beside them.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// From now on the gateway is started by these words, which a `--` follows.
    pub fn launch_by(&mut self, launcher: Vec<OsString>) {
        self.launcher = launcher;
    }

    /// The words that start the gateway, before its arguments: as root, or as a launcher (`GATEWAY_LAUNCHER`) does.
    fn words(&self) -> Vec<OsString> {
        if self.launcher.is_empty() {
            return vec![binary().into()];
        }
        let own = ["state", "runtime"].map(|name| self.directory.path().join(name));
        let mut words = self.launcher.clone();
        words.extend(own.into_iter().flat_map(|own| ["--own".into(), own.into_os_string()]));
        words.extend(["--".into(), binary().into()]);
        words
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

/// A running gateway; killed when dropped, with all processes that it has been.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Processes that have taken over, the one that serves last.
    successors: Vec<Pid>,
    log: PathBuf,
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
        let words = place.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        Self::spawn_by(netns, place, flags, command, |mut command| command.spawn())
    }

    /// Starts it as a service and waits until it is ready. Its watchdog wants to be fed within so many microseconds.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start_under(
        supervisor: &Supervisor,
        netns: &Netns,
        place: &Place,
        flags: &[&str],
        watchdog: u64,
    ) -> Self {
        // A shell knows the number that it will have, which is its own.
        let mut shell = Command::new("sh");
        shell.args(["-c", "LISTEN_PID=$$ WATCHDOG_PID=$$ exec \"$0\" \"$@\""]).args(place.words());
        let ready = supervisor.ready();
        let gateway = Self::spawn_by(netns, place, flags, shell, |mut command| {
            let passed = supervisor.prepare(&mut command, watchdog);
            let child = command.spawn()?;
            supervisor.started(child.id().cast_signed());
            drop(passed);
            Ok(child)
        });
        wait::until(&format!("the service is ready; its log: {}", gateway.log.display()), || {
            (supervisor.ready() > ready).then_some(())
        });
        gateway
    }

    fn spawn_by(
        netns: &Netns,
        place: &Place,
        flags: &[&str],
        mut command: Command,
        spawn: impl FnOnce(Command) -> std::io::Result<Child> + Send,
    ) -> Self {
        let log = place.directory.path().join("log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log of our own");
        command
            .arg("run")
            .args(["--config-dir".as_ref(), place.config("").as_os_str()])
            .args(["--state-dir".as_ref(), place.directory.path().join("state").as_os_str()])
            .args(["--runtime-dir".as_ref(), place.runtime("").as_os_str()])
            .args(["--admin", ADMIN])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file);
        let child = netns.run(|| spawn(command).expect("the gateway can be started: was it built?"));
        Self { child, successors: Vec::new(), log }
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

    /// The process that serves.
    pub fn pid(&self) -> Pid {
        self.successors.last().copied().unwrap_or_else(|| self.first())
    }

    fn first(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// `gateway upgrade`: from now on the successor serves.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn upgrade(&mut self, place: &Place) {
        // Processes that lose their parents are ours to wait for then.
        set_child_subreaper(true).expect("Linux has it");
        let (text, errors) = ask_for_upgrade(place);
        let pid = text.split_once("(process ").and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
        self.successors.push(Pid::from_raw(pid.unwrap_or_else(|| panic!("{text}{errors}"))));
    }

    /// `gateway upgrade` where there will be no successor: why not.
    ///
    /// # Panics
    ///
    /// If there is one.
    pub fn fail_to_upgrade(&self, place: &Place) -> String {
        let (text, errors) = ask_for_upgrade(place);
        assert_eq!(text, "", "there is a successor");
        errors
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
        let pid = self.pid();
        wait::until("the gateway ends", || self.ended(pid))
    }

    /// Waits until the processes that have handed over have ended; true if each was orderly.
    pub fn wait_for_predecessors(&mut self) -> bool {
        let serving = self.successors.pop();
        let before: Vec<Pid> = std::mem::take(&mut self.successors);
        self.successors.extend(serving);
        let all = std::iter::once(self.first()).chain(before).filter(|pid| Some(*pid) != serving);
        let ends: Vec<bool> = all.map(|pid| wait::until("a predecessor ends", || self.ended(pid))).collect();
        ends.into_iter().all(|orderly| orderly)
    }

    /// kill -9, and waits. Nothing is left of its predecessors then, as after a service manager's clean-up.
    pub fn kill(&mut self) {
        let first = self.first();
        for pid in self.successors.iter().rev() {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in std::mem::take(&mut self.successors).into_iter().filter(|pid| *pid != first) {
            wait::until("it is dead", || self.ended(pid));
        }
    }

    /// How a process of ours has ended; `None`: it has not, or its parent has not, so that it is no child of ours yet.
    fn ended(&mut self, pid: Pid) -> Option<bool> {
        if pid == self.first() {
            return self.child.try_wait().expect("our own child").map(|status| status.success());
        }
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => None,
            Ok(status) => Some(matches!(status, WaitStatus::Exited(_, 0))),
            // Of one that was waited for nothing is left.
            Err(Errno::ECHILD) => (kill(pid, None) == Err(Errno::ESRCH)).then_some(false),
            Err(error) => panic!("{error}"),
        }
    }

    /// The value of a metric line that starts with `prefix` (name and, if any, labels).
    pub fn metric(&self, netns: &Netns, prefix: &str) -> Option<f64> {
        let page = netns.run(|| admin("/metrics"))?;
        let line = page.lines().find(|line| line.starts_with(prefix))?;
        line.rsplit(' ').next()?.parse().ok()
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

/// What it prints, and its errors.
fn ask_for_upgrade(place: &Place) -> (String, String) {
    let mut command = Command::new(binary());
    let output = command.arg("upgrade").arg("--runtime-dir").arg(place.runtime("")).output();
    let output = output.expect("the gateway can be started: was it built?");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The built gateway: `GATEWAY_BIN`, else the one of this checkout.
pub fn binary() -> PathBuf {
    std::env::var_os("GATEWAY_BIN").map_or_else(built, PathBuf::from)
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
