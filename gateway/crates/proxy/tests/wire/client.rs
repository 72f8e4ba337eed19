//! A client of HTTP/2 that keeps to it.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, Request, Response, request};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

/// A connection.
pub struct Client {
    pub sender: SendRequest<Bytes>,
    /// Ends with the connection.
    pub ended: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    /// With prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let mut builder = h2::client::Builder::new();
        // As many as are allowed, also before the settings that say so have come.
        builder.initial_max_send_streams(100);
        let (sender, connection) = builder.handshake(io).await.unwrap();
        Self { sender, ended: tokio::spawn(connection) }
    }

    /// Another handle to the connection.
    pub fn share(&self) -> Self {
        Self { sender: self.sender.clone(), ended: tokio::spawn(async { Ok(()) }) }
    }

    /// Sends a request's header.
    pub async fn send(
        &mut self,
        request: request::Builder,
        ended: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.unwrap();
        sender.send_request(request.body(()).unwrap(), ended).unwrap()
    }

    /// Sends a request without a body, and reads its response.
    pub async fn ask(&mut self, request: request::Builder) -> Result<Answer, h2::Error> {
        let (response, _) = self.send(request, true).await;
        Answer::of(response.await?).await
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, h2::Error> {
        self.ask(to(path)).await
    }
}

/// A request to `a.test`.
pub fn to(path: &str) -> request::Builder {
    Request::builder().uri(format!("http://a.test{path}"))
}

/// A response, whole.
#[derive(Debug)]
pub struct Answer {
    pub head: http::response::Parts,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub async fn of(response: Response<RecvStream>) -> Result<Self, h2::Error> {
        let (head, mut stream) = response.into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            body.extend_from_slice(&data);
        }
        let trailers = stream.trailers().await?;
        Ok(Self { head, body, trailers })
    }

    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends a body as the windows allow.
pub async fn send_body(mut stream: SendStream<Bytes>, mut body: Bytes, trailers: Option<HeaderMap>) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        stream.send_data(body.split_to(room.min(body.len())), false).unwrap();
    }
    match trailers {
        Some(trailers) => stream.send_trailers(trailers).unwrap(),
        None => stream.send_data(Bytes::new(), true).unwrap(),
    }
}
