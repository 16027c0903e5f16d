//! Stories about what is kept, what is removed, and proving it.

use crate::stage::{Engine, Stage, event, now, with};
use jiff::SignedDuration;
use leadwire::store::{DeliveryFilter, EventFilter, State};
use leadwire_connector::Kind;

async fn retention_removes_what_was_delivered_and_nothing_else(stage: Stage) {
    for n in 1..=4 {
        stage.receive(n, None).await;
    }
    let claimed = stage.claim(3).await.deliveries;
    stage.store.save_step(claimed[0].key, "contact".to_owned(), "1".to_owned()).await.unwrap();
    for (leased, state) in claimed.iter().zip([State::Delivered, State::Skipped, State::Dead]) {
        stage.end(leased, state).await;
    }
    assert_eq!(stage.store.remove_ended(now() - SignedDuration::from_hours(1)).await.unwrap(), 0, "before, and not at");
    assert_eq!(stage.store.remove_ended(now()).await.unwrap(), 2);
    assert_eq!(stage.store.remove_ended(now()).await.unwrap(), 0);
    assert_eq!(stage.states().await, [State::Dead, State::Waiting]);
    assert!(stage.store.event(claimed[0].event.id).await.unwrap().is_none());
    stage.assert_audit().await;
}

async fn an_event_that_no_route_took_is_kept_and_a_test_is_not(stage: Stage) {
    stage.receive_one(event(1, None, &[])).await;
    stage.receive_one(with(event(2, None, &[]), |event| event.kind = Kind::Test)).await;
    assert_eq!(stage.store.count_unrouted().await.unwrap(), 1);
    assert_eq!(stage.find(EventFilter { unrouted: true, ..EventFilter::default() }).await.len(), 1);
    assert_eq!(stage.store.remove_ended(now()).await.unwrap(), 1);
    assert_eq!(stage.store.count_unrouted().await.unwrap(), 1);
}

async fn what_was_replayed_is_kept(stage: Stage) {
    stage.receive(1, None).await;
    let leased = stage.claim_one().await;
    stage.end(&leased, State::Delivered).await;
    let keys = stage.store.find_ended(DeliveryFilter::default()).await.unwrap();
    stage.store.replay(keys, now()).await.unwrap();
    assert_eq!(stage.store.remove_ended(now()).await.unwrap(), 0);
    stage.assert_audit().await;
}

async fn the_audit_is_right_while_others_write(stage: Stage) {
    let (store, crm) = (stage.store.clone(), stage.crm);
    let writer = tokio::spawn(async move {
        for n in 0..150 {
            store.receive(vec![event(n, Some(u8::try_from(n % 7).unwrap()), &[crm])]).await.unwrap();
        }
    });
    while !writer.is_finished() {
        stage.assert_audit().await;
    }
    writer.await.unwrap();
    stage.assert_audit().await;
}

async fn the_ledger_names_every_source_and_destination_in_the_order_of_bytes(stage: Stage) {
    let report = stage.store.audit().await.unwrap();
    assert_eq!(report.sources.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["Beta", "acme"]);
    assert_eq!(report.destinations.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["Drop", "a-list", "crm"]);
}

async fn find_tampering(engine: Engine, tampering: &str) {
    let stage = Stage::open(engine).await;
    stage.receive(1, Some(7)).await;
    stage.receive(2, Some(7)).await;
    stage.assert_audit().await;
    stage.tamper(tampering);
    assert!(!stage.store.audit().await.unwrap().holds(), "not found: {tampering}");
}

/// Changes to the rows that the audit must find, the same on every engine.
const TAMPERING: [&str; 6] = [
    "DELETE FROM delivery WHERE event = (SELECT seq FROM event WHERE session_id = '1')",
    "DELETE FROM event WHERE session_id = '1'",
    "UPDATE delivery SET state = 9 WHERE event = (SELECT seq FROM event WHERE session_id = '2')",
    "UPDATE delivery SET state = 3 WHERE event = (SELECT seq FROM event WHERE session_id = '1')",
    "UPDATE delivery SET state = 5, ended_at = 1 WHERE event = (SELECT seq FROM event WHERE session_id = '1')",
    "UPDATE delivery SET state = 2 WHERE event = (SELECT seq FROM event WHERE session_id = '1')",
];

#[tokio::test]
async fn the_audit_finds_what_was_tampered_with_in_a_file() {
    let ledger = [
        "UPDATE delivery SET state = 0",
        "UPDATE source SET received = 7",
        "UPDATE destination SET created = created + 1 WHERE name = 'crm'",
    ];
    for tampering in TAMPERING.into_iter().chain(ledger) {
        find_tampering(Engine::Sqlite, tampering).await;
    }
}

#[tokio::test]
async fn the_audit_finds_what_was_tampered_with_in_a_database() {
    let ledger = [
        "DROP INDEX delivery_active; UPDATE delivery SET state = 0",
        "UPDATE source_count SET received = received + 7",
        "UPDATE destination_count SET created = created + 1",
    ];
    for tampering in TAMPERING.into_iter().chain(ledger) {
        find_tampering(Engine::Postgres, tampering).await;
    }
}

on_every_engine!(
    retention_removes_what_was_delivered_and_nothing_else,
    an_event_that_no_route_took_is_kept_and_a_test_is_not,
    what_was_replayed_is_kept,
    the_audit_is_right_while_others_write,
    the_ledger_names_every_source_and_destination_in_the_order_of_bytes,
);
