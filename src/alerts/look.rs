//! Looking at the bridge: the edge between what runs and what decides.

use super::digest::{Going, Totals};
use super::problem::{Destination, Lane, Stored, View};
use super::silence::{AllHeard, hear};
use crate::deliver::Statuses;
use crate::store::{DeadCause, DestinationRow, Keeper, Result, Store, free_bytes, judge_silence};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A store that takes longer counts as one that cannot be read.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// A disk that takes longer is left out.
const DISK_WITHIN: Duration = Duration::from_secs(2);
/// What costs more is read no more often than this.
const SELDOM: Duration = Duration::from_secs(30);
/// The same in looks.
const LOOKS: u32 = 6;
/// Growth of the quarantine is counted over this time,
const QUARANTINE_SPAN: SignedDuration = SignedDuration::from_hours(1);
/// and by at most so many of the newest bodies.
const QUARANTINE_MOST: u32 = 1_000;
const CAUSES_MOST: usize = 5;

/// Everything that is looked at.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) store: Store,
    pub(super) keeper: Keeper,
    pub(super) lanes: Statuses,
    /// Folders whose disks must not fill up.
    pub(super) folders: Vec<PathBuf>,
    pub(super) host: String,
    /// How often is looked.
    pub(super) every: Duration,
    pub(super) memory: Memory,
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    down_since: BTreeMap<String, Timestamp>,
    unreadable_since: Option<Timestamp>,
    causes: BTreeMap<String, (i64, Vec<DeadCause>)>,
    seldom: Option<(Instant, Seldom)>,
    /// When this bridge began to listen: what did not come before is no silence of a source.
    began: Option<Timestamp>,
}

/// What costs more to read.
#[derive(Debug, Clone, Default)]
struct Seldom {
    oldest: BTreeMap<String, Timestamp>,
    quarantined: BTreeMap<String, BTreeMap<String, i64>>,
    missing: BTreeMap<String, Timestamp>,
}

impl Look {
    /// The store, unless it is sick: then nothing waits for it.
    pub(super) fn store(&self) -> Option<&Store> {
        self.keeper.condition().sick_for.is_none().then_some(&self.store)
    }

    /// How things stand. `heard` is what is known of the sources.
    pub(super) async fn view(&mut self, heard: &AllHeard, now: Timestamp) -> View {
        let condition = self.keeper.condition();
        let sick_since = condition.sick_for.and_then(|lasts| now.checked_sub(SignedDuration::try_from(lasts).ok()?).ok());
        let stored = match timeout(READ_WITHIN, self.read(heard, now)).await {
            Ok(Ok(stored)) => Some(stored),
            Ok(Err(_)) | Err(_) => None,
        };
        let unreadable_since = if stored.is_some() { None } else { Some(self.memory.unreadable_since.unwrap_or(now)) };
        self.memory.unreadable_since = unreadable_since;
        View {
            now,
            host: self.host.clone(),
            store_sick_since: sick_since.or(unreadable_since),
            spool: condition.spool,
            disks: self.disks().await,
            lanes: self.lanes(now),
            stored,
        }
    }

    fn lanes(&mut self, now: Timestamp) -> Vec<Lane> {
        let mut down = BTreeMap::new();
        let mut lanes = Vec::new();
        for (name, status) in self.lanes.iter() {
            let is_down = !status.flowing;
            let down_since = is_down.then(|| self.memory.down_since.get(&name).copied().unwrap_or(now));
            down.extend(down_since.map(|since| (name.clone(), since)));
            lanes.push(Lane { name, hold: status.hold, down_since });
        }
        self.memory.down_since = down;
        lanes
    }

    async fn disks(&self) -> Vec<(String, u64)> {
        let folders = self.folders.clone();
        let ask = tokio::task::spawn_blocking(move || {
            folders.iter().filter_map(|folder| Some((folder.display().to_string(), free_bytes(folder)?))).collect()
        });
        timeout(DISK_WITHIN, ask).await.ok().and_then(std::result::Result::ok).unwrap_or_default()
    }

    async fn read(&mut self, heard: &AllHeard, now: Timestamp) -> Result<Stored> {
        let rows = self.store.holds().await?;
        let counts: BTreeMap<String, i64> = self.store.source_counts().await?.into_iter().collect();
        let seldom = self.seldom(&counts, now).await?;
        let mut destinations = Vec::new();
        for row in rows {
            let causes = self.causes(&row).await?;
            let DestinationRow { name, hold, counts, .. } = row;
            let oldest = seldom.oldest.get(&name).copied().filter(|_| counts.pending > 0);
            destinations.push(Destination { hold, pending: counts.pending, dead: counts.dead, causes, oldest, name });
        }
        Ok(Stored { destinations, quarantined: seldom.quarantined, heard: hear(heard, &counts, now), missing: seldom.missing })
    }

    /// Read anew when there are more or fewer of them.
    async fn causes(&mut self, row: &DestinationRow) -> Result<Vec<DeadCause>> {
        let known = self.memory.causes.get(&row.name);
        if let Some((_, causes)) = known.filter(|(dead, _)| *dead == row.counts.dead) {
            return Ok(causes.clone());
        }
        let all = if row.counts.dead > 0 { self.store.dead_causes().await? } else { Vec::new() };
        let causes: Vec<DeadCause> = all.into_iter().filter(|cause| cause.destination == row.name).take(CAUSES_MOST).collect();
        self.memory.causes.insert(row.name.clone(), (row.counts.dead, causes.clone()));
        Ok(causes)
    }

    async fn seldom(&mut self, counts: &BTreeMap<String, i64>, now: Timestamp) -> Result<Seldom> {
        let every = SELDOM.min(self.every * LOOKS);
        if let Some((_, seldom)) = self.memory.seldom.as_ref().filter(|(at, _)| at.elapsed() < every) {
            return Ok(seldom.clone());
        }
        let mut quarantined: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        if self.store.count_quarantined().await? > 0 {
            let rows = self.store.quarantined(None, QUARANTINE_MOST).await?;
            for row in rows.into_iter().filter(|row| now.duration_since(row.at) < QUARANTINE_SPAN) {
                *quarantined.entry(row.source).or_default().entry(row.code).or_default() += 1;
            }
        }
        let missing = self.missing(counts, now).await?;
        let seldom = Seldom { oldest: self.store.oldest_pending_each().await?.into_iter().collect(), quarantined, missing };
        self.memory.seldom = Some((Instant::now(), seldom.clone()));
        Ok(seldom)
    }

    /// Sources whose leads are missed, and since when.
    async fn missing(&mut self, counts: &BTreeMap<String, i64>, now: Timestamp) -> Result<BTreeMap<String, Timestamp>> {
        let began = *self.memory.began.get_or_insert(now);
        let mut missing = BTreeMap::new();
        for source in counts.keys() {
            let seen = self.store.sightings(source).await?;
            let silence = seen.last_lead.map(|last| judge_silence(&seen.hours, last.max(began), now));
            if silence.is_some_and(|silence| silence.unusual) {
                missing.extend(seen.last_lead.map(|last| (source.clone(), last)));
            }
        }
        Ok(missing)
    }

    /// For the digest. What retention removed was delivered or skipped, so that what was done only grows.
    pub(super) async fn totals(&self) -> Option<Totals> {
        timeout(READ_WITHIN, self.read_totals()).await.ok().and_then(Result::ok)
    }

    async fn read_totals(&self) -> Result<Totals> {
        let status = self.store.status().await?;
        let held: Vec<String> = self.store.holds().await?.into_iter().filter(|row| row.hold.is_some()).map(|row| row.name).collect();
        let going = status.destinations.into_iter().map(|row| {
            let counts = row.ledger.counts;
            let done = row.ledger.made - counts.pending - counts.dead - counts.erased;
            let held = held.contains(&row.ledger.name);
            (row.ledger.name, Going { done, pending: counts.pending, dead: counts.dead, held })
        });
        Ok(Totals {
            received: self.store.source_counts().await?.into_iter().collect(),
            destinations: going.collect(),
            quarantined: status.quarantine_bodies,
            unrouted: self.store.count_unrouted().await?,
        })
    }
}
