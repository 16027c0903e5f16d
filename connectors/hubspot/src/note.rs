//! What a note says, and how a long text becomes several notes.

use crate::map::LeftOut;
use leadwire_connector::{Author, Conversation, Event, Kind, text};
use serde_json::Value;

/// HubSpot takes 65,536 characters; what is not counted here is the marker and the part's number.
const MAX_CHARACTERS: usize = 65_000;
/// An escaped character is at most five long (`&amp;`), so that a piece of this size always fits on a page.
const MAX_PIECE: usize = MAX_CHARACTERS / 5;
/// A text of more pages than this is no conversation any more.
const MAX_PAGES: usize = 20;
const MAX_EXTRA: usize = 50;

/// A text as notes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    /// In order. At most 20.
    pub(crate) pages: Vec<Page>,
    /// Whether the text was longer than that.
    pub(crate) cut: bool,
}

/// One note.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The name of the step that writes it.
    pub(crate) step: String,
    /// Found in the note's body, it proves that this very note was written.
    pub(crate) marker: String,
    /// The body.
    pub(crate) html: String,
}

/// The text of a lead or an appointment; `None` when it would say nothing that the contact does not say.
pub(crate) fn remark(event: &Event, left_out: &[LeftOut]) -> Option<String> {
    if event.content.is_none() && left_out.is_empty() && event.kind != Kind::Appointment {
        return None;
    }
    let mut lines = vec![if event.kind == Kind::Appointment { "Wish for an appointment".to_owned() } else { "Chat lead".to_owned() }];
    lines.extend(event.content.clone());
    lines.push(String::new());
    lines.extend(left_out.iter().map(|field| format!("{} (not accepted as a property): {}", field.name, field.value)));
    lines.extend(event.extra.iter().filter_map(|(name, value)| extra(name, value)).take(MAX_EXTRA));
    lines.extend(origin(event));
    Some(lines.join("\n"))
}

fn extra(name: &str, value: &Value) -> Option<String> {
    let value = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => String::new(),
    };
    (!value.is_empty()).then(|| format!("{name}: {value}"))
}

fn origin(event: &Event) -> impl Iterator<Item = String> {
    let page = event.page_url.as_ref().map(|url| format!("Page: {url}"));
    let session = event.session_id.as_ref().map(|id| format!("Chat session: {id}"));
    page.into_iter().chain(session)
}

/// The text of a conversation; `None` when it has no messages.
pub(crate) fn transcript(event: &Event) -> Option<String> {
    let conversation = event.conversation.as_ref().filter(|conversation| !conversation.messages.is_empty())?;
    let chatbot = conversation.chatbot_name.as_deref().unwrap_or("Chatbot");
    let mut lines = vec![title(conversation)];
    lines.extend(origin(event));
    lines.push(String::new());
    lines.extend(conversation.messages.iter().map(|message| match message.author {
        Author::Ai => format!("{chatbot}: {}", message.text),
        Author::User => format!("Visitor: {}", message.text),
    }));
    Some(lines.join("\n"))
}

fn title(conversation: &Conversation) -> String {
    let with = conversation.chatbot_name.as_ref().map_or_else(String::new, |name| format!(" with {name}"));
    let on = conversation.window.start.map_or_else(String::new, |start| format!(", {}", start.strftime("%Y-%m-%d")));
    format!("Chat{with}{on}")
}

/// Cuts a text into notes, at line breaks where it can.
pub(crate) fn pages(text: &str, delivery_id: &str) -> Pages {
    let mut bodies = vec![String::new()];
    let mut used = 0;
    for line in text.trim().split('\n').flat_map(pieces) {
        let line = escape(line);
        let size = line.chars().map(char::len_utf16).sum::<usize>() + "<br>".len();
        if used + size > MAX_CHARACTERS && used > 0 {
            bodies.push(String::new());
            used = 0;
        }
        used += size;
        if let Some(body) = bodies.last_mut() {
            body.push_str(&line);
            body.push_str("<br>");
        }
    }
    let cut = bodies.len() > MAX_PAGES;
    bodies.truncate(MAX_PAGES);
    let of = bodies.len();
    let pages = bodies.into_iter().enumerate().map(|(index, body)| page(&body, delivery_id, index + 1, of, cut)).collect();
    Pages { pages, cut }
}

/// An empty line is one piece; a line that no note can hold is several.
fn pieces(line: &str) -> Vec<&str> {
    if line.len() <= MAX_PIECE { vec![line] } else { text::chunk(line, MAX_PIECE) }
}

fn page(body: &str, delivery_id: &str, number: usize, of: usize, cut: bool) -> Page {
    let step = if number == 1 { "note".to_owned() } else { format!("note-{number}") };
    // The bracket at the end keeps `note-1` from being found in `note-10`.
    let marker = format!("[Leadwire {} {step}]", escape(delivery_id));
    let part = if of > 1 { format!("Part {number} of {of}<br>") } else { String::new() };
    let rest = if cut && number == of { "The rest is left out; Leadwire has it.<br>" } else { "" };
    Page { html: format!("{part}{body}{rest}{marker}"), marker, step }
}

/// HubSpot renders notes as HTML; what a visitor wrote must stay text.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' => escaped.push(' '),
            control if control.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::map::tests::event;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_lead_without_a_remark_needs_no_note_and_an_appointment_always_gets_one() {
        assert_eq!(remark(&event(&json!({"content": null})), &[]), None);
        let appointment = remark(&event(&json!({"kind": "appointment", "content": null})), &[]).unwrap();
        assert!(appointment.starts_with("Wish for an appointment"));
    }

    #[test]
    fn what_was_left_out_and_what_had_no_place_is_in_the_note() {
        let event = event(&json!({"extra": {"Company": "Acme", "n": 2, "empty": "", "nested": {}}}));
        let left_out = [LeftOut { name: "favcolor".to_owned(), value: "blue".to_owned() }];
        assert_eq!(
            remark(&event, &left_out).unwrap(),
            "Chat lead\nI want a <b>quote</b>\n\nfavcolor (not accepted as a property): blue\nCompany: Acme\nn: 2\n\
             Page: https://acme.example/\nChat session: 31305"
        );
    }

    #[test]
    fn a_transcript_says_who_spoke() {
        let event = event(&json!({
            "kind": "conversation", "chatbot_name": "Ada", "window": {"start": "2026-11-21T00:00:00Z", "end": null},
            "messages": [{"author": "ai", "text": "Hi"}, {"author": "user", "text": "Hello"}],
        }));
        let text = transcript(&event).unwrap();
        assert!(text.starts_with("Chat with Ada, 2026-11-21\n"), "{text}");
        assert!(text.ends_with("\n\nAda: Hi\nVisitor: Hello"), "{text}");
    }

    #[test]
    fn what_a_visitor_wrote_stays_text() {
        let pages = pages("<script>alert('&')</script>\nnext", "d1");
        assert_eq!(pages.pages[0].html, "&lt;script&gt;alert('&amp;')&lt;/script&gt;<br>next<br>[Leadwire d1 note]");
    }

    #[test]
    fn a_long_text_becomes_several_notes_and_an_endless_one_is_cut() {
        let long = pages(&"word ".repeat(30_000), "d1");
        assert_eq!((long.pages.len(), long.cut), (3, false));
        assert!(long.pages[1].html.starts_with("Part 2 of 3<br>"));
        assert_eq!(long.pages[1].step, "note-2");
        let endless = pages(&"word ".repeat(500_000), "d1");
        assert_eq!((endless.pages.len(), endless.cut), (MAX_PAGES, true));
        assert!(endless.pages[19].html.contains("The rest is left out"));
        assert!(!endless.pages[9].html.contains(&endless.pages[0].marker));
    }

    proptest! {
        #[test]
        fn every_note_fits_and_carries_its_own_marker(text in "([a-z<&>😀\n ]{0,40}){0,5}", times in 1_usize..4_000) {
            let pages = pages(&text.repeat(times), "0199f3c2-0000-7000-8000-000000000001");
            for page in &pages.pages {
                prop_assert!(page.html.encode_utf16().count() <= 65_536);
                prop_assert!(page.html.ends_with(&page.marker));
            }
        }
    }
}
