//! All missed leads, page by page.

use super::filters;
use super::person::hide_contact;
use super::view::{Nav, View};
use super::words::{cursor, given, link};
use crate::console::access::Mask;
use crate::console::{Console, Refusal, Visitor};
use crate::store::Missed;
use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

/// On a page.
const ROWS: u32 = 100;

/// Before which one; empty is from the newest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Place {
    before: String,
}

#[derive(Template)]
#[template(path = "missed.html")]
struct AllMissed<'a> {
    view: &'a View,
    missed: Vec<Missed>,
    newest: Option<String>,
    older: Option<String>,
    back: String,
}

pub(in crate::console) async fn missed(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    place: web::Query<Place>,
) -> Result<HttpResponse, Refusal> {
    let page = |before: &str| link("/person/missed", &[("before", before)]);
    let mask = Mask::of(&visitor);
    let before = cursor(&place.before)?.unwrap_or(i64::MAX);
    let mut rows = console.store.missed_before(None, before, ROWS + 1).await?;
    let has_more = rows.len() > ROWS as usize;
    rows.truncate(ROWS as usize);
    let content = AllMissed {
        view: &view,
        newest: given(&place.before).map(|_| page("")),
        older: rows.last().filter(|_| has_more).map(|row| page(&row.event.to_string())),
        missed: rows.into_iter().map(|row| hide_contact(row, mask)).collect(),
        back: page(&place.before),
    };
    Ok(view.show("Missed leads", Some(Nav::Person), &content))
}
