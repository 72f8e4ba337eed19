use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, DATE, LOCATION},
    response::Parts,
};

use crate::{body::Body, error::ProxyError, upstream::Tunnel};

/// What a client is to be sent.
pub(crate) struct Reply {
    /// Fit for the client: nothing of another connection is in it.
    pub(crate) head: Parts,
    /// Empty with a tunnel.
    pub(crate) body: Body,
    /// With 101: what follows the header in both directions.
    pub(crate) tunnel: Option<Box<Tunnel>>,
}

/// An answer of our own without a body.
pub(crate) fn plain(status: StatusCode) -> Reply {
    let mut head = Response::new(()).into_parts().0;
    head.status = status;
    head.headers.insert(DATE, date());
    Reply { head, body: Body::Empty, tunnel: None }
}

/// An answer of our own that says what is wrong, in a line of text.
pub(crate) fn local(error: &ProxyError) -> Reply {
    let mut reply = plain(error.status());
    reply.head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    reply.body = Body::Full(Bytes::from(format!("{error}\n")));
    reply
}

/// A redirect to this place.
pub(crate) fn redirect(status: StatusCode, location: HeaderValue) -> Reply {
    let mut reply = plain(status);
    reply.head.headers.insert(LOCATION, location);
    reply
}

/// The Date field of this second (RFC 9110 §6.6.1), made once a second and thread.
fn date() -> HeaderValue {
    thread_local! {
        static LATEST: RefCell<(Duration, HeaderValue)> =
            const { RefCell::new((Duration::ZERO, HeaderValue::from_static(""))) };
    }
    let now = SystemTime::now();
    let second = Duration::from_secs(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    LATEST.with_borrow_mut(|(made, value)| {
        if *made != second {
            *made = second;
            *value = HeaderValue::try_from(httpdate::fmt_http_date(now))
                .unwrap_or_else(|_| HeaderValue::from_static(""));
        }
        value.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_our_own_says_what_is_wrong_and_when() {
        let reply = local(&ProxyError::NoRoute);
        assert_eq!(reply.head.status, 404);
        assert_eq!(reply.body.length(), Some("no route matches the request\n".len() as u64));
        let date = reply.head.headers[DATE].to_str().unwrap();
        assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
    }
}
