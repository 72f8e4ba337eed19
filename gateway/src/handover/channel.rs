use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{
            AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
            sendmsg, setsockopt, socketpair,
            sockopt::{self, SendTimeout},
        },
        time::TimeVal,
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// The longest message.
const LENGTH: usize = 64 << 10;

/// Descriptors in one message. Source: the kernel lets in 253 (`SCM_MAX_FD` in `include/net/scm.h`).
pub(super) const DESCRIPTORS: usize = 64;

/// One that is not read from for so long has hung.
const SEND_PATIENCE: i64 = 10;

/// One end of a pair of sockets that messages pass over whole, with descriptors: one JSON value per packet.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// Two ends. Neither is inherited by a program that is started, unless it is given it.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self::new(ours)?, theirs))
    }

    /// Talks over a connected socket.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        setsockopt(&socket, SendTimeout, &TimeVal::new(SEND_PATIENCE, 0))?;
        Ok(Self(socket))
    }

    /// True: messages pass whole over this descriptor.
    pub(super) fn is_one(descriptor: BorrowedFd<'_>) -> bool {
        nix::sys::socket::getsockopt(&descriptor, sockopt::SockType) == Ok(SockType::SeqPacket)
    }

    /// A further descriptor of the same end.
    pub(super) fn share(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sends a message with at most [`DESCRIPTORS`] descriptors, which stay open here.
    pub(super) fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > LENGTH {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"));
        }
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights };
        let parts = [IoSlice::new(&text)];
        loop {
            match sendmsg::<()>(self.0.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the next message, `until` at most (`None`: as long as it takes). The other end's end is
    /// `UnexpectedEof`, its silence `TimedOut`, and what is no such message `InvalidData`.
    pub(super) fn receive<M: DeserializeOwned>(
        &self,
        until: Option<Instant>,
    ) -> io::Result<(M, Vec<OwnedFd>)> {
        while !self.wait(until)? {}
        let mut buffer = vec![0; LENGTH];
        let mut space = cmsg_space!([RawFd; DESCRIPTORS]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let mut descriptors = Vec::new();
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(rights) = message {
                // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
                descriptors.extend(rights.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        let (length, flags) = (received.bytes, received.flags);
        match length {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"))
            }
            _ => {
                let message = serde_json::from_slice(&buffer[..length]);
                Ok((message.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?, descriptors))
            }
        }
    }

    /// Waits until there is something to receive. False: a signal came between.
    fn wait(&self, until: Option<Instant>) -> io::Result<bool> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let mut sources = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match poll(&mut sources, timeout(left)) {
            Ok(0) if left.is_none_or(|left| left.is_zero()) => Err(io::ErrorKind::TimedOut.into()),
            Ok(0) | Err(Errno::EINTR) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns when the other end is gone. What it sends meanwhile stays where it is.
    pub(super) fn until_gone(&self) {
        loop {
            let mut sources = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
            match poll(&mut sources, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }
}

/// What poll(2) takes; `None`: for ever.
pub(super) fn timeout(left: Option<Duration>) -> PollTimeout {
    // Rounded up, so that a wait that is over has reached its end.
    let rounded = left.map(|left| left.saturating_add(Duration::from_micros(999)));
    rounded.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write, pipe};

    use super::*;

    #[test]
    fn messages_arrive_whole_with_descriptors_that_work() {
        let (ours, theirs) = Channel::pair().expect("two ends");
        let theirs = Channel::new(theirs).expect("an end");
        let (mut reader, writer) = pipe().expect("a pipe");
        ours.send(&["one", "two"], &[writer.as_fd()]).expect("sent");
        ours.send(&3, &[]).expect("sent");
        drop(writer);
        let (words, mut descriptors) = theirs.receive::<Vec<String>>(None).expect("a message");
        assert_eq!((words, descriptors.len()), (vec!["one".to_owned(), "two".to_owned()], 1));
        let mut sent = std::fs::File::from(descriptors.remove(0));
        sent.write_all(b"x").expect("it is the pipe's");
        drop(sent);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "x");
        assert_eq!(theirs.receive::<u32>(None).expect("a message").0, 3);
    }

    #[test]
    fn silence_the_end_and_nonsense_are_told_apart() {
        let (ours, theirs) = Channel::pair().expect("two ends");
        let kind = |until| ours.receive::<u32>(until).expect_err("no number came").kind();
        assert_eq!(kind(Some(Instant::now())), ErrorKind::TimedOut);
        let theirs = Channel::new(theirs).expect("an end");
        theirs.send(&"three", &[]).expect("sent");
        assert_eq!(kind(None), ErrorKind::InvalidData);
        let long = "x".repeat(LENGTH);
        assert_eq!(theirs.send(&long, &[]).expect_err("too long").kind(), ErrorKind::InvalidInput);
        drop(theirs);
        assert_eq!(kind(None), ErrorKind::UnexpectedEof);
        ours.until_gone();
    }
}
