//! Removing what is over and old enough, or what is over and does not fit.

use super::{Sqlite, micros};
use crate::store::Result;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Mutex;

/// Events removed in one transaction: short enough that an answer waiting behind it does not notice.
const BATCH: u32 = 500;

pub(super) const FIND: &str = "SELECT e.received_at, e.seq FROM event e
    WHERE e.received_at < ?1 AND (e.received_at, e.seq) > (?2, ?3) AND (e.received_at >= ?4 OR e.seq >= ?5)
    AND (e.deliveries > 0 OR e.kind = 'test')
    AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND d.state NOT IN (3, 4)) ORDER BY e.received_at, e.seq LIMIT ?6";

/// What retention has looked at already. What is pending or dead stays where it is and may be a million events; looking at each of
/// them in each round would read the whole file. Only this process ends deliveries, so what it remembers is all there is to know.
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
}

impl Default for Walk {
    fn default() -> Self {
        Self { seen: Mutex::new(Seen { position: i64::MIN, until: i64::MIN }), ended: AtomicI64::new(i64::MAX) }
    }
}

impl Walk {
    /// Called after the commit, so that a walk that reads after this sees it ended.
    pub(super) fn note_ended(&self, event: i64) {
        self.ended.fetch_min(event, Ordering::AcqRel);
    }
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
        let end = self.read(read_end).await?;
        let (mut last, mut removed) = ((i64::MIN, i64::MIN), 0);
        let looked_until = loop {
            if let Some(bytes) = max_bytes
                && self.space().await?.used_bytes() <= bytes
            {
                break last.0;
            }
            let from = *seen;
            // Looking is done on a reader, so that no answer waits behind it.
            let places = self.read(move |connection| find_ended(connection, cutoff, last, from)).await?;
            let Some(place) = places.last() else { break cutoff };
            last = *place;
            removed += self.remove_all(places).await?;
        };
        if looked_until >= seen.until {
            *seen = Seen { position: end, until: looked_until };
        }
        Ok(removed)
    }

    async fn remove_all(&self, places: Vec<Place>) -> Result<usize> {
        self.writer
            .write(move |unit| {
                let mut removed = 0;
                for (_, seq) in &places {
                    removed += usize::from(is_ended(unit.connection, *seq)? && remove(unit.connection, *seq)?);
                }
                Ok(removed)
            })
            .await
    }
}

/// The place after the newest event.
fn read_end(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("SELECT coalesce(max(seq), 0) + 1 FROM event", [], |row| row.get(0))?)
}

fn find_ended(connection: &Connection, cutoff: i64, after: Place, seen: Seen) -> Result<Vec<Place>> {
    let mut query = connection.prepare_cached(FIND)?;
    let rows =
        query.query_map(params![cutoff, after.0, after.1, seen.until, seen.position, BATCH], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A delivery may have been replayed since it was looked at.
fn is_ended(connection: &Connection, seq: i64) -> Result<bool> {
    let mut query = connection.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM delivery WHERE event = ?1 AND state NOT IN (3, 4))")?;
    Ok(query.query_row([seq], |row| row.get(0))?)
}

fn remove(connection: &Connection, seq: i64) -> Result<bool> {
    for sql in [
        // Only delivered and skipped ones come here.
        "UPDATE destination SET removed = removed + 1, delivered = delivered - 1 WHERE id IN (SELECT destination FROM delivery WHERE event = ?1 AND state = 3)",
        "UPDATE destination SET removed = removed + 1, skipped = skipped - 1 WHERE id IN (SELECT destination FROM delivery WHERE event = ?1 AND state = 4)",
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
