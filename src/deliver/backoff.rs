//! How long to wait before the next attempt. The only place that uses the `backoff` crate.

use ::backoff::ExponentialBackoff;
use ::backoff::backoff::Backoff as _;
use std::time::Duration;

/// Growth per attempt.
const MULTIPLIER: f64 = 2.0;

/// The waits between attempts: exponential, with jitter, capped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// After the first failure.
    pub initial: Duration,
    /// Never longer than this.
    pub max: Duration,
    /// Share of the wait by which it varies, 0 to 1, so that deliveries that failed together do not return together.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(5), max: Duration::from_secs(3_600), jitter: 0.2 }
    }
}

impl Backoff {
    /// The wait after `failures` failed attempts (1 for the first), with this policy.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let power = failures.saturating_sub(1).min(64);
        let grown = self.initial.as_secs_f64() * MULTIPLIER.powi(i32::try_from(power).unwrap_or(64));
        let current = Duration::from_secs_f64(grown.min(self.max.as_secs_f64()));
        // The crate is a calculator here: its state is set to what the stored number of failures means, and asked once.
        let mut calculator = ExponentialBackoff {
            current_interval: current,
            initial_interval: self.initial,
            multiplier: MULTIPLIER,
            randomization_factor: self.jitter,
            max_interval: self.max,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        calculator.next_backoff().unwrap_or(current).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_jitter_the_wait_doubles_up_to_the_cap() {
        let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        let seconds: Vec<u64> = (1..=12).map(|failures| backoff.delay(failures).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
    }

    proptest! {
        #[test]
        fn the_wait_stays_within_its_bounds(failures in 0_u32..1_000_000, initial_ms in 1_u64..60_000, max_s in 60_u64..90_000, jitter in 0.0_f64..1.0) {
            let backoff = Backoff { initial: Duration::from_millis(initial_ms), max: Duration::from_secs(max_s), jitter };
            let wait = backoff.delay(failures);
            prop_assert!(wait <= backoff.max);
            let least = backoff.initial.mul_f64((1.0 - jitter).max(0.0) * 0.999);
            prop_assert!(wait + Duration::from_micros(1) >= least, "{wait:?} is shorter than {least:?}");
        }
    }
}
