use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tempfile::TempDir;

/// Nothing that works takes this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const BINARY: &str = env!("CARGO_BIN_EXE_gateway");

/// Polls until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "in vain waited until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// Runs the binary to its end.
pub(crate) fn gateway(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().expect("the binary is built")
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Directories that outlive a process.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir(place.config("")).expect("made");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.path("config").join(name)
    }

    /// Beside, then renamed.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.config(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(self.path("beside"), text).expect("written");
        fs::rename(self.path("beside"), path).expect("renamed");
    }

    /// The command line that runs a gateway here, without `--admin`.
    pub(crate) fn command(&self) -> Command {
        let own = self.path("gateway");
        let mut command = if own.exists() { Command::new(own) } else { Command::new(BINARY) };
        command.arg("run").stdin(Stdio::null());
        for (flag, name) in [("--config-dir", "config"), ("--state-dir", "state"), ("--runtime-dir", "run")] {
            command.arg(flag).arg(self.path(name));
        }
        command.args(["--workers", "1", "--kernel", "off"]);
        command
    }

    /// A name for the binary that gateways here are started from, which may be given to something else. A link: a file
    /// that was written a moment ago may be busy, if another test starts a process meanwhile.
    pub(crate) fn own_binary(&self) {
        let beside = self.path("gateway.new");
        std::os::unix::fs::symlink(BINARY, &beside).expect("made");
        fs::rename(beside, self.path("gateway")).expect("renamed");
    }

    /// `gateway upgrade` here.
    pub(crate) fn upgrade(&self, arguments: &[&str]) -> Output {
        let runtime = self.path("run");
        let mut all = vec!["upgrade", "--runtime-dir", runtime.to_str().expect("plain")];
        all.extend(arguments);
        gateway(&all)
    }

    /// `gateway status` here.
    pub(crate) fn status(&self, arguments: &[&str]) -> Output {
        let runtime = self.path("run");
        let mut all = vec!["status", "--runtime-dir", runtime.to_str().expect("plain")];
        all.extend(arguments);
        gateway(&all)
    }

    /// What a status file says.
    pub(crate) fn status_file(&self, name: &str) -> Option<serde_json::Value> {
        let text = fs::read(self.path("run/status").join(name)).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    /// Processes that have taken over, the one that serves last.
    successors: Vec<Pid>,
    log: PathBuf,
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    /// Starts one and waits until it is ready.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, |_| {})
    }

    pub(crate) fn start_with(place: &Place, change: impl FnOnce(&mut Command)) -> Self {
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = place.path("log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut command = place.command();
        command.arg("--admin").arg(admin.to_string());
        command.stdout(file.try_clone().expect("a second handle")).stderr(file);
        change(&mut command);
        let child = command.spawn().expect("the binary is built");
        let mut gateway = Self { child, successors: Vec::new(), log, admin };
        until("the gateway is ready", || {
            if let Some(status) = gateway.child.try_wait().expect("our own child") {
                panic!("it ended with {status}");
            }
            get(gateway.admin, "/readyz").filter(|(status, _)| *status == 200)
        });
        gateway
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    /// The process that serves.
    pub(crate) fn pid(&self) -> Pid {
        self.successors.last().copied().unwrap_or_else(|| Pid::from_raw(self.child.id().cast_signed()))
    }

    /// From now on the process that its state file names serves. To be called while this one's children are its own.
    pub(crate) fn follow(&mut self, pid: u32) {
        self.successors.push(Pid::from_raw(pid.cast_signed()));
    }

    /// Whether the process that serves has ended in order; `None`: it runs.
    pub(crate) fn has_ended(&self) -> Option<bool> {
        match waitpid(self.pid(), Some(WaitPidFlag::WNOHANG)) {
            // It becomes a child of ours with the end of the process that has started it.
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => None,
            Ok(status) => Some(matches!(status, WaitStatus::Exited(_, 0))),
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        until("the gateway ends", || self.child.try_wait().expect("our own child"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(self.admin, path).expect("the admin page answers")
    }

    /// The value of the metric whose line starts so.
    pub(crate) fn metric(&self, prefix: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics");
        page.lines().find(|line| line.starts_with(prefix))?.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for successor in &self.successors {
            let _ = kill(*successor, Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway's log\n{}", self.log());
        }
    }
}

/// GET: status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
}

/// A class and a Gateway with one listener.
pub(crate) fn gateway_manifest(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: ours}}
spec: {{controllerName: gateway.internal/appliance}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: eg, namespace: default}}
spec:
  gatewayClassName: ours
  addresses: [{{type: IPAddress, value: 127.0.0.1}}]
  listeners:
  - {{name: http, protocol: HTTP, port: {port}}}
"
    )
}

/// A route for one path to one backend.
pub(crate) fn route_manifest(name: &str, path: &str, backend: u16) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: {name}, namespace: default}}
spec:
  endpoints: [{{ip: {{address: 127.0.0.1, port: {backend}}}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: default}}
spec:
  parentRefs: [{{name: eg}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}]
"
    )
}

/// Path of a file of the project.
pub(crate) fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}
