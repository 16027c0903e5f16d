//! Removing what is over and old enough.

use super::{Sqlite, micros};
use crate::store::Result;
use jiff::Timestamp;
use rusqlite::{Connection, params};

/// Events removed in one transaction: short enough that an answer waiting behind it does not notice.
const BATCH: u32 = 500;

impl Sqlite {
    pub(in crate::store) async fn remove_ended(&self, cutoff: Timestamp) -> Result<usize> {
        // Looking is done on a reader, so that no answer waits behind it.
        let sequences = self.read(move |connection| find_ended(connection, micros(cutoff))).await?;
        self.writer
            .write(move |unit| {
                let mut removed = 0;
                for seq in &sequences {
                    removed += usize::from(is_ended(unit.connection, *seq)? && remove(unit.connection, *seq)?);
                }
                Ok(removed)
            })
            .await
    }
}

fn find_ended(connection: &Connection, cutoff: i64) -> Result<Vec<i64>> {
    let mut query = connection.prepare_cached(
        "SELECT e.seq FROM event e WHERE e.received_at < ?1 AND coalesce(e.erased_at, 0) < ?1 AND (e.deliveries > 0 OR e.kind = 'test' OR e.erased_at IS NOT NULL)
         AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND d.state NOT IN (3, 4, 6)) ORDER BY e.seq LIMIT ?2",
    )?;
    let rows = query.query_map(params![cutoff, BATCH], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A delivery may have been replayed since it was looked at.
fn is_ended(connection: &Connection, seq: i64) -> Result<bool> {
    let mut query = connection.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM delivery WHERE event = ?1 AND state NOT IN (3, 4, 6))")?;
    Ok(query.query_row([seq], |row| row.get(0))?)
}

fn remove(connection: &Connection, seq: i64) -> Result<bool> {
    for sql in [
        // Only delivered, skipped and erased ones come here.
        "UPDATE destination SET removed = removed + 1, delivered = delivered - 1 WHERE id IN (SELECT destination FROM delivery WHERE event = ?1 AND state = 3)",
        "UPDATE destination SET removed = removed + 1, skipped = skipped - 1 WHERE id IN (SELECT destination FROM delivery WHERE event = ?1 AND state = 4)",
        "UPDATE destination SET removed = removed + 1, erased = erased - 1 WHERE id IN (SELECT destination FROM delivery WHERE event = ?1 AND state = 6)",
        "UPDATE source SET removed = removed + 1 WHERE id = (SELECT source FROM event WHERE seq = ?1)",
        "DELETE FROM attempt WHERE event = ?1",
        "DELETE FROM step WHERE event = ?1",
        "DELETE FROM delivery WHERE event = ?1",
        "DELETE FROM event WHERE seq = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(true)
}
