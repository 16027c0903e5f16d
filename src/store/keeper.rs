//! Keeping what was received, also while the store is sick: a write is repeated for a moment, then the spool takes it if there is
//! one, and only then it is refused.

#[cfg(test)]
mod tests;

use super::drain;
use super::patience::{End, FIRST_PAUSE, LONGEST_PAUSE, PATIENCE, Patience};
use super::spool::entry::Entry;
use super::spool::{Spool, SpoolStatus};
use super::telling::Telling;
use super::{DestinationId, Error, NewEvent, QuarantineClass, QuarantineLimits, Quarantined, Received, Refused, Result, Store};
use crate::figures::Figures;
use crate::swap::Swap;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::RwLock;
use tokio::task::JoinHandle;

/// What a row takes beside its event, about.
const ROW_BYTES: usize = 512;

/// Where a request was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept<T> {
    /// In the store.
    Stored(T),
    /// In the spool; it comes into the store when that is well.
    Spooled,
}

/// The store's health, and the spool's.
#[derive(Debug, Clone)]
pub struct Condition {
    /// For how long the store has been sick; `None` when it is well.
    pub sick_for: Option<Duration>,
    /// Writes it did not take, ever, repetitions included.
    pub failures: u64,
    /// `None` without a spool.
    pub spool: Option<SpoolStatus>,
}

/// The store with patience, and its spool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keeper {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) spool: Option<Spool>,
    limits: Swap<QuarantineLimits>,
    names: Swap<HashMap<DestinationId, String>>,
    patience: Mutex<Patience>,
    log: Mutex<Log>,
    /// Held by many while they append to the spool, and by one that brings its last records into the store.
    pub(super) appending: RwLock<()>,
}

/// What the log is told of the store.
#[derive(Debug, Default)]
struct Log {
    sickness: Telling,
    /// Requests refused since it went sick.
    refused: u64,
}

impl Keeper {
    /// `destinations` are the names of the configuration; the spool keeps names.
    pub fn new<'a>(
        store: Store,
        spool: Option<Spool>,
        limits: QuarantineLimits,
        destinations: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let names = Swap::new(numbered(&store, destinations).collect());
        let limits = Swap::new(limits);
        let shared =
            Shared { store, spool, limits, names, patience: Mutex::default(), log: Mutex::default(), appending: RwLock::default() };
        Self { shared: Arc::new(shared) }
    }

    /// From now on with these limits, and with these destinations, too.
    pub fn change<'a>(&self, limits: QuarantineLimits, destinations: impl IntoIterator<Item = &'a String>) {
        let mut names = HashMap::clone(&self.shared.names.now());
        names.extend(numbered(&self.shared.store, destinations));
        self.shared.names.put(names);
        self.shared.limits.put(limits);
    }

    /// What this process counts.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        self.shared.store.figures()
    }

    /// Starts the one task that looks whether a sick store is back, and that brings the spool into it.
    pub fn start(&self) -> JoinHandle<()> {
        tokio::spawn(drain::run(self.clone()))
    }

    /// Keeps these events, all or none, in the order per person. Durable when it returns.
    ///
    /// # Errors
    /// `Unavailable` when neither store nor spool took them in time.
    pub async fn receive(&self, events: Vec<NewEvent>) -> Result<Kept<Vec<Received>>> {
        // Shared, since it may be written several times, and is not copied for the first.
        let events: Arc<[NewEvent]> = events.into();
        let entry = || Entry::of_events(&events, &self.shared.names.now());
        let kept = self.keep(size_of(&events), entry, || self.shared.store.receive(Arc::clone(&events))).await;
        kept.inspect_err(|error| self.count_refused(error))
    }

    /// Keeps a body that could not be verified. One that is promised has the same patience as an event, and the spool; for others
    /// the store is asked once, because their senders are refused anyway.
    ///
    /// # Errors
    /// `Unavailable` when it was not kept.
    pub async fn quarantine(&self, refused: Refused) -> Result<Kept<Quarantined>> {
        let size = refused.body.len() + ROW_BYTES;
        let write = || self.shared.store.quarantine(refused.clone(), *self.shared.limits.now());
        let kept = if refused.class == QuarantineClass::Promised {
            self.keep(size, || Ok(Entry::of_promised(&refused)), write).await
        } else {
            self.once(size, write()).await.map(Kept::Stored)
        };
        kept.inspect_err(|error| self.count_refused(error))
    }

    /// Proves that the store can commit, by committing.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn probe(&self) -> Result<()> {
        self.once(0, self.shared.store.probe()).await
    }

    /// How store and spool are.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let (sick, failures) = {
            let patience = self.patience();
            (patience.sick(), patience.failures())
        };
        Condition { sick_for: sick.map(|(since, _)| since.elapsed()), failures, spool: self.shared.spool.as_ref().map(Spool::status) }
    }

    /// The size of a write that would prove a sick store well.
    pub(super) fn sign_wanted(&self) -> Option<usize> {
        self.patience().sick().map(|(_, bytes)| bytes)
    }

    /// Notes how a write ended.
    pub(super) fn note<T>(&self, bytes: usize, result: Option<&Result<T>>) {
        let (end, error) = match result {
            Some(Ok(_)) => (End::Committed, None),
            Some(Err(Error::Refused(_))) => (End::Unknown, None),
            Some(Err(error @ Error::Unavailable(_))) => (End::Failed, Some(error.clone())),
            None => (End::Hung, Some(hung())),
        };
        self.patience().note(bytes, end, Instant::now());
        match error {
            Some(error) => self.tell_sick(&error),
            None if end == End::Committed && self.sign_wanted().is_none() => self.tell_well(),
            None => {}
        }
    }

    /// Tells the log that the store takes nothing, and why, unless it was told within the last minute.
    pub(super) fn tell_sick(&self, why: &Error) {
        let now = Instant::now();
        let since = self.patience().sick().map_or(now, |(since, _)| since);
        let mut log = self.log();
        let is_new = log.sickness.is_over();
        let Some(lasts) = log.sickness.trouble(since, now) else { return };
        if is_new {
            let then = if self.shared.spool.is_some() { "kept in the spool" } else { "refused with 503" };
            tracing::error!("the store is sick: what is received waits for it a moment, and is then {then}: {why}");
        } else {
            tracing::error!(refused = log.refused, "the store has been sick for {} s: {why}", lasts.as_secs());
        }
    }

    fn tell_well(&self) {
        let mut log = self.log();
        if let Some(lasted) = log.sickness.over(Instant::now()) {
            tracing::info!(refused = log.refused, "the store is well again, after {:.1} s", lasted.as_secs_f64());
            log.refused = 0;
        }
    }

    fn count_refused(&self, error: &Error) {
        if matches!(error, Error::Unavailable(_)) {
            self.log().refused += 1;
        }
    }

    async fn keep<T, F: Future<Output = Result<T>>>(
        &self,
        size: usize,
        entry: impl Fn() -> Result<Entry>,
        write: impl Fn() -> F,
    ) -> Result<Kept<T>> {
        let Some(spool) = &self.shared.spool else { return self.patiently(size, write).await.map(Kept::Stored) };
        {
            let _turn = self.shared.appending.read().await;
            // What came later must not overtake what is still in the spool.
            if spool.pending() > 0 {
                return spool.append(&entry()?).await.map(|()| Kept::Spooled);
            }
        }
        match self.patiently(size, write).await {
            Err(Error::Unavailable(reason)) => {
                let _turn = self.shared.appending.read().await;
                let appended = spool.append(&entry()?).await;
                appended.map(|()| Kept::Spooled).map_err(|error| Error::Unavailable(format!("{reason}; and {error}")))
            }
            result => result.map(Kept::Stored),
        }
    }

    /// Repeats a write for as long as the store deserves it. A repetition of one that was committed, though its answer got lost, is
    /// a duplicate by its content.
    async fn patiently<T, F: Future<Output = Result<T>>>(&self, size: usize, write: impl Fn() -> F) -> Result<T> {
        let turn = Turn::begin(self, size)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let result = turn.within(write()).await;
            self.note(size, result.as_ref());
            let error = match result {
                Some(Err(error @ Error::Unavailable(_))) => error,
                Some(result) => return result,
                None => return Err(hung()),
            };
            // Not longer than from its own beginning either: others may be committed while this one, larger, never is.
            if Instant::now() + pause >= turn.deadline().min(turn.begun + PATIENCE) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A write that is not repeated.
    pub(super) async fn once<T>(&self, size: usize, write: impl Future<Output = Result<T>>) -> Result<T> {
        let turn = Turn::begin(self, size)?;
        let result = turn.within(write).await;
        self.note(size, result.as_ref());
        result.unwrap_or_else(|| Err(hung()))
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.shared.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn numbered<'a>(store: &Store, names: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = (DestinationId, String)> {
    names.into_iter().filter_map(|name| Some((store.destination_id(name)?, name.clone())))
}

/// What these events take, about.
pub(super) fn size_of(events: &[NewEvent]) -> usize {
    events.iter().map(|new| new.body.len() + ROW_BYTES).sum()
}

fn hung() -> Error {
    Error::Unavailable("the store is unavailable: it does not answer".to_owned())
}

/// One write that is wanted. Not wanted any more when dropped, also when the sender hung up.
struct Turn<'a> {
    keeper: &'a Keeper,
    size: usize,
    begun: Instant,
}

impl<'a> Turn<'a> {
    fn begin(keeper: &'a Keeper, size: usize) -> Result<Self> {
        let begun = Instant::now();
        let is_worth_it = keeper.patience().begin(size, begun);
        if !is_worth_it {
            let why = "the store is unavailable: it has taken nothing for a while, or too many requests wait for it";
            let refusal = Error::Unavailable(why.to_owned());
            keeper.tell_sick(&refusal);
            return Err(refusal);
        }
        Ok(Self { keeper, size, begun })
    }

    fn deadline(&self) -> Instant {
        self.keeper.patience().deadline(self.size, self.begun)
    }

    /// `None` when the store does not answer in time. The time begins anew with each commit of others.
    async fn within<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        let mut write = pin!(write);
        loop {
            let deadline = self.deadline();
            if let Ok(result) = tokio::time::timeout_at(deadline.into(), write.as_mut()).await {
                return Some(result);
            }
            if self.deadline() <= Instant::now() {
                return None;
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.keeper.patience().leave(self.size);
    }
}
