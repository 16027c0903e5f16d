//! The text format of Prometheus (prometheus.io, "Exposition formats", version 0.0.4).

use crate::figures::Reading;
use std::fmt::{Display, Write as _};

/// The content type that Prometheus asks for.
pub(in crate::console) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Microseconds in a second.
pub(super) const SECOND: f64 = 1_000_000.0;

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page under construction. Writing to its text never fails.
#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
}

/// The figures of one name, which stand together.
pub(super) struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { page: self, name }
    }

    /// What only grows.
    pub(super) fn counters(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// What goes up and down.
    pub(super) fn gauges(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// How often values were of which size.
    pub(super) fn histograms(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.gauges(name, help).add(&[], value);
    }

    /// The same, left out when it is not known.
    pub(super) fn gauge_if_known(&mut self, name: &'static str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.gauge(name, help, value);
        }
    }
}

impl Family<'_> {
    pub(super) fn add(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line("", labels, value);
        self
    }

    /// A reading of which each `every`th bound is shown; values are divided by `unit`.
    pub(super) fn add_reading(&mut self, labels: Labels<'_>, reading: &Reading, unit: f64, every: usize) -> &mut Self {
        let (mut sum, bounds) = (0, reading.bounds.iter().map(Some).chain([None]));
        for (at, (bound, count)) in bounds.zip(&reading.counts).enumerate() {
            sum += count;
            match bound {
                Some(bound) if at % every == 0 => self.line("_bucket", &with_bound(labels, &(*bound as f64 / unit).to_string()), sum),
                Some(_) => {}
                None => self.line("_bucket", &with_bound(labels, "+Inf"), sum),
            }
        }
        self.line("_sum", labels, reading.sum as f64 / unit);
        self.line("_count", labels, sum);
        self
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.page.text, "{}{suffix}{labels} {value}", self.name);
    }
}

fn with_bound<'a>(labels: Labels<'a>, bound: &'a str) -> Vec<(&'a str, &'a str)> {
    labels.iter().copied().chain([("le", bound)]).collect()
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut page = Page::default();
        page.gauges("g", "Help.").add(&[("destination", "a\"b\\c\nd")], 1);
        assert_eq!(page.text, "# HELP g Help.\n# TYPE g gauge\ng{destination=\"a\\\"b\\\\c\\nd\"} 1\n");
    }

    #[test]
    fn buckets_add_up_also_those_that_are_not_shown() {
        static BOUNDS: [u64; 3] = [1_000, 1_500_000, 2_000_000];
        let reading = Reading { bounds: &BOUNDS, counts: vec![1, 2, 3, 4], sum: 12_500_000 };
        let mut page = Page::default();
        page.histograms("h", "Help.").add_reading(&[], &reading, SECOND, 2);
        let lines: Vec<&str> = page.text.lines().skip(2).collect();
        let wanted = ["h_bucket{le=\"0.001\"} 1", "h_bucket{le=\"2\"} 6", "h_bucket{le=\"+Inf\"} 10", "h_sum 12.5", "h_count 10"];
        assert_eq!(lines, wanted);
    }
}
