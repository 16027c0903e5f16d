//! The ledger: counts kept beside the rows, in the same transactions, so that they can be compared.

use crate::store::{Counts, DestinationId, Result, State};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;

/// The columns of `destination` that [`read_counts`] takes.
pub(super) const COUNT_COLUMNS: &str = "created - removed - delivered - skipped - dead - erased, delivered, skipped, dead, erased";

/// A delivery entered this state (`by` is 1) or left it (`by` is -1). Pending is what is left of the created ones, so the pending
/// states have no count of their own and the quiet path has one write less.
pub(super) fn count(connection: &Connection, destination: DestinationId, state: State, by: i64) -> Result<()> {
    let sql = match state {
        State::Waiting | State::Leased | State::Blocked => return Ok(()),
        State::Delivered => "UPDATE destination SET delivered = delivered + ?2 WHERE id = ?1",
        State::Skipped => "UPDATE destination SET skipped = skipped + ?2 WHERE id = ?1",
        State::Dead => "UPDATE destination SET dead = dead + ?2 WHERE id = ?1",
        State::Erased => "UPDATE destination SET erased = erased + ?2 WHERE id = ?1",
    };
    connection.prepare_cached(sql)?.execute(params![destination, by])?;
    Ok(())
}

/// Reads [`COUNT_COLUMNS`], which begin at column `first`.
pub(super) fn read_counts(row: &Row<'_>, first: usize) -> rusqlite::Result<Counts> {
    Ok(Counts {
        pending: row.get(first)?,
        delivered: row.get(first + 1)?,
        skipped: row.get(first + 2)?,
        dead: row.get(first + 3)?,
        erased: row.get(first + 4)?,
    })
}

/// What one transaction adds to the ledger. A batch of leads is of few sources and destinations, so this is a few writes for many.
#[derive(Debug, Default)]
pub(super) struct Tally {
    received: HashMap<i64, i64>,
    created: HashMap<DestinationId, i64>,
    ended: Vec<(DestinationId, State, i64)>,
    parked: HashMap<DestinationId, (i64, Option<i64>)>,
}

impl Tally {
    /// An event of this source was stored.
    pub(super) fn add_received(&mut self, source: i64) {
        *self.received.entry(source).or_default() += 1;
    }

    /// A delivery to this destination was made.
    pub(super) fn add_created(&mut self, destination: DestinationId) {
        *self.created.entry(destination).or_default() += 1;
    }

    /// A delivery to this destination ended so.
    pub(super) fn add_ended(&mut self, destination: DestinationId, state: State) {
        // A batch has few of these, so that looking through them is quick.
        match self.ended.iter_mut().find(|(of, ended, _)| (*of, *ended) == (destination, state)) {
            Some((_, _, count)) => *count += 1,
            None => self.ended.push((destination, state, 1)),
        }
    }

    /// How long the destination had been parked in all at this moment, a hold that is on included.
    pub(super) fn parked_us(&mut self, connection: &Connection, destination: DestinationId, now_us: i64) -> Result<i64> {
        let (parked_us, hold_since) = match self.parked.get(&destination) {
            Some(known) => *known,
            None => {
                let known = read_parked(connection, destination)?;
                self.parked.insert(destination, known);
                known
            }
        };
        Ok(parked_us + hold_since.map_or(0, |since| now_us.saturating_sub(since).max(0)))
    }

    /// Holds changed in this transaction: what was read of them is read again.
    pub(super) fn forget_parked(&mut self) {
        self.parked.clear();
    }

    /// Writes what was added.
    pub(super) fn write(&self, connection: &Connection) -> Result<()> {
        for (source, by) in &self.received {
            connection.prepare_cached("UPDATE source SET received = received + ?2 WHERE id = ?1")?.execute(params![source, by])?;
        }
        for (destination, by) in &self.created {
            connection.prepare_cached("UPDATE destination SET created = created + ?2 WHERE id = ?1")?.execute(params![destination, by])?;
        }
        self.ended.iter().try_for_each(|(destination, state, by)| count(connection, *destination, *state, *by))
    }
}

fn read_parked(connection: &Connection, destination: DestinationId) -> Result<(i64, Option<i64>)> {
    let mut query = connection.prepare_cached("SELECT parked_us, hold_since FROM destination WHERE id = ?1")?;
    Ok(query.query_row([destination], |row| Ok((row.get(0)?, row.get(1)?))).optional()?.unwrap_or_default())
}
