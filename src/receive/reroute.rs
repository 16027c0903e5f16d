//! Giving events that are in the store deliveries after all: by the rules as they are now, or where a person says.

use super::intake::Intake;
use crate::normalize::PersonKey;
use crate::store::{Act, DestinationId, Entry, Result, Routing, Store};
use jiff::Timestamp;
use leadwire_connector::Event;

/// Events read in one go, so that memory stays bounded by a few bodies.
const PIECE: u32 = 16;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rerouted {
    /// Events that no route had taken.
    pub unrouted: usize,
    /// Those of them that go somewhere now.
    pub events: usize,
    /// Deliveries that they were given.
    pub deliveries: usize,
}

/// Where an event goes now: to these destinations, or, without any, by the rules.
#[must_use]
pub fn routing(intake: &Intake, event: &Event, to: &[DestinationId]) -> Routing {
    let destinations = if to.is_empty() { intake.route(event) } else { to.to_vec() };
    Routing { event: event.id, person_key: PersonKey::of(event).map(|key| key.0), destinations }
}

/// Routes every event that no route took, oldest first. With the number of an `action` they are given their deliveries, noted there;
/// without one they are only counted. Asked again, it finds what is left.
///
/// `progress` is called after each event.
///
/// # Errors
/// When the store fails; what was routed until then stays routed.
pub async fn route_unrouted(
    intake: &Intake,
    store: &Store,
    to: &[DestinationId],
    action: Option<i64>,
    mut progress: impl FnMut(),
) -> Result<Rerouted> {
    let (mut report, mut after) = (Rerouted::default(), i64::MIN);
    loop {
        let piece = store.unrouted_after(after, PIECE).await?;
        let Some(last) = piece.last() else { return Ok(report) };
        after = last.seq;
        let mut routings = Vec::new();
        for unrouted in &piece {
            match serde_json::from_str::<Event>(&unrouted.body) {
                Ok(event) => routings.push(routing(intake, &event, to)),
                Err(error) => tracing::error!("the stored event {} cannot be read, and is not routed: {error}", unrouted.seq),
            }
            progress();
        }
        routings.retain(|routing| !routing.destinations.is_empty());
        report.unrouted += piece.len();
        report.events += routings.len();
        report.deliveries += match action {
            Some(_) if routings.is_empty() => 0,
            Some(id) => store.perform(Entry::Ongoing(id), Act::Route { routings }, Timestamp::now()).await?,
            None => routings.iter().map(|routing| routing.destinations.len()).sum(),
        };
    }
}
