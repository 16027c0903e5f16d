//! Stories about letters and numbers that some engine cannot hold.

use crate::stage::{Stage, event, now, settlement, with};
use leadwire::store::{AttemptRow, Ended, EventFilter, NewEvent, Outcome, Received, Settlement, State};
use leadwire_connector::{Event, Record};
use serde_json::json;
use std::sync::Arc;

/// What chat visitors and their keyboards send.
const STRANGE: [&str; 6] =
    ["a\0b", "\u{0}", "👩‍👩‍👧 🇩🇪", "مرحبا \u{202e}abc", "\u{feff}\u{fffe}\u{10ffff}", "'; DROP TABLE event; --\\x00\r\n\t\u{1}\u{7f}"];

fn strange(n: u64, text: &str, stage: &Stage) -> NewEvent {
    with(event(n, None, &[stage.crm]), |event| {
        event.content = Some(text.to_owned());
        event.session_id = Some(text.to_owned());
        event.person.email = Some(text.to_owned());
        event.person.first_name = Some(text.to_owned());
        event.person.phone = Some(format!("{text}555"));
        event.extra.insert(text.to_owned(), json!({text: [text]}));
    })
}

async fn every_letter_comes_back_as_it_was_sent(stage: Stage) {
    for (n, text) in STRANGE.into_iter().enumerate() {
        let new = strange(n as u64, text, &stage);
        let sent: Arc<Event> = Arc::clone(&new.event);
        assert_eq!(stage.receive_one(new).await, Received::New, "{text:?}");
        assert_eq!(stage.claim_one().await.event, sent, "{text:?}");
        for filter in [
            EventFilter { session: Some(text.to_owned()), ..EventFilter::default() },
            EventFilter { email: Some(text.to_owned()), ..EventFilter::default() },
        ] {
            let found = stage.find(filter).await;
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!(found[0].event, *sent);
        }
    }
    let all = stage.find(EventFilter { phone: Some("555".to_owned()), ..EventFilter::default() }).await;
    assert_eq!(all.len(), STRANGE.len());
    stage.assert_audit().await;
}

async fn half_a_letter_in_the_body_is_kept_with_the_event(stage: Stage) {
    // The half of a pair, as JSON can say it and text cannot: senders' canonical bodies may hold it in what we keep of them.
    let mut new = event(1, None, &[stage.crm]);
    new.body = new.body.replacen(r#""content":"x""#, r#""content":"x\u0000\ud83d\ude00""#, 1);
    stage.receive_one(new).await;
    let leased = stage.claim_one().await;
    assert_eq!(leased.event.content.as_deref(), Some("x\0😀"));
    let mut broken = event(2, None, &[stage.crm]);
    broken.body = broken.body.replacen(r#""content":"x""#, r#""content":"\ud83d""#, 1);
    stage.receive_one(broken).await;
    assert!(stage.claim(9).await.deliveries.is_empty());
    let dead = stage.store.holds().await.unwrap().remove(0).counts.dead;
    assert_eq!(dead, 1, "what cannot be read is a dead letter, and nothing is lost");
}

async fn numbers_at_their_ends_come_back(stage: Stage) {
    let raw =
        json!({"big": i64::MAX, "small": i64::MIN, "unsigned": u64::MAX, "tiny": 5e-324, "huge": f64::MAX, "zero": -0.0, "sum": 0.1 + 0.2});
    let new = with(event(1, None, &[stage.crm]), |event| event.raw = raw.clone());
    stage.receive_one(new).await;
    let leased = stage.claim_one().await;
    assert_eq!(leased.event.raw.to_string(), raw.to_string());
}

async fn what_people_read_has_a_sign_in_the_place_of_a_nul(stage: Stage) {
    stage.receive(1, None).await;
    let leased = stage.claim_one().await;
    let (text, clean) = ("a\0b\0".to_owned(), "a\u{fffd}b\u{fffd}".to_owned());
    stage.store.save_step(leased.key, text.clone(), text.clone()).await.unwrap();
    let row = |text: &String| AttemptRow {
        at: now(),
        duration_ms: i64::MAX,
        outcome: "dead".to_owned(),
        kind: Some("timeout".to_owned()),
        status: Some(0),
        code: Some(text.clone()),
        message: Some(text.clone()),
        excerpt: Some(text.clone()),
    };
    let record = |text: &String| Record { id: text.clone(), url: Some(text.clone()) };
    let ended = Ended { state: State::Dead, record: Some(record(&text)), remark: Some(text.clone()) };
    let told = Settlement { attempt: Some(row(&text)), ..settlement(&leased, Outcome::Ended(ended)) };
    stage.store.settle(told).await.unwrap();
    stage.store.hold(stage.crm, text.clone(), None, now()).await.unwrap();
    let detail = stage.store.event(leased.event.id).await.unwrap().unwrap();
    let delivery = &detail.row.deliveries[0];
    assert_eq!((&delivery.record, &delivery.remark), (&Some(record(&clean)), &Some(clean.clone())));
    assert_eq!(detail.attempts, [("crm".to_owned(), row(&clean))]);
    assert_eq!(detail.steps, [("crm".to_owned(), clean.clone(), clean.clone())]);
    assert_eq!(stage.store.holds().await.unwrap()[0].hold.as_ref().unwrap().reason, clean);
}

on_every_engine!(
    every_letter_comes_back_as_it_was_sent,
    half_a_letter_in_the_body_is_kept_with_the_event,
    numbers_at_their_ends_come_back,
    what_people_read_has_a_sign_in_the_place_of_a_nul,
);
