//! Stories about store and spool together.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::*;
use crate::store::{EventFilter, inspect_spool};
use leadwire_connector::Event;
use serde_json::json;
use std::collections::BTreeMap;
use tempfile::TempDir;
use uuid::Uuid;

struct Stage {
    folder: TempDir,
    keeper: Keeper,
}

impl Stage {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["crm".to_owned()];
        let store = Store::sqlite(&folder.path().join("l.db"), &["acme".to_owned()], &names).unwrap();
        let spool = Spool::open(&folder.path().join("spool"), 64 << 20).unwrap();
        let keeper = Keeper::new(store, Some(spool), QuarantineLimits { max_bytes: 1 << 20 }, &names);
        Self { folder, keeper }
    }

    fn event(&self, n: u32, person: u8) -> NewEvent {
        let event: Event = serde_json::from_value(json!({
            "id": Uuid::now_v7(), "kind": "lead", "source": "acme", "chatbot_id": null,
            "person": {"first_name": null, "last_name": null, "email": format!("p{person}@example.com"), "phone": null},
            "content": "x", "session_id": n.to_string(), "page_url": null, "created_at": null, "received_at": "2026-11-22T09:00:00Z",
            "extra": {}, "raw": {"n": n}
        }))
        .unwrap();
        let mut content_key = [0; 24];
        content_key[..4].copy_from_slice(&n.to_be_bytes());
        let body = serde_json::to_string(&event).unwrap();
        let destinations = vec![self.keeper.shared.store.destination_id("crm").unwrap()];
        NewEvent { event: Arc::new(event), content_key, person_key: Some([person; 16]), destinations, body, receipt: None }
    }

    /// As an earlier outage would leave it.
    async fn spool(&self, events: impl IntoIterator<Item = NewEvent>) {
        let appends = events.into_iter().map(|event| async move {
            let entry = Entry::of_events(&[event], &self.keeper.shared.names.now()).unwrap();
            self.keeper.shared.spool.as_ref().unwrap().append(&entry).await.unwrap();
        });
        futures_util::future::join_all(appends).await;
    }

    /// Session ids by person, in the order of the store.
    async fn stored(&self) -> BTreeMap<String, Vec<u32>> {
        let mut rows = self.keeper.shared.store.events(EventFilter { limit: 100_000, ..EventFilter::default() }).await.unwrap();
        rows.reverse();
        let mut stored = BTreeMap::<_, Vec<u32>>::new();
        for row in rows {
            assert_eq!(row.deliveries.len(), 1);
            stored.entry(row.event.person.email.unwrap()).or_default().push(row.event.session_id.unwrap().parse().unwrap());
        }
        stored
    }
}

#[tokio::test]
async fn what_comes_later_joins_the_spool_until_it_is_empty() {
    let stage = Stage::open();
    stage.spool((0..3).map(|n| stage.event(n, 1))).await;
    assert_eq!(stage.keeper.receive(vec![stage.event(3, 1)]).await.unwrap(), Kept::Spooled, "although the store is well");
    assert_eq!(stage.keeper.condition().spool.unwrap().records, 4);
    drain::empty(&stage.keeper, stage.keeper.shared.spool.as_ref().unwrap(), &mut Telling::default()).await;
    assert_eq!(stage.keeper.receive(vec![stage.event(4, 1)]).await.unwrap(), Kept::Stored(vec![Received::New]));
    assert_eq!(stage.stored().await["p1@example.com"], [0, 1, 2, 3, 4]);
    assert_eq!(inspect_spool(&stage.folder.path().join("spool")).unwrap().records, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_overtaken_while_a_long_spool_is_brought_over_under_load() {
    let stage = Stage::open();
    stage.spool((0..1_500).map(|n| stage.event(n, u8::try_from(n % 5).unwrap()))).await;
    let drain = stage.keeper.start();
    let person = |person: u8| {
        let stage = &stage;
        async move {
            let (mut n, mut direct) = (1_500 + u32::from(person), 0);
            while direct < 20 {
                let kept = stage.keeper.receive(vec![stage.event(n, person)]).await.unwrap();
                direct += u32::from(kept != Kept::Spooled);
                n += 5;
            }
        }
    };
    futures_util::future::join_all((0..5).map(person)).await;
    drain.abort();
    let stored = stage.stored().await;
    assert_eq!(stored.len(), 5);
    for sessions in stored.values() {
        let first = sessions[0];
        let expected: Vec<u32> = (0..u32::try_from(sessions.len()).unwrap()).map(|n| first + 5 * n).collect();
        assert_eq!(sessions, &expected, "in order, and none is missing");
    }
}

#[tokio::test]
async fn a_refusal_is_no_sickness_and_does_not_go_to_the_spool() {
    let stage = Stage::open();
    let mut stranger = stage.event(1, 1);
    let mut event = (*stranger.event).clone();
    event.source = "unknown".to_owned();
    stranger.event = Arc::new(event);
    assert!(matches!(stage.keeper.receive(vec![stranger]).await, Err(Error::Refused(_))));
    let condition = stage.keeper.condition();
    assert_eq!((condition.sick_for, condition.failures, condition.spool.unwrap().records), (None, 0, 0));
}

#[tokio::test]
async fn a_sign_of_any_size_can_be_committed_and_leaves_nothing() {
    let stage = Stage::open();
    let size = || std::fs::metadata(stage.folder.path().join("l.db-wal")).unwrap().len();
    for _ in 0..2 {
        let before = size();
        stage.keeper.shared.store.prove(1 << 20).await.unwrap();
        assert!(size() - before >= 1 << 20, "it was not written");
    }
    assert!(stage.keeper.shared.store.audit().await.unwrap().holds());
}
