//! Whether a destination can do its work.

use crate::deliver::LateConnector;
use crate::store::DestinationRow;
use leadwire_connector::{Connector as _, Report};
use std::time::Duration;

/// Asks a destination whether it can do its work, within `limit`. Whatever its connector does, there is a report.
pub async fn examine(connector: LateConnector, limit: Duration) -> Report {
    let check = tokio::spawn(async move { tokio::time::timeout(limit, connector.check()).await });
    match check.await {
        Ok(Ok(report)) if report.findings.is_empty() => report.warn("check", "its connector looked at nothing"),
        Ok(Ok(report)) => report,
        Ok(Err(_)) => Report::default()
            .bad("answer", format!("none within {limit:?}"))
            .remedy("see that the other side is up and reachable from here, or give it more time with --timeout"),
        Err(_) => Report::default().bad("check", "it panicked; this is a bug in its connector"),
    }
}

/// Adds what the store knows of it.
#[must_use]
pub fn with_state(mut report: Report, state: Option<&DestinationRow>) -> Report {
    let Some(row) = state else { return report };
    if let Some(hold) = &row.hold {
        report = report
            .warn("hold", format!("it is on hold: {}; {} deliveries wait", hold.reason, row.counts.pending))
            .remedy(format!("mend what the reason says, then: leadwire resume {}", row.name));
    }
    if row.counts.dead > 0 {
        report = report
            .warn("dead letters", format!("{} deliveries need a person", row.counts.dead))
            .remedy("leadwire deliveries list --state dead");
    }
    report
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::store::{Counts, Hold};
    use jiff::Timestamp;

    #[test]
    fn a_hold_is_told_with_the_way_out() {
        let hold = Hold { reason: "the token was revoked".to_owned(), since: Timestamp::UNIX_EPOCH, until: None };
        let counts = Counts { pending: 3, dead: 2, ..Counts::default() };
        let row = DestinationRow { id: 1, name: "crm".to_owned(), hold: Some(hold), parked_us: 0, counts, due_since: None };
        let report = with_state(Report::default(), Some(&row));
        assert_eq!(report.findings[0].message, "it is on hold: the token was revoked; 3 deliveries wait");
        assert!(report.findings[0].remedy.as_deref().is_some_and(|remedy| remedy.ends_with("leadwire resume crm")));
        assert_eq!(report.findings[1].message, "2 deliveries need a person");
    }
}
