use serde_json::{Value as Json, json};

use ir::CorsOrigin;

use super::{
    super::{
        counterpart::{self, Counterpart, Fate},
        effects::{Effects, HeaderEdits},
        matches::METHODS,
        remarks::Remarks,
        spot::Spot,
    },
    table::HEADERS,
};

/// Response headers whose field holds their value.
const VALUES: [(&str, &str); 6] = [
    ("customBrowserXSSValue", "X-XSS-Protection"),
    ("customFrameOptionsValue", "X-Frame-Options"),
    ("contentSecurityPolicy", "Content-Security-Policy"),
    ("contentSecurityPolicyReportOnly", "Content-Security-Policy-Report-Only"),
    ("referrerPolicy", "Referrer-Policy"),
    ("permissionsPolicy", "Permissions-Policy"),
];

/// Response headers with a fixed value, where the field is true.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("frameDeny", "X-Frame-Options", "DENY"),
    ("contentTypeNosniff", "X-Content-Type-Options", "nosniff"),
    ("browserXssFilter", "X-XSS-Protection", "1; mode=block"),
];

/// Lays the middleware `headers` over what a rule does. True: the rule must be closed without what was left out.
pub(super) fn lay_over(
    effects: &mut Effects,
    headers: &Spot<'_>,
    secure: bool,
    remarks: &mut Remarks,
) -> bool {
    for (field, name, value) in SWITCHES {
        if headers.is_true(field) {
            effects.response.set(name, value);
        }
    }
    for (field, name) in VALUES {
        if let Some(value) = headers.text_of(field) {
            effects.response.set(name, value);
        }
    }
    if let Some(seconds) = headers.text_of("stsSeconds").filter(|seconds| *seconds != "0")
        && (secure || headers.is_true("forceSTSHeader"))
    {
        let below = if headers.is_true("stsIncludeSubdomains") { "; includeSubDomains" } else { "" };
        let preload = if headers.is_true("stsPreload") { "; preload" } else { "" };
        effects.response.set("Strict-Transport-Security", &format!("max-age={seconds}{below}{preload}"));
    }
    set_all(&mut effects.request, headers.field("customRequestHeaders"));
    set_all(&mut effects.response, headers.field("customResponseHeaders"));
    if headers.field("accessControlAllowOriginList").is_some() {
        effects.cors = Some(cors(headers, remarks));
    }
    tell(headers, HEADERS, remarks)
}

fn set_all(edits: &mut HeaderEdits, headers: Option<Spot<'_>>) {
    for (name, value) in headers.iter().flat_map(Spot::entries) {
        edits.set(name, value.text().unwrap_or_default());
    }
}

fn cors(headers: &Spot<'_>, remarks: &mut Remarks) -> Json {
    let mut cors = json!({ "allowOrigins": [] });
    let lists = [
        ("accessControlAllowOriginList", "allowOrigins"),
        ("accessControlAllowMethods", "allowMethods"),
        ("accessControlAllowHeaders", "allowHeaders"),
        ("accessControlExposeHeaders", "exposeHeaders"),
    ];
    for (field, name) in lists {
        let Some(list) = headers.field(field) else { continue };
        let mut words: Vec<&str> = list.texts();
        words.retain(|word| {
            let fits = match name {
                "allowOrigins" => word.parse::<CorsOrigin>().is_ok(),
                "allowMethods" => *word == "*" || METHODS.contains(word),
                _ => true,
            };
            if !fits {
                remarks
                    .lost(&list, format!("`{word}` is nothing that the CORS filter could allow; left out"));
            }
            fits
        });
        cors[name] = json!(alone(words));
    }
    if headers.is_true("accessControlAllowCredentials") {
        cors["allowCredentials"] = json!(true);
    }
    if let Some(age) = headers.text_of("accessControlMaxAge").and_then(|age| age.parse::<u32>().ok())
        && age > 0
    {
        cors["maxAge"] = json!(age);
    }
    cors
}

/// `*` stands for all, and alone.
pub(in super::super) fn alone(words: Vec<&str>) -> Vec<&str> {
    if words.contains(&"*") { vec!["*"] } else { words }
}

/// Says which fields are left out. True: the rule must be closed without one of them.
pub(super) fn tell(spot: &Spot<'_>, table: &'static [Counterpart], remarks: &mut Remarks) -> bool {
    let mut closed = false;
    for (name, field) in spot.entries() {
        let off = matches!(field.text(), Some("" | "false")) && name != "passHostHeader";
        let off = off || (name == "passHostHeader" && field.text() == Some("true"));
        match counterpart::find(table, name) {
            _ if off => {}
            Some(Counterpart { fate: Fate::Converted | Fate::Needless, .. }) => {}
            Some(Counterpart { fate: Fate::Lost, text, .. }) => {
                remarks.lost(&field, format!("left out: {text}"))
            }
            Some(Counterpart { fate: Fate::Closes, text, .. }) => {
                closed = true;
                remarks.lost(&field, format!("left out, and the rules that ask for it answer 500: {text}"));
            }
            None => {
                let hint = manifest::did_you_mean(name, table.iter().map(|row| row.name));
                remarks.lost(&field, format!("unknown, left out{hint}"));
            }
        }
    }
    closed
}
