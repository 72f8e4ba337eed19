use super::{
    super::{
        matches::{Match, PathTest},
        remarks::Remarks,
        rule::Rule,
        spot::Spot,
        whole::{Search, whole},
    },
    backend::Backend,
};

/// A path under a host, with what is done there.
#[derive(Clone, Debug)]
pub(super) struct Location<'a> {
    pub(super) host: Option<String>,
    pub(super) path: String,
    pub(super) kind: PathKind,
    /// Place of its Ingress among them.
    pub(super) ingress: usize,
    pub(super) backend: Option<Backend>,
    pub(super) rule: Rule<'a>,
}

/// `pathType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathKind {
    Exact,
    /// Whole elements.
    Prefix,
    /// Up to the controller: nginx compares the text, not elements.
    Implementation,
}

/// How a controller reads paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// By their type.
    Plain,
    /// As expressions from the start of the path, which need not reach to its end.
    Expression { ignore_case: bool },
    /// As they are, whatever their type.
    Exact,
}

impl PathKind {
    pub(super) fn of(path: &Spot<'_>, remarks: &mut Remarks) -> Self {
        match path.text_of("pathType") {
            Some("Exact") => Self::Exact,
            Some("Prefix") => Self::Prefix,
            Some("ImplementationSpecific") => Self::Implementation,
            Some(other) => {
                remarks.old_form(path, format!("unknown pathType `{other}`; read as ImplementationSpecific"));
                Self::Implementation
            }
            None => {
                if path.object.version == "v1" {
                    remarks.old_form(
                        path,
                        "no `pathType`, which networking.k8s.io/v1 asks for; read as ImplementationSpecific",
                    );
                }
                Self::Implementation
            }
        }
    }
}

/// What a request must be like for a path. `None`: it was said why there is no such condition.
pub(super) fn condition(
    path: &str,
    kind: PathKind,
    reading: Reading,
    spot: &Spot<'_>,
    remarks: &mut Remarks,
) -> Option<Match> {
    let path = match reading {
        Reading::Exact => PathTest::Exact(path.to_owned()),
        // `^/` is every path, and nothing is shorter.
        Reading::Expression { .. } if path == "/" => PathTest::Prefix(path.to_owned()),
        Reading::Expression { ignore_case } => match whole(path, Search::FromStart, ignore_case) {
            Ok(pattern) => PathTest::Pattern(pattern),
            Err(why) => {
                remarks.lost(
                    spot,
                    format!("the expression `{path}` has no counterpart: {why}; the path is left out"),
                );
                return None;
            }
        },
        Reading::Plain => match kind {
            PathKind::Exact => PathTest::Exact(path.to_owned()),
            PathKind::Prefix => PathTest::Prefix(path.to_owned()),
            PathKind::Implementation => {
                if path != "/" && !path.ends_with('/') {
                    let message = format!(
                        "nginx compares text: `{path}` matched {path}x too; a PathPrefix matches whole elements only"
                    );
                    remarks.differs(spot, message);
                }
                PathTest::Prefix(path.to_owned())
            }
        },
    };
    Some(Match { path, ..Match::default() })
}
