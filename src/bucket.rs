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

    /// The same with as many tokens missing as `other` misses now, so that a change of the limit gives nothing away.
    #[must_use]
    pub fn after(self, other: &Self, now: Timestamp) -> Self {
        let missing = other.full_at.duration_since(now).as_secs_f64() / other.interval.as_secs_f64();
        let all = self.depth + self.interval;
        let wait = (missing * self.interval.as_secs_f64()).clamp(0.0, all.as_secs_f64());
        let full_at = now.checked_add(SignedDuration::from_secs_f64(wait)).unwrap_or(Timestamp::MAX);
        Self { full_at, ..self }
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

    #[test]
    fn another_limit_begins_with_what_is_missing() {
        let mut used = Bucket::new(1.0, 5);
        assert_eq!((0..4).filter(|_| used.try_take(at(0))).count(), 4);
        let left = |bucket: Bucket, now: i64| {
            let mut bucket = bucket.after(&used, at(now));
            (0..100).filter(|_| bucket.try_take(at(now))).count()
        };
        assert_eq!((left(Bucket::new(1.0, 5), 0), left(Bucket::new(1.0, 5), 2_000), left(Bucket::new(1.0, 5), 60_000)), (1, 3, 5));
        assert_eq!((left(Bucket::new(10.0, 10), 0), left(Bucket::new(0.1, 2), 0)), (6, 0));
        assert_eq!(left(Bucket::new(1.0, 5), -86_400_000), 0, "a clock that was set back");
        assert_eq!(left(Bucket::new(1e6, u32::MAX), 86_400_000), 100);
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
