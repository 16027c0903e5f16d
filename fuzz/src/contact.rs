//! E-mail addresses and phone numbers: what one part of the program makes of them, the others know again. Erasing a person leans on it.
//!
//! The input is an address, a number, and what a visitor wrote.

use super::{normalizer, parts};
use leadwire::normalize::{Contact, Subject};
use leadwire_connector::{Author, Conversation, Event, Message};
use serde_json::json;

pub fn check(data: &[u8]) {
    let [email, phone, said] = parts(data).map(String::from_utf8_lossy);
    for country in [None, Some("US"), Some("DE")] {
        let body = json!({"Type": "Lead", "Email": email, "PhoneNumber": phone});
        let event = normalizer::events_of(body.to_string().as_bytes(), country).remove(0).event;
        is_found(&event, country);
        written(event, &said, country);
    }
}

/// Whoever asks for the address or the number of an event finds it, and finds it in the event's JSON.
fn is_found(event: &Event, country: Option<&str>) {
    let text = serde_json::to_string(&event.person).unwrap();
    if let Some(email) = &event.person.email {
        let subject = Subject::new(Some(email), None, []).expect("an address that was kept can be asked for");
        assert!(subject.is(Some(email), None) && subject.is_mentioned(&text, country), "{email:?} is not found");
        assert!(subject.is(Some(&email.to_uppercase()), None) || !email.is_ascii(), "{email:?} is not found in capitals");
    }
    if let Some(phone) = event.person.phone.as_deref().filter(|phone| phone.starts_with('+') && phone.len() >= 8) {
        let is_e164 = phone.bytes().skip(1).all(|byte| byte.is_ascii_digit());
        let Ok(subject) = Subject::new(None, Some(phone), country) else { return };
        if is_e164 {
            assert!(subject.is(None, Some(phone)) && subject.is_mentioned(&text, country), "{phone:?} is not found");
        }
    }
}

/// What is taken out of a conversation as a contact stands in it.
fn written(mut event: Event, said: &str, country: Option<&str>) {
    let message = Message { author: Author::User, text: said.to_owned() };
    event.conversation = Some(Conversation { messages: vec![message], ..Conversation::default() });
    let Some(contact) = Contact::of(&event, country) else { return };
    if let Some(email) = &contact.email {
        let subject = Subject::new(Some(email), None, []).expect("an address that was found can be asked for");
        assert!(subject.is_mentioned(said, country), "{email:?} is not found where it was taken from");
    }
    let is_e164 = |phone: &&str| phone.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(phone) = contact.phone.as_deref().filter(is_e164) {
        let subject = Subject::new(None, Some(phone), country).expect("a number that was found can be asked for");
        assert!(subject.is_mentioned(said, country), "{phone:?} is not found where it was taken from");
    }
}
