use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use proxy::Explainer;

use super::{Asking, misread};
use crate::explain::{Asked, Context};

/// Would a connection be served? Every check that it meets, in order, with what is found, the value in force, and the
/// policy, file and line behind it; then what the client sees.
///
/// Asks the running gateway, with the counts of this moment, and takes nothing. With --config-dir it reads files that
/// nobody needs to serve.
///
/// Exit codes: 0 if it is served, 1 if it is refused or nobody listens, 2 for wrong usage.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The client's address, with a port or without.
    #[arg(value_name = "FROM")]
    from: String,
    /// Where it connects to, such as 192.0.2.1:443.
    #[arg(value_name = "TO")]
    to: String,
    /// It sends a PROXY header with this source.
    #[arg(long, value_name = "ADDR")]
    proxy_source: Option<String>,
    /// The server name of its TLS handshake; without it, the way to each listener of the port is shown.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

impl Connection {
    pub(super) fn run(self) -> Result<ExitCode> {
        let Self { from, to, proxy_source, server_name, asking } = self;
        let asked = match Asked::parse(&from, &to, proxy_source.as_deref(), server_name.as_deref()) {
            Ok(asked) => asked,
            Err(wrong) => return Ok(misread(&wrong)),
        };
        let of_files = |context: &Context<'_>| {
            context.answer(&asked, &Explainer::explain_unserved(context.config.clone(), &asked.0))
        };
        asking.ask(&format!("/explain?{}", asked.query()), of_files, |answer| answer.served)
    }
}
