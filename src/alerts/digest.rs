//! What a day brought. Pure.

use super::note::{Letter, Note, What, letter_id};
use super::words::{count, moment};
use crate::config::{AlertSeverity, Digest};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is remembered of the last digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// When it was written.
    pub at: Timestamp,
    /// The totals then.
    pub totals: Totals,
}

/// Numbers that only grow, and those of the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Events ever received, by source.
    pub received: BTreeMap<String, i64>,
    /// By destination.
    pub destinations: BTreeMap<String, Going>,
    /// Bodies in the quarantine.
    pub quarantined: i64,
    /// Events that no route took.
    pub unrouted: i64,
}

/// The deliveries of a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Going {
    /// Ever delivered or skipped.
    pub done: i64,
    /// Pending now.
    pub pending: i64,
    /// Dead now.
    pub dead: i64,
    /// Whether it is on hold now.
    pub held: bool,
}

/// Whether a digest has become due since the last one.
#[must_use]
pub(super) fn is_due(last: Timestamp, now: Timestamp, digest: &Digest) -> bool {
    latest(now, digest).is_some_and(|due| due > last && due <= now)
}

/// The latest moment at which one was due. In a night that skips or repeats the hour, it is due once all the same.
fn latest(now: Timestamp, digest: &Digest) -> Option<Timestamp> {
    let today = now.to_zoned(digest.zone.clone()).date();
    let due_on = |date: jiff::civil::Date| date.to_datetime(digest.at).to_zoned(digest.zone.clone()).ok().map(|due| due.timestamp());
    due_on(today).filter(|due| *due <= now).or_else(|| due_on(today.checked_sub(1.day()).ok()?))
}

/// The letter that tells what came since the last one.
#[must_use]
pub(super) fn letter(last: &Written, totals: &Totals, now: Timestamp, zone: &TimeZone, to: Vec<String>) -> Letter {
    let received: BTreeMap<&str, i64> =
        totals.received.iter().map(|(name, all)| (name.as_str(), since(*all, last.totals.received.get(name)))).collect();
    let done = |name: &String, going: &Going| since(going.done, last.totals.destinations.get(name).map(|before| &before.done));
    let went: BTreeMap<&str, i64> = totals.destinations.iter().map(|(name, going)| (name.as_str(), done(name, going))).collect();
    let figures = serde_json::json!({
        "since": last.at, "received": received, "done": went, "destinations": totals.destinations,
        "quarantined": totals.quarantined, "unrouted": totals.unrouted,
    });
    let note = Note {
        what: What::Digest,
        condition: None,
        subject: String::new(),
        severity: AlertSeverity::Warning,
        title: format!("{} since {}", count(received.values().sum(), "event", "events"), moment(last.at, zone)),
        detail: text(&received, &went, totals),
        remedy: needs_a_person(totals),
        since: Some(last.at),
        ended_at: None,
        at: now,
        figures: Some(figures),
    };
    Letter { id: letter_id("digest", last.at, now), note, to }
}

/// A name that is new counts from nothing; one whose total shrank was made anew.
fn since(all: i64, before: Option<&i64>) -> i64 {
    let before = before.copied().unwrap_or(0);
    if all < before { all } else { all - before }
}

fn text(received: &BTreeMap<&str, i64>, went: &BTreeMap<&str, i64>, totals: &Totals) -> String {
    let mut text = String::from("Came in:\n");
    for (source, number) in received {
        // Writing to a String never fails.
        let _ = writeln!(text, "  {source}: {number}");
    }
    text.push_str("Went out:\n");
    for (destination, number) in went {
        let going = totals.destinations.get(*destination).copied().unwrap_or_default();
        let waits = if going.pending > 0 { format!(", {} wait", going.pending) } else { String::new() };
        let held = if going.held { ", on hold" } else { "" };
        let _ = writeln!(text, "  {destination}: {number}{waits}{held}");
    }
    text
}

fn needs_a_person(totals: &Totals) -> String {
    let dead: i64 = totals.destinations.values().map(|going| going.dead).sum();
    let held = totals.destinations.values().filter(|going| going.held).count();
    let parts = [
        (dead, "dead letter", "dead letters"),
        (i64::try_from(held).unwrap_or(i64::MAX), "destination on hold", "destinations on hold"),
        (totals.quarantined, "body in the quarantine", "bodies in the quarantine"),
        (totals.unrouted, "event that no route took", "events that no route took"),
    ];
    let told: Vec<String> = parts.iter().filter(|(number, ..)| *number > 0).map(|(number, one, many)| count(*number, one, many)).collect();
    if told.is_empty() { "Nothing needs a person.".to_owned() } else { format!("Needs a person: {}.", told.join(", ")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    fn digest(at: &str, zone: &str) -> Digest {
        Digest { at: at.parse().unwrap(), zone: TimeZone::get(zone).unwrap() }
    }

    fn moment_of(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The moments at which digests are written by somebody who looks every ten minutes.
    fn written(digest: &Digest, from: &str, days: i64) -> Vec<String> {
        let (mut last, end) = (moment_of(from), moment_of(from) + SignedDuration::from_hours(24 * days));
        let (mut now, mut written) = (last, Vec::new());
        while now < end {
            if is_due(last, now, digest) {
                written.push(now.to_string());
                last = now;
            }
            now += SignedDuration::from_mins(10);
        }
        written
    }

    #[test]
    fn one_is_due_each_day_at_that_hour_there() {
        let berlin = written(&digest("08:00:00", "Europe/Berlin"), "2026-11-20T00:00:00Z", 3);
        assert_eq!(berlin, ["2026-11-20T07:00:00Z", "2026-11-21T07:00:00Z", "2026-11-22T07:00:00Z"]);
    }

    #[test]
    fn an_hour_that_is_skipped_or_comes_twice_has_one_digest() {
        assert_eq!(written(&digest("02:30:00", "Europe/Berlin"), "2026-03-28T12:00:00Z", 1).len(), 1);
        assert_eq!(written(&digest("02:30:00", "Europe/Berlin"), "2026-10-24T12:00:00Z", 1).len(), 1);
    }

    #[test]
    fn after_days_without_a_bridge_there_is_one() {
        let digest = digest("08:00:00", "UTC");
        let (last, now) = (moment_of("2026-11-01T08:00:00Z"), moment_of("2026-11-22T10:00:00Z"));
        assert!(is_due(last, now, &digest) && !is_due(now, now + SignedDuration::from_secs(5), &digest));
        assert!(!is_due(now + SignedDuration::from_hours(48), now, &digest), "not while the clock is set back");
    }

    #[test]
    fn it_tells_what_came_since_and_what_needs_a_person() {
        let going = |done, pending, dead, held| Going { done, pending, dead, held };
        let totals = |received, crm| Totals {
            received: BTreeMap::from([("acme".to_owned(), received)]),
            destinations: BTreeMap::from([("crm".to_owned(), crm)]),
            quarantined: 2,
            unrouted: 0,
        };
        let last = Written { at: moment_of("2026-11-21T08:00:00Z"), totals: totals(10, going(9, 1, 0, false)) };
        let now = moment_of("2026-11-22T08:00:00Z");
        let note = letter(&last, &totals(17, going(12, 3, 1, true)), now, &TimeZone::UTC, vec!["mail".into()]).note;
        assert_eq!(note.title, "7 events since 2026-11-21 08:00 UTC");
        assert_eq!(note.detail, "Came in:\n  acme: 7\nWent out:\n  crm: 3, 3 wait, on hold\n");
        assert_eq!(note.remedy, "Needs a person: 1 dead letter, 1 destination on hold, 2 bodies in the quarantine.");
        assert_eq!(note.figures.unwrap()["received"]["acme"], 7);
    }

    proptest! {
        #[test]
        fn whenever_one_looks_a_day_has_at_most_one(hour in 0_i8..24, minutes in prop::collection::vec(1_i64..900, 1..200)) {
            let digest = Digest { at: jiff::civil::Time::new(hour, 0, 0, 0).unwrap(), zone: TimeZone::get("America/New_York").unwrap() };
            let start = moment_of("2026-01-01T00:00:00Z");
            let (mut last, mut now, mut written) = (start, start, Vec::new());
            for pause in minutes {
                now += SignedDuration::from_mins(pause);
                if is_due(last, now, &digest) {
                    written.push(now);
                    last = now;
                }
            }
            let days: std::collections::BTreeSet<_> = written.iter().map(|at| latest(*at, &digest).unwrap()).collect();
            prop_assert_eq!(days.len(), written.len());
        }
    }
}
