//! The format of metrics that a client's `Accept` header asks for: OpenMetrics, or the older text format of Prometheus.

use std::fmt::Write as _;

use axum::http::{HeaderMap, header};

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus, which every reader of metrics understands.
    Text,
}

impl Format {
    /// The format that the `Accept` header prefers; the older one if it states no preference.
    #[must_use]
    pub fn accepted_by(headers: &HeaderMap) -> Format {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<(&str, f32)> = accepted.flat_map(|value| value.split(',')).map(range).collect();
        let quality = |types: &[&str]| {
            let matching = ranges.iter().filter(|(range, _)| types.contains(range)).map(|(_, quality)| *quality);
            matching.fold(0.0, f32::max)
        };
        let open = quality(&["application/openmetrics-text"]);
        if open > 0.0 && open >= quality(&["text/plain"]) { Format::OpenMetrics } else { Format::Text }
    }

    /// The value of the `Content-Type` header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts metrics from OpenMetrics to this format. They must be whole lines, with the comments of a family
    /// together.
    #[must_use]
    pub fn of(self, open_metrics: String) -> String {
        match self {
            Format::OpenMetrics => open_metrics,
            Format::Text => text(&open_metrics),
        }
    }
}

/// The media type and the quality of a range in an `Accept` header.
fn range(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map(|quality| quality.parse().unwrap_or(0.0));
    (media, quality.unwrap_or(1.0))
}

/// Converts OpenMetrics to the text format, in which a family has the name of its samples and the types that
/// OpenMetrics added are gauges.
fn text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        // A String takes whatever it is given.
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, words)| words);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some(words) = help.take() {
                let _ = writeln!(text, "# HELP {name}{suffix} {words}");
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("text/plain;version=0.0.4", Format::Text),
            ("text/plain;q=0.9, application/openmetrics-text; q=0.1", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("*/*", Format::Text),
            ("", Format::Text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Format::accepted_by(&headers), format, "{accept}");
        }
        assert_eq!(Format::accepted_by(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn in_the_older_format_families_are_called_as_their_samples() {
        let open = "# HELP a_renewals Renewals.\n# TYPE a_renewals counter\na_renewals_total 3\n\
                    # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\n# UNIT a_age_seconds seconds\na_age_seconds 1.5\n\
                    # HELP a_holder Who.\n# TYPE a_holder info\na_holder_info{name=\"#\"} 1\n# EOF\n";
        let text = "# HELP a_renewals_total Renewals.\n# TYPE a_renewals_total counter\na_renewals_total 3\n\
                    # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\na_age_seconds 1.5\n\
                    # HELP a_holder_info Who.\n# TYPE a_holder_info gauge\na_holder_info{name=\"#\"} 1\n";
        assert_eq!(Format::Text.of(open.to_owned()), text);
        assert_eq!(Format::OpenMetrics.of(open.to_owned()), open);
    }
}
