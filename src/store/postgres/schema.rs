//! The schema, step by step. Forward only. Whichever instance comes first makes it; the others wait for that.

use super::{column, query_opt};
use crate::store::{Error, Result};
use deadpool_postgres::{GenericClient, Object};

/// In order; the number of a migration is its place, from 1.
const MIGRATIONS: [&str; 12] = [
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
];

/// The schema that this program writes.
pub(super) const NEWEST: usize = MIGRATIONS.len();

/// `LEADWIRE` in ASCII: the lock among those that migrate.
const LOCK: i64 = 0x4C45_4144_5749_5245;

/// Brings the database up to this program's schema.
///
/// # Errors
/// Refuses a schema newer than this program, and tables of another program.
pub(super) async fn migrate(client: &mut Object) -> Result<()> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    // Asked first: to run on a schema that is there, a user need not be allowed to make one.
    let known: Option<String> = transaction.query_one("SELECT to_regclass('leadwire_schema')::TEXT", &[]).await?.try_get(0)?;
    if known.is_none() {
        let sql = "CREATE TABLE leadwire_schema (version BIGINT PRIMARY KEY, made_at TIMESTAMPTZ NOT NULL DEFAULT now())";
        transaction.batch_execute(sql).await.map_err(|error| explain(&error))?;
    }
    let version = read_version(&transaction).await?;
    if version > NEWEST {
        return Err(Error::Refused(format!(
            "the store has schema {version}, and this program knows up to {NEWEST}; use the version of Leadwire that wrote it, or a later one"
        )));
    }
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        transaction.batch_execute(sql).await.map_err(|error| explain(&error))?;
        transaction.execute("INSERT INTO leadwire_schema (version) VALUES ($1)", &[&i64::try_from(index + 1).unwrap_or(i64::MAX)]).await?;
    }
    Ok(transaction.commit().await?)
}

/// The version of the schema; 0 for an empty database.
pub(super) async fn read_version(client: &impl GenericClient) -> Result<usize> {
    let row = query_opt(client, "SELECT coalesce(max(version), 0) FROM leadwire_schema", &[]).await?;
    let version: i64 = row.map_or(Ok(0), |row| column(&row, 0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn explain(error: &tokio_postgres::Error) -> Error {
    match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("42P07") => Error::Refused(
            "the database has tables of another program with our names; give Leadwire a database of its own in [store] url".to_owned(),
        ),
        Some("42501") => Error::Refused(
            "the user of [store] url may not create tables; make it the owner of the database, or grant it CREATE on the schema".to_owned(),
        ),
        _ => Error::Unavailable(format!("the schema was not made: {error}")),
    }
}
