//! Stories about erasing a person.

use super::*;
use crate::store::{Again, AttemptRow, Erasing, ErasureResult, EventFilter, Needle, QuarantineClass, QuarantineLimits, Refused, Removed};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

impl Stage {
    async fn ids(&self) -> Vec<Uuid> {
        let mut rows = self.store.events(EventFilter { limit: 10_000, ..EventFilter::default() }).await.unwrap();
        rows.reverse();
        rows.iter().map(|row| row.event.id).collect()
    }

    async fn erase(&self, events: Vec<Uuid>) -> Removed {
        self.store.erase(Erasing { events, ..Erasing::default() }, now()).await.unwrap()
    }

    async fn scrub(&self, texts: &[&str]) -> crate::store::Scrubbed {
        let needles = texts.iter().map(|text| Needle { label: "email", text: (*text).to_owned() }).collect();
        self.store.scrub(needles, false, Arc::new(|_, _| {})).await.unwrap()
    }

    /// How often the text is in the file and its log.
    fn in_files(&self, text: &str) -> usize {
        let names = ["l.db", "l.db-wal"];
        let bytes = names.iter().filter_map(|name| std::fs::read(self.folder.path().join(name)).ok());
        bytes.map(|bytes| bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()).sum()
    }
}

fn refused(body: &str) -> Refused {
    Refused {
        source: "acme".to_owned(),
        at: now(),
        client: "203.0.113.9".to_owned(),
        header: None,
        body: body.to_owned().into(),
        code: "no_key_matched".to_owned(),
        reason: "no key matched".to_owned(),
        class: QuarantineClass::Refused,
    }
}

fn attempt(message: &str) -> AttemptRow {
    AttemptRow {
        at: now(),
        duration_ms: 1,
        outcome: "retry".to_owned(),
        kind: None,
        status: None,
        code: None,
        message: Some(message.to_owned()),
        excerpt: Some(message.to_owned()),
    }
}

fn settlement(leased: &Leased, outcome: Outcome, message: &str) -> Settlement {
    let attempt = Some(attempt(message));
    Settlement { key: leased.key, lease: leased.lease, person_key: leased.person_key, outcome, at: now(), attempt }
}

fn delivered(record: &str) -> Outcome {
    let record = Some(leadwire_connector::Record { id: record.to_owned(), url: None });
    Outcome::Ended(Ended { state: State::Delivered, record, remark: Some("p1@example.com".to_owned()) })
}

#[tokio::test]
async fn an_erased_event_stays_as_a_tombstone_that_knows_its_repetitions() {
    let stage = Stage::open();
    stage.receive(1, Some(1)).await;
    stage.receive(2, Some(2)).await;
    let leased = stage.claim(1).await.deliveries.remove(0);
    stage.store.save_step(leased.key, "contact".to_owned(), "c-7".to_owned()).await.unwrap();
    stage.store.settle(settlement(&leased, delivered("r-7"), "p1@example.com")).await.unwrap();
    let ids = stage.ids().await;

    let removed = stage.erase(vec![ids[0]]).await;
    assert_eq!((removed.events.len(), removed.attempts, removed.steps), (1, 1, 1));
    let delivery = &removed.events[0].deliveries[0];
    assert_eq!((delivery.was, delivery.record.as_ref().unwrap().id.as_str()), (State::Delivered, "r-7"));
    assert_eq!(delivery.steps, [("contact".to_owned(), "c-7".to_owned())]);

    let detail = stage.store.event(ids[0]).await.unwrap().unwrap();
    let delivery = &detail.row.deliveries[0];
    assert_eq!((delivery.state, &delivery.record, &delivery.remark), (State::Erased, &None, &None));
    assert_eq!((detail.row.erased_at, detail.row.event.person.email.as_deref()), (Some(now()), None));
    assert!(detail.attempts.is_empty() && detail.steps.is_empty());
    assert_eq!(stage.receive(1, Some(1)).await, Received::Duplicate);
    assert_eq!(stage.states().await, [State::Erased, State::Waiting]);
    assert!(stage.erase(vec![ids[0]]).await.events.is_empty(), "erased once");
    stage.assert_audit().await;
}

#[tokio::test]
async fn what_is_pending_is_never_sent_and_who_waited_behind_it_goes_on() {
    let stage = Stage::open();
    for n in 1..=3 {
        stage.receive(n, Some(1)).await;
    }
    let ids = stage.ids().await;
    stage.erase(vec![ids[0]]).await;
    assert_eq!(stage.states().await, [State::Erased, State::Waiting, State::Blocked]);
    stage.erase(vec![ids[2]]).await;
    assert_eq!(stage.claim(10).await.deliveries.len(), 1);
    stage.assert_audit().await;
}

#[tokio::test]
async fn a_late_settlement_brings_nothing_back_and_tells_what_arrived() {
    for outcome in [delivered("r-9"), Outcome::Again(Again { not_before: now(), attempts: 1 })] {
        let stage = Stage::open();
        stage.receive(1, Some(1)).await;
        stage.receive(2, Some(1)).await;
        let leased = stage.claim(1).await.deliveries.remove(0);
        let ids = stage.ids().await;
        let removed = stage.erase(vec![ids[0]]).await;
        assert_eq!(removed.events[0].deliveries[0].was, State::Leased);

        stage.store.save_step(leased.key, "contact".to_owned(), "c-9".to_owned()).await.unwrap();
        let is_delivered = matches!(outcome, Outcome::Ended(_));
        stage.store.settle(settlement(&leased, outcome, "p1@example.com")).await.unwrap();
        stage.store.release(vec![leased.lease()]).await.unwrap();
        assert_eq!(stage.states().await, [State::Erased, State::Waiting]);
        let detail = stage.store.event(ids[0]).await.unwrap().unwrap();
        assert!(detail.attempts.is_empty() && detail.steps.is_empty());
        let erasure = stage.store.erasures(now()).await.unwrap().remove(0);
        assert_eq!(
            (erasure.under_way, erasure.arrived.as_deref()),
            (true, Some(if is_delivered { "contact c-9, r-9" } else { "contact c-9" }))
        );
        stage.assert_audit().await;
    }
}

#[tokio::test]
async fn an_erased_delivery_is_not_replayed() {
    let stage = Stage::open();
    stage.receive(1, Some(1)).await;
    let leased = stage.claim(1).await.deliveries.remove(0);
    stage.end(&leased, State::Dead).await;
    stage.erase(stage.ids().await).await;
    assert!(stage.store.find_ended(DeliveryFilter::default()).await.unwrap().is_empty());
    assert_eq!(stage.store.replay(vec![leased.key], now()).await.unwrap(), 0);
    stage.assert_audit().await;
}

#[tokio::test]
async fn erasures_are_open_until_somebody_says_what_came_of_them() {
    let stage = Stage::open();
    stage.receive(1, Some(1)).await;
    let removed = stage.erase(stage.ids().await).await;
    let delivery = removed.events[0].deliveries[0].delivery.clone();
    let kept = vec![(stage.crm, "0199f3c2-0000-7000-8000-000000000001_crm".to_owned())];
    stage.store.erase(Erasing { kept, ..Erasing::default() }, now()).await.unwrap();
    assert_eq!(stage.store.erasures(Timestamp::MAX).await.unwrap().len(), 2);
    let result = |result| ErasureResult { delivery: delivery.clone(), requested_at: now(), result, place: None };
    stage.store.finish_erasures(vec![result("removed")], now()).await.unwrap();
    stage.store.finish_erasures(vec![result("not_found")], now()).await.unwrap();
    assert_eq!(stage.store.erasures(Timestamp::MAX).await.unwrap().len(), 1);
    let all = stage.store.erasures(now()).await.unwrap();
    let done = all.iter().find(|erasure| erasure.delivery == delivery).unwrap();
    assert_eq!((done.result.as_deref(), done.destination.as_str()), (Some("removed"), "crm"));
}

#[tokio::test]
async fn retention_removes_a_tombstone_when_its_erasure_is_old_enough() {
    let stage = Stage::open();
    stage.receive(1, Some(1)).await;
    stage.erase(stage.ids().await).await;
    let after_receipt = "2026-11-22T09:30:00Z".parse().unwrap();
    assert_eq!(stage.store.remove_ended(after_receipt).await.unwrap(), 0, "it still has to know its repetitions");
    assert_eq!(stage.store.remove_ended(now() + SignedDuration::from_secs(1)).await.unwrap(), 1);
    stage.assert_audit().await;
}

#[tokio::test]
async fn the_audit_finds_what_an_erasure_left() {
    for sql in [
        "UPDATE event SET email = 'p1@example.com'",
        "UPDATE event SET body = json_set(body, '$.raw', 1)",
        "UPDATE event SET body = json_set(body, '$.person.first_name', 'P')",
        "UPDATE delivery SET remark = 'P'",
        "UPDATE delivery SET state = 3; UPDATE destination SET erased = 0, delivered = 1 WHERE name = 'crm'",
        "INSERT INTO step SELECT event, destination, 'contact', '1' FROM delivery",
    ] {
        let stage = Stage::open();
        stage.receive(1, Some(1)).await;
        stage.erase(stage.ids().await).await;
        stage.assert_audit().await;
        stage.raw().execute_batch(sql).unwrap();
        assert!(!stage.store.audit().await.unwrap().holds(), "{sql}");
    }
}

/// An event of `name` with a body of that size; a large one takes pages of its own.
fn sized(n: u16, name: &str, size: usize, destination: DestinationId) -> NewEvent {
    let mut new = event(0, Some(1), &[destination]);
    let event = Arc::make_mut(&mut new.event);
    event.person.email = Some(format!("{name}@example.com"));
    event.content = Some(format!("{name} {}", "z".repeat(size)));
    event.raw = json!({"Email": format!("{name}@example.com"), "Name": name});
    new.content_key[..2].copy_from_slice(&n.to_be_bytes());
    new.person_key = None;
    NewEvent { body: serde_json::to_string(&new.event).unwrap(), ..new }
}

#[tokio::test]
async fn what_was_erased_is_nowhere_in_the_file_among_thousands_of_events_of_all_sizes() {
    let stage = Stage::open();
    let mut chance = StdRng::seed_from_u64(20_261_122);
    for batch in 0..40_u16 {
        let one = |k: u16| {
            let n = batch * 100 + k;
            let name = if n % 7 == 3 { "jane.secret".to_owned() } else { format!("other{n}") };
            let size = if chance.random_range(0..50) == 0 { chance.random_range(4_000..60_000) } else { chance.random_range(0..1_500) };
            sized(n, &name, size, stage.crm)
        };
        stage.store.receive((0..100).map(one).collect::<Vec<_>>()).await.unwrap();
        // Deliveries move through their states meanwhile, so that pages are split and written again.
        for leased in stage.claim(60).await.deliveries {
            stage
                .store
                .settle(settlement(&leased, delivered("r"), &leased.event.content.clone().unwrap().chars().take(11).collect::<String>()))
                .await
                .unwrap();
        }
    }
    for size in [10, 5_000] {
        let body = format!("{{\"Email\":\"jane.secret@example.com\",\"x\":\"{}\"}}", "y".repeat(size));
        stage.store.quarantine(refused(&body), QuarantineLimits { max_bytes: 1 << 20 }).await.unwrap();
    }
    let rows =
        stage.store.events(EventFilter { email: Some("jane.secret@example.com".to_owned()), limit: 10_000, ..EventFilter::default() });
    let events: Vec<Uuid> = rows.await.unwrap().iter().map(|row| row.event.id).collect();
    assert_eq!(events.len(), 571);
    let quarantined = vec![1, 2];
    let removed = stage.store.erase(Erasing { events, quarantined, ..Erasing::default() }, now()).await.unwrap();
    assert_eq!((removed.events.len(), removed.quarantined), (571, 2));

    let scrubbed = stage.scrub(&["jane.secret"]).await;
    assert_eq!((scrubbed.remains[0].left(), scrubbed.remains[0].in_files), (0, 0));
    assert_eq!(stage.in_files("jane.secret"), 0);
    assert!(stage.in_files("other100@example.com") > 0);
    stage.assert_audit().await;
}

#[tokio::test]
async fn what_an_older_program_left_in_free_pages_is_found_and_written_over_beside_a_reader_and_a_writer() {
    let stage = Stage::open();
    stage.store.receive((0..200).map(|n| sized(n, "jane.secret", 3_000, stage.crm)).collect::<Vec<_>>()).await.unwrap();
    stage.store.receive(vec![sized(900, "other900", 10, stage.crm)]).await.unwrap();
    let raw = stage.raw();
    raw.execute_batch("PRAGMA secure_delete = OFF; DELETE FROM event WHERE email LIKE 'jane%'; DELETE FROM delivery WHERE event <= 200;")
        .unwrap();
    raw.execute_batch("UPDATE source SET received = 1; UPDATE destination SET created = 1 WHERE name = 'crm'").unwrap();
    let scrubbed = stage.scrub(&["jane.secret"]).await;
    assert!(scrubbed.rewritten);
    assert_eq!(scrubbed.remains[0].in_files, 0);
    assert_eq!(stage.in_files("jane.secret"), 0);
    // Both go on.
    stage.store.receive(vec![sized(901, "other901", 10, stage.crm)]).await.unwrap();
    assert_eq!(stage.states().await, [State::Waiting, State::Waiting]);
    stage.assert_audit().await;
}

#[tokio::test]
async fn what_others_say_of_the_person_is_told_apart_from_remains() {
    let stage = Stage::open();
    stage
        .store
        .receive(vec![sized(1, "jane.secret", 10, stage.crm), sized(2, "other, who knows jane.secret", 10, stage.crm)])
        .await
        .unwrap();
    stage.erase(vec![stage.ids().await[0]]).await;
    let remain = stage.scrub(&["jane.secret", "other"]).await.remains;
    assert_eq!((remain[0].left(), remain[1].left()), (0, 0), "{remain:?}");
    assert!(remain[0].in_rows > 0 && remain[0].in_files == remain[0].in_rows, "{remain:?}");
}
