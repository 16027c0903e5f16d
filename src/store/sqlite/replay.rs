//! Delivering again what has ended.

use super::receive::{find_place_again, join};
use super::row::DELIVERY_TABLES;
use super::search::{Conditions, delivery_conditions};
use super::writer::Unit;
use super::{Sqlite, ledger, micros};
use crate::store::{DeliveryFilter, DeliveryKey, Handoff, Result, State};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use uuid::Uuid;

impl Sqlite {
    pub(in crate::store) async fn find_ended(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryKey>> {
        self.read(move |connection| read_ended(connection, &delivery_conditions(&filter))).await
    }

    pub(in crate::store) async fn find_ended_of(&self, event: Uuid, filter: DeliveryFilter) -> Result<Vec<DeliveryKey>> {
        self.read(move |connection| {
            let mut conditions = delivery_conditions(&filter);
            conditions.add("e.id = ?", Some(event.as_bytes().to_vec()));
            read_ended(connection, &conditions)
        })
        .await
    }

    pub(in crate::store) async fn replay(&self, keys: Vec<DeliveryKey>, now: Timestamp) -> Result<usize> {
        self.writer.write(move |unit| revive_all(unit, &keys, &[], micros(now))).await
    }
}

/// How many had ended until now, in one of these states if there are any.
pub(super) fn revive_all(unit: &mut Unit<'_>, keys: &[DeliveryKey], from: &[State], now: i64) -> Result<usize> {
    let mut replayed = 0;
    for key in keys {
        let Some(state) = revive(unit, *key, from, now)? else { continue };
        replayed += 1;
        if state == State::Waiting {
            unit.hand_off(key.destination, Handoff::Waiting);
        }
    }
    Ok(replayed)
}

fn read_ended(connection: &Connection, conditions: &Conditions) -> Result<Vec<DeliveryKey>> {
    let sql = format!(
        "SELECT d.event, d.destination FROM {DELIVERY_TABLES} WHERE d.state >= 3 AND d.state <> 6 AND {} ORDER BY d.event, d.destination",
        conditions.clause()
    );
    let mut query = connection.prepare(&sql)?;
    let keys =
        query.query_map(params_from_iter(&conditions.values), |row| Ok(DeliveryKey { event: row.get(0)?, destination: row.get(1)? }))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}

fn revive(unit: &mut Unit<'_>, key: DeliveryKey, from: &[State], now: i64) -> Result<Option<State>> {
    let connection = unit.connection;
    let mut query = connection
        .prepare_cached("SELECT person, state FROM delivery WHERE event = ?1 AND destination = ?2 AND state >= 3 AND state <> 6")?;
    let found: Option<(Option<[u8; 16]>, i64)> =
        query.query_row(params![key.event, key.destination], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((person, ended)) = found else { return Ok(None) };
    if let Some(ended) = State::from_number(ended) {
        if !from.is_empty() && !from.contains(&ended) {
            return Ok(None);
        }
        ledger::count(connection, key.destination, ended, -1)?;
    }
    let place = find_place_again(unit, key, person.as_ref())?;
    let (state, in_line) = join(unit, key.destination, person.as_ref(), place)?;
    let parked_base = unit.tally.parked_us(connection, key.destination, now)?;
    connection
        .prepare_cached(
            "UPDATE delivery SET state = ?3, attempts = 0, not_before = ?4, clock_start = ?4, parked_base = ?5, ended_at = NULL, in_line = ?6
             WHERE event = ?1 AND destination = ?2",
        )?
        .execute(params![key.event, key.destination, state.number(), now, parked_base, in_line])?;
    Ok(Some(state))
}
