//! The requests that a child has not answered yet.

use crate::protocol::{FromChild, Message};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A child waits for each step to be kept, so a request never has many messages waiting.
const MOST_MESSAGES: usize = 16;

/// Matches what a child says with the requests that it was sent.
#[derive(Debug)]
pub(crate) struct Pending {
    table: Mutex<Table>,
    /// A place for each request that may be under way.
    places: Arc<Semaphore>,
    size: usize,
    /// Where a fault of the child is told, which ends it.
    fault: mpsc::Sender<String>,
}

#[derive(Debug)]
struct Table {
    is_open: bool,
    last_id: u64,
    /// How many more requests the child takes before it exits by itself.
    left: Option<u64>,
    slots: HashMap<u64, Slot>,
}

/// Holds its place until the child has answered, also when nobody waits for that any more.
#[derive(Debug)]
struct Slot {
    listener: Option<mpsc::Sender<Message>>,
    _place: OwnedSemaphorePermit,
}

/// A request under way. Dropping it gives the request up.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: u64,
    messages: mpsc::Receiver<Message>,
    pending: Arc<Pending>,
}

impl Pending {
    pub(crate) fn new(concurrency: u32, requests: Option<u64>, fault: mpsc::Sender<String>) -> Self {
        let size = concurrency as usize;
        let table = Table { is_open: true, last_id: 0, left: requests, slots: HashMap::new() };
        Self { table: Mutex::new(table), places: Arc::new(Semaphore::new(size)), size, fault }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the child lives and has not done its number of requests.
    pub(crate) fn takes_more(&self) -> bool {
        let table = self.table();
        table.is_open && table.left != Some(0)
    }

    /// Whether the child lives.
    pub(crate) fn is_open(&self) -> bool {
        self.table().is_open
    }

    /// Whether the child is busy with something.
    pub(crate) fn is_busy(&self) -> bool {
        !self.table().slots.is_empty()
    }

    /// Waits for a place and takes it; `None` when the child has ended or takes no more requests.
    pub(crate) async fn open(self: &Arc<Self>) -> Option<Ticket> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let mut table = self.table();
        if !table.is_open || table.left == Some(0) {
            return None;
        }
        table.left = table.left.map(|left| left - 1);
        table.last_id += 1;
        let id = table.last_id;
        let (listener, messages) = mpsc::channel(MOST_MESSAGES);
        table.slots.insert(id, Slot { listener: Some(listener), _place: place });
        Some(Ticket { id, messages, pending: Arc::clone(self) })
    }

    /// Takes back a request that the child was never sent.
    pub(crate) fn withdraw(&self, ticket: &Ticket) {
        let mut table = self.table();
        table.slots.remove(&ticket.id);
        table.left = table.left.map(|left| left + 1);
    }

    /// Hands a line to the request that it belongs to.
    ///
    /// # Errors
    /// What is wrong with it, after "the child wrote".
    pub(crate) fn hand(&self, said: FromChild) -> Result<(), String> {
        let FromChild::Of(id, message) = said else { return Err("a second hello".to_owned()) };
        let mut table = self.table();
        if id == 0 || id > table.last_id {
            return Err("an answer to a request that it was never sent".to_owned());
        }
        let is_last = matches!(message, Message::Answer(_));
        let Some(slot) = table.slots.get(&id) else { return Ok(()) };
        // A request that was given up has no listener; the answer only gives its place back.
        let is_taken =
            slot.listener.as_ref().is_none_or(|listener| !matches!(listener.try_send(message), Err(mpsc::error::TrySendError::Full(_))));
        if is_last {
            table.slots.remove(&id);
        }
        if is_taken { Ok(()) } else { Err(format!("more than {MOST_MESSAGES} steps without waiting for `kept`")) }
    }

    /// The child is gone: whoever waits for an answer or a place learns it.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.is_open = false;
        table.slots.clear();
        self.places.close();
    }

    /// The request keeps its place, for the child may still be at it. A child whose places are all taken that way is stuck.
    fn give_up(&self, id: u64) {
        let mut table = self.table();
        if let Some(slot) = table.slots.get_mut(&id) {
            slot.listener = None;
        }
        let given_up = table.slots.values().filter(|slot| slot.listener.is_none()).count();
        if given_up >= self.size {
            // A fault that was told before this one ends the child as well.
            let _ = self.fault.try_send("did not answer in time".to_owned());
        }
    }
}

impl Ticket {
    /// The next thing that the child says about this request; `None` when the child has ended.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.give_up(self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::protocol::parse;
    use serde_json::json;

    fn pending(concurrency: u32, requests: Option<u64>) -> (Arc<Pending>, mpsc::Receiver<String>) {
        let (fault, faults) = mpsc::channel(1);
        (Arc::new(Pending::new(concurrency, requests, fault)), faults)
    }

    fn answer(id: u64) -> FromChild {
        parse(json!({"type": "delivered", "id": id}).to_string().as_bytes()).unwrap()
    }

    fn step(id: u64) -> FromChild {
        parse(json!({"type": "step", "id": id, "name": "a"}).to_string().as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn answers_find_their_requests_in_any_order() {
        let (pending, _faults) = pending(2, None);
        let (mut one, mut two) = (pending.open().await.unwrap(), pending.open().await.unwrap());
        pending.hand(answer(two.id)).unwrap();
        pending.hand(step(one.id)).unwrap();
        pending.hand(answer(one.id)).unwrap();
        assert!(matches!(two.next().await, Some(Message::Answer(_))));
        assert!(matches!(one.next().await, Some(Message::Step { .. })));
        assert!(matches!(one.next().await, Some(Message::Answer(_))));
        assert!(pending.hand(answer(one.id)).is_ok(), "an answer given twice harms nobody");
        assert!(pending.hand(answer(3)).is_err() && pending.hand(answer(0)).is_err());
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_keeps_its_place_until_it_is_answered() {
        let (pending, mut faults) = pending(2, None);
        let one = pending.open().await.unwrap();
        let id = one.id;
        drop(one);
        assert!(faults.try_recv().is_err(), "the other place still moves");
        let _two = pending.open().await.unwrap();
        assert_eq!(pending.places.available_permits(), 0);
        pending.hand(step(id)).unwrap();
        pending.hand(answer(id)).unwrap();
        assert_eq!(pending.places.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_child_whose_places_are_all_given_up_is_stuck() {
        let (pending, mut faults) = pending(2, None);
        drop(pending.open().await.unwrap());
        drop(pending.open().await.unwrap());
        assert_eq!(faults.try_recv().unwrap(), "did not answer in time");
    }

    #[tokio::test]
    async fn steps_that_do_not_wait_are_a_fault() {
        let (pending, _faults) = pending(1, None);
        let _one = pending.open().await.unwrap();
        let refused = (0..100).filter_map(|_| pending.hand(step(1)).err()).count();
        assert_eq!(refused, 100 - MOST_MESSAGES);
    }

    #[tokio::test]
    async fn the_end_of_the_child_reaches_everybody() {
        let (pending, _faults) = pending(1, None);
        let mut one = pending.open().await.unwrap();
        let waiting = tokio::spawn({
            let pending = Arc::clone(&pending);
            async move { pending.open().await.is_none() }
        });
        pending.close();
        assert!(one.next().await.is_none() && waiting.await.unwrap());
        assert!(!pending.takes_more() && pending.open().await.is_none());
    }

    #[tokio::test]
    async fn a_child_is_sent_no_more_requests_than_it_said() {
        let (pending, _faults) = pending(4, Some(2));
        let (_one, _two) = (pending.open().await.unwrap(), pending.open().await.unwrap());
        assert!(pending.is_open() && !pending.takes_more() && pending.open().await.is_none());
    }
}
