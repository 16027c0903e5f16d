//! How long a destination was parked in all.

use jiff::SignedDuration;
use std::sync::atomic::{AtomicI64, Ordering};

/// The time a destination was on hold or down, in all, in microseconds; see [`Leased::parked_base_us`](crate::store::Leased). It is
/// kept in the store, where other processes add to it too, and only grows. What this process adds counts at once.
#[derive(Debug)]
pub(super) struct Parked(AtomicI64);

impl Parked {
    pub(super) fn new(micros: i64) -> Self {
        Self(AtomicI64::new(micros))
    }

    pub(super) fn micros(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    /// Adds a span that this process saw.
    pub(super) fn add(&self, span: SignedDuration) {
        let micros = i64::try_from(span.as_micros()).unwrap_or(0).max(0);
        self.0.fetch_add(micros, Ordering::AcqRel);
    }

    /// Takes what the store says. It may not know yet what was added here.
    pub(super) fn learn(&self, micros: i64) {
        self.0.fetch_max(micros, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_added_counts_and_what_the_store_does_not_know_yet_is_kept() {
        let parked = Parked::new(10);
        parked.add(SignedDuration::from_micros(5));
        parked.learn(10);
        assert_eq!(parked.micros(), 15);
        parked.learn(100);
        assert_eq!(parked.micros(), 100);
        parked.add(SignedDuration::from_micros(-3));
        assert_eq!(parked.micros(), 100, "a clock that was set back takes nothing away");
    }
}
