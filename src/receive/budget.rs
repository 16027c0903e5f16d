//! How much memory request bodies may take together. Anyone can post; nobody can make the bridge hold more than this.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size are not counted: leads must not wait behind a flood of large bodies. Connections bound these.
const SMALL_BYTES: usize = 64 * 1_024;
/// All larger bodies together.
const TOTAL_KIB: u32 = 192 * 1_024;
/// How long a request waits for room.
const PATIENCE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };
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
        Reservation { budget: self.clone(), held: Arc::default(), bytes: SMALL_BYTES }
    }

    /// Waits for a turn to examine a large body.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so there is always a turn.
        Arc::clone(&self.examined).acquire_owned().await.ok()
    }
}

/// What one request holds. Given back when the last clone is dropped: work that goes on after the sender hung up keeps one.
#[derive(Debug, Clone)]
pub(super) struct Reservation {
    budget: Budget,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    bytes: usize,
}

/// There was no room in time. The sender is told so and tries again, which is better than many that wait for each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Reservation {
    /// Waits a moment until this request may hold so many bytes in all.
    pub(super) async fn grow_to(&mut self, bytes: usize) -> Result<(), Busy> {
        if bytes <= self.bytes {
            return Ok(());
        }
        // By half as much again, so that a large body asks a few times only; never for more than there is.
        let wanted = bytes.max(self.bytes + self.bytes / 2);
        let kib = u32::try_from((wanted - self.bytes).div_ceil(1_024)).unwrap_or(u32::MAX).min(TOTAL_KIB - self.held_kib());
        let more = tokio::time::timeout(PATIENCE, Arc::clone(&self.budget.bodies).acquire_many_owned(kib)).await;
        let Ok(Ok(more)) = more else { return Err(Busy) };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        self.bytes = wanted;
        Ok(())
    }

    fn held_kib(&self) -> u32 {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map_or(0, |held| u32::try_from(held.num_permits()).unwrap_or(TOTAL_KIB))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_bodies_cost_nothing_and_large_ones_are_given_back() {
        let budget = Budget::default();
        let mut small = budget.reserve();
        assert_eq!(small.grow_to(SMALL_BYTES).await, Ok(()));
        assert_eq!(budget.bodies.available_permits(), TOTAL_KIB as usize);
        let mut large = budget.reserve();
        assert_eq!(large.grow_to(32 << 20).await, Ok(()));
        assert_eq!(large.grow_to(1 << 20).await, Ok(()));
        assert!(budget.bodies.available_permits() <= (TOTAL_KIB - 32 * 1_024 + 64) as usize);
        let kept_by_work_that_goes_on = large.clone();
        drop(large);
        assert!(budget.bodies.available_permits() < TOTAL_KIB as usize);
        drop(kept_by_work_that_goes_on);
        assert_eq!(budget.bodies.available_permits(), TOTAL_KIB as usize);
    }

    #[tokio::test]
    async fn requests_that_wait_for_each_other_are_told_so_instead() {
        let budget = Budget::default();
        let mut requests: Vec<Reservation> = (0..4).map(|_| budget.reserve()).collect();
        let share = TOTAL_KIB as usize * 1_024 / requests.len() - (1 << 20);
        for request in &mut requests {
            assert_eq!(request.grow_to(share).await, Ok(()));
        }
        assert_eq!(requests[0].grow_to(2 * share).await, Err(Busy));
        requests.truncate(1);
        assert_eq!(requests[0].grow_to(1 << 30).await, Ok(()), "alone it may have all there is, and never waits for itself");
    }
}
