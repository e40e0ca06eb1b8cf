//! Which form of an answer a client asks for.

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A `Content-Type` or an encoding without parameters, in lower case; `None` where there is no such header, and an
/// empty text where it cannot be read.
pub(super) fn plain(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Whether the client asks for `wanted` by name, and at least as much as for any other by name. Without that the
/// first form of a resource is given, as for `*/*`.
pub(super) fn prefers(headers: &HeaderMap, wanted: &str) -> bool {
    let (mut own, mut others) = (0.0_f32, 0.0_f32);
    let texts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for entry in texts.flat_map(|text| text.split(',')) {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if name == wanted {
            own = quality;
        } else if !name.contains('*') {
            others = others.max(quality);
        }
    }
    own > 0.0 && own >= others
}

/// Leaves out of `Accept-Encoding` what forbids a plain reply (RFC 9110, section 12.5.3, lets a server disregard it):
/// a push that was stored, and a refusal, are not told as 406.
pub(super) async fn allow_plain(mut request: Request) -> Request {
    let forbids = |entry: &&str| {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let mut parameters = parts.filter_map(|part| part.split_once('='));
        let quality = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        (name.eq_ignore_ascii_case("identity") || name == "*")
            && quality.is_some_and(|(_, value)| value.trim().parse() == Ok(0.0_f32))
    };
    let values = request.headers().get_all(header::ACCEPT_ENCODING).iter();
    let text = values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    if text.split(',').any(|entry| forbids(&entry)) {
        let kept = text.split(',').filter(|entry| !forbids(entry)).collect::<Vec<_>>().join(",");
        let kept = HeaderValue::try_from(kept).unwrap_or_else(|_| HeaderValue::from_static(""));
        request.headers_mut().insert(header::ACCEPT_ENCODING, kept);
    }
    request
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test]
    async fn a_plain_reply_cannot_be_forbidden() {
        for (sent, kept) in [
            ("identity;q=0", ""),
            ("gzip, identity; q=0.0", "gzip"),
            ("*;q=0", ""),
            ("gzip;q=0, *", "gzip;q=0, *"),
            ("zstd, gzip;q=0.5", "zstd, gzip;q=0.5"),
        ] {
            let request = Request::builder().header(header::ACCEPT_ENCODING, sent);
            let request = allow_plain(request.body(Body::empty()).unwrap()).await;
            assert_eq!(request.headers()[header::ACCEPT_ENCODING], kept, "{sent}");
        }
    }

    #[test]
    fn a_form_is_given_to_who_asks_for_it_by_name() {
        let asks = |accept: &str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            prefers(&headers, "application/vnd.automerge")
        };
        for yes in [
            "application/vnd.automerge",
            "Application/Vnd.Automerge; q=0.9, */*",
            "application/json;q=0.5, application/vnd.automerge",
        ] {
            assert!(asks(yes), "{yes}");
        }
        for no in [
            "*/*",
            "application/json",
            "application/*",
            "application/json, application/vnd.automerge;q=0.1",
            "",
        ] {
            assert!(!asks(no), "{no}");
        }
    }
}
