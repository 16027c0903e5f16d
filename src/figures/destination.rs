//! What is counted of a destination.

use super::counters::Counter;
use super::histogram::{ATTEMPT, Histogram, Reading, SPEED, micros};
use super::tally::{DestinationTally, Speed};
use leadwire_connector::http::Quotas;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What an attempt can lead to, as the timeline has it.
pub const OUTCOMES: [&str; 6] = ["delivered", "skipped", "retry", "reject", "hold", "dead"];

/// The figures of one destination.
#[derive(Debug)]
pub struct DestinationFigures {
    attempts: [Counter; OUTCOMES.len()],
    durations: Histogram,
    /// Deliveries that were accepted.
    pub delivered: Counter,
    /// Deliveries that the destination does not take by its nature.
    pub skipped: Counter,
    /// Deliveries that became dead letters.
    pub dead: Counter,
    /// Attempts after which the delivery is tried again.
    pub retried: Counter,
    speed: Histogram,
    /// The slowest delivery that is not in the tally yet.
    slowest_us: AtomicU64,
    /// What the destination said is left of what it allows.
    pub quotas: Quotas,
}

impl Default for DestinationFigures {
    fn default() -> Self {
        Self {
            attempts: Default::default(),
            durations: Histogram::new(&ATTEMPT),
            delivered: Counter::default(),
            skipped: Counter::default(),
            dead: Counter::default(),
            retried: Counter::default(),
            speed: Histogram::new(&SPEED),
            slowest_us: AtomicU64::new(0),
            quotas: Quotas::default(),
        }
    }
}

impl DestinationFigures {
    /// An attempt ended with this one of the [`OUTCOMES`].
    pub fn attempt(&self, outcome: &str, took: Duration) {
        if let Some((_, counter)) = OUTCOMES.iter().zip(&self.attempts).find(|(word, _)| **word == outcome) {
            counter.one();
        }
        self.durations.observe_time(took);
    }

    /// What an attempt led to is in the store. `since_receipt` is until the destination's answer.
    pub fn settle(&self, outcome: &str, since_receipt: Duration) {
        match outcome {
            "delivered" => {
                self.delivered.one();
                self.speed.observe_time(since_receipt);
                self.slowest_us.fetch_max(micros(since_receipt), Ordering::Relaxed);
            }
            "skipped" => self.skipped.one(),
            "reject" | "dead" => self.dead.one(),
            _ => self.retried.one(),
        }
    }

    /// Attempts by outcome.
    pub fn attempts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().zip(self.attempts.iter().map(Counter::get))
    }

    /// How long attempts took, in microseconds.
    #[must_use]
    pub fn durations(&self) -> Reading {
        self.durations.read()
    }

    /// How long it took from receipt to acceptance, in microseconds.
    #[must_use]
    pub fn speed(&self) -> Reading {
        self.speed.read()
    }

    pub(super) fn total(&self) -> DestinationTally {
        DestinationTally {
            delivered: self.delivered.get(),
            dead: self.dead.get(),
            retried: self.retried.get(),
            skipped: self.skipped.get(),
            speed: Speed::new(&self.speed.read().counts, self.slowest_us.load(Ordering::Relaxed)),
        }
    }

    /// The tally has it; one that was slower and came since stays.
    pub(super) fn forget_slowest(&self, tallied_us: u64) {
        // When it is another one by now, that one is for the next tally.
        let _ = self.slowest_us.compare_exchange(tallied_us, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_apart_and_deliveries_by_their_end() {
        let figures = DestinationFigures::default();
        for word in OUTCOMES {
            figures.attempt(word, Duration::from_millis(3));
            figures.settle(word, Duration::from_secs(1));
        }
        assert!(figures.attempts().all(|(_, count)| count == 1));
        let total = figures.total();
        assert_eq!((total.delivered, total.skipped, total.dead, total.retried), (1, 1, 2, 2));
        assert_eq!(figures.durations().counts.iter().sum::<u64>(), 6);
        assert_eq!(total.speed.slowest_us(), 1_000_000);
    }
}
