//! The plots of *Now*: speed to lead and rates, as columns for the script that draws them, and as a table for those who see no plot.

use super::filters;
use super::words::time_span;
use crate::console::{Console, Kind, Refusal};
use crate::figures::{DestinationTally, SourceTally, Speed, Tally};
use crate::store::{Span, Tallies};
use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A store that takes longer counts as one that cannot be read.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Which span is asked for; an hour when nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Which {
    span: String,
}

/// The spans that can be picked: in the address, and for people.
const SPANS: [(&str, &str, Span); 3] = [("hour", "hour", Span::Hour), ("day", "day", Span::Day), ("week", "week", Span::Week)];

impl Which {
    /// The word of the span, and the span; an hour for a word that there is not.
    fn span(&self) -> (&'static str, Span) {
        SPANS.iter().find(|(word, ..)| *word == self.span).map_or(("hour", Span::Hour), |(word, _, span)| (*word, *span))
    }
}

/// One value for each step of time, in columns, as the plotting script takes them.
#[derive(Debug, Default, Serialize)]
struct Columns {
    step_s: i64,
    /// Seconds since 1970.
    at: Vec<i64>,
    received: Vec<u64>,
    refused: Vec<u64>,
    delivered: Vec<u64>,
    dead: Vec<u64>,
    /// Seconds from receipt to acceptance: of half of the deliveries at most, of 95 in 100, of the slowest.
    p50: Vec<Option<f64>>,
    p95: Vec<Option<f64>>,
    max: Vec<Option<f64>>,
}

/// What all sources and destinations did together.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) source: SourceTally,
    pub(super) destination: DestinationTally,
}

impl Sum {
    pub(super) fn of<'t>(tallies: impl IntoIterator<Item = &'t Tally>) -> Self {
        let mut sum = Self::default();
        for tally in tallies {
            tally.sources.values().for_each(|part| sum.add_source(part));
            tally.destinations.values().for_each(|part| sum.add_destination(part));
        }
        sum
    }

    fn add_source(&mut self, part: &SourceTally) {
        self.source.received += part.received;
        self.source.duplicates += part.duplicates;
        self.source.refused += part.refused;
    }

    fn add_destination(&mut self, part: &DestinationTally) {
        self.destination.delivered += part.delivered;
        self.destination.dead += part.dead;
        self.destination.retried += part.retried;
        for (number, count) in part.speed.buckets() {
            self.destination.speed.add_bucket(*number, *count);
        }
        self.destination.speed.add_slowest(part.speed.slowest_us());
    }

    fn is_empty(&self) -> bool {
        let Self { source, destination } = self;
        source.received + source.refused + destination.delivered + destination.dead + destination.retried == 0
    }

    /// Half, 95 in 100, and the slowest, in words; `None` when nothing was delivered.
    pub(super) fn speed(&self) -> Option<(String, String, String)> {
        let [half, most, slowest] = speeds(&self.destination.speed).map(|time| time.map(time_span));
        Some((half?, most?, slowest?))
    }
}

fn speeds(speed: &Speed) -> [Option<Duration>; 3] {
    [speed.percentile(0.5), speed.percentile(0.95), speed.slowest()]
}

impl Columns {
    fn of(tallies: &Tallies) -> Self {
        let mut columns = Self { step_s: tallies.step_s, ..Self::default() };
        for point in &tallies.points {
            let Sum { source, destination } = Sum::of([&point.tally]);
            let [half, most, slowest] = speeds(&destination.speed).map(|time| time.map(|time| time.as_secs_f64()));
            columns.at.push(point.at.as_second());
            columns.received.push(source.received);
            columns.refused.push(source.refused);
            columns.delivered.push(destination.delivered);
            columns.dead.push(destination.dead);
            columns.p50.push(half);
            columns.p95.push(most);
            columns.max.push(slowest);
        }
        columns
    }
}

/// `GET /figures.json?span=hour|day|week`
pub(in crate::console) async fn figures(console: web::Data<Console>, which: web::Query<Which>) -> Result<HttpResponse, Refusal> {
    let tallies = read(&console, which.span().1).await.ok_or_else(unreadable)?;
    Ok(HttpResponse::Ok().json(Columns::of(&tallies)))
}

fn unreadable() -> Refusal {
    Refusal::new(Kind::Unavailable, "the store cannot be read now")
}

/// `None` while the store cannot be read.
pub(super) async fn read(console: &Console, span: Span) -> Option<Tallies> {
    tokio::time::timeout(READ_WITHIN, console.store.tallies(span, Timestamp::now())).await.ok()?.ok()
}

/// The part of the page with the plots.
#[derive(Template)]
#[template(path = "plots.html")]
pub(super) struct Plots {
    span: &'static str,
    /// Steps in which something happened, newest first; `None` while the store cannot be read.
    steps: Option<Vec<Step>>,
}

struct Step {
    at: Timestamp,
    sum: Sum,
}

impl Plots {
    pub(super) async fn read(console: &Console, which: &Which) -> Self {
        let (word, span) = which.span();
        Self { span: word, steps: read(console, span).await.map(|tallies| steps(&tallies)) }
    }
}

fn steps(tallies: &Tallies) -> Vec<Step> {
    let all = tallies.points.iter().rev().map(|point| Step { at: point.at, sum: Sum::of([&point.tally]) });
    all.filter(|step| !step.sum.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::store::Point;

    fn tallies() -> Tallies {
        let mut speed = Speed::default();
        speed.add_bucket(3, 2);
        speed.add_slowest(40_000);
        let part = DestinationTally { delivered: 2, speed, ..DestinationTally::default() };
        let source = SourceTally { received: 3, duplicates: 1, refused: 2 };
        let busy = Tally {
            sources: [("a".to_owned(), source), ("b".to_owned(), source)].into(),
            destinations: [("x".to_owned(), part.clone()), ("y".to_owned(), part)].into(),
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        Tallies { step_s: 60, points: vec![Point { at: at(60), tally: Tally::default() }, Point { at: at(120), tally: busy }] }
    }

    #[test]
    fn sources_and_destinations_add_up_in_each_step() {
        let columns = Columns::of(&tallies());
        assert_eq!((columns.at, columns.received, columns.refused, columns.delivered), (vec![60, 120], vec![0, 6], vec![0, 4], vec![0, 4]));
        assert_eq!((columns.p50[0], columns.max[1]), (None, Some(0.04)));
    }

    #[test]
    fn the_table_leaves_out_steps_in_which_nothing_happened() {
        let steps = steps(&tallies());
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].sum.speed().unwrap().2, "40 ms");
        assert!(Sum::default().speed().is_none());
    }

    #[test]
    fn a_span_that_there_is_not_is_an_hour() {
        assert_eq!(Which { span: "<script>".to_owned() }.span(), ("hour", Span::Hour));
        assert_eq!(Which { span: "week".to_owned() }.span(), ("week", Span::Week));
    }
}
