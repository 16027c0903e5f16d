//! Which contact a chat session belongs to, or for some minutes a phone. A chat log names sessions only; whose they are is known since the lead of the session was
//! delivered, and kept in the destination's durable values.
//!
//! What is kept says nothing of a person to anybody without access to the CRM: a hash, a contact's id and the id of the newest delivery
//! that told it, which leaves the bridge's store last of them. It is bounded in number and age.

use crate::{DeliveryError, ErrorKind, Event, ValueStore};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Chat logs come once a day; a bridge that was down for long still finds whose they are. What is written down again is younger than an
/// hour: a delivery that is tried often writes no more often.
const SESSIONS: Memory =
    Memory { name: "sessions", digits: 2, oldest: SignedDuration::from_hours(30 * 24), fresh: SignedDuration::from_hours(1) };
/// Much longer than any search lags behind.
const PHONES: Memory = Memory { name: "phones", digits: 1, oldest: SignedDuration::from_mins(5), fresh: SignedDuration::from_mins(1) };
/// How often what is too old is looked for, wherever it is.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// In each value, so that 25,600 sessions are known.
const MOST: usize = 100;
/// Others may write the same value at the same moment, though hardly ever so often.
const TRIES: u32 = 8;

/// One session, by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    visitor: String,
    contact: String,
    delivery: String,
    at: Timestamp,
}

impl Known {
    fn is_younger(&self, age: SignedDuration, now: Timestamp) -> bool {
        now.duration_since(self.at) < age
    }
}

/// How something is kept.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// Of its values, before the digits of the hash that each is for.
    name: &'static str,
    /// How many.
    digits: usize,
    oldest: SignedDuration,
    fresh: SignedDuration,
}

impl Memory {
    fn value_of(self, hash: &str) -> String {
        format!("{}-{}", self.name, hash.get(..self.digits).unwrap_or_default())
    }

    fn values(self) -> impl Iterator<Item = String> {
        (0..1_usize << (4 * self.digits)).map(move |number| format!("{}-{number:0digits$x}", self.name, digits = self.digits))
    }
}

/// The sessions, or phones, of one destination.
#[derive(Debug)]
pub struct Sessions {
    memory: Memory,
    values: Arc<dyn ValueStore>,
    swept_at: Mutex<Option<Instant>>,
}

/// Who had the session of an event: the same for every event of the session, and for no other. `None` without a session.
#[must_use]
pub fn visitor(event: &Event) -> Option<String> {
    let session = event.session_id.as_deref()?;
    Some(hash(&[&event.source, event.chatbot_id.as_deref().unwrap_or_default(), session]))
}

/// Who has a phone, for [`Sessions::of_phones`].
#[must_use]
pub fn caller(phone: &str) -> String {
    hash(&["phone", phone])
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Sessions {
    /// Kept in the values of one destination.
    #[must_use]
    pub fn new(values: Arc<dyn ValueStore>) -> Self {
        Self { memory: SESSIONS, values, swept_at: Mutex::default() }
    }

    /// The same for the phones of the last five minutes, by [`caller`]: for services whose search, the only way to find a contact by its
    /// phone, is behind their writes.
    #[must_use]
    pub fn of_phones(values: Arc<dyn ValueStore>) -> Self {
        Self { memory: PHONES, ..Self::new(values) }
    }

    /// The contact of a [`visitor`], if one is remembered.
    ///
    /// # Errors
    /// One to be tried again, when the values cannot be read.
    pub async fn contact_of(&self, visitor: &str) -> Result<Option<String>, DeliveryError> {
        let (known, _) = self.load(&self.memory.value_of(visitor)).await?;
        let now = Timestamp::now();
        let is_it = |known: &Known| known.visitor == visitor && known.is_younger(self.memory.oldest, now);
        Ok(known.into_iter().find(is_it).map(|known| known.contact))
    }

    /// Durable when it returns `Ok`. What is known already is known anew, by this delivery: an erasure names the deliveries that the
    /// bridge still has, and an earlier one may be gone by then.
    ///
    /// # Errors
    /// One to be tried again, when the values cannot be read or written.
    pub async fn remember(&self, visitor: &str, contact: &str, delivery: &str) -> Result<(), DeliveryError> {
        let now = Timestamp::now();
        self.change(&self.memory.value_of(visitor), |known| {
            let is_it = |known: &Known| known.visitor == visitor && known.contact == contact && known.delivery == delivery;
            if known.iter().any(|known| is_it(known) && known.is_younger(self.memory.fresh, now)) {
                return false;
            }
            known.retain(|known| known.visitor != visitor && known.is_younger(self.memory.oldest, now));
            known.push(Known { visitor: visitor.to_owned(), contact: contact.to_owned(), delivery: delivery.to_owned(), at: now });
            known.drain(..known.len().saturating_sub(MOST));
            true
        })
        .await
    }

    /// That contact is gone.
    ///
    /// # Errors
    /// One to be tried again, when the values cannot be read or written.
    pub async fn forget(&self, visitor: &str) -> Result<(), DeliveryError> {
        self.change(&self.memory.value_of(visitor), |known| drop_where(known, |known| known.visitor == visitor)).await
    }

    /// Removes whatever these deliveries left here, and what is too old.
    ///
    /// # Errors
    /// One to be tried again, when the values cannot be read or written.
    pub async fn erase(&self, deliveries: &[String]) -> Result<(), DeliveryError> {
        let now = Timestamp::now();
        let is_over = |known: &Known| deliveries.contains(&known.delivery) || !known.is_younger(self.memory.oldest, now);
        for name in self.memory.values() {
            self.change(&name, |known| drop_where(known, is_over)).await?;
        }
        Ok(())
    }

    /// Once a day, removes what is too old, also where nothing is written any more. No lead fails for it: it is tried again with the
    /// next one.
    pub async fn sweep(&self) {
        if self.is_sweep_due() && self.erase(&[]).await.is_err() {
            *self.swept_at() = None;
        }
    }

    /// True for one of those who ask at the same time.
    fn is_sweep_due(&self) -> bool {
        let mut swept_at = self.swept_at();
        let is_due = swept_at.is_none_or(|at| at.elapsed() >= SWEEP_EVERY);
        if is_due {
            *swept_at = Some(Instant::now());
        }
        is_due
    }

    fn swept_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.swept_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn change(&self, name: &str, change: impl Fn(&mut Vec<Known>) -> bool) -> Result<(), DeliveryError> {
        for _ in 0..TRIES {
            let (mut known, version) = self.load(name).await?;
            if !change(&mut known) {
                return Ok(());
            }
            let value = serde_json::to_string(&known).map_err(|error| failed(&error.to_string()))?;
            if self.values.save(name, &value, version).await.map_err(|why| failed(&why))? {
                return Ok(());
            }
        }
        Err(failed("others keep writing it"))
    }

    /// What cannot be read is nothing, and is written over.
    async fn load(&self, name: &str) -> Result<(Vec<Known>, i64), DeliveryError> {
        let stored = self.values.load(name).await.map_err(|why| failed(&why))?;
        Ok(stored.map_or((Vec::new(), 0), |stored| (serde_json::from_str(&stored.value).unwrap_or_default(), stored.version)))
    }
}

fn drop_where(known: &mut Vec<Known>, is_dropped: impl Fn(&Known) -> bool) -> bool {
    let before = known.len();
    known.retain(|known| !is_dropped(known));
    known.len() < before
}

fn failed(why: &str) -> DeliveryError {
    DeliveryError::retry(ErrorKind::Internal, format!("which contact had which chat session could not be kept or read: {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::MemoryValues;
    use serde_json::{Value, json};

    fn event(changes: &Value) -> Event {
        let mut event = json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
            "person": {"first_name": null, "last_name": null, "email": null, "phone": null}, "content": null, "session_id": "1",
            "page_url": null, "created_at": null, "received_at": "2026-11-22T05:17:00Z", "extra": {}, "raw": {},
        });
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    fn sessions() -> Sessions {
        Sessions::new(Arc::<MemoryValues>::default())
    }

    #[test]
    fn a_visitor_is_one_session_of_one_chatbot_of_one_source() {
        let of = |changes| visitor(&event(&changes)).unwrap();
        let one = of(json!({}));
        assert_eq!((one.len(), &one), (32, &of(json!({"kind": "conversation", "messages": [], "person": {"email": null}}))));
        let others = [json!({"session_id": "2"}), json!({"chatbot_id": "2"}), json!({"source": "other"})];
        assert!(others.into_iter().all(|other| of(other) != one));
        assert_eq!(visitor(&event(&json!({"session_id": null}))), None);
    }

    #[tokio::test]
    async fn a_contact_is_remembered_replaced_forgotten_and_erased() {
        let sessions = sessions();
        sessions.remember("aa1", "101", "d1").await.unwrap();
        sessions.remember("aa2", "102", "d2").await.unwrap();
        sessions.remember("aa1", "103", "d3").await.unwrap();
        assert_eq!(sessions.contact_of("aa1").await.unwrap().as_deref(), Some("103"));
        sessions.forget("aa1").await.unwrap();
        assert_eq!(sessions.contact_of("aa1").await.unwrap(), None);
        sessions.erase(&["d2".to_owned()]).await.unwrap();
        assert_eq!(sessions.contact_of("aa2").await.unwrap(), None);
    }

    impl Sessions {
        /// As if it had been written down so many hours ago.
        async fn age(&self, visitor: &str, hours: i64) {
            let at = Timestamp::now() - SignedDuration::from_hours(hours);
            let set = |known: &mut Vec<Known>| {
                known.iter_mut().filter(|known| known.visitor == visitor).for_each(|known| known.at = at);
                true
            };
            self.change(&self.memory.value_of(visitor), set).await.unwrap();
        }

        async fn known(&self, visitor: &str) -> Vec<Known> {
            self.load(&self.memory.value_of(visitor)).await.unwrap().0
        }
    }

    #[tokio::test]
    async fn the_newest_delivery_that_told_it_is_the_one_whose_erasure_counts() {
        let sessions = sessions();
        sessions.remember("aa1", "101", "d1").await.unwrap();
        sessions.remember("aa1", "101", "d2").await.unwrap();
        sessions.erase(&["d1".to_owned()]).await.unwrap();
        assert_eq!(sessions.contact_of("aa1").await.unwrap().as_deref(), Some("101"));
        // Retention may have removed the first one by now.
        sessions.erase(&["d2".to_owned()]).await.unwrap();
        assert_eq!(sessions.known("aa1").await, []);
    }

    #[tokio::test]
    async fn who_comes_back_is_known_for_as_long_again() {
        let sessions = sessions();
        for delivery in ["d1", "d2"] {
            sessions.remember("aa1", "101", "d1").await.unwrap();
            sessions.age("aa1", 30 * 24 - 1).await;
            sessions.remember("aa1", "101", delivery).await.unwrap();
            assert!(sessions.known("aa1").await[0].is_younger(SESSIONS.fresh, Timestamp::now()), "{delivery}");
        }
    }

    #[tokio::test]
    async fn what_is_tried_often_is_written_once() {
        let sessions = sessions();
        for _ in 0..5 {
            sessions.remember("aa1", "101", "d1").await.unwrap();
        }
        assert_eq!(sessions.load("sessions-aa").await.unwrap().1, 1);
    }

    #[tokio::test]
    async fn what_is_too_old_goes_once_a_day_also_where_nothing_is_written() {
        let sessions = sessions();
        for visitor in ["aa1", "bb1", "ff1"] {
            sessions.remember(visitor, "101", "d1").await.unwrap();
        }
        sessions.age("aa1", 30 * 24).await;
        sessions.sweep().await;
        assert_eq!([sessions.known("aa1").await.len(), sessions.known("bb1").await.len()], [0, 1]);
        sessions.age("bb1", 30 * 24).await;
        sessions.sweep().await;
        assert_eq!(sessions.known("bb1").await.len(), 1, "not looked for again on the same day");
        sessions.erase(&["d9".to_owned()]).await.unwrap();
        assert_eq!([sessions.known("bb1").await.len(), sessions.known("ff1").await.len()], [0, 1]);
    }

    #[tokio::test]
    async fn a_phone_is_known_for_some_minutes_beside_the_sessions_and_erased_like_them() {
        let (phones, sessions) = (Sessions::of_phones(Arc::<MemoryValues>::default()), sessions());
        let (one, other) = (caller("+14155550100"), caller("+14155550101"));
        for (who, delivery) in [(&one, "d1"), (&other, "d2")] {
            phones.remember(who, "101", delivery).await.unwrap();
        }
        assert_eq!(sessions.contact_of(&one).await.unwrap(), None);
        phones.erase(&["d2".to_owned()]).await.unwrap();
        assert_eq!([phones.contact_of(&one).await.unwrap().is_some(), phones.contact_of(&other).await.unwrap().is_some()], [true, false]);
        phones.age(&one, 1).await;
        assert_eq!(phones.contact_of(&one).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_oldest_make_room_and_rubbish_is_written_over() {
        let sessions = sessions();
        sessions.values.save("sessions-aa", "rubbish", 0).await.unwrap();
        for number in 0..=MOST {
            sessions.remember(&format!("aa{number}"), "1", "d").await.unwrap();
        }
        assert_eq!(sessions.load("sessions-aa").await.unwrap().0.len(), MOST);
        assert_eq!(sessions.contact_of("aa0").await.unwrap(), None);
        assert!(sessions.contact_of("aa1").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn several_at_once_lose_nothing() {
        let sessions = Arc::new(sessions());
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let sessions = Arc::clone(&sessions);
                tokio::spawn(async move { sessions.remember(&format!("aa{number}"), "1", "d").await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(sessions.load("sessions-aa").await.unwrap().0.len(), 4);
    }
}
