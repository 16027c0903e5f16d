//! Fetching from the platform's list of leads what its webhooks lost. What came by webhook is recognised, although the list writes a lead
//! in another way; see `same`. Nothing is remembered between two runs: what was stored is recognised, so that a run that was interrupted
//! is done again, and goes on.

mod api;
mod same;

pub use api::{ApiError, LeadList, Pages};

use super::intake::Intake;
use crate::normalize::{ContentKey, Normalized, read_listed};
use crate::store::{self, KnownEvent, Receipt, Received, Store, Via};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use same::is_same;
use std::collections::HashSet;
use uuid::Uuid;

/// Events stored in one transaction.
const PIECE: usize = 100;
/// A lead that a person made of a conversation has the conversation's time, which may be a day off.
const AROUND: SignedDuration = SignedDuration::from_hours(24);

/// Why a backfill ended early.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The list.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is no such source.
    #[error("there is no source `{0}`")]
    Source(String),
}

/// What a backfill found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Backfilled {
    /// Leads and appointments on the list, of the time that was asked for.
    pub listed: u64,
    /// That are here, or were, and whose person was erased.
    pub known: u64,
    /// That are not here, and are stored now unless this is a dry run.
    pub missing: u64,
    /// That were stored.
    pub stored: u64,
    /// Records without a time: they cannot be compared, and are not stored.
    pub undated: u64,
    /// Records that are no lead and no appointment.
    pub unreadable: u64,
}

/// The time to look at, and whether what is missing is stored.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// From this moment on.
    pub since: Timestamp,
    /// Up to this one.
    pub until: Timestamp,
    /// Without it, it is a dry run.
    pub store: bool,
}

impl Span {
    /// The days to ask for, in UTC, as the list has it.
    #[must_use]
    pub fn days(&self) -> Vec<Date> {
        let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        let last = day(self.until);
        day(self.since).series(1.day()).take_while(|date| *date <= last).collect()
    }
}

/// Goes through the list, day by day and chatbot by chatbot. `progress` is called after each.
///
/// # Errors
/// When the list or the store fails; what was stored until then stays, and is recognised when it is done again.
pub async fn backfill(
    intake: &Intake,
    store: &Store,
    source: &str,
    list: &LeadList,
    span: Span,
    mut progress: impl FnMut(&Backfilled),
) -> Result<Backfilled, BackfillError> {
    let gate = intake.sources.get(source).ok_or_else(|| BackfillError::Source(source.to_owned()))?;
    let mut total = Backfilled::default();
    // Days are asked for with their ends, so that neighbours may tell the same lead.
    let mut seen: HashSet<ContentKey> = HashSet::new();
    for day in span.days() {
        let known = known_around(store, source, day).await?;
        for chatbot in list.chatbots() {
            let mut missing = Vec::new();
            for record in list.day(chatbot, day).await? {
                let Some(listed) = read_listed(&record, chatbot, &gate.profile, Uuid::now_v7(), Timestamp::now()) else {
                    total.unreadable += 1;
                    continue;
                };
                if seen.insert(listed.content_key) && total.is_missing(&listed, &known, span) {
                    missing.push(listed);
                }
            }
            if span.store {
                total.stored += store_all(intake, store, missing).await?;
            }
            progress(&total);
        }
    }
    Ok(total)
}

impl Backfilled {
    fn is_missing(&mut self, listed: &Normalized, known: &[KnownEvent], span: Span) -> bool {
        let Some(created_at) = listed.content_key.created_at() else {
            self.undated += 1;
            return false;
        };
        if created_at < span.since || created_at > span.until {
            return false;
        }
        self.listed += 1;
        let is_known = known.iter().any(|known| is_same(listed, known));
        if is_known {
            self.known += 1;
        } else {
            self.missing += 1;
        }
        !is_known
    }
}

/// What is stored of the source that happened on that day or around it.
async fn known_around(store: &Store, source: &str, day: Date) -> store::Result<Vec<KnownEvent>> {
    let Ok(begin) = day.to_zoned(TimeZone::UTC).map(|at| at.timestamp()) else { return Ok(Vec::new()) };
    let first = ContentKey::before(begin.checked_sub(AROUND).unwrap_or(Timestamp::MIN));
    // A day's end may be told with the next day.
    let last = ContentKey::before(begin.checked_add(AROUND * 3).unwrap_or(Timestamp::MAX));
    let (mut all, mut after): (Vec<KnownEvent>, _) = (Vec::new(), first.0);
    loop {
        let piece = store.known_events(source, after, last.0).await?;
        let Some(end) = piece.last() else { return Ok(all) };
        after = end.content_key;
        all.extend(piece.into_iter().filter(|known| matches!(known.kind.as_str(), "lead" | "appointment")));
    }
}

async fn store_all(intake: &Intake, store: &Store, missing: Vec<Normalized>) -> store::Result<u64> {
    let mut stored = 0;
    let mut events = missing.into_iter().map(|listed| intake.address(listed, Receipt::unsigned(Via::Backfill))).peekable();
    while events.peek().is_some() {
        let piece: Vec<_> = events.by_ref().take(PIECE).collect();
        stored += store.receive(piece).await?.iter().filter(|received| **received == Received::New).count() as u64;
    }
    Ok(stored)
}
