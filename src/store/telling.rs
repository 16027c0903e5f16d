//! When the log is told of trouble that lasts: once when it comes, at most once a minute while it is there, and once when it is over.
//! Pure: the time is an argument.

use std::time::{Duration, Instant};

/// Between two lines about the same trouble.
const EVERY: Duration = Duration::from_secs(60);
/// Trouble that comes and goes is told no more often than this.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);

/// What was told of one kind of trouble.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Since when there is trouble.
    since: Option<Instant>,
    /// When it was told last, this time or an earlier one.
    told_at: Option<Instant>,
    /// Whether it was told this time.
    is_told: bool,
}

impl Telling {
    /// There is trouble, and has been since `since`, if that was not known before. When it is to be told: for how long.
    pub(super) fn trouble(&mut self, since: Instant, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(since);
        let pause = if self.is_told { EVERY } else { AT_MOST_EVERY };
        if self.told_at.is_some_and(|told_at| now < told_at + pause) {
            return None;
        }
        self.told_at = Some(now);
        self.is_told = true;
        Some(now.saturating_duration_since(since))
    }

    /// Whether there was none until now.
    pub(super) fn is_over(&self) -> bool {
        self.since.is_none()
    }

    /// There is none. When the end of it is to be told, because the trouble was: for how long it lasted.
    pub(super) fn over(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.take()?;
        std::mem::take(&mut self.is_told).then(|| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn trouble_is_told_when_it_comes_once_a_minute_and_when_it_is_over() {
        let (start, mut telling) = (Instant::now(), Telling::default());
        assert_eq!(telling.over(start), None);
        let told: Vec<u64> = (0..200).filter(|second| telling.trouble(start, start + SECOND * *second).is_some()).map(u64::from).collect();
        assert_eq!(told, [0, 60, 120, 180]);
        assert_eq!(telling.over(start + 200 * SECOND), Some(200 * SECOND));
        assert_eq!(telling.over(start + 201 * SECOND), None);
    }

    #[test]
    fn trouble_that_comes_and_goes_is_told_no_more_than_every_few_seconds() {
        let (start, mut telling) = (Instant::now(), Telling::default());
        let (mut told, mut ended) = (0, 0);
        for tenth in 0..600 {
            let now = start + SECOND / 10 * tenth;
            told += u32::from(telling.trouble(now, now).is_some());
            ended += u32::from(telling.over(now).is_some());
        }
        assert_eq!((told, ended), (12, 12));
    }

    #[test]
    fn trouble_that_comes_back_and_stays_is_told() {
        let (start, mut telling) = (Instant::now(), Telling::default());
        telling.trouble(start, start);
        telling.over(start + SECOND);
        assert_eq!(telling.trouble(start + 2 * SECOND, start + 2 * SECOND), None);
        assert_eq!(telling.trouble(start + 6 * SECOND, start + 6 * SECOND), Some(4 * SECOND));
    }
}
