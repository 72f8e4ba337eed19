//! A backend that answers with what it was asked, as JSON, one thread per connection: request line, header
//! fields in order, body length. After `Upgrade: websocket` it echoes bytes.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// Starts serving on a listener, for ever, on threads of its own.
pub fn serve(listener: TcpListener, name: &str) -> SocketAddr {
    let address = listener.local_addr().expect("a bound listener has an address");
    let name: Arc<str> = name.into();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let name = name.clone();
            thread::spawn(move || {
                // A client that goes away is no news.
                let _ = connection(stream, &name);
            });
        }
    });
    address
}

fn connection(stream: TcpStream, name: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = Request::read(&mut reader)? {
        if request.header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
            writer.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            )?;
            let early = reader.buffer().to_vec();
            writer.write_all(&early)?;
            io::copy(reader.get_mut(), &mut writer)?;
            return Ok(());
        }
        let body = request.json(name);
        let mut reply = String::from("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n");
        if let Some(generation) = request.header("x-generation") {
            reply += &format!("x-seen-generation: {generation}\r\n");
        }
        reply += &format!("content-length: {}\r\n\r\n", body.len());
        if request.method != "HEAD" {
            reply += &body;
        }
        writer.write_all(reply.as_bytes())?;
    }
    Ok(())
}

struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: usize,
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut request = Self { method, target, headers, body: 0 };
        request.body = request.read_body(reader)?;
        Ok(Some(request))
    }

    fn read_body(&self, reader: &mut BufReader<TcpStream>) -> io::Result<usize> {
        let mut discard = io::sink();
        if self.header("transfer-encoding").is_some() {
            let mut total = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
                io::copy(&mut reader.take(size as u64 + 2), &mut discard)?;
                total += size;
                if size == 0 {
                    return Ok(total);
                }
            }
        }
        let length = self.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        io::copy(&mut reader.take(length), &mut discard)?;
        usize::try_from(length).map_err(io::Error::other)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn json(&self, service: &str) -> String {
        let text = |text: &str| {
            let escaped: String = text.chars().flat_map(char::escape_default).collect();
            format!("\"{}\"", escaped.replace("\\'", "'"))
        };
        let headers: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect();
        format!(
            "{{\"service\": {}, \"method\": {}, \"path\": {}, \"headers\": {{{}}}, \"bodyBytes\": {}}}\n",
            text(service),
            text(&self.method),
            text(&self.target),
            headers.join(", "),
            self.body,
        )
    }
}
