//! The quarantine of a source, and one body of it.

use super::filters;
use super::person::{hide_client, refusing};
use super::view::{Nav, View};
use super::words::{cursor, given, link};
use crate::console::access::Mask;
use crate::console::actions::{Actor, Body, look};
use crate::console::{Console, Refusal, Visitor};
use crate::store::QuarantineRow;
use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

/// On a page.
const ROWS: u32 = 200;

/// Of which source, and before which number; empty is all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Which {
    source: String,
    before: String,
}

impl Which {
    /// The page that begins after this body; from the newest without one.
    fn page(&self, before: &str) -> String {
        link("/person/quarantine", &[("source", &self.source), ("before", before)])
    }
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct Quarantine<'a> {
    view: &'a View,
    source: &'a str,
    sources: Vec<&'a str>,
    bodies: Vec<QuarantineRow>,
    refusing: Vec<(String, bool)>,
    newest: Option<String>,
    older: Option<String>,
    back: String,
}

pub(in crate::console) async fn quarantine(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    which: web::Query<Which>,
) -> Result<HttpResponse, Refusal> {
    let source = given(&which.source);
    let before = cursor(&which.before)?.unwrap_or(i64::MAX);
    let mut bodies = console.store.quarantined_before(source.map(str::to_owned), before, ROWS + 1).await?;
    let has_more = bodies.len() > ROWS as usize;
    bodies.truncate(ROWS as usize);
    let content = Quarantine {
        view: &view,
        source: source.unwrap_or_default(),
        sources: console.sources.keys().map(String::as_str).collect(),
        refusing: refusing(&console, &bodies),
        newest: given(&which.before).map(|_| which.page("")),
        older: bodies.last().filter(|_| has_more).map(|row| which.page(&row.id.to_string())),
        bodies: bodies.into_iter().map(|row| hide_client(row, Mask::of(&visitor))).collect(),
        back: which.page(&which.before),
    };
    Ok(view.show("Quarantine", Some(Nav::Person), &content))
}

#[derive(Template)]
#[template(path = "body.html")]
struct OneBody<'a> {
    view: &'a View,
    body: &'a Body,
    has_key: bool,
}

impl OneBody<'_> {
    /// Whether its sender was told success: then nobody sends it again.
    fn is_promised(&self) -> bool {
        self.body.row.code == "awaiting_key"
    }
}

pub(in crate::console) async fn body(
    view: View,
    actor: Actor,
    console: web::Data<Console>,
    id: web::Path<i64>,
) -> Result<HttpResponse, Refusal> {
    let id = id.into_inner();
    let body = look(&console, &actor, id).await?;
    let has_key = console.sources.get(&body.row.source).copied().unwrap_or(false);
    let content = OneBody { view: &view, body: &body, has_key };
    Ok(view.show(&format!("Body {id} in the quarantine"), Some(Nav::Person), &content))
}
