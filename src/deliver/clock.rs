//! Sees that the machine's clock was set back. Pure.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A clock that is only slowed down to be set right differs by less between two looks.
const LEAST: SignedDuration = SignedDuration::from_secs(2);

/// The wall clock beside one that only goes forward.
#[derive(Debug)]
pub(super) struct Clock {
    wall: Timestamp,
    steady: Duration,
}

impl Clock {
    /// As of the first look: the wall clock, and the time since any moment.
    pub(super) fn new(wall: Timestamp, steady: Duration) -> Self {
        Self { wall, steady }
    }

    /// By how much the wall clock was set back since the last look.
    pub(super) fn set_back(&mut self, wall: Timestamp, steady: Duration) -> Option<SignedDuration> {
        let passed = SignedDuration::try_from(steady.saturating_sub(self.steady)).unwrap_or(SignedDuration::MAX);
        let shown = wall.duration_since(self.wall);
        *self = Self { wall, steady };
        passed.checked_sub(shown).filter(|by| *by > LEAST)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn look(wall_s: i64, steady_s: u64) -> (Timestamp, Duration) {
        (Timestamp::from_second(1_800_000_000 + wall_s).unwrap(), Duration::from_secs(steady_s))
    }

    fn set_back(clock: &mut Clock, (wall, steady): (Timestamp, Duration)) -> Option<i64> {
        clock.set_back(wall, steady).map(|by| by.as_secs())
    }

    #[test]
    fn a_clock_that_was_set_back_is_seen_once_and_by_how_much() {
        let (wall, steady) = look(0, 10);
        let mut clock = Clock::new(wall, steady);
        assert_eq!(set_back(&mut clock, look(5, 15)), None);
        assert_eq!(set_back(&mut clock, look(-290, 20)), Some(300));
        assert_eq!(set_back(&mut clock, look(-285, 25)), None);
    }

    #[test]
    fn a_clock_that_goes_ahead_or_a_little_slower_is_left_alone() {
        let (wall, steady) = look(0, 0);
        let mut clock = Clock::new(wall, steady);
        assert_eq!(set_back(&mut clock, look(86_400, 5)), None);
        assert_eq!(set_back(&mut clock, look(86_404, 10)), None);
    }
}
