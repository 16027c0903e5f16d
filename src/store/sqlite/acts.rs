//! What people do, with the trail of it in the same transaction.

use super::receive::{find_place_again, join};
use super::writer::Unit;
use super::{Sqlite, hold, ledger, micros, moment, quarantine, replay, text};
use crate::store::acts::read_again;
use crate::store::{
    Act, ActionFilter, ActionRow, DeliveryKey, DestinationId, Entry, Handoff, INTERRUPTED, NewAction, Result, Routing, State, Unrouted,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

impl Sqlite {
    pub(in crate::store) async fn perform(&self, entry: Entry, act: Act, now: Timestamp) -> Result<usize> {
        let ended = if let Act::Discard { keys, .. } = &act { keys.iter().map(|key| key.event).min() } else { None };
        let count = self
            .writer
            .write(move |unit| {
                let count = perform(unit, &act, now)?;
                note(unit.connection, &entry, count, now)?;
                Ok(count)
            })
            .await?;
        // What is skipped now may be removed by retention, which has passed it perhaps.
        if let Some(event) = ended {
            self.walk.note_ended(event);
        }
        Ok(count)
    }

    pub(in crate::store) async fn begin_action(&self, new: NewAction, now: Timestamp) -> Result<i64> {
        self.writer.write(move |unit| insert(unit.connection, &new, 0, now, None)).await
    }

    /// What a page or a program asked for, a bridge is at, and there is one at a time.
    pub(super) async fn end_interrupted(&self, now: Timestamp) -> Result<()> {
        let sql = "UPDATE action SET ended_at = ?1, failure = ?2 WHERE ended_at IS NULL AND client IS NOT NULL";
        self.writer.write(move |unit| Ok(unit.connection.execute(sql, params![micros(now), INTERRUPTED]).map(drop)?)).await
    }

    pub(in crate::store) async fn forget_again(&self, id: i64) -> Result<()> {
        self.writer.write(move |unit| Ok(unit.connection.execute("UPDATE action SET again = NULL WHERE id = ?1", [id]).map(drop)?)).await
    }

    pub(in crate::store) async fn end_action(&self, id: i64, more: usize, failure: Option<String>, now: Timestamp) -> Result<()> {
        let sql = "UPDATE action SET count = count + ?2, ended_at = ?3, failure = ?4 WHERE id = ?1";
        self.writer
            .write(move |unit| {
                let failure = failure.as_deref().map(text);
                Ok(unit.connection.execute(sql, params![id, number(more), micros(now), failure]).map(drop)?)
            })
            .await
    }

    pub(in crate::store) async fn actions(&self, filter: ActionFilter) -> Result<Vec<ActionRow>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT id, at, who, client, action, target, planned, count, detail, ended_at, failure, again FROM action
                 WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
            )?;
            let rows = query.query_map(params![filter.since.map(micros), filter.before, filter.limit], read_action)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn forget_actions(&self, before: Timestamp) -> Result<usize> {
        self.writer.write(move |unit| Ok(unit.connection.execute("DELETE FROM action WHERE at < ?1", [micros(before)])?)).await
    }

    pub(in crate::store) async fn unrouted_after(&self, after: i64, limit: u32) -> Result<Vec<Unrouted>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT seq, body FROM event WHERE deliveries = 0 AND kind <> 'test' AND erased_at IS NULL AND seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let rows = query.query_map(params![after, limit], |row| Ok(Unrouted { seq: row.get(0)?, body: row.get(1)? }))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn perform(unit: &mut Unit<'_>, act: &Act, now: Timestamp) -> Result<usize> {
    match act {
        Act::Hold { destination, reason, until } => hold::park(unit, *destination, reason, *until, now, true).map(usize::from),
        Act::Resume { destination } => hold::release(unit, *destination, None, now).map(usize::from),
        Act::Replay { keys, from } => replay::revive_all(unit, keys, from, micros(now)),
        Act::Discard { keys, remark } => keys.iter().map(|key| discard(unit.connection, *key, remark, now)).sum(),
        Act::Route { routings } => route_all(unit, routings, now),
        Act::Purge(which) => quarantine::purge(unit.connection, which),
    }
}

fn discard(connection: &Connection, key: DeliveryKey, remark: &str, now: Timestamp) -> Result<usize> {
    let mut end = connection.prepare_cached(
        "UPDATE delivery SET state = 4, ended_at = ?3, remark = ?4, cause = '' WHERE event = ?1 AND destination = ?2 AND state = 5",
    )?;
    let discarded = end.execute(params![key.event, key.destination, micros(now), text(remark)])?;
    if discarded == 1 {
        ledger::count(connection, key.destination, State::Dead, -1)?;
        ledger::count(connection, key.destination, State::Skipped, 1)?;
    }
    Ok(discarded)
}

/// In the order of receipt: of several deliveries of a person, the first goes ahead and the others wait behind it.
fn route_all(unit: &mut Unit<'_>, routings: &[Routing], now: Timestamp) -> Result<usize> {
    let mut found: Vec<(i64, &Routing)> = Vec::with_capacity(routings.len());
    for routing in routings {
        let mut query = unit.connection.prepare_cached("SELECT seq FROM event WHERE id = ?1 AND erased_at IS NULL")?;
        let seq: Option<i64> = query.query_row([routing.event.as_bytes()], |row| row.get(0)).optional()?;
        found.extend(seq.map(|seq| (seq, routing)));
    }
    found.sort_by_key(|(seq, _)| *seq);
    found.into_iter().map(|(seq, routing)| route(unit, seq, routing, now)).sum()
}

/// How many deliveries the event was given that it did not have.
fn route(unit: &mut Unit<'_>, seq: i64, routing: &Routing, now: Timestamp) -> Result<usize> {
    let mut made = 0;
    for destination in &routing.destinations {
        made += usize::from(make_delivery(unit, seq, *destination, routing.person_key.as_ref(), micros(now))?);
    }
    let mut count = unit.connection.prepare_cached("UPDATE event SET deliveries = deliveries + ?2 WHERE seq = ?1")?;
    count.execute(params![seq, number(made)])?;
    Ok(made)
}

fn make_delivery(unit: &mut Unit<'_>, seq: i64, destination: DestinationId, person: Option<&[u8; 16]>, now: i64) -> Result<bool> {
    let place = find_place_again(unit, DeliveryKey { event: seq, destination }, person)?;
    let (state, in_line) = join(unit, destination, person, place)?;
    let parked_base = unit.tally.parked_us(unit.connection, destination, now)?;
    let mut insert = unit.connection.prepare_cached(
        "INSERT INTO delivery (event, destination, state, person, not_before, clock_start, parked_base, in_line) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)
         ON CONFLICT DO NOTHING",
    )?;
    if insert.execute(params![seq, destination, state.number(), person, now, parked_base, in_line])? == 0 {
        return Ok(false);
    }
    unit.tally.add_created(destination);
    if state == State::Waiting {
        unit.hand_off(destination, Handoff::Waiting);
    }
    Ok(true)
}

fn note(connection: &Connection, entry: &Entry, count: usize, now: Timestamp) -> Result<()> {
    match entry {
        Entry::New(new) => insert(connection, new, count, now, Some(now)).map(drop),
        Entry::Ongoing(id) => {
            let mut add = connection.prepare_cached("UPDATE action SET count = count + ?2 WHERE id = ?1")?;
            Ok(add.execute(params![id, number(count)]).map(drop)?)
        }
    }
}

fn insert(connection: &Connection, new: &NewAction, count: usize, now: Timestamp, ended_at: Option<Timestamp>) -> Result<i64> {
    let NewAction { who, client, action, target, planned, detail, .. } = new;
    let (client, planned) = (client.as_deref().map(text), number(*planned));
    connection
        .prepare_cached(
            "INSERT INTO action (at, who, client, action, target, planned, count, detail, ended_at, again)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            micros(now),
            text(who),
            client,
            action,
            text(target),
            planned,
            number(count),
            text(detail),
            ended_at.map(micros),
            new.again_json().as_deref().map(text)
        ])?;
    Ok(connection.last_insert_rowid())
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read_action(row: &Row<'_>) -> rusqlite::Result<ActionRow> {
    Ok(ActionRow {
        id: row.get(0)?,
        at: moment(row.get(1)?),
        who: row.get(2)?,
        client: row.get(3)?,
        action: row.get(4)?,
        target: row.get(5)?,
        planned: row.get(6)?,
        count: row.get(7)?,
        detail: row.get(8)?,
        ended_at: row.get::<_, Option<i64>>(9)?.map(moment),
        failure: row.get(10)?,
        again: read_again(row.get::<_, Option<String>>(11)?.as_deref()),
    })
}
