//! The quarantine.

use super::asked::Asked;
use super::ok;
use super::operation::{Answer, CURSOR, LIMIT, Operation, text};
use super::page::page;
use crate::console::actions::{Actor, look};
use crate::console::{Console, Kind, Refusal};
use crate::store::QuarantineRow;
use actix_web::{HttpResponse, web};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        parameters: &[text("source", "Only of this source."), LIMIT, CURSOR],
        more: "Newest first, with the reason of each refusal.",
        ..Operation::get("listQuarantine", "/quarantine", "Bodies that could not be verified", Answer::Page("QuarantinedBody"), || {
            web::get().to(list)
        })
    },
    Operation {
        more: "Its first 16 KiB. Not for those who see persons masked: nobody knows what is in it.",
        refusals: &[Kind::NotFound, Kind::Forbidden],
        ..Operation::get(
            "getQuarantinedBody",
            "/quarantine/{id}",
            "One of them, with its beginning",
            Answer::One("QuarantinedExcerpt"),
            || web::get().to(one),
        )
    },
];

async fn list(console: web::Data<Console>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let limit = asked.limit();
    let before = asked.cursor(|text| text.parse().ok())?.unwrap_or(i64::MAX);
    let rows = console.store.quarantined_before(asked.text("source"), before, limit + 1).await?;
    page(&rows, limit, |row: &QuarantineRow| row.id.to_string())
}

async fn one(console: web::Data<Console>, actor: Actor, id: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let id = id.parse().map_err(|_| Refusal::new(Kind::NotFound, "quarantined bodies have numbers, and this is none"))?;
    Ok(ok(&look(&console, &actor, id).await?))
}
