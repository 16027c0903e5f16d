//! Whether everything that was posted arrived. Pure.

use crate::simulate::SampleKind;
use crate::store::{AuditReport, EventRow, State};
use leadwire_connector::Kind;

/// Conversations in each chat log of the samples.
const CONVERSATIONS: usize = 2;

/// What was found at the end.
#[derive(Debug)]
pub(super) struct Proof {
    /// What did not arrive, a sentence each.
    pub(super) problems: Vec<String>,
    counts: Vec<(Kind, usize)>,
    duplicates: i64,
    delivered: usize,
    skipped: usize,
    retried: usize,
}

impl Proof {
    /// `posted` and `repeated` are what the sender did, `held` what each destination holds, as text.
    pub(super) fn new(posted: &[SampleKind], repeated: usize, rows: &[EventRow], audit: &AuditReport, held: &[(String, String)]) -> Self {
        let counts = expected(posted);
        let duplicates: i64 = rows.iter().map(|row| row.duplicates).sum();
        let mut problems: Vec<String> = counts.iter().filter_map(|(kind, count)| count_problem(*kind, *count, rows)).collect();
        if i64::try_from(repeated) != Ok(duplicates) {
            problems.push(format!("{repeated} bodies were posted again, but {duplicates} were recognised"));
        }
        problems.extend(rows.iter().flat_map(|row| event_problems(row, held)));
        let broken = audit.findings.iter().filter(|finding| !finding.differing.is_empty());
        problems
            .extend(broken.map(|finding| format!("the ledger does not add up: {}: {}", finding.invariant, finding.differing.join(", "))));
        let deliveries = || rows.iter().flat_map(|row| &row.deliveries);
        let in_state = |state: State| deliveries().filter(|delivery| delivery.state == state).count();
        let retried = deliveries().filter(|delivery| !delivery.state.is_pending() && delivery.attempts > 1).count();
        Self { problems, counts, duplicates, delivered: in_state(State::Delivered), skipped: in_state(State::Skipped), retried }
    }

    /// Whether everything arrived.
    pub(super) fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// The result, for people.
    pub(super) fn summary(&self) -> String {
        if !self.holds() {
            return format!(
                "Not everything arrived:\n{}",
                self.problems.iter().map(|problem| format!("  ✗ {problem}\n")).collect::<String>()
            );
        }
        let counts: Vec<String> =
            self.counts.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| several(*count, kind.as_str())).collect();
        let duplicates = usize::try_from(self.duplicates).unwrap_or(0);
        format!(
            "Everything arrived: {}.\n{} made, {} skipped with a reason, {} after a retry; {} recognised.\n\
             The ledger adds up: what was received is stored, and all of it has ended.\n",
            counts.join(", "),
            several(self.delivered, "delivery"),
            self.skipped,
            self.retried,
            several(duplicates, "repetition"),
        )
    }
}

fn several(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

fn expected(posted: &[SampleKind]) -> Vec<(Kind, usize)> {
    let count = |kind| posted.iter().filter(|known| **known == kind).count();
    vec![
        (Kind::Lead, count(SampleKind::Lead)),
        (Kind::Appointment, count(SampleKind::Appointment)),
        (Kind::Conversation, count(SampleKind::ChatLog) * CONVERSATIONS),
    ]
}

fn count_problem(kind: Kind, expected: usize, rows: &[EventRow]) -> Option<String> {
    let stored = rows.iter().filter(|row| row.event.kind == kind).count();
    (stored != expected).then(|| format!("{} posted, but {stored} stored", several(expected, kind.as_str())))
}

/// Every destination has delivered it or said why not, and what was delivered is found there.
fn event_problems(row: &EventRow, held: &[(String, String)]) -> Vec<String> {
    let what = format!("the {} {}", row.event.kind, row.event.id);
    let problem = |(destination, text): &(String, String)| {
        let Some(delivery) = row.deliveries.iter().find(|delivery| delivery.destination == *destination) else {
            return Some(format!("{what} was not routed to {destination}"));
        };
        let remark = delivery.remark.as_deref().unwrap_or("no reason is known");
        match delivery.state {
            State::Delivered if is_held(row, text) => None,
            State::Delivered => Some(format!("{what} counts as delivered to {destination}, but is not there")),
            State::Skipped if delivery.remark.is_some() => None,
            state => Some(format!("{what} is {} at {destination}: {remark}", state.as_str())),
        }
    };
    held.iter().filter_map(problem).collect()
}

/// By its id, or by the e-mail of its person, which every sample has of its own.
fn is_held(row: &EventRow, text: &str) -> bool {
    let has_email = || row.event.person.email.as_ref().is_some_and(|email| text.contains(email.as_str()));
    text.contains(&row.event.id.to_string()) || has_email()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::super::timeline::tests::row;
    use super::*;
    use crate::store::AuditFinding;

    fn audit(differing: &[&str]) -> AuditReport {
        let differing = differing.iter().map(|id| (*id).to_owned()).collect();
        AuditReport {
            sources: Vec::new(),
            destinations: Vec::new(),
            findings: vec![AuditFinding { invariant: "counts agree".to_owned(), differing }],
        }
    }

    fn held(text: &str) -> Vec<(String, String)> {
        vec![("crm".to_owned(), text.to_owned())]
    }

    #[test]
    fn what_is_found_at_its_destination_or_skipped_with_a_reason_has_arrived() {
        let rows = [row(1, &[("crm", State::Delivered, 2)]), row(2, &[("crm", State::Skipped, 1)])];
        let proof = Proof::new(&[SampleKind::Lead; 2], 0, &rows, &audit(&[]), &held("[\"d1@example.com\"]"));
        assert!(proof.holds(), "{:?}", proof.problems);
        assert_eq!(
            proof.summary(),
            "Everything arrived: 2 leads.\n1 delivery made, 1 skipped with a reason, 1 after a retry; 0 repetitions recognised.\n\
             The ledger adds up: what was received is stored, and all of it has ended.\n"
        );
    }

    #[test]
    fn every_way_of_not_arriving_is_a_problem() {
        let lead = |state| vec![row(1, &[("crm", state, 0)])];
        let problems = |posted: usize, repeated, rows: &[EventRow], audit: &AuditReport, text: &str| {
            let proof = Proof::new(&vec![SampleKind::Lead; posted], repeated, rows, audit, &held(text));
            assert!(proof.summary().starts_with("Not everything arrived"));
            proof.problems.join("; ")
        };
        let fine = audit(&[]);
        assert!(problems(1, 0, &lead(State::Delivered), &fine, "nobody").contains("is not there"));
        assert!(problems(2, 0, &lead(State::Delivered), &fine, "d1@example.com").contains("2 leads posted, but 1 stored"));
        assert!(problems(1, 1, &lead(State::Delivered), &fine, "d1@example.com").contains("posted again"));
        assert!(problems(1, 0, &lead(State::Dead), &fine, "d1@example.com").contains("dead at crm: the CRM failed (503)"));
        assert!(problems(1, 0, &lead(State::Waiting), &fine, "d1@example.com").contains("waiting at crm"));
        assert!(problems(1, 0, &[row(1, &[])], &fine, "d1@example.com").contains("not routed"));
        assert!(problems(1, 0, &lead(State::Delivered), &audit(&["7"]), "d1@example.com").contains("counts agree: 7"));
    }
}
