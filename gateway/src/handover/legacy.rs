use std::{
    env,
    fs::File,
    io,
    net::TcpListener,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use ir::SocketKey;
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    unistd::dup2_stdin,
};
use proxy::Foreign;

use super::{
    books::Elder,
    channel::Channel,
    message::{FromPredecessor, FromSuccessor, PROTOCOL, address},
};

/// Says to a process that its standard input is the way to a predecessor.
pub(super) const MARK: &str = "GATEWAY_HANDOVER";

/// How long a predecessor may take for a message that it has only to send.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a predecessor has left to this process.
#[derive(Debug)]
pub(crate) struct Legacy {
    /// The way to it.
    pub(crate) claim: Claim,
    /// Its process.
    pub(crate) predecessor: u32,
    /// Of the runtime directory, locked.
    pub(crate) lock: File,
    /// Where upgrades are asked for.
    pub(crate) control: OwnedFd,
    /// The admin page's listening socket.
    pub(crate) admin: TcpListener,
    /// Every other listening socket.
    pub(crate) sockets: Vec<OwnedFd>,
}

/// The successor's end. As long as it is open the predecessor knows that there is one.
#[derive(Debug)]
pub(crate) struct Claim {
    channel: Channel,
    books: Option<Channel>,
}

impl Legacy {
    /// What a predecessor sends. `None`: this process is started like any other. To be called once, at the start.
    pub(crate) fn receive() -> Result<Option<Self>> {
        if env::var_os(MARK).is_none() {
            return Ok(None);
        }
        let channel = Channel::new(take_stdin().context("cannot take over from a predecessor")?)?;
        let offer = channel.receive(Some(Instant::now() + PATIENCE));
        let (offer, descriptors) = offer.context("the predecessor is gone, or not understood")?;
        let FromPredecessor::Offer { protocol, version, pid, sockets: count } = offer else {
            bail!("the predecessor begins in the middle");
        };
        let claim = Claim { channel, books: None };
        if protocol != PROTOCOL {
            let error = anyhow::anyhow!(
                "this is version {}, which hands over by protocol {PROTOCOL}, and the predecessor is version \
                 {version}, with {protocol}: restart the gateway instead",
                env!("CARGO_PKG_VERSION")
            );
            claim.refuse(&error);
            return Err(error);
        }
        let [books, lock, control, admin] =
            <[OwnedFd; 4]>::try_from(descriptors).ok().context("the predecessor's offer is not complete")?;
        let mut sockets = Vec::new();
        while sockets.len() < count {
            let (_, more) = claim.receive().context("the predecessor has gone")?;
            ensure!(!more.is_empty(), "the predecessor sends fewer sockets than it has");
            sockets.extend(more);
        }
        Ok(Some(Self {
            claim: Claim { books: Some(Channel::new(books)?), ..claim },
            predecessor: pid,
            lock: lock.into(),
            control,
            admin: admin.into(),
            sockets,
        }))
    }
}

impl Claim {
    /// This process could serve: has the predecessor stop accepting, and counts what it has counted. An error leaves
    /// the predecessor as it was.
    pub(crate) fn take_over(&mut self, claimed: &[SocketKey], foreign: Foreign) -> Result<Elder> {
        let books = self.books.take().context("a predecessor is taken over from once")?;
        let tcp = claimed.iter().map(address).collect();
        let ready = FromSuccessor::Ready { version: env!("CARGO_PKG_VERSION").to_owned(), tcp };
        self.channel.send(&ready, &[]).context("the predecessor has gone")?;
        Elder::keep(books, foreign, Instant::now() + PATIENCE)
            .context("the predecessor has not stopped accepting")
    }

    /// This process accepts and serves.
    pub(crate) fn serving(&self) -> Result<()> {
        self.channel.send(&FromSuccessor::Serving, &[]).context("the predecessor has gone")
    }

    /// Waits until the predecessor has told the service manager who serves now, or cannot any more.
    pub(crate) fn released(&self) {
        match self.receive() {
            Ok((FromPredecessor::Released, _)) => {}
            other => tracing::warn!(?other, "the predecessor has not said goodbye"),
        }
    }

    /// Tells the predecessor why it stays as it was.
    pub(crate) fn refuse(&self, error: &anyhow::Error) {
        let refused = FromSuccessor::Refused { why: format!("{error:#}") };
        if let Err(error) = self.channel.send(&refused, &[]) {
            tracing::debug!(%error, "the predecessor has gone");
        }
    }

    /// A further descriptor of the same end.
    pub(crate) fn share(&self) -> io::Result<Self> {
        Ok(Self { channel: self.channel.share()?, books: None })
    }

    fn receive(&self) -> io::Result<(FromPredecessor, Vec<OwnedFd>)> {
        self.channel.receive(Some(Instant::now() + PATIENCE))
    }
}

/// Standard input as a descriptor of our own, which programs that we start do not inherit; what is left in its place is
/// empty.
fn take_stdin() -> Result<OwnedFd> {
    let stdin = io::stdin();
    ensure!(
        Channel::is_one(stdin.as_fd()),
        "{MARK} is set, but standard input is no socket that a predecessor talks over"
    );
    let copy = fcntl(stdin.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    dup2_stdin(File::open("/dev/null")?)?;
    debug_assert!(fcntl(&copy, FcntlArg::F_GETFD).is_ok_and(|flags| flags & FdFlag::FD_CLOEXEC.bits() != 0));
    Ok(copy)
}
