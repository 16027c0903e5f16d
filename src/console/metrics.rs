//! `/metrics`: the text format of Prometheus (prometheus.io, "Exposition formats", version 0.0.4), by hand. Names no person.

use crate::store::{Condition, Counts, DestinationRow};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The content type that Prometheus asks for.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is shown.
pub(super) struct Figures<'a> {
    pub(super) condition: &'a Condition,
    pub(super) refusals: &'a BTreeMap<&'static str, u64>,
    /// `None` when the store could not be read.
    pub(super) destinations: Option<&'a [DestinationRow]>,
    /// The same.
    pub(super) quarantined: Option<i64>,
}

/// The whole page.
pub(super) fn render(figures: &Figures<'_>) -> String {
    let mut page = Page::default();
    let condition = figures.condition;
    page.gauge("leadwire_store_up", "1 when the store takes what it is given, 0 while it is sick.", u8::from(condition.sick_for.is_none()));
    page.family("leadwire_store_failures_total", "counter", "Writes that the store did not take, repetitions included.");
    page.line("leadwire_store_failures_total", &[], condition.failures);
    let sick_seconds = condition.sick_for.unwrap_or_default().as_secs_f64();
    page.gauge("leadwire_store_sick_seconds", "For how long the store has been sick; 0 when it is well.", format!("{sick_seconds:.1}"));
    page.family(
        "leadwire_receive_refused_total",
        "counter",
        "Requests that were not answered with success, by the code their senders read.",
    );
    for (reason, count) in figures.refusals {
        page.line("leadwire_receive_refused_total", &[("reason", reason)], count);
    }
    let spool = condition.spool.as_ref();
    page.gauge("leadwire_spool_records", "Requests in the spool that are not in the store yet.", spool.map_or(0, |spool| spool.records));
    page.gauge("leadwire_spool_bytes", "Bytes of the spool.", spool.map_or(0, |spool| spool.bytes));
    page.gauge(
        "leadwire_spool_set_aside",
        "Files of the spool with records that cannot be brought into the store; each needs a person.",
        spool.map_or(0, |spool| spool.set_aside),
    );
    if let Some(destinations) = figures.destinations {
        page.deliveries(destinations);
    }
    if let Some(bodies) = figures.quarantined {
        page.gauge("leadwire_quarantine_bodies", "Bodies in the quarantine.", bodies);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String never fails.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.line(name, &[], value);
    }

    fn deliveries(&mut self, destinations: &[DestinationRow]) {
        self.family("leadwire_deliveries", "gauge", "Deliveries in the store, by destination and state.");
        for row in destinations {
            let Counts { pending, delivered, skipped, dead, erased } = row.counts;
            let states = [("pending", pending), ("delivered", delivered), ("skipped", skipped), ("dead", dead), ("erased", erased)];
            for (state, count) in states {
                self.line("leadwire_deliveries", &[("destination", &row.name), ("state", state)], count);
            }
        }
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SpoolStatus;
    use std::time::Duration;

    #[test]
    fn every_figure_has_its_help_and_type() {
        let spool = SpoolStatus { records: 7, bytes: 900, oldest: None, takes_more: true, set_aside: 1 };
        let condition = Condition { sick_for: Some(Duration::from_millis(1_500)), failures: 3, spool: Some(spool) };
        let counts = Counts { pending: 2, ..Counts::default() };
        let row = DestinationRow { id: 1, name: "a\"b".to_owned(), hold: None, parked_us: 0, counts, due_since: None };
        let refusals = BTreeMap::from([("store_unavailable", 4)]);
        let figures = Figures { condition: &condition, refusals: &refusals, destinations: Some(&[row]), quarantined: Some(5) };
        let text = render(&figures);
        for line in [
            "leadwire_store_up 0",
            "leadwire_store_failures_total 3",
            "leadwire_store_sick_seconds 1.5",
            "leadwire_receive_refused_total{reason=\"store_unavailable\"} 4",
            "leadwire_spool_records 7",
            "leadwire_spool_bytes 900",
            "leadwire_deliveries{destination=\"a\\\"b\",state=\"pending\"} 2",
            "leadwire_quarantine_bodies 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let names = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
        assert_eq!(names("# HELP "), names("# TYPE "));
    }
}
