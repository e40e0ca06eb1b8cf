//! How the values of options are read.

use std::time::Duration;

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

/// Reads `512`, `64KiB`, `16MiB`, `1GiB`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1));
    let number = number.trim().parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| "a size is bytes, or a number with KiB, MiB or GiB".to_owned())
}

/// Reads `500ms`, `30s`, `5m`; a bare number is seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1_000));
    let millis = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    millis.map(Duration::from_millis).ok_or_else(|| "a time is like 500ms, 30s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{origin, size, time};

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

    #[test]
    fn sizes_and_times_take_units() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(size("512"), Ok(512));
        assert!(size("x").is_err() && size("-1").is_err());
        assert_eq!(time("500ms").unwrap().as_millis(), 500);
        assert_eq!(time("2m").unwrap().as_secs(), 120);
        assert!(time("soon").is_err());
    }
}
