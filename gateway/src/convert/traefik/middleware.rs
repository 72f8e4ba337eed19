use std::collections::BTreeMap;

use super::{
    super::{
        counterpart::{self, Counterpart, Fate},
        effects::{PathChange, Redirect},
        ingress::{Rewrite, rewrite},
        matches::PathTest,
        object::Object,
        remarks::Remarks,
        spot::Spot,
    },
    headers,
    paths::{Draft, add, replace},
    redirects::{self, status},
    table::MIDDLEWARES,
};

/// Every Middleware among the files, by namespace and name.
#[derive(Debug)]
pub(super) struct Middlewares<'a>(BTreeMap<(&'a str, &'a str), Spot<'a>>);

/// Chains in one another.
const DEEPEST: usize = 8;

/// The router that a middleware works for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Router<'r> {
    pub(super) secure: bool,
    pub(super) host: Option<&'r str>,
    pub(super) namespace: &'r str,
}

impl<'a> Middlewares<'a> {
    pub(super) fn of(objects: &'a [Object<'a>], groups: &[&str]) -> Self {
        let all = objects.iter().filter(|object| object.is(groups, "Middleware"));
        let spec = |object: &'a Object<'a>| Spot::root(object).field("spec");
        Self(
            all.filter_map(|object| Some(((&*object.id.namespace, &*object.id.name), spec(object)?)))
                .collect(),
        )
    }

    /// Lets the middlewares of a list work on what a router matches, one after the other.
    pub(super) fn apply(
        &self,
        mut drafts: Vec<Draft>,
        list: &[Spot<'_>],
        router: Router<'_>,
        depth: usize,
        remarks: &mut Remarks,
    ) -> Vec<Draft> {
        for reference in list {
            let name = reference.text_of("name").unwrap_or_default();
            let namespace = reference.text_of("namespace").unwrap_or(router.namespace);
            let found = self.0.get(&(namespace, name)).filter(|_| depth < DEEPEST);
            let Some(spec) = found else {
                let message = if depth < DEEPEST {
                    let names = self.0.keys().filter(|(of, _)| *of == namespace).map(|(_, name)| *name);
                    let hint = manifest::did_you_mean(name, names);
                    format!(
                        "Middleware {namespace}/{name} is not among the files{hint}; the rule answers 500"
                    )
                } else {
                    format!("more than {DEEPEST} chains in one another; the rule answers 500")
                };
                remarks.lost(reference, message);
                drafts.iter_mut().for_each(|draft| draft.then.closed = true);
                continue;
            };
            for (kind, settings) in spec.entries() {
                drafts = if kind == "chain" {
                    let inner = Router { namespace, ..router };
                    self.apply(drafts, &settings.list("middlewares"), inner, depth + 1, remarks)
                } else {
                    one(drafts, kind, &settings, router, remarks)
                };
            }
        }
        drafts
    }
}

fn one(
    mut drafts: Vec<Draft>,
    kind: &str,
    settings: &Spot<'_>,
    router: Router<'_>,
    remarks: &mut Remarks,
) -> Vec<Draft> {
    match counterpart::find(MIDDLEWARES, kind) {
        Some(Counterpart { fate: Fate::Needless, .. }) => drafts,
        Some(Counterpart { fate: Fate::Lost, text, .. }) => {
            remarks.lost(settings, format!("left out: {text}"));
            drafts
        }
        Some(Counterpart { fate: Fate::Closes, text, .. }) => {
            remarks.lost(settings, format!("left out, and the rules that ask for it answer 500: {text}"));
            closed(drafts)
        }
        Some(Counterpart { fate: Fate::Converted, .. }) if kind == "headers" => {
            for draft in &mut drafts {
                draft.then.closed |=
                    headers::lay_over(&mut draft.then.effects, settings, router.secure, remarks);
            }
            drafts
        }
        Some(Counterpart { fate: Fate::Converted, .. }) if kind.starts_with("redirect") => {
            redirected(drafts, kind, settings, router, remarks)
        }
        Some(Counterpart { fate: Fate::Converted, .. }) => {
            let changed = |draft: Draft| match moved(draft.clone(), kind, settings) {
                Ok(drafts) => drafts,
                Err(why) => {
                    remarks
                        .lost(settings, format!("left out, and a rule that asks for it answers 500: {why}"));
                    closed(vec![draft])
                }
            };
            drafts.into_iter().flat_map(changed).collect()
        }
        None => {
            let hint = manifest::did_you_mean(kind, MIDDLEWARES.iter().map(|row| row.name));
            remarks.lost(settings, format!("unknown middleware; the rules that ask for it answer 500{hint}"));
            closed(drafts)
        }
    }
}

fn closed(mut drafts: Vec<Draft>) -> Vec<Draft> {
    drafts.iter_mut().for_each(|draft| draft.then.closed = true);
    drafts
}

/// A middleware that changes the path.
fn moved(mut draft: Draft, kind: &str, settings: &Spot<'_>) -> Result<Vec<Draft>, String> {
    let strip = |drafts: Vec<Draft>, prefix: &str| -> Result<Vec<Draft>, String> {
        let (done, left): (Vec<Draft>, Vec<Draft>) =
            drafts.into_iter().partition(|one| one.then.effects.path.is_some());
        let mut all = done;
        for one in left {
            all.extend(replace(one, prefix, "", true)?);
        }
        Ok(all)
    };
    match kind {
        "addPrefix" => Ok(vec![add(draft, settings.text_of("prefix").unwrap_or_default())?]),
        "stripPrefix" => {
            // The first that fits is stripped, and no other.
            let before = draft.then.effects.path.take();
            let prefixes = settings.field("prefixes").map(|spot| spot.texts()).unwrap_or_default();
            if before.is_some() {
                draft.then.effects.path = before;
                let mut drafts = vec![draft];
                for prefix in prefixes {
                    let each: Result<Vec<Vec<Draft>>, &str> =
                        drafts.into_iter().map(|one| replace(one, prefix, "", true)).collect();
                    drafts = each?.into_iter().flatten().collect();
                }
                return Ok(drafts);
            }
            prefixes.into_iter().try_fold(vec![draft], strip)
        }
        "stripPrefixRegex" => {
            let expressions = settings.field("regex").map(|spot| spot.texts()).unwrap_or_default();
            expressions.into_iter().try_fold(vec![draft], |drafts, expression| {
                let expression = expression.trim_start_matches('^');
                if regex_syntax::escape(expression) != expression {
                    return Err(format!("`{expression}` is no plain text"));
                }
                strip(drafts, expression)
            })
        }
        "replacePath" => {
            let path = settings.text_of("path").unwrap_or("/").to_owned();
            draft.then.effects.path = Some(PathChange::Full(path));
            Ok(vec![draft])
        }
        "replacePathRegex" => replaced(draft, settings),
        _ => Err(format!("`{kind}` is not read")),
    }
}

fn replaced(mut draft: Draft, settings: &Spot<'_>) -> Result<Vec<Draft>, String> {
    let expression = settings.text_of("regex").unwrap_or_default();
    let replacement =
        settings.text_of("replacement").unwrap_or_default().replace("${1}", "$1").replace("${2}", "$2");
    if !expression.starts_with('^') {
        return Err(format!("`{expression}` may be found anywhere in a path"));
    }
    match rewrite(expression, &replacement)? {
        Rewrite::Nothing => Ok(vec![draft]),
        Rewrite::Whole(_) if !expression.ends_with(['$', '*']) => {
            Err(format!("`{expression}` leaves the rest of a path as it is"))
        }
        Rewrite::Whole(change) if draft.matched.path.is_any() && expression == "^.*" => {
            draft.then.effects.path = Some(change);
            Ok(vec![draft])
        }
        Rewrite::Whole(_) => {
            Err("a whole path is replaced where an expression matches, and others stay".to_owned())
        }
        Rewrite::Prefix(PathTest::Prefix(prefix), change) => {
            let instead = match change {
                Some(PathChange::Prefix(instead)) => instead,
                _ => return Ok(vec![draft]),
            };
            Ok(replace(draft, &prefix, &instead, false)?)
        }
        Rewrite::Prefix(..) => Err("it is no prefix".to_owned()),
    }
}

fn redirected(
    mut drafts: Vec<Draft>,
    kind: &str,
    settings: &Spot<'_>,
    router: Router<'_>,
    remarks: &mut Remarks,
) -> Vec<Draft> {
    let permanent = settings.is_true("permanent");
    let own = if router.secure { "https" } else { "http" };
    let redirect = if kind == "redirectScheme" {
        let scheme = match settings.text_of("scheme") {
            Some("http") => "http",
            _ => "https",
        };
        let by_default = if scheme == "https" { 443 } else { 80 };
        let port =
            settings.text_of("port").and_then(|port| port.parse().ok()).filter(|port| *port != by_default);
        let redirect =
            Redirect { scheme: Some(scheme), hostname: None, port, path: None, status: status(permanent) };
        (scheme != own || port.is_some()).then_some(redirect)
    } else {
        let (expression, to) = (settings.text_of("regex"), settings.text_of("replacement"));
        let found = redirects::read(expression.unwrap_or_default(), to.unwrap_or_default(), permanent);
        let Some(found) = found else {
            let message = "an HTTPRoute redirects to another scheme or host with the path kept; \
                           the rules that ask for this one answer 500";
            remarks.lost(settings, message);
            return closed(drafts);
        };
        let of_host = found.from_host.as_deref().is_none_or(|host| router.host == Some(host));
        let of_scheme = found.from_scheme.is_none_or(|scheme| scheme == own);
        if found.from_host.is_some() && router.host.is_none() {
            remarks.lost(
                settings,
                "it is about one host, and the router about all of them; the rules answer 500",
            );
            return closed(drafts);
        }
        (of_host && of_scheme).then_some(found.to)
    };
    if let Some(redirect) = redirect {
        for draft in &mut drafts {
            draft.then.effects.redirect.get_or_insert_with(|| redirect.clone());
        }
    }
    drafts
}
