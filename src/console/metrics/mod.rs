//! `/metrics`, for Prometheus. By hand: what is counted is counted for the console's plots too (`figures`), and of its text format a
//! page of code is enough, where a crate would bring a registry of its own beside. Names no person.

mod counted;
mod looked;
mod page;
mod process;

pub use looked::Looked;
pub(super) use page::CONTENT_TYPE;

use super::Console;
use crate::deliver::LaneStatus;
use crate::figures::SpanFigures;
use crate::store::{Condition, Counts, DestinationRow, Pending, Result};
use jiff::Timestamp;
use looked::Look;
use page::Page;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What only the store knows.
struct Stored {
    destinations: Vec<DestinationRow>,
    quarantined: i64,
    look: Arc<Look>,
}

/// The whole page; without what only the store knows while that cannot be read.
pub(super) async fn render(console: &Console) -> String {
    let stored = tokio::time::timeout(super::status::READ_WITHIN, read(console)).await.ok().and_then(Result::ok);
    let now = Timestamp::now();
    let mut page = Page::default();
    show_condition(&mut page, &console.keeper.condition(), &console.store.figures().refusals());
    counted::show(&mut page, console.store.figures(), now);
    show_lanes(&mut page, &console.lanes.iter().collect::<Vec<_>>(), now);
    if let Some(stored) = &stored {
        show_deliveries(&mut page, &stored.destinations, now);
        page.gauge("leadwire_quarantine_bodies", "Bodies in the quarantine.", stored.quarantined);
        show_look(&mut page, &stored.look, now);
    }
    if let Some(tls) = &console.tls {
        let help = "When the certificate of the listener expires, in seconds since 1970.";
        page.gauge("leadwire_certificate_expires_timestamp_seconds", help, tls.certificate().expires.as_second());
    }
    show_spans(&mut page, console.store.figures().spans());
    page.gauges("leadwire_build_info", "1, with the version of the program.").add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let since = console.store.figures().since().as_second();
    page.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", since);
    process::show(&mut page);
    page.text
}

async fn read(console: &Console) -> Result<Stored> {
    Ok(Stored {
        destinations: console.store.destinations().await?,
        quarantined: console.store.count_quarantined().await?,
        look: console.looked.look(&console.store).await?,
    })
}

fn show_condition(page: &mut Page, condition: &Condition, refusals: &BTreeMap<&'static str, u64>) {
    page.gauge("leadwire_store_up", "1 when the store takes what it is given, 0 while it is sick.", u8::from(condition.sick_for.is_none()));
    let help = "Writes that the store did not take, repetitions included.";
    page.counters("leadwire_store_failures_total", help).add(&[], condition.failures);
    let sick_seconds = condition.sick_for.unwrap_or_default().as_secs_f64();
    page.gauge("leadwire_store_sick_seconds", "For how long the store has been sick; 0 when it is well.", format!("{sick_seconds:.1}"));
    let help = "Requests that were not answered with success, by the code their senders read.";
    let mut family = page.counters("leadwire_receive_refused_total", help);
    for (reason, count) in refusals {
        family.add(&[("reason", reason)], count);
    }
    let spool = condition.spool.as_ref();
    page.gauge("leadwire_spool_records", "Requests in the spool that are not in the store yet.", spool.map_or(0, |spool| spool.records));
    page.gauge("leadwire_spool_bytes", "Bytes of the spool.", spool.map_or(0, |spool| spool.bytes));
    let help = "Files of the spool with records that cannot be brought into the store; each needs a person.";
    page.gauge("leadwire_spool_set_aside", help, spool.map_or(0, |spool| spool.set_aside));
}

fn show_spans(page: &mut Page, spans: &SpanFigures) {
    let mut family = page.counters("leadwire_trace_spans_total", "Spans of traces, by what became of them.");
    family.add(&[("outcome", "exported")], spans.exported.get()).add(&[("outcome", "dropped")], spans.dropped.get());
}

fn show_lanes(page: &mut Page, lanes: &[(String, LaneStatus)], now: Timestamp) {
    let mut each = |name, help, read: &dyn Fn(&LaneStatus) -> i64| {
        let mut family = page.gauges(name, help);
        for (destination, lane) in lanes {
            family.add(&[("destination", destination)], read(lane));
        }
    };
    each("leadwire_in_flight", "Attempts under way.", &|lane| i64::from(lane.in_flight));
    each("leadwire_breaker_open", "1 while the destination counts as down and is only probed.", &|lane| i64::from(!lane.flowing));
    each("leadwire_hold", "1 while the destination is on hold.", &|lane| i64::from(lane.hold.is_some()));
    let held_for = |lane: &LaneStatus| lane.hold.as_ref().map_or(0, |hold| age(hold.since, now));
    each("leadwire_hold_seconds", "For how long it has been on hold; 0 when it is not.", &held_for);
}

fn show_deliveries(page: &mut Page, destinations: &[DestinationRow], now: Timestamp) {
    let mut family = page.gauges("leadwire_deliveries", "Deliveries in the store, by destination and state.");
    for row in destinations {
        let Counts { pending, delivered, skipped, dead, erased } = row.counts;
        for (state, count) in [("pending", pending), ("delivered", delivered), ("skipped", skipped), ("dead", dead), ("erased", erased)] {
            family.add(&[("destination", &row.name), ("state", state)], count);
        }
    }
    let help = "For how long the delivery that is due longest has been due; 0 when none is.";
    let mut family = page.gauges("leadwire_due_seconds", help);
    for row in destinations {
        family.add(&[("destination", &row.name)], row.due_since.map_or(0, |since| age(since, now)));
    }
}

fn show_look(page: &mut Page, look: &Look, now: Timestamp) {
    let mut family = page.gauges("leadwire_pending_deliveries", "Pending deliveries, by what keeps them.");
    for row in &look.status.destinations {
        let Pending { waiting, leased, blocked, held } = row.pending;
        for (state, count) in [("waiting", waiting), ("leased", leased), ("blocked", blocked), ("held", held)] {
            family.add(&[("destination", &row.ledger.name), ("state", state)], count);
        }
    }
    let help = "How long ago the oldest event was received that is still pending; 0 when nothing is.";
    let mut family = page.gauges("leadwire_oldest_pending_seconds", help);
    for row in &look.status.destinations {
        let since = look.oldest.get(&row.ledger.name);
        family.add(&[("destination", &row.ledger.name)], since.map_or(0, |since| age(*since, now)));
    }
    show_sizes(page, look);
}

fn show_sizes(page: &mut Page, look: &Look) {
    let status = &look.status;
    page.gauge("leadwire_store_events", "Events in the store.", status.events);
    page.gauge("leadwire_store_unrouted_events", "Events that no route took, tests aside.", look.unrouted);
    page.gauge("leadwire_store_file_bytes", "What the store takes on its disk, without the log.", status.file_bytes);
    page.gauge("leadwire_store_used_bytes", "What of it rows and indexes take.", status.used_bytes);
    page.gauge_if_known("leadwire_store_wal_bytes", "The write-ahead log beside the file; SQLite only.", status.wal_bytes);
    page.gauge_if_known("leadwire_store_disk_free_bytes", "What is free on the disk of the file; SQLite only.", look.disk_free_bytes);
    page.gauge("leadwire_quarantine_bytes", "What the quarantine takes.", status.quarantine_bytes);
}

/// In whole seconds; a moment to come is no time ago.
fn age(since: Timestamp, now: Timestamp) -> i64 {
    now.duration_since(since).as_secs().max(0)
}
