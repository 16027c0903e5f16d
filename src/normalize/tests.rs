#![allow(clippy::unwrap_used, clippy::allow_attributes)]
use super::*;
use crate::verify::{SigningKey, Tolerance, sign, verify};
use leadwire_connector::Author;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RECEIVED_S: i64 = 1_795_324_620;

fn verified_at(body: &[u8], signed_s: i64) -> Verified {
    let key = SigningKey::new("key");
    let header = sign(&key, &signed_s.to_string(), body);
    verify(body, Some(&header), &[key], &Tolerance::default(), Timestamp::from_second(RECEIVED_S).unwrap()).unwrap()
}

fn events_of(body: &[u8]) -> Vec<Normalized> {
    let profile = Profile { source: "acme".to_owned(), default_country: Some("US".to_owned()) };
    let mut count = 0_u128;
    normalize(&verified_at(body, RECEIVED_S), &profile, &mut || {
        count += 1;
        Uuid::from_u128(count)
    })
}

fn event_of(body: &Json) -> Event {
    let mut events = events_of(body.to_string().as_bytes());
    assert_eq!(events.len(), 1);
    events.remove(0).event
}

fn senders() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/senders")
}

fn bodies() -> Vec<(String, Vec<u8>)> {
    let paths = std::fs::read_dir(senders()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut bodies: Vec<_> =
        paths.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())).collect();
    bodies.sort();
    bodies
}

/// What each sender's body becomes stands in `senders/events/`. After a change that is meant, write the files anew with
/// `UPDATE_EVENTS=1` and read the difference.
#[test]
fn every_senders_body_becomes_the_expected_events() {
    let is_update = std::env::var_os("UPDATE_EVENTS").is_some();
    assert!(bodies().len() >= 18);
    for (name, body) in bodies() {
        let events: Vec<Event> = events_of(&body).into_iter().map(|normalized| normalized.event).collect();
        let text = serde_json::to_string_pretty(&events).unwrap() + "\n";
        let path = senders().join("events").join(&name);
        if is_update {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
        let read: Vec<Event> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, events, "{name}");
    }
}

#[test]
fn every_way_to_write_the_same_json_is_the_same_content() {
    let body = |name: &str| std::fs::read(senders().join(format!("{name}.json"))).unwrap();
    let key = |name: &str| events_of(&body(name)).remove(0).content_key;
    for name in ["escapes-go-lead", "escapes-dotnet-lead", "escapes-php-lead", "escapes-python-lead"] {
        assert_eq!(key(name), key("escapes-plain-lead"), "{name}");
    }
    assert_eq!(key("pretty-lead"), key("newoaks-lead"));
    assert_eq!(key("pretty-chat-log"), key("hello-client-chat-log"));
    assert_ne!(key("newoaks-lead"), key("newoaks-appointment"));
}

#[test]
fn what_was_given_and_is_of_no_use_stays_in_extra_under_its_name() {
    let event = event_of(&json!({
        "Type": "Lead", "E-Mail": "nobody", "email": "a@b.com", "EMAIL": "c@d.com", "Phone": "n/a", "CreateTime": "yesterday", "URI": "javascript:1",
        "FirstName": 7, "Content": {"start": "noon"}, "SessionID": [1], "Mobile": "+1 415 555 2671 ext 9", "FullName": "Ana B", "LastName": "B"
    }));
    assert_eq!(event.person.email.as_deref(), Some("a@b.com"));
    assert_eq!(event.person.phone.as_deref(), Some("+14155552671"));
    assert_eq!((event.person.first_name, event.person.last_name.as_deref()), (None, Some("B")));
    assert_eq!((event.created_at, event.page_url, event.session_id, event.content), (None, None, None, None));
    let expected = json!({
        "E-Mail": "nobody", "EMAIL": "c@d.com", "Phone": "n/a", "CreateTime": "yesterday", "URI": "javascript:1", "FirstName": 7,
        "Content": {"start": "noon"}, "SessionID": [1], "Mobile": "+1 415 555 2671 ext 9", "FullName": "Ana B"
    });
    assert_eq!(Json::Object(event.extra), expected);
}

#[test]
fn empty_text_and_null_are_not_given() {
    let event = event_of(
        &json!({"Type": "Lead", "FirstName": "", "Email": null, "PhoneNumber": " ", "Content": "", "SessionID": "", "Company": null}),
    );
    assert_eq!(event.person, Person::default());
    assert_eq!((event.content, event.session_id), (None, None));
    assert_eq!(Json::Object(event.extra), json!({"Company": null}));
}

#[test]
fn the_first_given_value_takes_the_place() {
    let event = event_of(&json!({"Type": "Lead", "Phone": "", "Mobile": "415 555 2671", "Content": " as sent \n", "SessionID": 31305}));
    assert_eq!(event.person.phone.as_deref(), Some("+14155552671"));
    assert_eq!(event.content.as_deref(), Some(" as sent \n"));
    assert_eq!(event.session_id.as_deref(), Some("31305"));
    assert!(event.extra.is_empty());
}

#[test]
fn a_chat_log_keeps_what_stands_around_its_conversations() {
    let body = json!({"Version": 2, "Collection": [{
        "SerialNumber": "bot", "Name": "Bot", "StartTime": "2023-11-21T00:00:00Z", "EndTime": "2023-11-22T00:00:00Z", "Plan": "pro", "Email": "owner@bot.com",
        "Conversations": [
            {"SessionID": 1, "Email": "a@b.com", "Messages": [{"Type": "ai", "Content": "Hi"}, {"Type": "Human", "Content": 5}, {"Type": "AI", "Content": null}]},
            {"SessionID": 2, "Name": "Ana", "Messages": [{"Type": "User", "Content": "x"}, "y"]},
            "odd"
        ]
    }, {"Name": "Quiet", "Conversations": []}]});
    let events: Vec<Event> = events_of(body.to_string().as_bytes()).into_iter().map(|normalized| normalized.event).collect();
    assert_eq!(
        events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
        ["conversation", "conversation", "unrecognized", "unrecognized"]
    );

    let first = events[0].conversation.as_ref().unwrap();
    assert_eq!(
        (events[0].chatbot_id.as_deref(), first.chatbot_name.as_deref(), events[0].person.email.as_deref()),
        (Some("bot"), Some("Bot"), Some("a@b.com"))
    );
    assert_eq!(
        first.messages.iter().map(|message| (message.author, message.text.as_str())).collect::<Vec<_>>(),
        [(Author::Ai, "Hi"), (Author::User, "5")]
    );
    assert_eq!(Json::Object(events[0].extra.clone()), json!({"Version": 2, "Plan": "pro", "Email": "owner@bot.com"}));
    assert_eq!(events[0].raw["Conversation"], body["Collection"][0]["Conversations"][0]);
    assert!(events[0].raw.get("Conversations").is_none());

    assert_eq!(events[1].person.first_name.as_deref(), Some("Ana"));
    assert_eq!(events[1].extra["Messages"][1], "y");
    assert_eq!((&events[2].raw["Conversation"], &events[2].raw["Name"]), (&json!("odd"), &json!("Bot")));
    assert_eq!(events[3].raw, json!({"Version": 2, "Chatbot": {"Name": "Quiet", "Conversations": []}}));
}

#[test]
fn a_body_that_is_no_json_is_kept_as_text() {
    let events = events_of(b"Hello \xFF \0");
    assert_eq!((events.len(), events[0].event.kind), (1, Kind::Unrecognized));
    assert_eq!(events[0].event.raw, json!("Hello \u{FFFD} \0"));
    assert_eq!(events[0].person_key, None);
}

#[test]
fn a_late_signature_marks_the_event_and_changes_no_key() {
    let profile = Profile { source: "acme".to_owned(), default_country: None };
    let body = br#"{"Type":"Lead"}"#;
    let late = normalize(&verified_at(body, RECEIVED_S - 5_000), &profile, &mut || Uuid::nil()).remove(0);
    assert!(late.event.stale);
    assert_eq!(late.content_key, events_of(body)[0].content_key);
    assert_eq!(late.event.received_at, Timestamp::from_second(RECEIVED_S).unwrap());
}

#[test]
fn a_person_is_known_by_email_then_phone_then_session() {
    let key = |fields: &Json| events_of(fields.to_string().as_bytes())[0].person_key;
    let by_email = key(&json!({"Type": "Lead", "Email": "Ana@B.com", "Phone": "+14155552671"}));
    assert_eq!(by_email, key(&json!({"Type": "Appointment", "Email": "ana@b.com", "SessionID": 9})));
    let by_phone = key(&json!({"Type": "Lead", "Phone": "(415) 555-2671", "SessionID": 1}));
    assert_eq!(by_phone, key(&json!({"Type": "Lead", "Phone": "+1 415 555 2671", "SessionID": 2})));
    let by_session = key(&json!({"Type": "Lead", "SerialNumber": "x", "SessionID": 1}));
    assert_eq!(by_session, key(&json!({"Collection": [{"SerialNumber": "x", "Conversations": [{"SessionID": "1"}]}]})));
    assert_ne!(by_session, key(&json!({"Type": "Lead", "SerialNumber": "y", "SessionID": 1})));
    assert_eq!(key(&json!({"Type": "Lead", "FirstName": "Ana"})), None);
}

#[test]
fn a_day_of_many_conversations_takes_no_more_than_its_size() {
    let log = |conversations: usize| {
        let message = json!({"Type": "AI", "Content": "x".repeat(1_000)});
        let conversation = json!({"SessionID": 1, "CreateTime": "2023-11-21T16:22:42Z", "Messages": [message, message, message, message]});
        json!({"Collection": [{"SerialNumber": "bot", "Name": "Bot", "Conversations": vec![conversation; conversations]}]}).to_string()
    };
    let took = |body: &str| {
        let verified = verified_at(body.as_bytes(), RECEIVED_S);
        let profile = Profile { source: "acme".to_owned(), default_country: None };
        let started = Instant::now();
        (normalize(&verified, &profile, &mut || Uuid::nil()).len(), started.elapsed())
    };
    let (large, large_time) = took(&log(5_000));
    let (small, small_time) = took(&log(500));
    assert_eq!((large, small), (5_000, 500));
    // Ten times the size may take ten times as long, and as much again for a busy machine; the square would be a hundred times.
    assert!(large_time < small_time * 40 + Duration::from_millis(500), "{small_time:?} for 500, {large_time:?} for 5,000");
}

/// Every text, number and truth value in a document.
fn leaves(value: &Json, found: &mut Vec<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Json::Object(entries) => entries.iter().for_each(|(name, value)| {
            found.push(name.clone());
            leaves(value, found);
        }),
        scalar => found.push(scalar.to_string()),
    }
}

fn any_name() -> impl Strategy<Value = String> {
    let known = [
        "Type",
        "type",
        "Email",
        "PhoneNumber",
        "Name",
        "FirstName",
        "Collection",
        "Conversations",
        "Messages",
        "CreateTime",
        "URI",
        "Content",
    ];
    prop_oneof![4 => prop::sample::select(known.map(str::to_owned).to_vec()), 1 => "[a-zA-Z_ ]{0,8}"]
}

fn any_scalar() -> impl Strategy<Value = Json> {
    let known = ["Lead", "appointment", "test", "a@b.com", "+1 415 555 2671", "2023-11-23T18:36:21Z", "www.x.com"];
    prop_oneof![
        2 => prop::sample::select(known.to_vec()).prop_map(Json::from),
        1 => ".{0,12}".prop_map(Json::from),
        1 => any::<i32>().prop_map(Json::from),
        1 => any::<bool>().prop_map(Json::from),
        1 => Just(Json::Null),
    ]
}

fn any_json() -> impl Strategy<Value = Json> {
    any_scalar().prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            3 => prop::collection::vec((any_name(), inner), 0..6).prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_that_was_sent_is_lost(body in any_json()) {
        let text = body.to_string();
        let events = events_of(text.as_bytes());
        prop_assert!(!events.is_empty());
        let mut kept = Vec::new();
        for normalized in &events {
            match &normalized.event.raw {
                // A lone scalar is no acceptable body, and is kept as its text.
                Json::String(raw) if body.is_string() || body.is_number() || body.is_boolean() || body.is_null() => {
                    prop_assert_eq!(raw, &text);
                    return Ok(());
                }
                raw => leaves(raw, &mut kept),
            }
            let stored = serde_json::to_string(&normalized.event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&stored).unwrap(), &normalized.event);
        }
        let mut sent = Vec::new();
        leaves(&body, &mut sent);
        // The names of the lists that were taken apart are in the kind of the events.
        sent.retain(|leaf| !matches!(leaf.as_str(), "Collection" | "Conversations") || kept.contains(leaf));
        for leaf in sent {
            prop_assert!(kept.contains(&leaf), "{leaf} of {text} is lost");
        }
    }

    #[test]
    fn the_same_body_has_the_same_keys(body in any_json()) {
        let keys = |text: &str| events_of(text.as_bytes()).iter().map(|event| (event.content_key, event.person_key)).collect::<Vec<_>>();
        let text = body.to_string();
        prop_assert_eq!(keys(&text), keys(&text));
        if body.is_object() || body.is_array() {
            prop_assert_eq!(keys(&text), keys(&serde_json::to_string_pretty(&body).unwrap()));
        }
    }

    #[test]
    fn no_bytes_are_too_much(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!events_of(&body).is_empty());
    }
}
