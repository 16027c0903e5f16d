//! A rate limit: of a destination when delivering, of a source when receiving.

use jiff::{SignedDuration, Timestamp};

/// A token bucket in the form of the generic cell rate algorithm (ITU-T I.371): one number, the moment at which the bucket
/// would be full again.
#[derive(Debug, Clone)]
pub struct Bucket {
    interval: SignedDuration,
    depth: SignedDuration,
    full_at: Timestamp,
}

impl Bucket {
    /// At most `per_second` starts per second, `burst` (at least 1) of them at once.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Self {
        let interval = SignedDuration::from_secs_f64(1.0 / per_second.clamp(1e-6, 1e6));
        let depth = interval * i32::try_from(burst.max(1) - 1).unwrap_or(i32::MAX);
        Self { interval, depth, full_at: Timestamp::MIN }
    }

    /// When the next start is allowed; now or earlier means at once.
    #[must_use]
    pub fn next_at(&self) -> Timestamp {
        self.full_at.checked_sub(self.depth).unwrap_or(Timestamp::MIN)
    }

    /// Takes a token if there is one.
    pub fn try_take(&mut self, now: Timestamp) -> bool {
        // A clock that was set back must not keep the bucket shut until it has caught up.
        let fullest = now.checked_add(self.depth + self.interval).unwrap_or(Timestamp::MAX);
        self.full_at = self.full_at.min(fullest);
        if now < self.next_at() {
            return false;
        }
        self.full_at = self.full_at.max(now).checked_add(self.interval).unwrap_or(Timestamp::MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
    }

    #[test]
    fn a_burst_is_followed_by_the_steady_rate() {
        let mut bucket = Bucket::new(10.0, 3);
        assert_eq!((0..5).filter(|_| bucket.try_take(at(0))).count(), 3);
        assert!(!bucket.try_take(at(99)));
        assert!(bucket.try_take(at(100)));
        assert!(!bucket.try_take(at(100)));
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_it_for_one_interval_at_most() {
        let mut bucket = Bucket::new(10.0, 1);
        assert!(bucket.try_take(at(3_600_000)));
        assert!(!bucket.try_take(at(0)));
        assert!(bucket.try_take(at(100)));
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_burst_and_rate_allow(per_second in 1_u32..200, burst in 1_u32..50, gaps in prop::collection::vec(0_i64..200, 1..300)) {
            let mut bucket = Bucket::new(f64::from(per_second), burst);
            let mut now = 0;
            let mut taken = Vec::new();
            for gap in gaps {
                now += gap;
                if bucket.try_take(at(now)) {
                    taken.push(now);
                }
            }
            for (index, start) in taken.iter().enumerate() {
                let within = taken[index..].iter().filter(|moment| **moment - start < 1_000).count();
                prop_assert!(within <= (per_second + burst) as usize);
            }
        }
    }
}
