//! Missed leads: conversations in which a visitor left an e-mail address or a phone number although no lead came. What is a contact,
//! and which lead answers it, is decided above; the store walks its events once, in the order of receipt, and keeps a short list.

use super::operations::each;
use super::{Engine, Result, Store};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

/// Open ones kept; more would be no list for a person. The oldest make room.
pub(super) const MOST_OPEN: i64 = 10_000;

/// Whom a lead or appointment is of, as far as is in its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadTrace {
    /// The source's name.
    pub source: String,
    /// The chat session.
    pub session_id: Option<String>,
    /// As normalised.
    pub email: Option<String>,
    /// As normalised.
    pub phone: Option<String>,
}

/// An event on the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// A lead or an appointment.
    Lead(LeadTrace),
    /// A conversation: its place in the order of receipt, when it was received, and its JSON.
    Conversation(i64, Timestamp, String),
}

/// A stretch of the walk.
#[derive(Debug, Clone, Default)]
pub struct Stretch {
    /// In the order of receipt.
    pub passed: Vec<Passed>,
    /// The place of the last event that was looked at.
    pub until: i64,
}

/// A conversation without a lead, to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMissed {
    /// The place of the conversation.
    pub event: i64,
    /// What the visitor left.
    pub email: Option<String>,
    /// What the visitor left.
    pub phone: Option<String>,
}

/// A missed lead that nobody has settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// The conversation's id.
    pub id: Uuid,
    /// Its place in the order of receipt.
    #[serde(skip)]
    pub event: i64,
    /// The source of the conversation.
    pub source: String,
    /// Its chat session.
    pub session_id: Option<String>,
    /// When the chat log with it was received.
    #[serde(with = "leadwire_connector::timestamp")]
    pub received_at: Timestamp,
    /// When it was found to have no lead.
    #[serde(with = "leadwire_connector::timestamp")]
    pub found_at: Timestamp,
    /// What the visitor left.
    pub email: Option<String>,
    /// What the visitor left.
    pub phone: Option<String>,
}

/// What a person did with a missed lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedEnding {
    /// Made a lead of it: this event.
    Taken(Uuid),
    /// It is none.
    Dismissed,
}

impl MissedEnding {
    pub(super) fn columns(self) -> (i64, Option<String>) {
        match self {
            Self::Taken(lead) => (1, Some(lead.to_string())),
            Self::Dismissed => (2, None),
        }
    }
}

/// Missed leads.
impl Store {
    /// The place of the newest event, 0 when there is none.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn newest_place(&self) -> Result<i64> {
        each!(&self.engine, engine => engine.newest_place().await)
    }

    /// Up to which event the walk has come.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn missed_mark(&self) -> Result<i64> {
        each!(&self.engine, engine => engine.missed_mark().await)
    }

    /// Leads, appointments and conversations after `after` and up to `until`, as many as fit into memory.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn walk_leads(&self, after: i64, until: i64) -> Result<Stretch> {
        each!(&self.engine, engine => engine.walk_leads(after, until).await)
    }

    /// Leads and appointments received since `since`, up to the place `until`: so many after `after`, which is the moment and place of
    /// the last one that was read, each with its own.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn leads_since(
        &self,
        since: Timestamp,
        until: i64,
        after: Option<(Timestamp, i64)>,
    ) -> Result<Vec<((Timestamp, i64), LeadTrace)>> {
        each!(&self.engine, engine => engine.leads_since(after.unwrap_or((since, i64::MIN)), until).await)
    }

    /// Moves the mark of the walk from one place to another, lists what was found, and takes off the list what a lead has come for.
    /// False when another bridge has moved it meanwhile; then nothing is done.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn note_missed(&self, marks: (i64, i64), found: Vec<FoundMissed>, answered: Vec<i64>, now: Timestamp) -> Result<bool> {
        each!(&self.engine, engine => engine.note_missed(marks, found, answered, now).await)
    }

    /// Missed leads that nobody has settled, newest first, of conversations received since then.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn missed(&self, since: Option<Timestamp>, limit: u32) -> Result<Vec<Missed>> {
        self.missed_before(since, i64::MAX, limit).await
    }

    /// Those whose conversation's place is below this one, newest first: the page after the one that ended with it.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn missed_before(&self, since: Option<Timestamp>, before: i64, limit: u32) -> Result<Vec<Missed>> {
        each!(&self.engine, engine => engine.missed(since.unwrap_or(Timestamp::MIN), before, limit).await)
    }

    /// What is listed of this conversation, settled or not: with what was done with it, as the id of its lead if one was made.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn missed_of(&self, id: Uuid) -> Result<Option<(Missed, Option<MissedEnding>)>> {
        each!(&self.engine, engine => engine.missed_of(id).await)
    }

    /// Takes a missed lead off the list. False when it was not on it.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn settle_missed(&self, id: Uuid, ending: MissedEnding, now: Timestamp) -> Result<bool> {
        each!(&self.engine, engine => engine.settle_missed(id, ending, now).await)
    }
}

pub(super) fn ending(number: i64, lead: Option<&str>) -> Option<MissedEnding> {
    match (number, lead.and_then(|lead| lead.parse().ok())) {
        (0, _) => None,
        (1, Some(lead)) => Some(MissedEnding::Taken(lead)),
        _ => Some(MissedEnding::Dismissed),
    }
}
