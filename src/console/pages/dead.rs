//! The dead letters of one destination and cause, to be replayed or discarded one by one.

use super::causes::{remedy, words};
use super::filters;
use super::view::{Nav, View};
use super::words::{first_line, given, link};
use crate::console::access::Mask;
use crate::console::{Console, Kind, Refusal, Visitor};
use crate::store::{DeliveryFilter, DeliveryRow, State};
use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

/// Of one page: the newest. More than that nobody goes through one by one.
const ROWS: u32 = 100;

/// Which ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Which {
    destination: String,
    cause: String,
}

#[derive(Template)]
#[template(path = "dead.html")]
struct Dead<'a> {
    view: &'a View,
    which: &'a Which,
    words: String,
    remedy: &'static str,
    rows: Vec<DeliveryRow>,
    has_more: bool,
    back: String,
}

pub(in crate::console) async fn dead(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    which: web::Query<Which>,
) -> Result<HttpResponse, Refusal> {
    let wrong = || Refusal::new(Kind::Invalid, "say which dead letters: of a destination and a cause, as the links of the page before do");
    let (destination, cause) = given(&which.destination).zip(given(&which.cause)).ok_or_else(wrong)?;
    let mask = Mask::of(&visitor);
    let filter = DeliveryFilter {
        states: vec![State::Dead],
        destination: Some(destination.to_owned()),
        cause: Some(cause.to_owned()),
        limit: ROWS + 1,
        ..DeliveryFilter::default()
    };
    let mut rows = console.store.deliveries(filter).await?;
    let has_more = rows.len() > ROWS as usize;
    rows.truncate(ROWS as usize);
    for row in &mut rows {
        row.remark = row.remark.as_deref().map(|remark| first_line(&mask.text(remark)));
    }
    let back = link("/person/dead", &[("destination", destination), ("cause", cause)]);
    let content = Dead { view: &view, which: &which, words: words(cause), remedy: remedy(cause), rows, has_more, back };
    Ok(view.show(&format!("Dead letters at {destination}"), Some(Nav::Person), &content))
}
