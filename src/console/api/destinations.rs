//! Destinations: how each is, whether it can do its work, and what it would be sent.

use super::asked::{Asked, invalid};
use super::events::{read_id, unknown};
use super::operation::{Answer, Operation, text};
use super::status::List;
use super::{masked, ok};
use crate::console::status::collect;
use crate::console::{Console, Kind, Mask, Refusal, Visitor};
use crate::inspect::{Outcome, examine, preview, with_state};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a destination may take to be looked at.
const DOCTOR_WITHIN: Duration = Duration::from_secs(20);

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::get("listDestinations", "/destinations", "How each destination is", Answer::List("Destination"), || web::get().to(list)),
    Operation {
        refusals: &[Kind::NotFound],
        ..Operation::get("getDestination", "/destinations/{name}", "How one destination is", Answer::One("Destination"), || {
            web::get().to(one)
        })
    },
    Operation {
        parameters: &[text("event", "The id of the event. Must be given.")],
        more: "The exact requests, with secrets masked. Nothing is sent.",
        refusals: &[Kind::NotFound, Kind::Conflict],
        ..Operation::get(
            "previewEvent",
            "/destinations/{name}/preview",
            "What a destination would be sent for an event",
            Answer::One("Preview"),
            || web::get().to(preview_event),
        )
    },
    Operation {
        more: "Credentials, scopes, fields, quota. It costs a few requests there, changes nothing, and takes up to 20 seconds. Takes no body.",
        refusals: &[Kind::NotFound],
        ..Operation::post(
            "examineDestination",
            "/destinations/{name}/doctor",
            "Ask a destination whether it can do its work",
            Answer::One("Report"),
            || web::post().to(doctor),
        )
    },
];

async fn list(console: web::Data<Console>) -> HttpResponse {
    ok(&List { items: collect(&console).await.destinations })
}

async fn one(console: web::Data<Console>, name: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let destinations = collect(&console).await.destinations;
    let found = destinations.into_iter().find(|row| row.name() == name.as_str());
    found.map(|row| ok(&row)).ok_or_else(|| unknown_destination(&console, &name))
}

async fn preview_event(
    visitor: Visitor,
    console: web::Data<Console>,
    name: web::Path<String>,
    asked: Asked,
) -> Result<HttpResponse, Refusal> {
    let connector = console.connectors.get(name.as_str()).ok_or_else(|| unknown_destination(&console, &name))?;
    let id = asked.text("event").ok_or_else(|| invalid("say which event: `event` is its id"))?;
    let detail = console.store.event(read_id(&id)?).await?.ok_or_else(unknown)?;
    if detail.row.erased_at.is_some() {
        return Err(Refusal::new(Kind::Conflict, "the person of this event was erased; nothing is left to send"));
    }
    let routed = console.intake.rules.route(&detail.row.event);
    let outcome = preview(connector, &detail.row.event, &console.secrets).await.map_err(|why| Refusal::new(Kind::Conflict, why))?;
    let own = detail.steps.iter().filter(|(destination, ..)| *destination == *name);
    let steps: Vec<Value> = own.map(|(_, step, remote)| json!({"step": step, "remote_id": remote})).collect();
    let event = &detail.row.event;
    let mut told = tell(&outcome, Mask::of(&visitor));
    told["destination"] = json!(*name);
    told["event"] = json!(event.id);
    told["kind"] = json!(event.kind);
    told["source"] = json!(event.source);
    told["routed"] = json!(routed.destinations.contains(&name));
    told["finished_steps"] = json!(steps);
    Ok(ok(&told))
}

/// What a delivery would begin with.
pub(super) fn tell(outcome: &Outcome, mask: Mask) -> Value {
    let says = outcome.words();
    match outcome {
        Outcome::Requests(requests) => {
            let shown: Vec<_> = requests.iter().cloned().map(|request| masked::request(mask, request)).collect();
            json!({"outcome": if shown.is_empty() { "skipped" } else { "sent" }, "says": says, "requests": shown, "refused": null})
        }
        Outcome::Refused(error) => {
            let (says, message) = (mask.text(&says), mask.text(&error.message));
            json!({"outcome": "refused", "says": says, "requests": [], "refused": {"kind": error.kind, "message": message}})
        }
    }
}

async fn doctor(console: web::Data<Console>, name: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let connector = console.connectors.get(name.as_str()).ok_or_else(|| unknown_destination(&console, &name))?;
    let rows = console.store.holds().await?;
    let row = rows.iter().find(|row| row.name == *name);
    let mut report = with_state(examine(connector.clone(), DOCTOR_WITHIN).await, row);
    for finding in &mut report.findings {
        finding.message = console.secrets.text(&finding.message);
        finding.remedy = finding.remedy.as_deref().map(|remedy| console.secrets.text(remedy));
    }
    Ok(ok(&json!({"destination": *name, "findings": report.findings})))
}

fn unknown_destination(console: &Console, name: &str) -> Refusal {
    let known: Vec<&str> = console.connectors.keys().map(String::as_str).collect();
    let near = leadwire_connector::settings::did_you_mean(name, &known);
    Refusal::new(Kind::NotFound, format!("there is no such destination in the configuration; {near}"))
}
