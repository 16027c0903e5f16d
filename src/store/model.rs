//! The values that go into the store and come out of it, the same for every engine.

use super::{Receipt, Room};
use jiff::Timestamp;
use leadwire_connector::{Event, Record};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// A destination's number in the store. Numbers are never reused, so a destination that left the configuration keeps its deliveries.
pub type DestinationId = u32;

/// One delivery: which event, to which destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryKey {
    /// The event's place in the order of receipt.
    pub event: i64,
    /// Where it goes.
    pub destination: DestinationId,
}

/// An event to be stored with its deliveries.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The normalised event.
    pub event: Arc<Event>,
    /// The same for the same content of the same source, and for nothing else.
    pub content_key: [u8; 24],
    /// Who it is about, for the order per person.
    pub person_key: Option<[u8; 16]>,
    /// Where it goes, without doubles.
    pub destinations: Vec<DestinationId>,
    /// The event as JSON, as it is kept.
    pub body: String,
    /// How it came in.
    pub receipt: Option<Receipt>,
}

/// What became of a [`NewEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Stored, with its deliveries.
    New,
    /// The same content was stored before; nothing was added.
    Duplicate,
}

/// One lease of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Which lease of it; see [`Leased::lease`].
    pub number: i64,
}

impl Leased {
    /// Its lease.
    #[must_use]
    pub fn lease(&self) -> Lease {
        Lease { key: self.key, number: self.lease }
    }
}

/// A delivery that the caller now owns and must settle or release.
#[derive(Debug)]
pub struct Leased {
    /// Which one.
    pub key: DeliveryKey,
    /// The event to deliver.
    pub event: Arc<Event>,
    /// Who it is about.
    pub person_key: Option<[u8; 16]>,
    /// Attempts that failed so far and counted.
    pub attempts: u32,
    /// When its time to be delivered began: receipt, or the last replay.
    pub clock_start: Timestamp,
    /// How long its destination had been parked, in all, when the clock began.
    pub parked_base_us: i64,
    /// Steps that earlier attempts finished, as (name, remote id).
    pub steps: Vec<(String, String)>,
    /// Places it takes in its lane's [`Room`].
    pub places: u32,
    /// Which lease of the delivery this is: a lease that was lost and taken again is another.
    pub lease: i64,
}

/// What the store tells a destination's lane after a commit.
#[derive(Debug)]
pub enum Handoff {
    /// A delivery was born leased to this process.
    Leased(Leased),
    /// A delivery waits in the store.
    Waiting,
}

/// What a claim brought.
#[derive(Debug, Default)]
pub struct Claimed {
    /// At most as many as asked for, longest due first.
    pub deliveries: Vec<Leased>,
    /// When the next waiting delivery is due, if fewer were due than asked for.
    pub next_due: Option<Timestamp>,
}

/// Starts that a shared rate limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// At most as many as asked for.
    pub starts: u32,
    /// When the next one is allowed, if fewer were than asked for.
    pub next_at: Option<Timestamp>,
}

/// Where a delivery stands. The first three are *pending*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Due now or later.
    Waiting,
    /// Owned by a running process.
    Leased,
    /// Behind an earlier delivery of the same person.
    Blocked,
    /// Accepted by the destination.
    Delivered,
    /// Not taken by the destination, by its nature.
    Skipped,
    /// For a person to look at.
    Dead,
    /// Its person was erased.
    Erased,
}

impl State {
    /// In the order of their numbers in the store.
    pub const ALL: [Self; 7] = [Self::Waiting, Self::Leased, Self::Blocked, Self::Delivered, Self::Skipped, Self::Dead, Self::Erased];

    /// Its number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The state of that number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Whether the delivery has not ended.
    #[must_use]
    pub fn is_pending(self) -> bool {
        matches!(self, Self::Waiting | Self::Leased | Self::Blocked)
    }

    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::Blocked => "blocked",
            Self::Delivered => "delivered",
            Self::Skipped => "skipped",
            Self::Dead => "dead",
            Self::Erased => "erased",
        }
    }
}

/// How an ended delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Delivered, skipped or dead.
    pub state: State,
    /// The record at the destination.
    pub record: Option<Record>,
    /// The reason it was skipped or died, or what a person should know.
    pub remark: Option<String>,
}

/// When a delivery is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// Not before this moment.
    pub not_before: Timestamp,
    /// Attempts that failed and counted, this one included if it counts.
    pub attempts: u32,
}

/// What an attempt led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The delivery is over.
    Ended(Ended),
    /// It goes on.
    Again(Again),
}

/// The end of a lease.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Which delivery.
    pub key: DeliveryKey,
    /// Which lease of it.
    pub lease: i64,
    /// Who it is about, to unblock the next of that person.
    pub person_key: Option<[u8; 16]>,
    /// What became of it.
    pub outcome: Outcome,
    /// The moment of the settlement.
    pub at: Timestamp,
    /// What the attempt was like; `None` when there is nothing to tell.
    pub attempt: Option<AttemptRow>,
}

/// One attempt, as kept for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// When it began.
    #[serde(with = "leadwire_connector::timestamp")]
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: i64,
    /// `delivered`, `skipped`, `retry`, `reject`, `hold` or `dead`.
    pub outcome: String,
    /// What failed, as one word.
    pub kind: Option<String>,
    /// HTTP status.
    pub status: Option<u16>,
    /// The destination's code.
    pub code: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// The start of the answer.
    pub excerpt: Option<String>,
}

/// A destination that is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Why, for people.
    pub reason: String,
    /// Since when.
    #[serde(with = "leadwire_connector::timestamp")]
    pub since: Timestamp,
    /// When it resumes by itself.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub until: Option<Timestamp>,
}

/// Deliveries of a destination, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Waiting, leased or blocked.
    pub pending: i64,
    /// Accepted by the destination.
    pub delivered: i64,
    /// Not taken, by its nature.
    pub skipped: i64,
    /// For a person to look at.
    pub dead: i64,
    /// Their person was erased.
    pub erased: i64,
}

/// A destination as the store knows it.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationRow {
    /// Its number.
    #[serde(skip)]
    pub id: DestinationId,
    /// Its name in the configuration.
    pub name: String,
    /// Set while parked.
    pub hold: Option<Hold>,
    /// Time parked in all, without the hold that is on.
    #[serde(skip)]
    pub parked_us: i64,
    /// Its deliveries by state.
    #[serde(flatten)]
    pub counts: Counts,
    /// Since when the delivery that is due longest has been due.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub due_since: Option<Timestamp>,
}

/// A body that could not be verified.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The source it was posted to.
    pub source: String,
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub client: String,
    /// The signature header, if any.
    pub header: Option<String>,
    /// The body, inflated.
    pub body: bytes::Bytes,
    /// One word: why.
    pub code: String,
    /// In a sentence: why.
    pub reason: String,
    /// What can become of it.
    pub class: QuarantineClass,
}

/// What became of a [`Refused`] body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quarantined {
    /// Kept.
    Kept {
        /// Bodies of its class that made room for it.
        pushed_out: u32,
    },
    /// There is no room left for it.
    Full,
}

/// What can become of a quarantined body. No class pushes out another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineClass {
    /// Not signed, or not readably: no key will ever verify it.
    Hopeless,
    /// Another key may verify it.
    Refused,
    /// Its sender was told success: nothing pushes it out.
    Promised,
}

/// How much of a source the quarantine keeps.
#[derive(Debug, Clone, Copy)]
pub struct QuarantineLimits {
    /// Bytes of one source in each class; of hopeless ones a sixteenth.
    pub max_bytes: u64,
}

/// A row of the quarantine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuarantineRow {
    /// Its number.
    pub id: i64,
    /// The source it was posted to.
    pub source: String,
    /// When it came last.
    #[serde(with = "leadwire_connector::timestamp")]
    pub at: Timestamp,
    /// The client's address.
    pub client: String,
    /// How often it came.
    pub times: i64,
    /// Bytes of the body.
    pub size: i64,
    /// One word: why.
    pub code: String,
    /// In a sentence: why.
    pub reason: String,
    /// For verifying again.
    #[serde(skip)]
    pub header: Option<String>,
}

/// Which events to list. Everything given must match.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// E-mail, exactly, without regard to case.
    pub email: Option<String>,
    /// Phone, by its digits.
    pub phone: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// Source name.
    pub source: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// Only events with no deliveries that are no tests.
    pub unrouted: bool,
    /// What a person types: beginnings of words of the name, the e-mail, the content, the chat and of fields without a place of their
    /// own, an address or its domain, a telephone number in any writing or its last digits, a session, a chatbot; or an event's id.
    /// Every word must be there. Of a long chat, the first 400 different words count.
    pub text: Option<String>,
    /// The chatbot's id or name, without regard to case.
    pub chatbot: Option<String>,
    /// Only events with a delivery in this state,
    pub state: Option<State>,
    /// and, or, to this destination.
    pub destination: Option<String>,
    /// Only events whose body came more than once.
    pub duplicates: bool,
    /// Only events received before this one: the last one of the page before. New events do not move what is on a page.
    pub before: Option<Uuid>,
    /// At most so many, newest first.
    pub limit: u32,
}

impl EventFilter {
    /// What the digits of a telephone number must end with; without any, none matches. People write a number with or without its
    /// country's zeros and signs; the last digits tell.
    pub(super) fn last_digits(&self) -> Option<String> {
        self.phone.as_deref().map(|phone| digits(phone).trim_start_matches('0').to_owned())
    }
}

/// The digits of a telephone number, however it is written.
pub(super) fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

/// An event in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventRow {
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// How often the same body came again.
    pub duplicates: i64,
    /// When its person was erased; nothing is left of it then but its place in the ledger.
    #[serde(default, with = "leadwire_connector::timestamp::option", skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<Timestamp>,
    /// How it came in; `None` for what an earlier version received, and for a person who was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Its deliveries.
    pub deliveries: Vec<DeliveryRow>,
}

/// Everything about one event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventDetail {
    /// The event and its deliveries.
    #[serde(flatten)]
    pub row: EventRow,
    /// Attempts, by destination, oldest first.
    pub attempts: Vec<(String, AttemptRow)>,
    /// Finished steps, by destination: name and remote id.
    pub steps: Vec<(String, String, String)>,
}

/// Which deliveries to list or replay. Everything given must match.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Any of these states; empty is all.
    pub states: Vec<State>,
    /// Destination name.
    pub destination: Option<String>,
    /// Of dead letters: what they died of.
    pub cause: Option<String>,
    /// Event received at or after.
    pub since: Option<Timestamp>,
    /// Only deliveries after this one in the list: its event and its destination. The last one of the page before.
    pub before: Option<(Uuid, String)>,
    /// At most so many, newest first.
    pub limit: u32,
}

/// A delivery in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// The delivery's id, which destinations see as idempotency key.
    pub id: String,
    /// Which event.
    pub event: Uuid,
    /// Where to.
    pub destination: String,
    /// Where it stands.
    pub state: State,
    /// Failed attempts that counted.
    pub attempts: u32,
    /// When the event was received.
    #[serde(with = "leadwire_connector::timestamp")]
    pub received_at: Timestamp,
    /// When it is due, if it waits.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub not_before: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub ended_at: Option<Timestamp>,
    /// The record it became.
    pub record: Option<Record>,
    /// Reason or last error.
    pub remark: Option<String>,
}

impl DeliveryRow {
    /// Says of one that is pending what it waits for, beside what its last attempt said: the end of its destination's `hold`, or of an
    /// earlier delivery of the same person.
    pub fn tell_wait(&mut self, hold: Option<&Hold>) {
        let why = match (self.state, hold) {
            (State::Waiting, Some(hold)) => format!("{} is on hold: {}", self.destination, hold.reason),
            (State::Blocked, Some(hold)) => {
                format!("waits behind an earlier delivery of the same person; {} is on hold: {}", self.destination, hold.reason)
            }
            (State::Blocked, None) => "waits behind an earlier delivery of the same person".to_owned(),
            _ => return,
        };
        let last = self.remark.take().map(|last| format!("; the last attempt said: {last}")).unwrap_or_default();
        self.remark = Some(why + &last);
    }
}

/// One line of the audit.
#[derive(Debug, Clone, Serialize)]
pub struct AuditFinding {
    /// What must hold.
    pub invariant: String,
    /// Ids of the rows for which it does not, at most 20.
    pub differing: Vec<String>,
}

/// What the ledger says of a source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceLedger {
    /// Its name in the configuration.
    pub name: String,
    /// Events ever received.
    pub received: i64,
    /// Events in the store now.
    pub stored: i64,
    /// How often one of them came again.
    pub duplicates: i64,
}

/// What the ledger says of a destination.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationLedger {
    /// Its name in the configuration.
    pub name: String,
    /// Deliveries ever made.
    pub made: i64,
    /// Deliveries in the store now, by state.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The ledger and whether it adds up.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    /// By name.
    pub sources: Vec<SourceLedger>,
    /// By name.
    pub destinations: Vec<DestinationLedger>,
    /// What was checked.
    pub findings: Vec<AuditFinding>,
}

impl AuditReport {
    /// Whether every invariant holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.differing.is_empty())
    }
}

/// A lane's side of the store: where its fresh deliveries go, and how many it has room for.
#[derive(Debug, Clone)]
pub struct LaneEnd {
    /// Permits for deliveries held in memory.
    pub room: Arc<Room>,
    /// Where to hand them.
    pub inbox: tokio::sync::mpsc::UnboundedSender<Handoff>,
}
