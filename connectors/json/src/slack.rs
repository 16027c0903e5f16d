//! A message for Slack, or for a chat that speaks its language: `text` for notifications and old clients, `blocks` for the rest.
//!
//! Limits by <https://docs.slack.dev/reference/block-kit/blocks>: 50 blocks, 3,000 characters in a section. `&`, `<` and `>` are escaped
//! (<https://docs.slack.dev/messaging/formatting-message-text>), so that no visitor can mention a channel or hide a link.

use leadwire_connector::text::{Unit, pack};
use leadwire_connector::{Author, Event, Kind};
use serde_json::{Value, json};

const SECTION_MOST: usize = 3_000;
/// A value such as a name; longer ones are a mistake, or a trick.
const VALUE_MOST: usize = 250;
/// Of what was said; together with the others well below 50.
const SECTIONS_MOST: usize = 20;

/// The message of an event.
pub(crate) fn message(event: &Event) -> Value {
    let title = title(event.kind);
    let who = event.person.full_name().or_else(|| event.person.email.clone()).or_else(|| event.person.phone.clone());
    let text = who.map_or_else(|| title.to_owned(), |who| format!("{title}: {}", fit(&who, VALUE_MOST)));
    let mut blocks = vec![json!({"type": "header", "text": {"type": "plain_text", "text": title}})];
    let facts = facts(event);
    if !facts.is_empty() {
        blocks.push(section(&facts));
    }
    blocks.extend(said(event).iter().map(|part| section(part)));
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": origin(event)}]}));
    json!({"text": text, "blocks": blocks})
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Lead => "New lead",
        Kind::Appointment => "Appointment wanted",
        Kind::Conversation => "Conversation",
        Kind::Test => "Test",
        Kind::Unrecognized => "Unrecognized event",
    }
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

fn facts(event: &Event) -> String {
    let person = &event.person;
    let facts = [
        ("Name", person.full_name()),
        ("E-mail", person.email.clone()),
        ("Phone", person.phone.clone()),
        ("Page", event.page_url.clone()),
        ("Chatbot", event.conversation.as_ref().and_then(|conversation| conversation.chatbot_name.clone())),
    ];
    let lines = facts.into_iter().filter_map(|(name, value)| Some(format!("*{name}:* {}", fit(&value?, VALUE_MOST))));
    lines.collect::<Vec<_>>().join("\n")
}

/// The remark and the conversation, in as few sections as possible.
fn said(event: &Event) -> Vec<String> {
    let mut lines: Vec<String> = event.content.iter().cloned().collect();
    for message in event.conversation.iter().flat_map(|conversation| &conversation.messages) {
        let author = match message.author {
            Author::Ai => "Bot",
            Author::User => "Visitor",
        };
        lines.push(format!("{author}: {}", message.text));
    }
    let pieces: Vec<String> = lines.iter().flat_map(|line| escaped_pieces(line)).collect();
    let mut sections = pack(&pieces, SECTION_MOST, Unit::Utf16, "\n", |_, _, text| text.to_owned());
    if let Some(more) = sections.len().checked_sub(SECTIONS_MOST).filter(|more| *more > 0) {
        sections.truncate(SECTIONS_MOST);
        sections.push(format!("_There is more ({more} times as long as the part above); it is too long for a message._"));
    }
    sections
}

fn origin(event: &Event) -> String {
    let session = event.session_id.as_ref().map(|session| format!(" · session {}", fit(session, VALUE_MOST)));
    format!("{} · {}{}", fit(&event.source, VALUE_MOST), event.id, session.unwrap_or_default())
}

fn escape(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

fn length(c: char) -> usize {
    escape(c).map_or(c.len_utf16(), str::len)
}

/// Escaped, in pieces that fit into a section; no piece ends inside an entity.
fn escaped_pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        if used + length(c) > SECTION_MOST {
            pieces.push(String::new());
            used = 0;
        }
        used += length(c);
        if let Some(piece) = pieces.last_mut() {
            match escape(c) {
                Some(entity) => piece.push_str(entity),
                None => piece.push(c),
            }
        }
    }
    pieces
}

/// Escaped and at most `most` long, one line.
fn fit(text: &str, most: usize) -> String {
    let (mut fitted, mut used) = (String::new(), 0);
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if used + length(c) >= most {
            fitted.push('…');
            break;
        }
        used += length(c);
        match escape(c) {
            Some(entity) => fitted.push_str(entity),
            None => fitted.push(c),
        }
    }
    fitted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::map::tests::lead;
    use leadwire_connector::{Conversation, Message};
    use proptest::prelude::*;

    fn texts(message: &Value) -> Vec<String> {
        let blocks = message["blocks"].as_array().unwrap().iter();
        let text = |block: &Value| block["text"]["text"].as_str().or_else(|| block["elements"][0]["text"].as_str()).unwrap().to_owned();
        blocks.map(text).chain([message["text"].as_str().unwrap().to_owned()]).collect()
    }

    #[test]
    fn nobody_mentions_a_channel_or_hides_a_link() {
        let mut event = lead();
        event.person.first_name = Some("<!channel>".to_owned());
        event.content = Some("<https://evil.example|your bank> & more".to_owned());
        let shown = message(&event).to_string();
        assert!(shown.contains("&lt;!channel&gt;") && shown.contains("&lt;https://evil.example|your bank&gt; &amp; more"), "{shown}");
        assert!(!shown.contains('<'));
    }

    #[test]
    fn a_long_conversation_ends_with_a_note() {
        let messages = (0..900).map(|_| Message { author: Author::User, text: "<".repeat(100) }).collect();
        let event = Event { conversation: Some(Conversation { messages, ..Conversation::default() }), ..lead() };
        let message = message(&event);
        assert!(message["blocks"].as_array().unwrap().len() <= 50);
        assert!(texts(&message).iter().any(|text| text.contains("too long for a message")));
    }

    proptest! {
        #[test]
        fn every_text_fits_and_every_entity_is_whole(content in "[<>&a😀\n ]{0,9000}", name in "\\PC{0,400}") {
            let mut event = lead();
            event.person.first_name = Some(name);
            event.content = Some(content);
            for text in texts(&message(&event)) {
                prop_assert!(!text.is_empty() && text.encode_utf16().count() <= SECTION_MOST);
                for rest in text.split('&').skip(1) {
                    prop_assert!(["amp;", "lt;", "gt;"].iter().any(|entity| rest.starts_with(entity)), "{}", rest);
                }
            }
        }
    }
}
