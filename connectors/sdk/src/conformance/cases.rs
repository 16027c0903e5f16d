//! The questions.

use super::compare::is_same;
use super::room::{Room, TIMEOUT};
use super::{Request, Subject};
use crate::simulator::{FaultKind, FaultRule, Faults};
use crate::{DeliveryError, ErrorKind, PreviewRequest, Receipt, Verdict};
use jiff::{SignedDuration, Timestamp};
use std::time::Instant;

/// More requests than this for one attempt that cannot succeed is a loop.
const MOST_REQUESTS: usize = 20;

/// A question.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) question: &'static str,
    pub(super) needs_service: bool,
}

const fn case(name: &'static str, question: &'static str) -> Case {
    Case { name, question, needs_service: true }
}

const fn local(name: &'static str, question: &'static str) -> Case {
    Case { name, question, needs_service: false }
}

/// In the order of the table.
pub(super) const ALL: [Case; 27] = [
    local("repeat", "a repeated delivery makes no second record"),
    case("lost-answer", "a timeout or a reset after the write makes no second record"),
    case("stale-connection", "a connection that closes as it is used again loses nothing"),
    case("error-inside", "an error inside a 2xx is an error, and nothing is lost by it"),
    case("unauthorized", "refused credentials (401) hold the destination"),
    case("forbidden", "a missing right (403) holds the destination"),
    case("conflict", "a record that is there already (409) is no loop and makes no second one"),
    case("invalid-field", "a field that is refused (422) is named"),
    case("redirect", "a redirect holds the destination, and is not followed"),
    case("rate-limit", "a 429 without Retry-After waits"),
    case("rate-limit-seconds", "Retry-After in seconds is honoured"),
    case("rate-limit-date", "Retry-After as a date is honoured"),
    case("error-500", "a 500 is tried again"),
    case("error-502", "a 502 is tried again"),
    case("error-503", "a 503 is tried again"),
    case("error-504", "a 504 is tried again"),
    case("reset", "a reset is tried again"),
    case("hang", "no answer is ambiguous, and tried again"),
    case("garbage", "a page of HTML is an error, and nothing is lost by it"),
    case("huge-body", "an answer of 100 MB is no success, costs no time, and makes no second record"),
    case("slow-body", "an answer that never ends is given up, and makes no second record"),
    case("wrong-type", "an answer that is said to be HTML makes no second record"),
    local("preview", "the preview is what is sent"),
    local("check", "a check changes nothing, and is good when all is well"),
    case("check-refused", "a check sees refused credentials"),
    case("check-outage", "a check sees an outage"),
    case("echo", "an answer that repeats the credentials is shown without them"),
];

/// The answer to a question: what is wrong, or nothing.
pub(super) async fn ask(name: &str, subject: &dyn Subject) -> Result<(), String> {
    match name {
        "repeat" => repeated(subject).await,
        "lost-answer" => lost_answers(subject).await,
        "stale-connection" => settles(subject, "close-idle x1").await,
        "conflict" => conflict(subject).await,
        "invalid-field" => invalid_field(subject).await,
        "slow-body" => settles(subject, "slow-body:500ms x1").await,
        "wrong-type" => settles(subject, "wrong-type x1").await,
        "preview" => preview_is_sent(subject).await,
        "check" => check_changes_nothing(subject).await,
        "check-refused" => check_sees(subject, "401").await,
        "check-outage" => check_sees(subject, "503").await,
        "error-inside" | "garbage" | "huge-body" => {
            let rule = if name == "huge-body" { "huge-body:104857600" } else { name };
            fails(subject, rule, |_| true).await?;
            settles(subject, &format!("{rule} x1")).await
        }
        other => by_status(other, subject).await,
    }
}

async fn by_status(name: &str, subject: &dyn Subject) -> Result<(), String> {
    match name {
        "unauthorized" => fails(subject, "401", |error| holds(error) && error.kind == ErrorKind::Credentials).await,
        "forbidden" => fails(subject, "403", holds).await,
        "redirect" => fails(subject, "302", holds).await,
        "rate-limit" => fails(subject, "429", |error| !matches!(error.verdict, Verdict::Reject | Verdict::Hold { until: None })).await,
        "rate-limit-seconds" => fails(subject, "429:60", |error| waits(error, 60)).await,
        "rate-limit-date" => fails(subject, &format!("429:{}", http_date(60)), |error| waits(error, 60)).await,
        "reset" => fails(subject, "reset-before", is_outage_to_retry).await,
        "hang" => fails(subject, "hang", |error| error.is_ambiguous() && is_outage_to_retry(error)).await,
        "echo" => fails(subject, "echo", |_| true).await,
        status => match status.strip_prefix("error-") {
            Some(status) => fails(subject, status, is_outage_to_retry).await,
            None => Err("there is no such case".to_owned()),
        },
    }
}

fn holds(error: &DeliveryError) -> bool {
    matches!(error.verdict, Verdict::Hold { .. })
}

fn is_outage_to_retry(error: &DeliveryError) -> bool {
    error.kind.is_outage() && matches!(error.verdict, Verdict::Retry { .. })
}

/// Whether it waits about that long, as a retry or as a hold.
fn waits(error: &DeliveryError, seconds: i64) -> bool {
    let waits = match error.verdict {
        Verdict::Retry { after: Some(after) } => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Verdict::Hold { until: Some(until) } => until.duration_since(Timestamp::now()).as_secs(),
        _ => return false,
    };
    // The exam itself takes a moment, and dates have whole seconds.
    (seconds - 30..=seconds + 1).contains(&waits)
}

fn http_date(seconds: i64) -> String {
    let at = Timestamp::now() + SignedDuration::from_secs(seconds);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

async fn records_of_one_delivery(subject: &dyn Subject) -> Result<usize, String> {
    let mut room = Room::enter(subject, Faults::default()).await?;
    room.deliver().await?;
    match room.records() {
        0 => Err("a delivery left no record".to_owned()),
        records => Ok(records),
    }
}

fn same(expected: usize, found: usize) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{found} records instead of {expected}")) }
}

async fn repeated(subject: &dyn Subject) -> Result<(), String> {
    let expected = records_of_one_delivery(subject).await?;
    let mut room = Room::enter(subject, Faults::default()).await?;
    for _ in 0..3 {
        room.deliver().await?;
    }
    same(expected, room.records())
}

/// Chance cuts off answers in every place and combination; each seed is another course.
async fn lost_answers(subject: &dyn Subject) -> Result<(), String> {
    let expected = records_of_one_delivery(subject).await?;
    for (seed, rule) in (0..12).flat_map(|seed| ["reset-after-write @60%", "reset-before @50%", "503 @50%"].map(|rule| (seed, rule))) {
        let faults = Faults { seed, ..Faults::new([rule.parse()?]) };
        let mut room = Room::enter(subject, faults).await?;
        room.deliver_in_the_end().await.map_err(|why| format!("with {rule}, seed {seed}: {why}"))?;
        same(expected, room.records()).map_err(|why| format!("with {rule}, seed {seed}: {why}"))?;
    }
    Ok(())
}

/// Whether this fault strikes the first request or the first write, the delivery ends well in the end, and once.
async fn settles(subject: &dyn Subject, rule: &str) -> Result<(), String> {
    let expected = records_of_one_delivery(subject).await?;
    let write = first_write(subject).await?;
    for rule in [rule.parse::<FaultRule>()?, FaultRule { method: Some(write.method.clone()), ..rule.parse()? }] {
        let mut room = Room::enter(subject, Faults::default()).await?;
        if rule.kind == FaultKind::CloseIdle {
            room.deliver().await?;
        }
        room.order(rule);
        room.deliver_in_the_end().await?;
        room.deliver().await?;
        same(expected, room.records())?;
    }
    Ok(())
}

/// With this fault on every request the attempt fails soon, and the error is as it should be.
async fn fails(subject: &dyn Subject, rule: &str, is_right: impl Fn(&DeliveryError) -> bool + Send) -> Result<(), String> {
    let mut room = Room::enter(subject, Faults::new([rule.parse::<FaultRule>()?])).await?;
    let started = Instant::now();
    let result = room.attempt().await?;
    if started.elapsed() > TIMEOUT * 10 {
        return Err(format!("it took {} seconds", started.elapsed().as_secs()));
    }
    if room.requests().len() > MOST_REQUESTS {
        return Err(format!("one attempt made {} requests", room.requests().len()));
    }
    match result {
        Ok(receipt) => Err(format!("it counts as {receipt:?}")),
        Err(error) if is_right(&error) => Ok(()),
        Err(error) => Err(format!("{error:?}")),
    }
}

/// What the connector sends first that changes something, when all is well.
async fn first_write(subject: &dyn Subject) -> Result<Request, String> {
    let mut room = Room::enter(subject, Faults::default()).await?;
    room.deliver().await?;
    room.requests().into_iter().find(|request| !subject.is_read(request)).ok_or_else(|| "nothing was written".to_owned())
}

fn on(write: &Request, kind: FaultKind, times: Option<u32>) -> FaultRule {
    FaultRule { method: Some(write.method.clone()), path_contains: Some(write.path().to_owned()), times, ..FaultRule::always(kind) }
}

async fn conflict(subject: &dyn Subject) -> Result<(), String> {
    let (expected, write) = (records_of_one_delivery(subject).await?, first_write(subject).await?);
    fails(subject, "409", |error| error.kind != ErrorKind::Credentials).await?;
    let mut room = Room::enter(subject, Faults::new([on(&write, FaultKind::Status(409), Some(1))])).await?;
    if let Err(error) = room.attempt().await? {
        match error.verdict {
            Verdict::Retry { .. } => room.deliver_in_the_end().await?,
            Verdict::Reject if error.kind == ErrorKind::Data => return Ok(()),
            _ => return Err(format!("{error:?}")),
        }
    }
    same(expected, room.records())
}

/// The event is refused with the field's name, or taken without the field, which a remark says.
async fn invalid_field(subject: &dyn Subject) -> Result<(), String> {
    let (write, field) = (first_write(subject).await?, subject.field());
    let mut room = Room::enter(subject, Faults::new([on(&write, FaultKind::InvalidField(field.to_owned()), None)])).await?;
    let result = room.attempt().await?;
    if room.requests().len() > MOST_REQUESTS {
        return Err(format!("one attempt made {} requests", room.requests().len()));
    }
    match result {
        Err(error) if matches!(error.verdict, Verdict::Reject) && error.message.contains(field) => Ok(()),
        Ok(Receipt::Delivered { remark: Some(remark), .. }) if remark.contains(field) => Ok(()),
        other => Err(format!("`{field}` is not named: {other:?}")),
    }
}

/// What is previewed without a condition is sent, and nothing that changes anything is sent that was not previewed.
async fn preview_is_sent(subject: &dyn Subject) -> Result<(), String> {
    let mut room = Room::enter(subject, Faults::default()).await?;
    let previewed = room.connector.preview(&room.delivery.event).map_err(|error| format!("there is no preview: {error:?}"))?;
    room.is_silent(&format!("{previewed:?}"))?;
    if previewed.is_empty() {
        return Err("the preview is empty".to_owned());
    }
    if !room.requests().is_empty() {
        return Err("a preview asked the service".to_owned());
    }
    room.deliver().await?;
    let (sent, base) = (room.requests(), room.url());
    let is_sent = |previewed: &PreviewRequest| sent.iter().any(|sent| is_same(previewed, sent, &base));
    if let Some(missing) = previewed.iter().find(|one| one.condition.is_none() && !sent.is_empty() && !is_sent(one)) {
        return Err(format!("{missing:?} is not among {sent:?}"));
    }
    let is_previewed = |sent: &Request| previewed.iter().any(|previewed| is_same(previewed, sent, &base));
    match sent.iter().find(|sent| !subject.is_read(sent) && !is_previewed(sent)) {
        Some(surprise) => Err(format!("{surprise:?} was not previewed, but {previewed:?}")),
        None => Ok(()),
    }
}

async fn check_changes_nothing(subject: &dyn Subject) -> Result<(), String> {
    let room = Room::enter(subject, Faults::default()).await?;
    let (before, records) = (room.state(), room.records());
    let report = room.connector.check().await;
    room.is_silent(&format!("{report:?}"))?;
    if !report.is_good() || report.findings.is_empty() {
        return Err(format!("the report is {report:?}"));
    }
    if let Some(write) = room.requests().into_iter().find(|request| !subject.is_read(request)) {
        return Err(format!("{} {} may change something", write.method, write.target));
    }
    if room.state() == before && room.records() == records { Ok(()) } else { Err("the service's state is another one".to_owned()) }
}

/// Only a connector that asks the service can see it; one that sends nothing has nothing to be refused.
async fn check_sees(subject: &dyn Subject, rule: &str) -> Result<(), String> {
    let room = Room::enter(subject, Faults::new([rule.parse()?])).await?;
    let report = room.connector.check().await;
    room.is_silent(&format!("{report:?}"))?;
    if report.is_good() && !room.requests().is_empty() { Err(format!("the report is {report:?}")) } else { Ok(()) }
}
