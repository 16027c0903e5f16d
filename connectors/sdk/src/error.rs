//! What failed, and, apart from it, what to do next.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the bridge does with a delivery after a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, after the backoff or `after`, whichever is later.
    Retry {
        /// What the destination asked for.
        after: Option<Duration>,
    },
    /// This event will never be accepted as it is: a dead letter, for a person to look at.
    Reject,
    /// No delivery to this destination can succeed now. The destination is parked; nothing is lost, no attempt is burnt.
    Hold {
        /// When it resumes by itself; `None` waits for a person.
        until: Option<Timestamp>,
    },
}

/// What failed. Decides what a person is told and whether the circuit breaker counts it, not what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Nothing was sent: no address, no connection, no TLS.
    Unreachable,
    /// Sent, and no answer came: the other side may or may not have it.
    Ambiguous,
    /// The destination says that it is broken (5xx).
    Server,
    /// Too many requests for the moment.
    RateLimited,
    /// The quota of the account is spent.
    Quota,
    /// Credentials refused or too weak.
    Credentials,
    /// The destination refused this event's data.
    Data,
    /// The destination is set up wrongly, here or there.
    Configuration,
    /// An answer that makes no sense.
    Unexpected,
    /// The connector itself failed.
    Internal,
}

impl ErrorKind {
    /// Whether it says something about the destination's health: only then the circuit breaker counts it.
    #[must_use]
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Unreachable | Self::Ambiguous | Self::Server)
    }

    /// The word used in JSON, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Ambiguous => "ambiguous",
            Self::Server => "server",
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::Credentials => "credentials",
            Self::Data => "data",
            Self::Configuration => "configuration",
            Self::Unexpected => "unexpected",
            Self::Internal => "internal",
        }
    }
}

/// A failed attempt: what failed, in words for a person, and the verdict.
///
/// Neither `message` nor `excerpt` may hold a secret. `excerpt` may hold personal data; it goes to the store, never to a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    /// What failed.
    pub kind: ErrorKind,
    /// What happened and what to do, in a sentence.
    pub message: String,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The CRM's own code for the error.
    pub code: Option<String>,
    /// The start of the answer's body.
    pub excerpt: Option<String>,
    /// What the bridge does next.
    pub verdict: Verdict,
}

impl DeliveryError {
    /// A person always gets a message: an empty one is replaced.
    fn new(kind: ErrorKind, message: impl Into<String>, verdict: Verdict) -> Self {
        let nothing = || format!("the attempt failed ({}); the connector said no more", kind.as_str());
        let message = crate::text::or_else(message.into(), nothing);
        Self { kind, message, status: None, code: None, excerpt: None, verdict }
    }

    /// To be tried again with the bridge's own backoff.
    #[must_use]
    pub fn retry(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(kind, message, Verdict::Retry { after: None })
    }

    /// To be tried again no sooner than `after`.
    #[must_use]
    pub fn retry_after(kind: ErrorKind, message: impl Into<String>, after: Option<Duration>) -> Self {
        Self::new(kind, message, Verdict::Retry { after })
    }

    /// Never to be accepted as it is.
    #[must_use]
    pub fn reject(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(kind, message, Verdict::Reject)
    }

    /// Parks the destination until a person resumes it, or until `until`.
    #[must_use]
    pub fn hold(kind: ErrorKind, message: impl Into<String>, until: Option<Timestamp>) -> Self {
        Self::new(kind, message, Verdict::Hold { until })
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds the CRM's own code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds the start of the answer's body, cut to 500 characters.
    #[must_use]
    pub fn with_excerpt(mut self, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&body[..body.len().min(2_000)]);
        self.excerpt = Some(crate::text::truncate(text.trim(), 500).into_owned()).filter(|text| !text.is_empty());
        self
    }

    /// Whether the other side may have taken it although the attempt failed.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.kind == ErrorKind::Ambiguous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_always_has_a_message() {
        assert_eq!(DeliveryError::reject(ErrorKind::Data, "no such list").message, "no such list");
        for empty in ["", "\t"] {
            assert_eq!(DeliveryError::retry(ErrorKind::Server, empty).message, "the attempt failed (server); the connector said no more");
        }
    }
}
