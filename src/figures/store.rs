//! What is counted of the store.

use super::histogram::{BATCH, COMMIT, Histogram, Reading};
use std::time::Duration;

/// The figures of the store, whatever the engine.
#[derive(Debug)]
pub struct StoreFigures {
    /// Receiving.
    pub receive: WorkFigures,
    /// Ending leases.
    pub settle: WorkFigures,
    claims: Histogram,
}

impl Default for StoreFigures {
    fn default() -> Self {
        Self { receive: WorkFigures::default(), settle: WorkFigures::default(), claims: Histogram::new(&COMMIT) }
    }
}

impl StoreFigures {
    /// Leasing due deliveries took so long, the wait for the store's turn included.
    pub fn claim(&self, took: Duration) {
        self.claims.observe_time(took);
    }

    /// How long it took, in microseconds.
    #[must_use]
    pub fn claims(&self) -> Reading {
        self.claims.read()
    }
}

/// One kind of work that is committed in batches.
#[derive(Debug)]
pub struct WorkFigures {
    commits: Histogram,
    batches: Histogram,
}

impl Default for WorkFigures {
    fn default() -> Self {
        Self { commits: Histogram::new(&COMMIT), batches: Histogram::new(&BATCH) }
    }
}

impl WorkFigures {
    /// A transaction that held so many of them was committed. None is no work of this kind, and not counted.
    pub fn commit(&self, jobs: usize, took: Duration) {
        if jobs > 0 {
            self.batches.observe(u64::try_from(jobs).unwrap_or(u64::MAX));
            self.commits.observe_time(took);
        }
    }

    /// How long transactions took, in microseconds.
    #[must_use]
    pub fn commits(&self) -> Reading {
        self.commits.read()
    }

    /// How many were committed together.
    #[must_use]
    pub fn batches(&self) -> Reading {
        self.batches.read()
    }
}
