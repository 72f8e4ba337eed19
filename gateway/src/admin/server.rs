use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, BorrowedFd},
    pin::pin,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, runtime, sync::watch, task, time};

use super::Pages;

/// Connections at an instant. One more ends the oldest, so that silent ones keep nobody out.
const CONNECTIONS: usize = 32;

/// For one connection, whatever it does.
const DEADLINE: Duration = Duration::from_secs(60);

/// For a request's header.
const HEADER: Duration = Duration::from_secs(5);

/// How long those that are being answered may take when the page ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// An admin page. It answers between [`Admin::start`] and [`Admin::stop`]; whoever comes meanwhile waits.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    /// Its end, and the thread.
    answering: Option<(watch::Sender<bool>, JoinHandle<()>)>,
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
        Self::listening(listener)
    }

    /// The one that a predecessor has bound, if it is where this process wants it.
    pub(crate) fn inherit(listener: TcpListener, wanted: SocketAddr) -> Result<Self> {
        let address = listener.local_addr()?;
        if address.ip() == wanted.ip() && [address.port(), 0].contains(&wanted.port()) {
            Self::listening(listener)
        } else {
            Self::bind(wanted)
        }
    }

    fn listening(listener: TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, answering: None })
    }

    /// Where it listens, with the port that the kernel chose for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on.
    pub(crate) fn start(&mut self, pages: Arc<Pages>) -> Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the admin page")?;
        let listener = self.listener.try_clone().context("cannot start the admin page")?;
        let (end, ended) = watch::channel(false);
        let serve = move || runtime.block_on(serve(listener, pages, ended));
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(serve);
        self.answering = Some((end, thread.context("cannot start the admin page")?));
        Ok(())
    }

    /// Answers no more. Those that are being answered get their answer.
    pub(crate) fn stop(&mut self) {
        let Some((end, thread)) = self.answering.take() else { return };
        let _ = end.send(true);
        if thread.join().is_err() {
            tracing::error!("the admin page has panicked");
        }
    }
}

impl AsFd for Admin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

async fn serve(listener: TcpListener, pages: Arc<Pages>, mut ended: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin page is off"),
    };
    let mut open: VecDeque<task::JoinHandle<()>> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ended.changed() => break,
        };
        let stream = match accepted {
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
        open.push_back(tokio::spawn(answer(stream, Arc::clone(&pages), ended.clone())));
    }
    drop(listener);
    let answered = async {
        for connection in open {
            // One that was aborted is at its end too.
            let _ = connection.await;
        }
    };
    let _ = time::timeout(FAREWELL, answered).await;
}

async fn answer(stream: TcpStream, pages: Arc<Pages>, mut ended: watch::Receiver<bool>) {
    let answer = |request: Request<Incoming>| {
        let response = pages.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let mut connection = pin!(connection);
    let whole = async {
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = ended.wait_for(|ended| *ended) => connection.as_mut().graceful_shutdown(),
        }
        // A client that leaves in the middle is nobody's concern.
        let _ = connection.await;
    };
    let _ = time::timeout(DEADLINE, whole).await;
}
