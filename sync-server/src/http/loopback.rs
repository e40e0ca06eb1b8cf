//! Which requests come from this machine, and from no page in its browser.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use http::{HeaderMap, header};

use crate::rules::{ApiError, Code};

/// Without tokens the server trusts whoever sits at this machine, and nobody else: not a page in a browser that
/// was led here by a name of its own (`Host`), nor one of another origin.
pub(super) fn only(request: &Request, scheme: &str) -> Result<(), ApiError> {
    let authority = request.uri().authority().map(|a| a.as_str());
    if !is_allowed(request.headers(), authority, scheme) {
        let why = "Without tokens only requests to a loopback address and from its own origin are answered.";
        return Err(ApiError::because(Code::Forbidden, why));
    }
    Ok(())
}

fn is_allowed(headers: &HeaderMap, authority: Option<&str>, scheme: &str) -> bool {
    let host = match (one(headers, header::HOST), authority) {
        // RFC 9112, section 3.2.2: where the request line names an authority, that is who was asked.
        (One::Text(_) | One::None, Some(authority)) => authority,
        (One::Text(host), None) => host,
        _ => return false,
    };
    let own = |origin: &str| {
        let origin = origin.to_ascii_lowercase();
        origin.split_once("://") == Some((scheme, host.to_ascii_lowercase().as_str()))
    };
    // A page elsewhere that makes a browser ask sends no `Origin` with what it only loads, and the browser says so here.
    let from_here = match one(headers, header::HeaderName::from_static("sec-fetch-site")) {
        One::None => true,
        One::Text(site) => matches!(site, "same-origin" | "none"),
        One::Unclear => false,
    };
    names_loopback(host)
        && from_here
        && match one(headers, header::ORIGIN) {
            One::None => true,
            One::Text(origin) => own(origin),
            One::Unclear => false,
        }
}

enum One<'h> {
    None,
    Text(&'h str),
    /// Sent twice, or no text.
    Unclear,
}

fn one(headers: &HeaderMap, name: header::HeaderName) -> One<'_> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => One::None,
        (Some(value), None) => value.to_str().map_or(One::Unclear, One::Text),
        _ => One::Unclear,
    }
}

/// Whether this `Host`, with a port or without, names a loopback address.
fn names_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if name.parse::<Ipv6Addr>().is_ok() => (name, port.strip_prefix(':')),
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    let is_address = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_allowed(&headers, None, "http")
    }

    #[test]
    fn only_a_host_that_names_a_loopback_is_answered() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:4810", "127.9.9.9", "[::1]", "[::1]:4810"] {
            assert!(allowed(host, None), "{host}");
        }
        for host in [
            "example.org",
            "127.0.0.1.example.org",
            "0.0.0.0",
            "10.0.0.1:4810",
            "[::2]",
            "[::1",
            "localhost:x",
            "",
        ] {
            assert!(!allowed(host, None), "{host}");
        }
        assert!(!is_allowed(&HeaderMap::new(), None, "http"));
        let local = HeaderMap::from_iter([(header::HOST, "localhost".parse().unwrap())]);
        assert!(is_allowed(&local, Some("127.0.0.1:4810"), "http"));
        assert!(!is_allowed(&local, Some("example.org"), "http"), "the request line goes before `Host`");
    }

    #[test]
    fn what_a_page_elsewhere_makes_a_browser_load_is_not_answered() {
        for (site, answered) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false), ("", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:4810".parse().unwrap());
            headers.insert("sec-fetch-site", site.parse().unwrap());
            assert_eq!(is_allowed(&headers, None, "http"), answered, "{site}");
            headers.append("sec-fetch-site", "same-origin".parse().unwrap());
            assert!(!is_allowed(&headers, None, "http"), "said twice");
        }
    }

    #[test]
    fn only_its_own_origin_is_answered() {
        assert!(allowed("localhost:4810", Some("http://localhost:4810")));
        for origin in [
            "http://localhost:3000",
            "https://localhost:4810",
            "null",
            "http://example.org",
            "http://localhost",
        ] {
            assert!(!allowed("localhost:4810", Some(origin)), "{origin}");
        }
    }
}
