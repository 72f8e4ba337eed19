use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};

use super::Output;
use crate::{
    admin,
    published::State,
    refused::{PolicyLine, Refused, TopLine},
};

/// Prints who is refused most, and by which policy, as the running gateway of a runtime directory says.
pub(super) fn print(runtime_dir: &Path, rows: usize, output: Output) -> Result<ExitCode> {
    let state = State::of_running(runtime_dir)?;
    let answer = admin::ask(state.admin, &format!("/refused?rows={rows}"))?;
    let refused: Refused = serde_json::from_slice(&answer).context("the admin page is another version's")?;
    match output {
        Output::Text => print!("{}", text(&refused)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&refused)?),
        Output::Yaml => print!("{}", serde_yaml::to_string(&refused)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(refused: &Refused) -> String {
    let Refused { by_policy, top } = refused;
    let mut lines = Vec::new();
    if by_policy.is_empty() {
        lines.push("no connection was refused".to_owned());
    }
    for PolicyLine { policy, listener, tier, reason, dry_run, refused } in by_policy {
        let what = verb(*dry_run);
        lines.push(format!("{what} {refused} of {listener}: {reason} ({}, {tier})", by(policy)));
    }
    if !top.is_empty() {
        lines.push("sources that are refused most, in the last 10 to 20 minutes:".to_owned());
    }
    for TopLine { source, latest, listener, tier, reason, policy, dry_run, refused, over_by } in top {
        let about = if tier == "accept" { "" } else { "about " };
        let source = source.strip_suffix("/32").unwrap_or(source);
        let latest = if source == latest { String::new() } else { format!(", the last one {latest}") };
        let less = if *over_by > 0 { format!(" (or up to {over_by} less)") } else { String::new() };
        lines.push(format!(
            "  {source}{latest}: {} {about}{refused}{less} of {listener}: {reason} ({}, {tier})",
            verb(*dry_run),
            by(policy)
        ));
    }
    lines.join("\n") + "\n"
}

const fn verb(dry_run: bool) -> &'static str {
    if dry_run { "would refuse" } else { "refused" }
}

fn by(policy: &str) -> &str {
    if policy.is_empty() { "by no policy" } else { policy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_is_counted_and_what_is_an_estimate() {
        let row = |source: &str, latest: &str, tier: &str, over_by| TopLine {
            source: source.into(),
            latest: latest.into(),
            listener: "default/eg/http".into(),
            tier: tier.into(),
            reason: "source_denied".into(),
            policy: "default/s".into(),
            dry_run: false,
            refused: 7,
            over_by,
        };
        let refused = Refused {
            by_policy: vec![PolicyLine {
                listener: "default/eg/http".into(),
                tier: "accept".into(),
                reason: "over_global_limit".into(),
                refused: 3,
                ..PolicyLine::default()
            }],
            top: vec![
                row("192.0.2.1/32", "192.0.2.1", "accept", 0),
                row("2001:db8::/64", "2001:db8::9", "xdp", 2),
            ],
        };
        let expected = "refused 3 of default/eg/http: over_global_limit (by no policy, accept)
sources that are refused most, in the last 10 to 20 minutes:
  192.0.2.1: refused 7 of default/eg/http: source_denied (default/s, accept)
  2001:db8::/64, the last one 2001:db8::9: refused about 7 (or up to 2 less) of default/eg/http: source_denied (default/s, xdp)
";
        assert_eq!(text(&refused), expected);
        assert_eq!(text(&Refused::default()), "no connection was refused\n");
    }
}
