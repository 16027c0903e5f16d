//! How many requests the simulated account takes, and the headers that say so.

use super::answers::rate_limited;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::simulator::Response;
use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(10);

/// Counts always, refuses only when it is enforced.
#[derive(Debug)]
pub(super) struct Limits {
    per_window: u64,
    per_day: u64,
    is_enforced: bool,
    recent: VecDeque<Timestamp>,
    today: u64,
}

impl Default for Limits {
    /// Those of a Professional account.
    fn default() -> Self {
        Self { per_window: 190, per_day: 625_000, is_enforced: false, recent: VecDeque::new(), today: 0 }
    }
}

impl Limits {
    pub(super) fn enforced(per_window: u64, per_day: u64) -> Self {
        Self { per_window, per_day, is_enforced: true, ..Self::default() }
    }

    /// Counts a request. A refusal, if it is one too many.
    pub(super) fn count(&mut self, now: Timestamp) -> Option<Response> {
        while self.recent.front().is_some_and(|at| now.duration_since(*at).unsigned_abs() >= WINDOW) {
            self.recent.pop_front();
        }
        if self.is_enforced && self.today >= self.per_day {
            return Some(rate_limited("DAILY"));
        }
        if self.is_enforced && self.recent.len() as u64 >= self.per_window {
            return Some(rate_limited("TEN_SECONDLY_ROLLING"));
        }
        self.recent.push_back(now);
        self.today += 1;
        None
    }

    /// HubSpot does not send the daily ones to apps.
    pub(super) fn headers(&self, response: Response, is_app: bool) -> Response {
        let response = response
            .header("Date", Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            .header("X-HubSpot-RateLimit-Max", self.per_window.to_string())
            .header("X-HubSpot-RateLimit-Remaining", self.per_window.saturating_sub(self.recent.len() as u64).to_string())
            .header("X-HubSpot-RateLimit-Interval-Milliseconds", WINDOW.as_millis().to_string());
        if is_app {
            return response;
        }
        response
            .header("X-HubSpot-RateLimit-Daily", self.per_day.to_string())
            .header("X-HubSpot-RateLimit-Daily-Remaining", self.per_day.saturating_sub(self.today).to_string())
    }
}
