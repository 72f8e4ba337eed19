use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, runtime, task::AbortHandle, time};

use super::Pages;

/// Connections at an instant. One more ends the oldest, so that silent ones keep nobody out.
const CONNECTIONS: usize = 32;

/// For one connection, whatever it does.
const DEADLINE: Duration = Duration::from_secs(60);

/// For a request's header.
const HEADER: Duration = Duration::from_secs(5);

/// A bound admin page that does not answer yet.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds it. Refuses what is not loopback: the page has no password.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self> {
        ensure!(
            address.ip().is_loopback(),
            "the admin address {address} is not on loopback; the page has no password, so reach it through ssh or \
             a proxy that asks for one",
        );
        let listener = TcpListener::bind(address).with_context(|| {
            format!("cannot listen on the admin address {address}; choose another with --admin")
        })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens, with the port that the kernel chose for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on, until the process ends.
    pub(crate) fn start(self, pages: Pages) -> Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the admin page")?;
        let serve = move || runtime.block_on(serve(self.listener, Arc::new(pages)));
        thread::Builder::new()
            .name("admin".to_owned())
            .spawn(serve)
            .context("cannot start the admin page")?;
        Ok(())
    }
}

async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin page is off"),
    };
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would spin.
                tracing::warn!(%error, "the admin page cannot accept");
                time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(answer(stream, Arc::clone(&pages))).abort_handle());
    }
}

async fn answer(stream: TcpStream, pages: Arc<Pages>) {
    let answer = |request: Request<Incoming>| {
        let response = pages.answer(request.method(), request.uri());
        async move { Ok::<_, Infallible>(response) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that leaves in the middle is nobody's concern.
    let _ = time::timeout(DEADLINE, connection).await;
}
