//! Taking in the rows of another store, piece by piece.

use super::dump::read_counts;
use super::{Error, Ownership, Result, Right, Sqlite, lock, micros};
use crate::store::dump::{Begun, Head, Kept, Mark, Piece, Rows, Stage, refuse_full, refuse_unfinished};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

impl Sqlite {
    /// The right to write into this store, without anything that a bridge does when it takes over.
    #[expect(clippy::unused_async, reason = "the other engine asks its server")]
    pub(in crate::store) async fn take_target(&self) -> Result<Ownership> {
        let in_use = || Error::Refused(format!("{} is in use by a bridge or another transfer; stop it first", self.readers.path.display()));
        Ok(Ownership { _right: Right::File(lock(&self.readers.path)?.ok_or_else(in_use)?) })
    }

    /// Gives an empty store the head, or finds the place where the same transfer was interrupted.
    ///
    /// # Errors
    /// `Refused` when the store holds anything else.
    pub(in crate::store) async fn begin_transfer(&self, origin: String, head: Head) -> Result<Begun> {
        let fingerprint = head.fingerprint();
        let begun = self
            .writer
            .write(move |unit| {
                let connection = unit.connection;
                if let Some(kept) = read_kept(connection)? {
                    let events: i64 = connection.query_row("SELECT count(*) FROM event", [], |row| row.get(0))?;
                    return kept.resume(&origin, &fingerprint, u64::try_from(events).unwrap_or(0));
                }
                if !is_empty(connection)? {
                    return Err(refuse_full());
                }
                for rows in &head.rows {
                    connection.execute(&format!("DELETE FROM {}", rows.table.name), [])?;
                    insert(connection, rows)?;
                }
                let Mark { stage, after } = Mark::START;
                connection.execute(
                    "INSERT INTO transfer (id, origin, fingerprint, stage, after) VALUES (1, ?1, ?2, ?3, ?4)",
                    params![origin, fingerprint, stage.number(), after],
                )?;
                Ok(Begun::From(Mark::START, 0))
            })
            .await?;
        if matches!(begun, Begun::Finished(_)) {
            // Perhaps it was interrupted just before its very end.
            self.empty_log().await?;
        }
        Ok(begun)
    }

    /// Takes in a piece and moves the mark, in one transaction.
    ///
    /// # Errors
    /// `Refused` when the mark is not where the piece begins.
    pub(in crate::store) async fn load(&self, piece: Piece) -> Result<()> {
        self.writer
            .write(move |unit| {
                let Piece { from, to, rows } = &piece;
                let moved = unit.connection.execute(
                    "UPDATE transfer SET stage = ?1, after = ?2 WHERE stage = ?3 AND after = ?4 AND finished_at IS NULL",
                    params![to.stage.number(), to.after, from.stage.number(), from.after],
                )?;
                if moved != 1 {
                    return Err(Error::Refused("another transfer writes into the same target; let it finish".to_owned()));
                }
                rows.iter().try_for_each(|rows| insert(unit.connection, rows))
            })
            .await
    }

    pub(in crate::store) async fn finish_transfer(&self, now: Timestamp) -> Result<()> {
        let at = micros(now);
        self.writer.write(move |unit| Ok(unit.connection.execute("UPDATE transfer SET finished_at = ?1", [at]).map(drop)?)).await?;
        // Then the file alone is the store, and can be looked at and copied as it is.
        self.empty_log().await
    }

    /// See [`ROW_COUNTS`](crate::store::dump::ROW_COUNTS).
    pub(in crate::store) async fn counts(&self) -> Result<Vec<(String, String, i64)>> {
        self.read(read_counts).await
    }

    /// A bridge on a part of the leads would take numbers that the rest has.
    pub(in crate::store) async fn refuse_during_transfer(&self) -> Result<()> {
        match self.read(read_kept).await? {
            Some(kept) if kept.finished_at.is_none() => Err(refuse_unfinished(&kept.origin)),
            _ => Ok(()),
        }
    }
}

fn read_kept(connection: &Connection) -> Result<Option<Kept>> {
    let sql = "SELECT origin, fingerprint, stage, after, finished_at FROM transfer";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    let found: Option<(String, String, i64, i64, Option<i64>)> = connection.query_row(sql, [], read).optional()?;
    let Some((origin, fingerprint, stage, after, finished_at)) = found else { return Ok(None) };
    Ok(Some(Kept { origin, fingerprint, mark: Mark { stage: Stage::from_number(stage)?, after }, finished_at }))
}

/// Names that a bridge registered at a first start are nothing yet.
fn is_empty(connection: &Connection) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM event) AND NOT EXISTS (SELECT 1 FROM delivery) AND NOT EXISTS (SELECT 1 FROM quarantine)
               AND NOT EXISTS (SELECT 1 FROM source WHERE received > 0)
               AND NOT EXISTS (SELECT 1 FROM destination WHERE created > 0 OR hold_since IS NOT NULL)";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

fn insert(connection: &Connection, rows: &Rows) -> Result<()> {
    let table = rows.table;
    let places: Vec<String> = (1..=table.columns.len()).map(|place| format!("?{place}")).collect();
    let sql = format!("INSERT INTO {} ({}) VALUES ({})", table.name, table.list(), places.join(", "));
    let mut insert = connection.prepare_cached(&sql)?;
    rows.rows.iter().try_for_each(|row| insert.execute(params_from_iter(row)).map(drop))?;
    Ok(())
}
