//! Missed leads.

use super::asked::Asked;
use super::operation::{Answer, LIMIT, Operation, Parameter, Shape};
use super::status::List;
use super::{masked, ok};
use crate::console::{Console, Mask, Refusal, Visitor};
use actix_web::{HttpResponse, web};

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    parameters: &[Parameter { name: "since", shape: Shape::Moment, about: "Of conversations received at or after." }, LIMIT],
    more: "Conversations in which a visitor left a contact although no lead came, and that nobody has settled; newest first.",
    ..Operation::get("listMissed", "/missed", "Missed leads", Answer::List("Missed"), || web::get().to(list))
}];

async fn list(visitor: Visitor, console: web::Data<Console>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let mask = Mask::of(&visitor);
    let rows = console.store.missed(asked.moment("since")?, asked.limit()).await?;
    Ok(ok(&List { items: rows.into_iter().map(|row| masked::missed(mask, row)).collect() }))
}
