//! *Leads*: all events, newest first, by whatever a person knows of one.

use super::filters;
use super::view::{Nav, View};
use super::words::{cursor, first_line, given, link, state_badge, who};
use crate::console::access::Mask;
use crate::console::actions::moment;
use crate::console::{Console, Kind, Refusal, Visitor};
use crate::store::{EventFilter, EventRow, State};
use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

/// Events on a page.
const PAGE: u32 = 50;
/// What may be searched for at most; more is no search.
const LONGEST: usize = 500;
/// States that people choose from; what is leased or blocked is pending to them.
const STATES: [State; 5] = [State::Waiting, State::Blocked, State::Delivered, State::Skipped, State::Dead];

/// What the form asks for; an empty field is none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Search {
    q: String,
    source: String,
    kind: String,
    destination: String,
    state: String,
    since: String,
    until: String,
    before: String,
}

impl Search {
    fn filter(&self) -> Result<EventFilter, Refusal> {
        if self.q.len() > LONGEST {
            return Err(Refusal::new(Kind::Invalid, format!("a search has at most {LONGEST} letters")));
        }
        let state = given(&self.state).map(|word| State::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(unknown_state));
        Ok(EventFilter {
            text: given(&self.q).map(str::to_owned),
            source: given(&self.source).map(str::to_owned),
            kind: given(&self.kind).map(str::to_owned),
            destination: given(&self.destination).map(str::to_owned),
            state: state.transpose()?,
            since: moment(&self.since)?,
            // To the end of the day that is named.
            until: moment(&self.until)?.and_then(|day| day.checked_add(jiff::SignedDuration::from_hours(24)).ok()),
            before: cursor(&self.before)?,
            limit: PAGE + 1,
            ..EventFilter::default()
        })
    }

    fn is_empty(&self) -> bool {
        let fields = [&self.q, &self.source, &self.kind, &self.destination, &self.state, &self.since, &self.until];
        fields.iter().all(|field| field.is_empty())
    }

    /// The page that begins after this event; from the newest without one.
    fn page(&self, before: Option<Uuid>) -> String {
        let before = before.map(|id| id.to_string()).unwrap_or_default();
        let fields = [
            ("q", &self.q),
            ("source", &self.source),
            ("kind", &self.kind),
            ("destination", &self.destination),
            ("state", &self.state),
            ("since", &self.since),
            ("until", &self.until),
            ("before", &before),
        ];
        link("/leads", &fields.map(|(name, value)| (name, value.as_str())))
    }
}

fn unknown_state() -> Refusal {
    Refusal::new(Kind::Invalid, "there is no such state of a delivery; choose one from the list")
}

#[derive(Template)]
#[template(path = "leads.html")]
struct Leads<'a> {
    search: &'a Search,
    sources: Vec<&'a str>,
    destinations: Vec<&'a str>,
    rows: Vec<Row>,
    newest: Option<String>,
    older: Option<String>,
}

/// What a list shows of an event.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) received_at: Timestamp,
    pub(super) kind: &'static str,
    pub(super) source: String,
    pub(super) who: String,
    pub(super) contact: Vec<String>,
    pub(super) content: String,
    pub(super) duplicates: i64,
    pub(super) stale: bool,
    pub(super) erased: bool,
    pub(super) deliveries: Vec<(String, &'static str, &'static str)>,
}

impl Row {
    pub(super) fn of(mut row: EventRow, mask: Mask) -> Self {
        mask.event(&mut row.event);
        let event = row.event;
        let contact = [event.person.email.clone(), event.person.phone.clone()].into_iter().flatten().collect();
        Self {
            id: event.id,
            received_at: event.received_at,
            kind: event.kind.as_str(),
            who: who(&event),
            contact,
            content: first_line(event.content.as_deref().unwrap_or_default()),
            source: event.source,
            duplicates: row.duplicates,
            stale: event.stale,
            erased: row.erased_at.is_some(),
            deliveries: row
                .deliveries
                .into_iter()
                .map(|delivery| (delivery.destination, delivery.state.as_str(), state_badge(delivery.state)))
                .collect(),
        }
    }
}

pub(in crate::console) async fn leads(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    search: web::Query<Search>,
) -> Result<HttpResponse, Refusal> {
    let search = search.into_inner();
    let mask = Mask::of(&visitor);
    mask.may_search(&search.q)?;
    let mut rows = console.store.events(search.filter()?).await?;
    let has_more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let older = rows.last().filter(|_| has_more).map(|row| search.page(Some(row.event.id)));
    let content = Leads {
        search: &search,
        sources: console.sources.keys().map(String::as_str).collect(),
        destinations: console.connectors.keys().map(String::as_str).collect(),
        newest: (!search.before.is_empty()).then(|| search.page(None)),
        older,
        rows: rows.into_iter().map(|row| Row::of(row, mask)).collect(),
    };
    Ok(view.show("Leads", Some(Nav::Leads), &content))
}
