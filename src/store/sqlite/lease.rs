//! Taking deliveries to work on, and bringing them back.

use super::backlog::{Waiting, read_after, read_first};
use super::receive::is_in_line;
use super::{Sqlite, micros, moment, person, text, writer::Unit};
use crate::failpoint::Commit;
use crate::store::cause::cause;
use crate::store::{
    Again, AttemptRow, Claimed, DeliveryKey, DestinationId, Ended, Handoff, Lease, Leased, Outcome, Result, Settlement, State, places_for,
};
use jiff::Timestamp;
use leadwire_connector::Event;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::VecDeque;
use std::sync::Arc;

/// A claimed row whose body is not read yet: that is done off the writer thread.
struct Row {
    key: DeliveryKey,
    person_key: Option<[u8; 16]>,
    attempts: u32,
    clock_start: i64,
    parked_base_us: i64,
    body: Option<String>,
    steps: Vec<(String, String)>,
}

/// Bodies of one claim, in bytes: what is over waits for the next one.
const CLAIM_BYTES: usize = 8 << 20;

/// Deliveries of a backlog that one claim looks at, at most.
const LOOKS: usize = 1_024;

impl Sqlite {
    pub(in crate::store) async fn claim(&self, destination: DestinationId, limit: u32, now: Timestamp) -> Result<Claimed> {
        let (rows, next_due) = self.writer.write_as(Commit::Claim, move |unit| lease_due(unit, destination, limit, micros(now))).await?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in rows {
            match read_body(&row) {
                Ok(event) => deliveries.push(leased(row, event)),
                Err(remark) => self.bury(row, remark, now).await,
            }
        }
        Ok(Claimed { deliveries, next_due: next_due.map(moment) })
    }

    /// The lease needs no number here. While its process lives, also suspended, it has the lock of the file, so that nobody else leases;
    /// and what was reported as failed is not there, so that a settlement is repeated only while its lease is on.
    pub(in crate::store) async fn settle(&self, settlement: Settlement) -> Result<()> {
        let ended = matches!(settlement.outcome, Outcome::Ended(_)).then_some(settlement.key.event);
        self.writer.write_as(Commit::Settle, move |unit| settle(unit, &settlement)).await?;
        if let Some(event) = ended {
            self.walk.note_ended(event);
        }
        Ok(())
    }

    pub(in crate::store) async fn release(&self, leases: Vec<Lease>) -> Result<()> {
        self.writer
            .write(move |unit| {
                let mut release =
                    unit.connection.prepare_cached("UPDATE delivery SET state = 0 WHERE event = ?1 AND destination = ?2 AND state = 1")?;
                leases.iter().try_for_each(|lease| release.execute(params![lease.key.event, lease.key.destination]).map(drop))?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn save_step(&self, key: DeliveryKey, name: String, remote_id: String) -> Result<()> {
        self.writer
            .write_as(Commit::Step, move |unit| {
                if is_erased(unit.connection, key)? {
                    return person::reopen(unit.connection, key, Some(&format!("{name} {remote_id}")));
                }
                unit.connection
                    .prepare_cached("INSERT OR REPLACE INTO step (event, destination, name, remote_id) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![key.event, key.destination, text(&name), text(&remote_id)])?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn due_destinations(&self, now: Timestamp) -> Result<Vec<DestinationId>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT id FROM destination n
                 WHERE EXISTS (SELECT 1 FROM delivery WHERE destination = n.id AND state = 0 AND in_line = 1 AND not_before <= ?1)
                     OR EXISTS (SELECT 1 FROM delivery WHERE destination = n.id AND state = 0 AND in_line = 0)",
            )?;
            let rows = query.query_map([micros(now)], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// What was leased by a process that is gone waits again.
    pub(super) async fn free_leases(&self) -> Result<()> {
        // The inner query reads the index of lines and nothing else.
        let sql = "UPDATE delivery SET state = 0 WHERE (event, destination) IN
                   (SELECT event, destination FROM delivery WHERE state < 3 AND in_line = 1 AND state = 1)";
        self.writer.write(move |unit| Ok(unit.connection.execute(sql, []).map(drop)?)).await
    }

    /// When it cannot be written, the lease goes on until the next start, and the others are delivered all the same.
    async fn bury(&self, row: Row, remark: String, now: Timestamp) {
        let outcome = Outcome::Ended(Ended { state: State::Dead, record: None, remark: Some(remark) });
        let settlement = Settlement { key: row.key, lease: 0, person_key: row.person_key, outcome, at: now, attempt: None };
        if let Err(error) = self.settle(settlement).await {
            tracing::error!("a delivery whose event cannot be read was not made a dead letter: {error}");
        }
    }
}

fn read_body(row: &Row) -> std::result::Result<Event, String> {
    let body = row.body.as_ref().ok_or_else(|| "the event of this delivery is missing from the store".to_owned())?;
    serde_json::from_str(body).map_err(|error| format!("the stored event cannot be read: {error}"))
}

fn leased(row: Row, event: Event) -> Leased {
    Leased {
        key: row.key,
        event: Arc::new(event),
        person_key: row.person_key,
        attempts: row.attempts,
        clock_start: moment(row.clock_start),
        parked_base_us: row.parked_base_us,
        places: places_for(row.body.as_ref().map_or(0, String::len)),
        steps: row.steps,
        lease: 0,
    }
}

/// What waits for its next attempt, and is due, and what is in the backlog: what waits longest goes first.
fn lease_due(unit: &mut Unit<'_>, destination: DestinationId, limit: u32, now: i64) -> Result<(Vec<Row>, Option<i64>)> {
    unit.backlogs.learn(unit.connection, destination)?;
    let mut queue = Queue::read(unit.connection, destination, limit, now)?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < limit as usize && bytes < CLAIM_BYTES {
        let Some(event) = queue.next(unit.connection)? else { break };
        let row = lease(unit.connection, DeliveryKey { event, destination }, now)?;
        bytes += row.body.as_ref().map_or(0, String::len);
        rows.push(row);
    }
    let from_backlog = read_first(unit.connection, destination)?.map(|not_before| not_before.min(now));
    Ok((rows, read_next_waiting(unit.connection, destination)?.into_iter().chain(from_backlog).min()))
}

/// What one claim may lease.
struct Queue {
    destination: DestinationId,
    limit: u32,
    /// Of the lines: when each is due, and its event.
    due: VecDeque<(i64, i64)>,
    backlog: VecDeque<Waiting>,
    /// How much of the backlog one claim looks at: all of it may be of one person.
    looks: usize,
}

impl Queue {
    fn read(connection: &Connection, destination: DestinationId, limit: u32, now: i64) -> Result<Self> {
        let mut query = connection.prepare_cached(
            "SELECT not_before, event FROM delivery WHERE destination = ?1 AND state = 0 AND in_line = 1 AND not_before <= ?2
             ORDER BY not_before, event LIMIT ?3",
        )?;
        let due = query.query_map(params![destination, now, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let due = due.collect::<rusqlite::Result<_>>()?;
        let backlog = read_after(connection, destination, i64::MIN, limit)?.into();
        Ok(Self { destination, limit, due, backlog, looks: LOOKS })
    }

    /// The event of the next one.
    fn next(&mut self, connection: &Connection) -> Result<Option<i64>> {
        while let Some(first) = self.backlog.front() {
            if self.due.front().is_some_and(|due| *due < (first.not_before, first.event)) {
                break;
            }
            let Some(waiting) = self.take_waiting(connection)? else { break };
            let is_behind = match &waiting.person {
                Some(person) => is_in_line(connection, self.destination, person)?,
                None => false,
            };
            if !is_behind {
                return Ok(Some(waiting.event));
            }
            connection
                .prepare_cached("UPDATE delivery SET state = 2, in_line = 1 WHERE event = ?1 AND destination = ?2")?
                .execute(params![waiting.event, self.destination])?;
        }
        Ok(self.due.pop_front().map(|(_, event)| event))
    }

    /// Reads on before the last one goes.
    fn take_waiting(&mut self, connection: &Connection) -> Result<Option<Waiting>> {
        let Some(looks) = self.looks.checked_sub(1) else { return Ok(None) };
        self.looks = looks;
        let taken = self.backlog.pop_front();
        if let (Some(last), true) = (&taken, self.backlog.is_empty()) {
            self.backlog = read_after(connection, self.destination, last.event, self.limit)?.into();
        }
        Ok(taken)
    }
}

/// What was received before the clock was set back is due now, and stays so when it is released.
fn lease(connection: &Connection, key: DeliveryKey, now: i64) -> Result<Row> {
    connection
        .prepare_cached(
            "UPDATE delivery SET state = 1, in_line = 1, not_before = min(not_before, ?3) WHERE event = ?1 AND destination = ?2",
        )?
        .execute(params![key.event, key.destination, now])?;
    let mut query = connection.prepare_cached(
        "SELECT d.person, d.attempts, d.clock_start, d.parked_base, e.body FROM delivery d LEFT JOIN event e ON e.seq = d.event
         WHERE d.event = ?1 AND d.destination = ?2",
    )?;
    let steps = read_steps(connection, key)?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Row {
            key,
            person_key: row.get(0)?,
            attempts: row.get(1)?,
            clock_start: row.get(2)?,
            parked_base_us: row.get(3)?,
            body: row.get(4)?,
            steps,
        })
    };
    Ok(query.query_row(params![key.event, key.destination], read)?)
}

fn read_steps(connection: &Connection, key: DeliveryKey) -> Result<Vec<(String, String)>> {
    let mut query = connection.prepare_cached("SELECT name, remote_id FROM step WHERE event = ?1 AND destination = ?2")?;
    let steps = query.query_map(params![key.event, key.destination], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(steps.collect::<rusqlite::Result<_>>()?)
}

/// When the first of those that wait for their next attempt is due.
pub(super) fn read_next_waiting(connection: &Connection, destination: DestinationId) -> Result<Option<i64>> {
    let mut query =
        connection.prepare_cached("SELECT min(not_before) FROM delivery WHERE destination = ?1 AND state = 0 AND in_line = 1")?;
    Ok(query.query_row([destination], |row| row.get(0))?)
}

fn settle(unit: &mut Unit<'_>, settlement: &Settlement) -> Result<()> {
    let key = settlement.key;
    let has_changed = match &settlement.outcome {
        Outcome::Again(again) => wait_again(unit.connection, key, again, settlement.attempt.as_ref())?,
        Outcome::Ended(ended) => end(unit, settlement, ended)?,
    };
    // Asked only when there was nothing to change, which is rare.
    if !has_changed && is_erased(unit.connection, key)? {
        return note_arrival(unit.connection, settlement);
    }
    if let Some(attempt) = &settlement.attempt {
        insert_attempt(unit.connection, key, attempt)?;
    }
    match (&settlement.outcome, &settlement.person_key) {
        (Outcome::Ended(_), Some(person)) if has_changed => unblock_next(unit, key.destination, person, settlement.at),
        _ => Ok(()),
    }
}

/// Whether its person was erased while an attempt was under way.
fn is_erased(connection: &Connection, key: DeliveryKey) -> Result<bool> {
    let mut query = connection.prepare_cached("SELECT 1 FROM delivery WHERE event = ?1 AND destination = ?2 AND state = 6")?;
    Ok(query.exists(params![key.event, key.destination])?)
}

/// Brings nothing back, but the owner must learn what there is to remove at the destination, and connectors are asked to erase again:
/// what an attempt kept after they were asked is still there.
fn note_arrival(connection: &Connection, settlement: &Settlement) -> Result<()> {
    let arrived = match &settlement.outcome {
        Outcome::Ended(Ended { state: State::Delivered, record, .. }) => {
            let record = record.as_ref().map(|record| record.url.as_ref().unwrap_or(&record.id).as_str());
            Some(record.unwrap_or("delivered"))
        }
        _ => None,
    };
    person::reopen(connection, settlement.key, arrived)
}

fn wait_again(connection: &Connection, key: DeliveryKey, again: &Again, attempt: Option<&AttemptRow>) -> Result<bool> {
    let changed = connection
        .prepare_cached("UPDATE delivery SET state = 0, not_before = ?3, attempts = ?4, remark = coalesce(?5, remark) WHERE event = ?1 AND destination = ?2 AND state = 1")?
        .execute(params![key.event, key.destination, micros(again.not_before), again.attempts, attempt.and_then(|attempt| attempt.message.as_deref()).map(text)])?;
    Ok(changed == 1)
}

fn end(unit: &mut Unit<'_>, settlement: &Settlement, ended: &Ended) -> Result<bool> {
    let key = settlement.key;
    let cause = if ended.state == State::Dead { cause(settlement.attempt.as_ref()) } else { String::new() };
    let (id, url) = ended.record.as_ref().map_or((None, None), |record| (Some(text(&record.id)), record.url.as_deref().map(text)));
    let changed = unit
        .connection
        .prepare_cached(
            "UPDATE delivery SET state = ?3, ended_at = ?4, attempts = attempts + 1, record_id = coalesce(?5, record_id), record_url = CASE WHEN ?5 IS NULL THEN record_url ELSE ?6 END, remark = ?7, cause = ?8
             WHERE event = ?1 AND destination = ?2 AND state < 3",
        )?
        .execute(params![
            key.event,
            key.destination,
            ended.state.number(),
            micros(settlement.at),
            id,
            url,
            ended.remark.as_deref().map(text),
            cause,
        ])?;
    if changed == 1 {
        unit.tally.add_ended(key.destination, ended.state);
    }
    Ok(changed == 1)
}

pub(super) const FIRST_IN_LINE: &str =
    "SELECT event, state FROM delivery WHERE destination = ?1 AND person = ?2 AND state < 3 AND in_line = 1 ORDER BY event LIMIT 1";

/// The next delivery of the person becomes due, with its whole time before it, and its lane is told.
pub(super) fn unblock_next(unit: &mut Unit<'_>, destination: DestinationId, person: &[u8; 16], now: Timestamp) -> Result<()> {
    let mut query = unit.connection.prepare_cached(FIRST_IN_LINE)?;
    let next: Option<(i64, i64)> = query.query_row(params![destination, person], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((event, _)) = next.filter(|(_, state)| *state == State::Blocked.number()) else { return Ok(()) };
    let parked_base = unit.tally.parked_us(unit.connection, destination, micros(now))?;
    unit.connection
        .prepare_cached("UPDATE delivery SET state = 0, not_before = min(not_before, ?3), clock_start = ?3, parked_base = ?4 WHERE event = ?1 AND destination = ?2")?
        .execute(params![event, destination, micros(now), parked_base])?;
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
            text(&attempt.outcome),
            attempt.kind.as_deref().map(text),
            attempt.status,
            attempt.code.as_deref().map(text),
            attempt.message.as_deref().map(text),
            attempt.excerpt.as_deref().map(text),
        ])?;
    Ok(())
}
