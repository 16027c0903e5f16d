//! Stories about the store on a real file.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::Sqlite;
use crate::store::{
    Again, Claimed, DeliveryFilter, DestinationId, Ended, EventFilter, Handoff, LaneEnd, Leased, NewEvent, Outcome, QuarantineClass,
    QuarantineLimits, Quarantined, Received, Refused, Room, Settlement, State,
};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Event;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

struct Stage {
    folder: TempDir,
    store: Sqlite,
    crm: DestinationId,
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Stage {
    fn open() -> Self {
        Self::reopen(tempfile::tempdir().unwrap())
    }

    fn reopen(folder: TempDir) -> Self {
        let store = Sqlite::open(&folder.path().join("l.db"), &names(&["acme"]), &names(&["crm", "drop"])).unwrap();
        let crm = store.destination_id("crm").unwrap();
        Self { folder, store, crm }
    }

    async fn receive(&self, n: u8, person: Option<u8>) -> Received {
        self.store.receive(vec![event(n, person, &[self.crm])]).await.unwrap()[0]
    }

    async fn claim(&self, limit: u32) -> Claimed {
        self.store.claim(self.crm, limit, now()).await.unwrap()
    }

    async fn end(&self, leased: &Leased, state: State) {
        let remark = (state != State::Delivered).then(|| "for a reason".to_owned());
        let outcome = Outcome::Ended(Ended { state, record: None, remark });
        self.settle(leased, outcome).await;
    }

    async fn settle(&self, leased: &Leased, outcome: Outcome) {
        self.store
            .settle(Settlement { key: leased.key, lease: leased.lease, person_key: leased.person_key, outcome, at: now(), attempt: None })
            .await
            .unwrap();
    }

    async fn states(&self) -> Vec<State> {
        let mut deliveries = self.store.deliveries(DeliveryFilter { limit: 100, ..DeliveryFilter::default() }).await.unwrap();
        deliveries.reverse();
        deliveries.iter().map(|delivery| delivery.state).collect()
    }

    async fn assert_audit(&self) {
        let report = self.store.audit().await.unwrap();
        assert!(report.holds(), "{:?}", report.findings);
    }

    fn raw(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.folder.path().join("l.db")).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection
    }
}

#[tokio::test]
async fn what_waits_is_due_earlier_when_the_clock_is_set_back_but_not_before_now() {
    let stage = Stage::open();
    for (n, wait_s) in [(1, 10), (2, 90_000)] {
        stage.receive(n, None).await;
        let leased = stage.claim(1).await.deliveries.remove(0);
        let not_before = now() + SignedDuration::from_secs(wait_s);
        stage.settle(&leased, Outcome::Again(Again { not_before, attempts: 1 })).await;
    }
    stage.store.hold(stage.crm, "for a day".to_owned(), Some(now() + SignedDuration::from_hours(25)), now()).await.unwrap();
    stage.store.follow_clock(SignedDuration::from_hours(24), now()).await.unwrap();
    let claimed = stage.claim(10).await;
    assert_eq!((claimed.deliveries.len(), claimed.next_due), (1, Some(now() + SignedDuration::from_secs(3_600))));
    let hold = stage.store.holds().await.unwrap().remove(0).hold.unwrap();
    assert_eq!(hold.until, Some(now() + SignedDuration::from_hours(1)));
    stage.assert_audit().await;
}

#[tokio::test]
async fn what_was_received_before_the_clock_was_set_back_is_due_when_its_turn_comes() {
    let stage = Stage::open();
    stage.receive(1, Some(7)).await;
    stage.receive(2, Some(7)).await;
    let first = stage.claim(1).await.deliveries.remove(0);
    let earlier = now() - SignedDuration::from_hours(24);
    let outcome = Outcome::Ended(Ended { state: State::Delivered, record: None, remark: None });
    let settlement = Settlement { key: first.key, lease: first.lease, person_key: first.person_key, outcome, at: earlier, attempt: None };
    stage.store.settle(settlement).await.unwrap();
    assert_eq!(stage.store.claim(stage.crm, 10, earlier).await.unwrap().deliveries.len(), 1);
}

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn event(n: u8, person: Option<u8>, destinations: &[DestinationId]) -> NewEvent {
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
async fn the_same_content_is_stored_once_also_after_a_restart() {
    let stage = Stage::open();
    assert_eq!(stage.receive(1, None).await, Received::New);
    assert_eq!(stage.receive(1, None).await, Received::Duplicate);
    let Stage { folder, store, .. } = stage;
    drop(store);
    let stage = Stage::reopen(folder);
    assert_eq!(stage.receive(1, None).await, Received::Duplicate);
    let events = stage.store.events(EventFilter { limit: 10, ..EventFilter::default() }).await.unwrap();
    assert_eq!((events.len(), events[0].duplicates, events[0].deliveries.len()), (1, 2, 1));
    stage.assert_audit().await;
}

#[tokio::test]
async fn a_fresh_delivery_is_born_leased_while_the_lane_has_room() {
    let stage = Stage::open();
    let (_room, mut handoffs) = attach_lane(&stage, 1);
    stage.receive(1, None).await;
    stage.receive(2, None).await;
    assert!(matches!(handoffs.recv().await, Some(Handoff::Leased(_))));
    assert!(matches!(handoffs.recv().await, Some(Handoff::Waiting)));
    assert_eq!(stage.states().await, [State::Leased, State::Waiting]);
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
}

#[tokio::test]
async fn people_keep_their_order_and_do_not_wait_for_each_other() {
    let stage = Stage::open();
    for (n, person) in [(1, 7), (2, 7), (3, 8), (4, 7)] {
        stage.receive(n, Some(person)).await;
    }
    assert_eq!(stage.states().await, [State::Waiting, State::Blocked, State::Waiting, State::Blocked]);
    let first = stage.claim(10).await.deliveries;
    assert_eq!(first.len(), 2);
    let again = Outcome::Again(Again { not_before: now() + SignedDuration::from_hours(1), attempts: 1 });
    stage.settle(&first[0], again).await;
    assert!(stage.claim(10).await.deliveries.is_empty(), "the second event of a person waits while the first is tried again");
    let later = stage.store.claim(stage.crm, 10, now() + SignedDuration::from_hours(2)).await.unwrap().deliveries;
    stage.end(&later[0], State::Delivered).await;
    let second = stage.claim(10).await.deliveries;
    assert_eq!(second.len(), 1);
    stage.end(&second[0], State::Dead).await;
    assert_eq!(stage.claim(10).await.deliveries.len(), 1, "a dead letter does not hold up the person's next event");
    stage.assert_audit().await;
}

#[tokio::test]
async fn a_claim_says_when_the_next_delivery_is_due() {
    let stage = Stage::open();
    stage.receive(1, None).await;
    let claimed = stage.claim(1).await.deliveries;
    let due = now() + SignedDuration::from_secs(30);
    stage.settle(&claimed[0], Outcome::Again(Again { not_before: due, attempts: 3 })).await;
    let none = stage.claim(5).await;
    assert_eq!((none.deliveries.len(), none.next_due), (0, Some(due)));
    let again = stage.store.claim(stage.crm, 5, due).await.unwrap().deliveries;
    assert_eq!(again[0].attempts, 3);
}

#[tokio::test]
async fn finished_steps_come_back_with_the_next_claim() {
    let stage = Stage::open();
    stage.receive(1, None).await;
    let leased = stage.claim(1).await.deliveries.remove(0);
    stage.store.save_step(leased.key, "contact".to_owned(), "101".to_owned()).await.unwrap();
    stage.store.save_step(leased.key, "contact".to_owned(), "102".to_owned()).await.unwrap();
    stage.store.release(vec![leased.key]).await.unwrap();
    assert_eq!(stage.claim(1).await.deliveries[0].steps, [("contact".to_owned(), "102".to_owned())]);
}

#[tokio::test]
async fn time_on_hold_is_added_up() {
    let stage = Stage::open();
    stage.store.hold(stage.crm, "quota".to_owned(), None, now()).await.unwrap();
    stage.store.hold(stage.crm, "credentials".to_owned(), None, now() + SignedDuration::from_secs(5)).await.unwrap();
    let hold = stage.store.holds().await.unwrap().remove(0).hold.unwrap();
    assert_eq!((hold.reason.as_str(), hold.since), ("credentials", now()));
    assert!(stage.store.resume(stage.crm, now() + SignedDuration::from_secs(60)).await.unwrap());
    assert!(!stage.store.resume(stage.crm, now() + SignedDuration::from_secs(90)).await.unwrap());
    stage.store.credit_outage(stage.crm, SignedDuration::from_secs(10)).await.unwrap();
    assert_eq!(stage.store.holds().await.unwrap()[0].parked_us, 70_000_000);
}

#[tokio::test]
async fn a_replayed_delivery_is_pending_again_behind_what_is_under_way() {
    let stage = Stage::open();
    stage.receive(1, Some(7)).await;
    let leased = stage.claim(1).await.deliveries.remove(0);
    stage.end(&leased, State::Dead).await;
    stage.receive(2, Some(7)).await;
    let keys = stage.store.find_ended(DeliveryFilter { states: vec![State::Dead], ..DeliveryFilter::default() }).await.unwrap();
    assert_eq!(stage.store.replay(keys.clone(), now()).await.unwrap(), 1);
    assert_eq!(stage.store.replay(keys, now()).await.unwrap(), 0, "a second replay finds nothing ended");
    assert_eq!(stage.states().await, [State::Blocked, State::Waiting]);
    let second = stage.claim(9).await.deliveries.remove(0);
    stage.end(&second, State::Delivered).await;
    assert_eq!(stage.states().await, [State::Waiting, State::Delivered]);
    stage.assert_audit().await;
}

#[tokio::test]
async fn one_row_that_cannot_be_read_does_not_stop_the_others() {
    let stage = Stage::open();
    stage.receive(1, None).await;
    stage.receive(2, None).await;
    stage.raw().execute("UPDATE event SET body = '{\"half' WHERE seq = 1", []).unwrap();
    stage.receive(3, None).await;
    stage.raw().execute("DELETE FROM event WHERE seq = 3", []).unwrap();
    let claimed = stage.claim(10).await.deliveries;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].key.event, 2);
    assert!(stage.claim(10).await.deliveries.is_empty());
}

#[tokio::test]
async fn a_write_that_fails_does_not_take_its_batch_with_it() {
    let stage = Stage::open();
    let mut unknown = event(9, None, &[stage.crm]);
    Arc::make_mut(&mut unknown.event).source = "unregistered".to_owned();
    let (good, bad, other) = tokio::join!(
        stage.store.receive(vec![event(1, None, &[stage.crm])]),
        stage.store.receive(vec![event(2, None, &[stage.crm]), unknown]),
        stage.store.receive(vec![event(3, None, &[stage.crm])]),
    );
    assert_eq!((good.unwrap(), other.unwrap()), (vec![Received::New], vec![Received::New]));
    assert!(bad.is_err());
    assert_eq!(stage.states().await.len(), 2, "the failed request left nothing behind");
    stage.assert_audit().await;
}

#[tokio::test]
async fn places_taken_for_a_write_that_failed_are_given_back() {
    let stage = Stage::open();
    let (room, mut handoffs) = attach_lane(&stage, 1);
    let mut unknown = event(9, None, &[]);
    Arc::make_mut(&mut unknown.event).source = "unregistered".to_owned();
    assert!(stage.store.receive(vec![event(1, None, &[stage.crm]), unknown]).await.is_err());
    assert!(handoffs.try_recv().is_err());
    assert!(room.try_enter());
}

fn refused(body: &str, class: QuarantineClass) -> Refused {
    Refused {
        source: "acme".to_owned(),
        at: now(),
        client: "203.0.113.9".to_owned(),
        header: None,
        body: body.to_owned().into(),
        code: "no_key_matched".to_owned(),
        reason: "no key matched".to_owned(),
        class,
    }
}

#[tokio::test]
async fn the_quarantine_is_bounded_and_no_class_pushes_out_another() {
    use QuarantineClass::{Hopeless, Promised, Refused};
    let stage = Stage::open();
    // A row takes 512 bytes beside its body: there is room for two or three.
    let limits = QuarantineLimits { max_bytes: 2_000 };
    let keep = async |size: usize, letter: &str, class| stage.store.quarantine(refused(&letter.repeat(size), class), limits).await.unwrap();
    let kept = |pushed_out| Quarantined::Kept { pushed_out };
    assert_eq!(keep(10, "a", Refused).await, kept(0));
    assert_eq!(keep(10, "a", Refused).await, kept(0), "a repetition is counted");
    assert_eq!(keep(900, "b", Promised).await, kept(0));
    assert_eq!(keep(700, "c", Refused).await, kept(0));
    assert_eq!(keep(11, "d", Refused).await, kept(1), "the largest makes room, so that a lead outlives a flood");
    assert_eq!(keep(2_000, "e", Refused).await, Quarantined::Full);
    assert_eq!(keep(900, "f", Promised).await, Quarantined::Full, "what was promised is never pushed out");
    assert_eq!(keep(10, "g", Hopeless).await, Quarantined::Full, "what can never verify gets a sixteenth");
    let mut sizes: Vec<i64> = stage.store.quarantined(None, 10).await.unwrap().iter().map(|row| row.size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [522, 523, 1_412]);
    assert_eq!(stage.store.count_quarantined().await.unwrap(), 3);
    assert_eq!(stage.store.purge_quarantine(None, None, false).await.unwrap(), 2);
    assert_eq!(stage.store.purge_quarantine(None, None, true).await.unwrap(), 1);
    assert_eq!(stage.store.count_quarantined().await.unwrap(), 0);
}

#[tokio::test]
async fn a_long_header_counts_too() {
    let stage = Stage::open();
    let limits = QuarantineLimits { max_bytes: 32_000 };
    for n in 0..20 {
        let header = Some(format!("{n}{}", "x".repeat(100_000)));
        stage.store.quarantine(Refused { header, ..refused("", QuarantineClass::Hopeless) }, limits).await.unwrap();
    }
    assert!(stage.store.count_quarantined().await.unwrap() <= 1);
}

#[tokio::test]
async fn only_a_person_ends_a_hold_without_end() {
    let stage = Stage::open();
    let later = now() + SignedDuration::from_secs(60);
    let hold = async || stage.store.holds().await.unwrap().remove(0).hold;
    stage.store.hold(stage.crm, "a person".to_owned(), None, now()).await.unwrap();
    stage.store.hold_by_attempt(stage.crm, "quota".to_owned(), Some(later), now()).await.unwrap();
    assert_eq!(hold().await.unwrap().reason, "a person");
    assert!(!stage.store.resume_expired(stage.crm, later).await.unwrap());
    assert!(stage.store.resume(stage.crm, later).await.unwrap());
    stage.store.hold_by_attempt(stage.crm, "quota".to_owned(), Some(later), now()).await.unwrap();
    assert!(!stage.store.resume_expired(stage.crm, now()).await.unwrap());
    assert!(stage.store.resume_expired(stage.crm, later).await.unwrap());
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
async fn a_claim_is_bounded_in_bytes_and_large_events_wait_in_the_store() {
    let stage = Stage::open();
    let (_room, mut handoffs) = attach_lane(&stage, 100);
    for n in 1..=4 {
        let mut new = event(n, None, &[stage.crm]);
        let event = Arc::make_mut(&mut new.event);
        event.content = Some("x".repeat(5 << 20));
        new.body = serde_json::to_string(event).unwrap();
        stage.store.receive(vec![new]).await.unwrap();
        assert!(matches!(handoffs.recv().await, Some(Handoff::Waiting)));
    }
    let claimed = stage.claim(10).await;
    assert_eq!(claimed.deliveries.len(), 2);
    assert!(claimed.next_due.is_some_and(|due| due <= now()), "the others are due at once");
    assert!(claimed.deliveries[0].places > 80);
}

#[tokio::test]
async fn retention_removes_what_was_delivered_and_nothing_else() {
    let stage = Stage::open();
    for n in 1..=4 {
        stage.receive(n, None).await;
    }
    let claimed = stage.claim(3).await.deliveries;
    stage.end(&claimed[0], State::Delivered).await;
    stage.end(&claimed[1], State::Skipped).await;
    stage.end(&claimed[2], State::Dead).await;
    assert_eq!(stage.store.remove_ended(now()).await.unwrap(), 2);
    assert_eq!(stage.store.remove_ended(now()).await.unwrap(), 0);
    assert_eq!(stage.states().await, [State::Dead, State::Waiting]);
    stage.assert_audit().await;
}

#[tokio::test]
async fn the_audit_finds_what_was_tampered_with() {
    for tampering in [
        "DELETE FROM delivery WHERE event = 1",
        "DELETE FROM event WHERE seq = 1",
        "UPDATE delivery SET state = 9 WHERE event = 1",
        "UPDATE delivery SET state = 3 WHERE event = 1",
        "UPDATE delivery SET state = 5, ended_at = 1 WHERE event = 1",
        "UPDATE delivery SET state = 0 WHERE event = 2",
        "UPDATE source SET received = 7",
        "UPDATE destination SET created = created + 1 WHERE name = 'crm'",
    ] {
        let stage = Stage::open();
        stage.receive(1, Some(7)).await;
        stage.receive(2, Some(7)).await;
        stage.assert_audit().await;
        stage.raw().execute(tampering, []).unwrap();
        let report = stage.store.audit().await.unwrap();
        assert!(!report.holds(), "not found: {tampering}");
    }
}

#[tokio::test]
async fn people_find_an_event_by_what_they_know() {
    let stage = Stage::open();
    stage.receive(1, Some(7)).await;
    stage.receive(2, Some(8)).await;
    let find = async |filter: EventFilter| stage.store.events(EventFilter { limit: 10, ..filter }).await.unwrap().len();
    assert_eq!(find(EventFilter { email: Some("P7@Example.com".to_owned()), ..EventFilter::default() }).await, 1);
    assert_eq!(find(EventFilter { phone: Some("(555) 0100".to_owned()), ..EventFilter::default() }).await, 2);
    assert_eq!(find(EventFilter { session: Some("2".to_owned()), ..EventFilter::default() }).await, 1);
    assert_eq!(find(EventFilter { source: Some("other".to_owned()), ..EventFilter::default() }).await, 0);
    assert_eq!(find(EventFilter { kind: Some("lead".to_owned()), since: Some(now()), ..EventFilter::default() }).await, 0);
    assert_eq!(find(EventFilter { email: Some("' OR 1=1 --".to_owned()), ..EventFilter::default() }).await, 0);
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
