//! How often a value was of which size.

use super::counters::Counter;
use std::time::Duration;

/// From receipt to acceptance: 1 ms to eleven days, six steps to a factor of ten, so that a percentile is right to a fifth.
pub(super) static SPEED: [u64; 55] = ladder(1_000, &[10, 15, 20, 30, 50, 70]);
/// An attempt: 1 ms to 500 s.
pub(super) static ATTEMPT: [u64; 18] = ladder(1_000, &[10, 20, 50]);
/// A commit: 100 µs to 10 s.
pub(super) static COMMIT: [u64; 16] = ladder(100, &[10, 20, 50]);
/// What one commit holds.
pub(super) static BATCH: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Bounds that repeat `rungs` (in tenths) for every factor of ten.
const fn ladder<const N: usize>(first: u64, rungs: &[u64]) -> [u64; N] {
    let mut bounds = [0; N];
    let mut at = 0;
    while at < N {
        let mut bound = first * rungs[at % rungs.len()] / 10;
        let mut tens = at / rungs.len();
        while tens > 0 {
            bound *= 10;
            tens -= 1;
        }
        bounds[at] = bound;
        at += 1;
    }
    bounds
}

/// Counts of values by fixed bounds; each bucket holds what is at most its bound and over the one before. The last one holds the rest.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    buckets: Box<[Counter]>,
    sum: Counter,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, buckets: (0..=bounds.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    /// One more value.
    pub fn observe(&self, value: u64) {
        if let Some(bucket) = self.buckets.get(self.bounds.partition_point(|bound| *bound < value)) {
            bucket.one();
        }
        self.sum.add(value);
    }

    /// The same for a time, which is counted in microseconds.
    pub fn observe_time(&self, time: Duration) {
        self.observe(micros(time));
    }

    /// Its state now.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading { bounds: self.bounds, counts: self.buckets.iter().map(Counter::get).collect(), sum: self.sum.get() }
    }
}

/// The state of a [`Histogram`] at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Of all buckets but the last.
    pub bounds: &'static [u64],
    /// Of each bucket.
    pub counts: Vec<u64>,
    /// Of all values.
    pub sum: u64,
}

/// In whole microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ladders_go_as_far_as_they_say() {
        assert_eq!((SPEED[0], SPEED[1], SPEED[6], SPEED[54]), (1_000, 1_500, 10_000, 1_000_000_000_000));
        assert_eq!((ATTEMPT[17], COMMIT[15]), (500_000_000, 10_000_000));
    }

    proptest! {
        #[test]
        fn every_value_is_in_the_bucket_of_its_size(values in prop::collection::vec(0_u64..2_000_000_000_000, 0..50)) {
            let histogram = Histogram::new(&SPEED);
            values.iter().for_each(|value| histogram.observe(*value));
            let reading = histogram.read();
            prop_assert_eq!(reading.sum, values.iter().sum::<u64>());
            for (at, count) in reading.counts.iter().enumerate() {
                let over = if at == 0 { 0 } else { SPEED[at - 1] + 1 };
                let upto = SPEED.get(at).copied().unwrap_or(u64::MAX);
                prop_assert_eq!(*count, values.iter().filter(|value| (over..=upto).contains(*value)).count() as u64);
            }
        }
    }
}
