//! Erasing a person, on every engine.

use jiff::Timestamp;
use leadwire::store::{
    Again, Ended, Erasing, ErasureResult, Leased, NewEvent, Outcome, Owed, QuarantineClass, QuarantineLimits, Received, Refused, Removed,
    Settlement, State, Store,
};
use leadwire_connector::{Erased, Event, Record};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn event(n: u8, person: u8, destination: u32) -> NewEvent {
    let event: Event = serde_json::from_value(json!({
        "id": Uuid::now_v7(), "kind": "lead", "source": "acme", "chatbot_id": null,
        "person": {"first_name": "Jane", "last_name": null, "email": format!("p{person}@example.com"), "phone": null},
        "content": "x", "session_id": "s", "page_url": null, "created_at": null, "received_at": "2026-11-22T09:00:00Z",
        "extra": {}, "raw": {"n": n}
    }))
    .unwrap();
    let body = serde_json::to_string(&event).unwrap();
    NewEvent {
        event: Arc::new(event),
        content_key: [n; 24],
        person_key: Some([person; 16]),
        destinations: vec![destination],
        body,
        receipt: None,
    }
}

async fn states(store: &Store) -> Vec<State> {
    let mut rows = store.deliveries(leadwire::store::DeliveryFilter { limit: 100, ..Default::default() }).await.unwrap();
    rows.reverse();
    rows.iter().map(|row| row.state).collect()
}

async fn assert_audit(store: &Store) {
    let report = store.audit().await.unwrap();
    assert!(report.holds(), "{:?}", report.findings);
}

/// Of one person, two events, the first under way; of another, one. And a body in the quarantine.
async fn story(store: Store) {
    let crm = store.destination_id("crm").unwrap();
    let _owner = store.take_ownership().await.unwrap();
    let (first, second, other) = (event(1, 1, crm), event(2, 1, crm), event(3, 2, crm));
    let ids = [first.event.id, second.event.id];
    for new in [first.clone(), second, other] {
        assert_eq!(store.receive(vec![new]).await.unwrap(), [Received::New]);
    }
    let refused = Refused {
        source: "acme".to_owned(),
        at: now(),
        client: "203.0.113.9".to_owned(),
        header: None,
        body: "p1@example.com".to_owned().into(),
        code: "no_header".to_owned(),
        reason: "no header".to_owned(),
        class: QuarantineClass::Refused,
    };
    store.quarantine(refused, QuarantineLimits { max_bytes: 1 << 20 }).await.unwrap();
    let found = store.stored_events(0, 10).await.unwrap();
    assert_eq!(
        found.iter().map(|event| event.email.as_deref().unwrap()).collect::<Vec<_>>(),
        ["p1@example.com", "p1@example.com", "p2@example.com"]
    );
    assert_eq!(store.stored_events(found[1].seq, 10).await.unwrap().len(), 1);
    let (body, _) = store.stored_bodies(0, 10).await.unwrap().remove(0);

    let leased = store.claim(crm, 1, now()).await.unwrap().deliveries.remove(0);
    store.save_step(leased.key, "contact".to_owned(), "c-1".to_owned()).await.unwrap();
    let erasing = Erasing { events: vec![ids[0]], quarantined: vec![body.id, 999], ..Erasing::default() };
    let removed = store.erase(erasing.clone(), now()).await.unwrap();
    assert_eq!((removed.events.len(), removed.steps, removed.quarantined), (1, 1, 1));
    let delivery = &removed.events[0].deliveries[0];
    assert_eq!((delivery.was, delivery.steps.len()), (State::Leased, 1));
    assert_eq!(states(&store).await, [State::Erased, State::Waiting, State::Waiting]);

    // What comes late brings nothing back.
    store.save_step(leased.key, "note".to_owned(), "n-1".to_owned()).await.unwrap();
    let record = Some(Record { id: "r-1".to_owned(), url: None });
    let outcome = Outcome::Ended(Ended { state: State::Delivered, record, remark: Some("Jane".to_owned()) });
    let settlement = Settlement { key: leased.key, lease: leased.lease, person_key: leased.person_key, outcome, at: now(), attempt: None };
    store.settle(settlement).await.unwrap();
    let detail = store.event(ids[0]).await.unwrap().unwrap();
    assert_eq!((detail.row.erased_at, detail.row.event.person.first_name, detail.steps.len()), (Some(now()), None, 0));
    let erasure = store.erasures(now()).await.unwrap().remove(0);
    assert_eq!((erasure.under_way, erasure.arrived.as_deref()), (true, Some("note n-1, r-1")));
    assert_audit(&store).await;

    assert_eq!(store.receive(vec![first]).await.unwrap(), [Received::Duplicate]);
    assert!(store.erase(erasing, now()).await.unwrap().events.is_empty());
    store.erase(Erasing { events: vec![ids[1]], ..Erasing::default() }, now()).await.unwrap();
    assert_eq!(states(&store).await, [State::Erased, State::Erased, State::Waiting]);
    assert_eq!(store.stored_events(0, 10).await.unwrap().len(), 1);

    let open = store.erasures(Timestamp::MAX).await.unwrap();
    assert_eq!(open.len(), 2);
    store.finish_erasures(ErasureResult::of_unknown(&open), now()).await.unwrap();
    assert!(store.erasures(Timestamp::MAX).await.unwrap().is_empty());
    let scrubbed = store.scrub(Vec::new(), false, Arc::new(|_, _| {})).await.unwrap();
    assert!(scrubbed.remains.is_empty());

    assert_eq!(store.remove_ended("2026-11-22T09:30:00Z".parse().unwrap()).await.unwrap(), 0);
    assert_eq!(store.remove_ended("2026-11-22T11:00:00Z".parse().unwrap()).await.unwrap(), 2);
    assert_audit(&store).await;
}

/// An attempt that goes on while its person is erased: whatever comes of it, connectors are asked again, and no answer from before counts.
async fn late_attempts(store: Store) {
    let crm = store.destination_id("crm").unwrap();
    let _owner = store.take_ownership().await.unwrap();
    let events: Vec<NewEvent> = (1..=3).map(|n| event(n, n, crm)).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.event.id).collect();
    store.receive(events).await.unwrap();
    let leased = store.claim(crm, 3, now()).await.unwrap().deliveries;
    store.erase(Erasing { events: ids, ..Erasing::default() }, now()).await.unwrap();
    let asked = store.erasures(Timestamp::MAX).await.unwrap();
    store.finish_erasures(ErasureResult::of(&asked, &Erased::NotKept), now()).await.unwrap();
    assert!(store.erasures(Timestamp::MAX).await.unwrap().is_empty());

    let again = Outcome::Again(Again { not_before: now(), attempts: 1 });
    let delivered = Outcome::Ended(Ended { state: State::Delivered, record: None, remark: None });
    for (leased, outcome) in leased.iter().zip([again, delivered]) {
        let Leased { key, lease, person_key, .. } = *leased;
        store.settle(Settlement { key, lease, person_key, outcome, at: now(), attempt: None }).await.unwrap();
    }
    store.save_step(leased[2].key, "contact".to_owned(), "c-1".to_owned()).await.unwrap();
    let open = store.erasures(Timestamp::MAX).await.unwrap();
    let mut arrived: Vec<Option<&str>> = open.iter().map(|erasure| erasure.arrived.as_deref()).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, [None, Some("contact c-1"), Some("delivered")]);
    assert!(open.iter().all(|erasure| erasure.done_at.is_none() && erasure.result.is_none()));

    // Of one who was asked before, and looked before the attempt had ended.
    store.finish_erasures(ErasureResult::of(&asked, &Erased::NotKept), now()).await.unwrap();
    assert_eq!(store.erasures(Timestamp::MAX).await.unwrap().len(), 3);
    store.finish_erasures(ErasureResult::of(&open, &Erased::NotKept), now()).await.unwrap();
    assert!(store.erasures(Timestamp::MAX).await.unwrap().is_empty());
    assert_audit(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_outlives_an_erasure_has_connectors_of_a_person_asked_again_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    late_attempts(Store::sqlite(&folder.path().join("l.db"), &names("acme"), &names("crm")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_outlives_an_erasure_has_connectors_of_a_person_asked_again_on_postgres() {
    let url = crate::postgres::database();
    late_attempts(Store::postgres(&url, &names("acme"), &names("crm")).await.unwrap()).await;
}

/// An erasure that is interrupted after its second transaction: what it did is known until it is certified, and goes along with a move.
async fn interruption(store: Store) {
    let crm = store.destination_id("crm").unwrap();
    let _owner = store.take_ownership().await.unwrap();
    let (first, second) = (event(1, 1, crm), event(2, 1, crm));
    let ids = [first.event.id, second.event.id];
    store.receive(vec![first, second]).await.unwrap();
    let leased = store.claim(crm, 1, now()).await.unwrap().deliveries.remove(0);
    store.save_step(leased.key, "contact".to_owned(), "c-1".to_owned()).await.unwrap();
    let record = Some(Record { id: "r-1".to_owned(), url: Some("https://crm.test/r-1".to_owned()) });
    let outcome = Outcome::Ended(Ended { state: State::Delivered, record: record.clone(), remark: None });
    let settlement = Settlement { key: leased.key, lease: leased.lease, person_key: leased.person_key, outcome, at: now(), attempt: None };
    store.settle(settlement).await.unwrap();

    let owed = Owed { id: Uuid::now_v7(), begun_at: now(), head: r#"{"of":"p***"}"#.to_owned() };
    let erase = async |events: Vec<Uuid>, kept: Vec<(u32, String)>| {
        store.erase(Erasing { events, kept, owed: Some(owed.clone()), ..Erasing::default() }, now()).await.unwrap()
    };
    let mut removed = vec![erase(vec![ids[0]], Vec::new()).await, erase(vec![ids[1]], vec![(crm, "gone_crm".to_owned())]).await];
    let other = Owed { id: Uuid::now_v7(), ..owed.clone() };
    store.erase(Erasing { owed: Some(other.clone()), ..Erasing::default() }, now()).await.unwrap();

    let unfinished = store.unfinished_erasures().await.unwrap();
    assert_eq!(unfinished.iter().map(|unfinished| &unfinished.owed).collect::<Vec<_>>(), [&owed, &other]);
    let json = |removed: &[Removed]| serde_json::to_value(removed).unwrap();
    assert_eq!(json(&unfinished[0].removed), json(&removed));
    let delivery = removed.remove(0).events.remove(0).deliveries.remove(0);
    assert_eq!((delivery.record, delivery.steps), (record, vec![("contact".to_owned(), "c-1".to_owned())]));
    assert_eq!((unfinished[0].removed[1].kept.as_slice(), unfinished[1].removed.len()), (["gone_crm".to_owned()].as_slice(), 1));

    store.certify(owed.id).await.unwrap();
    assert_eq!(store.unfinished_erasures().await.unwrap().len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    store.backup(&copy, |_, _| {}).await.unwrap();
    let copy = Store::sqlite(&copy, [], []).unwrap();
    assert_eq!(copy.unfinished_erasures().await.unwrap()[0].owed, other);
    assert_audit(&store).await;
}

fn names(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_erased_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    story(Store::sqlite(&folder.path().join("l.db"), &names("acme"), &names("crm")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_erased_on_postgres() {
    let url = crate::postgres::database();
    story(Store::postgres(&url, &names("acme"), &names("crm")).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_erasure_is_known_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    interruption(Store::sqlite(&folder.path().join("l.db"), &names("acme"), &names("crm")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_erasure_is_known_on_postgres() {
    let url = crate::postgres::database();
    interruption(Store::postgres(&url, &names("acme"), &names("crm")).await.unwrap()).await;
}
