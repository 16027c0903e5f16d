//! Stories about finding events by what a person types, with the index, without it, and while it is behind.

use crate::stage::{Stage, after, again, event, now, with};
use leadwire::store::{Erasing, EventFilter, NewEvent, State};
use leadwire_connector::{Author, Conversation, Event, Kind, Message};
use uuid::Uuid;

fn text(text: &str) -> EventFilter {
    EventFilter { text: Some(text.to_owned()), ..EventFilter::default() }
}

/// The ends of the ids of the events that match, newest first.
async fn found(stage: &Stage, filter: EventFilter) -> Vec<u128> {
    stage.find(filter).await.iter().map(|row| row.event.id.as_u128() & 0xffff).collect()
}

async fn index(stage: &Stage, at_least: u32) {
    while stage.store.index_events(at_least).await.unwrap() {}
}

fn lead(n: u64, change: impl FnOnce(&mut Event)) -> NewEvent {
    with(event(n, None, &[]), |event| {
        event.session_id = None;
        event.person.phone = None;
        event.content = None;
        change(event);
    })
}

fn named(n: u64, name: &str) -> NewEvent {
    lead(n, |event| event.person.first_name = Some(name.to_owned()))
}

async fn garcia(stage: &Stage) {
    let new = lead(1, |event| {
        event.person.first_name = Some("José".to_owned());
        event.person.last_name = Some("García".to_owned());
        event.person.email = Some("Jose.Garcia@mail.example.com".to_owned());
        event.person.phone = Some("+493012345".to_owned());
        event.content = Some("Bitte ein Angebot für 12 Fenster".to_owned());
        event.session_id = Some("31305-ab".to_owned());
        event.chatbot_id = Some("59001dd7".to_owned());
    });
    stage.receive_one(new).await;
    let chat = lead(2, |event| {
        event.kind = Kind::Conversation;
        let said = |text: &str| Message { author: Author::User, text: text.to_owned() };
        let messages = vec![said("hello"), said("call me at (555) 010-0199, or مرحبا 東京都")];
        event.conversation = Some(Conversation { chatbot_name: Some("Sunny Bot".to_owned()), messages, ..Conversation::default() });
    });
    stage.receive_one(chat).await;
}

async fn an_event_is_found_by_whatever_is_known_of_it_at_once_and_later(stage: Stage) {
    garcia(&stage).await;
    for round in ["in the tail", "in the index"] {
        for (typed, expected) in [
            ("jose", vec![1]),
            ("GARC", vec![1]),
            ("garcía jos", vec![1]),
            ("jose.garcia@mail.example.com", vec![1]),
            ("jose.garcia@ma", vec![1]),
            ("@mail.example.com", vec![1]),
            ("example.com", vec![1]),
            ("+49 (0)30 123-45", vec![1]),
            ("030 12345", vec![1]),
            ("2345", vec![1]),
            ("31305", vec![1]),
            ("59001DD", vec![1]),
            ("angebot fenster", vec![1]),
            ("fur", vec![1]),
            ("555 0100199", vec![2]),
            ("0199", vec![2]),
            ("sunny hello", vec![2]),
            ("京都", vec![2]),
            ("مرحبا", vec![2]),
            ("  ", vec![2, 1]),
            ("0199f3c2-0000-7000-8000-000000000001", vec![1]),
            ("ose", vec![]),
            ("garcia hello", vec![]),
            ("12346", vec![]),
        ] {
            assert_eq!(found(&stage, text(typed)).await, expected, "{typed} {round}");
        }
        let chatbot = |name: &str| EventFilter { chatbot: Some(name.to_owned()), ..EventFilter::default() };
        assert_eq!(found(&stage, chatbot("59001DD7")).await, [1]);
        assert_eq!(found(&stage, chatbot("sunny bot")).await, [2]);
        assert_eq!(found(&stage, chatbot("sunny")).await, []);
        index(&stage, 1).await;
    }
    stage.assert_audit().await;
}

async fn hostile_text_is_text(stage: Stage) {
    garcia(&stage).await;
    for _ in 0..2 {
        for typed in [
            "\"",
            "'",
            "' OR 1=1 --",
            "%",
            "_",
            "*",
            "jose*\" OR",
            "NEAR(a b)",
            "(",
            "q\0z",
            "\u{202e}x",
            "$9z",
            "?9z",
            "\u{1f600}",
            "-",
            "@",
            "@@",
        ] {
            assert_eq!(found(&stage, text(typed)).await, [], "{typed:?}");
        }
        assert_eq!(found(&stage, text("\0")).await.len(), 2, "nothing but what separates words");
        let long = "x".repeat(10_000);
        assert_eq!(found(&stage, text(&long)).await, []);
        assert_eq!(found(&stage, text(&"jose ".repeat(2_000))).await, [1]);
        assert_eq!(found(&stage, text(&"\u{0301}".repeat(10_000))).await.len(), 2);
        index(&stage, 1).await;
    }
}

async fn pages_stay_as_they_are_while_new_events_come(stage: Stage) {
    for n in 1..=50 {
        stage.receive_one(named(n, "Common")).await;
    }
    index(&stage, 1).await;
    for n in 51..=60 {
        stage.receive_one(named(n, "Common")).await;
    }
    let (mut before, mut seen, mut fresh) = (None, Vec::new(), 1_000);
    loop {
        let page = stage.store.events(EventFilter { before, limit: 7, ..text("common") }).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.event.id);
        seen.extend(page.iter().map(|row| row.event.id.as_u128() & 0xffff));
        fresh += 1;
        stage.receive_one(named(fresh, "Common")).await;
    }
    assert_eq!(seen, (1..=60).rev().collect::<Vec<u128>>());
    let unknown = EventFilter { before: Some(Uuid::from_u128(1)), ..text("common") };
    assert_eq!(found(&stage, unknown).await, []);
}

async fn filters_narrow_what_words_find(stage: Stage) {
    let to = |n: u64, destinations: &[u32]| with(event(n, None, destinations), |event| event.content = Some("wanted".to_owned()));
    stage.receive_one(to(1, &[stage.crm])).await;
    stage.receive_one(to(2, &[stage.drop])).await;
    stage.receive_one(to(3, &[])).await;
    stage.receive_one(to(4, &[stage.crm])).await;
    stage.receive_one(again(to(4, &[stage.crm]))).await;
    let dead = stage.claim_one().await;
    stage.end(&dead, State::Dead).await;
    for _ in 0..2 {
        let state = |state| EventFilter { state: Some(state), ..text("wanted") };
        assert_eq!(found(&stage, state(State::Dead)).await, [1]);
        assert_eq!(found(&stage, state(State::Waiting)).await, [4, 2]);
        assert_eq!(found(&stage, state(State::Delivered)).await, []);
        let dropped = EventFilter { destination: Some("Drop".to_owned()), ..state(State::Waiting) };
        assert_eq!(found(&stage, dropped.clone()).await, [2]);
        assert_eq!(found(&stage, EventFilter { text: None, ..dropped }).await, [2]);
        assert_eq!(found(&stage, EventFilter { destination: Some("crm".to_owned()), ..text("wanted") }).await, [4, 1]);
        assert_eq!(found(&stage, EventFilter { unrouted: true, ..text("wanted") }).await, [3]);
        assert_eq!(found(&stage, EventFilter { duplicates: true, ..text("wanted") }).await, [4]);
        assert_eq!(found(&stage, EventFilter { duplicates: true, ..EventFilter::default() }).await, [4]);
        assert_eq!(found(&stage, EventFilter { kind: Some("test".to_owned()), ..text("wanted") }).await, []);
        assert_eq!(
            found(&stage, EventFilter { source: Some("acme".to_owned()), kind: Some("lead".to_owned()), ..text("want") }).await.len(),
            4
        );
        assert_eq!(found(&stage, EventFilter { since: Some(now()), ..text("wanted") }).await, []);
        assert_eq!(found(&stage, EventFilter { until: Some(now()), ..text("wanted") }).await.len(), 4);
        index(&stage, 1).await;
    }
}

async fn others_of_the_same_person_and_session_are_related(stage: Stage) {
    let person = |n, email: Option<&str>, phone: Option<&str>, session: Option<&str>| {
        let [email, phone, session] = [email, phone, session].map(|text| text.map(str::to_owned));
        lead(n, |event| (event.person.email, event.person.phone, event.session_id) = (email, phone, session))
    };
    for new in [
        person(1, Some("jane@example.com"), Some("+493012345"), Some("7")),
        person(2, Some("Jane@example.com"), None, None),
        person(3, None, Some("+493012345"), None),
        person(4, None, None, Some("7")),
        person(5, Some("other@example.com"), None, Some("8")),
        with(person(6, None, None, Some("7")), |event| event.source = "Beta".to_owned()),
    ] {
        stage.receive_one(new).await;
    }
    for _ in 0..2 {
        let id = |n| event(n, None, &[]).event.id;
        let related = async |n| {
            let rows = stage.store.related(id(n)).await.unwrap();
            rows.iter().map(|row| row.event.id.as_u128() & 0xff).collect::<Vec<_>>()
        };
        assert_eq!(related(1).await, [4, 3, 2]);
        assert_eq!(related(5).await, []);
        assert_eq!(related(99).await, []);
        index(&stage, 1).await;
    }
}

async fn who_is_erased_is_not_found_and_not_in_the_index(stage: Stage) {
    for n in 1..=40 {
        stage.receive_one(named(n, if n % 10 == 0 { "Janesecret" } else { "Other" })).await;
    }
    index(&stage, 1).await;
    let rows = stage.find(text("janesecret")).await;
    assert_eq!(rows.len(), 4);
    let events = rows.iter().map(|row| row.event.id).collect();
    stage.store.erase(Erasing { events, ..Erasing::default() }, now()).await.unwrap();
    assert_eq!(found(&stage, text("janesecret")).await, []);
    assert_eq!(found(&stage, text("other")).await.len(), 36);
    assert_eq!(
        found(&stage, EventFilter { source: Some("acme".to_owned()), ..EventFilter::default() }).await.len(),
        40,
        "tombstones are listed"
    );
    stage.assert_audit().await;
    assert_eq!(stage.store.check_index(i64::MIN).await.unwrap().map(|_| ()), Some(()));
    assert!(!stage.store.index_events(1).await.unwrap(), "nothing is to be made anew");
}

async fn what_retention_removes_leaves_the_index(stage: Stage) {
    for n in 1..=30 {
        let new = with(event(n, None, &[stage.crm]), |event| event.person.first_name = Some(format!("Name{n}")));
        stage.receive_one(new).await;
    }
    index(&stage, 1).await;
    for leased in stage.claim(100).await.deliveries {
        if leased.event.session_id.as_deref() != Some("7") {
            stage.end(&leased, State::Delivered).await;
        }
    }
    assert_eq!(stage.store.remove_ended(after(0)).await.unwrap(), 29);
    // On SQLite these take the places of those that went.
    for n in 41..=50 {
        stage.receive_one(named(n, "Fresh")).await;
    }
    for _ in 0..2 {
        assert_eq!(found(&stage, text("name")).await, [7]);
        assert_eq!(found(&stage, text("fresh")).await.len(), 10);
        index(&stage, 1).await;
    }
    stage.assert_audit().await;
}

async fn a_damaged_index_is_made_anew_and_nobody_sees_it(stage: Stage) {
    for n in 1..=20 {
        stage.receive_one(named(n, "Common")).await;
    }
    index(&stage, 1).await;
    let damages = [
        "UPDATE search_page SET body = substr(body, 1, 20)",
        "DELETE FROM search_stretch",
        "DELETE FROM search_page; DELETE FROM search_stretch",
    ];
    for damage in damages {
        stage.tamper(damage);
        assert_eq!(found(&stage, text("common")).await.len(), 20, "{damage}");
        assert!(damage.starts_with("DELETE FROM search_page") || !stage.store.audit().await.unwrap().holds(), "{damage}");
        while let Some(id) = stage.store.check_index(i64::MIN).await.unwrap() {
            if stage.store.check_index(id).await.unwrap().is_none() {
                break;
            }
        }
        stage.tamper("DELETE FROM search_page WHERE stretch NOT IN (SELECT id FROM search_stretch)");
        index(&stage, 1).await;
        assert_eq!(found(&stage, text("common")).await.len(), 20, "{damage}");
        stage.assert_audit().await;
    }
}

async fn many_stretches_are_one_list(stage: Stage) {
    for part in 0..12_u64 {
        let news: Vec<NewEvent> = (1..=500).map(|n| named(part * 500 + n, if n == 250 { "Rare" } else { "Common" })).collect();
        stage.store.receive(news).await.unwrap();
        if part % 5 == 0 {
            index(&stage, 1).await;
        }
    }
    for _ in 0..2 {
        assert_eq!(found(&stage, text("rare")).await, (0..12).rev().map(|part| part * 500 + 250).collect::<Vec<u128>>());
        assert_eq!(found(&stage, text("common")).await.len(), 5_988);
        assert_eq!(found(&stage, text("common rare")).await, []);
        index(&stage, 1).await;
    }
    stage.assert_audit().await;
}

on_every_engine!(
    an_event_is_found_by_whatever_is_known_of_it_at_once_and_later,
    hostile_text_is_text,
    pages_stay_as_they_are_while_new_events_come,
    filters_narrow_what_words_find,
    others_of_the_same_person_and_session_are_related,
    who_is_erased_is_not_found_and_not_in_the_index,
    what_retention_removes_leaves_the_index,
    a_damaged_index_is_made_anew_and_nobody_sees_it,
    many_stretches_are_one_list,
);
