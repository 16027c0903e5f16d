//! Whether a write that the store does not take is worth waiting for. Pure: the time is an argument.
//!
//! What counts is how long the *store* has taken nothing, not how long one request has waited: a store that has been sick for a
//! while must not gather connections and memory, so that later requests are refused at once.

use std::time::{Duration, Instant};

/// How long a store may take nothing before requests are refused at once. Restarts and failovers of a database take up to 3 s and
/// must not cost an answer; the HTTP clients of senders wait for at least 10 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The first pause before a write is repeated; it doubles.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Requests that may wait for a sick store at once.
const MOST_WAITING: usize = 4_096;
/// Bytes of their events together. One that is larger may wait alone.
const MOST_WAITING_BYTES: usize = 64 << 20;

/// A store that has taken nothing for so long is one that requests wait for, whether or not it said that it is sick.
const SLOW: Duration = Duration::from_secs(1);

/// Larger writes count as this large: a disk that has room for it has room for leads, and a daily chat log that does not fit is the
/// trouble of that one request.
const LARGEST_SIGN: usize = 1 << 20;

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is committed.
    Committed,
    /// The store is unavailable to it.
    Failed,
    /// There was no answer within the patience.
    Hung,
    /// It says nothing about the store: refused for what it was, or its sender hung up.
    Unknown,
}

/// What is known of the store's health.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Writes that are wanted now, and their bytes.
    wanted: usize,
    wanted_bytes: usize,
    /// Since when writes have been wanted and none, or none of the size that fails, was committed.
    since: Option<Instant>,
    /// The size of the smallest write that failed since then. Smaller ones may still succeed on a disk that is all but full.
    failing: Option<usize>,
    failures: u64,
}

impl Patience {
    /// A write of so many bytes is wanted. False when it is not worth trying, or too many wait already.
    #[must_use]
    pub(super) fn begin(&mut self, bytes: usize, now: Instant) -> bool {
        if self.is_refusing(bytes, now) || (self.is_waited_for(now) && self.is_crowded(bytes)) {
            return false;
        }
        self.wanted += 1;
        self.wanted_bytes += bytes;
        self.since.get_or_insert(now);
        true
    }

    /// The write is not wanted any more.
    pub(super) fn leave(&mut self, bytes: usize) {
        self.wanted = self.wanted.saturating_sub(1);
        self.wanted_bytes = self.wanted_bytes.saturating_sub(bytes);
        if self.wanted == 0 && self.failing.is_none() {
            self.since = None;
        }
    }

    /// A try of a write of so many bytes ended.
    pub(super) fn note(&mut self, bytes: usize, end: End, now: Instant) {
        let size = bytes.min(LARGEST_SIGN);
        match end {
            End::Committed if self.failing.is_none_or(|least| size >= least) => {
                self.failing = None;
                self.since = (self.wanted > 0).then_some(now);
            }
            End::Committed | End::Unknown => {}
            End::Failed | End::Hung => {
                // Of a store that hangs, a small write is no better off than a large one.
                let size = if end == End::Hung { 0 } else { size };
                self.failing = Some(self.failing.map_or(size, |least| least.min(size)));
                self.since.get_or_insert(now);
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    /// Until when a write of so many bytes that began at `begun` may be waited for.
    #[must_use]
    pub(super) fn deadline(&self, bytes: usize, begun: Instant) -> Instant {
        let since = self.since.filter(|_| self.concerns(bytes)).unwrap_or(begun);
        since + PATIENCE
    }

    /// Since when the store is sick, and the size of a write that would prove it well.
    #[must_use]
    pub(super) fn sick(&self) -> Option<(Instant, usize)> {
        self.since.zip(self.failing)
    }

    /// Failed tries ever.
    #[must_use]
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    fn is_refusing(&self, bytes: usize, now: Instant) -> bool {
        self.failing.is_some() && self.concerns(bytes) && self.since.is_some_and(|since| now >= since + PATIENCE)
    }

    fn is_waited_for(&self, now: Instant) -> bool {
        self.failing.is_some() || self.since.is_some_and(|since| now >= since + SLOW)
    }

    fn is_crowded(&self, bytes: usize) -> bool {
        self.wanted >= MOST_WAITING || (self.wanted > 0 && self.wanted_bytes + bytes > MOST_WAITING_BYTES)
    }

    /// Whether what fails is a write of this size.
    fn concerns(&self, bytes: usize) -> bool {
        self.failing.is_none_or(|least| bytes.min(LARGEST_SIGN) >= least)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sick_since(start: Instant, bytes: usize) -> Patience {
        let mut patience = Patience::default();
        assert!(patience.begin(bytes, start));
        patience.note(bytes, End::Failed, start);
        patience
    }

    #[test]
    fn the_patience_counts_from_when_the_store_went_sick() {
        let start = Instant::now();
        let mut patience = sick_since(start, 100);
        assert!(patience.begin(100, start + 4 * SECOND), "this one waits for the one second that is left");
        assert_eq!(patience.deadline(100, start + 4 * SECOND), start + PATIENCE);
        assert!(!patience.begin(100, start + PATIENCE), "from now on requests are refused at once");
    }

    #[test]
    fn a_commit_of_that_size_ends_it_and_a_smaller_one_does_not() {
        let start = Instant::now();
        let mut patience = sick_since(start, 8_000);
        patience.note(10, End::Committed, start + 6 * SECOND);
        assert_eq!(patience.sick(), Some((start, 8_000)));
        assert!(!patience.begin(8_000, start + 6 * SECOND));
        assert!(patience.begin(500, start + 6 * SECOND), "a small lead is tried all the same");
        patience.leave(500);
        patience.note(8_000, End::Committed, start + 7 * SECOND);
        assert_eq!(patience.sick(), None);
        assert!(patience.begin(8_000, start + 8 * SECOND));
    }

    #[test]
    fn a_store_that_hangs_is_sick_for_every_size() {
        let start = Instant::now();
        let mut patience = Patience::default();
        assert!(patience.begin(5_000, start));
        assert!(patience.begin(1, start + 3 * SECOND));
        assert_eq!(patience.deadline(1, start + 3 * SECOND), start + PATIENCE);
        patience.note(5_000, End::Hung, start + PATIENCE);
        assert!(!patience.begin(1, start + PATIENCE));
    }

    #[test]
    fn a_store_that_is_slow_but_works_is_waited_for() {
        let start = Instant::now();
        let mut patience = Patience::default();
        assert!(patience.begin(1, start));
        assert!(patience.begin(1, start));
        patience.note(1, End::Committed, start + 4 * SECOND);
        patience.leave(1);
        assert_eq!(patience.deadline(1, start), start + 4 * SECOND + PATIENCE);
        patience.leave(1);
        assert_eq!(patience.deadline(1, start + 9 * SECOND), start + 9 * SECOND + PATIENCE, "the quiet time does not count");
    }

    #[test]
    fn those_who_wait_are_bounded_in_number_and_in_bytes() {
        let start = Instant::now();
        let mut patience = sick_since(start, 1);
        assert!(!patience.begin(MOST_WAITING_BYTES, start + SECOND));
        for _ in 1..MOST_WAITING {
            assert!(patience.begin(1, start + SECOND));
        }
        assert!(!patience.begin(1, start + SECOND));
        patience.leave(1);
        assert!(patience.begin(1, start + SECOND));
    }

    proptest! {
        /// Whatever happens: nobody waits longer than the patience after the last commit that counts, and a commit that is large
        /// enough always ends it.
        #[test]
        fn no_history_leaves_it_stuck(steps in proptest::collection::vec((0_usize..5, 0_usize..3_000_000, 0_u64..4_000), 1..60)) {
            let mut now = Instant::now();
            let (mut patience, mut open) = (Patience::default(), Vec::new());
            for (what, bytes, millis) in steps {
                now += Duration::from_millis(millis);
                match what {
                    0 | 1 => if patience.begin(bytes, now) {
                        prop_assert!(patience.deadline(bytes, now) <= now + PATIENCE);
                        open.push(bytes);
                    },
                    2 => if let Some(bytes) = open.pop() { patience.note(bytes, End::Failed, now); patience.leave(bytes); },
                    3 => if let Some(bytes) = open.pop() { patience.note(bytes, End::Committed, now); patience.leave(bytes); },
                    _ => if let Some(bytes) = open.pop() { patience.leave(bytes); },
                }
            }
            if let Some((_, least)) = patience.sick() {
                patience.note(least, End::Committed, now);
            }
            prop_assert_eq!(patience.sick(), None);
            open.into_iter().for_each(|bytes| patience.leave(bytes));
            prop_assert!(patience.begin(usize::MAX / 2, now));
        }
    }
}
