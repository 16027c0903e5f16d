//! Route now: events that no route took, or that should go elsewhere, too.

use super::{Actor, Console, Done, Kind, Refusal, again, count, flag, given};
use crate::receive::{Intake, route_unrouted, routing};
use crate::store::{ACT_PIECE, Act, DestinationId, Entry, NewAction};
use jiff::Timestamp;
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

/// Events to be given deliveries.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RouteRequest {
    /// One event, by id.
    pub event: String,
    /// All events that no route took, tests aside.
    #[serde(deserialize_with = "flag")]
    pub unrouted: bool,
    /// The names of destinations, with commas between; empty is where the routes say.
    pub to: String,
}

/// Gives events deliveries. Asked twice, they are made once.
///
/// # Errors
/// When the visitor may not, there is no such event or destination, no route takes it, or the store fails.
pub async fn route(console: &Console, actor: &Actor, request: RouteRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let to = find_destinations(&console.intake, &request.to)?;
    let detail = given(&request.to).map_or_else(|| "by the routes".to_owned(), |to| format!("to {to}"));
    match (given(&request.event), request.unrouted) {
        (Some(id), _) => one(console, actor, &id, &to, detail).await,
        (None, true) => {
            all(console, actor, to, NewAction { detail, again: again([("unrouted", "on"), ("to", &request.to)]), ..NewAction::default() })
                .await
        }
        (None, false) => Err(Refusal::new(Kind::Invalid, "say which: one event, or all that no route took")),
    }
}

fn find_destinations(intake: &Intake, names: &str) -> Result<Vec<DestinationId>, Refusal> {
    let unknown = |name: &str| Refusal::new(Kind::NotFound, format!("there is no destination `{name}` in the configuration"));
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| intake.destinations.get(name).copied().ok_or_else(|| unknown(name))).collect()
}

async fn one(console: &Console, actor: &Actor, id: &str, to: &[DestinationId], detail: String) -> Result<Done, Refusal> {
    let gone = || Refusal::new(Kind::NotFound, "there is no event of this id");
    let event = Uuid::try_parse(id).map_err(|_| gone())?;
    let row = console.store.event(event).await?.ok_or_else(gone)?.row;
    if row.erased_at.is_some() {
        return Err(Refusal::new(Kind::Conflict, "the person of this event was erased; there is nothing to deliver"));
    }
    let routing = routing(&console.intake, &row.event, to);
    if routing.destinations.is_empty() {
        return Err(Refusal::new(Kind::Conflict, "no route takes this event; name a destination, or add a route to the configuration"));
    }
    let new = NewAction { detail, ..actor.acts("route", id, routing.destinations.len()) };
    let made = console.store.perform(Entry::New(new), Act::Route { routings: vec![routing] }, Timestamp::now()).await?;
    let none = "it goes there already; replay sends a delivery again";
    Ok(Done::now(made, if made == 0 { none.to_owned() } else { tell(made) }))
}

async fn all(console: &Console, actor: &Actor, to: Vec<DestinationId>, told: NewAction) -> Result<Done, Refusal> {
    let planned = usize::try_from(console.store.count_unrouted().await?).unwrap_or(0);
    let new = NewAction { detail: told.detail, again: told.again, ..actor.acts("route", "unrouted events", planned) };
    let id = console.store.begin_action(new, Timestamp::now()).await?;
    let (intake, store) = (Arc::clone(&console.intake), console.store.clone());
    let work = move || {
        let (intake, store, to) = (Arc::clone(&intake), store.clone(), to.clone());
        async move { route_unrouted(&intake, &store, &to, Some(id), || {}).await.map(|routed| routed.deliveries) }
    };
    if planned > ACT_PIECE {
        // What the pieces made is noted by themselves.
        let work = move || {
            let routed = work();
            async move { routed.await.map(|_| 0) }
        };
        console.jobs.start(&console.store, id, work);
        return Ok(Done { count: 0, message: format!("{} being routed", count(planned, "event")), job: Some(id) });
    }
    let made = work().await;
    console.store.end_action(id, 0, made.as_ref().err().map(ToString::to_string), Timestamp::now()).await?;
    let made = made?;
    let none = "no route takes any of them; name a destination, or add a route to the configuration";
    Ok(Done::now(made, if made == 0 { none.to_owned() } else { tell(made) }))
}

fn tell(made: usize) -> String {
    format!("{} made", count(made, "delivery").replace("ys", "ies"))
}
