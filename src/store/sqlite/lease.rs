//! Taking deliveries to work on, and bringing them back.

use super::{Sqlite, ledger, micros, moment, writer::Unit};
use crate::store::{Again, AttemptRow, Claimed, DeliveryKey, DestinationId, Ended, Handoff, Leased, Outcome, Result, Settlement, State};
use jiff::Timestamp;
use leadwire_connector::Event;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

/// A claimed row whose body is not read yet: that is done off the writer thread.
struct Row {
    key: DeliveryKey,
    person_key: Option<[u8; 16]>,
    attempts: u32,
    clock_start: i64,
    parked_base_us: i64,
    body: String,
    steps: Vec<(String, String)>,
}

impl Sqlite {
    /// Leases at most `limit` deliveries that are due, longest due first.
    ///
    /// A delivery whose event cannot be read becomes a dead letter and does not stop the others.
    ///
    /// # Errors
    /// `Unavailable` when nothing was leased.
    pub async fn claim(&self, destination: DestinationId, limit: u32, now: Timestamp) -> Result<Claimed> {
        let (rows, next_due) = self.writer.write(move |unit| lease_due(unit.connection, destination, limit, micros(now))).await?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in rows {
            match serde_json::from_str::<Event>(&row.body) {
                Ok(event) => deliveries.push(leased(row, event)),
                Err(error) => self.bury(row, &error, now).await?,
            }
        }
        Ok(Claimed { deliveries, next_due: next_due.map(moment) })
    }

    /// Ends a lease with what became of the delivery. Durable when it returns.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed; the lease goes on then.
    pub async fn settle(&self, settlement: Settlement) -> Result<()> {
        self.writer.write(move |unit| settle(unit, &settlement)).await
    }

    /// Ends leases without an attempt: the deliveries wait again, due at once.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed; the leases go on then.
    pub async fn release(&self, keys: Vec<DeliveryKey>) -> Result<()> {
        self.writer
            .write(move |unit| {
                let mut release =
                    unit.connection.prepare_cached("UPDATE delivery SET state = 0 WHERE event = ?1 AND destination = ?2 AND state = 1")?;
                keys.iter().try_for_each(|key| release.execute(params![key.event, key.destination]).map(drop))?;
                Ok(())
            })
            .await
    }

    /// Keeps a finished step. Durable when it returns.
    ///
    /// # Errors
    /// `Unavailable` when it was not kept.
    pub async fn save_step(&self, key: DeliveryKey, name: String, remote_id: String) -> Result<()> {
        self.writer
            .write(move |unit| {
                unit.connection
                    .prepare_cached("INSERT OR REPLACE INTO step (event, destination, name, remote_id) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![key.event, key.destination, name, remote_id])?;
                Ok(())
            })
            .await
    }

    /// The destinations that have deliveries due.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn due_destinations(&self, now: Timestamp) -> Result<Vec<DestinationId>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT id FROM destination n WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.destination = n.id AND d.state = 0 AND d.not_before <= ?1)",
            )?;
            let rows = query.query_map([micros(now)], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// What was leased by a process that is gone waits again.
    pub(super) async fn free_leases(&self) -> Result<()> {
        self.writer
            .write(|unit| Ok(unit.connection.execute("UPDATE delivery SET state = 0 WHERE state = 1 AND state < 3", []).map(drop)?))
            .await
    }

    async fn bury(&self, row: Row, error: &serde_json::Error, now: Timestamp) -> Result<()> {
        let remark = Some(format!("the stored event cannot be read: {error}"));
        let outcome = Outcome::Ended(Ended { state: State::Dead, record: None, remark });
        self.settle(Settlement { key: row.key, person_key: row.person_key, outcome, at: now, attempt: None }).await
    }
}

fn leased(row: Row, event: Event) -> Leased {
    Leased {
        key: row.key,
        event: Arc::new(event),
        person_key: row.person_key,
        attempts: row.attempts,
        clock_start: moment(row.clock_start),
        parked_base_us: row.parked_base_us,
        steps: row.steps,
    }
}

fn lease_due(connection: &Connection, destination: DestinationId, limit: u32, now: i64) -> Result<(Vec<Row>, Option<i64>)> {
    let mut due = connection.prepare_cached(
        "SELECT d.event, d.person, d.attempts, d.clock_start, d.parked_base, e.body
         FROM delivery d JOIN event e ON e.seq = d.event
         WHERE d.destination = ?1 AND d.state = 0 AND d.not_before <= ?2 ORDER BY d.not_before, d.event LIMIT ?3",
    )?;
    let rows = due.query_map(params![destination, now, limit], |row| {
        Ok(Row {
            key: DeliveryKey { event: row.get(0)?, destination },
            person_key: row.get(1)?,
            attempts: row.get(2)?,
            clock_start: row.get(3)?,
            parked_base_us: row.get(4)?,
            body: row.get(5)?,
            steps: Vec::new(),
        })
    })?;
    let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut lease = connection.prepare_cached("UPDATE delivery SET state = 1 WHERE event = ?1 AND destination = ?2")?;
    for row in &mut rows {
        lease.execute(params![row.key.event, destination])?;
        row.steps = read_steps(connection, row.key)?;
    }
    let is_short = rows.len() < limit as usize;
    let next_due = if is_short { read_next_due(connection, destination)? } else { Some(now) };
    Ok((rows, next_due))
}

fn read_steps(connection: &Connection, key: DeliveryKey) -> Result<Vec<(String, String)>> {
    let mut query = connection.prepare_cached("SELECT name, remote_id FROM step WHERE event = ?1 AND destination = ?2")?;
    let steps = query.query_map(params![key.event, key.destination], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(steps.collect::<rusqlite::Result<_>>()?)
}

fn read_next_due(connection: &Connection, destination: DestinationId) -> Result<Option<i64>> {
    let mut query = connection.prepare_cached("SELECT min(not_before) FROM delivery WHERE destination = ?1 AND state = 0")?;
    Ok(query.query_row([destination], |row| row.get(0))?)
}

fn settle(unit: &mut Unit<'_>, settlement: &Settlement) -> Result<()> {
    let key = settlement.key;
    if let Some(attempt) = &settlement.attempt {
        insert_attempt(unit.connection, key, attempt)?;
    }
    match &settlement.outcome {
        Outcome::Again(again) => wait_again(unit.connection, key, again, settlement.attempt.as_ref()),
        Outcome::Ended(ended) => {
            let has_ended = end(unit.connection, key, ended, settlement.at)?;
            match &settlement.person_key {
                Some(person) if has_ended => unblock_next(unit, key.destination, person),
                _ => Ok(()),
            }
        }
    }
}

fn wait_again(connection: &Connection, key: DeliveryKey, again: &Again, attempt: Option<&AttemptRow>) -> Result<()> {
    connection
        .prepare_cached("UPDATE delivery SET state = 0, not_before = ?3, attempts = ?4, remark = coalesce(?5, remark) WHERE event = ?1 AND destination = ?2 AND state = 1")?
        .execute(params![key.event, key.destination, micros(again.not_before), again.attempts, attempt.and_then(|attempt| attempt.message.as_ref())])?;
    Ok(())
}

fn end(connection: &Connection, key: DeliveryKey, ended: &Ended, at: Timestamp) -> Result<bool> {
    let (id, url) = ended.record.as_ref().map_or((None, None), |record| (Some(&record.id), record.url.as_ref()));
    let changed = connection
        .prepare_cached(
            "UPDATE delivery SET state = ?3, ended_at = ?4, record_id = coalesce(?5, record_id), record_url = coalesce(?6, record_url), remark = ?7
             WHERE event = ?1 AND destination = ?2 AND state < 3",
        )?
        .execute(params![key.event, key.destination, ended.state.number(), micros(at), id, url, ended.remark])?;
    if changed == 1 {
        ledger::count(connection, key.destination, ended.state, 1)?;
    }
    Ok(changed == 1)
}

/// The next delivery of the person becomes due, and its lane is told.
pub(super) fn unblock_next(unit: &mut Unit<'_>, destination: DestinationId, person: &[u8; 16]) -> Result<()> {
    let mut query = unit
        .connection
        .prepare_cached("SELECT event, state FROM delivery WHERE destination = ?1 AND person = ?2 AND state < 3 ORDER BY event LIMIT 1")?;
    let next: Option<(i64, i64)> = query.query_row(params![destination, person], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((event, _)) = next.filter(|(_, state)| *state == State::Blocked.number()) else { return Ok(()) };
    unit.connection
        .prepare_cached("UPDATE delivery SET state = 0 WHERE event = ?1 AND destination = ?2")?
        .execute(params![event, destination])?;
    unit.hand_off(destination, Handoff::Waiting);
    Ok(())
}

fn insert_attempt(connection: &Connection, key: DeliveryKey, attempt: &AttemptRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO attempt (event, destination, at, duration_ms, outcome, kind, status, code, message, excerpt)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            key.event,
            key.destination,
            micros(attempt.at),
            attempt.duration_ms,
            attempt.outcome,
            attempt.kind,
            attempt.status,
            attempt.code,
            attempt.message,
            attempt.excerpt,
        ])?;
    Ok(())
}
