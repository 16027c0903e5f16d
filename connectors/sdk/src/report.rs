//! What a check finds.

use crate::DeliveryError;
use crate::http::{Answer, Quota};
use serde::{Deserialize, Serialize};

/// A clock that is off by more than this makes signatures and tokens fail sooner or later.
const SKEW_TO_WARN_OF: u64 = 60;
/// Most services refuse signatures that are older.
const SKEW_THAT_FAILS: u64 = 300;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is as it should be.
    Good,
    /// Deliveries succeed, but not for long, or not as their owner would want.
    Warn,
    /// It keeps deliveries from succeeding.
    Bad,
}

/// One thing that [`Connector::check`](crate::Connector::check) looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was looked at, in a word: `credentials`, `scopes`, `fields`, `quota`, `clock`, …
    pub subject: String,
    /// What was found, in a sentence without secrets and personal data.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What [`Connector::check`](crate::Connector::check) found.
///
/// ```
/// use leadwire_connector::Report;
/// let report = Report::default()
///     .good("credentials", "the token is valid for account 1234567")
///     .warn("fields", "`hs_lead_status` takes none of the words that the template gives")
///     .remedy("choose one of NEW, OPEN");
/// assert!(report.is_good());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// In the order they were looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    fn with(mut self, severity: Severity, subject: &str, message: impl Into<String>) -> Self {
        self.findings.push(Finding { severity, subject: subject.to_owned(), message: message.into(), remedy: None });
        self
    }

    /// Adds something that is as it should be.
    #[must_use]
    pub fn good(self, subject: &str, message: impl Into<String>) -> Self {
        self.with(Severity::Good, subject, message)
    }

    /// Adds something that a person should look at, although deliveries succeed.
    #[must_use]
    pub fn warn(self, subject: &str, message: impl Into<String>) -> Self {
        self.with(Severity::Warn, subject, message)
    }

    /// Adds something that keeps deliveries from succeeding.
    #[must_use]
    pub fn bad(self, subject: &str, message: impl Into<String>) -> Self {
        self.with(Severity::Bad, subject, message)
    }

    /// Adds what to do about the last finding.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        if let Some(finding) = self.findings.last_mut() {
            finding.remedy = Some(remedy.into());
        }
        self
    }

    /// Adds an error that a request of the check met. Its excerpt is left out: it may hold personal data.
    #[must_use]
    pub fn failed(self, subject: &str, error: &DeliveryError) -> Self {
        self.bad(subject, error.message.clone())
    }

    /// Adds what an answer says beside its body: how this machine's clock goes, if it goes wrong. For one answer of each check.
    #[must_use]
    pub fn clock(self, answer: &Answer) -> Self {
        let Some(skew) = answer.clock_skew().map(|skew| skew.as_secs()) else { return self };
        let way = if skew > 0 { "ahead of" } else { "behind" };
        let message = format!("this machine's clock is {} seconds {way} the other side's", skew.unsigned_abs());
        let report = match skew.unsigned_abs() {
            0..=SKEW_TO_WARN_OF => return self.good("clock", "this machine's clock agrees with the other side's"),
            SKEW_THAT_FAILS.. => self.bad("clock", message),
            _ => self.warn("clock", message),
        };
        report.remedy("set the clock by NTP; signatures and tokens depend on it")
    }

    /// Adds how much of a limit is left; `what` names it, such as `requests for today`.
    #[must_use]
    pub fn quota(self, what: &str, quota: &Quota) -> Self {
        let of = quota.limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        let message = format!("{}{of} {what} are left", quota.remaining);
        match (quota.remaining, quota.is_low()) {
            (0, _) => self.bad("quota", message).remedy("wait for the quota to begin anew, or raise it at the other side"),
            (_, true) => self.warn("quota", message).remedy("see what else uses this account, or raise its quota at the other side"),
            _ => self.good("quota", message),
        }
    }

    /// Whether nothing that was found keeps deliveries from succeeding.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.worst() != Severity::Bad
    }

    /// The worst that was found.
    #[must_use]
    pub fn worst(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Good)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn at(date: &str) -> Severity {
        let headers = vec![("date".to_owned(), date.to_owned())];
        let at = "2026-11-22T10:00:00Z".parse().unwrap();
        let answer = Answer { status: 200, headers, body: bytes::Bytes::new(), truncated: false, at };
        Report::default().clock(&answer).worst()
    }

    #[test]
    fn a_clock_is_good_then_suspicious_then_wrong() {
        assert_eq!(at("Sun, 22 Nov 2026 09:59:30 GMT"), Severity::Good);
        assert_eq!(at("Sun, 22 Nov 2026 10:02:00 GMT"), Severity::Warn);
        assert_eq!(at("Sun, 22 Nov 2026 09:00:00 GMT"), Severity::Bad);
    }

    #[test]
    fn a_quota_is_told_before_it_is_spent() {
        let left = |remaining| {
            let quota = Quota { limit: Some(1_000), remaining, window: None, resets: None };
            Report::default().quota("requests for today", &quota)
        };
        assert_eq!((left(900).worst(), left(50).worst(), left(0).worst()), (Severity::Good, Severity::Warn, Severity::Bad));
        assert_eq!(left(50).findings[0].message, "50 of 1000 requests for today are left");
        assert!(left(50).findings[0].remedy.is_some());
    }
}
