//! `leadwire store verify`.

use super::{bytes, spinner};
use crate::cli::show::{line, table};
use crate::cli::{Context, Failure, audit, time};
use crate::store::{Store, Verification};
use jiff::Timestamp;
use std::path::Path;

pub(super) async fn run(file: &Path, context: &Context) -> Result<(), Failure> {
    let spinner = spinner("reading every page");
    let verification = Store::verify(file).await;
    spinner.finish_and_clear();
    let verification = verification?;
    if context.json {
        context.print_json(&verification)?;
    } else {
        show(&verification)?;
    }
    if verification.is_good() { Ok(()) } else { Err(Failure::Silent) }
}

fn show(verification: &Verification) -> Result<(), Failure> {
    let file = verification.file.display();
    if let Some(report) = &verification.audit {
        table(&audit::DESTINATIONS, report.destinations.iter().map(audit::destination).collect(), "there is no destination")?;
        line("")?;
        let moment = |at: Option<Timestamp>| at.map_or_else(|| "none".to_owned(), time::long);
        line(&format!(
            "{file}: {}, schema {}, {} events from {} to {}, {} bodies in quarantine",
            bytes(verification.bytes),
            verification.schema.unwrap_or(0),
            verification.events,
            moment(verification.oldest),
            moment(verification.newest),
            verification.quarantine_bodies,
        ))?;
    }
    for finding in &verification.findings {
        line(&format!("{file}: {finding}"))?;
    }
    line(&if verification.is_good() {
        format!("{file} is good: a bridge could run on it")
    } else {
        format!("{file} is NOT good: do not rely on it")
    })
}
