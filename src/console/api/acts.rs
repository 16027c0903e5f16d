//! What a person can do, over the same functions as the pages.

use super::asked::Given;
use super::operation::{Answer, Operation};
use crate::console::actions::{
    self, Actor, DiscardRequest, DismissRequest, Done, HoldRequest, PurgeRequest, ReplayRequest, ResumeRequest, RouteRequest, TakeRequest,
    VerifyRequest,
};
use crate::console::{Console, Kind, Refusal};
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, Route, web};
use serde::Deserialize;

pub(super) const OPERATIONS: &[Operation] = &[
    act("hold", "/actions/hold", "Park a destination: its deliveries wait", "HoldRequest", || web::post().to(hold)),
    act("resume", "/actions/resume", "Release a destination", "ResumeRequest", || web::post().to(resume)),
    act("replay", "/actions/replay", "Deliver again what has ended", "ReplayRequest", || web::post().to(replay)),
    act("discard", "/actions/discard", "End dead letters that need not be delivered", "DiscardRequest", || web::post().to(discard)),
    act("verify", "/actions/verify", "Verify quarantined bodies again", "VerifyRequest", || web::post().to(verify)),
    act("purge", "/actions/purge", "Remove quarantined bodies for good", "PurgeRequest", || web::post().to(purge)),
    act("route", "/actions/route", "Give events deliveries that no route took", "RouteRequest", || web::post().to(route)),
    act("take", "/actions/take", "Make a lead of a conversation whose lead was missed", "TakeRequest", || web::post().to(take)),
    act("dismiss", "/actions/dismiss", "Take a conversation off the list of missed leads", "DismissRequest", || web::post().to(dismiss)),
];

const fn act(id: &'static str, path: &'static str, about: &'static str, body: &'static str, route: fn() -> Route) -> Operation {
    Operation {
        body: Some(body),
        more: "Noted in the trail. What is too much for one transaction goes on as a job: 202 with its number, and `GET /actions/{id}` tells \
            how far it is. Asked again, it goes on with what is left.",
        refusals: &[Kind::NotFound, Kind::Conflict],
        ..Operation::post(id, path, about, Answer::One("Done"), route)
    }
}

/// A request that can also be asked only how many it would be.
#[derive(Debug, Deserialize)]
struct Planned<T> {
    #[serde(default)]
    dry_run: bool,
    #[serde(flatten)]
    request: T,
}

/// Bodies to be removed. Forms send the number as text, programs as a number.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Purge {
    id: Option<i64>,
    source: String,
    before: String,
    with_promised: bool,
}

fn told(done: Result<Done, Refusal>) -> Result<HttpResponse, Refusal> {
    let done = done?;
    Ok(match done.job {
        Some(job) => HttpResponse::Accepted().insert_header((LOCATION, format!("{}/actions/{job}", super::BASE))).json(&done),
        None => HttpResponse::Ok().json(&done),
    })
}

async fn hold(console: web::Data<Console>, actor: Actor, given: Given<HoldRequest>) -> Result<HttpResponse, Refusal> {
    told(actions::hold(&console, &actor, given.0).await)
}

async fn resume(console: web::Data<Console>, actor: Actor, given: Given<ResumeRequest>) -> Result<HttpResponse, Refusal> {
    told(actions::resume(&console, &actor, given.0).await)
}

async fn replay(console: web::Data<Console>, actor: Actor, given: Given<Planned<ReplayRequest>>) -> Result<HttpResponse, Refusal> {
    let Planned { dry_run, request } = given.0;
    told(if dry_run { actions::count_replay(&console, &actor, &request).await } else { actions::replay(&console, &actor, request).await })
}

async fn discard(console: web::Data<Console>, actor: Actor, given: Given<Planned<DiscardRequest>>) -> Result<HttpResponse, Refusal> {
    let Planned { dry_run, request } = given.0;
    told(if dry_run { actions::count_discard(&console, &actor, &request).await } else { actions::discard(&console, &actor, request).await })
}

async fn verify(console: web::Data<Console>, actor: Actor, given: Given<VerifyRequest>) -> Result<HttpResponse, Refusal> {
    told(actions::verify(&console, &actor, given.0).await)
}

async fn purge(console: web::Data<Console>, actor: Actor, given: Given<Purge>) -> Result<HttpResponse, Refusal> {
    let Purge { id, source, before, with_promised } = given.0;
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    told(actions::purge(&console, &actor, PurgeRequest { id, source, before, with_promised }).await)
}

async fn route(console: web::Data<Console>, actor: Actor, given: Given<RouteRequest>) -> Result<HttpResponse, Refusal> {
    told(actions::route(&console, &actor, given.0).await)
}

async fn take(console: web::Data<Console>, actor: Actor, given: Given<TakeRequest>) -> Result<HttpResponse, Refusal> {
    told(actions::take(&console, &actor, given.0).await)
}

async fn dismiss(console: web::Data<Console>, actor: Actor, given: Given<DismissRequest>) -> Result<HttpResponse, Refusal> {
    told(actions::dismiss(&console, &actor, given.0).await)
}
