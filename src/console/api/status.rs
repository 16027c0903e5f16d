//! How things stand, and the sources.

use super::ok;
use super::operation::{Answer, Operation};
use crate::console::Console;
use crate::console::status::{SourceStatus, collect};
use crate::store::{Sightings, Silence};
use actix_web::{HttpResponse, web};
use jiff::Timestamp;
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
    /// What was seen of it; unknown while the store cannot be read.
    seen: Option<Sightings>,
    silence: Option<Silence>,
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
    let (mut items, now) = (Vec::new(), Timestamp::now());
    for status in &status.sources {
        let seen = console.store.sightings(&status.name).await.ok();
        let silence = seen.as_ref().and_then(|seen| seen.silence(now));
        items.push(Source { url: format!("{}/hooks/{}", console.public_url, status.name), status, seen, silence });
    }
    ok(&List { items })
}
