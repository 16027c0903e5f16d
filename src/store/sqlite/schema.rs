//! The schema, step by step. Forward only.

use crate::store::{Error, Result};
use rusqlite::Connection;

/// In order; the number of a migration is its place, from 1.
const MIGRATIONS: [&str; 2] = [include_str!("migrations/0001_start.sql"), include_str!("migrations/0003_person.sql")];

/// `LEAD` in ASCII: marks the file as ours, so that another program's database is never touched.
const APPLICATION_ID: i64 = 0x4C45_4144;

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
    let newest = MIGRATIONS.len();
    if version > newest {
        return Err(Error::Refused(format!(
            "the store has schema {version}, and this program knows up to {newest}; use the version of Leadwire that wrote it, or a later one"
        )));
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

fn read_version(connection: &Connection) -> Result<usize> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let (version, application) = (pragma("user_version")?, pragma("application_id")?);
    let is_empty = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get::<_, bool>(0))?;
    if !is_empty && application != APPLICATION_ID {
        return Err(Error::Refused("the file is a database of another program; set [store] url to another file".to_owned()));
    }
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}
