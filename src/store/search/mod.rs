//! Finding events by what people know of them. What every engine shares is here: the words, the pages of the index, the way of a
//! search through them, and what is to be put into the index next. An engine keeps the pages and reads the rows.

mod indexing;
mod page;
mod walk;
mod words;

pub(super) use indexing::{BATCH_BYTES, Draft, STRETCH, Unread, Work, has_strays, next as next_work};
pub(super) use page::{Page, without};
pub(super) use walk::{Bounds, Found, Places, Shelf, Stretch, find};
pub(super) use words::{Query, stays};

use super::model::{EventFilter, EventRow};
use super::operations::each;
use super::{Engine, Error, Result, Store};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// So many events that came since are worth a batch; fewer are quickly looked through by each search.
const AT_LEAST: i64 = 128;
/// How often it is looked whether there are so many.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After so many looks, fewer are put into the index as well, and a part of it is looked over.
const LOOKS: u32 = 300;
/// How long to wait when the store is sick.
const AGAIN: Duration = Duration::from_secs(30);
/// Between two batches, at least;
const PAUSE: Duration = Duration::from_millis(20);
/// and so many times as long as a batch took: leads come first while many come, and the index catches up afterwards.
const PAUSES: [(u64, u32); 2] = [(500, 12), (0, 1)];
/// Related events, at most.
const RELATED: u32 = 100;

/// What the audit holds of the index.
pub(super) const INDEX_INVARIANT: &str = "the search index is whole and knows no event that is erased or gone";

/// Places that are fetched to be compared with the index; when more events are in a state, it is asked of each event instead.
pub(super) const MAX_AMONG: usize = 50_000;

impl EventFilter {
    /// What is asked of the index.
    pub(super) fn query(&self) -> Query {
        let mut query = Query::default();
        if let Some(email) = &self.email {
            query.add_email(email);
        }
        if let Some(digits) = self.last_digits() {
            query.add_phone(&digits);
        }
        if let Some(session) = &self.session {
            query.add_session(session);
        }
        if let Some(chatbot) = &self.chatbot {
            query.add_chatbot(chatbot);
        }
        if let Some(text) = self.text.as_deref().filter(|_| self.event_id().is_none()) {
            query.add_text(text);
        }
        if let Some(source) = &self.source {
            query.add_source(source);
        }
        if let Some(kind) = &self.kind {
            query.add_kind(kind);
        }
        query
    }

    /// The event whose id was typed.
    pub(super) fn event_id(&self) -> Option<Uuid> {
        self.text.as_deref().and_then(|text| text.trim().parse().ok())
    }

    /// For the newest `limit` events.
    pub(super) fn newest(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }
}

impl Store {
    /// Other events of the same person, by e-mail and telephone number, and of the same session of the same chatbot, newest first; 100
    /// at most. None when there is no event of that id.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn related(&self, event: Uuid) -> Result<Vec<EventRow>> {
        let Some(detail) = self.event(event).await? else { return Ok(Vec::new()) };
        let query = Query::related(&detail.row.event);
        let filter = EventFilter::newest(RELATED + 1);
        let mut rows = each!(&self.engine, engine => engine.search(filter, query).await)?;
        rows.retain(|row| row.event.id != event);
        rows.truncate(RELATED as usize);
        Ok(rows)
    }

    /// Puts one batch of events into the index, or mends a part of it. A gap of fewer events than `at_least` is left for later: a
    /// search looks through it directly. False when there was nothing to do. Any process may do it, beside a bridge as well.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read or written.
    pub async fn index_events(&self, at_least: u32) -> Result<bool> {
        each!(&self.engine, engine => engine.index_events(i64::from(at_least.max(1))).await)
    }

    /// Looks over the index from the stretch after `after` on, and throws away what is damaged, for it to be made anew. Returns which
    /// stretch was looked over; `None` at the end.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read or written.
    pub async fn check_index(&self, after: i64) -> Result<Option<i64>> {
        each!(&self.engine, engine => engine.check_index(after).await)
    }

    /// Keeps the index behind the events, for ever. A failure is tried again; meanwhile searches are slower, and find the same.
    pub async fn keep_index(self) {
        let (mut looks, mut checked) = (0_u32, i64::MIN);
        let mut traffic = Traffic { at: Instant::now(), received: 0 };
        loop {
            let began_at = Instant::now();
            looks = (looks + 1) % LOOKS;
            let at_least = if looks == 0 { 1 } else { AT_LEAST };
            let pause = match self.keep_index_once(at_least, &mut checked).await {
                Ok(true) => (began_at.elapsed() * traffic.pauses(self.figures().store().receive.batches().sum)).max(PAUSE),
                Ok(false) => LOOK_EVERY,
                Err(error) => {
                    tracing::warn!("the search index was not brought up to date; trying again: {error}");
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One batch; with none to do, one stretch is looked over.
    async fn keep_index_once(&self, at_least: i64, checked: &mut i64) -> Result<bool> {
        let worked = each!(&self.engine, engine => engine.index_events(at_least).await)?;
        if !worked {
            *checked = self.check_index(*checked).await?.unwrap_or(i64::MIN);
        }
        Ok(worked)
    }
}

/// What this process had received at some moment.
struct Traffic {
    at: Instant,
    received: u64,
}

impl Traffic {
    /// How many times as long as a batch to pause after it, now that so much was received.
    fn pauses(&mut self, received: u64) -> u32 {
        let milliseconds = self.at.elapsed().as_millis().max(1);
        let per_second = u128::from(received.saturating_sub(self.received)) * 1_000 / milliseconds;
        (self.at, self.received) = (Instant::now(), received);
        PAUSES.into_iter().find(|(from, _)| per_second >= u128::from(*from)).map_or(1, |(_, pauses)| pauses)
    }
}

/// Of a task that looks at the index on a thread of its own.
pub(super) fn broke_off(error: &tokio::task::JoinError) -> Error {
    Error::Refused(format!("a search broke off: {error}"))
}
