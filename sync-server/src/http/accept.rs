use http::{HeaderMap, HeaderName, header};

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

#[cfg(test)]
mod tests {
    use super::*;

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
