//! Bodies that could not be verified: kept, bounded, never delivered.

use super::{Sqlite, micros, moment, receive};
use crate::store::{Error, NewEvent, QuarantineRow, Quarantined, Received, Refused, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How much of a source the quarantine keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of bodies of one source. Refused bodies push out older refused ones; promised ones are never pushed out.
    pub max_bytes: u64,
}

const COLUMNS: &str = "id, source, at, client, times, size, code, reason, header";

impl Sqlite {
    /// Keeps a body. Its repetition with the same signature is counted, not kept twice.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn quarantine(&self, refused: Refused, limits: Limits) -> Result<Quarantined> {
        let digest = digest(&refused);
        self.writer.write(move |unit| keep(unit.connection, &refused, &digest, limits)).await
    }

    /// Newest first.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn quarantined(&self, source: Option<String>, limit: u32) -> Result<Vec<QuarantineRow>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM quarantine WHERE ?1 IS NULL OR source = ?1 ORDER BY id DESC LIMIT ?2");
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![source, limit], read_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The rows of a source after `after`, in order, with their bodies: for verifying again piece by piece.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn quarantined_bodies(&self, source: String, after: i64, limit: u32) -> Result<Vec<(QuarantineRow, Vec<u8>)>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS}, body FROM quarantine WHERE source = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![source, after, limit], |row| Ok((read_row(row)?, row.get(9)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// A quarantined body that verifies now becomes its events and leaves the quarantine, in one transaction.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn admit(&self, id: i64, events: Vec<NewEvent>) -> Result<Vec<Received>> {
        let names = Arc::clone(&self.names);
        self.writer
            .write(move |unit| {
                let mut received = Vec::with_capacity(events.len());
                for new in &events {
                    let source = names.sources.get(&new.event.source).copied();
                    let source = source.ok_or_else(|| Error::Refused(format!("the source {} is not registered", new.event.source)))?;
                    let body = serde_json::to_string(&new.event).map_err(|error| Error::Refused(error.to_string()))?;
                    received.push(receive::store(unit, source, new, &body)?);
                }
                unit.connection.execute("DELETE FROM quarantine WHERE id = ?1", [id])?;
                Ok(received)
            })
            .await
    }

    /// Says why a body still does not verify.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn explain_quarantined(&self, id: i64, code: String, reason: String) -> Result<()> {
        self.writer
            .write(move |unit| {
                Ok(unit
                    .connection
                    .execute("UPDATE quarantine SET code = ?2, reason = ?3 WHERE id = ?1", params![id, code, reason])
                    .map(drop)?)
            })
            .await
    }

    /// Removes bodies; promised ones only when asked for by `with_promised`. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn purge_quarantine(&self, source: Option<String>, before: Option<Timestamp>, with_promised: bool) -> Result<usize> {
        self.writer
            .write(move |unit| {
                Ok(unit.connection.execute(
                    "DELETE FROM quarantine WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR at < ?2) AND (?3 OR NOT promised)",
                    params![source, before.map(micros), with_promised],
                )?)
            })
            .await
    }
}

/// The header counts too: an attacker who repeats a body under a wrong signature must not replace the right one.
fn digest(refused: &Refused) -> [u8; 32] {
    let header = refused.header.as_deref().unwrap_or_default();
    Sha256::new().chain_update(header.len().to_le_bytes()).chain_update(header).chain_update(&refused.body).finalize().into()
}

fn keep(connection: &Connection, refused: &Refused, digest: &[u8; 32], limits: Limits) -> Result<Quarantined> {
    let repeated = connection
        .prepare_cached("UPDATE quarantine SET times = times + 1, at = ?3, promised = max(promised, ?4) WHERE source = ?1 AND digest = ?2")?
        .execute(params![refused.source, digest, micros(refused.at), refused.promised])?;
    if repeated == 1 {
        return Ok(Quarantined::Kept);
    }
    let most = i64::try_from(limits.max_bytes).unwrap_or(i64::MAX);
    let size = i64::try_from(refused.body.len()).unwrap_or(i64::MAX);
    if !make_room(connection, &refused.source, most.saturating_sub(size))? {
        return Ok(Quarantined::Full);
    }
    connection
        .prepare_cached(
            "INSERT INTO quarantine (source, digest, at, client, header, body, size, code, reason, promised) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            refused.source,
            digest,
            micros(refused.at),
            refused.client,
            refused.header,
            refused.body.as_ref(),
            size,
            refused.code,
            refused.reason,
            refused.promised,
        ])?;
    Ok(Quarantined::Kept)
}

/// Removes the oldest refused bodies of the source until at most `most` bytes are left. False when promised bodies fill it.
fn make_room(connection: &Connection, source: &str, most: i64) -> Result<bool> {
    let total = |promised_only: bool| -> Result<i64> {
        let mut query =
            connection.prepare_cached("SELECT coalesce(sum(size), 0) FROM quarantine WHERE source = ?1 AND (promised OR NOT ?2)")?;
        Ok(query.query_row(params![source, promised_only], |row| row.get(0))?)
    };
    let mut left = total(false)?;
    if left <= most {
        return Ok(true);
    }
    if total(true)? > most {
        return Ok(false);
    }
    while left > most {
        let mut oldest =
            connection.prepare_cached("SELECT id, size FROM quarantine WHERE source = ?1 AND NOT promised ORDER BY id LIMIT 1")?;
        let found: Option<(i64, i64)> = oldest.query_row([source], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((id, size)) = found else { return Ok(false) };
        connection.prepare_cached("DELETE FROM quarantine WHERE id = ?1")?.execute([id])?;
        left -= size;
    }
    Ok(true)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<QuarantineRow> {
    Ok(QuarantineRow {
        id: row.get(0)?,
        source: row.get(1)?,
        at: moment(row.get(2)?),
        client: row.get(3)?,
        times: row.get(4)?,
        size: row.get(5)?,
        code: row.get(6)?,
        reason: row.get(7)?,
        header: row.get(8)?,
    })
}
