//! Dead letters by what they died of.

use super::{Sqlite, moment};
use crate::store::cause::{cause, to_shown};
use crate::store::{AttemptRow, DeadCause, DeliveryKey, Result};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

/// Dead letters looked at in one transaction.
const BATCH: u32 = 500;

/// The index of the causes has all that is counted; only the oldest and the newest of each is looked up.
pub(super) const DEAD_CAUSES: &str = "SELECT n.name, g.cause, g.times, o.received_at, e.received_at, e.id, coalesce(d.remark, '')
    FROM (SELECT destination, cause, count(*) AS times, min(event) AS oldest, max(event) AS newest
          FROM delivery WHERE state = 5 GROUP BY destination, cause) g
    JOIN destination n ON n.id = g.destination JOIN event o ON o.seq = g.oldest JOIN event e ON e.seq = g.newest
    JOIN delivery d ON d.event = g.newest AND d.destination = g.destination
    ORDER BY g.times DESC, n.name, g.cause LIMIT 1000";

impl Sqlite {
    pub(in crate::store) async fn dead_causes(&self) -> Result<Vec<DeadCause>> {
        self.read(|connection| {
            let mut query = connection.prepare_cached(DEAD_CAUSES)?;
            let rows = query.query_map([], |row| {
                Ok(DeadCause {
                    destination: row.get(0)?,
                    cause: to_shown(row.get(1)?),
                    count: row.get(2)?,
                    oldest: moment(row.get(3)?),
                    newest: moment(row.get(4)?),
                    example: Uuid::from_bytes(row.get(5)?),
                    message: row.get(6)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn sort_dead(&self) -> Result<usize> {
        let keys = self.read(find_unsorted).await?;
        // Most stores have none, and need no transaction for it.
        if keys.is_empty() {
            return Ok(0);
        }
        self.writer
            .write(move |unit| {
                keys.iter().try_for_each(|key| sort(unit.connection, *key))?;
                Ok(keys.len())
            })
            .await
    }
}

fn find_unsorted(connection: &Connection) -> Result<Vec<DeliveryKey>> {
    let mut query = connection.prepare_cached("SELECT event, destination FROM delivery WHERE state = 5 AND cause = '' LIMIT ?1")?;
    let keys = query.query_map([BATCH], |row| Ok(DeliveryKey { event: row.get(0)?, destination: row.get(1)? }))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}

fn sort(connection: &Connection, key: DeliveryKey) -> Result<()> {
    let mut query = connection.prepare_cached(
        "SELECT at, outcome, kind, status, code, message FROM attempt WHERE event = ?1 AND destination = ?2 ORDER BY at DESC LIMIT 1",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(AttemptRow {
            at: moment(row.get(0)?),
            duration_ms: 0,
            outcome: row.get(1)?,
            kind: row.get(2)?,
            status: row.get(3)?,
            code: row.get(4)?,
            message: row.get(5)?,
            excerpt: None,
        })
    };
    let last = query.query_row(params![key.event, key.destination], read).optional()?;
    connection
        .prepare_cached("UPDATE delivery SET cause = ?3 WHERE event = ?1 AND destination = ?2 AND state = 5 AND cause = ''")?
        .execute(params![key.event, key.destination, cause(last.as_ref())])?;
    Ok(())
}
