//! How long a child that failed is not started again. Pure.

use leadwire_connector::{DeliveryError, ErrorKind};
use std::time::{Duration, Instant};

/// How the message ends of an error before which nothing was sent.
const NOTHING_SENT: &str = "; nothing was sent";
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Doubles with each failure in a row, from a second to a minute.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
    until: Option<Instant>,
    /// Why it failed last: who waits for the next start must be told as well.
    why: String,
    excerpt: Option<String>,
}

impl Patience {
    /// The child could not be started, or ended in a way that it should not.
    pub(crate) fn failed(&mut self, cause: &DeliveryError, now: Instant) {
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.until = now.checked_add(wait);
        self.why = cause.message.trim_end_matches(NOTHING_SENT).to_owned();
        self.excerpt.clone_from(&cause.excerpt);
    }

    /// The error of a delivery that comes before the next start: the cause again, and when that start is.
    pub(crate) fn told(&self, wait: Duration) -> DeliveryError {
        let message = format!("{}; it is started again in {} s{NOTHING_SENT}", self.why, wait.as_secs());
        let error = DeliveryError::retry_after(ErrorKind::Unreachable, message, Some(wait));
        DeliveryError { excerpt: self.excerpt.clone(), ..error }
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
        let cause = DeliveryError::retry(ErrorKind::Unreachable, "the child `x` exited; nothing was sent").with_excerpt(b"oh no");
        let mut patience = Patience::default();
        assert_eq!(patience.left(now), Duration::ZERO);
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                patience.failed(&cause, now);
                patience.left(now).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        let told = patience.told(Duration::from_secs(60));
        assert_eq!(told.message, "the child `x` exited; it is started again in 60 s; nothing was sent");
        assert_eq!(told.excerpt.as_deref(), Some("oh no"));
        assert_eq!(patience.left(now + Duration::from_secs(90)), Duration::ZERO);
        patience.answered();
        assert_eq!(patience.left(now), Duration::ZERO);
    }
}
