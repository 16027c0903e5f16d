//! How many requests were not answered with success, by reason.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counts since the start. The reasons are the codes that senders read, of which there are a few.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Refusals {
    /// One more.
    pub fn count(&self, reason: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// By reason.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
