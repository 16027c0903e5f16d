//! Moving the log into the file while the writer goes on.
//!
//! SQLite lets the connection that commits also empty the log, and whoever is received in that moment waits until 64 MiB are written to
//! their places, which takes a disk 50 ms and more. Here another connection does the most of it early, and leaves the writer, which
//! alone can begin the log anew while it is busy, a rest of some milliseconds. Should this thread fail, the writer does all of it again.

use super::open::open_writer;
use crate::store::{Error, Result};
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// So many pages of the log that are not in the file yet are worth a pass.
const PAGES: i64 = 4_000;
/// How often it is looked whether there are so many, while there are commits.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A handle to the thread, which ends when the handle is dropped.
pub(super) struct Checkpointer(SyncSender<()>);

impl Checkpointer {
    pub(super) fn start(path: &Path) -> Result<Self> {
        let ((commits, told), path) = (sync_channel(1), path.to_owned());
        std::thread::Builder::new()
            .name("store-checkpointer".to_owned())
            .spawn(move || serve(&path, &told))
            .map_err(|error| Error::Unavailable(format!("the checkpointer thread cannot be started: {error}")))?;
        Ok(Self(commits))
    }

    pub(super) fn note_commit(&self) {
        // One that was not taken yet tells as much.
        let _ = self.0.try_send(());
    }
}

#[expect(clippy::disallowed_methods, reason = "this thread is for work that blocks")]
fn serve(path: &Path, told: &Receiver<()>) {
    let mut connection = None;
    while told.recv().is_ok() {
        std::thread::sleep(LOOK_EVERY);
        // What fails here is left to the writer, which tells of a sick disk by what it cannot commit.
        if move_pages(path, &mut connection).is_err() {
            connection = None;
        }
    }
}

fn move_pages(path: &Path, connection: &mut Option<Connection>) -> Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(open_writer(path)?),
    };
    let (in_log, moved): (i64, i64) = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    if in_log - moved >= PAGES {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}
