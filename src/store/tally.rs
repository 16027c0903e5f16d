//! The tally: what bridges counted, in steps of time, so that plots survive a restart.
//!
//! Each addition goes into a step of each length at once, so that nothing has to be aggregated later, and several bridges add up.

use super::names::Names;
use super::operations::each;
use super::{Engine, Result, Store};
use crate::figures::{DestinationTally, SourceTally, Tally};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

const RECEIVED: i64 = 0;
const DUPLICATES: i64 = 1;
const REFUSED: i64 = 2;
/// Figures from here on are of destinations.
pub(super) const OF_DESTINATIONS: i64 = 10;
const DELIVERED: i64 = 10;
const DEAD: i64 = 11;
const RETRIED: i64 = 12;
const SKIPPED: i64 = 13;
/// The one figure of which the largest counts, and not the sum.
pub(super) const SLOWEST: i64 = 14;
/// The first of the buckets of speed to lead.
const BUCKET: i64 = 100;

/// The lengths of steps in seconds, each with how long it is kept.
const STEPS: [(i64, SignedDuration); 3] =
    [(60, SignedDuration::from_hours(3)), (900, SignedDuration::from_hours(48)), (7_200, SignedDuration::from_hours(35 * 24))];

/// The span of a plot, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// By the minute.
    Hour,
    /// By the quarter of an hour.
    Day,
    /// By two hours.
    Week,
    /// By two hours: all there is.
    FiveWeeks,
}

impl Span {
    /// Length of a step in seconds, and how many there are.
    fn steps(self) -> (i64, i64) {
        match self {
            Self::Hour => (60, 60),
            Self::Day => (900, 96),
            Self::Week => (7_200, 84),
            Self::FiveWeeks => (7_200, 420),
        }
    }
}

/// A plot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tallies {
    /// How long each step is.
    pub step_s: i64,
    /// Oldest first, without gaps; the last one is still going on.
    pub points: Vec<Point>,
}

/// What happened in one step of time. Who is not in it did nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// When it began.
    #[serde(with = "leadwire_connector::timestamp")]
    pub at: Timestamp,
    /// What was counted.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One number of the tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) step_s: i64,
    pub(super) at_us: i64,
    pub(super) figure: i64,
    pub(super) id: i64,
    pub(super) n: i64,
}

/// The same as it is read, with the name of the source or destination.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) at_us: i64,
    pub(super) figure: i64,
    pub(super) name: String,
    pub(super) n: i64,
}

impl Store {
    /// Adds what was counted about this moment. Steps that are old enough are removed.
    ///
    /// # Errors
    /// `Unavailable` when it is not known to be added. Who adds it again may count it twice, which plots can bear.
    pub async fn add_tally(&self, at: Timestamp, tally: &Tally) -> Result<()> {
        let old = STEPS.map(|(step_s, kept)| (step_s, at.checked_sub(kept).unwrap_or(Timestamp::MIN).as_microsecond()));
        each!(&self.engine, engine => {
            let cells = cells(&engine.names(), at, tally);
            engine.add_tally(cells, old).await
        })
    }

    /// What happened in this span up to now, in all bridges on this store. What this process has counted and not added yet is in the
    /// last step.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub async fn tallies(&self, span: Span, now: Timestamp) -> Result<Tallies> {
        let (step_s, count) = span.steps();
        let last = floor(now, step_s);
        let first = last - (count - 1) * step_s * 1_000_000;
        let cells = each!(&self.engine, engine => engine.read_tally(step_s, first, last).await)?;
        let mut tallies = empty(step_s, first, count);
        for cell in &cells {
            let place = usize::try_from((cell.at_us - first) / (step_s * 1_000_000)).ok();
            if let Some(point) = place.and_then(|place| tallies.points.get_mut(place)) {
                add(&mut point.tally, cell);
            }
        }
        if let Some(point) = tallies.points.last_mut() {
            point.tally.add(&self.figures().untallied());
        }
        Ok(tallies)
    }
}

fn empty(step_s: i64, first: i64, count: i64) -> Tallies {
    let at = |place: i64| Timestamp::from_microsecond(first + place * step_s * 1_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
    Tallies { step_s, points: (0..count).map(|place| Point { at: at(place), tally: Tally::default() }).collect() }
}

/// The beginning of the step in which this moment is, in microseconds since 1970.
fn floor(at: Timestamp, step_s: i64) -> i64 {
    let step_us = step_s * 1_000_000;
    at.as_microsecond().div_euclid(step_us) * step_us
}

/// What is not zero, for each length of a step, in order: so bridges that add at once never wait for each other in a circle.
fn cells(names: &Names, at: Timestamp, tally: &Tally) -> Vec<Cell> {
    let sources = tally.sources.iter().filter_map(|(name, part)| Some((*names.sources.get(name)?, source_figures(part))));
    let destinations =
        tally.destinations.iter().filter_map(|(name, part)| Some((i64::from(*names.destinations.get(name)?), destination_figures(part))));
    let counted: Vec<(i64, i64, u64)> =
        sources.chain(destinations).flat_map(|(id, figures)| figures.into_iter().map(move |(figure, n)| (figure, id, n))).collect();
    let mut cells: Vec<Cell> = Vec::with_capacity(counted.len() * STEPS.len());
    for (step_s, _) in STEPS {
        let at_us = floor(at, step_s);
        let with =
            |(figure, id, n): &(i64, i64, u64)| Cell { step_s, at_us, figure: *figure, id: *id, n: i64::try_from(*n).unwrap_or(i64::MAX) };
        cells.extend(counted.iter().filter(|(_, _, n)| *n > 0).map(with));
    }
    cells.sort_unstable();
    cells
}

fn source_figures(part: &SourceTally) -> Vec<(i64, u64)> {
    vec![(RECEIVED, part.received), (DUPLICATES, part.duplicates), (REFUSED, part.refused)]
}

fn destination_figures(part: &DestinationTally) -> Vec<(i64, u64)> {
    let plain = [(DELIVERED, part.delivered), (DEAD, part.dead), (RETRIED, part.retried), (SKIPPED, part.skipped)];
    let speed = part.speed.buckets().iter().map(|(number, count)| (BUCKET + i64::from(*number), *count));
    plain.into_iter().chain([(SLOWEST, part.speed.slowest_us())]).chain(speed).collect()
}

fn add(tally: &mut Tally, cell: &Named) {
    let n = u64::try_from(cell.n).unwrap_or(0);
    if cell.figure < OF_DESTINATIONS {
        let part = tally.sources.entry(cell.name.clone()).or_default();
        match cell.figure {
            RECEIVED => part.received += n,
            DUPLICATES => part.duplicates += n,
            REFUSED => part.refused += n,
            _ => {}
        }
        return;
    }
    let part = tally.destinations.entry(cell.name.clone()).or_default();
    match cell.figure {
        DELIVERED => part.delivered += n,
        DEAD => part.dead += n,
        RETRIED => part.retried += n,
        SKIPPED => part.skipped += n,
        SLOWEST => part.speed.add_slowest(n),
        // What a later version counts is not for this one.
        figure => {
            if let Some(number) = figure.checked_sub(BUCKET).and_then(|number| u8::try_from(number).ok()) {
                part.speed.add_bucket(number, n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::figures::Speed;
    use std::collections::{BTreeMap, HashMap};

    #[test]
    fn what_is_written_is_read_again_for_every_length_of_a_step() {
        let mut speed = Speed::default();
        speed.add_bucket(0, 2);
        speed.add_bucket(54, 1);
        speed.add_slowest(77);
        let source = SourceTally { received: 1, duplicates: 2, refused: 3 };
        let destination = DestinationTally { delivered: 4, dead: 5, retried: 6, skipped: 7, speed };
        let tally = Tally {
            sources: BTreeMap::from([("acme".to_owned(), source)]),
            destinations: BTreeMap::from([("crm".to_owned(), destination)]),
        };
        let names = Names { sources: HashMap::from([("acme".to_owned(), 9)]), destinations: HashMap::from([("crm".to_owned(), 8)]) };
        let cells = cells(&names, "2026-11-22T10:44:59Z".parse().unwrap(), &tally);
        assert!(cells.is_sorted());
        for (step_s, _) in STEPS {
            let mut read = Tally::default();
            for cell in cells.iter().filter(|cell| cell.step_s == step_s) {
                let name = if cell.id == 9 { "acme" } else { "crm" };
                add(&mut read, &Named { at_us: cell.at_us, figure: cell.figure, name: name.to_owned(), n: cell.n });
            }
            assert_eq!(read, tally);
        }
        let at: Vec<String> = STEPS.map(|(step_s, _)| cells.iter().find(|cell| cell.step_s == step_s).unwrap().at_us).map(moment).to_vec();
        assert_eq!(at, ["2026-11-22T10:44:00Z", "2026-11-22T10:30:00Z", "2026-11-22T10:00:00Z"]);
    }

    fn moment(us: i64) -> String {
        Timestamp::from_microsecond(us).unwrap().to_string()
    }

    #[test]
    fn every_span_is_kept_long_enough_to_be_shown() {
        for span in [Span::Hour, Span::Day, Span::Week, Span::FiveWeeks] {
            let (step_s, count) = span.steps();
            let kept = STEPS.iter().find(|(length, _)| *length == step_s).unwrap().1;
            assert!(kept.as_secs() >= step_s * count, "{span:?}");
        }
    }
}
