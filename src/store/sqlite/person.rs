//! Erasing a person: tombstones, and what connectors are to remove.

use super::quarantine::{COLUMNS, read_row};
use super::writer::Unit;
use super::{Sqlite, index, lease, ledger, micros, moment, text};
use crate::store::person::tombstone;
use crate::store::{
    DeliveryKey, DestinationId, Erasing, Erasure, ErasureResult, Error, Owed, QuarantineRow, Removed, RemovedDelivery, RemovedEvent,
    Result, State, StoredEvent, Unfinished, delivery_id,
};
use jiff::Timestamp;
use leadwire_connector::Record;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

/// Bodies read in one go, in bytes.
const PIECE_BYTES: usize = 8 << 20;

impl Sqlite {
    pub(in crate::store) async fn stored_events(&self, after: i64, limit: u32) -> Result<Vec<StoredEvent>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT e.seq, e.id, s.name, e.email, e.phone, e.session_id, e.body FROM event e JOIN source s ON s.id = e.source
                 WHERE e.seq > ?1 AND e.erased_at IS NULL ORDER BY e.seq LIMIT ?2",
            )?;
            let mut rows = query.query(params![after, limit])?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            while bytes < PIECE_BYTES
                && let Some(row) = rows.next()?
            {
                let event = read_stored(row)?;
                bytes += event.body.len();
                events.push(event);
            }
            Ok(events)
        })
        .await
    }

    pub(in crate::store) async fn stored_bodies(&self, after: i64, limit: u32) -> Result<Vec<(QuarantineRow, Vec<u8>)>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS}, body FROM quarantine WHERE id > ?1 ORDER BY id LIMIT ?2");
            let mut query = connection.prepare_cached(&sql)?;
            let mut rows = query.query(params![after, limit])?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            while bytes < PIECE_BYTES
                && let Some(row) = rows.next()?
            {
                let body: Vec<u8> = row.get(9)?;
                bytes += body.len();
                found.push((read_row(row)?, body));
            }
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn erase(&self, erasing: Erasing, at: Timestamp) -> Result<Removed> {
        self.writer.write(move |unit| overwriting(unit, |unit| erase(unit, &erasing, at))).await
    }

    pub(in crate::store) async fn unfinished_erasures(&self) -> Result<Vec<Unfinished>> {
        self.read(|connection| {
            let mut query = connection.prepare_cached("SELECT id, begun_at, head, removed FROM certificate ORDER BY begun_at, id")?;
            let rows = query.query_map([], |row| {
                let id: String = row.get(0)?;
                Ok((
                    Owed { id: id.parse().unwrap_or_default(), begun_at: moment(row.get(1)?), head: row.get(2)? },
                    row.get::<_, String>(3)?,
                ))
            })?;
            rows.map(|row| row.map_err(Error::from).and_then(|(owed, removed)| Unfinished::read(owed, &removed))).collect()
        })
        .await
    }

    pub(in crate::store) async fn certify(&self, id: Uuid) -> Result<()> {
        let certify =
            move |unit: &mut Unit<'_>| Ok(unit.connection.execute("DELETE FROM certificate WHERE id = ?1", [id.to_string()]).map(drop)?);
        self.writer.write(move |unit| overwriting(unit, certify)).await?;
        self.empty_log().await
    }

    pub(in crate::store) async fn erasures(&self, since: Timestamp) -> Result<Vec<Erasure>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT r.delivery, r.destination, n.name, r.event, r.under_way, r.requested_at, r.done_at, r.result, r.place, r.arrived
                 FROM erasure r JOIN destination n ON n.id = r.destination
                 WHERE r.done_at IS NULL OR r.requested_at >= ?1 ORDER BY r.requested_at, r.delivery",
            )?;
            let rows = query.query_map([micros(since)], read_erasure)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn finish_erasures(&self, results: Vec<ErasureResult>, at: Timestamp) -> Result<()> {
        self.writer
            .write(move |unit| {
                let sql = "UPDATE erasure SET done_at = ?2, result = ?3, place = ?4 WHERE delivery = ?1 AND requested_at = ?5 AND done_at IS NULL";
                let mut finish = unit.connection.prepare_cached(sql)?;
                results.iter().try_for_each(|one| {
                    let values = params![one.delivery, micros(at), one.result, one.place, micros(one.requested_at)];
                    finish.execute(values).map(drop).map_err(Into::into)
                })
            })
            .await
    }
}

fn read_stored(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        seq: row.get(0)?,
        id: Uuid::from_bytes(row.get(1)?),
        source: row.get(2)?,
        email: row.get(3)?,
        phone: row.get(4)?,
        session_id: row.get(5)?,
        body: row.get(6)?,
    })
}

fn read_erasure(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    Ok(Erasure {
        delivery: row.get(0)?,
        destination_id: row.get(1)?,
        destination: row.get(2)?,
        event: row.get(3)?,
        under_way: row.get(4)?,
        requested_at: moment(row.get(5)?),
        done_at: row.get::<_, Option<i64>>(6)?.map(moment),
        result: row.get(7)?,
        place: row.get(8)?,
        arrived: row.get(9)?,
    })
}

/// What is deleted is overwritten, also in pages that become free.
pub(super) fn overwriting<T>(unit: &mut Unit<'_>, work: impl FnOnce(&mut Unit<'_>) -> Result<T>) -> Result<T> {
    unit.connection.execute_batch("PRAGMA secure_delete = ON")?;
    let done = work(unit);
    unit.connection.execute_batch("PRAGMA secure_delete = FAST")?;
    done
}

fn erase(unit: &mut Unit<'_>, erasing: &Erasing, at: Timestamp) -> Result<Removed> {
    let mut removed = Removed::default();
    let mut waiting = Vec::new();
    for id in &erasing.events {
        removed.events.extend(erase_event(unit.connection, *id, at, &mut removed.attempts, &mut removed.steps, &mut waiting)?);
    }
    index::forget(unit.connection, &places_of(unit.connection, &removed.events)?)?;
    for id in &erasing.quarantined {
        removed.quarantined += unit.connection.prepare_cached("DELETE FROM quarantine WHERE id = ?1")?.execute([id])?;
    }
    for (destination, delivery) in &erasing.kept {
        request(unit.connection, delivery, *destination, None, false, at)?;
        removed.kept.push(delivery.clone());
    }
    if let Some(owed) = &erasing.owed {
        owe(unit.connection, owed, &removed)?;
    }
    // Only now: what was behind an erased delivery may have been erased as well.
    for (destination, person) in waiting {
        lease::unblock_next(unit, destination, &person, at)?;
    }
    Ok(removed)
}

fn places_of(connection: &Connection, events: &[RemovedEvent]) -> Result<Vec<i64>> {
    let mut find = connection.prepare_cached("SELECT seq FROM event WHERE id = ?1")?;
    events.iter().map(|event| Ok(find.query_row([event.id.as_bytes()], |row| row.get(0))?)).collect()
}

type Waiting = Vec<(DestinationId, [u8; 16])>;

fn erase_event(
    connection: &Connection,
    id: Uuid,
    at: Timestamp,
    attempts: &mut usize,
    steps: &mut usize,
    waiting: &mut Waiting,
) -> Result<Option<RemovedEvent>> {
    let mut query = connection.prepare_cached(
        "SELECT e.seq, e.kind, s.name, e.received_at FROM event e JOIN source s ON s.id = e.source WHERE e.id = ?1 AND e.erased_at IS NULL",
    )?;
    let found = query.query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).optional()?;
    let Some((seq, kind, source, received_at)): Option<(i64, String, String, i64)> = found else { return Ok(None) };
    let mut deliveries = Vec::new();
    for row in read_deliveries(connection, seq)? {
        deliveries.push(erase_delivery(connection, (seq, id), row, at, waiting)?);
    }
    *attempts += connection.prepare_cached("DELETE FROM attempt WHERE event = ?1")?.execute([seq])?;
    *steps += connection.prepare_cached("DELETE FROM step WHERE event = ?1")?.execute([seq])?;
    connection.prepare_cached("DELETE FROM missed WHERE event = ?1")?.execute([seq])?;
    connection
        .prepare_cached(
            "UPDATE event SET email = NULL, phone = NULL, session_id = NULL, receipt = NULL, body = ?2, erased_at = ?3 WHERE seq = ?1",
        )?
        .execute(params![seq, tombstone(id, &kind, &source, moment(received_at))?, micros(at)])?;
    Ok(Some(RemovedEvent { id, kind, deliveries }))
}

struct DeliveryRow {
    destination: DestinationId,
    name: String,
    state: State,
    person: Option<[u8; 16]>,
    in_line: bool,
    record: Option<Record>,
}

fn read_deliveries(connection: &Connection, seq: i64) -> Result<Vec<DeliveryRow>> {
    let mut query = connection.prepare_cached(
        "SELECT d.destination, n.name, d.state, d.person, d.record_id, d.record_url, d.in_line FROM delivery d JOIN destination n ON n.id = d.destination
         WHERE d.event = ?1 ORDER BY d.destination",
    )?;
    let rows = query.query_map([seq], |row| {
        let (id, url): (Option<String>, _) = (row.get(4)?, row.get(5)?);
        Ok(DeliveryRow {
            destination: row.get(0)?,
            name: row.get(1)?,
            state: State::from_number(row.get(2)?).unwrap_or(State::Dead),
            person: row.get(3)?,
            in_line: row.get(6)?,
            record: id.map(|id| Record { id, url }),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn erase_delivery(
    connection: &Connection,
    (seq, id): (i64, Uuid),
    row: DeliveryRow,
    at: Timestamp,
    waiting: &mut Waiting,
) -> Result<RemovedDelivery> {
    ledger::count(connection, row.destination, row.state, -1)?;
    ledger::count(connection, row.destination, State::Erased, 1)?;
    let delivery = delivery_id(id, &row.name);
    request(connection, &delivery, row.destination, Some(seq), row.state == State::Leased, at)?;
    let steps = read_steps(connection, seq, row.destination)?;
    connection
        .prepare_cached(
            "UPDATE delivery SET state = 6, ended_at = ?3, person = NULL, record_id = NULL, record_url = NULL, remark = NULL, cause = ''
             WHERE event = ?1 AND destination = ?2",
        )?
        .execute(params![seq, row.destination, micros(at)])?;
    // Behind one that was blocked itself, or is in a backlog, nobody waits: the one ahead stays, and may have come later when others were replayed.
    let was_ahead = row.in_line && matches!(row.state, State::Waiting | State::Leased);
    waiting.extend(row.person.filter(|_| was_ahead).map(|person| (row.destination, person)));
    Ok(RemovedDelivery { delivery, destination: row.name, was: row.state, record: row.record, steps })
}

fn read_steps(connection: &Connection, seq: i64, destination: DestinationId) -> Result<Vec<(String, String)>> {
    let mut query = connection.prepare_cached("SELECT name, remote_id FROM step WHERE event = ?1 AND destination = ?2 ORDER BY name")?;
    let steps = query.query_map(params![seq, destination], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(steps.collect::<rusqlite::Result<_>>()?)
}

fn owe(connection: &Connection, owed: &Owed, removed: &Removed) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO certificate (id, begun_at, head, removed) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET head = excluded.head, removed = removed || excluded.removed",
        )?
        .execute(params![owed.id.to_string(), micros(owed.begun_at), owed.head, removed.to_line()?])?;
    Ok(())
}

/// An erasure that was asked for before is asked for again.
fn request(
    connection: &Connection,
    delivery: &str,
    destination: DestinationId,
    event: Option<i64>,
    under_way: bool,
    at: Timestamp,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO erasure (delivery, destination, event, under_way, requested_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET requested_at = excluded.requested_at, done_at = NULL, result = NULL, place = NULL",
        )?
        .execute(params![delivery, destination, event, under_way, micros(at)])?;
    Ok(())
}

/// Asks for an erasure again, since an attempt went on meanwhile, and notes what it made at the destination, if anything, for the owner
/// to remove there. The moment moves on, so that an answer to what was asked before does not count.
pub(super) fn reopen(connection: &Connection, key: DeliveryKey, arrived: Option<&str>) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE erasure SET requested_at = requested_at + 1, done_at = NULL, result = NULL, place = NULL,
                 arrived = CASE WHEN ?3 IS NULL THEN arrived ELSE coalesce(arrived || ', ', '') || ?3 END
             WHERE event = ?1 AND destination = ?2",
        )?
        .execute(params![key.event, key.destination, arrived.map(text)])?;
    Ok(())
}
