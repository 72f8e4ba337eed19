//! What a service manager does for a service, as far as the gateway relies on it: systemd(1), sd_notify(3),
//! sd_listen_fds(3). It believes the main process only (`NotifyAccess=main`), keeps descriptors for the next process,
//! and kills what is left of the service when its main process has ended (`KillMode=mixed`).

use std::{
    fs::{self, Permissions},
    io::IoSliceMut,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{fs::PermissionsExt, net::UnixDatagram, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use nix::{
    cmsg_space,
    fcntl::{FcntlArg, fcntl},
    sys::{
        socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt::PassCred},
        stat::fstat,
    },
    unistd::dup2_raw,
};

/// A notify socket, and what was said there.
#[derive(Debug)]
pub struct Supervisor {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

/// What the main process has said.
#[derive(Debug, Default)]
struct State {
    main: i32,
    ready: usize,
    fed: usize,
    /// Messages of others than the main process.
    unheard: Vec<String>,
    stored: Vec<(String, OwnedFd)>,
}

/// The first descriptor that a service is passed.
const FIRST: RawFd = 3;

/// Where copies wait until they are passed: above all that a test has open.
const ABOVE: RawFd = 700;

impl Supervisor {
    /// Listens at `directory/notify`.
    ///
    /// # Panics
    ///
    /// If it cannot.
    pub fn new(directory: &Path) -> Self {
        let path = directory.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a directory of our own");
        // Services have users of their own.
        fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("a socket of our own");
        setsockopt(&socket, PassCred, &true).expect("a socket of our own");
        let state = Arc::<Mutex<State>>::default();
        let heard = Arc::clone(&state);
        thread::spawn(move || while hear(&socket, &heard).is_some() {});
        Self { path, state }
    }

    /// Has a command started as a service's main process: with the notify socket, a watchdog of so many microseconds,
    /// and what was stored. What is returned must live until it is started; then [`Supervisor::started`] is due.
    ///
    /// # Panics
    ///
    /// If descriptors run out.
    pub fn prepare(&self, command: &mut Command, watchdog: u64) -> Vec<OwnedFd> {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", watchdog.to_string());
        let state = self.lock();
        let copy = |(_, stored): &(String, OwnedFd)| {
            let copy = fcntl(stored, FcntlArg::F_DUPFD_CLOEXEC(ABOVE)).expect("there are enough");
            // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
            unsafe { OwnedFd::from_raw_fd(copy) }
        };
        let copies: Vec<OwnedFd> = state.stored.iter().map(copy).collect();
        let names: Vec<&str> = state.stored.iter().map(|(name, _)| name.as_str()).collect();
        command.env("LISTEN_FDS", copies.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        let raw: Vec<RawFd> = copies.iter().map(AsRawFd::as_raw_fd).collect();
        let pass = move || {
            for (place, copy) in (FIRST..).zip(&raw) {
                // SAFETY: between fork and exec nothing else uses descriptors; what had these numbers is close-on-exec.
                std::mem::forget(unsafe { dup2_raw(copy_of(*copy), place) }?);
            }
            Ok(())
        };
        // SAFETY: it only duplicates descriptors, which is safe after a fork.
        unsafe { command.pre_exec(pass) };
        copies
    }

    /// It runs: from now on this process is believed.
    pub fn started(&self, pid: i32) {
        self.lock().main = pid;
    }

    /// The main process, as far as it has been told.
    pub fn main(&self) -> i32 {
        self.lock().main
    }

    /// How often a main process was ready.
    pub fn ready(&self) -> usize {
        self.lock().ready
    }

    /// How often the watchdog was fed.
    pub fn fed(&self) -> usize {
        self.lock().fed
    }

    /// Messages of others than the main process.
    pub fn unheard(&self) -> Vec<String> {
        self.lock().unheard.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

/// A borrowed descriptor that lives.
fn copy_of(raw: RawFd) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: whoever starts the command keeps it open until then.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(raw) }
}

/// One message. `None`: there will be none any more.
fn hear(socket: &UnixDatagram, state: &Mutex<State>) -> Option<()> {
    let mut buffer = [0; 4096];
    let mut space = cmsg_space!([RawFd; 253], UnixCredentials);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let received =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC);
    let received = received.ok()?;
    let (mut descriptors, mut sender) = (Vec::new(), 0);
    for message in received.cmsgs().ok()? {
        match message {
            ControlMessageOwned::ScmRights(rights) => {
                // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
                descriptors.extend(rights.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
            }
            ControlMessageOwned::ScmCredentials(who) => sender = who.pid(),
            _ => {}
        }
    }
    let length = received.bytes;
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    if text == "BARRIER=1" {
        // Whoever has sent it waits for this pipe to be closed.
        drop(descriptors);
        return Some(());
    }
    let mut state = state.lock().ok()?;
    if sender != state.main {
        state.unheard.push(text);
        return Some(());
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    state.ready += usize::from(field("READY").is_some());
    state.fed += usize::from(field("WATCHDOG").is_some());
    if let Some(main) = field("MAINPID").and_then(|main| main.parse().ok()) {
        state.main = main;
    }
    let name = field("FDNAME").unwrap_or("stored").to_owned();
    if field("FDSTOREREMOVE").is_some() {
        state.stored.retain(|(stored, _)| *stored != name);
    } else if field("FDSTORE").is_some() {
        for descriptor in descriptors {
            let is_new = state.stored.iter().all(|(_, stored)| inode(stored) != inode(&descriptor));
            if is_new {
                state.stored.push((name.clone(), descriptor));
            }
        }
    }
    Some(())
}

/// Tells one socket from another.
fn inode(descriptor: &OwnedFd) -> u64 {
    fstat(descriptor).map_or(0, |status| status.st_ino)
}
