//! One span.

use jiff::Timestamp;
use std::time::Duration;
use uuid::Uuid;

/// What a span is of, as OpenTelemetry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Something inside.
    Internal,
    /// A request that was answered here.
    Server,
    /// A request that was made to somebody else.
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Attribute {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Attribute {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Attribute {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Something that took a time. It names no person and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub(super) event: Uuid,
    pub(super) id: u64,
    pub(super) parent: Option<u64>,
    pub(super) kind: SpanKind,
    pub(super) name: String,
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
    pub(super) failed: bool,
}

impl Span {
    /// The first span of an event's trace, of which all others are children.
    #[must_use]
    pub fn first(event: Uuid, name: impl Into<String>, began: Timestamp, took: Duration) -> Self {
        Self { id: first_of(event), parent: None, kind: SpanKind::Server, ..Self::within(event, name, began, took) }
    }

    /// A span below the first one, whoever made or will make that.
    #[must_use]
    pub fn within(event: Uuid, name: impl Into<String>, began: Timestamp, took: Duration) -> Self {
        Self {
            event,
            // No id of a span is zero.
            id: rand::random::<u64>() | 1,
            parent: Some(first_of(event)),
            kind: SpanKind::Internal,
            name: name.into(),
            began,
            ended: began.checked_add(took).unwrap_or(began),
            attributes: Vec::new(),
            failed: false,
        }
    }

    /// The same of another kind.
    #[must_use]
    pub fn of_kind(self, kind: SpanKind) -> Self {
        Self { kind, ..self }
    }

    /// Adds an attribute. Names are those of OpenTelemetry's semantic conventions where they have one, else below `leadwire.`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Attribute>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// Adds an attribute if there is a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<Attribute>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Says whether what it is of failed.
    #[must_use]
    pub fn failed(self, failed: bool) -> Self {
        Self { failed, ..self }
    }
}

/// The id of the first span of an event's trace: the random half of the event's id, which its variant keeps from being zero.
#[must_use]
pub fn first_of(event: Uuid) -> u64 {
    event.as_u64_pair().1
}
