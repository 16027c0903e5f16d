//! What a note says, and how a long text becomes several notes.

use crate::map::Why;
use leadwire_connector::fields::LeftOut;
use leadwire_connector::note::{self, Notes, Paper};
use leadwire_connector::text::{self, Unit};
use leadwire_connector::{Event, Kind};

/// HubSpot takes 65,536 characters (<https://developers.hubspot.com/docs/api-reference/latest/crm/activities/notes/guide>); in what it
/// does not say, so that UTF-16 units, the most that can be meant, are counted.
const LONGEST: usize = 64_900;
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

/// The text of a lead or an appointment; `None` when it would say nothing that the contact does not say. `failed` is what
/// templates could not make of the event.
pub(crate) fn remark(event: &Event, left_out: &[LeftOut<Why>], failed: &[String]) -> Option<Text> {
    let mut rest: Vec<String> = left_out.iter().map(LeftOut::line).chain(failed.iter().cloned()).collect();
    rest.extend(note::extra(event).chain(note::origin(event)));
    if event.content.is_none() && rest.is_empty() && event.kind != Kind::Appointment {
        return None;
    }
    let mut text = Text::default();
    text.add(note::heading(event));
    if let Some(content) = &event.content {
        text.add(content);
    }
    text.gap();
    rest.iter().for_each(|line| text.add(line));
    Some(text)
}

/// The text of a conversation; `None` when it has no messages.
pub(crate) fn transcript(event: &Event) -> Option<Text> {
    let conversation = event.chat()?;
    let mut text = Text::default();
    text.add(&note::title(conversation));
    note::origin(event).for_each(|line| text.add(&line));
    text.gap();
    note::turns(conversation).for_each(|turn| text.add(&turn));
    Some(text)
}

/// Packs a text into notes, cutting between its parts. The step of the first one is `first`.
pub(crate) fn pages(text: &Text, delivery_id: &str, first: &str) -> Notes {
    let paper = Paper { longest: LONGEST, separator: BREAK, most: MOST_PAGES, rest: "The rest is left out; Leadwire has it.<br>" };
    paper.write(&text.0, delivery_id, first)
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
    use crate::map::tests::event;
    use proptest::prelude::*;
    use serde_json::json;

    fn one_page(text: &Text) -> String {
        let mut pages = pages(text, "d1", "note").notes;
        assert_eq!(pages.len(), 1);
        pages.remove(0).body
    }

    fn long(message: &str, times: usize) -> Text {
        let mut text = Text::default();
        (0..times).for_each(|_| text.add(message));
        text
    }

    #[test]
    fn a_lead_that_says_nothing_more_needs_no_note_and_an_appointment_always_gets_one() {
        assert!(remark(&event(&json!({"content": null, "session_id": null, "page_url": null})), &[], &[]).is_none());
        let appointment = remark(&event(&json!({"kind": "appointment", "content": null})), &[], &[]).unwrap();
        assert!(one_page(&appointment).starts_with("Wish for an appointment"));
    }

    #[test]
    fn what_was_left_out_and_what_had_no_place_is_in_the_note() {
        let event = event(
            &json!({"content": "I want a <b>quote</b>", "extra": {"Company": "Acme", "n": 2, "empty": "", "none": {}, "Tags": ["a", "b"], "UTM": {"source": "ads"}}}),
        );
        let left_out = [LeftOut { name: "favcolor".to_owned(), value: "blue".to_owned(), why: Why::Refused }];
        assert_eq!(
            one_page(&remark(&event, &left_out, &[]).unwrap()),
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
        let pages = pages(&long(&"word ".repeat(4_000), 10), "d1", "meeting").notes;
        assert_eq!(pages.iter().map(|page| page.step.as_str()).collect::<Vec<_>>(), ["meeting", "note-2", "note-3", "note-4"]);
        assert!(pages[1].body.starts_with("Part 2 of 4<br>word"), "{}", &pages[1].body[..40]);
        assert!(pages.iter().all(|page| page.body.matches("word word").count() % 2_000 == 0), "no message is cut");
    }

    #[test]
    fn an_endless_text_is_cut_and_says_so() {
        let endless = pages(&long(&"<".repeat(10_000), 100), "d1", "note");
        assert_eq!((endless.notes.len(), endless.cut), (MOST_PAGES, true));
        assert!(endless.notes[19].body.contains("The rest is left out"));
        assert!(!endless.notes[9].body.contains(&endless.notes[0].marker));
    }

    proptest! {
        #[test]
        fn every_note_fits_and_carries_its_own_marker(text in "([a-z<&\"😀\n ]{0,40}){0,5}", times in 1_usize..4_000, parts in 1_usize..4) {
            let text = long(&text.repeat(times), parts);
            let pages = pages(&text, "0199f3c2-0000-7000-8000-000000000001", "note");
            for page in &pages.notes {
                prop_assert!(page.body.encode_utf16().count() <= 65_000);
                prop_assert!(page.body.ends_with(&page.marker));
            }
        }
    }
}
