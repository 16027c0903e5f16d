//! *Destinations*: how each is, what it was last told, what to do about it.

use super::filters;
use super::person::Cause;
use super::view::{Nav, View};
use super::words::{state_badge, time_span};
use crate::console::access::Mask;
use crate::console::status::{DestinationStatus, LaneState, collect};
use crate::console::{Console, Kind, Refusal, Visitor};
use crate::figures::DestinationFigures;
use crate::inspect::{examine, with_state};
use crate::store::{DeliveryFilter, State};
use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use leadwire_connector::http::Quota;
use leadwire_connector::{Finding, Severity};
use std::time::Duration;

/// Of troubles that are listed.
const TROUBLES: u32 = 20;
/// Of causes of dead letters, the most frequent first.
const CAUSES: usize = 10;
/// How long a destination may take to be looked at.
const DOCTOR_WITHIN: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "destinations.html")]
struct Destinations<'a> {
    destinations: &'a [DestinationStatus],
    unreadable: bool,
}

pub(in crate::console) async fn destinations(view: View, console: web::Data<Console>) -> HttpResponse {
    let status = collect(&console).await;
    let unreadable = status.store.unreadable_because.is_some();
    view.show("Destinations", Some(Nav::Destinations), &Destinations { destinations: &status.destinations, unreadable })
}

#[derive(Template)]
#[template(path = "destination.html")]
struct Destination<'a> {
    view: &'a View,
    row: &'a DestinationStatus,
    quotas: Vec<Left>,
    causes: Vec<Cause>,
    troubles: Vec<Trouble>,
    report: Option<Vec<Finding>>,
}

/// What the destination said is left of one of its limits.
struct Left {
    name: &'static str,
    quota: Quota,
    /// In words, when it is not told at which moment the limit begins anew.
    window: String,
}

fn left(figures: &DestinationFigures) -> Vec<Left> {
    let of = |(name, quota): (&'static str, Quota)| {
        let window = quota.window.map_or_else(|| "–".to_owned(), |window| format!("every {}", time_span(window)));
        Left { name, quota, window }
    };
    figures.quotas.all(Timestamp::now()).into_iter().map(of).collect()
}

/// A delivery that failed, lately.
struct Trouble {
    event: uuid::Uuid,
    received_at: Timestamp,
    state: State,
    badge: &'static str,
    attempts: u32,
    not_before: Option<Timestamp>,
    remark: String,
}

impl Destination<'_> {
    fn is_held(&self) -> bool {
        self.row.hold().is_some()
    }

    fn has_dead(&self) -> bool {
        self.row.dead().is_some_and(|dead| dead > 0)
    }

    fn is_configured(&self) -> bool {
        self.row.state != LaneState::NotConfigured
    }
}

pub(in crate::console) async fn destination(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    show(&view, &visitor, &console, &name, None).await
}

/// Asks the destination whether it can do its work. It costs a few requests there, so that operators do it.
pub(in crate::console) async fn doctor(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    name: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    visitor.may_operate()?;
    let connector = console.connectors.get(name.as_str()).ok_or_else(Refusal::not_found)?;
    let mut report = with_state(examine(connector.clone(), DOCTOR_WITHIN).await, None);
    for finding in &mut report.findings {
        finding.message = console.secrets.text(&finding.message);
        finding.remedy = finding.remedy.as_deref().map(|remedy| console.secrets.text(remedy));
    }
    show(&view, &visitor, &console, &name, Some(report.findings)).await
}

async fn show(
    view: &View,
    visitor: &Visitor,
    console: &Console,
    name: &str,
    report: Option<Vec<Finding>>,
) -> Result<HttpResponse, Refusal> {
    let status = collect(console).await;
    let Some(row) = status.destinations.iter().find(|row| row.name() == name) else {
        let unreadable = status.store.unreadable_because.map(|why| Refusal::new(Kind::Unavailable, why));
        return Err(unreadable.unwrap_or_else(Refusal::not_found));
    };
    let mask = Mask::of(visitor);
    let troubles = troubles(console, name, mask).await?;
    let dead = console.store.dead_causes().await?.into_iter().filter(|cause| cause.destination == name);
    let causes = dead.take(CAUSES).map(|cause| Cause::of(cause, mask)).collect();
    let quotas = console.store.figures().destination(name).as_deref().map(left).unwrap_or_default();
    Ok(view.show(name, Some(Nav::Destinations), &Destination { view, row, quotas, causes, troubles, report }))
}

/// What waits after an attempt that failed, and what is dead; the newest.
async fn troubles(console: &Console, name: &str, mask: Mask) -> Result<Vec<Trouble>, Refusal> {
    let filter = DeliveryFilter {
        states: vec![State::Waiting, State::Dead],
        destination: Some(name.to_owned()),
        limit: TROUBLES,
        ..DeliveryFilter::default()
    };
    let rows = console.store.deliveries(filter).await?.into_iter().filter(|row| row.attempts > 0 || row.state == State::Dead);
    let of = |row: crate::store::DeliveryRow| Trouble {
        event: row.event,
        received_at: row.received_at,
        badge: state_badge(row.state),
        state: row.state,
        attempts: row.attempts,
        not_before: row.not_before,
        remark: mask.text(row.remark.as_deref().unwrap_or_default()).into_owned(),
    };
    Ok(rows.map(of).collect())
}

/// The class of the badge of a finding.
fn severity_badge(severity: &Severity) -> &'static str {
    match severity {
        Severity::Good => "fine",
        Severity::Warn => "slow",
        Severity::Bad => "down",
    }
}

fn severity_words(severity: &Severity) -> &'static str {
    match severity {
        Severity::Good => "fine",
        Severity::Warn => "look at it",
        Severity::Bad => "broken",
    }
}
