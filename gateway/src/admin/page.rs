use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri, header};
use http_body_util::Full;
use prometheus::{Encoder, Registry, TextEncoder};
use proxy::RefusedSources;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    explain::{Asked, AskedRequest, Misread},
    published::{Published, Shown},
    refused::{ROWS, Refused},
};

/// What the admin page answers from.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Of the data plane and of everything that registers with it.
    pub(crate) registry: Registry,
    /// The latest published configuration.
    pub(crate) shown: Shown,
    /// Who is refused most.
    pub(crate) sources: RefusedSources,
}

const INDEX: &str = "/metrics      Prometheus text
/healthz      200 while the process lives
/readyz       200 once a configuration is published
/status       what is in force: listeners, objects and their conditions, diagnostics; who is refused
/refused      connections that were refused: by policy, and the sources that are refused most (?rows=20)
/explain      what would become of a connection (?from=ADDR:PORT&to=ADDR:PORT[&source=ADDR:PORT][&name=SERVER])
/explain/request  ...and of a request (?method=GET&url=URL[&header=FIELD]...[&from=ADDR][&to=ADDR:PORT], percent-encoded)
/config_dump  the configuration after translation; keys and credentials left out
";

/// Headers whose values are credentials when a manifest sets them.
const CREDENTIALS: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

impl Pages {
    /// Every answer is made at once, from memory.
    pub(super) fn answer(&self, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match uri.path() {
            "/" => text(StatusCode::OK, INDEX),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.shown.latest() {
                Some(_) => text(StatusCode::OK, "ready\n"),
                None => unpublished(),
            },
            "/metrics" => self.metrics(),
            "/status" => self.document(|published| self.status(published)),
            "/refused" => self.refused(uri),
            "/explain" => self.explain(uri),
            "/explain/request" => self.explain_request(uri),
            "/config_dump" => self.document(config_dump),
            _ => text(StatusCode::NOT_FOUND, INDEX),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut page = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut page) {
            Ok(()) => body(StatusCode::OK, prometheus::TEXT_FORMAT, page.into()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }

    /// `rows`: how many sources.
    fn refused(&self, uri: &Uri) -> Response<Full<Bytes>> {
        let rows = query(uri, "rows").map_or(Ok(ROWS), |rows| rows.parse());
        match rows {
            Ok(rows) => json_page(&Refused::read(&self.registry, &self.sources, rows)),
            Err(_) => text(StatusCode::BAD_REQUEST, "rows: expected a number\n"),
        }
    }

    /// `from` and `to`, and if there are, `source` of a PROXY header and server `name`.
    fn explain(&self, uri: &Uri) -> Response<Full<Bytes>> {
        let text_of = |name| query(uri, name).unwrap_or_default();
        let (source, name) = (query(uri, "source"), query(uri, "name"));
        let asked = match Asked::parse(text_of("from"), text_of("to"), source, name) {
            Ok(asked) => asked,
            Err(Misread(message)) => return text(StatusCode::BAD_REQUEST, &format!("{message}\n")),
        };
        let Some(published) = self.shown.latest() else { return unpublished() };
        published.explain(&asked).map_or_else(changing, |answer| json_page(&answer))
    }

    /// `method`, `url`, any number of `header`, and if there are, addresses `from` and `to`.
    fn explain_request(&self, uri: &Uri) -> Response<Full<Bytes>> {
        let asked = match AskedRequest::of_query(uri.query().unwrap_or_default()) {
            Ok(asked) => asked,
            Err(Misread(message)) => return text(StatusCode::BAD_REQUEST, &format!("{message}\n")),
        };
        let Some(published) = self.shown.latest() else { return unpublished() };
        published.explain_request(&asked).map_or_else(changing, |answer| json_page(&answer))
    }

    fn status(&self, published: &Published) -> Value {
        let refused = Refused::read(&self.registry, &self.sources, ROWS);
        json!({ "state": published.state, "objects": published.statuses, "refused": refused })
    }

    fn document(&self, make: impl FnOnce(&Published) -> Value) -> Response<Full<Bytes>> {
        let Some(published) = self.shown.latest() else { return unpublished() };
        json_page(&make(&published))
    }
}

fn unpublished() -> Response<Full<Bytes>> {
    text(StatusCode::SERVICE_UNAVAILABLE, "no configuration is published yet\n")
}

fn changing() -> Response<Full<Bytes>> {
    text(StatusCode::SERVICE_UNAVAILABLE, "the configuration is being changed; ask again\n")
}

fn json_page(content: &impl Serialize) -> Response<Full<Bytes>> {
    let mut page = serde_json::to_vec_pretty(content).unwrap_or_default();
    page.push(b'\n');
    body(StatusCode::OK, "application/json", page.into())
}

/// A parameter of the query. Ours need no escapes.
fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn config_dump(published: &Published) -> Value {
    let mut dump = serde_json::to_value(&*published.config).unwrap_or_default();
    redact(&mut dump);
    json!({ "generation": published.state.generation, "config": dump })
}

/// True for headers whose values are not shown, wherever a manifest has them.
pub(crate) fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&&*name.to_ascii_lowercase())
}

/// Blanks what headers that carry credentials are set to or compared with: all beside the name in an object,
/// and the value of a `[name, value]` pair.
fn redact(value: &mut Value) {
    let is_credential = |name: &Value| name.as_str().is_some_and(is_credential);
    match value {
        Value::Object(object) if object.get("name").is_some_and(is_credential) => {
            for (_, value) in object.iter_mut().filter(|(key, _)| *key != "name") {
                *value = "(redacted)".into();
            }
        }
        Value::Object(object) => object.values_mut().for_each(redact),
        Value::Array(array) => match array.as_mut_slice() {
            [name, value @ Value::String(_)] if is_credential(name) => *value = "(redacted)".into(),
            elements => elements.iter_mut().for_each(redact),
        },
        _ => {}
    }
}

fn text(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    body(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(message.as_bytes()))
}

fn body(status: StatusCode, kind: &'static str, content: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_header_modifiers_are_not_printed() {
        let mut dump = json!({"set": [
            {"name": "Authorization", "value": "Basic c2VjcmV0"}, {"name": "x-a", "value": "shown"}],
            "add": [["cookie", "secret"], ["x-b", "shown"]]});
        redact(&mut dump);
        let text = dump.to_string();
        assert!(!text.contains("c2VjcmV0") && !text.contains("\"secret\""), "{text}");
        assert_eq!(text.matches("shown").count(), 2);
    }

    #[test]
    fn nothing_is_ready_before_it_is_published() {
        let options = proxy::Options { workers: Some(1), ..proxy::Options::default() };
        let proxy = proxy::Proxy::start(options).unwrap();
        let (registry, sources) = (Registry::new(), proxy.refused_sources());
        let pages = Pages { registry, shown: Shown::default(), sources };
        let status =
            |method: &Method, path: &str| pages.answer(method, &path.parse().unwrap()).status().as_u16();
        let answers = [
            "/healthz",
            "/readyz",
            "/metrics",
            "/status",
            "/config_dump",
            "/x",
            "/refused?rows=x",
            "/explain",
        ]
        .map(|path| status(&Method::GET, path));
        assert_eq!(answers, [200, 503, 200, 503, 503, 404, 400, 400]);
        assert_eq!(status(&Method::GET, "/explain?from=192.0.2.9&to=192.0.2.1:80"), 503);
        assert_eq!(["/refused", "/refused?rows=5"].map(|path| status(&Method::GET, path)), [200, 200]);
        assert_eq!(status(&Method::POST, "/healthz"), 405);
    }
}
