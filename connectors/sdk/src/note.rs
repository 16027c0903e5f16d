//! What a note says, for services whose people read notes: in the same words everywhere, whichever CRM a lead goes to. A connector makes
//! lines of them, escapes what must be escaped, and has [`Paper`] cut the text into notes that fit and can be found again.

use crate::text::{self, Unit};
use crate::{Author, Conversation, Event, Kind};
use serde::Deserialize;
use serde_json::Value;

/// What becomes of a conversation, for the key `conversations`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Conversations {
    /// Nothing: it is skipped.
    Skip,
    /// A note on the contact, if the service knows the person.
    #[default]
    Note,
}

/// The first line of a note on a lead or an appointment.
#[must_use]
pub fn heading(event: &Event) -> &'static str {
    if event.kind == Kind::Appointment { "Wish for an appointment" } else { "Chat lead" }
}

/// The first line of a note on a conversation: `Chat with Ada, 2026-11-21`.
#[must_use]
pub fn title(conversation: &Conversation) -> String {
    let with = conversation.chatbot_name.as_ref().map_or_else(String::new, |name| format!(" with {name}"));
    let on = conversation.window.start.map_or_else(String::new, |start| format!(", {}", start.strftime("%Y-%m-%d")));
    format!("Chat{with}{on}")
}

/// Who said what: `Ada: Hello`, `Visitor: Hi`.
pub fn turns(conversation: &Conversation) -> impl Iterator<Item = String> {
    let chatbot = conversation.chatbot_name.as_deref().unwrap_or("Chatbot");
    conversation.messages.iter().map(move |message| match message.author {
        Author::Ai => format!("{chatbot}: {}", message.text),
        Author::User => format!("Visitor: {}", message.text),
    })
}

/// The form's own fields, which mostly have no field at the service: `Company: Acme`. A list of simple values is told as a person writes
/// it, what is nested deeper as JSON; what is empty is not told.
pub fn extra(event: &Event) -> impl Iterator<Item = String> {
    let told = event.extra.iter().map(|(name, value)| (name, plain(value)));
    told.filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {value}"))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) if !items.iter().any(|item| item.is_array() || item.is_object()) => {
            items.iter().map(plain).filter(|item| !item.is_empty()).collect::<Vec<_>>().join(", ")
        }
        Value::Object(table) if table.is_empty() => String::new(),
        _ => value.to_string(),
    }
}

/// Where the visitor was: the page and the chat session, as far as they are known.
pub fn origin(event: &Event) -> impl Iterator<Item = String> {
    let page = event.page_url.as_ref().map(|url| format!("Page: {url}"));
    let session = event.session_id.as_ref().map(|id| format!("Chat session: {id}"));
    page.into_iter().chain(session)
}

/// A text as notes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// In order.
    pub notes: Vec<Note>,
    /// Whether the text was longer than all of them may be.
    pub cut: bool,
}

/// One note.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// The name of the step that writes it: the first one's own, then `note-2` and so on.
    pub step: String,
    /// Found in the note's body, it proves that this very note was written.
    pub marker: String,
    /// The body, with the marker at its end.
    pub body: String,
}

/// What notes a service takes.
///
/// ```
/// use leadwire_connector::note::Paper;
/// let paper = Paper { longest: 64, separator: "\n", most: 10, rest: "" };
/// let notes = paper.write(&["Ada: Hello", "Visitor: Hi there", "Ada: Good bye"], "d1", "note").notes;
/// assert_eq!(notes[0].body, "Part 1 of 2\nAda: Hello\nVisitor: Hi there\n[Leadwire d1 note]");
/// assert_eq!((notes[1].step.as_str(), notes[1].marker.as_str()), ("note-2", "[Leadwire d1 note-2]"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Paper<'a> {
    /// The greatest length of a body in UTF-16 units, the most that "characters" can mean.
    pub longest: usize,
    /// Between two parts of the text: a line break in the service's own spelling.
    pub separator: &'a str,
    /// The greatest number of notes. A text that wants more is no conversation any more.
    pub most: usize,
    /// Said at the end of the last one when there would be more, with its own line break.
    pub rest: &'a str,
}

impl Paper<'_> {
    /// Packs the parts of a text into as few notes as possible, cutting between the parts. The step of the first one is `first`.
    #[must_use]
    pub fn write<S: AsRef<str>>(&self, parts: &[S], delivery: &str, first: &str) -> Notes {
        let marker = |number: usize| text::marker(delivery, &step(first, number));
        let separator = self.separator;
        let frame = |number: usize, of: usize, body: &str| {
            let part = if of > 1 { format!("Part {number} of {of}{separator}") } else { String::new() };
            let rest = if number == self.most && of > number { self.rest } else { "" };
            format!("{part}{body}{separator}{rest}{}", marker(number))
        };
        let bodies = text::pack(parts, self.longest, Unit::Utf16, separator, frame);
        let cut = bodies.len() > self.most;
        let note = |(index, body): (usize, String)| Note { body, marker: marker(index + 1), step: step(first, index + 1) };
        Notes { notes: bodies.into_iter().take(self.most).enumerate().map(note).collect(), cut }
    }
}

/// The name of the step that writes the note of this number, from 1.
#[must_use]
pub fn step(first: &str, number: usize) -> String {
    if number == 1 { first.to_owned() } else { format!("note-{number}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::Message;
    use crate::Window;
    use serde_json::json;

    #[test]
    fn what_a_form_asked_is_told_as_a_person_writes_it() {
        let extra =
            json!({"Company": " Acme ", "n": 2, "empty": "", "none": {}, "gone": null, "Tags": ["a", 3, ""], "UTM": {"source": "ads"}});
        let event: Event = serde_json::from_value(json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null, "content": null,
            "person": {"first_name": null, "last_name": null, "email": null, "phone": null}, "extra": extra, "raw": {},
            "session_id": "31305", "page_url": "https://acme.example/", "created_at": null, "received_at": "2026-11-22T05:17:00Z",
        }))
        .unwrap();
        let told: Vec<String> = super::extra(&event).chain(origin(&event)).collect();
        let expected =
            ["Company: Acme", "n: 2", "Tags: a, 3", "UTM: {\"source\":\"ads\"}", "Page: https://acme.example/", "Chat session: 31305"];
        assert_eq!((heading(&event), told), ("Chat lead", expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_conversation_says_who_spoke_and_when() {
        let said = |author, text: &str| Message { author, text: text.to_owned() };
        let messages = vec![said(Author::Ai, "Hi"), said(Author::User, "Hello")];
        let window = Window { start: Some("2026-11-21T00:00:00Z".parse().unwrap()), end: None };
        let named = Conversation { chatbot_name: Some("Ada".to_owned()), window, messages: messages.clone() };
        assert_eq!(
            (title(&named).as_str(), turns(&named).collect::<Vec<_>>()),
            ("Chat with Ada, 2026-11-21", vec!["Ada: Hi".to_owned(), "Visitor: Hello".to_owned()])
        );
        let nameless = Conversation { messages, ..Conversation::default() };
        assert_eq!((title(&nameless).as_str(), turns(&nameless).next().unwrap().as_str()), ("Chat", "Chatbot: Hi"));
    }

    #[test]
    fn an_endless_text_is_cut_and_says_so() {
        let paper = Paper { longest: 60, separator: "<br>", most: 2, rest: "More.<br>" };
        let notes = paper.write(&["word word word"; 20], "d1", "task");
        assert_eq!((notes.notes.len(), notes.cut, notes.notes[0].step.as_str()), (2, true, "task"));
        assert!(notes.notes[1].body.ends_with("More.<br>[Leadwire d1 note-2]"), "{notes:?}");
        assert!(!paper.write(&["word"], "d1", "note").cut);
    }
}
