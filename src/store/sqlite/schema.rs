//! The schema, step by step. Forward only.

use crate::store::{Error, Result};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// In order; the number of a migration is its place, from 1.
const MIGRATIONS: [&str; 13] = [
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_person.sql"),
    include_str!("migrations/0003_keeping.sql"),
    include_str!("migrations/0004_certificate.sql"),
    include_str!("migrations/0005_clock.sql"),
    include_str!("migrations/0006_token.sql"),
    include_str!("migrations/0007_search.sql"),
    include_str!("migrations/0008_acts.sql"),
    include_str!("migrations/0009_alert.sql"),
    include_str!("migrations/0010_tally.sql"),
    include_str!("migrations/0011_receipt.sql"),
    include_str!("migrations/0012_console.sql"),
    include_str!("migrations/0013_line.sql"),
];

/// The schema that this program writes.
pub(super) const NEWEST: usize = MIGRATIONS.len();

/// `LEAD` in ASCII: marks the file as ours, so that another program's database is never touched.
const APPLICATION_ID: i64 = 0x4C45_4144;

/// The mode in which free pages can be given back to the disk step by step.
pub(super) const INCREMENTAL: i64 = 2;

/// SQLite before this release can corrupt a write-ahead log that two connections share.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Brings the database up to this program's schema.
///
/// # Errors
/// Refuses another program's file, a schema newer than this program, and a SQLite with the known corruption.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(Error::Refused(format!(
            "this build has SQLite {}, which can corrupt its log; build with 3.51.3 or later",
            rusqlite::version()
        )));
    }
    let version = read_version(connection)?;
    if (1..NEWEST).contains(&version) {
        give_space_back_from_now_on(connection);
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}

/// A file made before files shrank is written anew once. It is a matter of disk space only, so that a failure stops nothing.
fn give_space_back_from_now_on(connection: &Connection) {
    let is_off = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get::<_, i64>(0)).is_ok_and(|mode| mode != INCREMENTAL);
    if !is_off {
        return;
    }
    tracing::info!("the store is written anew, so that its file can shrink from now on; with a large file this takes minutes");
    if let Err(error) = connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;") {
        tracing::warn!("the store was not written anew and will not shrink; a backup of it, restored, will: {error}");
    }
}

/// The schema of the database; 0 when it is empty.
///
/// # Errors
/// Refuses another program's file and a schema newer than this program.
pub(super) fn read_version(connection: &Connection) -> Result<usize> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let (version, application) = (pragma("user_version")?, pragma("application_id")?);
    let is_empty = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get::<_, bool>(0))?;
    if !is_empty && application != APPLICATION_ID {
        return Err(Error::Refused("it is a database of another program, and is left alone; name a file of Leadwire's own".to_owned()));
    }
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > NEWEST {
        return Err(Error::Refused(format!(
            "the store has schema {version}, and this program knows up to {NEWEST}; use the version of Leadwire that wrote it, or a later one"
        )));
    }
    Ok(version)
}

/// Tables, indexes and triggers by name, each with the text that made it.
pub(super) fn read_objects(connection: &Connection) -> Result<BTreeMap<String, String>> {
    let mut query = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")?;
    let objects = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(objects.collect::<rusqlite::Result<_>>()?)
}

/// The same as this program makes them.
pub(super) fn expected_objects() -> Result<BTreeMap<String, String>> {
    let mut connection = Connection::open_in_memory()?;
    migrate(&mut connection)?;
    read_objects(&connection)
}
