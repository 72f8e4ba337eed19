//! A backend that answers with what it was asked, and a client that reads what it says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::configure::connect;

/// A backend on loopback. It answers every request with 200, its own name in `x-backend`, and the request's
/// head as the body.
pub struct Echo {
    pub address: SocketAddr,
    answered: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
}

impl Echo {
    pub fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answered, stopped) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, stop) = (Arc::clone(&answered), Arc::clone(&stopped));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let (stream, count) = (stream.unwrap(), Arc::clone(&count));
                thread::spawn(move || serve(name, stream, &count));
            }
        });
        Self { address, answered, stopped }
    }

    /// Requests that were answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(name: &str, stream: TcpStream, answered: &AtomicU64) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        if let Some(length) = field(&head, "content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).ok()?;
        }
        answered.fetch_add(1, Ordering::AcqRel);
        let length = head.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nx-backend: {name}\r\nkeep-alive: timeout=5\r\ncontent-length: {length}\r\n\r\n{head}"
        );
        writer.write_all(answer.as_bytes()).ok()?;
        if field(&head, "connection") == Some("close") {
            return None;
        }
    }
}

/// The first value of a field in a head, names compared without case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    fields(head, name).first().copied()
}

/// All values of a field in a head, in order.
fn fields<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

/// An answer, read to the end of its connection.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// The first value of a field of the answer.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// All values of a field of the answer.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    /// All values of a field as the backend received it.
    pub fn sent_all(&self, name: &str) -> Vec<&str> {
        assert_eq!(self.status, 200, "{self:?}");
        fields(&self.body, name)
    }

    /// The first value of a field as the backend received it.
    pub fn sent(&self, name: &str) -> Option<&str> {
        assert_eq!(self.status, 200, "{self:?}");
        field(&self.body, name)
    }

    /// The target as the backend received it.
    pub fn target(&self) -> &str {
        assert_eq!(self.status, 200, "{self:?}");
        self.body.split(' ').nth(1).unwrap()
    }
}

/// Asks once on a connection of its own. `fields` are whole lines without line ends.
pub fn ask(address: SocketAddr, method: &str, target: &str, host: &str, fields: &[&str]) -> Answer {
    ask_on(connect(address), method, target, host, fields)
}

/// Asks once on this connection, and reads it to its end.
pub fn ask_on(
    mut stream: impl Read + Write,
    method: &str,
    target: &str,
    host: &str,
    fields: &[&str],
) -> Answer {
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for field in fields {
        request.push_str(field);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_answer(stream)
}

/// Reads an answer to the end of its connection.
pub fn read_answer(mut stream: impl Read) -> Answer {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// GET of a path, as host `a.test`.
pub fn get(address: SocketAddr, target: &str) -> Answer {
    ask(address, "GET", target, "a.test", &[])
}

#[test]
fn the_backend_says_what_it_was_asked() {
    let echo = Echo::start("echo");
    let answer = ask(echo.address, "PUT", "/x?y", "b.test", &["X-A: 1", "content-length: 0"]);
    assert_eq!((answer.status, answer.field("X-Backend"), answer.target()), (200, Some("echo"), "/x?y"));
    assert_eq!(
        (answer.sent("host"), answer.sent("x-a"), answer.sent("x-b")),
        (Some("b.test"), Some("1"), None)
    );
    assert_eq!(get(echo.address, "/").target(), "/");
    assert_eq!(echo.answered(), 2);
}
