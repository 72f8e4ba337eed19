//! A backend of HTTP/2 that does what a test says.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use h2::{
    RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::{Request, Response};
use tokio::{net::TcpStream, task::LocalSet};

/// Runs a future for each connection, on a thread of its own, with the connection's number from 0.
pub struct Backend {
    pub address: SocketAddr,
    accepted: Arc<AtomicU64>,
}

impl Backend {
    pub fn start<F>(
        builder: Builder,
        serve: impl Fn(Connection<TcpStream, Bytes>, u64) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::<AtomicU64>::default();
        let count = Arc::clone(&accepted);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serve = Rc::new(serve);
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let number = count.fetch_add(1, Ordering::AcqRel);
                    let (builder, serve) = (builder.clone(), Rc::clone(&serve));
                    tokio::task::spawn_local(async move {
                        if let Ok(connection) = builder.handshake(stream).await {
                            serve(connection, number).await;
                        }
                    });
                }
            });
        });
        Self { address, accepted }
    }

    /// Answers each stream by a future of its own.
    pub fn answering<F>(
        answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        Self::start(Builder::new(), move |connection, _| serve_all(connection, answer.clone()))
    }

    /// Connections that were accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }
}

/// Answers each stream of a connection by a future of its own.
pub async fn serve_all<F>(
    mut connection: Connection<TcpStream, Bytes>,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F,
) where
    F: Future<Output = ()> + 'static,
{
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::task::spawn_local(answer(request, respond));
    }
}

/// Answers 200 with what was asked, as fields.
pub fn echo_head(request: &Request<RecvStream>, respond: &mut SendResponse<Bytes>) {
    let head = Response::builder()
        .header("x-method", request.method().as_str())
        .header("x-uri", request.uri().to_string())
        .header("x-te", request.headers().get("te").map_or("none", |te| te.to_str().unwrap()))
        .header("x-host", if request.headers().contains_key("host") { "yes" } else { "no" });
    respond.send_response(head.body(()).unwrap(), true).unwrap();
}
