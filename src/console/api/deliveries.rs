//! Deliveries, and what dead letters died of.

use super::asked::Asked;
use super::operation::{Answer, CURSOR, LIMIT, Operation, SINCE, text, word};
use super::page::page;
use super::status::List;
use super::{masked, ok};
use crate::console::{Console, Mask, Refusal, Visitor};
use crate::store::{DeliveryFilter, DeliveryRow, Hold, State};
use actix_web::{HttpResponse, web};
use std::collections::HashMap;
use uuid::Uuid;

const STATES: &[&str] = &["pending", "waiting", "leased", "blocked", "delivered", "skipped", "dead", "erased"];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        parameters: &[
            word("state", STATES, "In this state; `pending` is whatever has not ended."),
            text("destination", "To this destination."),
            text("cause", "Dead letters of this cause."),
            SINCE,
            LIMIT,
            CURSOR,
        ],
        more: "Newest first. What waits says what for.",
        ..Operation::get("listDeliveries", "/deliveries", "List deliveries", Answer::Page("Delivery"), || web::get().to(list))
    },
    Operation {
        parameters: &[text("destination", "To this destination.")],
        more: "The most frequent first.",
        ..Operation::get("listDeadCauses", "/dead-letters", "Dead letters by cause", Answer::List("DeadCause"), || web::get().to(causes))
    },
];

async fn list(visitor: Visitor, console: web::Data<Console>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let (mask, limit) = (Mask::of(&visitor), asked.limit());
    let filter = DeliveryFilter {
        states: states(asked.text("state").as_deref()),
        destination: asked.text("destination"),
        cause: asked.text("cause"),
        since: asked.moment("since")?,
        before: asked.cursor(read_cursor)?,
        limit: limit + 1,
    };
    let mut rows = console.store.deliveries(filter).await?;
    let holds = console.store.holds().await?.into_iter().filter_map(|row| Some((row.name, row.hold?)));
    let holds: HashMap<String, Hold> = holds.collect();
    rows.iter_mut().for_each(|row| row.tell_wait(holds.get(&row.destination)));
    let rows: Vec<_> = rows.into_iter().map(|row| masked::delivery(mask, row)).collect();
    page(&rows, limit, |row: &DeliveryRow| row.id.clone())
}

fn states(word: Option<&str>) -> Vec<State> {
    State::ALL
        .into_iter()
        .filter(|state| word.is_some_and(|word| state.as_str() == word || (word == "pending" && state.is_pending())))
        .collect()
}

/// A delivery's id: the event's and the destination's name.
fn read_cursor(text: &str) -> Option<(Uuid, String)> {
    let (event, destination) = text.split_once('_')?;
    Some((Uuid::try_parse(event).ok()?, destination.to_owned()))
}

async fn causes(visitor: Visitor, console: web::Data<Console>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let (mask, only) = (Mask::of(&visitor), asked.text("destination"));
    let causes = console.store.dead_causes().await?.into_iter();
    let items = causes.filter(|cause| only.as_ref().is_none_or(|only| *only == cause.destination)).map(|cause| masked::cause(mask, cause));
    Ok(ok(&List { items: items.collect() }))
}
