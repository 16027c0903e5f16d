//! The durable memory of a delivery: which remote writes are done.

use crate::{DeliveryError, ErrorKind};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// What is kept in place of a mark that was taken back.
const WITHDRAWN: &str = "withdrawn";
/// The step of a delivery that has waited for a search to follow.
const WAITED: &str = "waited";

/// Where finished steps are kept. The bridge brings its store; tests bring [`MemorySteps`].
#[async_trait]
pub trait StepStore: Send + Sync {
    /// Durable when it returns `Ok`. The error is a sentence for a person.
    async fn save(&self, name: &str, remote_id: &str) -> Result<(), String>;
}

/// The steps of one delivery that are done, with the remote ids they made. Survives restarts of the bridge.
///
/// ```
/// # use leadwire_connector::{MemorySteps, Steps};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemorySteps::default();
/// let mut steps = Steps::new(&store, []);
/// let contact = steps.once("contact", async { Ok("101".to_owned()) }).await.unwrap();
/// let again = steps.once("contact", async { unreachable!("a finished step is not run again") }).await.unwrap();
/// assert_eq!(contact, again);
/// # });
/// ```
pub struct Steps<'a> {
    store: &'a dyn StepStore,
    done: HashMap<String, String>,
}

impl std::fmt::Debug for Steps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").field("done", &self.done).finish_non_exhaustive()
    }
}

impl<'a> Steps<'a> {
    /// The steps that earlier attempts finished, as (name, remote id).
    pub fn new(store: &'a dyn StepStore, done: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { store, done: done.into_iter().collect() }
    }

    /// Runs `step` unless an earlier attempt finished it, and keeps its remote id before returning it.
    ///
    /// # Errors
    /// The step's own error; or one to be retried when the remote id could not be kept, in which case the step may run again.
    pub async fn once(&mut self, name: &str, step: impl Future<Output = Result<String, DeliveryError>>) -> Result<String, DeliveryError> {
        if let Some(remote_id) = self.done.get(name) {
            return Ok(remote_id.clone());
        }
        let remote_id = step.await?;
        self.keep(name, &remote_id).await?;
        Ok(remote_id)
    }

    /// The remote id of a finished step.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.done.get(name).map(String::as_str)
    }

    /// The remote id of a finished step, unless it was [undone](Self::undo).
    #[must_use]
    pub fn done(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|id| !id.is_empty())
    }

    /// The step is to be run again: what it wrote is gone, such as the notes of a contact that was deleted meanwhile.
    ///
    /// # Errors
    /// One to be retried when the store refuses.
    pub async fn undo(&mut self, name: &str) -> Result<(), DeliveryError> {
        if self.done(name).is_some() { self.keep(name, "").await } else { Ok(()) }
    }

    /// Everything that is kept, as names and remote ids, in the order of the names. Marks of [`announce`](Self::announce) are among it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut all: Vec<(&str, &str)> = self.done.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
        all.sort_unstable();
        all.into_iter()
    }

    /// For a search that is behind the writes: the first time, an error to be tried again after `lag`; then nothing, in this delivery.
    ///
    /// # Errors
    /// That one; or one to be retried when the store refuses.
    pub async fn wait_once(&mut self, why: &str, lag: Duration) -> Result<(), DeliveryError> {
        if self.get(WAITED).is_some() {
            return Ok(());
        }
        self.keep(WAITED, "").await?;
        let message = format!("{why}; it is looked for once more in {} seconds", lag.as_secs());
        Err(DeliveryError::retry_after(ErrorKind::Unexpected, message, Some(lag)))
    }

    /// Marks that a write which must not be repeated blindly is about to be sent. True when an earlier attempt
    /// already marked it: the connector then reads back before it writes.
    ///
    /// # Errors
    /// One to be retried when the mark could not be kept; nothing has been sent then.
    pub async fn announce(&mut self, name: &str) -> Result<bool, DeliveryError> {
        if self.is_announced(name) {
            return Ok(true);
        }
        self.keep(&mark(name), "").await?;
        Ok(false)
    }

    /// Whether [`announce`](Self::announce) marked it, in this attempt or an earlier one. Marks nothing.
    #[must_use]
    pub fn is_announced(&self, name: &str) -> bool {
        self.done.get(&mark(name)).is_some_and(|kept| kept != WITHDRAWN)
    }

    /// Takes the mark back: every answer since it was made says for certain that nothing was written.
    ///
    /// ```
    /// # use leadwire_connector::{MemorySteps, Steps};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let store = MemorySteps::default();
    /// let mut steps = Steps::new(&store, []);
    /// steps.announce("note").await.unwrap();
    /// steps.withdraw("note").await.unwrap();
    /// let mut next = Steps::new(&store, store.saved());
    /// assert!(!next.is_announced("note"));
    /// assert!(!next.announce("note").await.unwrap(), "nothing was written by then");
    /// assert!(Steps::new(&store, store.saved()).is_announced("note"));
    /// # });
    /// ```
    ///
    /// # Errors
    /// One to be retried when that could not be kept; the mark stays then.
    pub async fn withdraw(&mut self, name: &str) -> Result<(), DeliveryError> {
        if self.is_announced(name) { self.keep(&mark(name), WITHDRAWN).await } else { Ok(()) }
    }

    /// Keeps a remote id, replacing an older one of the same name (a record that was merged into another).
    ///
    /// # Errors
    /// One to be retried when the store refuses.
    pub async fn keep(&mut self, name: &str, remote_id: &str) -> Result<(), DeliveryError> {
        self.store
            .save(name, remote_id)
            .await
            .map_err(|error| DeliveryError::retry(ErrorKind::Internal, format!("the finished step `{name}` could not be kept: {error}")))?;
        self.done.insert(name.to_owned(), remote_id.to_owned());
        Ok(())
    }
}

fn mark(name: &str) -> String {
    format!("{name}.sent")
}

/// Keeps steps in memory, for tests and previews.
#[derive(Debug, Default)]
pub struct MemorySteps {
    saved: Mutex<HashMap<String, String>>,
}

impl MemorySteps {
    /// With these steps done, as (name, remote id).
    #[must_use]
    pub fn of(done: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { saved: Mutex::new(done.into_iter().collect()) }
    }

    /// Everything saved so far, to start the next attempt with.
    #[must_use]
    pub fn saved(&self) -> HashMap<String, String> {
        self.saved.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl StepStore for MemorySteps {
    async fn save(&self, name: &str, remote_id: &str) -> Result<(), String> {
        let mut saved = self.saved.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        saved.insert(name.to_owned(), remote_id.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::Verdict;

    #[tokio::test]
    async fn an_undone_step_runs_again_and_one_that_was_never_done_is_left_alone() {
        let store = MemorySteps::default();
        let mut steps = Steps::new(&store, []);
        steps.undo("note").await.unwrap();
        assert!(steps.iter().next().is_none());
        steps.keep("note", "1").await.unwrap();
        steps.keep("contact", "7").await.unwrap();
        steps.undo("note").await.unwrap();
        assert_eq!((steps.done("note"), steps.done("contact")), (None, Some("7")));
        assert_eq!(Steps::new(&store, store.saved()).iter().collect::<Vec<_>>(), [("contact", "7"), ("note", "")]);
    }

    #[tokio::test]
    async fn a_search_is_waited_for_once_in_a_delivery() {
        let store = MemorySteps::default();
        let lag = Duration::from_secs(15);
        let error = Steps::new(&store, []).wait_once("nobody is there yet", lag).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Retry { after: Some(lag) });
        assert!(error.message.contains("once more in 15 seconds"), "{error}");
        assert!(Steps::new(&store, store.saved()).wait_once("nobody is there yet", lag).await.is_ok());
    }
}
