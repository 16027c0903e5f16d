//! Moving everything from one store to another, whatever the engines: in pieces, each in one transaction with the mark of how far it
//! came, so that an interrupted transfer goes on where it stopped.

use super::dump::{Begun, Head, Mark, Piece, Stage};
use super::operations::each;
use super::{AuditReport, Engine, Error, Ownership, Result, Store, postgres, sqlite};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A store that is read for another one. No bridge can start on it meanwhile, and nothing in it is changed.
#[derive(Debug)]
pub struct Origin {
    dump: Dump,
}

/// What is read.
#[derive(Debug)]
enum Dump {
    Sqlite(sqlite::Dump),
    Postgres(postgres::Dump),
}

/// The engine's answer, whichever it is.
macro_rules! each_dump {
    ($dump:expr, $name:ident => $call:expr) => {
        match $dump {
            Dump::Sqlite($name) => $call,
            Dump::Postgres($name) => $call,
        }
    };
}

impl Origin {
    /// A SQLite file: a store, or a backup.
    ///
    /// # Errors
    /// When there is none, a bridge runs on it, or it is of another program or a newer version.
    pub fn sqlite(path: &Path) -> Result<Self> {
        Ok(Self { dump: Dump::Sqlite(sqlite::Dump::open(path)?) })
    }

    /// A PostgreSQL database.
    ///
    /// # Errors
    /// When it cannot be reached, there is no store in it, a bridge runs on it, or it is of a newer version.
    pub async fn postgres(url: &str) -> Result<Self> {
        Ok(Self { dump: Dump::Postgres(postgres::Dump::open(url).await?) })
    }

    /// Reads every page of a file, which takes as long as reading it; a server looks after its own.
    ///
    /// # Errors
    /// `Refused` when something is damaged.
    async fn check(&self) -> Result<()> {
        match &self.dump {
            Dump::Sqlite(dump) => dump.check().await,
            Dump::Postgres(_) => Ok(()),
        }
    }

    async fn head(&self) -> Result<Head> {
        each_dump!(&self.dump, dump => dump.head().await)
    }

    async fn piece(&self, from: Mark) -> Result<Piece> {
        each_dump!(&self.dump, dump => dump.piece(from).await)
    }

    async fn counts(&self) -> Result<Vec<(String, String, i64)>> {
        each_dump!(&self.dump, dump => dump.counts().await)
    }
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferProgress {
    /// Events in the target.
    pub events: u64,
    /// Events in the origin, by its ledger.
    pub of: u64,
}

/// What a transfer finds at its beginning.
#[derive(Debug)]
pub enum Beginning {
    /// It begins, or goes on.
    Open(Box<Transfer>),
    /// It was finished before, at this moment.
    Finished(Timestamp),
}

/// Everything of one store on its way into another.
#[derive(Debug)]
pub struct Transfer {
    origin: Origin,
    target: Store,
    mark: Mark,
    progress: TransferProgress,
    _target: Ownership,
}

impl Transfer {
    /// Begins, or goes on where the same transfer was interrupted. A file is first read whole, to see that it is not damaged. `name` says where the origin is, without a password; the target
    /// keeps it, to know the same transfer again.
    ///
    /// # Errors
    /// `Refused` when the target holds something else or is in use, or the origin is damaged or changed since.
    pub async fn begin(origin: Origin, target: Store, name: &str) -> Result<Beginning> {
        let ownership = each!(&target.engine, engine => engine.take_target().await)?;
        origin.check().await?;
        let head = origin.head().await?;
        let of = head.count_events();
        Ok(match each!(&target.engine, engine => engine.begin_transfer(name.to_owned(), head).await)? {
            Begun::Finished(at) => Beginning::Finished(Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH)),
            Begun::From(mark, events) => {
                Beginning::Open(Box::new(Self { origin, target, mark, progress: TransferProgress { events, of }, _target: ownership }))
            }
        })
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> TransferProgress {
        self.progress
    }

    /// Moves the next piece. Durable when it returns; false when there was none left.
    ///
    /// # Errors
    /// When the origin cannot be read or the target cannot be written; the transfer can go on later.
    pub async fn step(&mut self) -> Result<bool> {
        if self.mark.stage == Stage::Complete {
            return Ok(false);
        }
        let piece = self.origin.piece(self.mark).await?;
        let (to, events) = (piece.to, piece.count_events());
        each!(&self.target.engine, engine => engine.load(piece).await)?;
        self.mark = to;
        self.progress.events += events;
        Ok(true)
    }

    /// Compares both sides, and says that the transfer is finished when they are the same. From then on a bridge may run on the target.
    ///
    /// # Errors
    /// When one of them cannot be read, or the target cannot be written.
    pub async fn finish(self) -> Result<Comparison> {
        if self.mark.stage != Stage::Complete {
            return Err(Error::Refused("the transfer is not complete yet".to_owned()));
        }
        let target = each!(&self.target.engine, engine => engine.counts().await)?;
        let lines = compare(self.origin.counts().await?, target);
        let mut comparison = Comparison { lines, audit: self.target.audit().await?, finished_at: None };
        if comparison.is_same() {
            let now = Timestamp::now();
            each!(&self.target.engine, engine => engine.finish_transfer(now).await)?;
            comparison.finished_at = Some(now);
        }
        Ok(comparison)
    }
}

/// Writes a snapshot of a database to a new SQLite file, while bridges run on it.
pub(super) async fn copy_to_file(engine: &postgres::Postgres, file: &Path, mut progress: impl FnMut(u64, u64)) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unavailable = |error: std::io::Error| {
        Error::Unavailable(format!(
            "the backup cannot be written to {}: {error}; name a folder that this user can write to",
            folder.display()
        ))
    };
    let folder = tempfile::Builder::new().prefix(".leadwire-backup-").tempdir_in(folder).map_err(unavailable)?;
    let copy = sqlite::Sqlite::open(&folder.path().join("copy.db"), [], [])?;
    let target = Store::on(Engine::Sqlite(copy.clone()));
    let origin = Origin { dump: Dump::Postgres(engine.snapshot().await?) };
    let Beginning::Open(mut transfer) = Transfer::begin(origin, target, "a snapshot").await? else { return Ok(()) };
    while transfer.step().await? {
        progress(transfer.progress().events, transfer.progress().of);
    }
    let comparison = transfer.finish().await?;
    if !comparison.is_same() {
        return Err(Error::Refused("the copy differs from the store, and was thrown away; this is a bug".to_owned()));
    }
    copy.backup(file, |_, _| {}).await
}

/// One count on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Of which source or destination, or of all.
    pub part: String,
    /// What is counted.
    pub what: String,
    /// In the origin.
    pub origin: i64,
    /// In the target.
    pub target: i64,
}

/// Both sides of a transfer.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Every count of the ledger and of the rows.
    pub lines: Vec<Compared>,
    /// Of the target.
    pub audit: AuditReport,
    /// When the transfer was finished; `None` when the two sides differ.
    #[serde(skip)]
    pub finished_at: Option<Timestamp>,
}

impl Comparison {
    /// Whether both sides have the same of everything.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.lines.iter().all(|line| line.origin == line.target)
    }
}

fn compare(origin: Vec<(String, String, i64)>, target: Vec<(String, String, i64)>) -> Vec<Compared> {
    let mut counts: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    origin.into_iter().for_each(|(part, what, count)| counts.entry((part, what)).or_default().0 = count);
    target.into_iter().for_each(|(part, what, count)| counts.entry((part, what)).or_default().1 = count);
    counts.into_iter().map(|((part, what), (origin, target))| Compared { part, what, origin, target }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn what_is_on_one_side_only_is_compared_too() {
        let count = |part: &str, count| (part.to_owned(), "made".to_owned(), count);
        let lines = compare(vec![count("a", 1), count("b", 2)], vec![count("b", 2), count("c", 3)]);
        let numbers: Vec<_> = lines.iter().map(|line| (line.part.as_str(), line.origin, line.target)).collect();
        assert_eq!(numbers, [("a", 1, 0), ("b", 2, 2), ("c", 0, 3)]);
    }
}
