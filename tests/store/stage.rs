//! Where stories happen: a store on one of the engines, and events to put into it.

use crate::postgres;
use jiff::{SignedDuration, Timestamp};
use leadwire::store::{
    Claimed, DeliveryFilter, DestinationId, Ended, EventFilter, EventRow, Handoff, LaneEnd, Leased, NewEvent, Outcome, Ownership, Received,
    Room, Settlement, State, Store,
};
use leadwire_connector::Event;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

/// Names whose order differs between bytes and what people call alphabetical.
pub(crate) const SOURCES: [&str; 2] = ["acme", "Beta"];
pub(crate) const DESTINATIONS: [&str; 3] = ["crm", "Drop", "a-list"];

/// Only a story that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Where the rows are. Removed when dropped.
enum Place {
    File(TempDir),
    Database(String),
}

impl Place {
    fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::File(tempfile::tempdir().unwrap()),
            Engine::Postgres => Self::Database(postgres::database()),
        }
    }

    async fn open(&self) -> Store {
        let (sources, destinations) = (SOURCES.map(str::to_owned), DESTINATIONS.map(str::to_owned));
        match self {
            Self::File(folder) => Store::sqlite(&folder.path().join("l.db"), &sources, &destinations).unwrap(),
            Self::Database(url) => Store::postgres(url, &sources, &destinations).await.unwrap(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Database(url) = self {
            postgres::drop_database(url);
        }
    }
}

pub(crate) struct Stage {
    pub(crate) store: Store,
    /// Given up before the place goes.
    ownership: Option<Ownership>,
    pub(crate) crm: DestinationId,
    pub(crate) drop: DestinationId,
    place: Place,
}

impl Stage {
    /// An empty store that this process delivers from.
    pub(crate) async fn open(engine: Engine) -> Self {
        let place = Place::new(engine);
        let store = place.open().await;
        let ownership = Some(store.take_ownership().await.unwrap());
        let [crm, drop, _] = DESTINATIONS.map(|name| store.destination_id(name).unwrap());
        Self { store, ownership, crm, drop, place }
    }

    /// The same store after the program ended in order and started again.
    pub(crate) async fn restart(self) -> Self {
        let Self { store, ownership, crm, drop, place } = self;
        store.sign_off(Timestamp::now()).await.unwrap();
        std::mem::drop((ownership, store));
        let store = place.open().await;
        let ownership = Some(store.take_ownership().await.unwrap());
        Self { store, ownership, crm, drop, place }
    }

    /// Another handle on the same store, as another process has it. On an engine for many bridges it delivers too.
    pub(crate) async fn another(&self) -> (Store, Option<Ownership>) {
        let store = self.place.open().await;
        match self.place {
            Place::File(_) => (store, None),
            Place::Database(_) => {
                let ownership = store.take_ownership().await.unwrap();
                (store, Some(ownership))
            }
        }
    }

    /// Whether more than one process may deliver from the store.
    pub(crate) fn is_shared(&self) -> bool {
        match self.place {
            Place::File(_) => false,
            Place::Database(_) => true,
        }
    }

    /// How often transactions waited for each other in a circle, on this server, since it was started.
    pub(crate) fn deadlocks(&self) -> usize {
        match &self.place {
            Place::File(_) => 0,
            // Of this database alone: other stories go on beside.
            Place::Database(url) => {
                postgres::execute(url, "select deadlocks from pg_stat_database where datname = current_database()").trim().parse().unwrap()
            }
        }
    }

    /// Changes rows behind the store's back.
    pub(crate) fn tamper(&self, sql: &str) {
        match &self.place {
            Place::File(folder) => {
                let connection = rusqlite::Connection::open(folder.path().join("l.db")).unwrap();
                connection.busy_timeout(PATIENCE).unwrap();
                connection.pragma_update(None, "foreign_keys", false).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            Place::Database(url) => drop(postgres::execute(url, sql)),
        }
    }

    /// Receives event `n` of this person for the CRM.
    pub(crate) async fn receive(&self, n: u64, person: Option<u8>) -> Received {
        self.receive_one(again(event(n, person, &[self.crm]))).await
    }

    pub(crate) async fn receive_one(&self, new: NewEvent) -> Received {
        self.store.receive(vec![new]).await.unwrap()[0]
    }

    pub(crate) async fn claim(&self, limit: u32) -> Claimed {
        self.store.claim(self.crm, limit, now()).await.unwrap()
    }

    pub(crate) async fn claim_one(&self) -> Leased {
        self.claim(1).await.deliveries.remove(0)
    }

    /// Ends a lease; skipped and dead ones with a reason.
    pub(crate) async fn end(&self, leased: &Leased, state: State) {
        let remark = (state != State::Delivered).then(|| "for a reason".to_owned());
        self.settle(leased, Outcome::Ended(Ended { state, record: None, remark })).await;
    }

    pub(crate) async fn settle(&self, leased: &Leased, outcome: Outcome) {
        self.store.settle(settlement(leased, outcome)).await.unwrap();
    }

    /// The states of all deliveries, oldest event first.
    pub(crate) async fn states(&self) -> Vec<State> {
        let mut deliveries = self.store.deliveries(DeliveryFilter { limit: 10_000, ..DeliveryFilter::default() }).await.unwrap();
        deliveries.reverse();
        deliveries.iter().map(|delivery| delivery.state).collect()
    }

    pub(crate) async fn find(&self, filter: EventFilter) -> Vec<EventRow> {
        self.store.events(EventFilter { limit: 10_000, ..filter }).await.unwrap()
    }

    pub(crate) async fn assert_audit(&self) {
        let report = self.store.audit().await.unwrap();
        assert!(report.holds(), "{:?}", report.findings);
    }

    /// Gives the CRM a lane with so many places, and an end to see what is handed to it.
    pub(crate) fn attach_lane(&self, places: u32) -> (Arc<Room>, UnboundedReceiver<Handoff>) {
        let room = Arc::new(Room::new(places));
        room.set_open(true);
        let (inbox, handoffs) = unbounded_channel();
        self.store.set_lanes(HashMap::from([(self.crm, LaneEnd { room: Arc::clone(&room), inbox })]));
        (room, handoffs)
    }
}

/// The next thing a lane is told.
pub(crate) async fn next(handoffs: &mut UnboundedReceiver<Handoff>) -> Handoff {
    tokio::time::timeout(PATIENCE, handoffs.recv()).await.expect("the lane is told").expect("the store is open")
}

/// The next delivery that is handed to a lane.
pub(crate) async fn next_leased(handoffs: &mut UnboundedReceiver<Handoff>) -> Leased {
    loop {
        if let Handoff::Leased(leased) = next(handoffs).await {
            return leased;
        }
    }
}

pub(crate) fn settlement(leased: &Leased, outcome: Outcome) -> Settlement {
    Settlement { key: leased.key, lease: leased.lease, person_key: leased.person_key, outcome, at: now(), attempt: None }
}

/// The moment of the stories, an hour after the events were received.
pub(crate) fn now() -> Timestamp {
    "2024-11-22T10:00:00Z".parse().unwrap()
}

pub(crate) fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// Event `n`, whose number is its content: the same number again is a duplicate.
pub(crate) fn event(n: u64, person: Option<u8>, destinations: &[DestinationId]) -> NewEvent {
    let id = Uuid::from_u128(0x0199_f3c2_0000_7000_8000_0000_0000_0000 | u128::from(n));
    let event = serde_json::from_value(json!({
        "id": id, "kind": "lead", "source": SOURCES[0], "chatbot_id": null,
        "person": {"first_name": null, "last_name": null, "email": person.map(|p| format!("p{p}@example.com")), "phone": "+1 555-0100"},
        "content": "x", "session_id": n.to_string(), "page_url": null, "created_at": null, "received_at": "2024-11-22T09:00:00Z",
        "extra": {}, "raw": {"n": n}
    }));
    let mut content_key = [0; 24];
    content_key[16..].copy_from_slice(&n.to_be_bytes());
    let person_key = person.map(|p| [p; 16]);
    let new = NewEvent {
        event: Arc::new(event.unwrap()),
        content_key,
        person_key,
        destinations: destinations.to_vec(),
        body: String::new(),
        receipt: None,
    };
    with(new, |_| {})
}

/// The same content, received another time.
pub(crate) fn again(new: NewEvent) -> NewEvent {
    with(new, |event| event.id = Uuid::now_v7())
}

/// The same event with something changed.
pub(crate) fn with(mut new: NewEvent, change: impl FnOnce(&mut Event)) -> NewEvent {
    let event = Arc::make_mut(&mut new.event);
    change(event);
    new.body = serde_json::to_string(event).unwrap();
    new
}
