//! Events of a body: at least one, the same each time, whole after the store, and already in the form that they would be given.

use jiff::Timestamp;
use leadwire::normalize::{Normalized, PersonKey, Profile, normalize};
use leadwire::verify::{SigningKey, Tolerance, sign, verify};
use leadwire_connector::{Event, Kind, timestamp};
use serde_json::json;
use uuid::Uuid;

const NOW: i64 = 1_795_324_620;

pub fn check(data: &[u8]) {
    for country in [None, Some("US")] {
        let events = events_of(data, country);
        assert!(!events.is_empty(), "a body without an event is lost");
        let canonical = events_of(canonical(data).as_bytes(), country);
        assert_eq!(keys(&events), keys(&canonical), "one content has two keys");
        for normalized in events {
            is_plain(&normalized.event);
            assert_eq!(normalized.person_key, PersonKey::of(&normalized.event));
            assert_eq!(normalized.content_key.created_at(), normalized.event.created_at);
            comes_back(&normalized.event);
            if matches!(normalized.event.kind, Kind::Lead | Kind::Appointment) {
                stays_itself(&normalized.event, country);
            }
        }
    }
}

fn verified(body: &[u8]) -> leadwire::verify::Verified {
    let key = SigningKey::new("key");
    let header = sign(&key, &NOW.to_string(), body);
    verify(body, Some(&header), &[key], &Tolerance::default(), Timestamp::from_second(NOW).unwrap()).unwrap()
}

/// The events of a body that is genuine.
pub(crate) fn events_of(body: &[u8], country: Option<&str>) -> Vec<Normalized> {
    let profile = Profile { source: "acme".to_owned(), default_country: country.map(str::to_owned) };
    let mut count = 0;
    normalize(&verified(body), &profile, &mut || {
        count += 1;
        Uuid::from_u128(count)
    })
}

/// The body itself when it is no JSON.
fn canonical(body: &[u8]) -> String {
    let verified = verified(body);
    match verified.value().as_string() {
        Some(text) => text.to_text().into_owned(),
        None => verified.canonical().to_owned(),
    }
}

fn keys(events: &[Normalized]) -> Vec<[u8; 24]> {
    events.iter().map(|normalized| normalized.content_key.0).collect()
}

/// What becomes a column, a header or a link is given and safe to hand on.
fn is_plain(event: &Event) {
    let person = &event.person;
    let lines =
        [&person.first_name, &person.last_name, &person.email, &person.phone, &event.chatbot_id, &event.session_id, &event.page_url];
    for line in lines.into_iter().flatten() {
        assert!(!line.trim().is_empty() && !line.contains(char::is_control), "{line:?}");
    }
    if let Some(content) = &event.content {
        assert!(!content.trim().is_empty() && !content.contains('\0'), "{content:?}");
    }
    if let Some(page) = &event.page_url {
        let scheme = page.split(':').next().unwrap_or_default().to_ascii_lowercase();
        assert!(scheme == "http" || scheme == "https", "{page:?}");
    }
}

/// From the JSON that the store and the destinations have, the same event is read.
fn comes_back(event: &Event) {
    let text = serde_json::to_string(event).unwrap();
    let read: Event = serde_json::from_str(&text).expect("the store reads what it wrote");
    // A number's text may be another, and equal.
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

/// A lead sent as it was normalised is normalised to itself.
fn stays_itself(event: &Event, country: Option<&str>) {
    let person = &event.person;
    let body = json!({
        "SerialNumber": event.chatbot_id, "Type": event.kind, "FirstName": person.first_name, "LastName": person.last_name,
        "Email": person.email, "PhoneNumber": person.phone, "CreateTime": event.created_at.map(timestamp::format),
        "Content": event.content, "SessionID": event.session_id, "URI": event.page_url,
    });
    let again = events_of(body.to_string().as_bytes(), country).remove(0).event;
    assert_eq!((&again.person, &again.content, &again.session_id), (&event.person, &event.content, &event.session_id));
    assert_eq!((&again.chatbot_id, &again.page_url, again.created_at), (&event.chatbot_id, &event.page_url, event.created_at));
    assert!(again.extra.is_empty(), "something found no place: {:?}", again.extra);
}
