//! A payload on its way through the rules as they are. Nothing is stored, and nothing is sent.

use super::asked::{Given, invalid};
use super::destinations::tell;
use super::ok;
use super::operation::{Answer, Operation};
use crate::console::{Console, Kind, Mask, Refusal, Role, Visitor};
use crate::inspect::{Signature, Tried, Workbench};
use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Events that are told of one body; a chat log may hold many.
const EVENTS: usize = 10;

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    role: Role::Read,
    body: Some("TryRequest"),
    more: "Verifies, normalises and routes a body, and tells the exact requests that each destination would get. Nothing is stored, and \
        nothing is sent. Without `header` it goes on as if the body were signed.",
    refusals: &[Kind::NotFound],
    ..Operation::post("tryBody", "/try", "Try a payload", Answer::One("Trial"), || web::post().to(tried))
}];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Payload {
    source: String,
    /// The value of the signature header.
    header: Option<String>,
    /// The body as text, or as the JSON that it is.
    body: Value,
}

async fn tried(visitor: Visitor, console: web::Data<Console>, payload: Given<Payload>) -> Result<HttpResponse, Refusal> {
    let Given(Payload { source, header, body }) = payload;
    let body = match body {
        Value::String(text) => text,
        Value::Null => return Err(invalid("`body` is what the platform posts, as text or as JSON")),
        other => other.to_string(),
    };
    let bench = Workbench { intake: &console.intake, destinations: &console.connectors, mask: &console.secrets };
    let trial = bench.try_body(&source, body.as_bytes(), header.as_deref(), Timestamp::now()).await;
    let known: Vec<&str> = console.sources.keys().map(String::as_str).collect();
    let near = leadwire_connector::settings::did_you_mean(&source, &known);
    let trial = trial.ok_or_else(|| Refusal::new(Kind::NotFound, format!("`source` names no source of the configuration; {near}")))?;
    let verdict = match trial.signature {
        Signature::Good(_) => "good",
        Signature::Bad(_) => "bad",
        Signature::None => "none",
    };
    let left_out = trial.events.len().saturating_sub(EVENTS);
    let mask = Mask::of(&visitor);
    let events: Vec<Value> = trial.events.into_iter().take(EVENTS).map(|tried| told(tried, mask)).collect();
    let signature = json!({"verdict": verdict, "says": trial.signature.words()});
    Ok(ok(&json!({"signature": signature, "events": events, "left_out": left_out})))
}

fn told(tried: Tried, mask: Mask) -> Value {
    let delivery = |(name, outcome): (String, Result<_, String>)| {
        let unusable = |why| json!({"outcome": "unusable", "says": why, "requests": [], "refused": null});
        let mut told = outcome.map_or_else(unusable, |outcome| tell(&outcome, mask));
        told["destination"] = json!(name);
        told
    };
    let deliveries: Vec<Value> = tried.deliveries.into_iter().map(delivery).collect();
    json!({"event": tried.event, "faults": tried.faults, "deliveries": deliveries})
}
