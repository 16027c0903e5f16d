//! Removing what is over and old enough, or what is over and does not fit.

use super::{Sqlite, index, micros};
use crate::store::Result;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Mutex;

/// Events removed in one transaction: short enough that an answer waiting behind it does not notice.
const BATCH: u32 = 500;

/// Of what was received since the last walk, in the order of receipt.
pub(super) const FIND_AHEAD: &str = "SELECT e.received_at, e.seq FROM event e
    WHERE e.received_at < ?1 AND e.received_at >= ?2 AND (e.received_at, e.seq) > (?3, ?4)
    AND e.erased_at IS NULL AND (e.deliveries > 0 OR e.kind = 'test')
    AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND d.state NOT IN (3, 4, 6)) ORDER BY e.received_at, e.seq LIMIT ?5";

/// Of what came or ended behind it. The plus keeps the index on the time out of it, which holds all that was seen already.
pub(super) const FIND_BEHIND: &str = "SELECT e.received_at, e.seq FROM event e
    WHERE +e.received_at < ?1 AND e.seq >= ?2 AND e.seq > ?4
    AND e.erased_at IS NULL AND (e.deliveries > 0 OR e.kind = 'test')
    AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND d.state NOT IN (3, 4, 6)) ORDER BY e.seq LIMIT ?5";

/// Of tombstones, which another process makes. They stay as long as their event would, and as long after the erasure.
pub(super) const FIND_ERASED: &str = "SELECT e.received_at, e.seq FROM event e
    WHERE e.erased_at < ?1 AND e.received_at < ?1 AND e.erased_at >= ?2 AND e.seq > ?4
    AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND d.state NOT IN (3, 4, 6)) ORDER BY e.seq LIMIT ?5";

/// What retention has looked at already. What is pending or dead stays where it is and may be a million events; looking at each of
/// them in each round would read the whole file. Only this process ends deliveries, but for what commands discard, so what it remembers is all there is to know.
#[derive(Debug)]
pub(super) struct Walk {
    seen: Mutex<Seen>,
    /// The oldest event of which a delivery has ended since the walk began.
    ended: AtomicI64,
}

/// Events before `position` that were received before `until` cannot be removed, as far as is known.
#[derive(Debug, Clone, Copy)]
struct Seen {
    position: i64,
    until: i64,
    /// Dead letters that were discarded, as far as is known. Commands discard too, and it is rare.
    discarded: i64,
}

impl Default for Walk {
    fn default() -> Self {
        Self { seen: Mutex::new(Seen { position: i64::MIN, until: i64::MIN, discarded: 0 }), ended: AtomicI64::new(i64::MAX) }
    }
}

impl Walk {
    /// Called after the commit, so that a walk that reads after this sees it ended.
    pub(super) fn note_ended(&self, event: i64) {
        self.ended.fetch_min(event, Ordering::AcqRel);
    }
}

/// What one part of a walk did.
struct Part {
    removed: usize,
    /// When the last event that it looked at was received.
    last: i64,
    /// Whether it ended because the rest fits.
    is_enough: bool,
}

/// When an event was received, and its place in the order.
type Place = (i64, i64);

impl Sqlite {
    pub(in crate::store) async fn remove_ended(&self, cutoff: Timestamp) -> Result<usize> {
        self.walk(micros(cutoff), None).await
    }

    pub(in crate::store) async fn remove_over(&self, max_bytes: u64, cutoff: Timestamp) -> Result<usize> {
        self.walk(micros(cutoff), Some(max_bytes)).await
    }

    /// Removes ended events received before `cutoff`, oldest first, until there is none left or, with a bound, until the rest fits.
    async fn walk(&self, cutoff: i64, max_bytes: Option<u64>) -> Result<usize> {
        let mut seen = self.walk.seen.lock().await;
        seen.position = seen.position.min(self.walk.ended.swap(i64::MAX, Ordering::AcqRel));
        let (end, discarded) = self.read(read_end).await?;
        if discarded != seen.discarded {
            (seen.position, seen.discarded) = (i64::MIN, discarded);
        }
        let erased = self.remove_part((FIND_ERASED, cutoff, i64::MIN), max_bytes).await?;
        let behind = self.remove_part((FIND_BEHIND, cutoff.min(seen.until), seen.position), max_bytes).await?;
        if behind.is_enough {
            return Ok(erased.removed + behind.removed);
        }
        let ahead = self.remove_part((FIND_AHEAD, cutoff, seen.until), max_bytes).await?;
        let looked_until = if ahead.is_enough { ahead.last } else { cutoff };
        if looked_until >= seen.until {
            *seen = Seen { position: end, until: looked_until, discarded: seen.discarded };
        }
        Ok(erased.removed + behind.removed + ahead.removed)
    }

    /// Removes what this query finds, with its first two values, piece by piece.
    async fn remove_part(&self, (sql, until, from): (&'static str, i64, i64), max_bytes: Option<u64>) -> Result<Part> {
        let (mut last, mut removed) = ((i64::MIN, i64::MIN), 0);
        loop {
            if let Some(bytes) = max_bytes
                && self.space().await?.used_bytes() <= bytes
            {
                return Ok(Part { removed, last: last.0, is_enough: true });
            }
            // Looking is done on a reader, so that no answer waits behind it.
            let places = self.read(move |connection| find_ended(connection, sql, [until, from, last.0, last.1])).await?;
            let Some(place) = places.last() else { return Ok(Part { removed, last: last.0, is_enough: false }) };
            last = *place;
            removed += self.remove_all(places).await?;
        }
    }

    async fn remove_all(&self, places: Vec<Place>) -> Result<usize> {
        self.writer
            .write(move |unit| {
                let mut removed = Vec::new();
                for (_, seq) in &places {
                    if is_ended(unit.connection, *seq)? {
                        remove(unit.connection, *seq)?;
                        removed.push(*seq);
                    }
                }
                index::note_removed(unit.connection, &removed)?;
                Ok(removed.len())
            })
            .await
    }
}

/// The place after the newest event, and how many dead letters were discarded.
fn read_end(connection: &Connection) -> Result<(i64, i64)> {
    let sql = "SELECT (SELECT coalesce(max(seq), 0) + 1 FROM event), (SELECT coalesce(sum(count), 0) FROM action WHERE action = 'discard')";
    Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn find_ended(connection: &Connection, sql: &str, [until, from, at, seq]: [i64; 4]) -> Result<Vec<Place>> {
    // Before the first walk, nothing is behind it.
    if until == i64::MIN {
        return Ok(Vec::new());
    }
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(params![until, from, at, seq, BATCH], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A delivery may have been replayed since it was looked at.
fn is_ended(connection: &Connection, seq: i64) -> Result<bool> {
    let mut query = connection.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM delivery WHERE event = ?1 AND state NOT IN (3, 4, 6))")?;
    Ok(query.query_row([seq], |row| row.get(0))?)
}

fn remove(connection: &Connection, seq: i64) -> Result<()> {
    for sql in [
        // Only delivered, skipped and erased ones come here.
        "UPDATE destination SET removed = removed + 1, delivered = delivered - 1 WHERE id IN (SELECT destination FROM delivery WHERE event = ?1 AND state = 3)",
        "UPDATE destination SET removed = removed + 1, skipped = skipped - 1 WHERE id IN (SELECT destination FROM delivery WHERE event = ?1 AND state = 4)",
        "UPDATE destination SET removed = removed + 1, erased = erased - 1 WHERE id IN (SELECT destination FROM delivery WHERE event = ?1 AND state = 6)",
        "UPDATE source SET removed = removed + 1 WHERE id = (SELECT source FROM event WHERE seq = ?1)",
        "DELETE FROM attempt WHERE event = ?1",
        "DELETE FROM step WHERE event = ?1",
        "DELETE FROM missed WHERE event = ?1",
        "DELETE FROM delivery WHERE event = ?1",
        "DELETE FROM event WHERE seq = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(())
}
