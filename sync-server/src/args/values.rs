//! How the values of options are read.

/// Reads `https://app.example:8443`: an origin as a browser sends it.
pub(super) fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Err("`*` would let every page in: name each origin".to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    let fine = rest.and_then(|rest| rest.parse::<http::uri::Authority>().ok()).is_some_and(|authority| {
        let default = if lower.starts_with("https") { 443 } else { 80 };
        !authority.as_str().contains('@') && authority.port_u16() != Some(default)
    });
    let why = "an origin is like https://app.example or http://localhost:3000, without a path and without the \
               scheme's own port";
    fine.then_some(lower).ok_or_else(|| why.to_owned())
}

/// What `tracing` can read; empty is `info`.
pub(super) fn filter(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok("info".to_owned());
    }
    let read = tracing_subscriber::EnvFilter::try_new(text);
    read.map(|_| text.to_owned()).map_err(|error| format!("no filter of logs: {error}"))
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn an_origin_is_one_as_a_browser_sends_it() {
        assert_eq!(origin("HTTPS://App.example").unwrap(), "https://app.example");
        assert_eq!(origin("http://localhost:3000").unwrap(), "http://localhost:3000");
        for bad in [
            "*",
            "null",
            "app.example",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a:443",
            "http://a:80",
            "https://u@a",
            "ftp://a",
            "",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
