//! Bodies of a greatest length: what of a long conversation is left out, and that this is said.

use leadwire_connector::{Author, DeliveryError, ErrorKind, Event, Message, text};
use serde_json::json;

/// So much of a remark is kept when the rest is too long.
const CONTENT_KEPT: usize = 500;

/// The body of the event, at most `most` bytes long. What the platform sent word for word goes first, then messages from the middle of the
/// conversation, then most of the remark; where something is missing, a note says so.
pub(crate) fn body<T: AsRef<[u8]>>(
    event: &Event,
    most: usize,
    write: impl Fn(&Event) -> Result<T, DeliveryError>,
) -> Result<T, DeliveryError> {
    let whole = write(event)?;
    if whole.as_ref().len() <= most {
        return Ok(whole);
    }
    let note = format!("left out to keep the body under {most} bytes");
    let mut event = Event { raw: json!({"left_out": note}), ..event.clone() };
    if let Some(body) = within(most, write(&event)?) {
        return Ok(body);
    }
    let messages = event.conversation.as_mut().map(|conversation| std::mem::take(&mut conversation.messages)).unwrap_or_default();
    if let Some(body) = fewer_messages(&mut event, &messages, &note, most, &write)? {
        return Ok(body);
    }
    event.content = event.content.map(|content| text::truncate(&content, CONTENT_KEPT).into_owned());
    event.extra = [("left_out".to_owned(), note.into())].into_iter().collect();
    let body = write(&event)?;
    let length = body.as_ref().len();
    within(most, body).ok_or_else(|| {
        let told = format!("the body has {length} bytes without everything that can be left out; `max_bytes` allows {most}");
        DeliveryError::reject(ErrorKind::Configuration, told)
    })
}

fn within<T: AsRef<[u8]>>(most: usize, body: T) -> Option<T> {
    (body.as_ref().len() <= most).then_some(body)
}

/// With as many messages as fit, by halving. Leaves the event without any when not even the note fits.
fn fewer_messages<T: AsRef<[u8]>>(
    event: &mut Event,
    messages: &[Message],
    note: &str,
    most: usize,
    write: &impl Fn(&Event) -> Result<T, DeliveryError>,
) -> Result<Option<T>, DeliveryError> {
    let (mut fits, mut too_many, mut found) = (0, messages.len(), None);
    while fits < too_many {
        let kept = fits + (too_many - fits) / 2;
        if let Some(conversation) = &mut event.conversation {
            conversation.messages = shortened(messages, kept, note);
        }
        match within(most, write(event)?) {
            Some(body) => {
                found = Some(body);
                fits = kept + 1;
            }
            None => too_many = kept,
        }
    }
    if let Some(conversation) = &mut event.conversation {
        conversation.messages = shortened(messages, 0, note);
    }
    Ok(found)
}

/// The first and the last messages, `kept` of them, with a note in between.
fn shortened(messages: &[Message], kept: usize, note: &str) -> Vec<Message> {
    let (first, last) = (kept.div_ceil(2), kept / 2);
    let out = messages.len().saturating_sub(kept);
    let note = Message { author: Author::Ai, text: format!("[{out} messages {note}]") };
    let ending = messages.iter().skip(messages.len().saturating_sub(last));
    messages.iter().take(first).cloned().chain([note]).chain(ending.cloned()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::map::tests::lead;
    use leadwire_connector::{Conversation, Kind};
    use proptest::prelude::*;

    fn write(event: &Event) -> Result<Vec<u8>, DeliveryError> {
        Ok(serde_json::to_vec(event).unwrap())
    }

    fn conversation(count: usize, length: usize) -> Event {
        let message = |number: usize| Message { author: Author::User, text: format!("{number} {}", "x".repeat(length)) };
        let conversation = Conversation { messages: (0..count).map(message).collect(), ..Conversation::default() };
        Event { kind: Kind::Conversation, conversation: Some(conversation), ..lead() }
    }

    fn messages(body: &[u8]) -> Vec<String> {
        let event: Event = serde_json::from_slice(body).unwrap();
        event.conversation.unwrap().messages.into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn a_body_that_fits_is_left_alone() {
        let event = conversation(10, 10);
        assert_eq!(body(&event, 100_000, write).unwrap(), write(&event).unwrap());
    }

    #[test]
    fn the_middle_of_a_conversation_goes_and_a_note_says_so() {
        let body = body(&conversation(100, 100), 5_000, write).unwrap();
        let messages = messages(&body);
        assert!(body.len() <= 5_000 && body.len() > 4_600, "{}", body.len());
        assert!(messages[0].starts_with("0 ") && messages.last().unwrap().starts_with("99 "));
        let note = messages.iter().find(|text| text.starts_with('[')).unwrap();
        assert_eq!(*note, format!("[{} messages left out to keep the body under 5000 bytes]", 101 - messages.len()));
    }

    #[test]
    fn one_message_that_is_too_long_leaves_the_note() {
        let body = body(&conversation(1, 100_000), 3_000, write).unwrap();
        assert_eq!(messages(&body), ["[1 messages left out to keep the body under 3000 bytes]"]);
    }

    #[test]
    fn a_long_remark_is_cut_and_what_never_fits_is_rejected() {
        let event = Event { content: Some("x".repeat(50_000)), ..lead() };
        assert!(body(&event, 3_000, write).unwrap().len() <= 3_000);
        let error = body(&event, 100, write).unwrap_err();
        assert!(error.message.contains("`max_bytes` allows 100"), "{error}");
    }

    proptest! {
        #[test]
        fn a_body_is_never_longer(count in 0_usize..60, length in 0_usize..200, most in 1_200_usize..20_000) {
            prop_assert!(body(&conversation(count, length), most, write).unwrap().len() <= most);
        }
    }
}
