//! Every operation of the store, whatever the engine. What is said here holds for each of them; the contract suite in
//! `tests/store` compares them.

use super::model::{
    AuditReport, Claimed, DeliveryFilter, DeliveryKey, DeliveryRow, DestinationId, DestinationRow, EventDetail, EventFilter, EventRow,
    Granted, LaneEnd, Lease, Leased, NewEvent, QuarantineLimits, QuarantineRow, Quarantined, Received, Refused, Settlement,
};
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::{Changes, Engine, Ownership, Result};
use crate::figures::Figures;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Event;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Events, deliveries and the quarantine, on one of the engines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) engine: Engine,
    figures: Arc<Figures>,
}

/// The engine's answer, whichever it is.
macro_rules! each {
    ($engine:expr, $name:ident => $call:expr) => {
        match $engine {
            Engine::Sqlite($name) => $call,
            Engine::Postgres($name) => $call,
        }
    };
}
pub(super) use each;

/// Opening and closing.
impl Store {
    /// Opens a SQLite file, makes or migrates the schema, and registers the names of the configuration.
    ///
    /// # Errors
    /// When the file cannot be opened or written, or is of another program or a newer version.
    pub fn sqlite<'a>(
        path: &Path,
        sources: impl IntoIterator<Item = &'a String>,
        destinations: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self> {
        Ok(Self::on(Engine::Sqlite(Sqlite::open(path, sources, destinations)?)))
    }

    /// The same for what only reads: it also opens a file that cannot be written, as it is.
    ///
    /// # Errors
    /// Of [`Store::sqlite`]; of a file that cannot be written also when its schema is older than this program, or it cannot be read
    /// without writing beside it.
    pub fn sqlite_to_read<'a>(
        path: &Path,
        sources: impl IntoIterator<Item = &'a String> + Clone,
        destinations: impl IntoIterator<Item = &'a String> + Clone,
    ) -> Result<Self> {
        Ok(Self::on(Engine::Sqlite(Sqlite::open_to_read(path, sources, destinations)?)))
    }

    /// Connects to a PostgreSQL database, makes or migrates the schema, and registers the names of the configuration.
    /// `url` is `postgres://user:password@host:port/database`, with libpq's parameters. Call it on the runtime that lives as long as
    /// the store is used: its connections belong to it.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, or the database is of another program or a newer version.
    pub async fn postgres<'a>(
        url: &str,
        sources: impl IntoIterator<Item = &'a String>,
        destinations: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self> {
        Ok(Self::on(Engine::Postgres(Postgres::open(url, sources, destinations).await?)))
    }

    pub(super) fn on(engine: Engine) -> Self {
        let (names, figures) = each!(&engine, engine => (engine.names(), engine.figures()));
        let figures = Figures::new(names.sources.keys(), names.destinations.keys(), figures);
        Self { engine, figures: Arc::new(figures) }
    }

    /// What this process counts, of the sources and destinations that the store was opened with.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Makes this process one that delivers from this store, and frees what processes that are gone had leased.
    ///
    /// # Errors
    /// When the engine is for one bridge only and another runs on it.
    pub async fn take_ownership(&self) -> Result<Ownership> {
        each!(&self.engine, engine => engine.take_ownership().await)
    }

    /// Sets where deliveries that are born leased go. Until then all are born waiting.
    pub fn set_lanes(&self, lanes: HashMap<DestinationId, LaneEnd>) {
        each!(&self.engine, engine => engine.set_lanes(lanes));
    }

    /// The number of a destination of the configuration.
    #[must_use]
    pub fn destination_id(&self, name: &str) -> Option<DestinationId> {
        each!(&self.engine, engine => engine.destination_id(name))
    }

    /// Gives further sources and destinations of a configuration their numbers and figures.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn register(&self, sources: Vec<String>, destinations: Vec<String>) -> Result<()> {
        each!(&self.engine, engine => engine.register(sources.clone(), destinations.clone()).await)?;
        self.figures.add(&sources, &destinations);
        Ok(())
    }

    /// What others change in the store, as it happens.
    #[must_use]
    pub fn changes(&self) -> Changes {
        each!(&self.engine, engine => engine.changes())
    }

    /// Whether a leased delivery may still be started. False when this process was silent for so long that another may have taken
    /// it over.
    #[must_use]
    pub fn may_start(&self, leased: &Leased) -> bool {
        each!(&self.engine, engine => engine.may_start(leased))
    }

    /// Proves that the store can commit, by committing.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn probe(&self) -> Result<()> {
        each!(&self.engine, engine => engine.probe().await)
    }

    /// Proves that the store can commit so many bytes, by committing them and taking them away again. On a disk that is all but
    /// full, a small commit proves nothing about a larger one.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn prove(&self, bytes: usize) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.prove(bytes).await,
            // A server that runs out of room for its log stops altogether, whatever the size of the commit.
            Engine::Postgres(engine) => engine.probe().await,
        }
    }
}

/// Receiving.
impl Store {
    /// Stores all of these events with their deliveries, or none. Durable when it returns. One entry for each event, in order.
    ///
    /// Deliveries are handed to their lanes after the commit, also when the caller stopped waiting.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn receive(&self, events: impl Into<Arc<[NewEvent]>>) -> Result<Vec<Received>> {
        let events = events.into();
        let received = each!(&self.engine, engine => engine.receive(Arc::clone(&events)).await)?;
        self.count_received(events.iter().map(|new| &*new.event).zip(&received));
        Ok(received)
    }

    fn count_received<'a>(&self, outcomes: impl Iterator<Item = (&'a Event, &'a Received)>) {
        for (event, outcome) in outcomes {
            match (self.figures.source(&event.source), outcome) {
                (Some(figures), Received::New) => figures.receive(event.kind, event.stale),
                (Some(figures), Received::Duplicate) => figures.duplicates.one(),
                (None, _) => {}
            }
        }
    }
}

/// Leases.
impl Store {
    /// Leases at most `limit` deliveries that are due, longest due first.
    ///
    /// A delivery whose event cannot be read becomes a dead letter and does not stop the others.
    ///
    /// # Errors
    /// `Unavailable` when nothing was leased.
    pub async fn claim(&self, destination: DestinationId, limit: u32, now: Timestamp) -> Result<Claimed> {
        let began = Instant::now();
        let claimed = each!(&self.engine, engine => engine.claim(destination, limit, now).await)?;
        self.figures.store().claim(began.elapsed());
        Ok(claimed)
    }

    /// Ends a lease with what became of the delivery. Durable when it returns.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed; the lease goes on then.
    pub async fn settle(&self, settlement: Settlement) -> Result<()> {
        each!(&self.engine, engine => engine.settle(settlement).await)
    }

    /// Ends leases without an attempt: the deliveries wait again, due at once.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed; the leases go on then.
    pub async fn release(&self, leases: Vec<Lease>) -> Result<()> {
        each!(&self.engine, engine => engine.release(leases).await)
    }

    /// Keeps a finished step. Durable when it returns.
    ///
    /// # Errors
    /// `Unavailable` when it was not kept.
    pub async fn save_step(&self, key: DeliveryKey, name: String, remote_id: String) -> Result<()> {
        each!(&self.engine, engine => engine.save_step(key, name, remote_id).await)
    }

    /// The destinations that have deliveries due.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn due_destinations(&self, now: Timestamp) -> Result<Vec<DestinationId>> {
        each!(&self.engine, engine => engine.due_destinations(now).await)
    }
}

/// Rate limits.
impl Store {
    /// Whether several processes deliver from this store, so that they must share what a destination allows.
    #[must_use]
    pub fn shares_limits(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// Takes at most `wanted` starts of attempts out of what all processes on this store may start together: `per_second` of them,
    /// `burst` (at least 1) at once after a quiet time. An engine for one process grants them all: its caller keeps count.
    ///
    /// # Errors
    /// `Unavailable` when nothing was granted.
    pub async fn take_starts(
        &self,
        destination: DestinationId,
        wanted: u32,
        per_second: f64,
        burst: u32,
        now: Timestamp,
    ) -> Result<Granted> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(Granted { starts: wanted, next_at: None }),
            Engine::Postgres(engine) => engine.take_starts(destination, wanted, per_second, burst, now).await,
        }
    }
}

/// Holds, and what the store knows of each destination.
impl Store {
    /// Parks a destination for a person. A hold that is on gets the new reason and end and keeps its beginning.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn hold(&self, destination: DestinationId, reason: String, until: Option<Timestamp>, now: Timestamp) -> Result<()> {
        each!(&self.engine, engine => engine.hold(destination, reason, until, now).await)
    }

    /// Parks a destination because of what it answered. A hold that is on stays as it is unless this one ends later: what a person
    /// set is not cut short.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn hold_by_attempt(
        &self,
        destination: DestinationId,
        reason: String,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        each!(&self.engine, engine => engine.hold_by_attempt(destination, reason, until, now).await)
    }

    /// Releases a destination; the time it was parked does not count for its deliveries. False when it was not on hold.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn resume(&self, destination: DestinationId, now: Timestamp) -> Result<bool> {
        each!(&self.engine, engine => engine.resume(destination, now).await)
    }

    /// Releases a destination whose hold has an end that has come, and no other.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn resume_expired(&self, destination: DestinationId, now: Timestamp) -> Result<bool> {
        each!(&self.engine, engine => engine.resume_expired(destination, now).await)
    }

    /// Says that a bridge runs at this moment.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn beat(&self, now: Timestamp) -> Result<()> {
        each!(&self.engine, engine => engine.beat(now).await)
    }

    /// Says that this bridge stops at this moment, and frees what it still has leased.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn sign_off(&self, now: Timestamp) -> Result<()> {
        each!(&self.engine, engine => engine.sign_off(now).await)
    }

    /// Brings into the file what SQLite keeps beside it for a while, so that the file alone is the store; to be done last of all.
    /// PostgreSQL keeps nothing so.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be written; nothing is lost, and the next start reads what is beside it.
    pub async fn empty_log(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.empty_log().await,
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Adds time in which the destination was down, so that it does not count for its deliveries.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn credit_outage(&self, destination: DestinationId, outage: SignedDuration) -> Result<()> {
        each!(&self.engine, engine => engine.credit_outage(destination, outage).await)
    }

    /// The clock was set back by that much: what waits is due that much earlier, and so do holds end that end by themselves.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn follow_clock(&self, by: SignedDuration, now: Timestamp) -> Result<()> {
        each!(&self.engine, engine => engine.follow_clock(by, now).await)
    }

    /// All destinations the store knows, also those that left the configuration, without `due_since`. Cheap.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn holds(&self) -> Result<Vec<DestinationRow>> {
        each!(&self.engine, engine => engine.holds().await)
    }

    /// The same, with `due_since`.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn destinations(&self) -> Result<Vec<DestinationRow>> {
        each!(&self.engine, engine => engine.destinations().await)
    }

    /// The number of a destination, whether or not it is in the configuration.
    ///
    /// # Errors
    /// `Refused` when there is none of that name, with the names there are.
    pub async fn find_destination(&self, name: &str) -> Result<DestinationId> {
        each!(&self.engine, engine => engine.find_destination(name).await)
    }
}

/// Small values that connectors keep for their destinations, such as tokens.
impl Store {
    /// The value of this name and its version, if there is one.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn load_token(&self, destination: DestinationId, name: String) -> Result<Option<(String, i64)>> {
        each!(&self.engine, engine => engine.load_token(destination, name).await)
    }

    /// Writes a value over the version that was read, 0 when there was none. False when somebody else wrote since; nothing is written
    /// then. Durable when it returns true.
    ///
    /// # Errors
    /// `Unavailable` when it is not known to be committed; reading tells.
    pub async fn save_token(&self, destination: DestinationId, name: String, value: String, version: i64) -> Result<bool> {
        each!(&self.engine, engine => engine.save_token(destination, name, value, version).await)
    }
}

/// Replay.
impl Store {
    /// The ended deliveries that match, oldest first.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn find_ended(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryKey>> {
        each!(&self.engine, engine => engine.find_ended(filter).await)
    }

    /// The ended deliveries of one event that match.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn find_ended_of(&self, event: Uuid, filter: DeliveryFilter) -> Result<Vec<DeliveryKey>> {
        each!(&self.engine, engine => engine.find_ended_of(event, filter).await)
    }

    /// Makes ended deliveries pending again, with a fresh clock and no attempts. Finished steps are kept, so that a contact or note
    /// that was made is not made again. Returns how many had ended until now.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn replay(&self, keys: Vec<DeliveryKey>, now: Timestamp) -> Result<usize> {
        each!(&self.engine, engine => engine.replay(keys, now).await)
    }
}

/// The quarantine.
impl Store {
    /// Keeps a body. Its repetition with the same signature is counted, not kept twice.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn quarantine(&self, refused: Refused, limits: QuarantineLimits) -> Result<Quarantined> {
        each!(&self.engine, engine => engine.quarantine(refused, limits).await)
    }

    /// Newest first.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn quarantined(&self, source: Option<String>, limit: u32) -> Result<Vec<QuarantineRow>> {
        self.quarantined_before(source, i64::MAX, limit).await
    }

    /// Those with numbers below this one, newest first: the page after the one that ended with it.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn quarantined_before(&self, source: Option<String>, before: i64, limit: u32) -> Result<Vec<QuarantineRow>> {
        each!(&self.engine, engine => engine.quarantined(source, before, limit).await)
    }

    /// How many bodies there are.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn count_quarantined(&self) -> Result<i64> {
        each!(&self.engine, engine => engine.count_quarantined().await)
    }

    /// The rows of a source after `after`, in order, with their bodies: for verifying again piece by piece.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn quarantined_bodies(&self, source: String, after: i64, limit: u32) -> Result<Vec<(QuarantineRow, Vec<u8>)>> {
        each!(&self.engine, engine => engine.quarantined_bodies(source, after, limit).await)
    }

    /// A quarantined body that verifies now becomes its events and leaves the quarantine, in one transaction.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn admit(&self, id: i64, events: Vec<NewEvent>) -> Result<Vec<Received>> {
        let admitted: Vec<Arc<Event>> = events.iter().map(|new| Arc::clone(&new.event)).collect();
        let received = each!(&self.engine, engine => engine.admit(id, events).await)?;
        self.count_received(admitted.iter().map(|event| &**event).zip(&received));
        Ok(received)
    }

    /// Says why a body still does not verify.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn explain_quarantined(&self, id: i64, code: String, reason: String) -> Result<()> {
        each!(&self.engine, engine => engine.explain_quarantined(id, code, reason).await)
    }

    /// Removes bodies; promised ones only when asked for by `with_promised`. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn purge_quarantine(&self, source: Option<String>, before: Option<Timestamp>, with_promised: bool) -> Result<usize> {
        each!(&self.engine, engine => engine.purge_quarantine(source, before, with_promised).await)
    }
}

/// For people.
impl Store {
    /// Newest first.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn events(&self, filter: EventFilter) -> Result<Vec<EventRow>> {
        each!(&self.engine, engine => engine.events(filter).await)
    }

    /// At most `limit` events with ids from `first` to `last`, newest first.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn events_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<EventRow>> {
        each!(&self.engine, engine => engine.events_between(first, last, limit).await)
    }

    /// Everything about one event; `None` when there is none of that id.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn event(&self, id: Uuid) -> Result<Option<EventDetail>> {
        each!(&self.engine, engine => engine.event(id).await)
    }

    /// Newest first.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>> {
        each!(&self.engine, engine => engine.deliveries(filter).await)
    }

    /// How many events no route took, tests aside.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn count_unrouted(&self) -> Result<i64> {
        each!(&self.engine, engine => engine.count_unrouted().await)
    }

    /// Names of sources with the number of events received in all and of duplicates.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn source_counts(&self) -> Result<Vec<(String, i64)>> {
        each!(&self.engine, engine => engine.source_counts().await)
    }
}

/// Retention.
impl Store {
    /// Removes events received before `cutoff` whose deliveries were all delivered or skipped. Dead letters and pending deliveries
    /// keep their event for ever, and so does an event that no route took. Returns how many were removed; call again until it is 0.
    /// [`tidy`](Store::tidy) does it for the bridge.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn remove_ended(&self, cutoff: Timestamp) -> Result<usize> {
        each!(&self.engine, engine => engine.remove_ended(cutoff).await)
    }
}

/// The ledger.
impl Store {
    /// Compares the ledger with the rows, from one snapshot.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn audit(&self) -> Result<AuditReport> {
        each!(&self.engine, engine => engine.audit().await)
    }
}
