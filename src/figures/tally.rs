//! What was counted in a span of time. Tallies of several spans, and of several bridges, add up.

use super::histogram::SPEED;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// By source and destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// By name.
    pub sources: BTreeMap<String, SourceTally>,
    /// By name.
    pub destinations: BTreeMap<String, DestinationTally>,
}

/// Of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SourceTally {
    /// New events.
    pub received: u64,
    /// Events that were in the store already.
    pub duplicates: u64,
    /// Requests that were not answered with success.
    pub refused: u64,
}

/// Of a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DestinationTally {
    /// Deliveries that were accepted.
    pub delivered: u64,
    /// Deliveries that became dead letters.
    pub dead: u64,
    /// Attempts after which the delivery is tried again.
    pub retried: u64,
    /// Deliveries that the destination does not take by its nature.
    pub skipped: u64,
    /// From receipt to acceptance.
    pub speed: Speed,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (name, part) in &other.sources {
            self.sources.entry(name.clone()).or_default().add(part);
        }
        for (name, part) in &other.destinations {
            self.destinations.entry(name.clone()).or_default().add(part);
        }
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.destinations.is_empty()
    }

    /// What was counted since `earlier`; who did nothing since is left out.
    pub(super) fn without(mut self, earlier: &Self) -> Self {
        for (name, part) in &mut self.sources {
            part.subtract(&earlier.sources.get(name).copied().unwrap_or_default());
        }
        for (name, part) in &mut self.destinations {
            if let Some(earlier) = earlier.destinations.get(name) {
                part.subtract(earlier);
            }
        }
        self.sources.retain(|_, part| *part != SourceTally::default());
        self.destinations.retain(|_, part| *part != DestinationTally::default());
        self
    }
}

impl SourceTally {
    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
    }

    fn subtract(&mut self, earlier: &Self) {
        self.received = self.received.saturating_sub(earlier.received);
        self.duplicates = self.duplicates.saturating_sub(earlier.duplicates);
        self.refused = self.refused.saturating_sub(earlier.refused);
    }
}

impl DestinationTally {
    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.dead += other.dead;
        self.retried += other.retried;
        self.skipped += other.skipped;
        self.speed.add(&other.speed);
    }

    fn subtract(&mut self, earlier: &Self) {
        self.delivered = self.delivered.saturating_sub(earlier.delivered);
        self.dead = self.dead.saturating_sub(earlier.dead);
        self.retried = self.retried.saturating_sub(earlier.retried);
        self.skipped = self.skipped.saturating_sub(earlier.skipped);
        self.speed.subtract(&earlier.speed);
    }
}

/// Speed to lead: how long deliveries took from receipt to the destination's acceptance. As JSON: `count`, `p50_s`, `p95_s`, `max_s`,
/// the latter `null` when nothing was delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Speed {
    /// By number of the bucket; empty ones are left out.
    buckets: BTreeMap<u8, u64>,
    slowest_us: u64,
}

impl Speed {
    pub(super) fn new(counts: &[u64], slowest_us: u64) -> Self {
        let numbered = (0_u8..).zip(counts.iter().copied());
        Self { buckets: numbered.filter(|(_, count)| *count > 0).collect(), slowest_us }
    }

    /// By number of the bucket, which means the same for ever: bounds are added at the end only.
    #[must_use]
    pub fn buckets(&self) -> &BTreeMap<u8, u64> {
        &self.buckets
    }

    /// So many more in this bucket.
    pub fn add_bucket(&mut self, number: u8, count: u64) {
        *self.buckets.entry(number).or_default() += count;
    }

    /// One took this long.
    pub fn add_slowest(&mut self, us: u64) {
        self.slowest_us = self.slowest_us.max(us);
    }

    /// The longest, in microseconds.
    #[must_use]
    pub fn slowest_us(&self) -> u64 {
        self.slowest_us
    }

    /// How many deliveries.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// The longest.
    #[must_use]
    pub fn slowest(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_micros(self.slowest_us))
    }

    /// What this share of the deliveries was at least as fast as, to about a fifth; `None` when there were none.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let rank = share.clamp(0.0, 1.0) * self.count() as f64;
        let mut before = 0.0;
        for (number, count) in self.buckets.iter().filter(|(_, count)| **count > 0) {
            let within = *count as f64;
            if before + within >= rank {
                let (from, to) = self.span(*number);
                let us = from + (to - from) * ((rank - before) / within).clamp(0.0, 1.0);
                return Some(Duration::from_micros(us as u64));
            }
            before += within;
        }
        None
    }

    /// What a bucket can hold, in microseconds; nothing is slower than the slowest.
    fn span(&self, number: u8) -> (f64, f64) {
        let bound = |number: usize| SPEED.get(number).copied().unwrap_or(u64::MAX);
        let from = usize::from(number).checked_sub(1).map_or(0, bound).min(self.slowest_us);
        (from as f64, bound(usize::from(number)).min(self.slowest_us) as f64)
    }

    fn add(&mut self, other: &Self) {
        other.buckets.iter().for_each(|(number, count)| self.add_bucket(*number, *count));
        self.add_slowest(other.slowest_us);
    }

    /// The slowest stays: whoever counts forgets it once it is tallied.
    fn subtract(&mut self, earlier: &Self) {
        for (number, count) in &mut self.buckets {
            *count = count.saturating_sub(earlier.buckets.get(number).copied().unwrap_or(0));
        }
        self.buckets.retain(|_, count| *count > 0);
    }
}

impl Serialize for Speed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let mut fields = serializer.serialize_struct("Speed", 4)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("p50_s", &seconds(self.percentile(0.5)))?;
        fields.serialize_field("p95_s", &seconds(self.percentile(0.95)))?;
        fields.serialize_field("max_s", &seconds(self.slowest()))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::super::histogram::Histogram;
    use super::*;
    use proptest::prelude::*;

    fn speed(values: &[u64]) -> Speed {
        let histogram = Histogram::new(&SPEED);
        values.iter().for_each(|value| histogram.observe(*value));
        Speed::new(&histogram.read().counts, values.iter().copied().max().unwrap_or(0))
    }

    #[test]
    fn of_nothing_there_is_no_percentile() {
        assert_eq!((Speed::default().percentile(0.5), Speed::default().slowest()), (None, None));
        assert_eq!(serde_json::to_value(Speed::default()).unwrap()["p95_s"], serde_json::Value::Null);
    }

    proptest! {
        #[test]
        fn a_percentile_is_near_the_value_at_its_rank(mut values in prop::collection::vec(1_000_u64..100_000_000_000, 1..200), share in 0.01_f64..1.0) {
            let found = speed(&values).percentile(share).unwrap().as_micros() as f64;
            values.sort_unstable();
            let rank = ((share * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64;
            prop_assert!(found >= exact / 1.7 && found <= exact * 1.7, "{found} for {exact}");
        }

        #[test]
        fn the_sum_of_two_is_that_of_all_values(one in prop::collection::vec(0_u64..10_000_000_000, 0..40), other in prop::collection::vec(0_u64..10_000_000_000, 0..40)) {
            let mut sum = speed(&one);
            sum.add(&speed(&other));
            prop_assert_eq!(sum, speed(&[one, other].concat()));
        }
    }
}
