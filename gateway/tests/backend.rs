use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

/// Answers every request with its own name. `GET /slow` is answered when the test says so.
pub(crate) struct Backend {
    pub(crate) port: u16,
    /// A message per `/slow` request that has arrived.
    pub(crate) slow: Receiver<Sender<()>>,
}

impl Backend {
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (tell, slow) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                thread::spawn(move || serve(stream, name, &tell));
            }
        });
        Self { port, slow }
    }
}

fn serve(mut stream: TcpStream, name: &str, tell: &Sender<Sender<()>>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..length]);
        while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = seen.drain(..end + 4).collect();
            if head.starts_with(b"GET /slow") {
                let (go, wait) = channel();
                let _ = tell.send(go);
                let _ = wait.recv();
            }
            if write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()).is_err() {
                return;
            }
        }
    }
}
