//! The limits of the API, as its headers tell them.

use leadwire_connector::reexport::Timestamp;
use leadwire_connector::simulator::Response;

const INTERVAL_MS: i64 = 10_000;
const DAY_MS: i64 = 86_400_000;

/// How many requests there may be, and how many there were.
#[derive(Debug)]
pub(super) struct Limits {
    burst: u64,
    daily: u64,
    in_interval: (i64, u64),
    in_day: (i64, u64),
}

impl Limits {
    pub(super) fn new(burst: u64, daily: u64) -> Self {
        Self { burst, daily, in_interval: (0, 0), in_day: (0, 0) }
    }

    /// Counts a request. False when there was one too many; those count as well.
    pub(super) fn count(&mut self, now: Timestamp) -> bool {
        let now = now.as_millisecond();
        self.in_interval = counted(self.in_interval, now / INTERVAL_MS);
        self.in_day = counted(self.in_day, now / DAY_MS);
        self.in_interval.1 <= self.burst && self.in_day.1 <= self.daily
    }

    /// As they are when no more requests are left for the day.
    pub(super) fn with_day_spent(&self) -> Self {
        Self { in_day: (self.in_day.0, self.daily), ..Self::new(self.burst, self.daily) }
    }

    pub(super) fn tell(&self, response: Response) -> Response {
        response
            .header("X-RateLimit-Limit-Daily", self.daily.to_string())
            .header("X-RateLimit-Daily-Remaining", self.daily.saturating_sub(self.in_day.1).to_string())
            .header("X-RateLimit-Interval-Milliseconds", INTERVAL_MS.to_string())
            .header("X-RateLimit-Max", self.burst.to_string())
            .header("X-RateLimit-Remaining", self.burst.saturating_sub(self.in_interval.1).to_string())
    }
}

fn counted((window, count): (i64, u64), now: i64) -> (i64, u64) {
    if window == now { (window, count + 1) } else { (now, 1) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_window_is_spent_and_begins_anew() {
        let at = |second: i64| Timestamp::from_second(1_795_341_600 + second).unwrap();
        let mut limits = Limits::new(2, 3);
        assert!(limits.count(at(0)) && limits.count(at(1)) && !limits.count(at(2)));
        assert!(!limits.count(at(10)), "the day is spent");
        assert!(limits.count(at(86_400)));
        let told = limits.tell(Response::json(200, &serde_json::Value::Null));
        assert!(told.headers.contains(&("X-RateLimit-Daily-Remaining".to_owned(), "2".to_owned())));
    }
}
