//! Stories about the file. What every engine must do is told in `tests/store`.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod backlog;
mod index;
mod person;

use super::{Sqlite, lease};
use crate::store::{
    Claimed, DeliveryFilter, DestinationId, Ended, Handoff, LaneEnd, Leased, NewEvent, Outcome, Received, Room, Settlement, State,
};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Event;
use rusqlite::StatementStatus;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

pub(super) struct Stage {
    pub(super) folder: TempDir,
    pub(super) store: Sqlite,
    pub(super) crm: DestinationId,
}

pub(super) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Stage {
    pub(super) fn open() -> Self {
        Self::reopen(tempfile::tempdir().unwrap())
    }

    pub(super) fn reopen(folder: TempDir) -> Self {
        let store = Sqlite::open(&folder.path().join("l.db"), &names(&["acme"]), &names(&["crm", "drop"])).unwrap();
        let crm = store.destination_id("crm").unwrap();
        Self { folder, store, crm }
    }

    pub(super) async fn receive(&self, n: u8, person: Option<u8>) -> Received {
        self.store.receive(vec![event(n, person, &[self.crm])]).await.unwrap()[0]
    }

    pub(super) async fn claim(&self, limit: u32) -> Claimed {
        self.store.claim(self.crm, limit, now()).await.unwrap()
    }

    pub(super) async fn end(&self, leased: &Leased, state: State) {
        let remark = (state != State::Delivered).then(|| "for a reason".to_owned());
        let outcome = Outcome::Ended(Ended { state, record: None, remark });
        self.settle(leased, outcome).await;
    }

    pub(super) async fn settle(&self, leased: &Leased, outcome: Outcome) {
        self.store
            .settle(Settlement { key: leased.key, lease: leased.lease, person_key: leased.person_key, outcome, at: now(), attempt: None })
            .await
            .unwrap();
    }

    pub(super) async fn states(&self) -> Vec<State> {
        let mut deliveries = self.store.deliveries(DeliveryFilter { limit: 100, ..DeliveryFilter::default() }).await.unwrap();
        deliveries.reverse();
        deliveries.iter().map(|delivery| delivery.state).collect()
    }

    pub(super) async fn assert_audit(&self) {
        let report = self.store.audit().await.unwrap();
        assert!(report.holds(), "{:?}", report.findings);
    }

    pub(super) fn raw(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.folder.path().join("l.db")).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection
    }
}

pub(super) fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

pub(super) fn event(n: u8, person: Option<u8>, destinations: &[DestinationId]) -> NewEvent {
    let event: Event = serde_json::from_value(json!({
        "id": Uuid::now_v7(), "kind": "lead", "source": "acme", "chatbot_id": null,
        "person": {"first_name": null, "last_name": null, "email": person.map(|p| format!("p{p}@example.com")), "phone": "+1 555-0100"},
        "content": "x", "session_id": n.to_string(), "page_url": null, "created_at": null, "received_at": "2026-11-22T09:00:00Z",
        "extra": {}, "raw": {"n": n}
    }))
    .unwrap();
    let body = serde_json::to_string(&event).unwrap();
    NewEvent {
        event: Arc::new(event),
        content_key: [n; 24],
        person_key: person.map(|p| [p; 16]),
        destinations: destinations.to_vec(),
        body,
        receipt: None,
    }
}

fn attach_lane(stage: &Stage, places: u32) -> (Arc<Room>, UnboundedReceiver<Handoff>) {
    let room = Arc::new(Room::new(places));
    room.set_open(true);
    let (inbox, handoffs) = unbounded_channel();
    stage.store.set_lanes(HashMap::from([(stage.crm, LaneEnd { room: Arc::clone(&room), inbox })]));
    (room, handoffs)
}

#[tokio::test]
async fn leases_of_a_process_that_is_gone_are_freed() {
    let stage = Stage::open();
    let (_room, _handoffs) = attach_lane(&stage, 8);
    stage.receive(1, None).await;
    let Stage { folder, store, .. } = stage;
    drop(store);
    let stage = Stage::reopen(folder);
    assert_eq!(stage.states().await, [State::Leased]);
    let _ownership = stage.store.take_ownership().await.unwrap();
    assert_eq!(stage.states().await, [State::Waiting]);
    assert!(stage.store.take_ownership().await.is_err(), "a second bridge on the same file is refused");
    let leased = stage.claim(1).await.deliveries.remove(0);
    stage.end(&leased, State::Delivered).await;
    stage.assert_audit().await;
}

#[tokio::test]
async fn a_statement_is_not_planned_anew_for_each_value() {
    let stage = Stage::open();
    for n in 1..=9 {
        stage.receive(n, Some(n)).await;
        let leased = stage.claim(1).await.deliveries.remove(0);
        stage.end(&leased, State::Delivered).await;
    }
    let plans = stage.store.writer.write(|unit| {
        let query = unit.connection.prepare_cached(lease::FIRST_IN_LINE)?;
        Ok((query.get_status(StatementStatus::Run), query.get_status(StatementStatus::RePrepare)))
    });
    assert_eq!(plans.await.unwrap(), (9, 0));
}

#[tokio::test]
async fn the_time_in_which_no_bridge_ran_is_parked_time() {
    let stage = Stage::open();
    let _ownership = stage.store.take_ownership().await.unwrap();
    assert!(stage.store.holds().await.unwrap()[0].parked_us < 1_000_000, "a new store has no past");
    stage.store.beat(Timestamp::now() - SignedDuration::from_hours(96)).await.unwrap();
    stage.store.credit_absence(Timestamp::now()).await.unwrap();
    assert!(stage.store.holds().await.unwrap()[0].parked_us >= 96 * 3_600 * 1_000_000);
}

#[tokio::test]
async fn a_newer_schema_and_another_programs_file_are_refused() {
    let stage = Stage::open();
    stage.raw().pragma_update(None, "user_version", 99).unwrap();
    let path = stage.folder.path().join("l.db");
    let error = Sqlite::open(&path, &names(&[]), &names(&[])).unwrap_err().to_string();
    assert!(error.contains("schema 99"), "{error}");
    let other = stage.folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute("CREATE TABLE theirs (x)", []).unwrap();
    let error = Sqlite::open(&other, &names(&[]), &names(&[])).unwrap_err().to_string();
    assert!(error.contains("another program"), "{error}");
}

#[tokio::test]
async fn when_the_file_is_full_nothing_is_said_to_be_stored_and_it_recovers() {
    let stage = Stage::open();
    stage.receive(1, None).await;
    let pages = |limit: i64| {
        stage.store.writer.write(move |unit| {
            Ok(unit.connection.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |row| row.get::<_, i64>(0))?)
        })
    };
    pages(1).await.unwrap();
    let mut stored = 0;
    let error = loop {
        match stage.store.receive(vec![event(2 + stored, None, &[stage.crm])]).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, crate::store::Error::Unavailable(_)), "{error}");
    pages(1 << 30).await.unwrap();
    assert_eq!(stage.receive(200, None).await, Received::New);
    stage.assert_audit().await;
}
