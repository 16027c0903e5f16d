//! Whether the file can do its work.

use super::open::{open_reader, unusable};
use super::{Error, Result, schema};
use crate::store::{Checkup, check_disk};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// A bridge holds the lock for as long as a commit takes.
const BUSY: Duration = Duration::from_secs(5);

pub(in crate::store) fn check_up(path: &Path) -> Checkup {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = check_disk(folder);
    let mut checkup = Checkup::new("sqlite", path.display().to_string(), schema::NEWEST);
    checkup.syncs = Some(disk.syncs);
    checkup.free_bytes = disk.free_bytes;
    match path.try_exists() {
        Ok(false) => {}
        Ok(true) => {
            checkup.schema = read_schema(path);
            checkup.writing = checkup.schema.is_ok().then(|| try_writing(path));
        }
        Err(error) => checkup.schema = Err(unusable(path, &error)),
    }
    checkup
}

fn read_schema(path: &Path) -> Result<Option<usize>> {
    let version = schema::read_version(&open_reader(path)?)?;
    Ok((version > 0).then_some(version))
}

/// Writes to the first page, whatever the schema, and takes it back.
fn try_writing(path: &Path) -> Result<()> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| match Error::from(error) {
        Error::Unavailable(reason) => Error::Unavailable(format!("no write can begin: {reason}")),
        refused @ Error::Refused(_) => refused,
    })?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    connection.pragma_update(None, "user_version", version)?;
    Ok(connection.execute_batch("ROLLBACK")?)
}
