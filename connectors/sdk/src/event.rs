//! The event: one thing that happened, in one shape for every brand of sender.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A visitor left contact details.
    Lead,
    /// A visitor asked for an appointment; its time is free text in [`Event::content`].
    Appointment,
    /// One conversation of a daily chat log.
    Conversation,
    /// A request that says of itself that it is a test. Goes to no destination unless a route names the kind.
    Test,
    /// Authentic, but of no shape that is known. Kept whole in [`Event::raw`].
    Unrecognized,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Lead, Self::Appointment, Self::Conversation, Self::Test, Self::Unrecognized];

    /// The word used in configuration, JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Appointment => "appointment",
            Self::Conversation => "conversation",
            Self::Test => "test",
            Self::Unrecognized => "unrecognized",
        }
    }

    /// The `type` of the Standard Webhooks envelope.
    #[must_use]
    pub fn webhook_type(self) -> &'static str {
        match self {
            Self::Lead => "lead.created",
            Self::Appointment => "appointment.created",
            Self::Conversation => "conversation.closed",
            Self::Test => "test.received",
            Self::Unrecognized => "unrecognized.received",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| format!("unknown kind `{word}`; known are {}", known()))
    }
}

/// Who an event is about. A field is `None` when the sender gave nothing; it is never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// As sent, trimmed.
    pub first_name: Option<String>,
    /// As sent, trimmed.
    pub last_name: Option<String>,
    /// Syntactically valid, trimmed, domain in lower case.
    pub email: Option<String>,
    /// E.164 when it could be read as a number, else the text as sent.
    pub phone: Option<String>,
}

impl Person {
    /// First and last name with a space between, or whichever is given.
    #[must_use]
    pub fn full_name(&self) -> Option<String> {
        let names: Vec<&str> = [&self.first_name, &self.last_name].into_iter().filter_map(|name| name.as_deref()).collect();
        (!names.is_empty()).then(|| names.join(" "))
    }
}

/// Who wrote a message of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// The chatbot.
    Ai,
    /// The visitor.
    User,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who wrote it.
    pub author: Author,
    /// What was written, unchanged.
    pub text: String,
}

/// The span of time that a chat log covers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First moment, inclusive.
    #[serde(with = "timestamp::option")]
    pub start: Option<Timestamp>,
    /// Last moment, exclusive.
    #[serde(with = "timestamp::option")]
    pub end: Option<Timestamp>,
}

/// What only an event of [`Kind::Conversation`] has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// The chatbot's display name.
    pub chatbot_name: Option<String>,
    /// The day of the chat log.
    pub window: Window,
    /// In the order they were written.
    pub messages: Vec<Message>,
}

impl Event {
    /// The conversation, if anything was said in it.
    #[must_use]
    pub fn chat(&self) -> Option<&Conversation> {
        self.conversation.as_ref().filter(|conversation| !conversation.messages.is_empty())
    }
}

/// One thing that happened, as every destination sees it. Its JSON is the default body of the `json` connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Unique, and ordered by the time of receipt (UUID version 7).
    pub id: Uuid,
    /// What happened.
    pub kind: Kind,
    /// The name of the source that received it, from the configuration.
    pub source: String,
    /// The platform's id of the chatbot (`SerialNumber`).
    pub chatbot_id: Option<String>,
    /// Who it is about.
    pub person: Person,
    /// Remark, or the wish for an appointment, as free text.
    pub content: Option<String>,
    /// The platform's id of the chat session; text, because senders use both numbers and text.
    pub session_id: Option<String>,
    /// The page the chat was on, with a scheme.
    pub page_url: Option<String>,
    /// When the sender says it happened.
    #[serde(with = "timestamp::option")]
    pub created_at: Option<Timestamp>,
    /// When the bridge received it.
    #[serde(with = "timestamp")]
    pub received_at: Timestamp,
    /// Genuine, but signed longer ago than the source tolerates.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// Present for [`Kind::Conversation`] only; its fields stand beside the others in JSON.
    #[serde(flatten, default, with = "conversation")]
    pub conversation: Option<Conversation>,
    /// Fields that have no place above, under the sender's names.
    pub extra: Map<String, Value>,
    /// The record as it was verified.
    pub raw: Value,
}

/// `#[serde(flatten)]` over an `Option` would swallow unknown fields; this keeps "all fields or none".
mod conversation {
    use super::{Conversation, Message, Window};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Flat {
        #[serde(default)]
        chatbot_name: Option<String>,
        #[serde(default)]
        window: Option<Window>,
        #[serde(default)]
        messages: Option<Vec<Message>>,
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<Conversation>, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Conversation>, D::Error> {
        let flat = Flat::deserialize(deserializer)?;
        Ok(flat.messages.map(|messages| Conversation {
            chatbot_name: flat.chatbot_name,
            window: flat.window.unwrap_or_default(),
            messages,
        }))
    }
}

/// RFC 3339 in UTC with exactly six fractional digits, the form the platform itself uses.
pub mod timestamp {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    /// `2023-11-23T18:36:21.512302Z`
    #[must_use]
    pub fn format(at: Timestamp) -> String {
        format!("{at:.6}")
    }

    /// For `#[serde(with)]`.
    #[expect(clippy::missing_errors_doc, reason = "the signature is serde's")]
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*at))
    }

    /// For `#[serde(with)]`.
    #[expect(clippy::missing_errors_doc, reason = "the signature is serde's")]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer)
    }

    /// The same for a moment that may be unknown.
    pub mod option {
        use super::{Deserialize, Deserializer, Serializer, Timestamp, format};

        /// For `#[serde(with)]`.
        #[expect(clippy::missing_errors_doc, reason = "the signature is serde's")]
        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => serializer.serialize_str(&format(*at)),
                None => serializer.serialize_none(),
            }
        }

        /// For `#[serde(with)]`.
        #[expect(clippy::missing_errors_doc, reason = "the signature is serde's")]
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
            Option::<Timestamp>::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;

    fn lead() -> Value {
        json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
            "person": {"first_name": "David", "last_name": null, "email": "test@qq.com", "phone": null},
            "content": "test", "session_id": "31305", "page_url": "https://www.google.com",
            "created_at": "2023-11-23T18:36:21.500000Z", "received_at": "2026-11-22T05:17:00.000000Z",
            "extra": {}, "raw": {"SerialNumber": "1", "n": 1.5}
        })
    }

    #[test]
    fn a_lead_survives_the_way_through_json() {
        let event: Event = serde_json::from_value(lead()).unwrap();
        assert_eq!(event.conversation, None);
        assert_eq!(serde_json::to_value(&event).unwrap(), lead());
    }

    #[test]
    fn a_moment_has_six_digits_of_its_second_and_is_cut_not_rounded() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (1_700_764_581, 512_302_999, "2023-11-23T18:36:21.512302Z"),
            (-1, -500_000_000, "1969-12-31T23:59:58.500000Z"),
            (-60_000_000_000, 0, "0068-09-03T13:20:00.000000Z"),
            (253_402_207_200, 999_999_999, "9999-12-30T22:00:00.999999Z"),
        ] {
            let at = Timestamp::new(seconds, nanoseconds).unwrap();
            assert_eq!(timestamp::format(at), text);
            assert_eq!(at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(), text);
        }
    }

    #[test]
    fn a_conversation_has_its_fields_beside_the_others() {
        let mut json = lead();
        json["kind"] = "conversation".into();
        json["chatbot_name"] = "Bot".into();
        json["window"] = json!({"start": "2023-11-21T00:00:00.000000Z", "end": null});
        json["messages"] = json!([{"author": "ai", "text": "Hi"}]);
        let event: Event = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(event.conversation.as_ref().unwrap().messages[0].author, Author::Ai);
        assert_eq!(serde_json::to_value(&event).unwrap(), json);
    }
}
