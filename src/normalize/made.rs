//! Events that nobody signed: a lead that a person makes of a conversation, and one that the platform's list of leads tells, which is
//! as trustworthy as the connection and the token it was asked for with. Nothing that a stranger sends comes here.

use super::contact::Contact;
use super::fields::Field;
use super::{ContentKey, Normalized, PersonKey, Profile, Receipt, shape};
use crate::verify::{Value, json};
use jiff::Timestamp;
use leadwire_connector::{Event, Kind, Person};
use serde_json::{Map, json};
use uuid::Uuid;

/// What marks a lead made of a conversation, in its `extra`: the conversation's id.
pub const FROM_CHAT_LOG: &str = "from_chat_log";

/// A lead of a conversation in which the visitor left a contact. The same conversation gives the same content key.
#[must_use]
pub fn lead_of(conversation: &Event, contact: &Contact, id: Uuid, received_at: Timestamp) -> Normalized {
    let marked: Map<_, _> = [(FROM_CHAT_LOG.to_owned(), json!(conversation.id))].into_iter().collect();
    let event = Event {
        id,
        kind: Kind::Lead,
        person: Person { email: contact.email.clone(), phone: contact.phone.clone(), ..conversation.person.clone() },
        content: Some("from the chat log".to_owned()),
        received_at,
        stale: false,
        conversation: None,
        raw: serde_json::Value::Object(marked.clone()),
        extra: marked,
        ..conversation.clone()
    };
    let content_key = ContentKey::new(event.created_at, &[FROM_CHAT_LOG, &conversation.id.to_string()]);
    Normalized { content_key, person_key: PersonKey::of(&event), event }
}

/// What a record of the platform's list says, which was asked for of one chatbot. A record without a type is a lead, since it is a list
/// of them. `None` when it is no lead or appointment.
#[must_use]
pub fn read_listed(record: &serde_json::Value, chatbot: &str, profile: &Profile, id: Uuid, received_at: Timestamp) -> Option<Normalized> {
    let Ok(Value::Object(mut entries)) = json::parse(record.to_string().as_bytes()) else { return None };
    let has = |entries: &[shape::Entry], field| entries.iter().any(|(name, _)| name.as_str().and_then(Field::of) == Some(field));
    if !has(&entries, Field::ChatbotId) {
        entries.push(("SerialNumber".into(), Value::String(chatbot.into())));
    }
    if !has(&entries, Field::Type) {
        entries.push(("Type".into(), Value::String("Lead".into())));
    }
    let declared = entries.iter().filter(|(name, _)| name.as_str().and_then(Field::of) == Some(Field::Type));
    let kind = declared.filter_map(|(_, value)| shape::kind_named(value)).find(|kind| matches!(kind, Kind::Lead | Kind::Appointment))?;
    let record = Value::Object(entries);
    Some(Receipt { profile, received_at, stale: false }.record(kind, &record, &record.canonical(), id))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn profile() -> Profile {
        Profile { source: "acme".to_owned(), default_country: None }
    }

    #[test]
    fn a_listed_lead_is_read_like_one_that_was_posted() {
        let record =
            json!({"Type": "Lead", "Name": "David Garcia", "Email": "David@QQ.com", "CreateTime": "2026-11-22T10:00:00Z", "SessionID": 7});
        let listed = read_listed(&record, "bot", &profile(), Uuid::nil(), Timestamp::UNIX_EPOCH).unwrap();
        let event = &listed.event;
        assert_eq!((event.kind, event.chatbot_id.as_deref(), event.session_id.as_deref()), (Kind::Lead, Some("bot"), Some("7")));
        assert_eq!((event.person.full_name().as_deref(), event.person.email.as_deref()), (Some("David Garcia"), Some("David@qq.com")));
        assert_eq!(listed.content_key.created_at(), event.created_at);
        let untyped = json!({"Email": "a@b.com"});
        assert_eq!(read_listed(&untyped, "bot", &profile(), Uuid::nil(), Timestamp::UNIX_EPOCH).unwrap().event.kind, Kind::Lead);
        for odd in [json!(7), json!([]), json!({"Type": "Booking"}), json!("x")] {
            assert_eq!(read_listed(&odd, "bot", &profile(), Uuid::nil(), Timestamp::UNIX_EPOCH), None, "{odd}");
        }
    }
}
