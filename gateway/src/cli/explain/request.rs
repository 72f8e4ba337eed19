use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use proxy::Explainer;

use super::{Asking, misread};
use crate::explain::{AskedRequest, Context};

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
    #[command(flatten)]
    asking: Asking,
}

impl Request {
    pub(super) fn run(self) -> Result<ExitCode> {
        let Self { method, url, header, from, to, asking } = self;
        let asked = match AskedRequest::parse(&method, &url, &header, from.as_deref(), to.as_deref()) {
            Ok(asked) => asked,
            Err(wrong) => return Ok(misread(&wrong)),
        };
        let of_files = |context: &Context<'_>| {
            let unserved = || context.config.clone();
            let explanation = Explainer::explain_unserved_request(unserved(), asked.request());
            context.answer_request(&asked, &explanation, |question| {
                Some(Explainer::explain_unserved(unserved(), question))
            })
        };
        asking.ask(&format!("/explain/request?{}", asked.query()), of_files, |answer| answer.answered)
    }
}
