use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use proxy::Explainer;

use super::{Output, misread, print, unreadable};
use crate::{
    admin,
    desired::{self, Translated},
    explain::{AskedRequest, Context, RequestAnswer},
    published::State,
};

/// Which rule would answer a request, and why that one? The listener, its policies, the match that was found, those
/// before it that nearly fit, the next that would fit, the rule's filters, and the backends with their shares; or why
/// nobody answers, with the closest matches and what is not so. Each with its file and line.
///
/// Asks the running gateway, whose router answers; nothing is sent to a backend. With --config-dir it reads files that
/// nobody needs to serve.
///
/// Exit codes: 0 if a rule answers it or a backend may, 1 if it is refused or nobody listens, 2 for wrong usage.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// Such as GET; as it is sent, in capitals.
    #[arg(value_name = "METHOD")]
    method: String,
    /// With scheme and host: `http://shop.example.com:8080/cart?id=1`. Where the host is a name, every listener of that
    /// port is looked at.
    #[arg(value_name = "URL")]
    url: String,
    /// A header of the request, `name: value`; as often as there are some. Host replaces that of the URL.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    header: Vec<String>,
    /// Who sends it: then a refusal of its connection is told too.
    #[arg(long, value_name = "ADDR")]
    from: Option<String>,
    /// Where it connects to, such as 192.0.2.1:443, if that is not what the URL says.
    #[arg(long, value_name = "ADDR:PORT")]
    to: Option<String>,
    /// Read the manifests in this directory, and not what a running gateway has in force.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// The running gateway's runtime directory.
    #[arg(long, value_name = "DIR", default_value = "/run/gateway", conflicts_with = "config_dir")]
    runtime_dir: PathBuf,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Request {
    pub(super) fn run(self) -> Result<ExitCode> {
        let Self { method, url, header, from, to, config_dir, runtime_dir, output } = self;
        let asked = match AskedRequest::parse(&method, &url, &header, from.as_deref(), to.as_deref()) {
            Ok(asked) => asked,
            Err(wrong) => return Ok(misread(&wrong)),
        };
        let answer = match config_dir {
            Some(directory) => match unreadable(&directory) {
                Some(code) => return Ok(code),
                None => of_files(directory, &asked),
            },
            None => {
                let state = State::of_running(&runtime_dir)?;
                let answer = admin::ask(state.admin, &format!("/explain/request?{}", asked.query()))?;
                serde_json::from_slice(&answer).context("the running gateway is of another version")?
            }
        };
        print(&answer, output)?;
        Ok(if answer.answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What files say that nobody serves.
fn of_files(directory: PathBuf, asked: &AskedRequest) -> RequestAnswer {
    let Translated { config, limits, origins, statuses: _, diagnostics: _ } = desired::check(&[directory]).0;
    let explanation = Explainer::explain_unserved_request(config.clone(), asked.request());
    let context = Context { config: &config, limits: &limits, origins: &origins, running: None };
    context.answer_request(asked, &explanation, |question| {
        Some(Explainer::explain_unserved(config.clone(), question))
    })
}
