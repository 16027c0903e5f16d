//! What goes on when the page is left.

use crate::store::{Error, Result, Store};
use jiff::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// How long a job waits for a store that failed, and how often.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const TIMES: usize = 60;

/// The jobs of this bridge. Dropped with it; each is in transactions of its own, so that it can be cut short anywhere.
#[derive(Debug)]
pub struct Jobs {
    runtime: Handle,
    tasks: Mutex<JoinSet<()>>,
}

impl Jobs {
    /// Without any yet. They run on the runtime of the caller, which outlives a listener's own.
    #[must_use]
    pub fn new() -> Self {
        Self { runtime: Handle::current(), tasks: Mutex::default() }
    }

    /// Does `work` beside everything else and notes the end of its action with what it returns. A store that is unavailable is waited
    /// for; `work` must go on where it was.
    pub(super) fn start<F>(&self, store: &Store, action: i64, work: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<usize>> + Send,
    {
        let store = store.clone();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        let job = async move {
            if let Err(error) = until_done(&store, action, &work).await {
                tracing::error!(action, "a job of the console was given up; ask for it again to go on: {error}");
            }
        };
        tasks.spawn_on(job, &self.runtime);
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self::new()
    }
}

async fn until_done<F: Future<Output = Result<usize>>>(store: &Store, action: i64, work: &impl Fn() -> F) -> Result<()> {
    let mut failures = 0;
    loop {
        let failure = match work().await {
            Ok(more) => match store.end_action(action, more, None, Timestamp::now()).await {
                Ok(()) => return Ok(()),
                // It is done; only that is not noted yet. Doing it again finds nothing left.
                Err(error) => error,
            },
            Err(error) => error,
        };
        failures += 1;
        if failures == TIMES || matches!(failure, Error::Refused(_)) {
            store.end_action(action, 0, Some(failure.to_string()), Timestamp::now()).await?;
            return Err(failure);
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
