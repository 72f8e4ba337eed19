//! The service manager's protocol: sd_notify(3). Nothing is said where `NOTIFY_SOCKET` is not set.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use nix::time::{ClockId, clock_gettime};

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

fn send(message: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send_to(&socket, message) {
        tracing::warn!(?socket, %error, "cannot tell the service manager");
    }
}

fn send_to(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
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
            send_to(&address, "READY=1").expect("sent");
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[..length], b"READY=1");
        }
    }
}
