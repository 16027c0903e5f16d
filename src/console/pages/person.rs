//! *Needs a person*: what the bridge cannot end by itself, and what people did about it.

use super::causes::{remedy, words};
use super::filters;
use super::leads::Row;
use super::trail::Line;
use super::view::{Nav, View};
use super::words::link;
use crate::console::access::Mask;
use crate::console::{Console, Refusal, Visitor};
use crate::store::{ActionFilter, DeadCause, EventFilter, Missed, QuarantineRow};
use actix_web::{HttpResponse, web};
use askama::Template;
use std::collections::BTreeSet;

/// Causes on the page, the most frequent first.
const CAUSES: usize = 50;
/// Of everything else.
const ROWS: u32 = 20;
/// Lines of the trail in which what is under way is looked for.
const TRAIL: u32 = 50;
/// Lines of the trail on the page.
const LAST: usize = 10;

#[derive(Template)]
#[template(path = "person.html")]
struct Person<'a> {
    view: &'a View,
    dead: i64,
    causes: Vec<Cause>,
    causes_left_out: usize,
    quarantined: i64,
    bodies: Vec<QuarantineRow>,
    has_more_bodies: bool,
    /// Sources of the bodies, each with whether it has a key.
    refusing: Vec<(String, bool)>,
    unrouted: i64,
    events: Vec<Row>,
    destinations: Vec<&'a str>,
    missed: Vec<Missed>,
    has_more_missed: bool,
    under_way: Vec<Line>,
    interrupted: Vec<Line>,
    last: Vec<Line>,
}

/// Dead letters of one destination that died of the same.
pub(super) struct Cause {
    pub(super) row: DeadCause,
    pub(super) words: String,
    pub(super) remedy: &'static str,
    /// Where they are listed.
    pub(super) list: String,
}

impl Cause {
    pub(super) fn of(mut row: DeadCause, mask: Mask) -> Self {
        row.message = mask.text(&row.message).into_owned();
        let list = link("/person/dead", &[("destination", &row.destination), ("cause", &row.cause)]);
        Self { words: words(&row.cause), remedy: remedy(&row.cause), list, row }
    }
}

impl Person<'_> {
    fn is_quiet(&self) -> bool {
        self.dead == 0 && self.quarantined == 0 && self.unrouted == 0 && self.missed.is_empty()
    }
}

pub(in crate::console) async fn person(view: View, visitor: Visitor, console: web::Data<Console>) -> Result<HttpResponse, Refusal> {
    let mask = Mask::of(&visitor);
    let store = &console.store;
    let causes = store.dead_causes().await?;
    let bodies = store.quarantined(None, ROWS + 1).await?;
    let unrouted = EventFilter { unrouted: true, limit: ROWS, ..EventFilter::default() };
    let missed = store.missed(None, ROWS + 1).await?;
    let trail = store.actions(ActionFilter { limit: TRAIL, ..ActionFilter::default() }).await?;
    let lines: Vec<Line> = trail.into_iter().map(Line::of).collect();
    let (under_way, ended): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(Line::is_under_way);
    let content = Person {
        view: &view,
        dead: causes.iter().map(|cause| cause.count).sum(),
        causes_left_out: causes.len().saturating_sub(CAUSES),
        causes: causes.into_iter().take(CAUSES).map(|row| Cause::of(row, mask)).collect(),
        has_more_bodies: bodies.len() > ROWS as usize,
        quarantined: store.count_quarantined().await?,
        refusing: refusing(&console, &bodies),
        bodies: bodies.into_iter().take(ROWS as usize).map(|row| hide_client(row, mask)).collect(),
        unrouted: store.count_unrouted().await?,
        events: store.events(unrouted).await?.into_iter().map(|row| Row::of(row, mask)).collect(),
        destinations: console.connectors.keys().map(String::as_str).collect(),
        has_more_missed: missed.len() > ROWS as usize,
        missed: missed.into_iter().take(ROWS as usize).map(|row| hide_contact(row, mask)).collect(),
        under_way,
        interrupted: ended.iter().filter(|line| line.can_go_on()).cloned().collect(),
        last: ended.into_iter().take(LAST).collect(),
    };
    Ok(view.show("Needs a person", Some(Nav::Person), &content))
}

/// The sources of these bodies, each with whether it has a key to verify them with.
pub(super) fn refusing(console: &Console, bodies: &[QuarantineRow]) -> Vec<(String, bool)> {
    let names: BTreeSet<&str> = bodies.iter().map(|row| row.source.as_str()).collect();
    let has_key = |name: &str| console.sources.get(name).copied().unwrap_or(false);
    names.into_iter().map(|name| (name.to_owned(), has_key(name))).collect()
}

/// An address may be a person's.
pub(super) fn hide_client(mut row: QuarantineRow, mask: Mask) -> QuarantineRow {
    row.client = mask.text(&row.client).into_owned();
    row
}

pub(super) fn hide_contact(mut row: Missed, mask: Mask) -> Missed {
    row.email = row.email.map(|email| mask.email(&email).into_owned());
    row.phone = row.phone.map(|phone| mask.phone(&phone).into_owned());
    row
}
