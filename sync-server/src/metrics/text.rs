//! The figures as text: for Prometheus as it always was, and as OpenMetrics for who asks for it.

use std::fmt::Write;

use prometheus_client::encoding::text::encode;

use super::{Metrics, Now};

/// How the figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Everything that is known of the server now.
pub(crate) fn write(metrics: &Metrics, now: &Now, format: Format) -> String {
    metrics.set(now);
    let mut text = String::new();
    // Writing into a text does not fail.
    let _ = encode(&mut text, &metrics.registry);
    match format {
        Format::OpenMetrics => text,
        Format::Prometheus => to_prometheus(&text),
    }
}

/// The older format names a counter as its samples are named, and knows neither units nor an end.
fn to_prometheus(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = String::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(rest)) => help = format!("{name} {rest}"),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let total = if kind == "counter" { "_total" } else { "" };
                let told = help.strip_prefix(name).unwrap_or_default().trim_start();
                let _ = writeln!(out, "# HELP {name}{total} {told}\n# TYPE {name}{total} {kind}");
            }
            (Some("#"), ..) => {}
            _ => {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_names_counters_as_it_should() {
        let metrics = Metrics::new(&crate::http::RESOURCES);
        metrics.pushes.inc();
        let old = write(&metrics, &Now::default(), Format::Prometheus);
        assert!(old.contains("# TYPE rejoin_pushes_total counter\nrejoin_pushes_total 1\n"), "{old}");
        assert!(!old.contains("EOF") && !old.contains("# UNIT"));
        let new = write(&metrics, &Now::default(), Format::OpenMetrics);
        assert!(new.contains("# TYPE rejoin_pushes counter\nrejoin_pushes_total 1\n"), "{new}");
        assert!(new.ends_with("# EOF\n"));
    }
}
