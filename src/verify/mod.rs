//! Who sent a body: the signature of the chatbot platform, over the bytes as they came or over their canonical JSON.
//!
//! The platform's page says to sign `JSON.stringify(req.body)`; other senders of the same scheme sign the bytes. Both forms need the
//! same key, so taking either opens no door. Because many bodies share one canonical text, the canonical value is all that the rest of
//! the program sees: a second parse by other rules could read something that nobody signed.

mod header;
pub mod json;
mod key;
mod same;

pub use json::{JsString, Value};
pub use key::SigningKey;
pub use same::same;

use header::Header;
use jiff::Timestamp;
use std::time::Duration;
use subtle::{Choice, ConditionallySelectable};

/// What [`matches_other`] hashes at most: it explains a refusal, and must not cost more than the refusal saves.
const MAX_EXPLAINED_BYTES: usize = 64 * 1_024;
const MAX_EXPLAINED_SOURCES: usize = 100;

/// How far the time of a signature may be from the time of receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    /// Retries come minutes later and may carry the old time.
    pub past: Duration,
    /// A sender's clock may be ahead.
    pub future: Duration,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { past: Duration::from_secs(600), future: Duration::from_secs(300) }
    }
}

impl Tolerance {
    fn allows(&self, age_s: i64) -> bool {
        let limit = if age_s < 0 { self.future } else { self.past };
        Duration::from_secs(age_s.unsigned_abs()) <= limit
    }
}

/// What a signature was made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The bytes as they came.
    Raw,
    /// What `JSON.stringify(JSON.parse(body))` makes of them.
    Canonical,
}

impl Form {
    /// The word used in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Canonical => "canonical",
        }
    }
}

/// How a body was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// What was signed.
    pub form: Form,
    /// Which of the source's keys signed it, counted from 0.
    pub key: usize,
    /// The header's `t`; the last moment that a [`Timestamp`] can hold when it is later than that.
    pub signed_at: Timestamp,
    /// Whether `age_s` is beyond the [`Tolerance`]. Such a body is genuine all the same, and harmless: its content is its key.
    pub stale: bool,
    /// Seconds from signature to receipt; negative when the sender's clock is ahead.
    pub age_s: i64,
}

impl Proof {
    /// What a person should know about a stale body.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let hint = if self.age_s < 0 { "check the clocks" } else { "a late retry, a replay, or a clock that is wrong" };
        self.stale.then(|| format!("signed {}: {hint}", when(self.age_s)))
    }
}

/// A body that was signed with one of the source's keys. Only [`verify`] makes one.
pub struct Verified {
    value: Value,
    canonical: String,
    proof: Proof,
    received_at: Timestamp,
}

impl Verified {
    /// The body; its text as a string when it is not JSON.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The canonical text of [`value`](Self::value).
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// How it was verified.
    #[must_use]
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// When it was received.
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// The body, for keeps.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }
}

/// Without the body, which holds personal data.
impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("proof", &self.proof).field("received_at", &self.received_at).finish_non_exhaustive()
    }
}

/// Why a body is not verified, and what to do. Tells nothing that is derived from a key or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source has no key.
    #[error("this source has no signing key yet; put the sign key that the chatbot's Webhook tab shows into its `signing_keys`")]
    AwaitingKey,
    /// The request is not signed.
    #[error("the request has no X-Webhook-Signature header; if the chatbot sent it, see that every proxy on the way passes that header on")]
    NoHeader,
    /// The header makes no sense.
    #[error("the X-Webhook-Signature header cannot be read: {detail}; the sender must write `t=<unix seconds>,v1=<64 hexadecimal digits>`")]
    Malformed {
        /// What is wrong with it.
        detail: &'static str,
    },
    /// `t` has 13 digits.
    #[error("the `t` of the X-Webhook-Signature header has 13 digits, which is milliseconds; the sender must sign unix seconds")]
    Milliseconds,
    /// Somebody else's signature, or another body's.
    #[error("{}", no_key_matched(other_source.as_deref(), *age_s))]
    NoKeyMatched {
        /// The source whose key it was; [`verify`] leaves it to its caller to ask [`matches_other`].
        other_source: Option<String>,
        /// As in [`Proof`], by the header's own account.
        age_s: i64,
    },
}

impl Refusal {
    /// The word used in answers, logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AwaitingKey => "awaiting_key",
            Self::NoHeader => "no_header",
            Self::Malformed { .. } => "malformed_header",
            Self::Milliseconds => "milliseconds",
            Self::NoKeyMatched { other_source: None, .. } => "no_key_matched",
            Self::NoKeyMatched { other_source: Some(_), .. } => "other_source",
        }
    }
}

fn no_key_matched(other_source: Option<&str>, age_s: i64) -> String {
    let when = when(age_s);
    match other_source {
        Some(other) => format!(
            "the signature, dated {when}, is by a key of the source `{other}`; \
             let that chatbot post to `/hooks/{other}`, or give this source that key"
        ),
        None => format!(
            "the signature, dated {when}, is by no signing key of this source; \
             copy the sign key from the chatbot's Webhook tab into `signing_keys` again"
        ),
    }
}

fn when(age_s: i64) -> String {
    let seconds = age_s.unsigned_abs();
    if age_s < 0 { format!("{seconds} s ahead of the clock here") } else { format!("{seconds} s ago") }
}

/// Checks the signature of a body first, its time second.
///
/// `header` is the value of `X-Webhook-Signature`; of a header that is repeated, the values joined with `", "`. A signature over the
/// bytes makes a body genuine whatever it holds: one that is not acceptable JSON becomes a string with its text.
///
/// # Errors
/// Why the body is not known to come from a holder of one of `keys`.
pub fn verify(
    body: &[u8],
    header: Option<&str>,
    keys: &[SigningKey],
    tolerance: &Tolerance,
    received_at: Timestamp,
) -> Result<Verified, Refusal> {
    if keys.is_empty() {
        return Err(Refusal::AwaitingKey);
    }
    let header = Header::parse(header.ok_or(Refusal::NoHeader)?)?;
    let age_s = received_at.as_second().saturating_sub(header.seconds);
    let (form, key, value, canonical) = check(body, &header, keys).ok_or(Refusal::NoKeyMatched { other_source: None, age_s })?;
    let signed_at = Timestamp::from_second(header.seconds).unwrap_or(Timestamp::MAX);
    let proof = Proof { form, key, signed_at, stale: !tolerance.allows(age_s), age_s };
    Ok(Verified { value, canonical, proof, received_at })
}

fn check(body: &[u8], header: &Header<'_>, keys: &[SigningKey]) -> Option<(Form, usize, Value, String)> {
    if let Some(key) = matching_key(header, keys, body) {
        let value = json::parse(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned().into()));
        let canonical = value.canonical_in(body.len());
        return Some((Form::Raw, key, value, canonical));
    }
    let (value, canonical) = other_form(body)?;
    let key = matching_key(header, keys, canonical.as_bytes())?;
    Some((Form::Canonical, key, value, canonical))
}

/// The canonical form, if the body has one that is not the body itself.
fn other_form(body: &[u8]) -> Option<(Value, String)> {
    let value = json::parse(body).ok()?;
    let canonical = value.canonical_in(body.len());
    (canonical.as_bytes() != body).then_some((value, canonical))
}

/// The first key that made one of the signatures. Looks at all of both in any case, so that the time it takes tells nothing.
fn matching_key(header: &Header<'_>, keys: &[SigningKey], message: &[u8]) -> Option<usize> {
    let mut found = Choice::from(0);
    let mut first = 0_u64;
    for (at, key) in (0_u64..).zip(keys) {
        let mac = key.mac(header.t, message);
        let matches = header.signatures.iter().fold(Choice::from(0), |any, signature| any | same(signature, &mac));
        first.conditional_assign(&at, matches & !found);
        found |= matches;
    }
    if bool::from(found) { usize::try_from(first).ok() } else { None }
}

/// Which other source's key signed the body, to explain a refusal. Looks at bodies of at most 64 KiB and at 100 sources.
#[must_use]
pub fn matches_other<'a>(body: &[u8], header: Option<&str>, others: impl Iterator<Item = (&'a str, &'a [SigningKey])>) -> Option<&'a str> {
    if body.len() > MAX_EXPLAINED_BYTES {
        return None;
    }
    let header = Header::parse(header?).ok()?;
    let canonical = other_form(body).map(|(_, canonical)| canonical);
    let signed = |keys: &[SigningKey]| {
        let is_canonical = || canonical.as_ref().is_some_and(|canonical| matching_key(&header, keys, canonical.as_bytes()).is_some());
        matching_key(&header, keys, body).is_some() || is_canonical()
    };
    others.take(MAX_EXPLAINED_SOURCES).find(|(_, keys)| signed(keys)).map(|(source, _)| source)
}

/// The header value that a sender with this key puts on a body.
#[must_use]
pub fn sign(key: &SigningKey, t: &str, body: &[u8]) -> String {
    format!("t={t},v1={}", hex::encode(key.mac(t, body)))
}

#[cfg(test)]
mod tests;
