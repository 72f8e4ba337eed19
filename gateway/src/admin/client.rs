use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime, time::timeout};

/// How long a running gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the admin page of a running gateway: what it answers to a GET. Fails where it does not answer, or not with 200.
pub(crate) fn ask(admin: SocketAddr, target: &str) -> Result<Bytes> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async { timeout(PATIENCE, get(admin, target)).await });
    let answer = answer.with_context(|| format!("the admin page http://{admin}/ does not answer"))?;
    let (status, body) = answer.with_context(|| {
        format!("cannot ask the admin page http://{admin}/; is the gateway running, and this its network namespace?")
    })?;
    match status {
        StatusCode::OK => Ok(body),
        _ => bail!("{}", String::from_utf8_lossy(&body).trim_end()),
    }
}

async fn get(admin: SocketAddr, target: &str) -> Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(admin).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(target).header(header::HOST, admin.to_string()).body(Empty::<Bytes>::new())?;
    let talk = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    tokio::pin!(talk);
    tokio::select! {
        answer = &mut talk => answer,
        ended = connection => {
            // What was read before its end is answered all the same.
            ended?;
            talk.await
        }
    }
}
