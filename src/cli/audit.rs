//! `leadwire audit`: nothing received is unaccounted for.

use super::show::{line, table};
use super::{Context, Failure};
use crate::store::{AuditReport, DestinationLedger};

/// The heading over rows made by [`destination`].
pub(super) const DESTINATIONS: [&str; 7] = ["destination", "made", "pending", "delivered", "skipped", "dead", "erased"];

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let report = context.store().await?.audit().await?;
    if context.json {
        context.print_json(&report)?;
    } else {
        show(&report)?;
    }
    if report.holds() { Ok(()) } else { Err(Failure::Silent) }
}

fn show(report: &AuditReport) -> Result<(), Failure> {
    let sources = report
        .sources
        .iter()
        .map(|source| vec![source.name.clone(), source.received.to_string(), source.stored.to_string(), source.duplicates.to_string()]);
    table(&["source", "received", "in the store", "duplicates"], sources.collect(), "no source has ever received anything")?;
    line("")?;
    table(&DESTINATIONS, report.destinations.iter().map(destination).collect(), "there is no destination")?;
    line("")?;
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
