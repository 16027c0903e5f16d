//! Verifying the quarantine again, after keys changed.

use super::intake::{Came, Intake};
use crate::store::{Received, Result, Store, Via};

/// Rows looked at in one go, so that memory stays bounded by a few bodies.
const PIECE: u32 = 8;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reverified {
    /// Bodies that verify now and became events.
    pub admitted: u64,
    /// Events that were new.
    pub events: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Bodies that still do not verify.
    pub refused: u64,
}

/// Looks at every quarantined body of a source again. Those that verify become events with their deliveries and leave the
/// quarantine; the others get the reason of today. A source without keys is left alone.
///
/// `progress` is called after each body.
///
/// # Errors
/// When the store fails; what was admitted until then stays admitted.
pub async fn reverify(intake: &Intake, store: &Store, name: &str, mut progress: impl FnMut()) -> Result<Reverified> {
    let mut report = Reverified::default();
    if intake.sources.get(name).is_none_or(|source| source.keys.is_empty()) {
        return Ok(report);
    }
    let mut after = 0;
    loop {
        let rows = store.quarantined_bodies(name.to_owned(), after, PIECE).await?;
        let Some((last, _)) = rows.last() else { return Ok(report) };
        after = last.id;
        for (row, body) in rows {
            let came = Came { at: row.at, client: row.client.parse().ok(), via: Via::Quarantine };
            match intake.examine(name, &body, row.header.as_deref(), came) {
                Ok(examined) => {
                    let received = store.admit(row.id, examined.events).await?;
                    let new = received.iter().filter(|outcome| **outcome == Received::New).count() as u64;
                    report.admitted += 1;
                    report.events += new;
                    report.duplicates += received.len() as u64 - new;
                }
                Err(refusal) => {
                    report.refused += 1;
                    store.explain_quarantined(row.id, refusal.code().to_owned(), refusal.to_string()).await?;
                }
            }
            progress();
        }
    }
}
