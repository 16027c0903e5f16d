//! Whether the bridge can do its work now.

use crate::store::Store;
use jiff::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer of the store is good for: anyone may ask, and each question costs a commit.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// A store that takes longer than this to commit is not ready.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a failed write counts.
const FAILURE_COUNTS_MS: i64 = 5_000;

/// What `/readyz` says.
#[derive(Debug, Default)]
pub struct Health {
    stopping: AtomicBool,
    failed_at_ms: AtomicI64,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    /// From now on not ready: the process stops.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// A write that mattered failed. A small one may still succeed on a disk that is all but full, so this counts for a while.
    pub fn note_failure(&self) {
        self.failed_at_ms.store(Timestamp::now().as_millisecond(), Ordering::Release);
    }

    fn failed_lately(&self) -> bool {
        let age_ms = Timestamp::now().as_millisecond().saturating_sub(self.failed_at_ms.load(Ordering::Acquire));
        (0..FAILURE_COUNTS_MS).contains(&age_ms)
    }

    /// Ready when the store commits.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub async fn check(&self, store: &Store) -> Result<(), String> {
        if self.stopping.load(Ordering::Acquire) {
            return Err("the bridge is stopping".to_owned());
        }
        if self.failed_lately() {
            return Err("the store refused a write a moment ago".to_owned());
        }
        let mut last = self.last.lock().await;
        if let Some((_, result)) = last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return result.clone();
        }
        let result = match tokio::time::timeout(PATIENCE, store.probe()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the store cannot commit".to_owned()),
            Err(_) => Err("the store does not commit in time".to_owned()),
        };
        *last = Some((Instant::now(), result.clone()));
        result
    }
}
