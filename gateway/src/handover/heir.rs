use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use ir::SocketKey;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, poll},
};
use proxy::{Count, Keeper};

use super::{
    books::Books,
    channel::{Channel, DESCRIPTORS, timeout},
    legacy::MARK,
    message::{FromPredecessor, FromSuccessor, PROTOCOL, key},
};
use crate::{executable::Executable, signals::Signals};

/// How long a successor that could serve may take until it does: it only has to publish.
const LAST_STEP: Duration = Duration::from_secs(10);

/// All that goes to a successor, which gets descriptors of its own.
#[derive(Debug)]
pub(crate) struct Estate<'a> {
    /// What it is started from.
    pub(crate) executable: &'a Executable,
    /// Of the runtime directory.
    pub(crate) lock: BorrowedFd<'a>,
    /// Where upgrades are asked for.
    pub(crate) control: BorrowedFd<'a>,
    /// The admin page's listening socket.
    pub(crate) admin: BorrowedFd<'a>,
    /// Every other listening socket.
    pub(crate) sockets: Vec<BorrowedFd<'a>>,
}

/// A successor that has been started. It is given up by [`Heir::give_up`].
#[derive(Debug)]
pub(crate) struct Heir {
    child: Child,
    channel: Channel,
    books: Arc<Books>,
    version: String,
}

/// Why there is no successor.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// This process has been told to stop meanwhile.
    Stopped,
    /// Something has gone wrong.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Unfinished {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl Heir {
    /// Starts it with the arguments and the environment of this process, and sends it what is in the estate.
    pub(crate) fn start(estate: &Estate<'_>) -> Result<Self> {
        let (channel, theirs) = Channel::pair().context("cannot talk with a successor")?;
        let (books, their_books) = Channel::pair().context("cannot talk with a successor")?;
        let mut command = estate.executable.command();
        command.env(MARK, PROTOCOL.to_string()).stdin(Stdio::from(theirs));
        let path = estate.executable.path().display();
        let child = command.spawn().with_context(|| format!("cannot start {path}"))?;
        // It has a descriptor of its own by now; with this one its end would go unnoticed.
        drop(command);
        let heir = Self { child, channel, books: Arc::new(Books::new(books)), version: String::new() };
        // One that has ended already is found out when it is waited for, with the reason.
        if let Err(error) = heir.bequeath(estate, their_books.as_fd()) {
            tracing::debug!(%error, "the successor does not take what it is sent");
        }
        Ok(heir)
    }

    fn bequeath(&self, estate: &Estate<'_>, books: BorrowedFd<'_>) -> io::Result<()> {
        let Estate { executable: _, lock, control, admin, sockets } = estate;
        let offer = FromPredecessor::Offer {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            sockets: sockets.len(),
        };
        self.channel.send(&offer, &[books, *lock, *control, *admin])?;
        let mut batches = sockets.chunks(DESCRIPTORS);
        batches.try_for_each(|batch| self.channel.send(&FromPredecessor::Sockets, batch))
    }

    /// Waits until it could serve. Where it listens with sockets of this process: there it will accept.
    pub(crate) fn ready(
        &mut self,
        signals: &Signals,
        patience: Duration,
    ) -> Result<Vec<SocketKey>, Unfinished> {
        match self.hear(signals, patience)? {
            FromSuccessor::Ready { version, tcp } => {
                self.version = version;
                Ok(tcp.iter().map(key).collect())
            }
            other => Err(anyhow!("the successor says {other:?} before it is ready").into()),
        }
    }

    /// Who counts this process's connections from now on; asked, it answers once the books are opened.
    pub(crate) fn keeper(&self) -> Arc<dyn Keeper> {
        Arc::clone(&self.books) as Arc<dyn Keeper>
    }

    /// Opens the books, with what was counted up to now, and waits until it accepts.
    pub(crate) fn serve(&mut self, counts: &[Count], signals: &Signals) -> Result<(), Unfinished> {
        if let Err(error) = self.books.open(counts) {
            tracing::debug!(%error, "the successor does not take what it is sent");
        }
        match self.hear(signals, LAST_STEP)? {
            FromSuccessor::Serving => Ok(()),
            other => Err(anyhow!("the successor says {other:?} before it serves").into()),
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Of its program.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Leaves the rest to it. From now on this process ends when it ends: without it nobody would count the connections
    /// here.
    pub(crate) fn release(self) -> Result<()> {
        let Self { child: _, channel, books: _, version: _ } = self;
        if let Err(error) = channel.send(&FromPredecessor::Released, &[]) {
            tracing::debug!(%error, "the successor has ended already");
        }
        let follow = move || {
            channel.until_gone();
            tracing::warn!("the successor has ended: open connections are cut");
            std::process::exit(0);
        };
        thread::Builder::new().name("successor".to_owned()).spawn(follow).context("cannot start a thread")?;
        Ok(())
    }

    /// Ends it, whatever it does. When this returns it holds nothing any more.
    pub(crate) fn give_up(mut self) {
        self.books.close();
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            tracing::error!(%error, pid = self.child.id(), "cannot end a successor that is none");
        }
    }

    /// The next message.
    fn hear(&mut self, signals: &Signals, patience: Duration) -> Result<FromSuccessor, Unfinished> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut sources = [
                PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut sources, timeout(Some(left))) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(anyhow!("cannot wait for the successor: {error}").into()),
            }
            let (heard, told) = (sources[0].any() == Some(true), sources[1].any() == Some(true));
            // What else may be asked for, the successor does anyhow.
            if told && signals.take().stop {
                return Err(Unfinished::Stopped);
            }
            if heard {
                return Ok(self.message()?);
            }
            if left.is_zero() {
                return Err(anyhow!("the successor was not ready within {patience:?}").into());
            }
        }
    }

    fn message(&mut self) -> Result<FromSuccessor> {
        match self.channel.receive(Some(Instant::now())) {
            Ok((FromSuccessor::Refused { why }, _)) => bail!("the successor has refused: {why}"),
            Ok((message, _)) => Ok(message),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(error).context("the successor is not understood")
            }
            Err(_) => {
                let status = self.child.wait().context("cannot wait for the successor")?;
                bail!("the successor has ended ({status}); its reason is in the log")
            }
        }
    }
}
