//! Storing what was received: an event and its deliveries, in one transaction.

use super::{Sqlite, micros, writer::Unit};
use crate::failpoint::Commit;
use crate::store::names::Names;
use crate::store::{DeliveryKey, DestinationId, Error, Handoff, Leased, NewEvent, Receipt, Received, Result, State, places_for};
use rusqlite::{Connection, params};
use std::sync::Arc;

impl Sqlite {
    pub(in crate::store) async fn receive(&self, events: impl Into<Arc<[NewEvent]>>) -> Result<Vec<Received>> {
        let (events, names) = (events.into(), self.names.now());
        self.writer.write_as(Commit::Receive, move |unit| events.iter().map(|new| store(unit, &names, new)).collect()).await
    }
}

/// Stores one event; a duplicate is counted at the first one.
pub(super) fn store(unit: &mut Unit<'_>, names: &Names, new: &NewEvent) -> Result<Received> {
    let source = names.sources.get(&new.event.source).copied();
    let source = source.ok_or_else(|| Error::Refused(format!("the source {} is not registered", new.event.source)))?;
    let Some(seq) = insert_event(unit.connection, source, new)? else {
        count_duplicate(unit.connection, source, &new.content_key)?;
        return Ok(Received::Duplicate);
    };
    unit.tally.add_received(source);
    for destination in &new.destinations {
        insert_delivery(unit, seq, *destination, new)?;
    }
    Ok(Received::New)
}

fn insert_event(connection: &Connection, source: i64, new: &NewEvent) -> Result<Option<i64>> {
    let event = &new.event;
    let mut insert = connection.prepare_cached(
        "INSERT INTO event (id, source, content_key, kind, received_at, email, phone, session_id, deliveries, body, receipt)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (source, content_key) DO NOTHING",
    )?;
    let inserted = insert.execute(params![
        event.id.as_bytes(),
        source,
        new.content_key,
        event.kind.as_str(),
        micros(event.received_at),
        event.person.email,
        event.person.phone,
        event.session_id,
        i64::try_from(new.destinations.len()).unwrap_or(i64::MAX),
        new.body,
        new.receipt.map(Receipt::to_text),
    ])?;
    Ok((inserted == 1).then(|| connection.last_insert_rowid()))
}

fn count_duplicate(connection: &Connection, source: i64, content_key: &[u8; 24]) -> Result<()> {
    let mut count = connection.prepare_cached("UPDATE event SET duplicates = duplicates + 1 WHERE source = ?1 AND content_key = ?2")?;
    count.execute(params![source, content_key])?;
    Ok(())
}

fn insert_delivery(unit: &mut Unit<'_>, seq: i64, destination: DestinationId, new: &NewEvent) -> Result<()> {
    let received_at = micros(new.event.received_at);
    let parked_base = unit.tally.parked_us(unit.connection, destination, received_at)?;
    let (state, in_line) = birth(unit, destination, new)?;
    // Told first: when the insert fails, the place that was taken is given back with the handoff.
    match state {
        State::Leased => unit.hand_off(destination, Handoff::Leased(fresh_lease(seq, destination, new, parked_base))),
        State::Waiting => unit.hand_off(destination, Handoff::Waiting),
        _ => {}
    }
    unit.connection
        .prepare_cached(
            "INSERT INTO delivery (event, destination, state, person, not_before, clock_start, parked_base, in_line) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)",
        )?
        .execute(params![seq, destination, state.number(), new.person_key, received_at, parked_base, in_line])?;
    unit.tally.add_created(destination);
    Ok(())
}

/// Its first state, and whether it stands in its person's line. A large event waits in the store, where it takes no memory, until its
/// lane has room for it.
fn birth(unit: &mut Unit<'_>, destination: DestinationId, new: &NewEvent) -> Result<(State, bool)> {
    let person = new.person_key.as_ref();
    let place = find_place(unit, destination, person)?;
    let is_small = places_for(new.body.len()) == 1;
    match place {
        Place::Ahead if is_small && unit.try_enter(destination) => Ok((State::Leased, true)),
        Place::Ahead if unit.has_lane(destination) => join(unit, destination, person, Place::Backlog),
        place => join(unit, destination, person, place),
    }
}

/// Where a delivery stands among those of its person at its destination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// Nobody is before it.
    Ahead,
    /// One that is leased, waits or is blocked itself is before it.
    Behind,
    /// One in the backlog may be.
    Backlog,
}

/// Where a delivery stands that is pending again, or that its event is given later: before what is newer.
pub(super) fn find_place_again(unit: &mut Unit<'_>, key: DeliveryKey, person: Option<&[u8; 16]>) -> Result<Place> {
    let mut query = unit
        .connection
        .prepare_cached("SELECT 1 FROM delivery WHERE destination = ?1 AND person = ?2 AND event > ?3 AND state < 3 AND in_line = 1")?;
    if query.exists(params![key.destination, person, key.event])? {
        return Ok(Place::Behind);
    }
    find_place(unit, key.destination, person)
}

/// Where the newest delivery of this person stands.
fn find_place(unit: &mut Unit<'_>, destination: DestinationId, person: Option<&[u8; 16]>) -> Result<Place> {
    let Some(person) = person else { return Ok(Place::Ahead) };
    if unit.backlogs.may_hold(unit.connection, destination, person)? {
        return Ok(Place::Backlog);
    }
    Ok(if is_in_line(unit.connection, destination, person)? { Place::Behind } else { Place::Ahead })
}

/// The state of a delivery that waits in this place, and whether it stands in its person's line.
pub(super) fn join(unit: &mut Unit<'_>, destination: DestinationId, person: Option<&[u8; 16]>, place: Place) -> Result<(State, bool)> {
    Ok(match place {
        Place::Ahead => (State::Waiting, true),
        Place::Behind => (State::Blocked, true),
        Place::Backlog => {
            unit.backlogs.add(unit.connection, destination, person)?;
            if !unit.has_lane(destination) {
                unit.connection.prepare_cached("UPDATE destination SET joined = joined + 1 WHERE id = ?1")?.execute([destination])?;
            }
            (State::Waiting, false)
        }
    })
}

/// Whether a delivery stands in the line of this person at this destination.
pub(super) fn is_in_line(connection: &Connection, destination: DestinationId, person: &[u8; 16]) -> Result<bool> {
    let mut query =
        connection.prepare_cached("SELECT 1 FROM delivery WHERE destination = ?1 AND person = ?2 AND state < 3 AND in_line = 1")?;
    Ok(query.exists(params![destination, person])?)
}

fn fresh_lease(seq: i64, destination: DestinationId, new: &NewEvent, parked_base_us: i64) -> Leased {
    Leased {
        key: DeliveryKey { event: seq, destination },
        event: Arc::clone(&new.event),
        person_key: new.person_key,
        attempts: 0,
        clock_start: new.event.received_at,
        parked_base_us,
        steps: Vec::new(),
        places: 1,
        lease: 0,
    }
}
