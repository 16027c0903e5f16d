//! The exam that every connector takes: ours and other people's, the same.
//!
//! ```no_run
//! use leadwire_connector::conformance::{self, Subject};
//! # async fn exam(mine: &dyn Subject) {
//! conformance::run(mine).await;
//! # }
//! ```
//!
//! Each case starts a fresh service, orders faults, and looks at what the connector says and what the service holds afterwards.
//! [`run`] prints a table of the cases (`cargo test -- --nocapture` shows it when all is well, too) and panics when one failed. A case
//! that has no meaning for a connector is [exempt](Subject::exempt), with the reason in the table.

mod cases;
mod compare;
mod room;

use crate::simulator::{Request, Service};
use crate::{ConnectorKind, Event, Kind, Person};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::fmt;
use url::Url;
use uuid::Uuid;

/// A connector, and what the exam needs to know about it.
pub trait Subject: Send + Sync {
    /// What the connector crate exports.
    fn kind(&self) -> ConnectorKind;

    /// A fresh simulated service. `None` for a connector that reaches nothing over HTTP: then only the cases that need no service apply.
    fn service(&self) -> Option<Box<dyn Service>>;

    /// The keys of `[destinations.NAME]` for a service at this address. Asked once for each fresh service, so that a connector that
    /// keeps something on our side can be given a fresh place.
    fn settings(&self, url: &Url) -> Map<String, Value>;

    /// The secrets in those settings.
    fn secrets(&self) -> Vec<String>;

    /// How many records the service holds, read from its state (`null` without a service): what a person would call one too many after
    /// a repeat. Unless said otherwise, all that is in the lists of the state.
    fn records(&self, state: &Value) -> usize {
        state.as_object().into_iter().flatten().filter_map(|(_, list)| list.as_array()).map(Vec::len).sum()
    }

    /// An event that the connector delivers. A lead with every field unless said otherwise.
    fn event(&self) -> Event {
        sample()
    }

    /// Whether a request changes nothing. `GET`, `HEAD` and `OPTIONS` unless said otherwise; many services search by `POST`.
    fn is_read(&self, request: &Request) -> bool {
        matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// A field that the connector sends, by the service's name for it: the service refuses it in the case `invalid-field`.
    fn field(&self) -> &str {
        "email"
    }

    /// The cases that have no meaning for this connector, each by its name in the table and the reason, in a sentence for a person.
    fn exempt(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
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

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// As it should.
    Passed,
    /// It has no meaning for this connector, and why.
    Exempt(String),
    /// What was wrong.
    Failed(String),
}

/// One case of the exam.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its name, as in [`Subject::exempt`].
    pub case: &'static str,
    /// What must hold.
    pub question: &'static str,
    /// How it went.
    pub mark: Mark,
}

/// How the exam went. Shown as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exam {
    /// The `type` of the connector.
    pub kind: &'static str,
    /// The cases, in their order.
    pub answered: Vec<Answered>,
}

impl Exam {
    /// Whether no case failed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.count(|mark| matches!(mark, Mark::Failed(_))) == 0
    }

    fn count(&self, is_such: impl Fn(&Mark) -> bool) -> usize {
        self.answered.iter().filter(|answered| is_such(&answered.mark)).count()
    }
}

impl fmt::Display for Exam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The exam of `{}`", self.kind)?;
        for Answered { case, question, mark } in &self.answered {
            match mark {
                Mark::Passed => writeln!(f, "  passed  {case:<18} {question}")?,
                Mark::Exempt(why) => writeln!(f, "  exempt  {case:<18} {question}: {why}")?,
                Mark::Failed(why) => writeln!(f, "  FAILED  {case:<18} {question}: {why}")?,
            }
        }
        let (passed, exempt) = (self.count(|mark| *mark == Mark::Passed), self.count(|mark| matches!(mark, Mark::Exempt(_))));
        write!(f, "{passed} passed, {exempt} do not apply, {} failed", self.answered.len() - passed - exempt)
    }
}

/// Asks every question, prints the table, and panics when an answer is wrong. For a test on a tokio runtime with time and I/O.
///
/// # Panics
/// When an answer is wrong, or an exemption names no case.
pub async fn run(subject: &dyn Subject) {
    let exam = examine(subject).await;
    println!("{exam}");
    assert!(exam.is_passed(), "{exam}");
}

/// Asks every question.
///
/// # Panics
/// When an exemption names no case.
pub async fn examine(subject: &dyn Subject) -> Exam {
    let exempt = subject.exempt();
    for (name, _) in &exempt {
        assert!(cases::ALL.iter().any(|case| case.name == *name), "`{name}` is exempt, but there is no such case");
    }
    let has_service = subject.service().is_some();
    let mut answered = Vec::new();
    for case in &cases::ALL {
        let reason = exempt.iter().find(|(name, _)| *name == case.name).map(|(_, why)| (*why).to_owned());
        let reason = reason.or_else(|| (case.needs_service && !has_service).then(|| "it reaches nothing over HTTP".to_owned()));
        let mark = match reason {
            Some(reason) => Mark::Exempt(reason),
            None => cases::ask(case.name, subject).await.map_or_else(Mark::Failed, |()| Mark::Passed),
        };
        answered.push(Answered { case: case.name, question: case.question, mark });
    }
    Exam { kind: subject.kind().name, answered }
}
