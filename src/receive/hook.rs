//! `/hooks/{source}`: the way of one request.

use super::answer::Answer;
use super::budget::Reservation;
use super::intake::{Came, Examined, SourceGate, UNEXAMINED};
use super::stages::{Stages, Trail};
use super::{Receiver, body, client};
use crate::failpoint;
use crate::figures::SourceFigures;
use crate::store::{Error, Kept, NewEvent, QuarantineClass, Quarantined, Received, Refused, Via};
use crate::verify::Refusal;
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use jiff::Timestamp;
use leadwire_connector::Kind;
use std::net::{IpAddr, Ipv4Addr};

/// Above this, hashing and parsing would keep other senders of the same thread waiting.
const LARGE_BODY_BYTES: usize = 256 * 1_024;

/// For a person who looks whether the URL is right.
pub(super) async fn get(receiver: web::Data<Receiver>, name: web::Path<String>) -> Answer {
    let Some(source) = receiver.intake.sources.get(name.as_str()) else { return Answer::UnknownSource };
    let key = if source.keys.is_empty() {
        "It awaits its signing key: copy the sign key from the chatbot's Webhook tab into `signing_keys`. Until then every webhook is kept and none is lost."
    } else {
        "It has its signing key. The chatbot posts here by itself; there is nothing to do on this page."
    };
    Answer::About(format!("This is the webhook of the source `{name}` of Leadwire.\n{key}\n"))
}

/// A webhook.
pub(super) async fn post(request: HttpRequest, payload: web::Payload, receiver: web::Data<Receiver>, name: web::Path<String>) -> Answer {
    let answer = take(&request, payload, &receiver, &name).await;
    if let Some(code) = answer.code() {
        receiver.keeper.figures().refuse(&name, code);
        // Of a signature more is known than its sender is told, and has been noted.
        if !matches!(answer, Answer::Signature(..)) {
            receiver.sightings.note_refusal(&name, code, Timestamp::now());
        }
    }
    answer
}

async fn take(request: &HttpRequest, payload: web::Payload, receiver: &web::Data<Receiver>, name: &str) -> Answer {
    let received_at = Timestamp::now();
    let mut stages = Stages::begin(received_at);
    let Some(source) = receiver.intake.sources.get(name) else { return Answer::UnknownSource };
    let client = client_address(request, receiver);
    receiver.sightings.note_client(name, client, source.lists(&client), received_at);
    if let Err(answer) = admit(source, name, client, received_at) {
        return answer;
    }
    let mut reserved = receiver.budget.reserve();
    let body = match body::read(request, payload, source.max_body_bytes, receiver.request_timeout, &mut reserved).await {
        Ok(body) => body,
        Err(answer) => {
            tracing::warn!(source = name, %client, ?answer, "a request was not taken");
            return answer;
        }
    };
    stages.read();
    count(receiver, name, |figures| figures.bytes.add(u64::try_from(body.len()).unwrap_or(u64::MAX)));
    let header = signature_header(request);
    let came = Came { at: received_at, client: Some(client), via: Via::Direct };
    match examine(receiver, name, &body, header.as_deref(), came, &reserved).await {
        Ok(Examined { events, verified_at }) => {
            stages.examined(verified_at);
            receiver.sightings.note_events(name, &events, received_at);
            let trail = Trail::of(&receiver.tracer, name, stages, &events);
            store(receiver, source, name, events, trail).await
        }
        Err(refusal) => quarantine(receiver, name, client, header, body, refusal, received_at).await,
    }
}

/// Counts something of a source of the configuration.
fn count(receiver: &Receiver, name: &str, what: impl FnOnce(&SourceFigures)) {
    receiver.keeper.figures().source(name).map(what);
}

fn client_address(request: &HttpRequest, receiver: &Receiver) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let forwarded: Vec<&str> = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    client::address(peer, forwarded.into_iter(), &receiver.trusted_proxies)
}

fn admit(source: &SourceGate, name: &str, client: IpAddr, now: Timestamp) -> Result<(), Answer> {
    if !source.lists(&client) {
        let verdict = if source.report_only { "let in, because report_only is set" } else { "refused" };
        tracing::warn!(source = name, %client, "the address is not in allow_ips: {verdict}");
        if !source.report_only {
            return Err(Answer::AddressRefused);
        }
    }
    if source.has_room(now) { Ok(()) } else { Err(Answer::TooMany) }
}

/// A header that is repeated is joined, as HTTP has it (RFC 9110, 5.3): two `t` are then seen as two.
fn signature_header(request: &HttpRequest) -> Option<String> {
    let values: Vec<_> = request.headers().get_all("x-webhook-signature").map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

async fn examine(
    receiver: &web::Data<Receiver>,
    name: &str,
    body: &Bytes,
    header: Option<&str>,
    came: Came,
    reserved: &Reservation,
) -> Result<Examined, Refusal> {
    if body.len() <= LARGE_BODY_BYTES {
        return receiver.intake.examine(name, body, header, came);
    }
    // The work goes on when the sender hangs up, so it keeps its turn and its memory itself.
    let kept = (receiver.budget.turn().await, reserved.clone());
    let (receiver, name, body, header) = (web::Data::clone(receiver), name.to_owned(), body.clone(), header.map(str::to_owned));
    let work = move || {
        let _kept = kept;
        receiver.intake.examine(&name, &body, header.as_deref(), came)
    };
    web::block(work).await.unwrap_or(Err(UNEXAMINED))
}

async fn store(receiver: &Receiver, source: &SourceGate, name: &str, events: Vec<NewEvent>, trail: Trail<'_>) -> Answer {
    let is_test = source.test_reply && events.iter().all(|new| new.event.kind == Kind::Test);
    for new in &events {
        let event = &new.event;
        if event.stale {
            tracing::warn!(source = name, event = %event.id, "the event is genuine but stale: its signature is older than the source tolerates");
        }
        if event.kind == Kind::Unrecognized {
            tracing::warn!(source = name, event = %event.id, "the event has no known shape; it is kept whole");
        }
        if new.destinations.is_empty() && event.kind != Kind::Test {
            tracing::warn!(source = name, event = %event.id, kind = %event.kind, "no route takes the event; it is kept, and listed by `leadwire events list --unrouted`");
        }
    }
    let success = if is_test { Answer::TestSuccess } else { Answer::Success };
    let kept = receiver.keeper.receive(events).await;
    let answer = answer(receiver, name, &kept, success).await;
    trail.end(&kept, &answer);
    answer
}

async fn answer(receiver: &Receiver, name: &str, kept: &Result<Kept<Vec<Received>>, Error>, success: Answer) -> Answer {
    match kept {
        Ok(_) if failpoint::reach(failpoint::ANSWER_BEFORE).await.is_err() => Answer::Unavailable,
        Ok(Kept::Stored(received)) => {
            let duplicates = received.iter().filter(|outcome| **outcome == Received::Duplicate).count();
            tracing::debug!(source = name, events = received.len() - duplicates, duplicates, "stored");
            success
        }
        Ok(Kept::Spooled) => {
            tracing::debug!(source = name, "in the spool");
            count(receiver, name, |figures| figures.spooled.one());
            success
        }
        Err(error) => {
            report_unkept(name, error);
            Answer::Unavailable
        }
    }
}

async fn quarantine(
    receiver: &Receiver,
    name: &str,
    client: IpAddr,
    header: Option<String>,
    body: Bytes,
    refusal: Refusal,
    at: Timestamp,
) -> Answer {
    receiver.sightings.note_refusal(name, refusal.code(), at);
    let class = class_of(&refusal, header.is_some());
    let refused = Refused {
        source: name.to_owned(),
        at,
        client: client.to_string(),
        header,
        body,
        code: refusal.code().to_owned(),
        reason: refusal.to_string(),
        class,
    };
    let outcome = receiver.keeper.quarantine(refused).await;
    report(name, client, &refusal, outcome.as_ref());
    if matches!(outcome, Ok(Kept::Spooled | Kept::Stored(Quarantined::Kept { .. }))) {
        count(receiver, name, |figures| figures.quarantined.one());
    }
    match outcome {
        Ok(Kept::Spooled | Kept::Stored(Quarantined::Kept { .. })) if class == QuarantineClass::Promised => Answer::Success,
        Ok(Kept::Stored(Quarantined::Full)) if class == QuarantineClass::Promised => Answer::QuarantineFull,
        Ok(_) => refuse(&refusal),
        Err(_) => Answer::Unavailable,
    }
}

fn class_of(refusal: &Refusal, is_signed: bool) -> QuarantineClass {
    match refusal {
        Refusal::AwaitingKey => QuarantineClass::Promised,
        Refusal::NoKeyMatched { .. } if is_signed => QuarantineClass::Refused,
        _ => QuarantineClass::Hopeless,
    }
}

fn report(name: &str, client: IpAddr, refusal: &Refusal, outcome: Result<&Kept<Quarantined>, &Error>) {
    let code = refusal.code();
    match outcome {
        Ok(Kept::Spooled) => tracing::warn!(source = name, %client, code, "to the spool, and from there to quarantine: {refusal}"),
        Ok(Kept::Stored(Quarantined::Kept { pushed_out: 0 })) => tracing::warn!(source = name, %client, code, "to quarantine: {refusal}"),
        Ok(Kept::Stored(Quarantined::Kept { pushed_out })) => {
            tracing::error!(source = name, %client, code, pushed_out, "to quarantine, which was full, so that the largest bodies in it were given up: {refusal}");
        }
        Ok(Kept::Stored(Quarantined::Full)) => {
            tracing::error!(source = name, %client, code, "not kept, because the quarantine is full: {refusal}");
        }
        Err(error) => report_unkept(name, error),
    }
}

/// The keeper tells the log of a sick store; a line for each request would bury it.
fn report_unkept(name: &str, error: &Error) {
    match error {
        Error::Unavailable(_) => tracing::debug!(source = name, "a request was not kept, and its sender was told so: {error}"),
        Error::Refused(_) => tracing::error!(source = name, "a request was not kept, and its sender was told so: {error}"),
    }
}

/// The sender learns what is wrong with its request, and nothing of other sources.
fn refuse(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::NoKeyMatched { .. } => Answer::Signature("no_key_matched", "the signature is by no signing key of this source".to_owned()),
        other => Answer::Signature(other.code(), other.to_string()),
    }
}
