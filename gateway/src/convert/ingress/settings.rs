use std::collections::BTreeMap;

use super::{
    super::{
        counterpart::{self, Counterpart, Fate},
        effects::{Effects, PathChange, Redirect},
        object::Object,
        remarks::Remarks,
        rule::Then,
        spot::{Spot, is_true},
    },
    annotation::{NGINX, NGINX_ORG, OF_NGINX, OF_NGINX_ORG},
    cors::cors,
    location::Reading,
    redirects,
};

/// The annotations of one controller on one Ingress, without the prefix.
#[derive(Debug)]
pub(super) struct Annotations<'o, 'a> {
    of: BTreeMap<&'o str, Spot<'a>>,
    table: &'static [Counterpart],
}

impl<'a> Annotations<'a, 'a> {
    fn of(object: &'a Object<'a>, prefix: &str, table: &'static [Counterpart]) -> Self {
        let all = Spot::root(object).at(&["metadata", "annotations"]).map(|spot| spot.entries());
        let own = all
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, spot)| Some((name.strip_prefix(prefix)?, spot)));
        Self { of: own.collect(), table }
    }

    pub(super) fn spot(&self, name: &str) -> Option<&Spot<'a>> {
        self.of.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.of.get(name).and_then(Spot::text).filter(|text| !text.is_empty())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(is_true)
    }

    /// Says what is left out. True if the routes must be closed without it.
    fn tell(&self, remarks: &mut Remarks) -> bool {
        let mut closed = false;
        for (name, spot) in &self.of {
            let off = matches!(spot.text(), None | Some("" | "false" | "off"));
            match counterpart::find(self.table, name) {
                Some(Counterpart { fate: Fate::Converted | Fate::Needless, .. }) => {}
                Some(_) if off => {}
                Some(Counterpart { fate: Fate::Lost, text, .. }) => {
                    remarks.lost(spot, format!("left out: {text}"))
                }
                Some(Counterpart { fate: Fate::Closes, text, .. }) => {
                    closed = true;
                    remarks.lost(spot, format!("left out, and its routes answer 500: {text}"));
                }
                None => {
                    let hint = manifest::did_you_mean(name, self.table.iter().map(|row| row.name));
                    remarks.lost(spot, format!("unknown annotation, left out{hint}"));
                }
            }
        }
        closed
    }
}

/// What the annotations of an Ingress ask for.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) reading: Reading,
    /// Tried in the order in which the paths stand, not by their length.
    pub(super) in_order: bool,
    pub(super) rewrite_target: Option<Spot<'a>>,
    /// What stands in a prefix's place, by Service.
    pub(super) rewrites: BTreeMap<&'a str, String>,
    /// Status of the redirect to HTTPS: of hosts with TLS, and of hosts without.
    pub(super) to_https: (Option<u16>, Option<u16>),
    pub(super) redirect: Option<Redirect>,
    pub(super) app_root: Option<&'a str>,
    pub(super) aliases: Vec<&'a str>,
    /// `a.example` redirects from `www.a.example`, and the other way round.
    pub(super) www: bool,
    /// Backends must speak HTTP/2.
    pub(super) http2: Option<Spot<'a>>,
    pub(super) then: Then,
    pub(super) annotations: Annotations<'a, 'a>,
}

impl<'a> Settings<'a> {
    pub(super) fn of(object: &'a Object<'a>, remarks: &mut Remarks) -> Self {
        let nginx = Annotations::of(object, NGINX, OF_NGINX);
        let org = Annotations::of(object, NGINX_ORG, OF_NGINX_ORG);
        let closed = nginx.tell(remarks) | org.tell(remarks);
        tell_of_others(object, remarks);
        let (reading, in_order) = reading(&nginx, &org, remarks);
        let mut then = Then { closed, timeout: timeout(&nginx, &org, remarks), ..Then::default() };
        then.effects = effects(&nginx, &org, remarks);
        let words = |text: &'a str| text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Self {
            reading,
            in_order,
            rewrite_target: nginx.text("rewrite-target").and(nginx.spot("rewrite-target")).cloned(),
            rewrites: rewrites(&org, remarks),
            to_https: to_https(object, &nginx, &org),
            redirect: redirects::of(&nginx, remarks),
            app_root: nginx.text("app-root"),
            aliases: nginx.text("server-alias").map(words).into_iter().flatten().collect(),
            www: nginx.is_true("from-to-www-redirect"),
            http2: protocol(&nginx, remarks),
            then,
            annotations: nginx,
        }
    }
}

/// Annotations of other controllers.
fn tell_of_others(object: &Object<'_>, remarks: &mut Remarks) {
    let known = |name: &str| {
        let harmless =
            ["kubectl.kubernetes.io/", "kubernetes.io/", "meta.helm.sh/", "app.kubernetes.io/", "argocd."];
        [NGINX, NGINX_ORG].iter().chain(&harmless).any(|prefix| name.starts_with(prefix))
    };
    let of_controllers =
        ["traefik.ingress.kubernetes.io/", "haproxy", "nginx.com/", "alb.ingress.", "konghq.com/"];
    let all = Spot::root(object).at(&["metadata", "annotations"]).map(|spot| spot.entries());
    for (name, spot) in all.unwrap_or_default().into_iter().filter(|(name, _)| !known(name)) {
        if of_controllers.iter().any(|prefix| name.starts_with(prefix)) {
            remarks.lost(&spot, "left out: annotations of this controller are not read");
        } else if name.starts_with("cert-manager.io/") {
            remarks.differs(&spot, "left out: cert-manager must be told of the Gateway instead");
        }
    }
}

fn reading(nginx: &Annotations<'_, '_>, org: &Annotations<'_, '_>, remarks: &mut Remarks) -> (Reading, bool) {
    match org.text("path-regex") {
        Some("case_sensitive") => return (Reading::Expression { ignore_case: false }, true),
        Some("case_insensitive") => return (Reading::Expression { ignore_case: true }, true),
        Some("exact") => return (Reading::Exact, true),
        Some(_) => {
            if let Some(spot) = org.spot("path-regex") {
                remarks.lost(
                    spot,
                    "expected `case_sensitive`, `case_insensitive` or `exact`; paths are read plainly",
                );
            }
        }
        None => {}
    }
    let expression = nginx.is_true("use-regex");
    (if expression { Reading::Expression { ignore_case: true } } else { Reading::Plain }, false)
}

fn effects(nginx: &Annotations<'_, '_>, org: &Annotations<'_, '_>, remarks: &mut Remarks) -> Effects {
    let mut effects = Effects::default();
    if nginx.is_true("enable-cors") {
        effects.cors = Some(cors(nginx, remarks));
    }
    if let (Some(host), Some(spot)) = (nginx.text("upstream-vhost"), nginx.spot("upstream-vhost")) {
        if host.contains('$') || host.contains(':') {
            remarks.lost(spot, format!("`{host}`: an HTTPRoute sets a plain name without a port"));
        } else {
            effects.host = Some(host.to_ascii_lowercase());
        }
    }
    if let Some(prefix) = nginx.text("x-forwarded-prefix") {
        effects.request.set("X-Forwarded-Prefix", prefix);
    }
    if org.is_true("hsts") {
        let age = org.text("hsts-max-age").unwrap_or("2592000");
        let below = if org.is_true("hsts-include-subdomains") { "; includeSubDomains" } else { "" };
        effects.response.set("Strict-Transport-Security", &format!("max-age={age}{below}"));
    }
    effects
}

fn timeout(nginx: &Annotations<'_, '_>, org: &Annotations<'_, '_>, remarks: &mut Remarks) -> Option<String> {
    let name = "proxy-read-timeout";
    let spot = nginx.spot(name).or_else(|| org.spot(name))?;
    let text = spot.text()?;
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = if unit.is_empty() { "s" } else { unit };
    let timeout = format!("{number}{unit}");
    if timeout.parse::<ir::Duration>().is_err() {
        remarks.lost(spot, format!("`{text}` is no time that an HTTPRoute could say; left out"));
        return None;
    }
    Some(timeout)
}

/// nginx redirects where there is TLS, unless it is told not to. With an Ingress of another class nobody knows.
fn to_https(
    object: &Object<'_>,
    nginx: &Annotations<'_, '_>,
    org: &Annotations<'_, '_>,
) -> (Option<u16>, Option<u16>) {
    const INGRESS_NGINX: u16 = 308;
    const OF_NGINX_ORG: u16 = 301;
    if nginx.is_true("force-ssl-redirect") {
        return (Some(INGRESS_NGINX), Some(INGRESS_NGINX));
    }
    if org.is_true("redirect-to-https") {
        return (Some(OF_NGINX_ORG), Some(OF_NGINX_ORG));
    }
    let root = Spot::root(object);
    let named = root.at(&["spec", "ingressClassName"]);
    let annotated = root.at(&["metadata", "annotations", "kubernetes.io/ingress.class"]);
    let class = named.or(annotated).and_then(|spot| spot.text());
    let other = class.is_some_and(|class| !class.contains("nginx"));
    if nginx.text("ssl-redirect").is_some_and(|text| !is_true(text)) || (other && nginx.of.is_empty()) {
        return (None, None);
    }
    (Some(if org.of.is_empty() { INGRESS_NGINX } else { OF_NGINX_ORG }), None)
}

/// `serviceName=tea rewrite=/;serviceName=coffee rewrite=/beans/`.
fn rewrites<'a>(org: &Annotations<'a, 'a>, remarks: &mut Remarks) -> BTreeMap<&'a str, String> {
    let Some(spot) = org.spot("rewrites") else { return BTreeMap::new() };
    let all = spot.text().unwrap_or_default().split(';').map(str::trim).filter(|one| !one.is_empty());
    let pair = |one: &'a str| {
        let (service, target) = one.split_once(' ')?;
        Some((service.trim().strip_prefix("serviceName=")?, target.trim().strip_prefix("rewrite=")?))
    };
    let mut rewrites = BTreeMap::new();
    for one in all {
        match pair(one) {
            Some((service, target)) => {
                let target = target.trim_end_matches('/');
                drop(
                    rewrites
                        .insert(service, if target.is_empty() { "/".to_owned() } else { target.to_owned() }),
                );
            }
            None => remarks.lost(spot, format!("`{one}`: expected `serviceName=NAME rewrite=PATH`")),
        }
    }
    rewrites
}

/// The spot of `backend-protocol` if it asks for HTTP/2 in clear text.
fn protocol<'a>(nginx: &Annotations<'a, 'a>, remarks: &mut Remarks) -> Option<Spot<'a>> {
    let spot = nginx.spot("backend-protocol")?;
    match spot.text().unwrap_or_default().to_ascii_uppercase().as_str() {
        "HTTP" | "AUTO_HTTP" | "" => None,
        "GRPC" | "H2C" => Some(spot.clone()),
        "HTTPS" | "GRPCS" => {
            remarks.lost(spot, "left out: TLS to backends is BackendTLSPolicy's: write one for the Service");
            None
        }
        other => {
            remarks.lost(spot, format!("left out: `{other}` is not spoken here"));
            None
        }
    }
}

/// A full path for a redirect or a rewrite.
pub(super) fn full(path: &str) -> PathChange {
    PathChange::Full(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}
