//! From the fields of a record to the places of an event.

use super::fields::Field;
use super::shape::Entry;
use super::{page, person, shape, value};
use crate::verify::Value;
use jiff::Timestamp;
use leadwire_connector::{Author, Message, Window};
use serde_json::{Map, Value as Json};

/// Whose fields they are, which says what `Name` and the times mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A lead, an appointment, or something unknown.
    Record,
    /// One conversation of a chat log.
    Conversation,
    /// The chatbot that a chat log's conversations were with.
    Chatbot,
}

/// The places of an event. The first usable value for a place takes it; the others stay in `extra`.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) chatbot_id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) content: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) page_url: Option<String>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) chatbot_name: Option<String>,
    pub(super) window: Window,
    pub(super) messages: Vec<Message>,
    pub(super) extra: Map<String, Json>,
    first_name: Option<String>,
    last_name: Option<String>,
    /// With the sender's name of the field.
    full_name: Option<(String, String)>,
}

impl Slots {
    /// Puts fields to their places. `country` is where phone numbers are from.
    pub(super) fn fill<'a>(&mut self, fields: impl IntoIterator<Item = &'a Entry>, role: Role, country: Option<&str>) {
        for (name, value) in fields {
            let name = name.to_text();
            let is_placed = Field::of(&name).is_some_and(|field| !value::is_given(value) || self.place(field, &name, value, role, country));
            if !is_placed {
                value::insert(&mut self.extra, name.into_owned(), value::to_json(value));
            }
        }
    }

    /// First and last name. A full name is not taken apart, because nobody can know where; it stands in for a missing first name.
    pub(super) fn names(&mut self) -> (Option<String>, Option<String>) {
        if let Some((field, full)) = self.full_name.take() {
            if self.first_name.is_none() && self.last_name.is_none() {
                self.first_name = Some(full);
            } else {
                value::insert(&mut self.extra, field, Json::String(full));
            }
        }
        (self.first_name.take(), self.last_name.take())
    }

    /// Whether the value has a place, and took it.
    fn place(&mut self, field: Field, name: &str, value: &Value, role: Role, country: Option<&str>) -> bool {
        match (field, role) {
            (Field::ChatbotId, _) => put(&mut self.chatbot_id, value::line(value)),
            (Field::Name, Role::Chatbot) => put(&mut self.chatbot_name, value::line(value)),
            (Field::StartTime, Role::Chatbot) => put(&mut self.window.start, value::time(value)),
            (Field::EndTime, Role::Chatbot) => put(&mut self.window.end, value::time(value)),
            // What else is said of a chatbot is not said of the visitor.
            (_, Role::Chatbot) => false,
            (Field::Type, Role::Record) => shape::kind_named(value).is_some(),
            (Field::Messages, Role::Conversation) => self.place_messages(value),
            (Field::FirstName, _) => put(&mut self.first_name, words(value)),
            (Field::LastName, _) => put(&mut self.last_name, words(value)),
            (Field::Name, _) => put(&mut self.full_name, words(value).map(|words| (name.to_owned(), words))),
            (Field::Email, _) => put(&mut self.email, words(value).and_then(|text| person::email(&text))),
            (Field::Phone, _) => self.place_phone(value, country),
            (Field::CreatedAt, _) => put(&mut self.created_at, value::time(value)),
            (Field::Content, _) => put(&mut self.content, value::text(value)),
            (Field::SessionId, _) => put(&mut self.session_id, value::line(value)),
            (Field::Page, _) => put(&mut self.page_url, value.as_string().and_then(|text| page::page_url(&text.to_text()))),
            _ => false,
        }
    }

    /// An extension has no place in E.164, so the number as sent then stays in `extra` too.
    fn place_phone(&mut self, value: &Value, country: Option<&str>) -> bool {
        if self.phone.is_some() {
            return false;
        }
        let Some(phone) = value::line(value).and_then(|text| person::phone(&text, country)) else { return false };
        self.phone = Some(phone.text);
        !phone.is_shortened
    }

    /// Items that are no messages keep the whole list in `extra`, where their neighbours show what they belong to.
    fn place_messages(&mut self, value: &Value) -> bool {
        let Some(items) = value.as_array().filter(|_| self.messages.is_empty()) else { return false };
        self.messages = items.iter().filter_map(message).collect();
        items.iter().all(|item| item.as_object().is_some())
    }
}

/// The first value stays.
fn put<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    if slot.is_some() || value.is_none() {
        return false;
    }
    *slot = value;
    true
}

/// One line of text; a number is no name.
fn words(value: &Value) -> Option<String> {
    value.as_string().and_then(|_| value::line(value))
}

/// A message with something in it. Whoever is not the chatbot is the user; `raw` has the sender's own word.
fn message(item: &Value) -> Option<Message> {
    let entries = item.as_object()?;
    let field = |wanted| entries.iter().find(|(name, _)| name.as_str().and_then(Field::of) == Some(wanted)).map(|(_, value)| value);
    let said = field(Field::Content).filter(|value| value::is_given(value))?;
    let text = value::text(said).unwrap_or_else(|| said.canonical());
    let author = field(Field::Type).and_then(words).unwrap_or_default();
    let is_chatbot = ["ai", "bot", "chatbot", "assistant"].iter().any(|word| author.eq_ignore_ascii_case(word));
    Some(Message { author: if is_chatbot { Author::Ai } else { Author::User }, text })
}
