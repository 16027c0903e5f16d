//! What people did, and how far what they began is.

use super::asked::Asked;
use super::ok;
use super::operation::{Answer, CURSOR, LIMIT, Operation, Parameter, Shape};
use super::page::page;
use crate::console::actions::progress;
use crate::console::{Console, Kind, Refusal};
use crate::store::{ActionFilter, ActionRow};
use actix_web::{HttpResponse, web};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        parameters: &[Parameter { name: "since", shape: Shape::Moment, about: "Begun at or after." }, LIMIT, CURSOR],
        more: "Newest first: who, when, what, and to how many.",
        ..Operation::get("listActions", "/actions", "What people did", Answer::Page("Action"), || web::get().to(list))
    },
    Operation {
        more: "Of a job that goes on, `count` grows until `ended_at` is set.",
        refusals: &[Kind::NotFound],
        ..Operation::get("getAction", "/actions/{id}", "One action: how far it is", Answer::One("Action"), || web::get().to(one))
    },
];

async fn list(console: web::Data<Console>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let limit = asked.limit();
    let filter = ActionFilter { since: asked.moment("since")?, before: asked.cursor(|text| text.parse().ok())?, limit: limit + 1 };
    page(&console.store.actions(filter).await?, limit, |row: &ActionRow| row.id.to_string())
}

async fn one(console: web::Data<Console>, id: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let id = id.parse().map_err(|_| Refusal::new(Kind::NotFound, "actions have numbers, and this is none"))?;
    Ok(ok(&progress(&console, id).await?))
}
