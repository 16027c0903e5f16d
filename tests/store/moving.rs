//! Everything moves between the engines, there and back, and nothing is lost on the way.

use crate::postgres::{database, execute};
use jiff::{SignedDuration, Timestamp};
use leadwire::store::{
    AttemptRow, Beginning, Claimed, Comparison, DeliveryFilter, DestinationId, Ended, EventFilter, LaneEnd, Leased, NewEvent, Origin,
    Outcome, QuarantineClass, QuarantineLimits, Received, Refused, Retention, Room, Settlement, State, Store, Transfer,
};
use leadwire_connector::{Event, Record};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn event(n: u32, person: Option<u8>, destinations: &[DestinationId]) -> NewEvent {
    let event: Event = serde_json::from_value(json!({
        "id": Uuid::now_v7(), "kind": "lead", "source": "acme", "chatbot_id": null,
        "person": {"first_name": "Zoë 100%", "last_name": "", "email": person.map(|p| format!("p{p}@example.com")), "phone": "+1 555-0100"},
        "content": "'; DROP TABLE event; -- _%\\ \u{0} \u{1f600}", "session_id": n.to_string(), "page_url": null, "created_at": null,
        "received_at": "2026-11-22T09:00:00.123456Z", "extra": {}, "raw": {"n": n}
    }))
    .unwrap();
    let body = serde_json::to_string(&event).unwrap();
    let mut content_key = [0; 24];
    content_key[..4].copy_from_slice(&n.to_be_bytes());
    NewEvent {
        event: Arc::new(event),
        content_key,
        person_key: person.map(|p| [p; 16]),
        destinations: destinations.to_vec(),
        body,
        receipt: None,
    }
}

async fn settle(store: &Store, leased: &Leased, outcome: Outcome, attempt: Option<AttemptRow>) {
    let (key, lease, person_key) = (leased.key, leased.lease, leased.person_key);
    store.settle(Settlement { key, lease, person_key, outcome, at: now(), attempt }).await.unwrap();
}

fn ended(state: State) -> Outcome {
    let record = Some(Record { id: "r 1".to_owned(), url: Some(String::new()) });
    Outcome::Ended(Ended { state, record, remark: (state != State::Delivered).then(|| "for a reason".to_owned()) })
}

fn attempt() -> AttemptRow {
    AttemptRow {
        at: now(),
        duration_ms: 3,
        outcome: "dead".to_owned(),
        kind: None,
        status: Some(422),
        code: Some(String::new()),
        message: Some("100 % of 'it' failed; _ and \\ too".to_owned()),
        excerpt: None,
    }
}

fn open(path: &Path) -> Store {
    Store::sqlite(path, &names(&["acme", "other"]), &names(&["crm", "drop"])).unwrap()
}

async fn claim(store: &Store, limit: u32) -> Claimed {
    store.claim(store.destination_id("crm").unwrap(), limit, now()).await.unwrap()
}

/// Something of everything: each state, attempts, steps, a hold, each class of the quarantine, removed events.
async fn fill(store: &Store) {
    let (crm, drop) = (store.destination_id("crm").unwrap(), store.destination_id("drop").unwrap());
    let people = [None, None, None, Some(7), Some(7), None, Some(8), None];
    for (n, person) in (0..).zip(people) {
        let destinations: &[DestinationId] = if n == 5 { &[] } else { &[crm, drop] };
        store.receive(vec![event(n, person, destinations)]).await.unwrap();
    }
    store.receive(vec![event(99, None, &[crm])]).await.unwrap();
    assert_eq!(store.receive(vec![event(1, None, &[])]).await.unwrap(), [Received::Duplicate]);
    let claimed = claim(store, 20).await.deliveries;
    let of = |event: i64| claimed.iter().find(|leased| leased.key.event == event).unwrap();
    settle(store, of(9), ended(State::Delivered), None).await;
    assert_eq!(store.remove_ended(now()).await.unwrap(), 1);
    settle(store, of(1), ended(State::Delivered), None).await;
    settle(store, of(2), ended(State::Skipped), None).await;
    store.save_step(of(3).key, "contact".to_owned(), "101".to_owned()).await.unwrap();
    settle(store, of(3), ended(State::Dead), Some(attempt())).await;
    let again = leadwire::store::Again { not_before: now() + SignedDuration::from_hours(1), attempts: 1 };
    settle(store, of(7), Outcome::Again(again), Some(attempt())).await;
    store.hold(drop, "moving".to_owned(), Some(now()), now()).await.unwrap();
    let (limits, classes) =
        (QuarantineLimits { max_bytes: 1 << 20 }, [QuarantineClass::Hopeless, QuarantineClass::Refused, QuarantineClass::Promised]);
    for (n, class) in (0_u8..).zip(classes) {
        let (code, reason, header) = ("no_key".to_owned(), "no key matched".to_owned(), (n == 1).then(|| "t=1".to_owned()));
        let body = vec![n, 0, 255].into();
        let refused = Refused { source: "acme".to_owned(), at: now(), client: "::1".to_owned(), header, body, code, reason, class };
        store.quarantine(refused, limits).await.unwrap();
    }
}

async fn begin(origin: Origin, target: Store) -> Box<Transfer> {
    match Transfer::begin(origin, target, "here").await.unwrap() {
        Beginning::Open(transfer) => transfer,
        Beginning::Finished(at) => panic!("finished at {at}"),
    }
}

async fn carry(origin: Origin, target: Store) -> Comparison {
    let mut transfer = begin(origin, target).await;
    while transfer.step().await.unwrap() {}
    let comparison = transfer.finish().await.unwrap();
    assert!(comparison.is_same() && comparison.audit.holds(), "{comparison:#?}");
    comparison
}

async fn bare(url: &str) -> Store {
    Store::postgres(url, [], []).await.unwrap()
}

/// What people see of a store.
async fn seen(store: &Store) -> serde_json::Value {
    let events = store.events(EventFilter { limit: 100, ..EventFilter::default() }).await.unwrap();
    let mut details = Vec::new();
    for row in &events {
        details.push(store.event(row.event.id).await.unwrap().unwrap());
    }
    let status = store.status().await.unwrap();
    json!({
        "events": details, "deliveries": store.deliveries(DeliveryFilter { limit: 100, ..DeliveryFilter::default() }).await.unwrap(),
        "destinations": store.destinations().await.unwrap(), "quarantine": store.quarantined(None, 100).await.unwrap(),
        "unrouted": store.count_unrouted().await.unwrap(), "sources": store.source_counts().await.unwrap(),
        "oldest": status.oldest_pending, "count": status.events, "bodies": status.quarantine_bodies, "bytes": status.quarantine_bytes,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_to_postgresql_and_back_and_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (first, last, url) = (folder.path().join("first.db"), folder.path().join("last.db"), database());
    let store = open(&first);
    fill(&store).await;
    let comparison = carry(Origin::sqlite(&first).unwrap(), bare(&url).await).await;
    assert!(comparison.lines.iter().any(|line| line.part == "source acme" && line.what == "removed" && line.target == 1));
    let middle = Store::postgres(&url, &names(&["acme", "other"]), &names(&["crm", "drop"])).await.unwrap();
    carry(Origin::postgres(&url).await.unwrap(), Store::sqlite(&last, [], []).unwrap()).await;
    // What was leased arrived as waiting; at the origin, the next bridge frees it.
    drop(store.take_ownership().await.unwrap());
    let (before, there, after) = (seen(&store).await, seen(&middle).await, seen(&open(&last)).await);
    assert_eq!(before, there);
    assert_eq!(before, after);
    assert_eq!((&before["count"], &before["bodies"], &before["unrouted"]), (&8.into(), &3.into(), &1.into()));
    let again = Transfer::begin(Origin::sqlite(&first).unwrap(), bare(&url).await, "here").await.unwrap();
    assert!(matches!(again, Beginning::Finished(_)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_database_goes_on_numbering_where_the_file_was() {
    let folder = tempfile::tempdir().unwrap();
    let (first, url) = (folder.path().join("first.db"), database());
    fill(&open(&first)).await;
    carry(Origin::sqlite(&first).unwrap(), bare(&url).await).await;
    let store = Store::postgres(&url, &names(&["acme", "later"]), &names(&["later", "crm"])).await.unwrap();
    let _ownership = store.take_ownership().await.unwrap();
    let crm = store.destination_id("crm").unwrap();
    assert!(store.destination_id("later").unwrap() > crm);
    assert_eq!(
        store.receive(vec![event(1, None, &[crm]), event(500, Some(7), &[crm])]).await.unwrap(),
        [Received::Duplicate, Received::New]
    );
    let refused = Refused {
        source: "acme".to_owned(),
        at: now(),
        client: "::1".to_owned(),
        header: None,
        body: "new".into(),
        code: "x".to_owned(),
        reason: "x".to_owned(),
        class: QuarantineClass::Refused,
    };
    store.quarantine(refused, QuarantineLimits { max_bytes: 1 << 20 }).await.unwrap();
    assert_eq!(store.quarantined(None, 10).await.unwrap()[0].id, 4);
    let report = store.audit().await.unwrap();
    assert!(report.holds(), "{:?}", report.findings);
}

/// Of each person of a backlog, only the first goes; the file that it came from is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_arrives_in_line() {
    let folder = tempfile::tempdir().unwrap();
    let (first, other, url) = (folder.path().join("first.db"), folder.path().join("other.db"), database());
    let store = open(&first);
    let crm = store.destination_id("crm").unwrap();
    let (inbox, _handoffs) = tokio::sync::mpsc::unbounded_channel();
    let room = Arc::new(Room::new(10));
    store.set_lanes(HashMap::from([(crm, LaneEnd { room: Arc::clone(&room), inbox })]));
    room.set_open(true);
    store.receive(vec![event(0, Some(7), &[crm])]).await.unwrap();
    room.set_open(false);
    let people = [Some(8), Some(9), Some(8), None, Some(8), None];
    store.receive((1..).zip(people).map(|(n, person)| event(n, person, &[crm])).collect::<Vec<_>>()).await.unwrap();
    let states = |seen: serde_json::Value| -> Vec<String> {
        let rows = seen["deliveries"].as_array().unwrap().clone();
        rows.iter().rev().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
    };
    let before = states(seen(&store).await);
    assert_eq!(before, ["leased", "waiting", "waiting", "waiting", "waiting", "waiting", "waiting"]);
    carry(Origin::sqlite(&first).unwrap(), bare(&url).await).await;
    carry(Origin::sqlite(&first).unwrap(), Store::sqlite(&other, [], []).unwrap()).await;
    assert_eq!(states(seen(&store).await), before);
    for moved in [Store::postgres(&url, &names(&["acme"]), &names(&["crm"])).await.unwrap(), open(&other)] {
        assert_eq!(states(seen(&moved).await), ["waiting", "waiting", "waiting", "blocked", "waiting", "blocked", "waiting"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_move_into_postgresql_goes_on_and_no_bridge_runs_on_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let (first, url) = (folder.path().join("first.db"), database());
    let store = open(&first);
    let crm = store.destination_id("crm").unwrap();
    store.receive((0..4_500).map(|n| event(n, None, &[crm])).collect::<Vec<_>>()).await.unwrap();
    let mut transfer = begin(Origin::sqlite(&first).unwrap(), bare(&url).await).await;
    assert!(transfer.step().await.unwrap());
    assert!(bare(&url).await.take_ownership().await.unwrap_err().to_string().contains("in the middle of a transfer"));
    drop(transfer);
    let transfer = begin(Origin::sqlite(&first).unwrap(), bare(&url).await).await;
    assert_eq!((transfer.progress().events, transfer.progress().of), (2_000, 4_500));
    drop(transfer);
    carry(Origin::sqlite(&first).unwrap(), bare(&url).await).await;
    drop(bare(&url).await.take_ownership().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_a_bridge_is_not_moved_and_nothing_is_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, url) = (folder.path().join("t.db"), database());
    let target = || Store::sqlite(&path, [], []).unwrap();
    assert!(Origin::postgres(&url).await.unwrap_err().to_string().contains("there is no store"));
    let store = Store::postgres(&url, &names(&["acme", "other"]), &names(&["crm", "drop"])).await.unwrap();
    let ownership = store.take_ownership().await.unwrap();
    fill(&store).await;
    let error = Origin::postgres(&url).await.unwrap_err().to_string();
    assert!(error.contains("stop all bridges first"), "{error}");
    store.sign_off(now()).await.unwrap();
    drop(ownership);
    let origin = Origin::postgres(&url).await.unwrap();
    let error = store.take_ownership().await.unwrap_err().to_string();
    assert!(error.contains("a transfer from or to this database is under way"), "{error}");
    assert!(Origin::postgres(&url).await.unwrap_err().to_string().contains("another transfer"));
    carry(origin, target()).await;
    let full = open(&folder.path().join("full.db"));
    fill(&full).await;
    let error = Transfer::begin(Origin::sqlite(&folder.path().join("full.db")).unwrap(), bare(&url).await, "here").await.unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_database_in_use_is_a_good_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, url) = (folder.path().join("b.db"), database());
    let store = Store::postgres(&url, &names(&["acme", "other"]), &names(&["crm", "drop"])).await.unwrap();
    let _ownership = store.take_ownership().await.unwrap();
    fill(&store).await;
    let crm = store.destination_id("crm").unwrap();
    let (writer, stop) = (store.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let load = tokio::spawn(async move {
        let mut n = 1_000;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            writer.receive(vec![event(n, Some(9), &[crm])]).await.unwrap();
            n += 1;
        }
    });
    store.backup(&file, |_, _| {}).await.unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    load.await.unwrap();
    let verification = Store::verify(&file).await.unwrap();
    assert!(verification.is_good() && verification.events >= 8, "{verification:?}");
    assert!(store.backup(&file, |_, _| {}).await.unwrap_err().to_string().contains("overwrites nothing"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    drop(open(&file).take_ownership().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_bounded_by_its_ledger() {
    let url = database();
    let store = Store::postgres(&url, &names(&["acme"]), &names(&["crm"])).await.unwrap();
    let _ownership = store.take_ownership().await.unwrap();
    let crm = store.destination_id("crm").unwrap();
    store.receive((0..1_200).map(|n| event(n, None, &[crm])).collect::<Vec<_>>()).await.unwrap();
    let used = store.status().await.unwrap().used_bytes;
    assert!(used > 1_200 * 1_024, "{used}");
    let bound = Retention { age: None, max_bytes: Some(used / 2) };
    let later = Timestamp::now() + SignedDuration::from_hours(24);
    assert!(store.tidy(bound, later).await.unwrap_err().to_string().contains("never removed for its size"));
    for leased in claim(&store, 1_000).await.deliveries {
        settle(&store, &leased, ended(State::Delivered), None).await;
    }
    let removed = store.tidy(bound, later).await.unwrap();
    let status = store.status().await.unwrap();
    assert!((500..=1_000).contains(&removed) && status.used_bytes <= used / 2, "{removed} removed, {status:?}");
    assert!(store.tidy(Retention { age: Some(Duration::from_secs(1)), max_bytes: None }, later).await.is_ok());
    assert_eq!(store.status().await.unwrap().events, 200);
    assert_eq!(execute(&url, "select min(seq) from event"), "1001\n");
    assert!(store.audit().await.unwrap().holds());
}
