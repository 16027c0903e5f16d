//! What kind of body it is, and the events in it.

use super::fields::Field;
use super::value;
use crate::verify::{JsString, Value};
use leadwire_connector::Kind;
use std::rc::Rc;

/// A body with more is not taken apart. The largest chat log that fits the default size limit has far fewer.
const EVENTS_MOST: usize = 100_000;
/// The fields around a conversation are repeated in each event of it. A body that would grow by more is not taken apart.
const REPEATED_MOST: usize = 64 << 20;

/// A field of an object.
pub(super) type Entry = (JsString, Value);

/// One event of a body.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// A value of its own.
    Record(Kind, &'a Value),
    /// A value and the fields around it.
    Part(Part<'a>),
}

/// A value and the fields that stood around it.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) kind: Kind,
    pub(super) around: Rc<Around<'a>>,
    /// The name of the value in the event's `raw`.
    pub(super) name: &'static str,
    pub(super) value: &'a Value,
}

/// Fields that several events share, made ready once.
#[derive(Debug)]
pub(super) struct Around<'a> {
    pub(super) fields: Vec<&'a Entry>,
    pub(super) json: serde_json::Map<String, serde_json::Value>,
    /// Canonical.
    pub(super) text: String,
}

impl<'a> Around<'a> {
    fn new(fields: Vec<&'a Entry>) -> Self {
        let object = Value::Object(fields.iter().copied().cloned().collect());
        let mut json = serde_json::Map::new();
        fields.iter().for_each(|(name, field)| value::insert(&mut json, name.to_text().into_owned(), value::to_json(field)));
        Self { fields, json, text: object.canonical() }
    }

    fn is_too_much_for(&self, events: usize) -> bool {
        self.text.len().saturating_mul(events) > REPEATED_MOST
    }
}

/// The events of a body, at least one. An empty object is the platform's test; inside an array it is nothing known.
pub(super) fn split(body: &Value) -> Vec<Piece<'_>> {
    let pieces = match body {
        Value::Object(entries) if entries.is_empty() => vec![Piece::Record(Kind::Test, body)],
        Value::Array(records) if !records.is_empty() => records.iter().flat_map(record).collect(),
        _ => record(body),
    };
    if pieces.len() > EVENTS_MOST { vec![Piece::Record(Kind::Unrecognized, body)] } else { pieces }
}

/// What the record says it is comes first: a lead is a lead, also with a field `test` or `Collection`.
fn record(record: &Value) -> Vec<Piece<'_>> {
    let entries = record.as_object().unwrap_or_default();
    let declared = entries.iter().filter(|(name, _)| is(name, Field::Type)).find_map(|(_, value)| kind_named(value));
    let kind = match declared {
        Some(kind @ (Kind::Lead | Kind::Appointment)) => kind,
        _ => match chat_log(record, entries) {
            Some(pieces) => return pieces,
            None if declared == Some(Kind::Test) || says_test(entries) => Kind::Test,
            None => Kind::Unrecognized,
        },
    };
    vec![Piece::Record(kind, record)]
}

/// The kind that a `Type` names.
pub(super) fn kind_named(value: &Value) -> Option<Kind> {
    let word = value.as_string()?.to_text();
    let known = [Kind::Lead, Kind::Appointment, Kind::Test];
    known.into_iter().find(|kind| word.trim().eq_ignore_ascii_case(kind.as_str()))
}

fn says_test(entries: &[Entry]) -> bool {
    entries.iter().any(|(name, value)| is(name, Field::Test) && *value == Value::Bool(true))
}

fn is(name: &JsString, field: Field) -> bool {
    name.as_str().and_then(Field::of) == Some(field)
}

/// The list of that name with something in it, and the fields beside it.
fn list(entries: &[Entry], field: Field) -> Option<(&[Value], Vec<&Entry>)> {
    let found = entries.iter().find(|(name, value)| is(name, field) && value.as_array().is_some_and(|items| !items.is_empty()))?;
    let beside = entries.iter().filter(|entry| !std::ptr::eq(*entry, found)).collect();
    Some((found.1.as_array()?, beside))
}

/// A `Collection` of chatbots with their `Conversations`.
fn chat_log<'a>(record: &'a Value, entries: &'a [Entry]) -> Option<Vec<Piece<'a>>> {
    let (chatbots, beside) = list(entries, Field::Collection)?;
    if Around::new(beside.clone()).is_too_much_for(chatbots.len()) {
        return Some(vec![Piece::Record(Kind::Unrecognized, record)]);
    }
    Some(chatbots.iter().flat_map(|chatbot| conversations(chatbot, &beside)).collect())
}

/// The conversations of one chatbot. An entry of another shape, or with no conversation, is kept as it is: it should not be there.
fn conversations<'a>(chatbot: &'a Value, beside: &[&'a Entry]) -> Vec<Piece<'a>> {
    let unrecognized = || match beside {
        [] => Piece::Record(Kind::Unrecognized, chatbot),
        _ => {
            let around = Rc::new(Around::new(beside.to_vec()));
            Piece::Part(Part { kind: Kind::Unrecognized, around, name: "Chatbot", value: chatbot })
        }
    };
    let Some((conversations, own)) = list(chatbot.as_object().unwrap_or_default(), Field::Conversations) else {
        return vec![unrecognized()];
    };
    let around = Rc::new(Around::new(beside.iter().copied().chain(own).collect()));
    if around.is_too_much_for(conversations.len()) {
        return vec![unrecognized()];
    }
    let piece = |value: &'a Value| {
        let kind = if value.as_object().is_some() { Kind::Conversation } else { Kind::Unrecognized };
        Piece::Part(Part { kind, around: Rc::clone(&around), name: "Conversation", value })
    };
    conversations.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::verify::json::parse;

    fn kinds(body: &str) -> Vec<&'static str> {
        let value = parse(body.as_bytes()).unwrap();
        let kind = |piece: &Piece<'_>| match piece {
            Piece::Record(kind, _) => kind.as_str(),
            Piece::Part(part) => part.kind.as_str(),
        };
        split(&value).iter().map(kind).collect()
    }

    #[test]
    fn a_record_is_what_it_says() {
        for (body, expected) in [
            (r#"{"Type":"Lead"}"#, "lead"),
            (r#"{"type":" APPOINTMENT "}"#, "appointment"),
            (r#"{"Type":"Lead","test":true,"Collection":[{"Conversations":[{}]}]}"#, "lead"),
            (r#"{"Type":"Booking"}"#, "unrecognized"),
            (r#"{"Type":1}"#, "unrecognized"),
        ] {
            assert_eq!(kinds(body), [expected], "{body}");
        }
    }

    #[test]
    fn a_test_says_so_or_is_empty() {
        for body in ["{}", r#"{"Type":"Test"}"#, r#"{"type":"test","Email":"a@b.c"}"#, r#"{"test":true}"#] {
            assert_eq!(kinds(body), ["test"], "{body}");
        }
        for body in ["[{}]", r#"{"test":false}"#, r#"{"test":"true"}"#, "[]"] {
            assert_eq!(kinds(body), ["unrecognized"], "{body}");
        }
    }

    #[test]
    fn a_list_of_records_is_one_event_each() {
        assert_eq!(
            kinds(r#"[{"Type":"Lead"},{"Type":"appointment"},7,[],{"Collection":[{"Conversations":[{},{}]}]}]"#),
            ["lead", "appointment", "unrecognized", "unrecognized", "conversation", "conversation"]
        );
    }

    #[test]
    fn a_chat_log_is_one_event_for_each_conversation_and_loses_no_entry() {
        assert_eq!(
            kinds(r#"{"Collection":[{"Conversations":[{},3]},{"Conversations":[]},{"Name":"x"},5]}"#),
            ["conversation", "unrecognized", "unrecognized", "unrecognized", "unrecognized"]
        );
        for body in [r#"{"Collection":[]}"#, r#"{"Collection":{}}"#, r#"{"Collection":"x"}"#] {
            assert_eq!(kinds(body), ["unrecognized"], "{body}");
        }
    }

    #[test]
    fn a_body_that_would_grow_beyond_measure_is_kept_whole() {
        let many = format!("[{}1]", "1,".repeat(EVENTS_MOST));
        assert_eq!(kinds(&many), ["unrecognized"]);
        let wide = format!(r#"{{"Collection":[{{"Name":"{}","Conversations":[{}{{}}]}}]}}"#, "x".repeat(100_000), "{},".repeat(1_000));
        assert_eq!(kinds(&wide), ["unrecognized"]);
        let wide = format!(r#"{{"Note":"{}","Collection":[{}1]}}"#, "x".repeat(100_000), "1,".repeat(1_000));
        assert_eq!(kinds(&wide), ["unrecognized"]);
    }
}
