//! Everything a person can do from the console, the same for pages and API. Each writes a line of the trail, in the transaction that does
//! it where that is possible.
//!
//! What is too much for one transaction is a job of the bridge: it goes on when the page is left, [`progress`] tells how far it is, and
//! what an interruption leaves undone is done by asking once more, for which the line of the trail keeps what was asked.

mod forms;
mod interrupted;
mod jobs;
mod missed;
mod quarantine;
mod routing;
mod selection;

pub(super) use forms::forms_of_pages;
pub use jobs::Jobs;
pub use missed::{DismissRequest, TakeRequest, dismiss, take};
pub use quarantine::{Body, PurgeRequest, VerifyRequest, look, purge, verify};
pub use routing::{RouteRequest, route};
pub use selection::{DiscardRequest, ReplayRequest, Selection, count_discard, count_replay, discard, replay};

use interrupted::interrupted;

use super::{Console, Kind, Refusal, Visitor};
use crate::store::{Act, ActionRow, Entry, Error, NewAction};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::settings::duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::{Ready, ready};

/// No reason is longer.
const LONGEST: usize = 500;

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// How many it was; 0 while a job is at it.
    pub count: usize,
    /// For people.
    pub message: String,
    /// The number of the action of a job that goes on; see [`progress`].
    pub job: Option<i64>,
}

impl Done {
    fn now(count: usize, message: impl Into<String>) -> Self {
        Self { count, message: message.into(), job: None }
    }
}

/// Who acts, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Who.
    pub visitor: Visitor,
    /// The address they came from, behind proxies that are trusted.
    pub client: Option<String>,
}

impl Actor {
    fn may_act(&self) -> Result<(), Refusal> {
        self.visitor.may_operate()
    }

    fn acts(&self, action: &'static str, target: &str, planned: usize) -> NewAction {
        let (who, client) = (self.visitor.name.clone(), self.client.clone());
        NewAction { who, client, action, target: target.to_owned(), planned, ..NewAction::default() }
    }
}

impl FromRequest for Actor {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let access = request.app_data::<web::Data<Console>>().map(|console| &console.access);
        let client = access.map(|access| access.client(request).to_string());
        ready(Visitor::from_request(request, payload).into_inner().map(|visitor| Self { visitor, client }))
    }
}

/// A destination to be parked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct HoldRequest {
    /// Which one.
    pub destination: String,
    /// Why, for people.
    pub reason: String,
    /// Resume by itself after this time, such as `2h`; empty is never.
    pub r#for: String,
}

/// A destination to be released.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ResumeRequest {
    /// Which one.
    pub destination: String,
}

/// Parks a destination.
///
/// # Errors
/// When the visitor may not, there is no such destination, a reason is missing, or the store fails.
pub async fn hold(console: &Console, actor: &Actor, request: HoldRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let reason = reason(&request.reason)?;
    let destination = console.store.find_destination(&request.destination).await.map_err(unknown)?;
    let now = Timestamp::now();
    let until = match request.r#for.trim() {
        "" => None,
        span => Some(duration::parse(span).ok().and_then(|span| later(now, span)).ok_or_else(|| {
            Refusal::new(Kind::Invalid, "the time of a hold is written as 30m, 2h or 3d; leave it empty to hold until someone resumes")
        })?),
    };
    let detail = until.map(|until| format!("until {until}")).unwrap_or_default();
    let new = NewAction { detail, reason: reason.clone(), ..actor.acts("hold", &request.destination, 1) };
    let count = console.store.perform(Entry::New(new), Act::Hold { destination, reason, until }, now).await?;
    Ok(Done::now(count, format!("{} is on hold: its deliveries wait, and none is lost", request.destination)))
}

/// Releases a destination.
///
/// # Errors
/// When the visitor may not, there is no such destination, or the store fails.
pub async fn resume(console: &Console, actor: &Actor, request: ResumeRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let destination = console.store.find_destination(&request.destination).await.map_err(unknown)?;
    let entry = Entry::New(actor.acts("resume", &request.destination, 1));
    let count = console.store.perform(entry, Act::Resume { destination }, Timestamp::now()).await?;
    let what = if count == 1 { "is released, and what waited is delivered now" } else { "was not on hold" };
    Ok(Done::now(count, format!("{} {what}", request.destination)))
}

/// How far an action is: a job that goes on, or what came of it.
///
/// # Errors
/// When there is none of that number, or the store fails.
pub async fn progress(console: &Console, id: i64) -> Result<ActionRow, Refusal> {
    let gone = || Refusal::new(Kind::NotFound, format!("there is no action {id} in the trail; it is kept for a year or so"));
    console.store.action(id).await?.ok_or_else(gone)
}

/// What the store does not know. Of everything else, the store is the reason.
fn unknown(error: Error) -> Refusal {
    match error {
        Error::Refused(what) => Refusal::new(Kind::NotFound, what),
        unavailable @ Error::Unavailable(_) => unavailable.into(),
    }
}

fn reason(text: &str) -> Result<String, Refusal> {
    let reason: String = text.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if reason.is_empty() { Err(Refusal::new(Kind::Invalid, "say why, for whoever looks later")) } else { Ok(reason) }
}

fn later(now: Timestamp, span: std::time::Duration) -> Option<Timestamp> {
    now.checked_add(SignedDuration::try_from(span).ok()?).ok()
}

/// What was given, if anything was: forms send empty fields, too.
fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What to ask once more, without what was not given.
fn again<const N: usize>(fields: [(&'static str, &str); N]) -> BTreeMap<&'static str, String> {
    fields.into_iter().filter_map(|(name, value)| Some((name, given(value)?))).collect()
}

/// A moment, a day (UTC), or an age such as `2h`; empty is none.
pub(super) fn moment(text: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = given(text) else { return Ok(None) };
    let day = || Some(text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    let age = || Timestamp::now().checked_sub(SignedDuration::try_from(duration::parse(&text).ok()?).ok()?).ok();
    let found = text.parse::<Timestamp>().ok().or_else(day).or_else(age);
    let wrong = || Refusal::new(Kind::Invalid, "a moment is written as 2026-11-22T10:00:00Z, 2026-11-22, or an age such as 2h or 7d");
    found.map(Some).ok_or_else(wrong)
}

/// `1 dead letter`, `2 dead letters`.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Whether it was said, as JSON or as a box of a form.
fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Json(bool),
        Form(String),
    }
    Ok(match Said::deserialize(deserializer)? {
        Said::Json(is_said) => is_said,
        Said::Form(text) => matches!(text.as_str(), "on" | "true" | "1" | "yes"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_reason_says_something_and_fits() {
        assert_eq!(reason("  moving\u{1b} accounts ").unwrap(), "moving accounts");
        assert_eq!(reason(&"é".repeat(2 * LONGEST)).unwrap().chars().count(), LONGEST);
        assert!(reason(" \t\n").is_err() && reason("\u{0}").is_err());
    }

    #[test]
    fn moments_days_and_ages_are_read_and_nothing_is_no_moment() {
        assert_eq!(moment(" ").unwrap(), None);
        assert_eq!(moment("2026-11-22").unwrap(), Some("2026-11-22T00:00:00Z".parse().unwrap()));
        assert!(moment("2h").unwrap().unwrap() < Timestamp::now());
        assert_eq!(moment("yesterday").unwrap_err().kind, Kind::Invalid);
    }
}
