//! One lead: everything that happened to it, from receipt to the record in each CRM.

use super::filters;
use super::leads::Row;
use super::view::{Nav, View};
use super::words::{beginning, state_badge, who};
use crate::console::access::Mask;
use crate::console::{Console, Refusal, Visitor};
use crate::inspect::{Outcome, preview};
use crate::store::{AttemptRow, DeliveryRow, EventDetail, Form, State};
use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use leadwire_connector::{Author, Event, PreviewRequest};
use serde_json::Value;
use std::borrow::Cow;
use uuid::Uuid;

/// Messages of a chat on one page; a chat log may be of any length.
const MESSAGES: usize = 500;
/// Characters of a payload on one page.
const PAYLOAD: usize = 50_000;

#[derive(Template)]
#[template(path = "lead.html")]
struct Lead<'a> {
    view: &'a View,
    event: &'a Event,
    who: String,
    duplicates: i64,
    erased_at: Option<Timestamp>,
    extra: Vec<(String, String)>,
    moments: Vec<Moment>,
    deliveries: Vec<Way>,
    content: Option<Cow<'a, str>>,
    chat: Vec<Said<'a>>,
    messages_left_out: usize,
    normalized: String,
    raw: String,
    related: Vec<Row>,
    /// Where it may be sent, too.
    destinations: Vec<&'a str>,
}

/// Something that happened, in the order of time.
struct Moment {
    at: Timestamp,
    class: &'static str,
    title: String,
    text: String,
    excerpt: String,
}

/// The way to one destination.
struct Way {
    row: DeliveryRow,
    badge: &'static str,
    /// Whether nothing but the destination keeps it from being tried.
    is_due: bool,
    steps: Vec<(String, String)>,
    /// In words, when there is nothing to send.
    says: String,
    requests: Vec<Shown>,
}

/// A request as it would be sent now.
pub(super) struct Shown {
    pub(super) request: PreviewRequest,
    pub(super) body: String,
}

pub(in crate::console) async fn lead(
    view: View,
    visitor: Visitor,
    console: web::Data<Console>,
    id: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let id = Uuid::parse_str(&id).map_err(|_| Refusal::not_found())?;
    let mask = Mask::of(&visitor);
    let mut detail = console.store.event(id).await?.ok_or_else(Refusal::not_found)?;
    let related = console.store.related(id).await?.into_iter().map(|row| Row::of(row, mask)).collect();
    let deliveries = ways(&console, &detail, mask).await;
    let moments = moments(&detail, mask);
    mask.event(&mut detail.row.event);
    let event = &detail.row.event;
    let (chat, messages_left_out) = chat(event);
    let content = Lead {
        view: &view,
        event,
        who: who(event),
        duplicates: detail.row.duplicates,
        erased_at: detail.row.erased_at,
        extra: event.extra.iter().map(|(name, value)| (beginning(name).into_owned(), plain(value))).collect(),
        moments,
        deliveries,
        content: event.content.as_deref().map(beginning),
        chat,
        messages_left_out,
        normalized: pretty(&without_raw(event)),
        raw: pretty(&event.raw),
        related,
        destinations: console.connectors.keys().map(String::as_str).collect(),
    };
    Ok(view.show(&content.who, Some(Nav::Leads), &content))
}

async fn ways(console: &Console, detail: &EventDetail, mask: Mask) -> Vec<Way> {
    let mut ways = Vec::new();
    for row in &detail.row.deliveries {
        let mut row = row.clone();
        row.remark = row.remark.map(|remark| mask.text(&remark).into_owned());
        let own = |(name, _, _): &&(String, String, String)| *name == row.destination;
        let steps = detail.steps.iter().filter(own).map(|(_, step, remote)| (step.clone(), remote.clone())).collect();
        let (says, requests) = if detail.row.erased_at.is_some() {
            ("its person was erased; nothing is left to send".to_owned(), Vec::new())
        } else {
            requests(console, &row.destination, &detail.row.event, mask).await
        };
        let is_due = row.not_before.is_some_and(|at| at <= Timestamp::now());
        ways.push(Way { badge: state_badge(row.state), is_due, row, steps, says, requests });
    }
    ways
}

/// What the destination would be sent for the event now.
pub(super) async fn requests(console: &Console, destination: &str, event: &Event, mask: Mask) -> (String, Vec<Shown>) {
    let Some(connector) = console.connectors.get(destination) else {
        return ("the destination is not in the configuration any more".to_owned(), Vec::new());
    };
    match preview(connector, event, &console.secrets).await {
        Ok(outcome) => show(outcome, mask),
        Err(why) => (why, Vec::new()),
    }
}

pub(super) fn show(outcome: Outcome, mask: Mask) -> (String, Vec<Shown>) {
    let says = outcome.words();
    let shown = |mut request: PreviewRequest| {
        request.url = mask.page(&request.url).into_owned();
        mask.json(&mut request.body);
        Shown { body: if request.body.is_null() { String::new() } else { pretty(&request.body) }, request }
    };
    match outcome {
        Outcome::Requests(requests) => (says, requests.into_iter().map(shown).collect()),
        Outcome::Refused(_) => (mask.text(&says).into_owned(), Vec::new()),
    }
}

fn moments(detail: &EventDetail, mask: Mask) -> Vec<Moment> {
    let event = &detail.row.event;
    let mut moments = vec![Moment {
        at: event.received_at,
        class: "fine",
        title: format!("received by {}", event.source),
        text: received(detail, mask),
        excerpt: String::new(),
    }];
    moments.extend(detail.attempts.iter().map(|(destination, attempt)| of_attempt(destination, attempt, mask)));
    moments.extend(detail.row.deliveries.iter().filter_map(|row| of_end(row, mask)));
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// By which way it came, from where, and by what it was verified.
fn received(detail: &EventDetail, mask: Mask) -> String {
    let stale = "signed longer ago than the source tolerates; genuine all the same";
    let Some(receipt) = detail.row.receipt else {
        return if detail.row.event.stale { stale.to_owned() } else { String::new() };
    };
    let client = receipt.client.map(|client| format!(", posted by {}", mask.text(&client.to_string())));
    let signed = receipt.signed.map(|signed| {
        let over = match signed.form {
            Form::Raw => "the bytes as they came",
            Form::Canonical => "its canonical JSON",
        };
        let (seconds, side) = (signed.age_s.unsigned_abs(), if signed.age_s < 0 { "after by the sender's clock" } else { "before" });
        format!("; signed over {over} with key {} of the source, {seconds} s {side}", signed.key)
    });
    let stale = receipt.signed.filter(|signed| signed.stale).map(|_| format!("; {stale}"));
    let told = [Some(format!("it came {}", receipt.via.as_words())), client, signed, stale];
    told.into_iter().flatten().collect()
}

fn of_attempt(destination: &str, attempt: &AttemptRow, mask: Mask) -> Moment {
    let class = match attempt.outcome.as_str() {
        "delivered" => "delivered",
        "skipped" => "skipped",
        "hold" => "held",
        "retry" => "slow",
        _ => "dead",
    };
    let facts = [attempt.kind.clone(), attempt.status.map(|status| format!("HTTP {status}")), attempt.code.clone()];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    let message = attempt.message.as_deref().map(|message| mask.text(message).into_owned());
    Moment {
        at: attempt.at,
        class,
        title: format!("attempt at {destination}: {}, after {} ms", attempt.outcome, attempt.duration_ms),
        text: message.into_iter().chain((!facts.is_empty()).then(|| format!("({})", facts.join(", ")))).collect::<Vec<_>>().join(" "),
        excerpt: attempt.excerpt.as_deref().map(|excerpt| mask.text(excerpt).into_owned()).unwrap_or_default(),
    }
}

/// Attempts that went well are not kept one by one; the end of the delivery tells.
fn of_end(row: &DeliveryRow, mask: Mask) -> Option<Moment> {
    let text = row.remark.as_deref().map(|remark| mask.text(remark).into_owned()).unwrap_or_default();
    let title = match row.state {
        State::Delivered => format!("accepted by {}", row.destination),
        State::Skipped => format!("not taken by {}", row.destination),
        State::Dead => format!("dead letter at {}", row.destination),
        State::Erased => format!("erased on its way to {}", row.destination),
        State::Waiting | State::Leased | State::Blocked => return None,
    };
    Some(Moment { at: row.ended_at?, class: state_badge(row.state), title, text, excerpt: String::new() })
}

/// Class, who, and text of a message.
type Said<'a> = (&'static str, &'static str, Cow<'a, str>);

/// What was said, and how many messages are left out.
fn chat(event: &Event) -> (Vec<Said<'_>>, usize) {
    let messages = event.conversation.as_ref().map(|conversation| conversation.messages.as_slice()).unwrap_or_default();
    let shown = messages.iter().take(MESSAGES).map(|message| match message.author {
        Author::Ai => ("bot", "Chatbot", beginning(&message.text)),
        Author::User => ("visitor", "Visitor", beginning(&message.text)),
    });
    (shown.collect(), messages.len().saturating_sub(MESSAGES))
}

fn without_raw(event: &Event) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(table) = value.as_object_mut() {
        table.remove("raw");
    }
    value
}

/// JSON as people read it; a long one is cut.
pub(super) fn pretty(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    if text.len() <= PAYLOAD {
        return text;
    }
    let cut = &text[..text.floor_char_boundary(PAYLOAD)];
    format!("{cut}\n… {} bytes more; leadwire events show ID --json has all", text.len() - cut.len())
}

fn plain(value: &Value) -> String {
    beginning(value.as_str().unwrap_or(&value.to_string())).into_owned()
}
