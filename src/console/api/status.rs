//! How things stand, and the sources.

use super::ok;
use super::operation::{Answer, Operation};
use crate::console::Console;
use crate::console::status::{SourceStatus, collect};
use actix_web::{HttpResponse, web};
use serde::Serialize;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        more: "Answered also while the store cannot be read, without what only the store knows.",
        ..Operation::get("getStatus", "/status", "How things stand", Answer::One("Status"), || web::get().to(status))
    },
    Operation::get("listSources", "/sources", "The sources, with what senders post to", Answer::List("Source"), || web::get().to(sources)),
];

#[derive(Serialize)]
struct Source<'a> {
    #[serde(flatten)]
    status: &'a SourceStatus,
    /// What the platform is given.
    url: String,
}

#[derive(Serialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
}

async fn status(console: web::Data<Console>) -> HttpResponse {
    ok(&collect(&console).await)
}

async fn sources(console: web::Data<Console>) -> HttpResponse {
    let status = collect(&console).await;
    let source = |status: &'_ SourceStatus| format!("{}/hooks/{}", console.public_url, status.name);
    ok(&List { items: status.sources.iter().map(|status| Source { url: source(status), status }).collect() })
}
