//! Brings what was counted into the store, once a minute and at the stop, so that plots survive a restart. A crash loses what was counted
//! since the last time; leads are not kept here, and their ledger misses nothing.

use crate::store::Store;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const MINUTE_US: i64 = 60_000_000;

/// The task that does it.
#[derive(Debug)]
pub struct Tallying {
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Tallying {
    /// Starts it.
    #[must_use]
    pub fn start(store: Store) -> Self {
        let stop = Arc::new(Notify::new());
        Self { task: tokio::spawn(run(store, Arc::clone(&stop))), stop }
    }

    /// Brings the rest into the store, and ends.
    pub async fn finish(self) {
        self.stop.notify_one();
        // One that panicked has told so.
        let _ = self.task.await;
    }
}

async fn run(store: Store, stop: Arc<Notify>) {
    let mut is_over = false;
    while !is_over {
        let began = Timestamp::now();
        is_over = tokio::time::timeout(rest_of_minute(began), stop.notified()).await.is_ok();
        write(&store, began).await;
    }
}

/// What the store does not take now is added to what comes next.
async fn write(store: &Store, at: Timestamp) {
    let tally = store.figures().untallied();
    if tally.is_empty() {
        return;
    }
    match store.add_tally(at, &tally).await {
        Ok(()) => store.figures().note_tallied(&tally),
        Err(error) => tracing::debug!("the figures of the last minute are added to those of the next: {error}"),
    }
}

fn rest_of_minute(now: Timestamp) -> Duration {
    let passed = now.as_microsecond().rem_euclid(MINUTE_US);
    Duration::from_micros(u64::try_from(MINUTE_US - passed).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_minute_ends_when_the_next_begins() {
        assert_eq!(rest_of_minute("2026-11-22T10:00:59.75Z".parse().unwrap()), Duration::from_millis(250));
        assert_eq!(rest_of_minute("2026-11-22T10:00:00Z".parse().unwrap()), Duration::from_secs(60));
    }
}
