//! An answer, and what its status alone says.

use crate::refusal::Shape;
use crate::{DeliveryError, ErrorKind};
use bytes::Bytes;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::time::Duration;

/// An answer, whole or cut at the limit.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, cut at [`HttpSettings::max_answer_bytes`](super::HttpSettings::max_answer_bytes). Secrets of the request that
    /// the other side repeats are masked in it..
    pub body: Bytes,
    /// Whether the body was cut.
    pub truncated: bool,
    /// When it arrived, for [`retry_after`](Self::retry_after).
    pub at: Timestamp,
}

impl Answer {
    /// 200 to 299. Not yet success: the body may say otherwise.
    #[must_use]
    pub fn is_2xx(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, if it is.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// How long `Retry-After` asks to wait; seconds and HTTP dates (RFC 9110, 10.2.3). A date in the past is no wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        parse_retry_after(self.header("retry-after")?, self.at)
    }

    /// How far this machine's clock is ahead of the other side's, by its `Date` header; to a second or so. `None` when the answer has
    /// none, or comes from a cache.
    #[must_use]
    pub fn clock_skew(&self) -> Option<SignedDuration> {
        if self.header("age").is_some() {
            return None;
        }
        let there = http_date(self.header("date")?.trim())?;
        Some(self.at.duration_since(there))
    }

    /// The error that the status tells, with the code and the fields that a body of a common shape names. Connectors that know their
    /// CRM's bodies look there first, or give its [`Shape`].
    ///
    /// 401, 403, 410 and redirects hold the destination, since no other delivery would fare better; 404, 408, 425, 429 and 5xx are tried
    /// again; every other status rejects the event.
    #[must_use]
    pub fn error(&self, what: &str) -> DeliveryError {
        self.error_of(what, &Shape::COMMON)
    }

    /// The same for a service whose error bodies have this shape.
    #[must_use]
    pub fn error_of(&self, what: &str, shape: &Shape) -> DeliveryError {
        let told = if self.is_2xx() { Default::default() } else { shape.read(&self.json().unwrap_or_default()) };
        let status = self.status;
        let error = match status {
            401 | 403 => DeliveryError::hold(
                ErrorKind::Credentials,
                format!("{what} refused the credentials ({status}); renew them, then resume the destination"),
                None,
            ),
            410 => DeliveryError::hold(
                ErrorKind::Configuration,
                format!("{what} is gone for good (410); set another address, then resume the destination"),
                None,
            ),
            300..=399 => DeliveryError::hold(
                ErrorKind::Configuration,
                format!(
                    "{what} redirects ({status}), which a delivery does not follow; set the address it moved to, then resume the destination"
                ),
                None,
            ),
            404 => DeliveryError::retry_after(ErrorKind::Configuration, format!("{what} was not found (404)"), self.retry_after()),
            429 => DeliveryError::retry_after(ErrorKind::RateLimited, format!("{what} asks for fewer requests (429)"), self.retry_after()),
            408 | 425 => DeliveryError::retry_after(ErrorKind::Server, format!("{what} is not ready ({status})"), self.retry_after()),
            500.. => DeliveryError::retry_after(ErrorKind::Server, format!("{what} failed ({status})"), self.retry_after()),
            200..=299 => {
                DeliveryError::retry(ErrorKind::Unexpected, format!("{what} answered {status} with a body that is not an acceptance"))
            }
            _ if told.fields.is_empty() => DeliveryError::reject(ErrorKind::Data, format!("{what} refused the data ({status})")),
            _ => DeliveryError::reject(ErrorKind::Data, format!("{what} refused the data ({status}): {}", told.fields.join(", "))),
        };
        let error = error.with_status(status).with_excerpt(&self.body);
        if let Some(code) = told.code { error.with_code(code) } else { error }
    }
}

/// Both forms of `Retry-After`.
#[must_use]
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean "very long"; the bridge caps it.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    Some(Duration::try_from(http_date(value)?.duration_since(now)).unwrap_or_default())
}

/// The three forms of RFC 9110, 5.6.7: nobody may write the older two, and everybody must read them.
fn http_date(value: &str) -> Option<Timestamp> {
    const OLDER: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let older = |form| strtime::parse(form, value).ok()?.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok();
    rfc2822::parse(value).ok().or_else(|| OLDER.into_iter().find_map(older)).map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, headers, body: body.into(), truncated: false, at: now() }
    }

    #[test]
    fn retry_after_reads_both_forms() {
        assert_eq!(parse_retry_after("120", now()), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after("Sun, 22 Nov 2026 10:00:30 GMT", now()), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("Sun, 22 Nov 2026 09:00:00 GMT", now()), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("Sunday, 22-Nov-26 10:00:30 GMT", now()), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("Tue Dec  1 10:00:00 2026", now()), Some(Duration::from_secs(9 * 86_400)));
        assert_eq!(parse_retry_after("soon", now()), None);
        assert_eq!(parse_retry_after("-5", now()), None);
        assert!(parse_retry_after("99999999999999999999999", now()).unwrap() > Duration::from_secs(86_400 * 365));
    }

    #[test]
    fn a_clock_is_compared_with_the_other_side_and_never_with_a_cache() {
        let date = ("date", "Sun, 22 Nov 2026 09:58:00 GMT");
        assert_eq!(answer(200, &[date], "").clock_skew(), Some(SignedDuration::from_secs(120)));
        assert_eq!(answer(200, &[date, ("age", "5")], "").clock_skew(), None);
        assert_eq!(answer(200, &[("date", "yesterday")], "").clock_skew(), None);
    }

    #[test]
    fn an_error_names_the_fields_that_the_body_names() {
        let error = answer(422, &[], r#"{"code":"invalid","errors":[{"field":"email","message":"a@b is bad"}]}"#).error("the CRM");
        assert_eq!(error.message, "the CRM refused the data (422): email");
        assert_eq!(error.code.as_deref(), Some("invalid"));
    }
}
