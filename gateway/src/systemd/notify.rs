use std::{
    env,
    ffi::OsStr,
    io::{self, IoSlice, Read},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket},
    time::{ClockId, clock_gettime},
};

/// Serving, and what is being served.
pub(crate) fn ready(status: &str) {
    send(&format!("READY=1\nSTATUS={status}"));
}

/// A reload has begun; [`ready`] ends it. The time is what `Type=notify-reload` matches its signal with.
pub(crate) fn reloading() {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
        let micros = i128::from(now.tv_sec()) * 1_000_000 + i128::from(now.tv_nsec()) / 1_000;
        micros.max(0)
    });
    send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading"));
}

/// The last connections are being drained.
pub(crate) fn stopping(status: &str) {
    send(&format!("STOPPING=1\nSTATUS={status}"));
}

/// Another process is the service's from now on. Returns once the service manager knows, so that what that one says is
/// heard.
pub(crate) fn succeeded(pid: u32) {
    send(&format!("MAINPID={pid}\nSTATUS=process {pid} has taken over"));
    if let Err(error) = barrier() {
        tracing::warn!(%error, "cannot find out whether the service manager knows its new main process");
    }
}

/// Every worker answers.
pub(crate) fn alive() {
    send("WATCHDOG=1");
}

/// Within what time the service manager wants to hear [`alive`]; `None`: it does not.
pub(crate) fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_for_us = env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| is_for_us && *micros > 0).map(Duration::from_micros)
}

/// How long the service manager may take to read what it was sent, in milliseconds.
const PATIENCE: u16 = 5_000;

/// Returns once everything that was sent before has been read: then the pipe that goes with this is closed. One that
/// does not know what is asked (before systemd 246) closes it too.
fn barrier() -> io::Result<()> {
    let Some(name) = socket_name() else { return Ok(()) };
    let (mut reader, writer) = io::pipe()?;
    send_to(&name, "BARRIER=1", &[writer.as_fd()])?;
    drop(writer);
    let mut closed = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    if poll(&mut closed, PollTimeout::from(PATIENCE))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    reader.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn send(message: &str) {
    send_with(message, &[]);
}

/// With descriptors, of which the service manager gets its own.
pub(super) fn send_with(message: &str, descriptors: &[BorrowedFd<'_>]) {
    let Some(name) = socket_name() else { return };
    if let Err(error) = send_to(&name, message, descriptors) {
        tracing::warn!(socket = ?name, %error, "cannot tell the service manager");
    }
}

fn socket_name() -> Option<std::ffi::OsString> {
    env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
}

fn send_to(name: &OsStr, message: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        path => UnixAddr::new(OsStr::from_bytes(path))?,
    };
    let own: OwnedFd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights };
    let parts = [IoSlice::new(message.as_bytes())];
    sendmsg(own.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, Some(&address))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    };

    use super::*;

    #[test]
    fn reaches_sockets_with_a_path_and_abstract_ones() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("notify");
        let name = format!("gateway-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).expect("a short name");
        let sockets = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).expect("a free path")),
            (format!("@{name}").into(), UnixDatagram::bind_addr(&abstract_address).expect("a free name")),
        ];
        for (address, socket) in sockets {
            send_to(&address, "READY=1", &[]).expect("sent");
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..length], b"READY=1");
        }
    }
}
