//! Sees that the machine's clock was set back.

use jiff::{SignedDuration, Timestamp};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A clock that is only slowed down to be set right differs by less between two looks.
const LEAST: SignedDuration = SignedDuration::from_secs(2);

/// The machine's clock, as everything that sets a time in the store reads it: so a jump there and back is seen, however short.
#[derive(Debug)]
pub(super) struct Clock {
    since: Instant,
    looks: Mutex<Looks>,
}

impl Clock {
    /// From now on.
    pub(super) fn start() -> Self {
        Self { since: Instant::now(), looks: Mutex::new(Looks::new(Timestamp::now())) }
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        let mut looks = self.lock();
        let now = Timestamp::now();
        looks.note(now, self.since.elapsed());
        now
    }

    /// By how much it was set back since this was asked last.
    pub(super) fn set_back(&self) -> Option<SignedDuration> {
        self.now();
        let by = std::mem::take(&mut self.lock().set_back);
        (!by.is_zero()).then_some(by)
    }

    fn lock(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock beside one that only goes forward. Pure.
#[derive(Debug)]
struct Looks {
    wall: Timestamp,
    steady: Duration,
    set_back: SignedDuration,
}

impl Looks {
    fn new(wall: Timestamp) -> Self {
        Self { wall, steady: Duration::ZERO, set_back: SignedDuration::ZERO }
    }

    fn note(&mut self, wall: Timestamp, steady: Duration) {
        let passed = SignedDuration::try_from(steady.saturating_sub(self.steady)).unwrap_or(SignedDuration::MAX);
        let by = passed.saturating_sub(wall.duration_since(self.wall));
        (self.wall, self.steady) = (wall, steady);
        if by > LEAST {
            self.set_back = self.set_back.saturating_add(by);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn set_back(looks: &[(i64, u64)]) -> i64 {
        let moment = |wall_s: i64| Timestamp::from_second(1_800_000_000 + wall_s).unwrap();
        let mut seen = Looks::new(moment(0));
        for (wall_s, steady_s) in looks {
            seen.note(moment(*wall_s), Duration::from_secs(*steady_s));
        }
        seen.set_back.as_secs()
    }

    #[test]
    fn a_clock_that_was_set_back_is_seen_once_and_by_how_much() {
        assert_eq!(set_back(&[(5, 5), (-290, 10), (-285, 15)]), 300);
    }

    #[test]
    fn a_clock_that_goes_ahead_or_a_little_slower_is_left_alone() {
        assert_eq!(set_back(&[(86_400, 5), (86_404, 10)]), 0);
    }

    #[test]
    fn a_jump_ahead_that_is_set_right_counts_as_set_back() {
        assert_eq!(set_back(&[(86_400, 0), (1, 1)]), 86_400);
    }
}
