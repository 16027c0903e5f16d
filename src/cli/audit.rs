//! `leadwire audit`: nothing received is unaccounted for.

use super::show::{line, table};
use super::{Context, Failure};
use crate::store::{AuditReport, State};

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let report = context.store()?.audit().await?;
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
        .map(|(name, received, stored, duplicates)| vec![name.clone(), received.to_string(), stored.to_string(), duplicates.to_string()]);
    table(&["source", "received", "in the store", "duplicates"], sources.collect(), "no source has ever received anything")?;
    line("")?;
    table(
        &["destination", "made", "pending", "delivered", "skipped", "dead", "erased"],
        report.destinations.iter().map(destination).collect(),
        "there is no destination",
    )?;
    line("")?;
    for finding in &report.findings {
        line(&format!("{}  {}", if finding.differing.is_empty() { "holds  " } else { "BROKEN " }, finding.invariant))?;
        for differing in &finding.differing {
            line(&format!("           {differing}"))?;
        }
    }
    Ok(())
}

fn destination((name, made, counts): &(String, i64, Vec<(State, i64)>)) -> Vec<String> {
    let count =
        |wanted: &dyn Fn(State) -> bool| counts.iter().filter(|(state, _)| wanted(*state)).map(|(_, count)| count).sum::<i64>().to_string();
    vec![
        name.clone(),
        made.to_string(),
        count(&State::is_pending),
        count(&|state| state == State::Delivered),
        count(&|state| state == State::Skipped),
        count(&|state| state == State::Dead),
        count(&|state| state == State::Erased),
    ]
}
