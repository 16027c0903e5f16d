//! *Try it*: a payload on its way through the rules as they are, to the requests it would lead to. Nothing is stored, and nothing is sent.

use super::filters;
use super::lead::{Shown, pretty, show};
use super::view::{Nav, View};
use super::words::{given, who};
use crate::console::access::Mask;
use crate::console::{Console, Kind, Refusal, Visitor};
use crate::inspect::{Signature, Trial, Workbench};
use crate::simulate::{SampleKind, Samples, write};
use crate::verify::Form;
use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use leadwire_connector::Event;
use serde::Deserialize;

/// Events that are shown of one body; a chat log may hold many.
const EVENTS: usize = 10;

/// The samples that can be picked, with their names for people.
const SAMPLES: [(&str, SampleKind, &str); 4] = [
    ("lead", SampleKind::Lead, "a lead"),
    ("appointment", SampleKind::Appointment, "an appointment"),
    ("chat-log", SampleKind::ChatLog, "a chat log"),
    ("test", SampleKind::Test, "a test"),
];

#[derive(Template)]
#[template(path = "try.html")]
struct Try<'a> {
    view: &'a View,
    sources: Vec<&'a str>,
    source: &'a str,
    header: &'a str,
    body: &'a str,
    trial: Option<Told>,
}

/// What came of it.
struct Told {
    signature: String,
    badge: &'static str,
    events: Vec<Tried>,
    left_out: usize,
}

struct Tried {
    who: String,
    kind: &'static str,
    faults: Vec<String>,
    normalized: String,
    deliveries: Vec<(String, String, Vec<Shown>)>,
}

/// Which sample to begin with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Pick {
    sample: String,
    source: String,
}

/// What is tried.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Payload {
    source: String,
    header: String,
    body: String,
}

pub(in crate::console) async fn form(view: View, console: web::Data<Console>, pick: web::Query<Pick>) -> HttpResponse {
    let now = Timestamp::now();
    let sample = SAMPLES.iter().find(|(name, ..)| *name == pick.sample).map(|(_, kind, _)| *kind);
    let body = write(&Samples::start(None).make(sample.unwrap_or_default(), now), Form::Raw);
    let body = serde_json::from_slice(&body).map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |value| pretty(&value));
    page(&view, &console, &pick.source, "", &body, None)
}

pub(in crate::console) async fn tried(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    payload: web::Form<Payload>,
) -> Result<HttpResponse, Refusal> {
    let Payload { source, header, body } = payload.into_inner();
    let bench = Workbench { intake: &console.intake, destinations: &console.connectors, mask: &console.secrets };
    let trial = bench.try_body(&source, body.as_bytes(), given(&header), Timestamp::now()).await;
    let trial = trial.ok_or_else(|| Refusal::new(Kind::NotFound, "there is no such source in the configuration"))?;
    Ok(page(&view, &console, &source, &header, &body, Some(tell(trial, Mask::of(&visitor)))))
}

fn page(view: &View, console: &Console, source: &str, header: &str, body: &str, trial: Option<Told>) -> HttpResponse {
    let sources = console.sources.keys().map(String::as_str).collect();
    view.show("Try it", Some(Nav::TryIt), &Try { view, sources, source, header, body, trial })
}

fn tell(trial: Trial, mask: Mask) -> Told {
    let badge = match trial.signature {
        Signature::Good(_) => "fine",
        Signature::Bad(_) => "down",
        Signature::None => "waiting",
    };
    let left_out = trial.events.len().saturating_sub(EVENTS);
    let events = trial.events.into_iter().take(EVENTS).map(|tried| Tried {
        who: who(&tried.event),
        kind: tried.event.kind.as_str(),
        faults: tried.faults,
        normalized: normalized(&tried.event),
        deliveries: tried.deliveries.into_iter().map(|(name, outcome)| delivery(name, outcome, mask)).collect(),
    });
    Told { signature: trial.signature.words(), badge, events: events.collect(), left_out }
}

fn delivery(name: String, outcome: Result<crate::inspect::Outcome, String>, mask: Mask) -> (String, String, Vec<Shown>) {
    let (says, requests) = outcome.map_or_else(|why| (why, Vec::new()), |outcome| show(outcome, mask));
    (name, says, requests)
}

fn normalized(event: &Event) -> String {
    serde_json::to_value(event).map(|value| pretty(&value)).unwrap_or_default()
}
