//! What a trace tells of an attempt.

use super::attempt::Bench;
use super::decide::Decision;
use crate::store::{Leased, delivery_id};
use crate::telemetry::{Span, SpanKind};
use jiff::Timestamp;
use leadwire_connector::{DeliveryError, Receipt};
use std::time::Duration;

/// Ids of records are shorter.
const LONGEST_ID: usize = 64;

/// Adds an attempt to the trace of its event.
pub(super) fn tell(
    bench: &Bench,
    leased: &Leased,
    result: &Result<Receipt, DeliveryError>,
    decision: &Decision,
    (started_at, took): (Timestamp, Duration),
) {
    let event = leased.event.id;
    if !bench.tracer.follows(event) {
        return;
    }
    let error = result.as_ref().err();
    let span = Span::within(event, format!("deliver {}", bench.name), started_at, took)
        .of_kind(SpanKind::Client)
        .with("peer.service", bench.name.as_str())
        .with("leadwire.destination", bench.name.as_str())
        .with("leadwire.delivery.id", delivery_id(event, &bench.name))
        .with("leadwire.attempt", leased.attempts.saturating_add(1))
        .with("leadwire.outcome", decision.word)
        .with_some("leadwire.record.id", result.as_ref().ok().and_then(record_id))
        .with_some("http.response.status_code", error.and_then(|error| error.status))
        .with_some("error.type", error.map(|error| error.kind.as_str()))
        .failed(error.is_some());
    bench.tracer.take(span);
}

/// What an endpoint calls the id of a record may be anything, an address of a person included; what looks like an id is told.
fn record_id(receipt: &Receipt) -> Option<&str> {
    let Receipt::Delivered { record: Some(record), .. } = receipt else { return None };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let is_id = record.id.len() <= LONGEST_ID && record.id.chars().all(is_plain) && record.id.contains(|c: char| c.is_ascii_digit());
    is_id.then_some(record.id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_person_is_no_id_of_a_record() {
        for (id, is_told) in [
            ("8812345678", true),
            ("c0ffee00-1b2c-7d3e", true),
            ("contact:17", true),
            ("ann@example.org", false),
            ("+4930123456", false),
            ("Ann Smith", false),
            ("Ann", false),
            (&"1".repeat(65), false),
        ] {
            assert_eq!(record_id(&Receipt::record(id)).is_some(), is_told, "{id}");
        }
        assert_eq!(record_id(&Receipt::delivered()), None);
    }
}
