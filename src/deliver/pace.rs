//! How many deliveries of a destination may start in a second. Pure.

use crate::bucket::Bucket;
use jiff::{SignedDuration, Timestamp};

/// Starts that were allowed and not used in this time are forgotten: the destination counts them where they happen.
const GOOD_FOR: SignedDuration = SignedDuration::from_secs(1);

/// The rate limit of a lane.
#[derive(Debug)]
pub(super) enum Pace {
    /// There is none.
    Free,
    /// It is this process's alone.
    Own(Bucket),
    /// Other processes deliver to the same destination: the store allows starts.
    Shared(Allowance),
}

/// What the store allowed so far.
#[derive(Debug)]
pub(super) struct Allowance {
    /// As many as are asked for at once, at most: those of about half a second.
    most: u32,
    starts: u32,
    good_until: Timestamp,
    asking: bool,
    noted_at: Timestamp,
    ask_at: Timestamp,
}

/// What one more start takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It may be.
    Go,
    /// Not now.
    Wait,
    /// Not before the store was asked for at most so many.
    Ask(u32),
}

impl Pace {
    /// At most `per_second` starts per second and `burst` at once, counted here or, when `shared`, by the store.
    pub(super) fn new(per_second: Option<f64>, burst: u32, shared: bool) -> Self {
        match per_second {
            None => Self::Free,
            Some(per_second) if shared => Self::Shared(Allowance::new(per_second, burst)),
            Some(per_second) => Self::Own(Bucket::new(per_second, burst)),
        }
    }

    /// Another limit from now on. What this one has used up stays so; the store remembers what is shared by itself.
    pub(super) fn renewed(&self, per_second: Option<f64>, burst: u32, shared: bool, now: Timestamp) -> Self {
        match (self, Self::new(per_second, burst, shared)) {
            (Self::Own(used), Self::Own(bucket)) => Self::Own(bucket.after(used, now)),
            (_, new) => new,
        }
    }

    /// Asks for a start, of `wanted` that could be made.
    pub(super) fn pass(&mut self, wanted: usize, now: Timestamp) -> Pass {
        match self {
            Self::Free => Pass::Go,
            Self::Own(bucket) => {
                if bucket.try_take(now) {
                    Pass::Go
                } else {
                    Pass::Wait
                }
            }
            Self::Shared(allowance) => allowance.pass(wanted, now),
        }
    }

    /// The store's answer: so many may start now, and when to ask again if there were too few. `None` when it did not answer.
    pub(super) fn note_granted(&mut self, granted: Option<(u32, Option<Timestamp>)>, now: Timestamp) {
        if let Self::Shared(allowance) = self {
            allowance.note(granted, now);
        }
    }

    /// When a start may be possible again.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        match self {
            Self::Free => None,
            Self::Own(bucket) => Some(bucket.next_at()),
            Self::Shared(allowance) => (!allowance.asking).then_some(allowance.ask_at),
        }
    }
}

impl Allowance {
    fn new(per_second: f64, burst: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped to the range")]
        let half_a_second = (per_second / 2.0).clamp(1.0, 1_000_000.0) as u32;
        let (most, never) = (half_a_second.max(burst.min(1_000)), Timestamp::MIN);
        Self { most, starts: 0, good_until: never, asking: false, noted_at: never, ask_at: never }
    }

    fn pass(&mut self, wanted: usize, now: Timestamp) -> Pass {
        // A clock that was set back makes what was allowed last longer, and the wait too: neither may.
        let is_good = now < self.good_until && self.good_until.duration_since(now) <= GOOD_FOR;
        if self.starts > 0 && is_good {
            self.starts -= 1;
            return Pass::Go;
        }
        if self.asking || (self.noted_at..self.ask_at).contains(&now) {
            return Pass::Wait;
        }
        self.asking = true;
        Pass::Ask(u32::try_from(wanted).unwrap_or(u32::MAX).clamp(1, self.most))
    }

    fn note(&mut self, granted: Option<(u32, Option<Timestamp>)>, now: Timestamp) {
        let in_a_second = now.checked_add(GOOD_FOR).unwrap_or(now);
        self.asking = false;
        (self.starts, self.ask_at) = match granted {
            Some((starts, next_at)) => (starts, next_at.unwrap_or(now)),
            None => (0, in_a_second),
        };
        self.noted_at = now;
        self.good_until = in_a_second;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
    }

    fn shared() -> Pace {
        Pace::new(Some(10.0), 1, true)
    }

    #[test]
    fn the_store_is_asked_once_and_its_starts_are_used_up() {
        let mut pace = shared();
        assert_eq!(pace.pass(100, at(0)), Pass::Ask(5), "those of half a second");
        assert_eq!(pace.pass(100, at(0)), Pass::Wait, "it was asked");
        assert_eq!(pace.next_at(), None, "the answer wakes");
        pace.note_granted(Some((2, Some(at(200)))), at(1));
        assert_eq!((pace.pass(9, at(1)), pace.pass(9, at(1)), pace.pass(9, at(1))), (Pass::Go, Pass::Go, Pass::Wait));
        assert_eq!(pace.next_at(), Some(at(200)));
        assert_eq!(pace.pass(9, at(200)), Pass::Ask(5));
    }

    #[test]
    fn starts_that_were_not_used_are_forgotten() {
        let mut pace = shared();
        pace.pass(1, at(0));
        pace.note_granted(Some((5, None)), at(0));
        assert_eq!(pace.pass(1, at(1_001)), Pass::Ask(1));
    }

    #[test]
    fn a_wait_ends_when_the_clock_is_set_back() {
        let mut pace = shared();
        pace.pass(1, at(86_400_000));
        pace.note_granted(Some((0, Some(at(86_400_100)))), at(86_400_000));
        assert_eq!(pace.pass(1, at(86_400_050)), Pass::Wait);
        assert_eq!(pace.pass(1, at(500)), Pass::Ask(1));
    }

    #[test]
    fn a_store_that_does_not_answer_is_asked_again_after_a_second() {
        let mut pace = shared();
        pace.pass(1, at(0));
        pace.note_granted(None, at(0));
        assert_eq!(pace.pass(1, at(999)), Pass::Wait);
        assert_eq!(pace.pass(1, at(1_000)), Pass::Ask(1));
    }
}
