//! Two namespaces, a BPF file system for pins, and the kernel half at work between them.

use std::{
    fs, io,
    io::Read,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    num::NonZeroU32,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use bpf::{Hook, Interfaces, Kernel, Limit, Limits, Options, Policy, QuotaId};
use e2e::{
    dial,
    netns::{GATEWAY, GATEWAY6, Wire},
    pinned, wait,
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::socket::{
        AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrStorage, bind, listen as sys_listen,
        setsockopt, shutdown, socket, sockopt,
    },
};
use tempfile::TempDir;

use crate::object;

/// The port of every listener here.
pub const PORT: u16 = 8080;

/// More resets than any test asks for.
pub const MANY: NonZeroU32 = NonZeroU32::MAX;

/// Room for sources: more than any test has.
const SOURCES: Option<NonZeroU32> = NonZeroU32::new(4_096);

/// The gateway's end of the pair.
pub const INTERFACE: &str = "gw0";

/// One test's own place.
pub struct Site {
    /// Clients and gateway.
    pub wire: Wire,
    pins: TempDir,
    object: PathBuf,
}

impl Site {
    /// `None`: these tests cannot run here.
    pub fn open() -> Option<Self> {
        let object = object::directory()?;
        let pins = TempDir::new().expect("a temporary directory");
        mount(Some("bpf"), pins.path(), Some("bpf"), MsFlags::empty(), None::<&str>)
            .expect("root mounts bpffs");
        Some(Self { wire: Wire::new(), pins, object })
    }

    /// The BPF file system.
    pub fn pins(&self) -> &Path {
        self.pins.path()
    }

    /// The directory of this version's pins.
    pub fn directory(&self) -> PathBuf {
        pinned::directory(self.pins())
    }

    /// Names of all pins.
    pub fn pinned(&self) -> Vec<String> {
        let directory = fs::read_dir(self.directory());
        directory
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into())
            .collect()
    }

    /// Starts the kernel half in the gateway's namespace.
    pub fn start(&self, hooks: &[Hook]) -> Result<Kernel, bpf::Error> {
        self.start_paced(hooks, MANY)
    }

    /// Likewise, with so many resets per processor and second.
    pub fn start_paced(&self, hooks: &[Hook], resets_per_second: NonZeroU32) -> Result<Kernel, bpf::Error> {
        let options = Options {
            object_dir: Some(self.object.clone()),
            pin_dir: self.pins().to_owned(),
            interfaces: on(hooks),
            resets_per_second,
            events_per_second: MANY,
            sources: SOURCES,
            headers: SOURCES,
        };
        self.wire.gateway.run(|| Kernel::start(&options))
    }

    /// Listens in the gateway's namespace.
    pub fn listen(&self, address: &str) -> Server {
        Server::start(self.backlog(address))
    }

    /// Listens in the gateway's namespace, and accepts nobody.
    pub fn backlog(&self, address: &str) -> TcpListener {
        self.wire.gateway.run(|| listen(at(address))).expect("the address is free")
    }

    /// Connects from the clients' namespace.
    pub fn connect(&self, address: &str, patience: Duration) -> io::Result<TcpStream> {
        self.wire.client.run(|| connect(address, patience))
    }

    /// The count is that, soon.
    pub fn counted(&self, kernel: &Kernel, address: &str, connections: u64) {
        wait::until(&format!("{connections} connections of {address}"), || {
            (kernel.counters().open_of(QuotaId::of(address)) == Some(connections)).then_some(())
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = umount2(self.pins.path(), MntFlags::MNT_DETACH);
    }
}

/// Everything on the gateway's interface.
pub fn on(hooks: &[Hook]) -> Interfaces {
    Interfaces { names: vec![INTERFACE.to_owned()], hooks: hooks.to_vec(), generic_xdp: false }
}

/// A listening address with the port of these tests.
pub fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().expect("an address"), PORT)
}

/// The same limit for several listening addresses, each by itself.
pub fn limits(addresses: &[&str], most: Option<u64>) -> Limits {
    let limit = |address: &&str| {
        (at(address), Limit { quota: QuotaId::of(address), most, policy: None, proxied: None })
    };
    addresses.iter().map(limit).collect()
}

/// One limit for several listening addresses together.
pub fn shared(addresses: &[&str], most: Option<u64>) -> Limits {
    let limit = |address: &&str| {
        (at(address), Limit { quota: QuotaId::of("all"), most, policy: None, proxied: None })
    };
    addresses.iter().map(limit).collect()
}

/// One policy for several listening addresses together.
pub fn policed(addresses: &[&str], policy: Policy) -> Limits {
    let policy = Some(Arc::new(policy));
    let limit = |address: &&str| {
        (at(address), Limit { quota: QuotaId::of("all"), most: None, policy: policy.clone(), proxied: None })
    };
    addresses.iter().map(limit).collect()
}

/// Connects from the thread's namespace.
pub fn connect(address: &str, patience: Duration) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&at(address), patience)
}

/// Likewise, from an address of one's own.
pub fn connect_from(from: &str, to: &str, patience: Duration) -> io::Result<TcpStream> {
    dial::from(from, at(to), patience)
}

/// Likewise, from a port of one's own too.
pub fn connect_between(from: SocketAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    dial::between(from, to, patience)
}

/// Long enough for a handshake, short enough to wait for one that is dropped.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Addresses of the gateway in both families.
pub const BOTH: [&str; 2] = [GATEWAY, GATEWAY6];

/// Listens as the gateway does: one family to a socket.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    sys_listen(&socket, Backlog::new(4096)?)?;
    Ok(TcpListener::from(socket))
}

/// Accepts, and closes each connection when its client does. An `r` asks for a reset. Ends with its listener.
pub struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(listener: TcpListener) -> Self {
        let accepting = listener.try_clone().expect("a second handle");
        let thread = thread::spawn(move || {
            thread::scope(|scope| {
                while let Ok((stream, _)) = accepting.accept() {
                    scope.spawn(move || serve(stream));
                }
            });
        });
        Self { listener, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes accept with an error.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Read);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream) {
    let mut byte = [0];
    if matches!(stream.read(&mut byte), Ok(1)) && byte == *b"r" {
        dial::reset_on_close(&stream);
        return;
    }
    let _ = io::copy(&mut stream, &mut io::sink());
}
