//! The embedded store: one SQLite file, one writer thread with group commit, separate connections for reading.

mod acts;
mod alert;
mod audit;
mod backlog;
mod backup;
mod causes;
mod checkpoint;
mod checkup;
mod dump;
mod hold;
mod index;
#[cfg(test)]
mod keeping_tests;
mod known;
mod lease;
mod ledger;
mod load;
mod logout;
mod missed;
mod open;
mod person;
mod persons;
mod quarantine;
mod receive;
mod replay;
mod retention;
mod row;
mod schema;
mod scrub;
mod search;
mod sighting;
mod size;
mod tally;
#[cfg(test)]
mod tests;
mod token;
mod verify;
mod writer;

pub(in crate::store) use backup::refuse_existing;
pub(in crate::store) use checkup::check_up;
pub(in crate::store) use dump::Dump;
pub(in crate::store) use verify::verify;

use super::names::Names;
use super::{Changes, DestinationId, Error, LOOK_EVERY, LaneEnd, Leased, Ownership, Result, Right, Seen};
use crate::figures::StoreFigures;
use crate::swap::Swap;
use jiff::Timestamp;
use open::{lock, open_reader};
use rusqlite::Connection;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use writer::Writer;

/// Readers kept open; more are opened when more read at once.
const IDLE_READERS: usize = 4;

/// What the file, the disk or another process is the reason for passes; the rest would be the same at the next try.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::NotADatabase) => Self::Refused("the file is no SQLite database, and is left alone; name another one".to_owned()),
            None | Some(Code::ConstraintViolation | Code::TypeMismatch | Code::TooBig | Code::ApiMisuse | Code::ParameterOutOfRange) => {
                Self::Refused(format!("the store failed: {error}"))
            }
            Some(Code::DatabaseCorrupt) => Self::Unavailable(format!(
                "the file is damaged: {error}; restore a backup (`leadwire store verify FILE` says whether one is good), or save what is left \
                 with SQLite's `.recover`"
            )),
            Some(code) => Self::Unavailable(format!("the store is unavailable: {error}{}", open::remedy(code))),
        }
    }
}

/// The store on one SQLite file. Cheap to clone.
#[derive(Clone)]
pub(in crate::store) struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
    names: Arc<Swap<Names>>,
    walk: Arc<retention::Walk>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.readers.path).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Makes this process the one that delivers from this file, and frees what a process before it had leased.
    ///
    /// # Errors
    /// When another bridge runs on the file.
    pub(in crate::store) async fn take_ownership(&self) -> Result<Ownership> {
        let lock = lock(&self.readers.path)?.ok_or_else(|| {
            Error::Refused(format!("another bridge runs on {}; stop it, or set [store] url to another file", self.readers.path.display()))
        })?;
        self.refuse_during_transfer().await?;
        self.become_impatient().await?;
        self.free_leases().await?;
        self.end_interrupted(Timestamp::now()).await?;
        self.credit_absence(Timestamp::now()).await?;
        Ok(Ownership { _right: Right::File(lock) })
    }

    /// Sets where deliveries that are born leased go. Until then all are born waiting.
    pub(in crate::store) fn set_lanes(&self, lanes: HashMap<DestinationId, LaneEnd>) {
        self.writer.set_lanes(lanes);
    }

    /// The number of a destination of the configuration.
    #[must_use]
    pub(in crate::store) fn destination_id(&self, name: &str) -> Option<DestinationId> {
        self.names.now().destinations.get(name).copied()
    }

    pub(in crate::store) fn names(&self) -> Arc<Names> {
        self.names.now()
    }

    /// What its commits were like.
    pub(in crate::store) fn figures(&self) -> Arc<StoreFigures> {
        self.writer.figures()
    }

    /// See [`Changes`].
    pub(in crate::store) fn changes(&self) -> Changes {
        Changes { seen: Seen::File(Watcher { path: self.readers.path.clone(), connection: None, version: None }) }
    }

    /// One process delivers from a file, so a lease is never lost.
    #[expect(clippy::unused_self, reason = "the other engine needs it")]
    pub(in crate::store) fn may_start(&self, _leased: &Leased) -> bool {
        true
    }

    /// Proves that the store can commit, by committing.
    ///
    /// # Errors
    /// Why it cannot.
    pub(in crate::store) async fn probe(&self) -> Result<()> {
        self.writer.write(|unit| Ok(unit.connection.execute("UPDATE pulse SET beats = beats + 1", []).map(drop)?)).await
    }

    /// Proves that the store can commit so many bytes. They must really be committed: SQLite does not write what a transaction makes
    /// and drops again.
    pub(in crate::store) async fn prove(&self, bytes: usize) -> Result<()> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let fill = move |unit: &mut writer::Unit<'_>| {
            unit.connection.execute_batch("DROP TABLE IF EXISTS proof; CREATE TABLE proof (filler BLOB NOT NULL)")?;
            Ok(unit.connection.execute("INSERT INTO proof VALUES (zeroblob(?1))", [bytes]).map(drop)?)
        };
        self.writer.write(fill).await?;
        self.writer.write(|unit| Ok(unit.connection.execute_batch("DROP TABLE IF EXISTS proof")?)).await
    }

    /// Runs a query on a reading connection, off the async threads.
    async fn read<T: Send + 'static>(&self, query: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || readers.with(query))
            .await
            .map_err(|error| Error::Refused(format!("a query failed: {error}")))?
    }
}

/// How often the file is asked whether it changed: a number in its first page.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// Sees that another connection wrote; the writer thread of this process counts as another.
#[derive(Debug)]
pub(in crate::store) struct Watcher {
    path: PathBuf,
    connection: Option<Connection>,
    version: Option<i64>,
}

impl Watcher {
    pub(in crate::store) async fn next(&mut self) {
        let started_at = tokio::time::Instant::now();
        while started_at.elapsed() < LOOK_EVERY {
            tokio::time::sleep(WATCH_EVERY).await;
            // A file that cannot be read now is looked at again at the next turn.
            let Some(seen) = self.read_version() else { continue };
            if self.version.replace(seen) != Some(seen) {
                return;
            }
        }
    }

    fn read_version(&mut self) -> Option<i64> {
        if self.connection.is_none() {
            self.connection = open_reader(&self.path).ok();
        }
        self.connection.as_ref()?.query_row("PRAGMA data_version", [], |row| row.get(0)).ok()
    }
}

struct Readers {
    path: PathBuf,
    /// How one more is opened.
    open: fn(&Path) -> Result<Connection>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn with<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => (self.open)(&self.path)?,
        };
        let result = query(&connection);
        let mut idle = self.lock();
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Text as every engine can hold it: PostgreSQL knows no U+0000. Only what people read passes here; in the event itself, which is
/// JSON, that character is escaped.
fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Microseconds since 1970, as every time is kept.
fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// The moment of that many microseconds; a number that is no moment becomes 1970.
fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
