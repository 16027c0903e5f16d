//! The dead letters of one destination and cause, to be replayed or discarded one by one.

use super::causes::{remedy, words};
use super::filters;
use super::view::{Nav, View};
use super::words::{cursor, first_line, given, link};
use crate::console::access::Mask;
use crate::console::{Console, Kind, Refusal, Visitor};
use crate::store::{DeliveryFilter, DeliveryRow, State};
use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

/// On a page.
const ROWS: u32 = 100;

/// Which ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Which {
    destination: String,
    cause: String,
    before: String,
}

impl Which {
    /// The page that begins after the dead letter of this event; from the newest without one.
    fn page(&self, before: &str) -> String {
        link("/person/dead", &[("destination", &self.destination), ("cause", &self.cause), ("before", before)])
    }
}

#[derive(Template)]
#[template(path = "dead.html")]
struct Dead<'a> {
    view: &'a View,
    which: &'a Which,
    words: String,
    remedy: &'static str,
    rows: Vec<DeliveryRow>,
    newest: Option<String>,
    older: Option<String>,
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
        before: cursor(&which.before)?.map(|event| (event, destination.to_owned())),
        limit: ROWS + 1,
        ..DeliveryFilter::default()
    };
    let mut rows = console.store.deliveries(filter).await?;
    let has_more = rows.len() > ROWS as usize;
    rows.truncate(ROWS as usize);
    for row in &mut rows {
        row.remark = row.remark.as_deref().map(|remark| first_line(&mask.text(remark)));
    }
    let content = Dead {
        view: &view,
        which: &which,
        words: words(cause),
        remedy: remedy(cause),
        newest: given(&which.before).map(|_| which.page("")),
        older: rows.last().filter(|_| has_more).map(|row| which.page(&row.event.to_string())),
        rows,
        back: which.page(&which.before),
    };
    Ok(view.show(&format!("Dead letters at {destination}"), Some(Nav::Person), &content))
}
