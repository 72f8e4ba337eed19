use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    libc,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, getsockopt, listen,
        socket, sockopt::PeerCredentials,
    },
    unistd::geteuid,
};
use serde::{Deserialize, Serialize};

use super::channel::Channel;

const NAME: &str = "control";

/// Who is connected has to say at once what he wants: nothing else is done meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is asked of a running gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// To hand over to a successor.
    Upgrade {
        /// How long that may take until it is ready, in milliseconds.
        patience: u64,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// A successor serves.
    Upgraded {
        /// Its process.
        pid: u32,
        /// Of its program.
        version: String,
        /// The process that it has taken over from.
        predecessor: u32,
    },
    /// Nothing has changed.
    Failed {
        /// Why.
        why: String,
    },
}

/// Where a running gateway is asked: a socket in the runtime directory, for its own user and for root. It goes on to a
/// successor; who asks meanwhile waits and is answered by that one.
#[derive(Debug)]
pub(crate) struct Control {
    listener: OwnedFd,
    path: PathBuf,
}

/// Somebody asks for an upgrade.
#[derive(Debug)]
pub(crate) struct Question {
    patience: Duration,
    /// `None`: by a signal, which cannot be answered.
    asking: Option<Channel>,
}

/// How long an upgrade may take until the successor is ready, where nobody says.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(30);

impl Control {
    /// Listens. Whoever holds the lock of the directory may replace what an earlier process has left there.
    pub(crate) fn open(runtime_dir: &Path) -> Result<Self> {
        let path = runtime_dir.join(NAME);
        let failed = || format!("cannot listen on {}", path.display());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(failed),
            _ => {}
        }
        let listener = endpoint(SockFlag::SOCK_NONBLOCK).with_context(failed)?;
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).with_context(failed)?).with_context(failed)?;
        // Nobody can connect before it listens.
        fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(failed)?;
        listen(&listener, Backlog::new(16)?).with_context(failed)?;
        Ok(Self { listener, path })
    }

    /// The one that a predecessor has listened on.
    pub(crate) fn inherit(runtime_dir: &Path, listener: OwnedFd) -> Self {
        Self { listener, path: runtime_dir.join(NAME) }
    }

    /// The next question. `None`: there is none, or none that counts. Does not wait for anybody to come.
    pub(crate) fn take(&self) -> Option<Question> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let accepted = accept4(self.listener.as_raw_fd(), flags).ok()?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        let stream = unsafe { OwnedFd::from_raw_fd(accepted) };
        let peer = getsockopt(&stream, PeerCredentials).ok()?;
        if peer.uid() != 0 && peer.uid() != geteuid().as_raw() {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "somebody asks who has no right to");
            return None;
        }
        let channel = Channel::new(stream).ok()?;
        match channel.receive(Some(Instant::now() + PATIENCE)) {
            Ok((Request::Upgrade { patience }, _)) => {
                Some(Question { patience: Duration::from_millis(patience), asking: Some(channel) })
            }
            Err(error) => {
                tracing::warn!(%error, pid = peer.pid(), "somebody asks and is not understood");
                let question = Question { patience: PATIENCE, asking: Some(channel) };
                question.failed("the request is not understood: is the running gateway another version?");
                None
            }
        }
    }

    /// Nobody is answered any more, and no successor is either.
    pub(crate) fn close(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "cannot remove the control socket");
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Question {
    /// By a signal.
    pub(crate) fn by_signal() -> Self {
        Self { patience: UPGRADE_PATIENCE, asking: None }
    }

    /// How long it may take until the successor is ready.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Answers that a successor serves.
    pub(crate) fn upgraded(self, pid: u32, version: String) {
        self.answer(&Answer::Upgraded { pid, version, predecessor: std::process::id() });
    }

    /// Answers that nothing has changed.
    pub(crate) fn failed(self, why: &str) {
        self.answer(&Answer::Failed { why: why.to_owned() });
    }

    /// Somebody who has left is nobody's concern.
    fn answer(self, answer: &Answer) {
        if let Some(Err(error)) = self.asking.map(|channel| channel.send(answer, &[])) {
            tracing::debug!(%error, "who has asked is gone");
        }
    }
}

/// Asks the gateway that holds a runtime directory, and waits for its answer.
pub(crate) fn ask(runtime_dir: &Path, request: &Request) -> Result<Answer> {
    let path = runtime_dir.join(NAME);
    let shown = path.display();
    let stream = endpoint(SockFlag::empty())?;
    match connect(
        stream.as_raw_fd(),
        &UnixAddr::new(&path).with_context(|| format!("cannot ask at {shown}"))?,
    ) {
        Ok(()) => {}
        Err(error) if error as i32 == libc::EACCES => {
            bail!("only root and the gateway's own user may ask at {shown}");
        }
        Err(error) => {
            bail!("no gateway answers at {shown} ({}); is it running, with this --runtime-dir?", error.desc())
        }
    }
    let channel = Channel::new(stream)?;
    channel.send(request, &[]).context("the gateway has ended meanwhile")?;
    let (answer, _) =
        channel.receive(None).context("the gateway has ended without an answer; see its log")?;
    Ok(answer)
}

fn endpoint(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, flags | SockFlag::SOCK_CLOEXEC, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_answered_and_nobody_else_can_ask() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let refused = ask(directory.path(), &Request::Upgrade { patience: 1 }).expect_err("nobody is there");
        assert!(refused.to_string().contains("is it running"), "{refused}");
        fs::write(directory.path().join(NAME), "left over").expect("a file of our own");
        let control = Control::open(directory.path()).expect("it replaces what is left");
        let mode = fs::metadata(directory.path().join(NAME)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(control.take().is_none(), "nobody has asked");
        let answer = Answer::Failed { why: "because".to_owned() };
        let answered = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(directory.path(), &Request::Upgrade { patience: 7 }));
            let question = loop {
                if let Some(taken) = control.take() {
                    break taken;
                }
                std::thread::yield_now();
            };
            assert_eq!(question.patience(), Duration::from_millis(7));
            question.failed("because");
            asking.join().expect("it does not panic")
        });
        assert_eq!(answered.expect("an answer"), answer);
        control.close();
        assert!(!directory.path().join(NAME).exists());
    }
}
