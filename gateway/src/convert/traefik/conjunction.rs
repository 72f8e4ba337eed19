use super::{
    super::{
        matches::{METHODS, Match, PathTest, ValueTest},
        order::intersection,
        remarks::Remarks,
        spot::Spot,
        whole::{Search, whole},
    },
    host,
    normal::Literal,
    template::{Place, expression},
};

/// Hosts and the match of one alternative of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conjunction {
    /// `None`: every host.
    pub(super) host: Option<String>,
    pub(super) matched: Match,
}

/// What an alternative says. `None`: it cannot be said, and why was told; or nothing fulfils it.
pub(super) fn conjunction(
    literals: &[Literal],
    spot: &Spot<'_>,
    remarks: &mut Remarks,
) -> Option<Conjunction> {
    let mut found = Conjunction { host: None, matched: Match::default() };
    for literal in literals {
        match add(&mut found, literal, spot, remarks) {
            Ok(true) => {}
            Ok(false) => {
                remarks.note(
                    spot,
                    format!("{} contradicts what stands before it: no request fulfils both", shown(literal)),
                );
                return None;
            }
            Err(why) => {
                remarks.lost(spot, format!("{}: {why}; what it is part of is left out", shown(literal)));
                return None;
            }
        }
    }
    Some(found)
}

fn shown(literal: &Literal) -> String {
    let not = if literal.negated { "!" } else { "" };
    let arguments: Vec<String> =
        literal.call.arguments.iter().map(|argument| format!("`{argument}`")).collect();
    format!("{not}{}({})", literal.call.name, arguments.join(", "))
}

/// Adds one matcher; false if it contradicts.
fn add(
    found: &mut Conjunction,
    literal: &Literal,
    spot: &Spot<'_>,
    remarks: &mut Remarks,
) -> Result<bool, String> {
    if literal.negated {
        return Err("HTTPRoute knows no negation".to_owned());
    }
    let name = literal.call.name.to_ascii_lowercase();
    match (&*name, &*literal.call.arguments) {
        ("host" | "hostheader", [host]) => {
            Ok(add_host(found, Some(host.trim_end_matches('.').to_ascii_lowercase())))
        }
        ("hostregexp", [expression]) => {
            let (host, wider) = host::hostname(expression)?;
            if wider && let Some(host) = &host {
                remarks.differs(
                    spot,
                    format!("HostRegexp(`{expression}`) became {host}, which stands for more hosts"),
                );
            }
            Ok(add_host(found, host))
        }
        ("path", [path]) => add_path(found, path_test(path, false, spot, remarks)?),
        ("pathprefix", [path]) => add_path(found, path_test(path, true, spot, remarks)?),
        ("pathregexp", [expression]) => {
            add_path(found, PathTest::Pattern(whole(expression, Search::Anywhere, false)?))
        }
        ("method", [method]) => {
            let method = METHODS.iter().find(|known| known.eq_ignore_ascii_case(method));
            let method = *method.ok_or("HTTPRoute does not know this method")?;
            let same = found.matched.method.is_none_or(|before| before == method);
            found.matched.method = Some(method);
            Ok(same)
        }
        ("header" | "headers", [name, value]) => {
            found.matched.headers.push(ValueTest::exact(name, value));
            Ok(true)
        }
        ("headerregexp" | "headersregexp", [name, expression]) => {
            let pattern = whole(expression, Search::Anywhere, false)?;
            found.matched.headers.push(ValueTest::pattern(name, pattern));
            Ok(true)
        }
        ("query", arguments) => add_query(found, arguments),
        ("queryregexp", [name, expression]) => {
            let pattern = whole(expression, Search::Anywhere, false)?;
            found.matched.query.push(ValueTest::pattern(name, pattern));
            Ok(true)
        }
        ("clientip", _) => Err("HTTPRoute does not match addresses; `clientCIDRs` of a ConnectionPolicy \
                                does, for a whole listener"
            .to_owned()),
        ("hostsni" | "hostsniregexp" | "alpn", _) => Err("it is about TCP, not HTTP".to_owned()),
        (
            "host" | "hostheader" | "hostregexp" | "path" | "pathprefix" | "pathregexp" | "method" | "header"
            | "headers" | "headerregexp" | "headersregexp" | "queryregexp",
            arguments,
        ) => Err(format!("{} arguments are too few or too many", arguments.len())),
        _ => Err("no such matcher is known".to_owned()),
    }
}

fn add_host(found: &mut Conjunction, host: Option<String>) -> bool {
    let Some(host) = host else { return true };
    let parent = host.split_once('.').map_or("", |(_, parent)| parent);
    match &found.host {
        None => found.host = Some(host),
        Some(before) if *before == host => {}
        Some(before) if before.strip_prefix("*.") == Some(parent) => found.host = Some(host),
        Some(_) => return false,
    }
    true
}

fn add_path(found: &mut Conjunction, path: PathTest) -> Result<bool, String> {
    match intersection(&found.matched.path, &path)? {
        Some(both) => {
            found.matched.path = both;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// `Query(`a`, `b`)` of version 3, `Query(`a=b`, `c=d`)` of version 2.
fn add_query(found: &mut Conjunction, arguments: &[String]) -> Result<bool, String> {
    match arguments {
        [] => return Err("it needs a name".to_owned()),
        [name, value] if !name.contains('=') => found.matched.query.push(value_test(name, value)),
        all => all.iter().for_each(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            found.matched.query.push(value_test(name, value));
        }),
    }
    Ok(true)
}

/// No value has no exact form in HTTPRoute.
fn value_test(name: &str, value: &str) -> ValueTest {
    if value.is_empty() { ValueTest::pattern(name, "^$".to_owned()) } else { ValueTest::exact(name, value) }
}

fn path_test(path: &str, prefix: bool, spot: &Spot<'_>, remarks: &mut Remarks) -> Result<PathTest, String> {
    if path.starts_with('^') {
        remarks.note(spot, format!("`{path}` is read as a regular expression"));
        return whole(path, Search::Anywhere, false).map(PathTest::Pattern);
    }
    if let Some(expression) = expression(path, Place::Path)? {
        let end = if prefix { "" } else { "$" };
        return whole(&format!("^{expression}{end}"), Search::Anywhere, false).map(PathTest::Pattern);
    }
    if !path.starts_with('/') {
        return Err("a path begins with `/`".to_owned());
    }
    if !prefix {
        return Ok(PathTest::Exact(path.to_owned()));
    }
    if path != "/" {
        let other = match path.strip_suffix('/') {
            Some(without) => format!("did not match {without}, which a PathPrefix does"),
            None => format!("matched {path}x too, which a PathPrefix does not"),
        };
        remarks.differs(spot, format!("Traefik compares text: `{path}` {other}"));
    }
    Ok(PathTest::Prefix(path.to_owned()))
}
