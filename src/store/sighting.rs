//! What was seen of each source: when, by which of its keys, from where, what was refused, and how many leads came in each hour. It is
//! gathered in memory and brought here about once a minute; what is kept is bounded.

use super::operations::each;
use super::silence::{self, Silence};
use super::{Engine, Result, Store};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// Addresses kept of a source; the ones not seen for longest make room, and are counted as others.
pub(super) const MOST_CLIENTS: i64 = 64;
/// How long addresses and refusals are kept that are not seen again.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long the count of an hour is kept.
const HOURS_KEPT: SignedDuration = SignedDuration::from_hours(silence::HISTORY_HOURS + 24);

/// What a sighting is of. The numbers are those in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A request that was verified.
    Verified = 0,
    /// Leads and appointments.
    Leads = 1,
    /// One of its keys, by number.
    Key = 2,
    /// A refusal, by its code.
    Refusal = 3,
    /// A client's address.
    Client = 4,
    /// Clients whose addresses are not kept.
    OtherClients = 5,
    /// Leads and appointments in one hour, by its number since 1970.
    Hour = 6,
}

impl What {
    pub(super) fn number(self) -> i64 {
        self as i64
    }
}

/// Something that was seen of a source, so and so often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The source.
    pub source: String,
    /// What it is of.
    pub what: What,
    /// Which one.
    pub name: String,
    /// When last.
    pub at: Timestamp,
    /// How often.
    pub times: i64,
    /// Of an address: whether `allow_ips` had it, or there was none.
    pub listed: bool,
}

impl Sighting {
    /// Whether the other one is of the same.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        (&self.source, self.what, &self.name) == (&other.source, other.what, &other.name)
    }

    /// Adds one of the same.
    pub fn add(&mut self, other: &Self) {
        if other.at >= self.at {
            (self.at, self.listed) = (other.at, other.listed);
        }
        self.times = self.times.saturating_add(other.times);
    }
}

/// A sighting with the number of its source, as the engines write it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) source: i64,
    pub(super) sighting: Sighting,
}

/// From when on which rows are forgotten, by the moment they were last seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cutoffs {
    pub(super) seen: Timestamp,
    pub(super) hours: Timestamp,
}

/// In one order for all who write, so that nobody waits in a circle, and each only once. Sources that are not registered are left out.
pub(super) fn in_order(sightings: Vec<Sighting>, number: impl Fn(&str) -> Option<i64>) -> Vec<Row> {
    let mut merged: BTreeMap<(i64, What, String), Sighting> = BTreeMap::new();
    for sighting in sightings {
        let Some(source) = number(&sighting.source) else { continue };
        let known = merged.entry((source, sighting.what, sighting.name.clone()));
        known.and_modify(|known| known.add(&sighting)).or_insert(sighting);
    }
    merged.into_iter().map(|((source, ..), sighting)| Row { source, sighting }).collect()
}

/// A row as it was read: what, name, when last, how often, listed.
pub(super) type Read = (i64, String, Timestamp, i64, bool);

/// What was seen of a source, by when the bridge last brought it into the store, about a minute ago at most.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sightings {
    /// When a request of it was last verified.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub last_seen: Option<Timestamp>,
    /// Requests verified.
    pub requests: i64,
    /// When the last lead or appointment came.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub last_lead: Option<Timestamp>,
    /// By number.
    pub keys: Vec<KeySeen>,
    /// Last one first.
    pub refusals: Vec<RefusalSeen>,
    /// Last seen first; a bounded number.
    pub clients: Vec<ClientSeen>,
    /// Requests from addresses that are not kept.
    pub other_clients: i64,
    /// Leads and appointments by the hour, as its number since 1970, oldest first; the last weeks.
    #[serde(skip)]
    pub hours: Vec<(i64, i64)>,
}

/// One of a source's signing keys, by its place in the configuration. Nothing is told that is derived from the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeySeen {
    /// From 1.
    pub key: u32,
    /// When it last verified a request.
    #[serde(with = "leadwire_connector::timestamp")]
    pub last_used: Timestamp,
    /// How many it verified.
    pub times: i64,
}

/// A cause for which requests were refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalSeen {
    /// The word used in answers, logs and metrics.
    pub cause: String,
    /// When last.
    #[serde(with = "leadwire_connector::timestamp")]
    pub last: Timestamp,
    /// How often.
    pub times: i64,
}

/// An address that requests came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientSeen {
    /// The address, behind proxies too.
    pub address: String,
    /// When last.
    #[serde(with = "leadwire_connector::timestamp")]
    pub last: Timestamp,
    /// How often.
    pub times: i64,
    /// Whether `allow_ips` had it at that time, or there was none; what is not listed was refused, or let in by `report_only`.
    pub listed: bool,
}

impl Sightings {
    fn read(rows: Vec<Read>) -> Self {
        let mut all = Self::default();
        for (what, name, at, times, listed) in rows {
            all.place(what, name, at, times, listed);
        }
        all.keys.sort_by_key(|key| key.key);
        all.refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.last));
        all.clients.sort_by_key(|client| std::cmp::Reverse(client.last));
        all.hours.sort_unstable();
        all
    }

    fn place(&mut self, what: i64, name: String, at: Timestamp, times: i64, listed: bool) {
        match what {
            0 => (self.last_seen, self.requests) = (Some(at), times),
            1 => self.last_lead = Some(at),
            2 => self.keys.extend(name.parse().ok().map(|key| KeySeen { key, last_used: at, times })),
            3 => self.refusals.push(RefusalSeen { cause: name, last: at, times }),
            4 => self.clients.push(ClientSeen { address: name, last: at, times, listed }),
            5 => self.other_clients = times,
            6 => self.hours.extend(name.parse::<i64>().ok().map(|hour| (hour, times))),
            // Of a later version.
            _ => {}
        }
    }

    /// How its leads are missed at this moment; `None` when it never had one.
    #[must_use]
    pub fn silence(&self, now: Timestamp) -> Option<Silence> {
        Some(silence::judge(&self.hours, self.last_lead?, now))
    }
}

/// Sightings.
impl Store {
    /// Adds what was seen to what is known, and forgets what is old or too much.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn note_sightings(&self, sightings: Vec<Sighting>, now: Timestamp) -> Result<()> {
        let before = |age| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let cutoffs = Cutoffs { seen: before(FORGOTTEN_AFTER), hours: before(HOURS_KEPT) };
        each!(&self.engine, engine => engine.note_sightings(sightings, cutoffs).await)
    }

    /// What was seen of a source; empty when nothing was.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn sightings(&self, source: &str) -> Result<Sightings> {
        let rows = each!(&self.engine, engine => engine.sightings(source.to_owned()).await)?;
        Ok(rows.map(Sightings::read).unwrap_or_default())
    }
}
