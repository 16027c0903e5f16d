//! Looking after a store: how large it is, copies of it, and what may go.

use super::operations::each;
use super::{AuditReport, DestinationLedger, Engine, Error, Result, State, Store, sqlite};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// A younger event is never removed to make room: while its sender may still repeat it, it must be known.
const SENDERS_MAY_REPEAT: SignedDuration = SignedDuration::from_mins(10);

/// How large a store is, and what it holds, by its ledger.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// What keeps the rows.
    pub engine: &'static str,
    /// Where, without a password.
    pub place: String,
    /// Which schema it has.
    pub schema: usize,
    /// On disk, without the log.
    pub file_bytes: u64,
    /// What of it rows and indexes take.
    pub used_bytes: u64,
    /// What of it is free for what comes next.
    pub free_bytes: Option<u64>,
    /// The write-ahead log beside it.
    pub wal_bytes: Option<u64>,
    /// Events.
    pub events: i64,
    /// By name.
    pub destinations: Vec<DestinationStatus>,
    /// The pending delivery whose event was received first.
    pub oldest_pending: Option<OldestPending>,
    /// Bodies that could not be verified.
    pub quarantine_bodies: i64,
    /// What they take.
    pub quarantine_bytes: i64,
    /// When a bridge last gave a sign of life.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub alive_at: Option<Timestamp>,
}

/// What the ledger says of a destination, and what keeps its pending deliveries.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationStatus {
    /// By the ledger.
    #[serde(flatten)]
    pub ledger: DestinationLedger,
    /// By the rows.
    #[serde(flatten)]
    pub pending: Pending,
}

/// The pending deliveries of a destination, by what keeps them. Together they are all that are pending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// For their turn, or the time of their next attempt.
    pub waiting: i64,
    /// With a bridge that attempts them.
    pub leased: i64,
    /// Behind an earlier one of the same person.
    pub blocked: i64,
    /// For the end of their destination's hold.
    pub held: i64,
}

impl Pending {
    /// From the rows by state.
    pub(super) fn new(waiting: i64, leased: i64, blocked: i64, is_on_hold: bool) -> Self {
        let (waiting, held) = if is_on_hold { (0, waiting) } else { (waiting, 0) };
        Self { waiting, leased, blocked, held }
    }
}

/// The pending delivery whose event was received first.
#[derive(Debug, Clone, Serialize)]
pub struct OldestPending {
    /// Which event.
    pub event: Uuid,
    /// When it was received.
    #[serde(with = "leadwire_connector::timestamp")]
    pub received_at: Timestamp,
    /// Where it goes.
    pub destination: String,
    /// Where it stands.
    pub state: State,
}

/// What a restore drill found in a copy.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Which file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What of it rows and indexes take.
    pub used_bytes: u64,
    /// Its schema; `None` when that cannot be read.
    pub schema: Option<usize>,
    /// Events in it.
    pub events: i64,
    /// When the oldest was received.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub oldest: Option<Timestamp>,
    /// When the newest was received.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub newest: Option<Timestamp>,
    /// Bodies that could not be verified.
    pub quarantine_bodies: i64,
    /// The ledger against the rows; `None` when the file was too bad for it.
    pub audit: Option<AuditReport>,
    /// What is wrong; empty when a bridge could run on it.
    pub findings: Vec<String>,
}

impl Verification {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            bytes: file.metadata().map_or(0, |found| found.len()),
            used_bytes: 0,
            schema: None,
            events: 0,
            oldest: None,
            newest: None,
            quarantine_bodies: 0,
            audit: None,
            findings: Vec::new(),
        }
    }

    /// Whether a bridge could run on it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What of a store may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long events are kept whose deliveries were all delivered or skipped; `None` is for ever.
    pub age: Option<Duration>,
    /// What rows and indexes may take; `None` is any size.
    pub max_bytes: Option<u64>,
}

impl Store {
    /// How large it is and what it holds. Quick with any number of rows: the ledger is read, and what is pending is walked.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub async fn status(&self) -> Result<Status> {
        each!(&self.engine, engine => engine.status().await)
    }

    /// When the oldest event was received that is pending at a destination, by its name; destinations with nothing pending are left
    /// out. Walks what is pending.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub async fn oldest_pending(&self) -> Result<BTreeMap<String, Timestamp>> {
        each!(&self.engine, engine => engine.oldest_pending().await)
    }

    /// What is free on the disk of the store; `None` when that is the server's own, or unknown.
    #[must_use]
    pub fn disk_free_bytes(&self) -> Option<u64> {
        match &self.engine {
            Engine::Sqlite(engine) => super::checkup::free_bytes(engine.path()),
            Engine::Postgres(_) => None,
        }
    }

    /// Writes everything, as it is at one moment, to a new SQLite file. A bridge may run meanwhile and receives all the time.
    /// `progress` gets what was done and what there is to do, in units of the engine.
    ///
    /// # Errors
    /// `Refused` when the file exists; `Unavailable` when the store cannot be read or the file cannot be written.
    pub async fn backup(&self, file: &Path, progress: impl FnMut(u64, u64)) -> Result<()> {
        sqlite::refuse_existing(file)?;
        match &self.engine {
            Engine::Sqlite(engine) => engine.backup(file, progress).await,
            Engine::Postgres(engine) => super::moving::copy_to_file(engine, file, progress).await,
        }
    }

    /// A restore drill on a backup: opens it without writing to it or beside it, checks every page and runs the audit. What is wrong
    /// with the file is a finding.
    ///
    /// # Errors
    /// When the drill itself breaks off, which is a bug.
    pub async fn verify(file: &Path) -> Result<Verification> {
        let file = file.to_owned();
        let drill = tokio::task::spawn_blocking(move || sqlite::verify(&file));
        drill.await.map_err(|error| Error::Refused(format!("the drill broke off: {error}")))
    }

    /// Removes what `retention` lets go and gives the space back to the disk. Returns how many events were removed. Events that are
    /// pending, dead or unrouted are never removed, whatever the size.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be written; `Refused` when all that may go is gone and the rest is still over `max_bytes`.
    pub async fn tidy(&self, retention: Retention, now: Timestamp) -> Result<usize> {
        let mut removed = 0;
        if let Some(cutoff) = retention.age.and_then(|age| now.checked_sub(SignedDuration::try_from(age).ok()?).ok()) {
            removed += self.remove_ended_before(cutoff).await?;
        }
        let fits = self.make_fit(retention.max_bytes, now, &mut removed).await;
        each!(&self.engine, engine => engine.give_back().await)?;
        fits.map(|()| removed)
    }

    async fn remove_ended_before(&self, cutoff: Timestamp) -> Result<usize> {
        let mut all = 0;
        loop {
            match self.remove_ended(cutoff).await? {
                0 => return Ok(all),
                removed => all += removed,
            }
        }
    }

    async fn make_fit(&self, max_bytes: Option<u64>, now: Timestamp, removed: &mut usize) -> Result<()> {
        let Some(max_bytes) = max_bytes else { return Ok(()) };
        let cutoff = now.checked_sub(SENDERS_MAY_REPEAT).unwrap_or(Timestamp::MIN);
        *removed += each!(&self.engine, engine => engine.remove_over(max_bytes, cutoff).await)?;
        let used = each!(&self.engine, engine => engine.used_bytes().await)?;
        if used <= max_bytes {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "the store takes {used} bytes and `[store] max_bytes` is {max_bytes}: what is left is pending, dead, unrouted, in quarantine, or \
             came in the last 10 minutes, and is never removed for its size; look at `leadwire store status`"
        )))
    }
}
