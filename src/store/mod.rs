//! Where events and deliveries live. The only place with SQL.
//!
//! The store knows no HTTP and no connectors. It keeps three invariants that everything above leans on:
//! - an event and its deliveries are committed together, or not at all;
//! - at one destination, at most one delivery of a person is leased or waits for its next attempt: later ones are *blocked* until it ends,
//!   or wait in a backlog that keeps their order;
//! - counts that are kept beside the rows in the same transaction always agree with the rows (`leadwire audit`).

mod acts;
mod alert;
mod cause;
mod checkup;
mod discreet;
mod drain;
mod dump;
mod keeper;
mod keeping;
mod known;
mod logout;
mod missed;
mod model;
mod moving;
mod names;
mod operations;
mod patience;
mod person;
mod postgres;
mod receipt;
mod refused;
mod room;
mod search;
mod sighting;
mod silence;
mod spool;
mod sqlite;
mod tally;
mod telling;

pub use acts::{ACT_PIECE, Act, ActionFilter, ActionRow, DeadCause, Entry, INTERRUPTED, NewAction, Pace, Purge, Routing, Unrouted};
pub use alert::AlertPage;
pub use cause::UNSORTED;
pub use checkup::{Checkup, DiskCheck, check_disk, check_postgres, check_sqlite, free_bytes};
pub use keeper::{Condition, Keeper, Kept};
pub use keeping::{DestinationStatus, OldestPending, Pending, Retention, Status, Verification};
pub use known::KnownEvent;
pub use missed::{FoundMissed, LeadTrace, Missed, MissedEnding, Passed, Stretch};
pub use model::{
    Again, AttemptRow, AuditFinding, AuditReport, Claimed, Counts, DeliveryFilter, DeliveryKey, DeliveryRow, DestinationId,
    DestinationLedger, DestinationRow, Ended, EventDetail, EventFilter, EventRow, Granted, Handoff, Hold, LaneEnd, Lease, Leased, NewEvent,
    Outcome, QuarantineClass, QuarantineLimits, QuarantineRow, Quarantined, Received, Refused, Settlement, SourceLedger, State,
};
pub use moving::{Beginning, Compared, Comparison, Origin, Transfer, TransferProgress};
pub use operations::Store;
pub use person::{
    Erasing, Erasure, ErasureResult, Needle, Owed, Progress, Remain, Removed, RemovedDelivery, RemovedEvent, Scrubbed, StoredEvent,
    Unfinished,
};
pub use postgres::{check_url as check_postgres_url, has_password as has_postgres_password, name_of as postgres_name};
pub use receipt::{Form, Receipt, Signed, Via};
pub use room::{Room, places_for};
pub use sighting::{ClientSeen, KeySeen, RefusalSeen, Sighting, Sightings, What};
pub use silence::{Silence, judge as judge_silence};
pub use spool::{Spool, SpoolReport, SpoolStatus, inspect as inspect_spool};
pub use tally::{Point, Span, Tallies};

use crate::failpoint::Struck;
use std::time::Duration;

/// What keeps the rows.
#[derive(Debug, Clone)]
enum Engine {
    /// One file, one bridge.
    Sqlite(sqlite::Sqlite),
    /// A server, any number of bridges.
    Postgres(postgres::Postgres),
}

/// The right to deliver from the store. Given up when dropped, also by a crash.
#[derive(Debug)]
pub struct Ownership {
    _right: Right,
}

#[derive(Debug)]
#[expect(dead_code, reason = "what is inside works by being kept")]
enum Right {
    /// The locked file beside the database.
    File(std::fs::File),
    /// The membership among the instances.
    Member(postgres::Member),
    /// The session that keeps bridges off while everything moves.
    Session(postgres::Session),
}

/// Sees what others change in the store: other processes, and other parts of this one.
#[derive(Debug)]
pub struct Changes {
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    /// By looking at the file.
    File(sqlite::Watcher),
    /// By what the server tells.
    Signal(postgres::Signal),
}

impl Changes {
    /// Returns when something may have changed since the last call, and every few seconds whether it did or not.
    pub async fn next(&mut self) {
        match &mut self.seen {
            Seen::File(watcher) => watcher.next().await,
            Seen::Signal(signal) => signal.next().await,
        }
    }
}

/// Changes are looked for at least this often, whatever an engine tells: a message may be lost, and a store may be back.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It cannot write or read now: full disk, I/O error, lock. Nothing was committed; trying again later is right. The text says what
    /// is at fault, which may be another file than the store's: a backup, the spool.
    #[error("{0}")]
    Unavailable(String),
    /// It refuses what it was asked, and would again.
    #[error("{0}")]
    Refused(String),
}

impl From<Struck> for Error {
    fn from(_: Struck) -> Self {
        Self::Unavailable("the store is unavailable: a failpoint struck".to_owned())
    }
}

/// What store operations return.
pub type Result<T> = std::result::Result<T, Error>;

/// Fewer digits of an id say too little.
const FEWEST_DIGITS: usize = 8;
/// Digits of a whole id.
const WHOLE_ID: usize = 32;

/// The first and the last event id that begins like `digits`, with hyphens anywhere or nowhere; `None` when this is neither an id nor its
/// first 8 digits or more.
#[must_use]
pub fn ids_like(digits: &str) -> Option<(uuid::Uuid, uuid::Uuid)> {
    let digits: String = digits.chars().filter(|c| *c != '-').collect();
    let bound = |fill: &str| {
        let all = format!("{digits}{}", fill.repeat(WHOLE_ID.saturating_sub(digits.len())));
        u128::from_str_radix(&all, 16).ok().map(uuid::Uuid::from_u128)
    };
    let is_id = digits.chars().all(|c| c.is_ascii_hexdigit()) && (FEWEST_DIGITS..=WHOLE_ID).contains(&digits.len());
    if is_id { Some((bound("0")?, bound("f")?)) } else { None }
}

/// A delivery's id, the same for every attempt: what destinations see as idempotency key. It has no dot, because Standard
/// Webhooks joins ids with dots.
#[must_use]
pub fn delivery_id(event: uuid::Uuid, destination: &str) -> String {
    format!("{event}_{destination}")
}
