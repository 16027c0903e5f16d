//! Missed leads.

use super::asked::Asked;
use super::masked;
use super::operation::{Answer, CURSOR, LIMIT, Operation, Parameter, Shape};
use super::page::page;
use crate::console::{Console, Mask, Refusal, Visitor};
use crate::store::Missed;
use actix_web::{HttpResponse, web};

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    parameters: &[Parameter { name: "since", shape: Shape::Moment, about: "Of conversations received at or after." }, LIMIT, CURSOR],
    more: "Conversations in which a visitor left a contact although no lead came, and that nobody has settled; newest first.",
    ..Operation::get("listMissed", "/missed", "Missed leads", Answer::Page("Missed"), || web::get().to(list))
}];

async fn list(visitor: Visitor, console: web::Data<Console>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let (mask, limit) = (Mask::of(&visitor), asked.limit());
    let before = asked.cursor(|text| text.parse().ok())?.unwrap_or(i64::MAX);
    let rows = console.store.missed_before(asked.moment("since")?, before, limit + 1).await?;
    let rows: Vec<Missed> = rows.into_iter().map(|row| masked::missed(mask, row)).collect();
    page(&rows, limit, |row| row.event.to_string())
}
