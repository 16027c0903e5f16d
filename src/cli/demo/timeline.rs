//! The way of each event as lines of at most 80 columns. Pure.

use crate::store::{DeliveryRow, EventRow, State};
use jiff::Timestamp;
use leadwire_connector::text::truncate;
use leadwire_connector::{Event, Kind};
use std::collections::HashMap;
use uuid::Uuid;

const WIDTH: usize = 80;
const NAME_WIDTH: usize = 17;
/// A longer record id says nothing to a person.
const RECORD_WIDTH: usize = 10;

/// What a line is about, and with that its first character.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Arrived,
    Failed,
    Retry,
    Repeated,
    Remark,
    Pending,
}

impl Mark {
    fn sign(self) -> char {
        match self {
            Self::Arrived => '✓',
            Self::Failed => '✗',
            Self::Retry => '↻',
            Self::Repeated => '=',
            Self::Remark => '!',
            Self::Pending => '·',
        }
    }

    /// As ANSI has them: green, red, yellow, or none.
    fn colour(self) -> Option<u8> {
        match self {
            Self::Arrived => Some(32),
            Self::Failed => Some(31),
            Self::Retry | Self::Remark => Some(33),
            Self::Repeated | Self::Pending => None,
        }
    }
}

/// What has been told of an event.
#[derive(Debug, Default)]
struct Told {
    failures: HashMap<String, u32>,
    duplicates: i64,
    has_ended: bool,
}

/// Turns what the store holds into lines, each told once.
#[derive(Debug)]
pub(super) struct Timeline {
    stations: Vec<String>,
    has_colour: bool,
    told: HashMap<Uuid, Told>,
}

impl Timeline {
    /// `stations` are the destinations in the order in which they are shown.
    pub(super) fn new(stations: Vec<String>, has_colour: bool) -> Self {
        Self { stations, has_colour, told: HashMap::new() }
    }

    /// The lines for what is new in `rows`, which come newest first.
    pub(super) fn update(&mut self, rows: &[EventRow], now: Timestamp) -> Vec<String> {
        rows.iter().rev().flat_map(|row| self.news(row, now)).collect()
    }

    /// The lines for what has not ended.
    pub(super) fn pending(&self, rows: &[EventRow]) -> Vec<String> {
        let pending = rows.iter().rev().filter(|row| !has_ended(row));
        pending.map(|row| self.line(Mark::Pending, row.event.received_at, &name(&row.event), &self.way(row))).collect()
    }

    /// A line that is not about an event.
    pub(super) fn remark(&self, text: &str, now: Timestamp) -> String {
        self.line(Mark::Remark, now, "", text)
    }

    fn news(&mut self, row: &EventRow, now: Timestamp) -> Vec<String> {
        let mut told = self.told.remove(&row.event.id).unwrap_or_default();
        let name = name(&row.event);
        let mut lines = Vec::new();
        for delivery in row.deliveries.iter().filter(|delivery| delivery.state.is_pending() && delivery.attempts > 0) {
            let before = told.failures.insert(delivery.destination.clone(), delivery.attempts);
            if before != Some(delivery.attempts) {
                lines.push(self.line(Mark::Retry, now, &name, &retry(delivery)));
            }
        }
        if row.duplicates > told.duplicates {
            lines.push(self.line(Mark::Repeated, now, &name, "posted again: the same lead, nothing is sent twice"));
            told.duplicates = row.duplicates;
        }
        if has_ended(row) && !told.has_ended {
            let is_dead = row.deliveries.iter().any(|delivery| delivery.state == State::Dead);
            let mark = if is_dead { Mark::Failed } else { Mark::Arrived };
            lines.push(self.line(mark, now, &name, &self.way(row)));
            told.has_ended = true;
        }
        self.told.insert(row.event.id, told);
        lines
    }

    fn way(&self, row: &EventRow) -> String {
        let at = |station: &String| row.deliveries.iter().find(|delivery| delivery.destination == *station);
        let stops = self.stations.iter().filter_map(at).map(stop);
        std::iter::once(row.event.kind.to_string()).chain(stops).collect::<Vec<_>>().join(" → ")
    }

    fn line(&self, mark: Mark, at: Timestamp, name: &str, text: &str) -> String {
        let column = if name.is_empty() { String::new() } else { format!("{:<NAME_WIDTH$} ", truncate(name, NAME_WIDTH)) };
        let text: String =
            format!("{}  {column}{text}", at.strftime("%H:%M:%S")).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = truncate(&text, WIDTH - 2);
        match mark.colour().filter(|_| self.has_colour) {
            Some(colour) => format!("\u{1b}[{colour}m{}\u{1b}[0m {text}", mark.sign()),
            None => format!("{} {text}", mark.sign()),
        }
    }
}

fn has_ended(row: &EventRow) -> bool {
    row.deliveries.iter().all(|delivery| !delivery.state.is_pending())
}

fn name(event: &Event) -> String {
    let nobody = || match event.kind {
        Kind::Conversation => "a chat".to_owned(),
        _ => "somebody".to_owned(),
    };
    event.person.full_name().or_else(|| event.person.email.clone()).unwrap_or_else(nobody)
}

fn retry(delivery: &DeliveryRow) -> String {
    let why = delivery.remark.as_deref().unwrap_or("it failed");
    format!("{}: {why}; will be tried again", delivery.destination)
}

fn stop(delivery: &DeliveryRow) -> String {
    let name = &delivery.destination;
    let tries = match (delivery.state.is_pending(), delivery.attempts) {
        (true, 0) | (false, 0 | 1) => String::new(),
        (true, failed) => format!(" ({failed} failed)"),
        (false, tried) => format!(" (try {tried})"),
    };
    match delivery.state {
        State::Delivered => {
            let record = delivery.record.as_ref().map(|record| record.id.as_str()).filter(|id| id.chars().count() <= RECORD_WIDTH);
            record.map_or_else(|| format!("{name}{tries}"), |id| format!("{name} {id}{tries}"))
        }
        State::Waiting | State::Leased | State::Blocked => format!("{name} …{tries}"),
        ended => format!("{name} {}", ended.as_str()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::{Person, Record};
    use serde_json::{Map, Value};

    fn now() -> Timestamp {
        "2026-11-22T12:00:01Z".parse().unwrap()
    }

    pub(in super::super) fn row(number: u128, deliveries: &[(&str, State, u32)]) -> EventRow {
        let id = Uuid::from_u128(number);
        let person = Person {
            first_name: Some("David".to_owned()),
            last_name: Some("Garcia".to_owned()),
            email: Some(format!("d{number}@example.com")),
            phone: None,
        };
        let event = Event {
            id,
            kind: Kind::Lead,
            source: "website".to_owned(),
            chatbot_id: None,
            person,
            content: None,
            session_id: None,
            page_url: None,
            created_at: None,
            received_at: now(),
            stale: false,
            conversation: None,
            extra: Map::new(),
            raw: Value::Null,
        };
        let deliveries = deliveries.iter().map(|(destination, state, attempts)| DeliveryRow {
            id: String::new(),
            event: id,
            destination: (*destination).to_owned(),
            state: *state,
            attempts: *attempts,
            received_at: now(),
            not_before: None,
            ended_at: None,
            record: (*destination == "crm" && *state == State::Delivered).then(|| Record { id: "101".to_owned(), url: None }),
            remark: (*state != State::Delivered).then(|| "the CRM failed (503)".to_owned()),
        });
        EventRow { event, duplicates: 0, erased_at: None, receipt: None, deliveries: deliveries.collect() }
    }

    fn timeline() -> Timeline {
        Timeline::new(["crm", "json", "spreadsheet"].map(str::to_owned).to_vec(), false)
    }

    #[test]
    fn a_lead_that_arrived_is_one_line() {
        let row = row(1, &[("spreadsheet", State::Delivered, 1), ("crm", State::Delivered, 1), ("json", State::Skipped, 1)]);
        let mut timeline = timeline();
        assert_eq!(
            timeline.update(std::slice::from_ref(&row), now()),
            ["✓ 12:00:01  David Garcia      lead → crm 101 → json skipped → spreadsheet"]
        );
        assert!(timeline.update(std::slice::from_ref(&row), now()).is_empty());
        assert!(timeline.pending(&[row]).is_empty());
    }

    #[test]
    fn each_failure_is_told_once_and_then_the_arrival() {
        let mut timeline = timeline();
        let waiting = [row(1, &[("crm", State::Waiting, 1)])];
        assert_eq!(timeline.update(&waiting, now()), ["↻ 12:00:01  David Garcia      crm: the CRM failed (503); will be tried again"]);
        assert!(timeline.update(&waiting, now()).is_empty());
        assert_eq!(timeline.pending(&waiting), ["· 12:00:01  David Garcia      lead → crm … (1 failed)"]);
        assert_eq!(timeline.update(&[row(1, &[("crm", State::Waiting, 2)])], now()).len(), 1);
        assert_eq!(
            timeline.update(&[row(1, &[("crm", State::Delivered, 3)])], now()),
            ["✓ 12:00:01  David Garcia      lead → crm 101 (try 3)"]
        );
    }

    #[test]
    fn a_repetition_and_a_dead_letter_are_told() {
        let mut timeline = timeline();
        let repeated = EventRow { duplicates: 1, ..row(1, &[("crm", State::Dead, 3)]) };
        let lines = timeline.update(&[repeated], now());
        assert_eq!(
            lines,
            [
                "= 12:00:01  David Garcia      posted again: the same lead, nothing is sent twice",
                "✗ 12:00:01  David Garcia      lead → crm dead"
            ]
        );
    }

    #[test]
    fn lines_fit_eighty_columns_come_oldest_first_and_cannot_steer_the_terminal() {
        let mut timeline = Timeline::new(vec!["a very long destination name".repeat(4)], false);
        let name = timeline.stations[0].clone();
        let rows = [row(2, &[(&name, State::Waiting, 1)]), {
            let mut first = row(1, &[(&name, State::Delivered, 1)]);
            first.event.person.first_name = Some("\u{1b}[31m".repeat(30));
            first
        }];
        let lines = timeline.update(&rows, now());
        assert!(lines[0].starts_with('✓') && lines[1].starts_with('↻'));
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH && !line.contains('\u{1b}')), "{lines:?}");
    }

    #[test]
    fn colour_is_only_in_the_mark() {
        let timeline = Timeline { has_colour: true, ..timeline() };
        assert_eq!(timeline.remark("trouble", now()), "\u{1b}[33m!\u{1b}[0m 12:00:01  trouble");
    }
}
