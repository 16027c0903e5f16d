//! How much memory request bodies may take together. Anyone can post; nobody can make the bridge hold more than this.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size are not counted: leads must not wait behind a flood of large bodies. Connections bound these.
const SMALL_BYTES: usize = 64 * 1_024;
/// All larger bodies together.
const TOTAL_KIB: u32 = 256 * 1_024;
/// Large bodies that are examined at the same time: parsing takes several times their size.
const EXAMINED: usize = 2;

/// Shared by all requests.
#[derive(Debug, Clone)]
pub struct Budget {
    bodies: Arc<Semaphore>,
    examined: Arc<Semaphore>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bodies: Arc::new(Semaphore::new(TOTAL_KIB as usize)), examined: Arc::new(Semaphore::new(EXAMINED)) }
    }
}

impl Budget {
    /// A reservation that holds nothing yet.
    pub(super) fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), held: None, bytes: SMALL_BYTES }
    }

    /// Waits for a turn to examine a large body.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so there is always a turn.
        Arc::clone(&self.examined).acquire_owned().await.ok()
    }
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Reservation {
    /// Waits until this request may hold so many bytes in all.
    pub(super) async fn grow_to(&mut self, bytes: usize) {
        if bytes <= self.bytes {
            return;
        }
        // By half as much again, so that a large body asks a few times only.
        let wanted = bytes.max(self.bytes + self.bytes / 2);
        let kib = u32::try_from((wanted - self.bytes).div_ceil(1_024)).unwrap_or(u32::MAX).min(TOTAL_KIB);
        if let Ok(more) = Arc::clone(&self.budget.bodies).acquire_many_owned(kib).await {
            match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            }
        }
        self.bytes = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_bodies_cost_nothing_and_large_ones_are_given_back() {
        let budget = Budget::default();
        let mut small = budget.reserve();
        small.grow_to(SMALL_BYTES).await;
        assert_eq!(budget.bodies.available_permits(), TOTAL_KIB as usize);
        let mut large = budget.reserve();
        large.grow_to(32 << 20).await;
        large.grow_to(1 << 20).await;
        assert!(budget.bodies.available_permits() <= (TOTAL_KIB - 32 * 1_024 + 64) as usize);
        drop(large);
        assert_eq!(budget.bodies.available_permits(), TOTAL_KIB as usize);
    }
}
