//! What waits in the store for its first turn, in the order of receipt, and whose it may be.
//!
//! A delivery that no lane has room for joins the *backlog* of its destination; whether it stands behind another of its person is found out
//! when its turn comes. A later one of a person who may be in the backlog joins it too, so that it does not overtake. All others
//! are in the *line* of their person, and the index by person holds just those: it stays small, however long the backlog is.
//!
//! Of each person, what is in the line is older than what is in the backlog: so whoever takes from the line first keeps the order.
//!
//! Who may be in the backlog is kept in memory, by the writer thread alone. It is forgotten when a transaction fails or another process has
//! added somebody, and learned anew; until then everybody may be in there, which costs a lead that comes meanwhile the way through the
//! backlog.

use super::persons::Persons;
use crate::store::{DestinationId, Result};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Persons learned with one claim.
const LEARNED_AT_ONCE: u32 = 1_000;

/// The backlogs of all destinations.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    /// One that is missing is not known yet.
    known: HashMap<DestinationId, Backlog>,
    /// Those that were found not to be empty in this transaction: with many leads in it, that is asked once.
    is_there: HashSet<DestinationId>,
    /// A number that changes when another connection writes, or cuts the log.
    version: Option<i64>,
    /// How often another process had added to each, when that number was last seen.
    joined: HashMap<DestinationId, i64>,
}

#[derive(Debug)]
enum Backlog {
    /// Nobody is in it.
    None,
    /// At most these are.
    Known(Persons),
    /// These may be, and others behind the event of this number.
    Learning { persons: Persons, after: i64 },
}

impl Backlogs {
    /// Before each transaction reads: whether another process has added to a backlog since the last. What the process that delivers adds
    /// is counted nowhere, so that one which does not deliver there knows nothing for longer than nobody else writes.
    pub(super) fn note_others(&mut self, connection: &Connection, has_lane: impl Fn(DestinationId) -> bool) -> Result<()> {
        self.is_there.clear();
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version.replace(version) == Some(version) {
            return Ok(());
        }
        self.known.retain(|destination, _| has_lane(*destination));
        let mut query = connection.prepare_cached("SELECT id, joined FROM destination")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (destination, joined) = (row.get(0)?, row.get(1)?);
            if self.joined.insert(destination, joined) != Some(joined) {
                self.known.remove(&destination);
            }
        }
        Ok(())
    }

    /// After a transaction that failed: what it took from backlogs is there again.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Whether a delivery of this person may be in the backlog.
    pub(super) fn may_hold(&mut self, connection: &Connection, destination: DestinationId, person: &[u8; 16]) -> Result<bool> {
        let backlog = self.of(connection, destination)?;
        let may_hold = match backlog {
            Backlog::None => false,
            Backlog::Known(persons) => persons.may_hold(person),
            Backlog::Learning { .. } => true,
        };
        if may_hold && !self.is_there.contains(&destination) {
            if is_empty(connection, destination)? {
                self.known.insert(destination, Backlog::None);
                return Ok(false);
            }
            self.is_there.insert(destination);
        }
        Ok(may_hold)
    }

    /// A delivery of this person is about to join the backlog.
    pub(super) fn add(&mut self, connection: &Connection, destination: DestinationId, person: Option<&[u8; 16]>) -> Result<()> {
        let backlog = self.of(connection, destination)?;
        let Some(person) = person else { return Ok(()) };
        if let Backlog::None = backlog {
            *backlog = Backlog::Known(Persons::NOBODY);
        }
        if let Backlog::Known(persons) | Backlog::Learning { persons, .. } = backlog {
            persons.add(person);
        }
        Ok(())
    }

    /// Learns some more of who is in the backlog, if that is not known. A claim does it, because it matters when a lane has room.
    pub(super) fn learn(&mut self, connection: &Connection, destination: DestinationId) -> Result<()> {
        let backlog = self.of(connection, destination)?;
        let Backlog::Learning { persons, after } = backlog else { return Ok(()) };
        let found = read_after(connection, destination, *after, LEARNED_AT_ONCE)?;
        found.iter().filter_map(|waiting| waiting.person.as_ref()).for_each(|person| persons.add(person));
        match found.last() {
            Some(last) if found.len() == LEARNED_AT_ONCE as usize => *after = last.event,
            _ => *backlog = Backlog::Known(std::mem::replace(persons, Persons::NOBODY)),
        }
        Ok(())
    }

    fn of(&mut self, connection: &Connection, destination: DestinationId) -> Result<&mut Backlog> {
        Ok(match self.known.entry(destination) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(match is_empty(connection, destination)? {
                true => Backlog::None,
                false => Backlog::Learning { persons: Persons::NOBODY, after: i64::MIN },
            }),
        })
    }
}

/// A delivery in the backlog.
pub(super) struct Waiting {
    pub(super) event: i64,
    pub(super) not_before: i64,
    pub(super) person: Option<[u8; 16]>,
}

/// Those behind the event of this number, in the order of receipt.
pub(super) fn read_after(connection: &Connection, destination: DestinationId, after: i64, limit: u32) -> Result<Vec<Waiting>> {
    let mut query = connection.prepare_cached(
        "SELECT event, not_before, person FROM delivery WHERE destination = ?1 AND state = 0 AND in_line = 0 AND event > ?2 ORDER BY event LIMIT ?3",
    )?;
    let read = |row: &rusqlite::Row<'_>| Ok(Waiting { event: row.get(0)?, not_before: row.get(1)?, person: row.get(2)? });
    let rows = query.query_map(params![destination, after, limit], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn is_empty(connection: &Connection, destination: DestinationId) -> Result<bool> {
    let mut query = connection.prepare_cached("SELECT 1 FROM delivery WHERE destination = ?1 AND state = 0 AND in_line = 0")?;
    Ok(!query.exists([destination])?)
}

/// When the first of them came.
pub(super) fn read_first(connection: &Connection, destination: DestinationId) -> Result<Option<i64>> {
    let mut query = connection
        .prepare_cached("SELECT not_before FROM delivery WHERE destination = ?1 AND state = 0 AND in_line = 0 ORDER BY event LIMIT 1")?;
    Ok(query.query_row([destination], |row| row.get(0)).optional()?)
}
