use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
};

/// Both ends of a connection that the kernel half counts, if it is a listener's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The listener's.
    pub(crate) local: SocketAddr,
    /// The client's.
    pub(crate) peer: SocketAddr,
}

/// States between the end of the handshake and our close: ESTABLISHED and CLOSE_WAIT of `include/net/tcp_states.h`.
const COUNTED: [u8; 2] = [1, 8];

/// The connections of the thread's network namespace in a state in which they are counted, as the kernel's own socket
/// table has them. It is read piece by piece: what comes or goes meanwhile may be there or not.
pub(crate) fn connections() -> io::Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for (table, required) in [("/proc/thread-self/net/tcp", true), ("/proc/thread-self/net/tcp6", false)] {
        match fs::read_to_string(table) {
            Ok(text) => connections.extend(parse(&text)),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
            Err(error) => return Err(error),
        }
    }
    Ok(connections)
}

/// Source: proc_net_tcp of the kernel's documentation (`Documentation/networking/proc_net_tcp.rst`).
fn parse(table: &str) -> impl Iterator<Item = Connection> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, peer) = (endpoint(fields.next()?)?, endpoint(fields.next()?)?);
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        COUNTED.contains(&state).then_some(Connection { local, peer })
    })
}

/// An address in words of this machine's order, and a port as a number.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let address = match bytes.len() {
        4 => IpAddr::from(*bytes.first_chunk::<4>()?),
        16 => IpAddr::from(*bytes.first_chunk::<16>()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernels_table_has_both_ends_of_a_connection() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = listener.local_addr().expect("it is bound");
            let stream = TcpStream::connect(local).expect("somebody listens");
            let expected = Connection { local, peer: stream.local_addr().expect("it is connected") };
            let found = |all: Vec<Connection>| all.into_iter().filter(|one| *one == expected).count();
            assert_eq!(found(connections().expect("procfs")), 1);
            let (accepted, _) = listener.accept().expect("it is there");
            drop(accepted);
            assert_eq!(found(connections().expect("procfs")), 0, "it is in FIN_WAIT");
        }
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let table = "  sl  local_address rem_address   st\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
                     1: 0100007F:1F90 0200007F:C350 08 00000000:00000000\n\
                     2: nonsense\n";
        let at = |text: &str| text.parse().expect("an address");
        let expected = Connection { local: at("127.0.0.1:8080"), peer: at("127.0.0.2:50000") };
        if cfg!(target_endian = "little") {
            assert_eq!(parse(table).collect::<Vec<_>>(), [expected]);
        }
    }
}
