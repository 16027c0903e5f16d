//! Parking and releasing destinations, and what the store knows of each.

use super::backlog::read_first;
use super::lease::read_next_waiting;
use super::ledger::{COUNT_COLUMNS, read_counts};
use super::writer::Unit;
use super::{Sqlite, micros, moment, text};
use crate::store::{DestinationId, DestinationRow, Error, Hold, Result};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Row, params};

impl Sqlite {
    pub(in crate::store) async fn hold(
        &self,
        destination: DestinationId,
        reason: String,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        self.park(destination, reason, until, now, true).await
    }

    pub(in crate::store) async fn hold_by_attempt(
        &self,
        destination: DestinationId,
        reason: String,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        self.park(destination, reason, until, now, false).await
    }

    async fn park(
        &self,
        destination: DestinationId,
        reason: String,
        until: Option<Timestamp>,
        now: Timestamp,
        overrule: bool,
    ) -> Result<()> {
        self.writer.write(move |unit| park(unit, destination, &reason, until, now, overrule).map(drop)).await
    }

    pub(in crate::store) async fn resume(&self, destination: DestinationId, now: Timestamp) -> Result<bool> {
        self.release_hold(destination, None, now).await
    }

    pub(in crate::store) async fn resume_expired(&self, destination: DestinationId, now: Timestamp) -> Result<bool> {
        self.release_hold(destination, Some(now), now).await
    }

    async fn release_hold(&self, destination: DestinationId, expired_at: Option<Timestamp>, now: Timestamp) -> Result<bool> {
        self.writer.write(move |unit| release(unit, destination, expired_at, now)).await
    }

    pub(in crate::store) async fn beat(&self, now: Timestamp) -> Result<()> {
        let alive_at = micros(now);
        self.writer
            .write(move |unit| Ok(unit.connection.execute("UPDATE pulse SET beats = beats + 1, alive_at = ?1", [alive_at]).map(drop)?))
            .await
    }

    pub(in crate::store) async fn sign_off(&self, now: Timestamp) -> Result<()> {
        self.beat(now).await
    }

    /// The time in which no bridge ran does not count for deliveries: a machine that was off must not kill them. What is on hold
    /// has that time already.
    pub(super) async fn credit_absence(&self, now: Timestamp) -> Result<()> {
        let now = micros(now);
        self.writer
            .write(move |unit| {
                unit.connection.execute(
                    "UPDATE destination SET parked_us = parked_us + max(0, ?1 - coalesce((SELECT alive_at FROM pulse), ?1)) WHERE hold_since IS NULL",
                    [now],
                )?;
                let ahead: Option<i64> = unit.connection.query_row("SELECT alive_at - ?1 FROM pulse", [now], |row| row.get(0))?;
                // The last sign of life lies in the future: the clock was set back while no bridge ran.
                if let Some(ahead) = ahead.filter(|ahead| *ahead > 0) {
                    pull_in(unit.connection, ahead, now)?;
                }
                unit.connection.execute("UPDATE pulse SET beats = beats + 1, alive_at = ?1", [now])?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn follow_clock(&self, by: SignedDuration, now: Timestamp) -> Result<()> {
        let by = i64::try_from(by.as_micros()).unwrap_or(0).max(0);
        self.writer.write(move |unit| pull_in(unit.connection, by, micros(now))).await
    }

    pub(in crate::store) async fn credit_outage(&self, destination: DestinationId, outage: SignedDuration) -> Result<()> {
        let outage_us = i64::try_from(outage.as_micros()).unwrap_or(0).max(0);
        self.writer
            .write(move |unit| {
                unit.tally.forget_parked();
                unit.connection
                    .prepare_cached("UPDATE destination SET parked_us = parked_us + ?2 WHERE id = ?1")?
                    .execute(params![destination, outage_us])?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn holds(&self) -> Result<Vec<DestinationRow>> {
        self.read(|connection| {
            let mut query = connection.prepare_cached(&format!(
                "SELECT id, name, hold_reason, hold_since, hold_until, parked_us, {COUNT_COLUMNS} FROM destination ORDER BY id"
            ))?;
            let rows = query.query_map([], read_destination)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn destinations(&self) -> Result<Vec<DestinationRow>> {
        let mut rows = self.holds().await?;
        self.read(move |connection| {
            for row in &mut rows {
                row.due_since = read_due_since(connection, row.id)?;
            }
            Ok(rows)
        })
        .await
    }

    pub(in crate::store) async fn find_destination(&self, name: &str) -> Result<DestinationId> {
        let rows = self.holds().await?;
        let unknown = || {
            let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            Error::Refused(format!("there is no destination `{name}`; known are {}", names.join(", ")))
        };
        rows.iter().find(|row| row.name == name).map(|row| row.id).ok_or_else(unknown)
    }
}

/// Whether the hold is the one that was asked for.
pub(super) fn park(
    unit: &mut Unit<'_>,
    destination: DestinationId,
    reason: &str,
    until: Option<Timestamp>,
    now: Timestamp,
    overrule: bool,
) -> Result<bool> {
    unit.tally.forget_parked();
    // One without end ends later than any other.
    let changed = unit
        .connection
        .prepare_cached(
            "UPDATE destination SET hold_reason = ?2, hold_until = ?3, hold_since = coalesce(hold_since, ?4)
             WHERE id = ?1 AND (?5 OR hold_since IS NULL OR hold_until < coalesce(?3, 9223372036854775807))",
        )?
        .execute(params![destination, text(reason), until.map(micros), micros(now), overrule])?;
    Ok(changed == 1)
}

/// Whether there was a hold to end.
pub(super) fn release(unit: &mut Unit<'_>, destination: DestinationId, expired_at: Option<Timestamp>, now: Timestamp) -> Result<bool> {
    unit.tally.forget_parked();
    let changed = unit
        .connection
        .prepare_cached(
            "UPDATE destination SET parked_us = parked_us + max(0, ?2 - hold_since), hold_reason = NULL, hold_since = NULL, hold_until = NULL
             WHERE id = ?1 AND hold_since IS NOT NULL AND (?3 IS NULL OR hold_until <= ?3)",
        )?
        .execute(params![destination, micros(now), expired_at.map(micros)])?;
    Ok(changed == 1)
}

/// What is due after `now` is due earlier, but not before it. What is in a backlog is always due.
fn pull_in(connection: &Connection, by: i64, now: i64) -> Result<()> {
    connection.execute(
        "UPDATE delivery SET not_before = max(?1, not_before - ?2)
         WHERE state = 0 AND in_line = 1 AND destination IN (SELECT id FROM destination) AND not_before > ?1",
        [now, by],
    )?;
    connection.execute("UPDATE destination SET hold_until = max(?1, hold_until - ?2) WHERE hold_until > ?1", [now, by])?;
    Ok(())
}

fn read_destination(row: &Row<'_>) -> rusqlite::Result<DestinationRow> {
    let since: Option<i64> = row.get(3)?;
    let hold = match since {
        Some(since) => Some(Hold {
            reason: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
            since: moment(since),
            until: row.get::<_, Option<i64>>(4)?.map(moment),
        }),
        None => None,
    };
    Ok(DestinationRow { id: row.get(0)?, name: row.get(1)?, hold, parked_us: row.get(5)?, counts: read_counts(row, 6)?, due_since: None })
}

fn read_due_since(connection: &Connection, destination: DestinationId) -> Result<Option<Timestamp>> {
    let due = read_next_waiting(connection, destination)?.into_iter().chain(read_first(connection, destination)?).min();
    Ok(due.map(moment).filter(|due| *due <= Timestamp::now()))
}
