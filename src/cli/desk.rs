//! Where a command reads: the store of the configuration, or a running bridge.

use super::Failure;
use super::remote::Server;
use crate::store::{
    ActionFilter, ActionRow, DeadCause, DeliveryFilter, DeliveryRow, EventDetail, EventFilter, EventRow, Hold, QuarantineRow, State, Store,
    delivery_id,
};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Both give the same answers. One of them is open for a whole command.
#[derive(Debug)]
pub(super) enum Desk {
    /// The store itself, beside whatever runs on it.
    Store(Store),
    /// A bridge, by its API.
    Server(Arc<Server>),
}

impl Desk {
    /// Newest first.
    pub(super) async fn events(&self, filter: EventFilter) -> Result<Vec<EventRow>, Failure> {
        match self {
            Self::Store(store) => Ok(store.events(filter).await?),
            Self::Server(server) => server.list(&["events"], &event_query(&filter), filter.limit).await,
        }
    }

    /// At most so many with ids that begin like `written`, which lie between these two.
    pub(super) async fn events_like(&self, written: &str, (first, last): (Uuid, Uuid), limit: u32) -> Result<Vec<EventRow>, Failure> {
        match self {
            Self::Store(store) => Ok(store.events_between(first, last, limit).await?),
            Self::Server(server) => server.list(&["events"], &[("id", written.to_owned())], limit).await,
        }
    }

    /// Everything about one event, which was there a moment ago.
    pub(super) async fn event(&self, id: Uuid) -> Result<EventDetail, Failure> {
        let gone = || Failure::Failed(format!("the event {id} was just removed"));
        match self {
            Self::Store(store) => store.event(id).await?.ok_or_else(gone),
            Self::Server(server) => server.get(&["events", &id.to_string()], &[]).await,
        }
    }

    /// Newest first; what waits says what for.
    pub(super) async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>, Failure> {
        let store = match self {
            Self::Store(store) => store,
            Self::Server(server) => return server.list(&["deliveries"], &delivery_query(&filter), filter.limit).await,
        };
        let mut rows = store.deliveries(filter).await?;
        let holds: HashMap<String, Hold> = store.holds().await?.into_iter().filter_map(|row| Some((row.name, row.hold?))).collect();
        rows.iter_mut().for_each(|row| row.tell_wait(holds.get(&row.destination)));
        Ok(rows)
    }

    /// The most frequent first.
    pub(super) async fn dead_causes(&self) -> Result<Vec<DeadCause>, Failure> {
        match self {
            Self::Store(store) => Ok(store.dead_causes().await?),
            Self::Server(server) => server.whole(&["dead-letters"]).await,
        }
    }

    /// The trail, newest first.
    pub(super) async fn actions(&self, filter: ActionFilter) -> Result<Vec<ActionRow>, Failure> {
        match self {
            Self::Store(store) => Ok(store.actions(filter).await?),
            Self::Server(server) => {
                let before = filter.before.map(|number| number.to_string()).unwrap_or_default();
                server.list(&["actions"], &[("since", moment(filter.since)), ("cursor", before)], filter.limit).await
            }
        }
    }

    /// Newest first.
    pub(super) async fn quarantined(&self, source: Option<String>, limit: u32) -> Result<Vec<QuarantineRow>, Failure> {
        match self {
            Self::Store(store) => Ok(store.quarantined(source, limit).await?),
            Self::Server(server) => server.list(&["quarantine"], &[("source", source.unwrap_or_default())], limit).await,
        }
    }
}

fn event_query(filter: &EventFilter) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let flag = |is_set: bool| if is_set { "true".to_owned() } else { String::new() };
    vec![
        ("q", text(&filter.text)),
        ("email", text(&filter.email)),
        ("phone", text(&filter.phone)),
        ("session", text(&filter.session)),
        ("source", text(&filter.source)),
        ("kind", text(&filter.kind)),
        ("chatbot", text(&filter.chatbot)),
        ("state", filter.state.map(|state| state.as_str().to_owned()).unwrap_or_default()),
        ("destination", text(&filter.destination)),
        ("since", moment(filter.since)),
        ("until", moment(filter.until)),
        ("unrouted", flag(filter.unrouted)),
        ("duplicates", flag(filter.duplicates)),
        ("cursor", filter.before.map(|id| id.to_string()).unwrap_or_default()),
    ]
}

fn delivery_query(filter: &DeliveryFilter) -> Vec<(&'static str, String)> {
    let state = match filter.states.as_slice() {
        [] => "",
        [only] => State::as_str(*only),
        // Commands ask for one state, or for all that are pending.
        _ => "pending",
    };
    let cursor = filter.before.as_ref().map(|(event, destination)| delivery_id(*event, destination));
    vec![
        ("state", state.to_owned()),
        ("destination", filter.destination.clone().unwrap_or_default()),
        ("cause", filter.cause.clone().unwrap_or_default()),
        ("since", moment(filter.since)),
        ("cursor", cursor.unwrap_or_default()),
    ]
}

fn moment(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}
