//! Bodies that could not be verified: kept, bounded, never delivered.

use super::{Sqlite, micros, moment, receive, text};
use crate::store::{NewEvent, Purge, QuarantineClass, QuarantineLimits, QuarantineRow, Quarantined, Received, Refused, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

pub(super) const COLUMNS: &str = "id, source, at, client, times, size, code, reason, header";

impl Sqlite {
    pub(in crate::store) async fn quarantine(&self, refused: Refused, limits: QuarantineLimits) -> Result<Quarantined> {
        let digest = refused.digest();
        self.writer.write(move |unit| keep(unit.connection, &refused, &digest, limits)).await
    }

    pub(in crate::store) async fn quarantined(&self, source: Option<String>, before: i64, limit: u32) -> Result<Vec<QuarantineRow>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM quarantine WHERE (?1 IS NULL OR source = ?1) AND id < ?2 ORDER BY id DESC LIMIT ?3");
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![source, before, limit], read_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn count_quarantined(&self) -> Result<i64> {
        self.read(|connection| Ok(connection.query_row("SELECT coalesce(sum(bodies), 0) FROM quarantine_total", [], |row| row.get(0))?))
            .await
    }

    pub(in crate::store) async fn quarantined_bodies(
        &self,
        source: String,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(QuarantineRow, Vec<u8>)>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS}, body FROM quarantine WHERE source = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![source, after, limit], |row| Ok((read_row(row)?, row.get(9)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn admit(&self, id: i64, events: Vec<NewEvent>) -> Result<Vec<Received>> {
        let names = self.names.now();
        self.writer
            .write(move |unit| {
                // Another process may have admitted it in the meantime; then its events are duplicates.
                let received = events.iter().map(|new| receive::store(unit, &names, new)).collect::<Result<_>>()?;
                unit.connection.execute("DELETE FROM quarantine WHERE id = ?1", [id])?;
                Ok(received)
            })
            .await
    }

    pub(in crate::store) async fn explain_quarantined(&self, id: i64, code: String, reason: String) -> Result<()> {
        self.writer
            .write(move |unit| {
                Ok(unit
                    .connection
                    .execute("UPDATE quarantine SET code = ?2, reason = ?3 WHERE id = ?1", params![id, text(&code), text(&reason)])
                    .map(drop)?)
            })
            .await
    }

    pub(in crate::store) async fn purge_quarantine(
        &self,
        source: Option<String>,
        before: Option<Timestamp>,
        with_promised: bool,
    ) -> Result<usize> {
        let which = Purge { id: None, source, before, with_promised };
        self.writer.write(move |unit| purge(unit.connection, &which)).await
    }

    pub(in crate::store) async fn quarantined_body(&self, id: i64, most_bytes: u32) -> Result<Option<(QuarantineRow, Vec<u8>)>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS}, substr(body, 1, ?2) FROM quarantine WHERE id = ?1");
            let mut query = connection.prepare_cached(&sql)?;
            Ok(query.query_row(params![id, most_bytes], |row| Ok((read_row(row)?, row.get(9)?))).optional()?)
        })
        .await
    }
}

pub(super) fn purge(connection: &Connection, Purge { id, source, before, with_promised }: &Purge) -> Result<usize> {
    let sql = "DELETE FROM quarantine
         WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR at < ?2) AND (?3 OR class < 2) AND (?4 IS NULL OR id = ?4)";
    Ok(connection.execute(sql, params![source, before.map(micros), with_promised, id])?)
}

fn keep(connection: &Connection, refused: &Refused, digest: &[u8; 32], limits: QuarantineLimits) -> Result<Quarantined> {
    let class = refused.class.number();
    let repeated = connection
        .prepare_cached("UPDATE quarantine SET times = times + 1, at = ?3 WHERE source = ?1 AND digest = ?2 AND class >= ?4")?
        .execute(params![refused.source, digest, micros(refused.at), class])?;
    if repeated == 1 {
        return Ok(Quarantined::Kept { pushed_out: 0 });
    }
    let (header, size) = (refused.kept_header(), refused.size());
    let Some(pushed_out) = make_room(connection, refused, size, limits)? else { return Ok(Quarantined::Full) };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO quarantine (source, class, size, digest, at, client, code, reason, header, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            refused.source,
            class,
            size,
            digest,
            micros(refused.at),
            text(&refused.client),
            text(&refused.code),
            text(&refused.reason),
            header,
            refused.body.as_ref(),
        ])?;
    Ok(Quarantined::Kept { pushed_out })
}

/// Removes the largest bodies of the class until `size` more bytes fit; how many, or `None` when they cannot fit.
fn make_room(connection: &Connection, refused: &Refused, size: i64, limits: QuarantineLimits) -> Result<Option<u32>> {
    let most = limits.most(refused.class);
    let class = refused.class.number();
    let mut total = connection.prepare_cached("SELECT bytes FROM quarantine_total WHERE source = ?1 AND class = ?2")?;
    let mut over = total.query_row(params![refused.source, class], |row| row.get::<_, i64>(0)).optional()?.unwrap_or(0) + size - most;
    if over > 0 && (refused.class == QuarantineClass::Promised || size > most) {
        return Ok(None);
    }
    let mut largest =
        connection.prepare_cached("SELECT id, size FROM quarantine WHERE source = ?1 AND class = ?2 ORDER BY size DESC LIMIT 1")?;
    let mut pushed_out = 0;
    while over > 0 {
        let found: Option<(i64, i64)> =
            largest.query_row(params![refused.source, class], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((id, freed)) = found else { return Ok(None) };
        connection.prepare_cached("DELETE FROM quarantine WHERE id = ?1")?.execute([id])?;
        over -= freed;
        pushed_out += 1;
    }
    Ok(Some(pushed_out))
}

pub(super) fn read_row(row: &Row<'_>) -> rusqlite::Result<QuarantineRow> {
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
