//! Whether a store can do its work, found out without changing what is in it.

use super::{Error, Result, postgres, sqlite};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes that are timed.
const SYNCS: usize = 9;
/// On a disk that is very slow, fewer writes say enough.
const SYNCS_AT_MOST: Duration = Duration::from_secs(5);
/// What a small commit writes.
const PAGE: [u8; 4_096] = [0; 4_096];

/// What was found of a store.
#[derive(Debug)]
pub struct Checkup {
    /// What keeps the rows.
    pub engine: &'static str,
    /// Where, without a password.
    pub place: String,
    /// The schema it has; `None` when there is no store yet. An error when it cannot be opened or is not ours.
    pub schema: Result<Option<usize>>,
    /// The schema that this program writes.
    pub newest: usize,
    /// Whether a transaction can write; `None` when there is nothing to write to yet.
    pub writing: Option<Result<()>>,
    /// How long commits, or writes with fsync beside the file, took; `None` when none could be tried.
    pub syncs: Option<Result<Vec<Duration>>>,
    /// False when the server is told not to wait for its disk.
    pub waits_for_disk: bool,
    /// On the disk of the file; `None` when that is the server's own.
    pub free_bytes: Option<u64>,
}

impl Checkup {
    pub(super) fn new(engine: &'static str, place: String, newest: usize) -> Self {
        Self { engine, place, schema: Ok(None), newest, writing: None, syncs: None, waits_for_disk: true, free_bytes: None }
    }

    /// Whether it can be opened without being changed.
    #[must_use]
    pub fn is_current(&self) -> bool {
        matches!(self.schema, Ok(Some(schema)) if schema == self.newest)
    }
}

/// Looks at the store in a SQLite file, which a bridge may be using. Makes none.
pub async fn check_sqlite(path: &Path) -> Checkup {
    let (own, shown) = (path.to_owned(), path.display().to_string());
    let checked = tokio::task::spawn_blocking(move || sqlite::check_up(&own)).await;
    checked.unwrap_or_else(|error| {
        let schema = Err(Error::Refused(format!("the check failed: {error}")));
        Checkup { schema, ..Checkup::new("sqlite", shown, 0) }
    })
}

/// Looks at the store in a PostgreSQL database. Makes none; only the counter that proves commits moves.
pub async fn check_postgres(url: &str) -> Checkup {
    postgres::check_up(url).await
}

/// What a folder's disk is like.
#[derive(Debug)]
pub struct DiskCheck {
    /// The folder, or the nearest one above it when it is not there yet.
    pub folder: PathBuf,
    /// How long writes with fsync took.
    pub syncs: Result<Vec<Duration>>,
    /// What is free, for whoever is not root.
    pub free_bytes: Option<u64>,
}

/// Tries a folder's disk with a temporary file, which is removed.
#[must_use]
pub fn check_disk(folder: &Path) -> DiskCheck {
    let folder = nearest(folder);
    let syncs = time_syncs(&folder).map_err(|error| Error::Unavailable(format!("{} cannot be written: {error}", folder.display())));
    let free_bytes = free_bytes(&folder);
    DiskCheck { folder, syncs, free_bytes }
}

/// What is free, for whoever is not root, on the disk of a folder, or of the nearest one above it. Writes nothing; may hang with the disk.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    rustix::fs::statvfs(nearest(folder)).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// The folder, or the one it would be made in.
fn nearest(folder: &Path) -> PathBuf {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let found = whole.ancestors().find(|ancestor| ancestor.is_dir()).map(Path::to_owned);
    found.unwrap_or(whole)
}

fn time_syncs(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = tempfile::Builder::new().prefix(".leadwire-doctor-").tempfile_in(folder)?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < SYNCS && began.elapsed() < SYNCS_AT_MOST {
        let start = Instant::now();
        file.write_all(&PAGE)?;
        file.as_file().sync_data()?;
        times.push(start.elapsed());
    }
    file.close()?;
    Ok(times)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn trying_a_disk_leaves_nothing_behind_and_makes_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("not/there/yet");
        let found = check_disk(&deep);
        assert_eq!(found.folder, folder.path());
        assert!(!found.syncs.unwrap().is_empty());
        assert!(found.free_bytes.is_some_and(|free| free > 0));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_no_store_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "not a database, and longer than the header of one, which has 100 bytes; so this goes on and on and on")
            .unwrap();
        let before = std::fs::read(&path).unwrap();
        let checkup = check_sqlite(&path).await;
        assert!(checkup.schema.unwrap_err().to_string().contains("no SQLite database"));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn without_a_store_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let checkup = check_sqlite(&folder.path().join("data/leadwire.db")).await;
        assert!(matches!(checkup.schema, Ok(None)) && checkup.writing.is_none() && !checkup.is_current());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
