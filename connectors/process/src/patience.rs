//! How long a child that failed is not started again. Pure.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Doubles with each failure in a row, from a second to a minute.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
    until: Option<Instant>,
}

impl Patience {
    /// The child could not be started, or ended in a way that it should not.
    pub(crate) fn failed(&mut self, now: Instant) {
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.until = now.checked_add(wait);
    }

    /// The child answered a request.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// How long it is until the next start.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_waits_longer_and_an_answer_ends_the_row() {
        let now = Instant::now();
        let mut patience = Patience::default();
        assert_eq!(patience.left(now), Duration::ZERO);
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                patience.failed(now);
                patience.left(now).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(patience.left(now + Duration::from_secs(90)), Duration::ZERO);
        patience.answered();
        assert_eq!(patience.left(now), Duration::ZERO);
    }
}
