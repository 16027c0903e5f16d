//! What the headers of an answer say about how much may still be asked.

use super::Answer;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What was told of a window that is over is believed no longer, but of short windows for so long, so that people can see it.
const TOLD_AT_LEAST: Duration = Duration::from_secs(300);

/// How much of a limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How much there is in one window, if that is told.
    pub limit: Option<u64>,
    /// How much is left of it.
    pub remaining: u64,
    /// How long the window is, if that is known.
    pub window: Option<Duration>,
    /// When it begins anew, if that is told.
    pub resets: Option<Timestamp>,
}

/// The names of a service's quota headers.
///
/// ```
/// use leadwire_connector::http::{QuotaHeaders, Reset, Window};
/// const DAILY: QuotaHeaders = QuotaHeaders::new("x-ratelimit-daily", "x-ratelimit-daily-remaining").window(Window::Fixed(86_400));
/// const PER_WINDOW: QuotaHeaders = QuotaHeaders::new("x-ratelimit-max", "x-ratelimit-remaining")
///     .window(Window::Milliseconds("x-ratelimit-interval-milliseconds"));
/// const PIPEDRIVE: QuotaHeaders = QuotaHeaders::new("x-ratelimit-limit", "x-ratelimit-remaining").resets(Reset::Seconds("x-ratelimit-reset"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct QuotaHeaders {
    limit: &'static str,
    remaining: &'static str,
    window: Option<Window>,
    resets: Option<Reset>,
}

/// How a service tells the length of its window.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    /// It does not; its documentation does, in seconds.
    Fixed(u64),
    /// In this header, in seconds.
    Seconds(&'static str),
    /// In this header, in milliseconds.
    Milliseconds(&'static str),
}

/// How a service tells when its window begins anew.
#[derive(Debug, Clone, Copy)]
pub enum Reset {
    /// In this header, in seconds from now.
    Seconds(&'static str),
    /// In this header, in seconds since 1970.
    UnixSeconds(&'static str),
    /// In this header, in milliseconds since 1970.
    UnixMilliseconds(&'static str),
}

impl QuotaHeaders {
    /// The headers of the limit and of what is left of it.
    #[must_use]
    pub const fn new(limit: &'static str, remaining: &'static str) -> Self {
        Self { limit, remaining, window: None, resets: None }
    }

    /// Adds where the window's length is told.
    #[must_use]
    pub const fn window(self, window: Window) -> Self {
        Self { window: Some(window), ..self }
    }

    /// Adds where the window's end is told.
    #[must_use]
    pub const fn resets(self, resets: Reset) -> Self {
        Self { resets: Some(resets), ..self }
    }

    /// What the answer says; `None` when it says nothing about what is left.
    #[must_use]
    pub fn read(&self, answer: &Answer) -> Option<Quota> {
        let remaining = number(answer, self.remaining)?;
        let window = self.window.and_then(|window| match window {
            Window::Fixed(seconds) => Some(Duration::from_secs(seconds)),
            Window::Seconds(name) => number(answer, name).map(Duration::from_secs),
            Window::Milliseconds(name) => number(answer, name).map(Duration::from_millis),
        });
        let resets = self.resets.and_then(|reset| match reset {
            Reset::Seconds(name) => {
                let seconds = i64::try_from(number(answer, name)?).ok()?;
                answer.at.checked_add(SignedDuration::from_secs(seconds)).ok()
            }
            Reset::UnixSeconds(name) => Timestamp::from_second(i64::try_from(number(answer, name)?).ok()?).ok(),
            Reset::UnixMilliseconds(name) => Timestamp::from_millisecond(i64::try_from(number(answer, name)?).ok()?).ok(),
        });
        Some(Quota { limit: number(answer, self.limit), remaining, window, resets })
    }
}

impl Quota {
    /// Reads `used/limit`, as in Salesforce's `Sforce-Limit-Info: api-usage=18/100000`.
    #[must_use]
    pub fn from_usage(text: &str, window: Option<Duration>) -> Option<Self> {
        let (used, limit) = text.split_once('=').map_or(text, |(_, usage)| usage).split_once('/')?;
        let limit: u64 = limit.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        let remaining = limit.saturating_sub(used.trim().parse().ok()?);
        Some(Self { limit: Some(limit), remaining, window, resets: None })
    }

    /// Whether less than a tenth is left; of an unknown limit, nothing.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.remaining <= self.limit.map_or(0, |limit| limit / 10)
    }

    /// How long to wait for the next window, from this moment: until it begins anew, or its whole length; `None` when neither is known.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        match self.resets {
            Some(resets) => Some(Duration::try_from(resets.duration_since(now)).unwrap_or_default()),
            None => self.window,
        }
    }
}

/// What a service last said is left of its limits, by name of the limit. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    told: Arc<Mutex<BTreeMap<&'static str, (Quota, Timestamp)>>>,
}

impl Quotas {
    /// The service said this at that moment.
    pub fn note(&self, name: &'static str, quota: Quota, at: Timestamp) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(name, (quota, at));
    }

    /// What is left, without limits whose window is over since they were told.
    #[must_use]
    pub fn all(&self, now: Timestamp) -> Vec<(&'static str, Quota)> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |quota: &Quota, at: Timestamp| {
            let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
            quota.wait(at).is_some_and(|wait| age > wait.max(TOLD_AT_LEAST))
        };
        told.iter().filter(|(_, (quota, at))| !is_over(quota, *at)).map(|(name, (quota, _))| (*name, *quota)).collect()
    }
}

/// Proxies join headers of the same name with commas; the first one counts. Some services send a fraction.
fn number(answer: &Answer, name: &str) -> Option<u64> {
    let text = answer.header(name)?.split([',', ';', '.']).next()?.trim();
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn answer(headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status: 200, headers, body: bytes::Bytes::new(), truncated: false, at: "2026-11-22T10:00:00Z".parse().unwrap() }
    }

    #[test]
    fn what_is_left_is_read_in_every_form() {
        let headers =
            QuotaHeaders::new("X-Max", "X-Remaining").window(Window::Milliseconds("X-Interval")).resets(Reset::Seconds("X-Reset"));
        let quota = headers.read(&answer(&[("x-max", "190"), ("x-remaining", "7"), ("x-interval", "10000"), ("x-reset", "5")])).unwrap();
        assert_eq!((quota.limit, quota.remaining, quota.window), (Some(190), 7, Some(Duration::from_secs(10))));
        assert_eq!(quota.resets, Some("2026-11-22T10:00:05Z".parse().unwrap()));
        assert!(quota.is_low());
        assert_eq!(quota.wait("2026-11-22T10:00:02Z".parse().unwrap()), Some(Duration::from_secs(3)));
        assert_eq!(headers.read(&answer(&[("x-max", "190")])), None);
        assert_eq!(headers.read(&answer(&[("x-remaining", "many")])), None);
        assert_eq!(headers.read(&answer(&[("x-remaining", "3.0")])).unwrap().remaining, 3);
        let huge = headers.read(&answer(&[("x-remaining", "1"), ("x-reset", "18446744073709551615")])).unwrap();
        assert_eq!(huge.resets, None);
    }

    #[test]
    fn what_is_left_is_told_until_its_window_is_over() {
        let quotas = Quotas::default();
        let at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let quota = |window| Quota { limit: None, remaining: 5, window, resets: None };
        quotas.clone().note("day", quota(Some(Duration::from_secs(86_400))), at);
        quotas.note("window", quota(Some(Duration::from_secs(10))), at);
        quotas.note("ever", quota(None), at);
        let names = |hours| quotas.all(at + SignedDuration::from_hours(hours)).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(0), ["day", "ever", "window"]);
        assert_eq!(names(1), ["day", "ever"]);
        assert_eq!(names(25), ["ever"]);
    }

    #[test]
    fn usage_is_what_is_left_from_the_other_side() {
        let quota = Quota::from_usage("api-usage=18/100000", None).unwrap();
        assert_eq!((quota.limit, quota.remaining), (Some(100_000), 99_982));
        let several = Quota::from_usage("api-usage=20/10; per-app-api-usage=17/250(appName=x)", None).unwrap();
        assert_eq!((several.limit, several.remaining), (Some(10), 0), "the first one counts");
        assert_eq!(Quota::from_usage("nonsense", None), None);
    }
}
