//! What notes and tasks say, and how a long text becomes several notes.

use crate::config::NoteFormat;
use crate::map::Why;
use leadwire_connector::fields::LeftOut;
use leadwire_connector::note::{self, Notes, Paper};
use leadwire_connector::text::{self, Unit};
use leadwire_connector::{Event, Kind};
use serde_json::Value;

/// The step that writes the first note.
pub(crate) const FIRST: &str = "note";
/// A text of more notes than this is no conversation any more.
pub(crate) const MAX_NOTES: usize = 50;
/// For the marker, the part's number and, in HTML, the line breaks.
const FRAME: usize = 200;
/// An escaped character is at most six long (`&quot;`), so that a piece of a sixth always fits.
const LONGEST_ESCAPE: usize = 6;

/// The text of a lead or an appointment; `None` when it would say nothing that the contact does not say. `booking` says what became of
/// the appointment, `failed` what templates could not make of the event.
pub(crate) fn remark(event: &Event, left_out: &[LeftOut<Why>], failed: &[String], booking: Option<&str>) -> Option<String> {
    let extra: Vec<String> = event.extra.iter().filter_map(|(name, value)| extra(name, value)).collect();
    let is_empty = event.content.is_none() && left_out.is_empty() && failed.is_empty() && extra.is_empty();
    if is_empty && event.kind != Kind::Appointment {
        return None;
    }
    let mut lines = vec![note::heading(event).to_owned()];
    lines.extend(event.content.clone());
    lines.extend(booking.map(str::to_owned));
    lines.extend(left_out.iter().map(LeftOut::line));
    lines.extend(failed.iter().cloned());
    lines.extend(extra);
    lines.extend(note::origin(event));
    Some(lines.join("\n"))
}

fn extra(name: &str, value: &Value) -> Option<String> {
    let value = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => String::new(),
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Object(table) if table.is_empty() => String::new(),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            list.iter().filter_map(Value::as_str).map(str::trim).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    (!value.is_empty()).then(|| format!("{name}: {value}"))
}

/// The text of a conversation; `None` when it has no messages.
pub(crate) fn transcript(event: &Event) -> Option<String> {
    let conversation = event.chat()?;
    let lines = std::iter::once(note::title(conversation)).chain(note::origin(event)).chain(note::turns(conversation));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// The body of a task: what fits beside its marker.
pub(crate) fn task_body(text: &str, marker: &str, most: usize) -> String {
    format!("{}\n{marker}", text::truncate_in(text.trim(), most.saturating_sub(FRAME), Unit::Utf16))
}

/// Cuts a text into notes of at most `most` characters, at line breaks where it can.
pub(crate) fn notes(text: &str, delivery: &str, most: usize, format: NoteFormat) -> Notes {
    let text: String = text.trim().chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let room = most.saturating_sub(FRAME);
    // Cut before it is packed, so that an endless text costs no more than a long one; notes may end up half full.
    let fits = text::truncate_in(&text, MAX_NOTES * room / 2, Unit::Utf16);
    let lines: Vec<String> = fits.lines().filter(|line| !line.trim().is_empty()).flat_map(|line| pieces(line, room, format)).collect();
    let separator = if format == NoteFormat::Html { "<br>" } else { "\n" };
    let notes = Paper { longest: most, separator, most: MAX_NOTES, rest: "" }.write(&lines, delivery, FIRST);
    Notes { cut: notes.cut || fits != text, ..notes }
}

fn pieces(line: &str, room: usize, format: NoteFormat) -> Vec<String> {
    match format {
        NoteFormat::Text => vec![line.to_owned()],
        NoteFormat::Html => text::chunk_in(line, room / LONGEST_ESCAPE, Unit::Utf16)
            .into_iter()
            .map(|piece| text::escape_html(piece).into_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::map::tests::event;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_lead_with_nothing_to_say_needs_no_note_and_an_appointment_always_gets_one() {
        assert_eq!(remark(&event(&json!({"content": null, "extra": {"a": "", "b": [], "c": {}, "d": null}})), &[], &[], None), None);
        let appointment = remark(&event(&json!({"kind": "appointment", "content": null})), &[], &[], Some("Booked")).unwrap();
        assert!(appointment.starts_with("Wish for an appointment\nBooked"));
    }

    #[test]
    fn what_was_left_out_and_what_had_no_place_is_in_the_note() {
        let event = event(
            &json!({"content": "I want a <b>quote</b>", "extra": {"Company": "Acme", "n": 2, "empty": "", "nested": {}, "list": ["a", "b"], "deep": {"x": [1]}}}),
        );
        let left_out = [LeftOut { name: "contact.color".to_owned(), value: "blue".to_owned(), why: Why::Dropped }];
        assert_eq!(
            remark(&event, &left_out, &["the template fails".to_owned()], None).unwrap(),
            "Chat lead\nI want a <b>quote</b>\ncontact.color (accepted as a field, but not kept): blue\nthe template fails\n\
             Company: Acme\nn: 2\nlist: a, b\ndeep: {\"x\":[1]}\n\
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
        assert!(text.starts_with("Chat with Ada, 2026-11-21\n") && text.ends_with("\nAda: Hi\nVisitor: Hello"), "{text}");
    }

    #[test]
    fn html_shows_what_a_visitor_wrote_and_runs_nothing() {
        let html = notes("<script>alert('&')</script>\nnext", "d1", 5_000, NoteFormat::Html);
        assert_eq!(html.notes[0].body, "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;<br>next<br>[Leadwire d1 note]");
        let text = notes("<b>\u{7}hi</b>", "d1", 5_000, NoteFormat::Text);
        assert_eq!(text.notes[0].body, "<b>hi</b>\n[Leadwire d1 note]");
    }

    #[test]
    fn a_long_text_becomes_several_notes_and_an_endless_one_is_cut() {
        let long = notes(&"word ".repeat(3_000), "d1", 5_000, NoteFormat::Text);
        assert_eq!((long.notes.len(), long.cut), (4, false));
        assert!(long.notes[1].body.starts_with("Part 2 of 4\n") && long.notes[1].step == "note-2");
        let endless = notes(&"word ".repeat(200_000), "d1", 5_000, NoteFormat::Text);
        assert!(endless.cut && endless.notes.len() <= MAX_NOTES);
        assert!(!endless.notes[9].body.contains(&endless.notes[0].marker));
    }

    proptest! {
        #[test]
        fn every_note_fits_and_carries_its_own_marker(
            text in "([a-z<&\"😀\n ]{0,40}){0,5}", times in 1_usize..200, most in 500_usize..6_000, html in any::<bool>(),
        ) {
            let format = if html { NoteFormat::Html } else { NoteFormat::Text };
            let notes = notes(&text.repeat(times), "0199f3c2-0000-7000-8000-000000000001", most, format);
            for note in &notes.notes {
                prop_assert!(note.body.encode_utf16().count() <= most);
                prop_assert!(note.body.ends_with(&note.marker));
            }
            prop_assert!(notes.notes.len() <= MAX_NOTES);
        }
    }
}
