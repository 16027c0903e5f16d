//! `leadwire store status`.

use super::bytes;
use crate::cli::show::{line, table};
use crate::cli::{Context, Failure, audit, time};
use crate::store::{DestinationStatus, Pending, SpoolReport, Status, inspect_spool};
use serde::Serialize;

/// The store, and what is on its way into it.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    store: Status,
    spool: Option<SpoolReport>,
}

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let spool = context.settings()?.store.spool.as_deref().map(inspect_spool).transpose()?;
    let report = Report { store: context.store_to_read().await?.status().await?, spool };
    if context.json { context.print_json(&report) } else { show(&report) }
}

fn show(Report { store: status, spool }: &Report) -> Result<(), Failure> {
    let spooled =
        spool.as_ref().map(|spool| ("spool", format!("{} requests, {}, not in the store yet", spool.records, bytes(spool.bytes))));
    for (name, value) in facts(status).into_iter().chain(spooled) {
        line(&format!("{name:<16}{value}"))?;
    }
    line("")?;
    let ledgers = status.destinations.iter().map(|destination| audit::destination(&destination.ledger));
    table(&audit::DESTINATIONS, ledgers.collect(), "there is no destination")?;
    let pending: Vec<_> = status.destinations.iter().filter(|destination| destination.ledger.counts.pending > 0).map(pending).collect();
    if pending.is_empty() {
        return Ok(());
    }
    line("")?;
    table(&["destination", "pending", "waiting", "under way", "behind another", "on hold"], pending, "")
}

/// What keeps the pending deliveries.
fn pending(destination: &DestinationStatus) -> Vec<String> {
    let Pending { waiting, leased, blocked, held } = destination.pending;
    let numbers = [destination.ledger.counts.pending, waiting, leased, blocked, held];
    std::iter::once(destination.ledger.name.clone()).chain(numbers.map(|number| number.to_string())).collect()
}

fn facts(status: &Status) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("store", format!("{}, {}, schema {}", status.engine, status.place, status.schema)),
        ("on disk", bytes(status.file_bytes)),
        ("used", bytes(status.used_bytes)),
    ];
    facts.extend(status.free_bytes.map(|free| ("free in it", bytes(free))));
    facts.extend(status.wal_bytes.map(|wal| ("log (WAL)", bytes(wal))));
    facts.push(("events", status.events.to_string()));
    facts.push((
        "quarantine",
        format!("{} bodies, {}", status.quarantine_bodies, bytes(u64::try_from(status.quarantine_bytes).unwrap_or(0))),
    ));
    facts.push(("oldest pending", oldest(status)));
    facts.push(("bridge alive", status.alive_at.map_or_else(|| "never".to_owned(), time::long)));
    facts
}

fn oldest(status: &Status) -> String {
    status.oldest_pending.as_ref().map_or_else(
        || "none".to_owned(),
        |pending| {
            let received = time::long(pending.received_at);
            format!("received {received}, to {}, {} (event {})", pending.destination, pending.state.as_str(), pending.event)
        },
    )
}
