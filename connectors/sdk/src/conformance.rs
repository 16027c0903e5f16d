//! The exam that every connector with a simulated service takes.
//!
//! ```no_run
//! # use leadwire_connector::conformance::{self, Subject};
//! # async fn exam(subject: &dyn Subject) {
//! conformance::run(subject).await;
//! # }
//! ```
//!
//! Each question starts a fresh service, orders faults, and looks at what the connector says and what the service holds afterwards.

use crate::http::HttpSettings;
use crate::settings::Typed;
use crate::simulator::{FaultRule, Faults, Server, Service};
use crate::{
    BuildContext, Connector, ConnectorKind, Delivery, DeliveryError, ErrorKind, Event, Kind, MemorySteps, Person, Receipt, Steps, Verdict,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

/// Long enough for a busy machine, short enough to wait for.
const TIMEOUT: Duration = Duration::from_secs(2);
/// So many attempts are enough to get through any ordered chance.
const MOST_ATTEMPTS: u32 = 60;

/// A connector, and what the exam needs to know about it.
pub trait Subject: Send + Sync {
    /// What the connector crate exports.
    fn kind(&self) -> ConnectorKind;

    /// A fresh simulated service.
    fn service(&self) -> Box<dyn Service>;

    /// The keys of `[destinations.NAME]` for a service at this address.
    fn settings(&self, url: &Url) -> Map<String, Value>;

    /// The secrets in those settings.
    fn secrets(&self) -> Vec<String>;

    /// How many records the service holds, read from its state: what a person would call one too many after a repeat.
    fn records(&self, state: &Value) -> usize;

    /// An event that the connector delivers. A lead with every field unless said otherwise.
    fn event(&self) -> Event {
        sample()
    }
}

/// A lead with every field.
#[must_use]
pub fn sample() -> Event {
    Event {
        id: Uuid::from_u128(0x0199_f3c2_0000_7000_8000_0000_0000_0001),
        kind: Kind::Lead,
        source: "acme".to_owned(),
        chatbot_id: Some("59001dd73709417321c58b11693183a2".to_owned()),
        person: Person {
            first_name: Some("David".to_owned()),
            last_name: Some("Garcia".to_owned()),
            email: Some("david@example.com".to_owned()),
            phone: Some("+14155550123".to_owned()),
        },
        content: Some("Please call me back.".to_owned()),
        session_id: Some("31305".to_owned()),
        page_url: Some("https://www.example.com/prices".to_owned()),
        created_at: Timestamp::from_second(1_795_341_600).ok(),
        received_at: Timestamp::from_second(1_795_341_660).unwrap_or_default(),
        stale: false,
        conversation: None,
        extra: Map::new(),
        raw: json!({"SerialNumber": "59001dd73709417321c58b11693183a2"}),
    }
}

/// Asks every question.
///
/// # Panics
/// When an answer is wrong; the message lists all that are.
pub async fn run(subject: &dyn Subject) {
    let mut wrong = Vec::new();
    let mut mark = |question: &str, answer: Result<(), String>| wrong.extend(answer.err().map(|why| format!("{question}: {why}")));
    mark("a repeated delivery makes no second record", repeated(subject).await);
    mark("a lost answer makes no second record", lost_answers(subject).await);
    mark("a connection that closes as it is used again loses nothing", stale_connection(subject).await);
    mark("an error inside a 2xx is an error", fails(subject, "error-inside", |_| true).await);
    mark("garbage is an error", fails(subject, "garbage", |_| true).await);
    mark("a huge answer is an error", fails(subject, "huge-body:20000000", |_| true).await);
    mark(
        "refused credentials hold the destination",
        fails(subject, "401", |error| holds(error) && error.kind == ErrorKind::Credentials).await,
    );
    mark("a redirect holds the destination", fails(subject, "302", holds).await);
    mark("a 500 is tried again", fails(subject, "500", is_outage_to_retry).await);
    mark("a 503 is tried again", fails(subject, "503", is_outage_to_retry).await);
    mark("a reset is tried again", fails(subject, "reset-before", is_outage_to_retry).await);
    mark("no answer is ambiguous", fails(subject, "hang", |error| error.is_ambiguous() && is_outage_to_retry(error)).await);
    mark("Retry-After in seconds is honoured", fails(subject, "429:60", |error| waits(error, 60)).await);
    mark("Retry-After as a date is honoured", fails(subject, &format!("429:{}", http_date(60)), |error| waits(error, 60)).await);
    mark("the preview is what is sent", preview_is_sent(subject).await);
    mark("a check changes nothing", check_changes_nothing(subject).await);
    mark("a check sees refused credentials", check_sees_refusal(subject).await);
    assert!(wrong.is_empty(), "{} of the exam's questions have a wrong answer:\n{}", wrong.len(), wrong.join("\n"));
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

/// One connector and one fresh service.
struct Room<'a> {
    subject: &'a dyn Subject,
    server: Server,
    connector: Box<dyn Connector>,
    memory: MemorySteps,
    delivery: Delivery,
}

impl<'a> Room<'a> {
    async fn enter(subject: &'a dyn Subject, faults: Faults) -> Result<Self, String> {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server =
            Server::start(subject.service(), anywhere, faults).await.map_err(|error| format!("the server does not start: {error}"))?;
        let build = (subject.kind().parse)(subject.settings(&server.url()), &Typed)
            .map_err(|faults| format!("the settings are refused: {faults:?}"))?;
        let http = HttpSettings { timeout: TIMEOUT, ..HttpSettings::default() };
        let context = BuildContext::new("exam").with_http(http);
        let connector = build.build(&context)?;
        let event = Arc::new(subject.event());
        let delivery =
            Delivery { id: "0199f3c2-0000-7000-8000-0000000000aa".to_owned(), destination: "exam".to_owned(), event, attempt: 1 };
        Ok(Self { subject, server, connector, memory: MemorySteps::default(), delivery })
    }

    /// One attempt, with the steps that earlier ones finished. The outer error is a secret that got out.
    async fn attempt(&mut self) -> Result<Result<Receipt, DeliveryError>, String> {
        let mut steps = Steps::new(&self.memory, self.memory.saved());
        let result = self.connector.deliver(&self.delivery, &mut steps).await;
        drop(steps);
        self.delivery.attempt += 1;
        self.is_silent(&format!("{result:?}")).map(|()| result)
    }

    async fn deliver(&mut self) -> Result<(), String> {
        self.attempt().await?.map(drop).map_err(|error| format!("the delivery failed: {error:?}"))
    }

    /// Tries again as the bridge would, without waiting. Ends well, or with the last error.
    async fn deliver_in_the_end(&mut self) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..MOST_ATTEMPTS {
            match self.attempt().await? {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.verdict, Verdict::Reject) => return Err(format!("it was rejected: {error:?}")),
                Err(error) => last = format!("{error:?}"),
            }
        }
        Err(format!("{MOST_ATTEMPTS} attempts were not enough; the last: {last}"))
    }

    fn is_silent(&self, text: &str) -> Result<(), String> {
        let is_told = self.subject.secrets().iter().any(|secret| text.contains(secret));
        if is_told { Err("a secret stands in an error, a preview or a report".to_owned()) } else { Ok(()) }
    }

    fn records(&self) -> usize {
        self.subject.records(&self.server.state())
    }
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

async fn stale_connection(subject: &dyn Subject) -> Result<(), String> {
    let expected = records_of_one_delivery(subject).await?;
    let mut room = Room::enter(subject, Faults::default()).await?;
    room.deliver().await?;
    room.server.order("close-idle x1".parse()?);
    room.deliver_in_the_end().await?;
    room.deliver().await?;
    same(expected, room.records())
}

/// With this fault on every request the attempt fails, and the error is as it should be.
async fn fails(subject: &dyn Subject, rule: &str, is_right: impl Fn(&DeliveryError) -> bool + Send) -> Result<(), String> {
    let mut room = Room::enter(subject, Faults::new([rule.parse::<FaultRule>()?])).await?;
    match room.attempt().await? {
        Ok(receipt) => Err(format!("it counts as {receipt:?}")),
        Err(error) if is_right(&error) => Ok(()),
        Err(error) => Err(format!("{error:?}")),
    }
}

/// Later requests may need ids that only an answer brings, so the first one stands for all.
async fn preview_is_sent(subject: &dyn Subject) -> Result<(), String> {
    let mut room = Room::enter(subject, Faults::default()).await?;
    let preview = room.connector.preview(&room.delivery.event).map_err(|error| format!("there is no preview: {error:?}"))?;
    room.is_silent(&format!("{preview:?}"))?;
    room.deliver().await?;
    let first = preview.first().ok_or("the preview is empty")?;
    let sent = room.server.requests();
    let base = room.server.url();
    let is_sent = sent.iter().map(|logged| &logged.request).any(|request| {
        let url = base.join(&request.target).map(String::from);
        request.method == first.method && url.as_ref() == Ok(&first.url) && (request.json() == first.body || first.body == json!(""))
    });
    if is_sent { Ok(()) } else { Err(format!("{first:?} is not among {sent:?}")) }
}

async fn check_changes_nothing(subject: &dyn Subject) -> Result<(), String> {
    let room = Room::enter(subject, Faults::default()).await?;
    let before = room.server.state();
    let report = room.connector.check().await;
    room.is_silent(&format!("{report:?}"))?;
    if !report.is_good() || report.findings.is_empty() {
        return Err(format!("the report is {report:?}"));
    }
    if room.server.state() == before { Ok(()) } else { Err("the service's state is another one".to_owned()) }
}

/// Only a connector that asks the service can see it; one that sends nothing has nothing to be refused.
async fn check_sees_refusal(subject: &dyn Subject) -> Result<(), String> {
    let room = Room::enter(subject, Faults::new(["401".parse()?])).await?;
    let report = room.connector.check().await;
    room.is_silent(&format!("{report:?}"))?;
    if report.is_good() && room.server.count() > 0 { Err(format!("the report is {report:?}")) } else { Ok(()) }
}
