//! What a note says, and how a long text becomes several notes.

use crate::map::LeftOut;
use leadwire_connector::text::{self, Unit};
use leadwire_connector::{Author, Conversation, Event, Kind};
use serde_json::Value;

/// HubSpot takes 65,536 characters (<https://developers.hubspot.com/docs/api-reference/latest/crm/activities/notes/guide>); in what it
/// does not say, so that UTF-16 units, the most that can be meant, are counted.
const MOST: usize = 64_900;
/// An escaped character is at most six long (`&quot;`), so that a piece of this size always fits.
const LONGEST_PIECE: usize = 60_000 / 6;
/// A text of more pages than this is no conversation any more.
const MOST_PAGES: usize = 20;
const BREAK: &str = "<br>";

/// A text in HTML, in parts that stay whole on one page: a message, a field.
#[derive(Debug, Default)]
pub(crate) struct Text(Vec<String>);

impl Text {
    fn add(&mut self, part: &str) {
        let whole = html(part);
        if Unit::Utf16.length(&whole) <= LONGEST_PIECE * 6 {
            self.0.push(whole);
        } else {
            self.0.extend(text::chunk_in(part, LONGEST_PIECE, Unit::Utf16).into_iter().map(html));
        }
    }

    /// An empty line after what was added last.
    fn gap(&mut self) {
        if let Some(last) = self.0.last_mut() {
            last.push_str(BREAK);
        }
    }
}

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
pub(crate) fn remark(event: &Event, left_out: &[LeftOut]) -> Option<Text> {
    let mut rest: Vec<String> = left_out.iter().map(|field| format!("{} ({}): {}", field.name, field.why.note(), field.value)).collect();
    rest.extend(event.extra.iter().filter_map(|(name, value)| extra(name, value)));
    rest.extend(origin(event));
    if event.content.is_none() && rest.is_empty() && event.kind != Kind::Appointment {
        return None;
    }
    let mut text = Text::default();
    text.add(if event.kind == Kind::Appointment { "Wish for an appointment" } else { "Chat lead" });
    if let Some(content) = &event.content {
        text.add(content);
    }
    text.gap();
    rest.iter().for_each(|line| text.add(line));
    Some(text)
}

fn extra(name: &str, value: &Value) -> Option<String> {
    let value = plain(value);
    (!value.is_empty()).then(|| format!("{name}: {value}"))
}

/// A list of simple values as a person writes it, what is nested deeper as JSON.
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

fn origin(event: &Event) -> impl Iterator<Item = String> {
    let page = event.page_url.as_ref().map(|url| format!("Page: {url}"));
    let session = event.session_id.as_ref().map(|id| format!("Chat session: {id}"));
    page.into_iter().chain(session)
}

/// The text of a conversation; `None` when it has no messages.
pub(crate) fn transcript(event: &Event) -> Option<Text> {
    let conversation = event.conversation.as_ref().filter(|conversation| !conversation.messages.is_empty())?;
    let chatbot = conversation.chatbot_name.as_deref().unwrap_or("Chatbot");
    let mut text = Text::default();
    text.add(&title(conversation));
    origin(event).for_each(|line| text.add(&line));
    text.gap();
    for message in &conversation.messages {
        let author = if message.author == Author::Ai { chatbot } else { "Visitor" };
        text.add(&format!("{author}: {}", message.text));
    }
    Some(text)
}

fn title(conversation: &Conversation) -> String {
    let with = conversation.chatbot_name.as_ref().map_or_else(String::new, |name| format!(" with {name}"));
    let on = conversation.window.start.map_or_else(String::new, |start| format!(", {}", start.strftime("%Y-%m-%d")));
    format!("Chat{with}{on}")
}

/// Packs a text into notes, cutting between its parts. The step of the first one is `first`, of the others `note-2` and so on.
pub(crate) fn pages(text: &Text, delivery_id: &str, first: &str) -> Pages {
    let marker = |number: usize| text::marker(delivery_id, &step(first, number));
    let frame = |number: usize, of: usize, body: &str| {
        let part = if of > 1 { format!("Part {number} of {of}{BREAK}") } else { String::new() };
        let rest = if number == MOST_PAGES && of > number { "The rest is left out; Leadwire has it.<br>" } else { "" };
        format!("{part}{body}{BREAK}{rest}{}", marker(number))
    };
    let bodies = text::pack(&text.0, MOST, Unit::Utf16, BREAK, frame);
    let cut = bodies.len() > MOST_PAGES;
    let page = |(index, html): (usize, String)| Page { html, marker: marker(index + 1), step: step(first, index + 1) };
    Pages { pages: bodies.into_iter().take(MOST_PAGES).enumerate().map(page).collect(), cut }
}

fn step(first: &str, number: usize) -> String {
    if number == 1 { first.to_owned() } else { format!("note-{number}") }
}

/// HubSpot renders notes as HTML; what a visitor wrote must stay text.
fn html(text: &str) -> String {
    let readable = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let plain: String = text.trim().chars().filter(readable).map(|c| if c == '\t' { ' ' } else { c }).collect();
    text::escape_html(&plain).replace('\n', BREAK)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::map::Why;
    use crate::map::tests::event;
    use proptest::prelude::*;
    use serde_json::json;

    fn one_page(text: &Text) -> String {
        let mut pages = pages(text, "d1", "note").pages;
        assert_eq!(pages.len(), 1);
        pages.remove(0).html
    }

    fn long(message: &str, times: usize) -> Text {
        let mut text = Text::default();
        (0..times).for_each(|_| text.add(message));
        text
    }

    #[test]
    fn a_lead_that_says_nothing_more_needs_no_note_and_an_appointment_always_gets_one() {
        assert!(remark(&event(&json!({"content": null, "session_id": null, "page_url": null})), &[]).is_none());
        let appointment = remark(&event(&json!({"kind": "appointment", "content": null})), &[]).unwrap();
        assert!(one_page(&appointment).starts_with("Wish for an appointment"));
    }

    #[test]
    fn what_was_left_out_and_what_had_no_place_is_in_the_note() {
        let event =
            event(&json!({"extra": {"Company": "Acme", "n": 2, "empty": "", "none": {}, "Tags": ["a", "b"], "UTM": {"source": "ads"}}}));
        let left_out = [LeftOut { name: "favcolor".to_owned(), value: "blue".to_owned(), why: Why::Refused }];
        assert_eq!(
            one_page(&remark(&event, &left_out).unwrap()),
            "Chat lead<br>I want a &lt;b&gt;quote&lt;/b&gt;<br><br>favcolor (not accepted as a property): blue<br>Company: Acme<br>n: 2\
             <br>Tags: a, b<br>UTM: {&quot;source&quot;:&quot;ads&quot;}<br>Page: https://acme.example/<br>Chat session: 31305<br>[Leadwire d1 note]"
        );
    }

    #[test]
    fn a_transcript_says_who_spoke() {
        let event = event(&json!({
            "kind": "conversation", "chatbot_name": "Ada", "window": {"start": "2026-11-21T00:00:00Z", "end": null},
            "messages": [{"author": "ai", "text": "Hi"}, {"author": "user", "text": "Hello\nthere"}],
        }));
        let html = one_page(&transcript(&event).unwrap());
        assert!(html.starts_with("Chat with Ada, 2026-11-21<br>"), "{html}");
        assert!(html.ends_with("<br><br>Ada: Hi<br>Visitor: Hello<br>there<br>[Leadwire d1 note]"), "{html}");
    }

    #[test]
    fn what_a_visitor_wrote_stays_text() {
        let html = one_page(&long("<script>alert('&')</script>\u{1b}\tnext", 1));
        assert_eq!(html, "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt; next<br>[Leadwire d1 note]");
    }

    #[test]
    fn messages_stay_whole_and_each_page_says_which_it_is() {
        let pages = pages(&long(&"word ".repeat(4_000), 10), "d1", "meeting").pages;
        assert_eq!(pages.iter().map(|page| page.step.as_str()).collect::<Vec<_>>(), ["meeting", "note-2", "note-3", "note-4"]);
        assert!(pages[1].html.starts_with("Part 2 of 4<br>word"), "{}", &pages[1].html[..40]);
        assert!(pages.iter().all(|page| page.html.matches("word word").count() % 2_000 == 0), "no message is cut");
    }

    #[test]
    fn an_endless_text_is_cut_and_says_so() {
        let endless = pages(&long(&"<".repeat(10_000), 100), "d1", "note");
        assert_eq!((endless.pages.len(), endless.cut), (MOST_PAGES, true));
        assert!(endless.pages[19].html.contains("The rest is left out"));
        assert!(!endless.pages[9].html.contains(&endless.pages[0].marker));
    }

    proptest! {
        #[test]
        fn every_note_fits_and_carries_its_own_marker(text in "([a-z<&\"😀\n ]{0,40}){0,5}", times in 1_usize..4_000, parts in 1_usize..4) {
            let text = long(&text.repeat(times), parts);
            let pages = pages(&text, "0199f3c2-0000-7000-8000-000000000001", "note");
            for page in &pages.pages {
                prop_assert!(page.html.encode_utf16().count() <= 65_000);
                prop_assert!(page.html.ends_with(&page.marker));
            }
        }
    }
}
