//! `leadwire audit`: nothing received is unaccounted for.

use super::show::{line, table};
use super::{Context, Failure};
use crate::store::{AuditReport, DestinationLedger, SpoolReport, inspect_spool};
use serde::Serialize;

/// The ledger of the store, and what is on its way into it.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    store: AuditReport,
    spool: Option<SpoolReport>,
}

/// The heading over rows made by [`destination`].
pub(super) const DESTINATIONS: [&str; 7] = ["destination", "made", "pending", "delivered", "skipped", "dead", "erased"];

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    // Before the store: a record that is brought over in between is then counted twice, and never not at all.
    let spool = context.settings()?.store.spool.as_deref().map(inspect_spool).transpose()?;
    let store = context.store_to_read().await?;
    store.refuse_during_transfer().await?;
    let mut store = store.audit().await?;
    store.findings.extend(spool.iter().flat_map(SpoolReport::findings));
    let report = Report { store, spool };
    if context.json {
        context.print_json(&report)?;
    } else {
        show(&report)?;
    }
    if report.store.holds() { Ok(()) } else { Err(Failure::Silent) }
}

fn show(Report { store: report, spool }: &Report) -> Result<(), Failure> {
    let sources = report
        .sources
        .iter()
        .map(|source| vec![source.name.clone(), source.received.to_string(), source.stored.to_string(), source.duplicates.to_string()]);
    table(&["source", "received", "in the store", "duplicates"], sources.collect(), "no source has ever received anything")?;
    line("")?;
    table(&DESTINATIONS, report.destinations.iter().map(destination).collect(), "there is no destination")?;
    line("")?;
    if let Some(spool) = spool {
        let oldest = spool.oldest.map(|at| format!(", the oldest of {}", at.strftime("%Y-%m-%d %H:%M:%S UTC"))).unwrap_or_default();
        line(&format!("in the spool, not yet in the store: {} requests, {} bytes{oldest}", spool.records, spool.bytes))?;
        line("")?;
    }
    for finding in &report.findings {
        line(&format!("{}  {}", if finding.differing.is_empty() { "holds  " } else { "BROKEN " }, finding.invariant))?;
        for differing in &finding.differing {
            line(&format!("           {differing}"))?;
        }
    }
    Ok(())
}

pub(super) fn destination(ledger: &DestinationLedger) -> Vec<String> {
    let counts = &ledger.counts;
    let numbers = [ledger.made, counts.pending, counts.delivered, counts.skipped, counts.dead, counts.erased];
    std::iter::once(ledger.name.clone()).chain(numbers.map(|number| number.to_string())).collect()
}
