//! Erasing a person, and finding what there is of one. Which events are whose is decided above the store, in one way for every
//! engine; the store reads them piece by piece, and makes tombstones of them.

use super::operations::each;
use super::{DestinationId, Engine, Error, QuarantineRow, Result, State, Store};
use jiff::Timestamp;
use leadwire_connector::{Erased, Event, Kind, Person, Record};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// What of a stored event tells whose it is.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Its place in the order of receipt.
    pub seq: i64,
    /// Its id.
    pub id: Uuid,
    /// The source's name.
    pub source: String,
    /// As normalised.
    pub email: Option<String>,
    /// As normalised.
    pub phone: Option<String>,
    /// The chat session.
    pub session_id: Option<String>,
    /// The event as JSON.
    pub body: String,
}

/// What to erase, in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Erasing {
    /// Events, by id. Those that are erased already are left alone.
    pub events: Vec<Uuid>,
    /// Bodies of the quarantine, by number.
    pub quarantined: Vec<i64>,
    /// Deliveries that connectors keep something of although their events have left the store.
    pub kept: Vec<(DestinationId, String)>,
    /// The certificate that is owed for it. It stays owed until [`Store::certify`], also when nothing was found to erase.
    pub owed: Option<Owed>,
}

/// A certificate that is not out yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Of the certificate.
    pub id: Uuid,
    /// When its erasure was begun.
    pub begun_at: Timestamp,
    /// What it says beside what was removed, in whatever form its writer wants it back. No personal data in clear.
    pub head: String,
}

/// An erasure that is under way, or was interrupted.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The certificate it owes.
    pub owed: Owed,
    /// What it removed, one for each transaction.
    pub removed: Vec<Removed>,
}

impl Unfinished {
    pub(super) fn read(owed: Owed, removed: &str) -> Result<Self> {
        let read = |line| serde_json::from_str(line);
        let unreadable = |error| Error::Refused(format!("the certificate {} in the store cannot be read: {error}", owed.id));
        Ok(Self { removed: removed.lines().map(read).collect::<std::result::Result<_, _>>().map_err(unreadable)?, owed })
    }
}

/// What was erased.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Removed {
    /// Events that are tombstones now.
    pub events: Vec<RemovedEvent>,
    /// Rows of attempts.
    pub attempts: usize,
    /// Rows of finished steps.
    pub steps: usize,
    /// Bodies of the quarantine.
    pub quarantined: usize,
    /// Deliveries whose events have left the store, of which connectors are to remove what they keep.
    pub kept: Vec<String>,
}

impl Removed {
    /// As a line of the certificate that is owed.
    pub(super) fn to_line(&self) -> Result<String> {
        let line = serde_json::to_string(self).map_err(|error| Error::Refused(format!("what was removed cannot be written: {error}")))?;
        Ok(line + "\n")
    }
}

/// An event that is a tombstone now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemovedEvent {
    /// Its id, which stays.
    pub id: Uuid,
    /// Its kind, which stays.
    pub kind: String,
    /// Its deliveries.
    pub deliveries: Vec<RemovedDelivery>,
}

/// A delivery that is erased now, as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemovedDelivery {
    /// Its id.
    pub delivery: String,
    /// Where it went or would have gone.
    pub destination: String,
    /// The state it was in.
    pub was: State,
    /// The record at the destination.
    pub record: Option<Record>,
    /// Finished steps: name, and the id of what each made at the destination.
    pub steps: Vec<(String, String)>,
}

/// What a connector is to remove on our side, or has removed.
#[derive(Debug, Clone, Serialize)]
pub struct Erasure {
    /// The delivery's id.
    pub delivery: String,
    /// The destination's number.
    #[serde(skip)]
    pub destination_id: DestinationId,
    /// The destination.
    pub destination: String,
    /// The event's place in the order of receipt, if it was still in the store.
    #[serde(skip)]
    pub event: Option<i64>,
    /// Whether an attempt was under way at that moment.
    pub under_way: bool,
    /// When it was asked for, the last time: an attempt that goes on meanwhile makes the store ask again when it ends.
    #[serde(with = "leadwire_connector::timestamp")]
    pub requested_at: Timestamp,
    /// When it was done.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub done_at: Option<Timestamp>,
    /// What came of it: see [`ErasureResult`].
    pub result: Option<String>,
    /// Where that was.
    pub place: Option<String>,
    /// Records that an attempt under way made after all, to be removed at the destination.
    pub arrived: Option<String>,
}

/// What came of one [`Erasure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureResult {
    /// The delivery's id.
    pub delivery: String,
    /// Of the [`Erasure`] that it answers.
    pub requested_at: Timestamp,
    /// `removed`, `left` (named where the connector could not remove it), `not_found`, `not_kept` (this kind keeps nothing on our
    /// side) or `unknown_destination`.
    pub result: &'static str,
    /// Where that was.
    pub place: Option<String>,
}

impl ErasureResult {
    /// For each of these, what a connector made of it.
    #[must_use]
    pub fn of(erasures: &[Erasure], erased: &Erased) -> Vec<Self> {
        erasures.iter().map(|erasure| Self::of_one(erasure, erased)).collect()
    }

    /// For each of these, that its destination is not in the configuration.
    #[must_use]
    pub fn of_unknown(erasures: &[Erasure]) -> Vec<Self> {
        erasures.iter().map(|erasure| Self::new(erasure, "unknown_destination", None)).collect()
    }

    fn new(erasure: &Erasure, result: &'static str, place: Option<String>) -> Self {
        Self { delivery: erasure.delivery.clone(), requested_at: erasure.requested_at, result, place }
    }

    fn of_one(erasure: &Erasure, erased: &Erased) -> Self {
        let of = |result, place| Self::new(erasure, result, place);
        let Erased::Looked(places) = erased else { return of("not_kept", None) };
        let names = |is_removed| {
            let places = places.iter().filter(|place| place.delivery == erasure.delivery && place.is_removed == is_removed);
            Some(places.map(|place| place.place.as_str()).collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
        };
        match (names(false), names(true)) {
            (Some(left), _) => of("left", Some(left)),
            (None, Some(removed)) => of("removed", Some(removed)),
            (None, None) => of("not_found", None),
        }
    }
}

/// A text that must be nowhere in the store's files any more.
#[derive(Debug, Clone)]
pub struct Needle {
    /// What it is, without telling it: `email`, `phone`, `name`.
    pub label: &'static str,
    /// The text, looked for without regard to ASCII case.
    pub text: String,
}

/// What was found of one [`Needle`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remain {
    /// Of the needle.
    pub label: &'static str,
    /// How often it is in the files.
    pub in_files: u64,
    /// How often it is in rows that stay, because they are of somebody else.
    pub in_rows: u64,
}

impl Remain {
    /// Occurrences that are in no row: what was deleted and is not gone.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.in_files.saturating_sub(self.in_rows)
    }
}

/// How the files were looked through.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Scrubbed {
    /// Their paths; none when the engine's files are out of reach.
    pub files: Vec<String>,
    /// How much was looked through.
    pub bytes: u64,
    /// Whether the file was written anew because something was found.
    pub rewritten: bool,
    /// What else must be said of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// For each needle.
    pub remains: Vec<Remain>,
}

/// Told how far a long look through files is: bytes done, bytes in all.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Finding and erasing a person.
impl Store {
    /// The events after `after`, in the order of receipt, without tombstones: at most `limit`, and a few megabytes.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn stored_events(&self, after: i64, limit: u32) -> Result<Vec<StoredEvent>> {
        each!(&self.engine, engine => engine.stored_events(after, limit).await)
    }

    /// The quarantined bodies of every source after number `after`, in order: at most `limit`, and a few megabytes.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn stored_bodies(&self, after: i64, limit: u32) -> Result<Vec<(QuarantineRow, Vec<u8>)>> {
        each!(&self.engine, engine => engine.stored_bodies(after, limit).await)
    }

    /// Makes tombstones of events, ends their deliveries as erased, removes attempts, steps and quarantined bodies, and asks the
    /// connectors to do the same on our side. All or nothing.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn erase(&self, erasing: Erasing, at: Timestamp) -> Result<Removed> {
        each!(&self.engine, engine => engine.erase(erasing, at).await)
    }

    /// What connectors are to remove, and what was asked for at or after `since`, oldest first.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn erasures(&self, since: Timestamp) -> Result<Vec<Erasure>> {
        each!(&self.engine, engine => engine.erasures(since).await)
    }

    /// Says what came of erasures. The first answer counts, unless it was asked again since.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn finish_erasures(&self, results: Vec<ErasureResult>, at: Timestamp) -> Result<()> {
        each!(&self.engine, engine => engine.finish_erasures(results, at).await)
    }

    /// Makes sure that what was erased is gone from the store's files, as far as they are in reach: empties the log, looks for the
    /// needles, and writes the file anew when one is left, or in any case when it is to be `anew`: when it is no longer known which
    /// texts were erased.
    ///
    /// # Errors
    /// `Unavailable` when the files cannot be read or written.
    pub async fn scrub(&self, needles: Vec<Needle>, anew: bool, progress: Progress) -> Result<Scrubbed> {
        each!(&self.engine, engine => engine.scrub(needles, anew, progress).await)
    }

    /// The erasures whose certificate is owed, oldest first: those that were interrupted, and those that are under way now.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn unfinished_erasures(&self) -> Result<Vec<Unfinished>> {
        each!(&self.engine, engine => engine.unfinished_erasures().await)
    }

    /// Says that a certificate is out and complete. What the store kept for it goes.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn certify(&self, id: Uuid) -> Result<()> {
        each!(&self.engine, engine => engine.certify(id).await)
    }

    /// Does nothing on a store that is whole and stays where it is.
    ///
    /// # Errors
    /// `Refused` when only a part of a transfer is here, or one is under way.
    pub async fn refuse_during_transfer(&self) -> Result<()> {
        each!(&self.engine, engine => engine.refuse_during_transfer().await)
    }
}

/// The event that is left of an erased one, as JSON: valid, and with nothing of its person.
pub(super) fn tombstone(id: Uuid, kind: &str, source: &str, received_at: Timestamp) -> Result<String> {
    let event = Event {
        id,
        kind: kind.parse().unwrap_or(Kind::Unrecognized),
        source: source.to_owned(),
        chatbot_id: None,
        person: Person::default(),
        content: None,
        session_id: None,
        page_url: None,
        created_at: None,
        received_at,
        stale: false,
        conversation: None,
        extra: Map::new(),
        raw: Value::Null,
    };
    serde_json::to_string(&event).map_err(|error| Error::Refused(format!("the tombstone of {id} cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::ErasedPlace;

    #[test]
    fn what_is_left_anywhere_outweighs_what_was_removed() {
        let place =
            |delivery: &str, place: &str, is_removed| ErasedPlace { delivery: delivery.to_owned(), place: place.to_owned(), is_removed };
        let looked = Erased::Looked(vec![
            place("a", "1.csv", true),
            place("a", "2.csv", true),
            place("b", "1.csv", true),
            place("b", "3.csv", false),
        ]);
        let at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let erasure = |delivery: &str| Erasure {
            delivery: delivery.to_owned(),
            destination_id: 1,
            destination: "crm".to_owned(),
            event: None,
            under_way: false,
            requested_at: at,
            done_at: None,
            result: None,
            place: None,
            arrived: None,
        };
        let deliveries = ["a", "b", "c"].map(erasure);
        let told: Vec<_> = ErasureResult::of(&deliveries, &looked).into_iter().map(|result| (result.result, result.place)).collect();
        let named = |place: &str| Some(place.to_owned());
        assert_eq!(told, [("removed", named("1.csv, 2.csv")), ("left", named("3.csv")), ("not_found", None)]);
        assert!(ErasureResult::of(&deliveries, &Erased::NotKept).iter().all(|result| result.result == "not_kept"));
    }

    #[test]
    fn a_tombstone_is_an_event_of_nobody() {
        let (id, at) = (Uuid::from_u128(7), "2026-11-22T10:00:00Z".parse().unwrap());
        let event: Event = serde_json::from_str(&tombstone(id, "conversation", "acme", at).unwrap()).unwrap();
        assert_eq!((event.id, event.kind, event.source.as_str(), event.received_at), (id, Kind::Conversation, "acme", at));
        assert_eq!((event.person, event.session_id, event.raw, event.conversation), (Person::default(), None, Value::Null, None));
    }
}
