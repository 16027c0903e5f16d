//! From a verified body to events: one shape for every brand of sender.
//!
//! Nothing is lost on the way. What has a place in the event goes there, what has none stays in `extra` under the sender's name, and
//! `raw` is what was sent. What is of no known shape becomes an `unrecognized` event, whole.

mod contact;
mod fields;
mod key;
mod made;
mod page;
mod person;
mod record;
mod shape;
mod subject;
mod value;

pub use contact::Contact;
pub use key::{ContentKey, PersonKey};
pub use made::{FROM_CHAT_LOG, lead_of, read_listed};
pub use subject::Subject;

use crate::verify::{Value, Verified};
use jiff::Timestamp;
use leadwire_connector::{Conversation, Event, Kind, Person};
use record::{Role, Slots};
use shape::{Part, Piece};
use uuid::Uuid;

/// What a source knows of its sender.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The source's name in the configuration.
    pub source: String,
    /// Where a phone number without a country code is from: two letters of ISO 3166, such as `US`.
    pub default_country: Option<String>,
}

/// An event and what it is known by.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalized {
    /// What happened.
    pub event: Event,
    /// The same for the same content, whenever it is sent.
    pub content_key: ContentKey,
    /// The same for the same person; `None` when the event tells nothing of one.
    pub person_key: Option<PersonKey>,
}

/// Reads the events of a body, at least one, in the order they stand there. `new_id` is asked once for each.
pub fn normalize(verified: &Verified, profile: &Profile, new_id: &mut dyn FnMut() -> Uuid) -> Vec<Normalized> {
    let receipt = Receipt { profile, received_at: verified.received_at(), stale: verified.proof().stale };
    let body = verified.value();
    let pieces = shape::split(body);
    pieces.iter().map(|piece| receipt.read(piece, body, verified.canonical(), new_id())).collect()
}

/// Reads the tables of phone numbers, some 0.1 s of work, so that the first lead after the start does not wait for it.
pub fn warm_up() {
    person::warm_up();
}

/// What is the same for every event of a body.
struct Receipt<'a> {
    profile: &'a Profile,
    received_at: Timestamp,
    stale: bool,
}

impl Receipt<'_> {
    fn read(&self, piece: &Piece<'_>, body: &Value, canonical: &str, id: Uuid) -> Normalized {
        match piece {
            // A body of one record, which is every lead, has been written out already.
            Piece::Record(kind, record) if std::ptr::eq(*record, body) => self.record(*kind, record, canonical, id),
            Piece::Record(kind, record) => self.record(*kind, record, &record.canonical(), id),
            Piece::Part(part) => self.part(part, id),
        }
    }

    fn record(&self, kind: Kind, record: &Value, canonical: &str, id: Uuid) -> Normalized {
        let mut slots = Slots::default();
        slots.fill(record.as_object().unwrap_or_default(), Role::Record, self.country());
        if kind == Kind::Unrecognized {
            // All of it is in `raw`, and may be large.
            slots.extra.clear();
        }
        let content_key = ContentKey::new(slots.created_at, &[canonical]);
        self.event(kind, slots, value::to_json(record), content_key, id)
    }

    fn part(&self, part: &Part<'_>, id: Uuid) -> Normalized {
        let mut slots = Slots::default();
        if part.kind == Kind::Conversation {
            slots.fill(part.value.as_object().unwrap_or_default(), Role::Conversation, self.country());
            slots.fill(part.around.fields.iter().copied(), Role::Chatbot, self.country());
        }
        let mut raw = part.around.json.clone();
        value::insert(&mut raw, part.name.to_owned(), value::to_json(part.value));
        let content_key = ContentKey::new(slots.created_at, &[&part.around.text, part.name, &part.value.canonical()]);
        self.event(part.kind, slots, serde_json::Value::Object(raw), content_key, id)
    }

    fn event(&self, kind: Kind, mut slots: Slots, raw: serde_json::Value, content_key: ContentKey, id: Uuid) -> Normalized {
        let (first_name, last_name) = slots.names();
        let conversation = Conversation { chatbot_name: slots.chatbot_name, window: slots.window, messages: slots.messages };
        let event = Event {
            id,
            kind,
            source: self.profile.source.clone(),
            chatbot_id: slots.chatbot_id,
            person: Person { first_name, last_name, email: slots.email, phone: slots.phone },
            content: slots.content,
            session_id: slots.session_id,
            page_url: slots.page_url,
            created_at: slots.created_at,
            received_at: self.received_at,
            stale: self.stale,
            conversation: (kind == Kind::Conversation).then_some(conversation),
            extra: slots.extra,
            raw,
        };
        Normalized { content_key, person_key: PersonKey::of(&event), event }
    }

    fn country(&self) -> Option<&str> {
        self.profile.default_country.as_deref()
    }
}

#[cfg(test)]
mod tests;
