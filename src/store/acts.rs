//! What people do to deliveries, destinations and the quarantine, and the trail of it: who did what, when, and to how many.
//!
//! What fits into one transaction is written with its line of the trail. What is more goes on in pieces: the line comes first, each
//! piece adds to it in its own transaction, and its end is noted at last. So the trail never tells of more or less than was done.

use super::discreet::{short, without_persons};
use super::operations::each;
use super::{DeliveryKey, DestinationId, Engine, Result, State, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// Rows changed in one transaction: short enough that an answer waiting behind it does not notice.
pub const ACT_PIECE: usize = 100;
/// Why an action ended that a bridge was at when it stopped.
pub const INTERRUPTED: &str = "interrupted: the bridge stopped before it was done";

/// Something a person does, in one transaction.
#[derive(Debug, Clone)]
pub enum Act {
    /// Parks a destination; see [`Store::hold`].
    Hold {
        /// Which one.
        destination: DestinationId,
        /// Why, for people.
        reason: String,
        /// When it resumes by itself.
        until: Option<Timestamp>,
    },
    /// Releases a destination; see [`Store::resume`].
    Resume {
        /// Which one.
        destination: DestinationId,
    },
    /// Makes ended deliveries pending again; see [`Store::replay`].
    Replay {
        /// Which ones.
        keys: Vec<DeliveryKey>,
        /// Only those that are in one of these states now; empty is any that has ended.
        from: Vec<State>,
    },
    /// Ends dead letters as skipped. What is no longer dead is left alone.
    Discard {
        /// Which ones.
        keys: Vec<DeliveryKey>,
        /// By whom and why: what the deliveries then say.
        remark: String,
    },
    /// Gives events deliveries. Those that an event has are left as they are.
    Route {
        /// Which ones, and where to.
        routings: Vec<Routing>,
    },
    /// Removes bodies from the quarantine for good.
    Purge(Purge),
}

/// Where an event that is in the store goes from now on, too.
#[derive(Debug, Clone)]
pub struct Routing {
    /// Which event.
    pub event: Uuid,
    /// Who it is about, for the order per person.
    pub person_key: Option<[u8; 16]>,
    /// Where to.
    pub destinations: Vec<DestinationId>,
}

/// Which quarantined bodies to remove. Everything given must match.
#[derive(Debug, Clone, Default)]
pub struct Purge {
    /// Only this one.
    pub id: Option<i64>,
    /// Only of this source.
    pub source: Option<String>,
    /// Only those that came before.
    pub before: Option<Timestamp>,
    /// Also those whose sender was told success.
    pub with_promised: bool,
}

/// A new line of the trail.
#[derive(Debug, Clone, Default)]
pub struct NewAction {
    /// The name of a user, or of the system's user at a command line.
    pub who: String,
    /// The address they came from; `None` for a command.
    pub client: Option<String>,
    /// One word: what is done.
    pub action: &'static str,
    /// To what: a destination, a source, a delivery or an event.
    pub target: String,
    /// How many it is to be.
    pub planned: usize,
    /// What else there is to know.
    pub detail: String,
    /// Why, in words of theirs. What looks like an e-mail address or a telephone number is left out of it: the trail names nobody.
    pub reason: String,
    /// What to ask once more when it is interrupted: fields by name, those of the form that asked for it. Of a field `reason` the same is
    /// left out.
    pub again: BTreeMap<&'static str, String>,
}

/// Where an act is noted.
#[derive(Debug, Clone)]
pub enum Entry {
    /// In a line of its own.
    New(NewAction),
    /// In the line of something that goes on.
    Ongoing(i64),
}

/// A line of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRow {
    /// Its number.
    pub id: i64,
    /// When it was begun.
    #[serde(with = "leadwire_connector::timestamp")]
    pub at: Timestamp,
    /// Who did it.
    pub who: String,
    /// The address they came from; `None` for a command.
    pub client: Option<String>,
    /// One word: what was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// How many it was to be.
    pub planned: i64,
    /// How many it is so far.
    pub count: i64,
    /// What else there is to know.
    pub detail: String,
    /// When it ended; `None` while it goes on, and when it was a command that was interrupted.
    #[serde(with = "leadwire_connector::timestamp::option")]
    pub ended_at: Option<Timestamp>,
    /// Why it did not come to its end.
    pub failure: Option<String>,
    /// What to ask once more to go on, for pages: fields by name.
    #[serde(skip)]
    pub again: Option<BTreeMap<String, String>>,
}

/// Which lines of the trail to list, newest first. Everything given must match.
#[derive(Debug, Clone, Default)]
pub struct ActionFilter {
    /// Begun at or after.
    pub since: Option<Timestamp>,
    /// Only lines before the one of this number: the cursor of a page.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Dead letters of one destination that died of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadCause {
    /// Where they were to go.
    pub destination: String,
    /// What they died of: for programs, and for [`DeliveryFilter`](super::DeliveryFilter).
    pub cause: String,
    /// How many there are.
    pub count: i64,
    /// When the event of the oldest was received.
    #[serde(with = "leadwire_connector::timestamp")]
    pub oldest: Timestamp,
    /// When the event of the newest was received.
    #[serde(with = "leadwire_connector::timestamp")]
    pub newest: Timestamp,
    /// The event of the newest.
    pub example: Uuid,
    /// What the newest says of it, in plain words.
    pub message: String,
}

/// An event that no route took.
#[derive(Debug)]
pub struct Unrouted {
    /// Its place in the order of receipt.
    pub seq: i64,
    /// The event as JSON.
    pub body: String,
}

/// How fast rows are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many per second; `None` is as fast as it goes.
    pub per_second: Option<u32>,
}

impl Pace {
    fn piece(self) -> usize {
        self.per_second.map_or(ACT_PIECE, |most| ACT_PIECE.min(most.max(1) as usize))
    }

    fn pause(self, rows: usize) -> Duration {
        self.per_second.map_or(Duration::ZERO, |most| Duration::from_secs_f64(rows as f64 / f64::from(most.max(1))))
    }
}

/// Doing, with the trail of it.
impl Store {
    /// Does it and notes it, in one transaction. Returns how many rows it was.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn perform(&self, entry: Entry, act: Act, now: Timestamp) -> Result<usize> {
        let entry = entry.clean();
        each!(&self.engine, engine => engine.perform(entry, act, now).await)
    }

    /// Does it to all of these items: at once when they are few, and else piece by piece, in this pace. `progress` gets how many items
    /// each piece had. What was done before an interruption stays done and is not found again, so doing it once more goes on.
    ///
    /// # Errors
    /// When a piece fails; the trail says how many were done until then.
    pub async fn perform_all<T: Clone>(
        &self,
        new: NewAction,
        items: &[T],
        pace: Pace,
        act: impl Fn(Vec<T>) -> Act,
        progress: impl FnMut(usize),
    ) -> Result<usize> {
        if items.len() <= pace.piece() {
            return self.perform(Entry::New(new), act(items.to_vec()), Timestamp::now()).await;
        }
        let id = self.begin_action(new, Timestamp::now()).await?;
        self.carry_on(id, items, pace, act, progress).await
    }

    /// The pieces of an action that was begun, and its end.
    ///
    /// # Errors
    /// Of [`Store::perform_all`].
    pub async fn carry_on<T: Clone>(
        &self,
        id: i64,
        items: &[T],
        pace: Pace,
        act: impl Fn(Vec<T>) -> Act,
        mut progress: impl FnMut(usize),
    ) -> Result<usize> {
        let mut done = 0;
        let mut left = items.len();
        for piece in items.chunks(pace.piece()) {
            match self.perform(Entry::Ongoing(id), act(piece.to_vec()), Timestamp::now()).await {
                Ok(count) => done += count,
                Err(error) => {
                    // A store that is sick does not take this either; then the action never ended, which is as true.
                    let _ = self.end_action(id, 0, Some(error.to_string()), Timestamp::now()).await;
                    return Err(error);
                }
            }
            progress(piece.len());
            left -= piece.len();
            if left > 0 {
                tokio::time::sleep(pace.pause(piece.len())).await;
            }
        }
        self.end_action(id, 0, None, Timestamp::now()).await?;
        Ok(done)
    }

    /// Notes that something begins that takes more than one transaction. Returns its number.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn begin_action(&self, new: NewAction, now: Timestamp) -> Result<i64> {
        let new = new.clean();
        each!(&self.engine, engine => engine.begin_action(new, now).await)
    }

    /// Notes that it has ended, with what was done beside what [`Store::perform`] counted, and why it failed if it did.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn end_action(&self, id: i64, more: usize, failure: Option<String>, now: Timestamp) -> Result<()> {
        let failure = failure.map(|why| short(&why));
        each!(&self.engine, engine => engine.end_action(id, more, failure, now).await)
    }

    /// Nobody is to ask once more for what this action left undone.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn forget_again(&self, id: i64) -> Result<()> {
        each!(&self.engine, engine => engine.forget_again(id).await)
    }

    /// The trail, newest first.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn actions(&self, filter: ActionFilter) -> Result<Vec<ActionRow>> {
        each!(&self.engine, engine => engine.actions(filter).await)
    }

    /// One line of the trail: how far something is that goes on.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn action(&self, id: i64) -> Result<Option<ActionRow>> {
        let above = id.checked_add(1);
        let found = self.actions(ActionFilter { before: above, limit: 1, since: None }).await?;
        Ok(found.into_iter().find(|row| row.id == id))
    }

    /// Removes lines of the trail that were begun before. Returns how many.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn forget_actions(&self, before: Timestamp) -> Result<usize> {
        each!(&self.engine, engine => engine.forget_actions(before).await)
    }
}

/// What there is to do.
impl Store {
    /// The dead letters by destination and cause, the most frequent first; at most 1,000 causes.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn dead_causes(&self) -> Result<Vec<DeadCause>> {
        each!(&self.engine, engine => engine.dead_causes().await)
    }

    /// Gives a cause to dead letters that died before causes were kept; some of them. Returns how many; call again until it is 0.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn sort_dead(&self) -> Result<usize> {
        each!(&self.engine, engine => engine.sort_dead().await)
    }

    /// Events that no route took, tests aside, with places in the order of receipt after `after`, in that order; for going through all
    /// of them piece by piece.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn unrouted_after(&self, after: i64, limit: u32) -> Result<Vec<Unrouted>> {
        each!(&self.engine, engine => engine.unrouted_after(after, limit).await)
    }

    /// A quarantined body with its first bytes; `None` when it is not there any more.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read.
    pub async fn quarantined_body(&self, id: i64, most_bytes: u32) -> Result<Option<(super::QuarantineRow, Vec<u8>)>> {
        each!(&self.engine, engine => engine.quarantined_body(id, most_bytes).await)
    }
}

impl Entry {
    fn clean(self) -> Self {
        match self {
            Self::New(new) => Self::New(new.clean()),
            ongoing @ Self::Ongoing(_) => ongoing,
        }
    }
}

impl NewAction {
    fn clean(self) -> Self {
        let Self { who, client, action, target, planned, detail, reason, again } = self;
        let clean = |(name, value): (_, String)| (name, short(&if name == "reason" { without_persons(value.trim()) } else { value }));
        let again = again.into_iter().map(clean).collect();
        let told = [detail, without_persons(reason.trim())].into_iter().filter(|told| !told.is_empty());
        let detail = short(&told.collect::<Vec<_>>().join("; "));
        let client = client.map(|client| short(&client));
        Self { who: short(&who), client, action, target: short(&target), planned, detail, reason: String::new(), again }
    }

    /// As it is kept.
    pub(super) fn again_json(&self) -> Option<String> {
        // Texts by name always are JSON.
        (!self.again.is_empty()).then(|| serde_json::to_string(&self.again).unwrap_or_default())
    }
}

/// What [`NewAction::again_json`] wrote. What cannot be read cannot be asked again.
pub(super) fn read_again(text: Option<&str>) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(text?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_also_when_it_is_slower_than_a_piece() {
        let pace = |per_second| Pace { per_second };
        assert_eq!((pace(None).piece(), pace(Some(10)).piece(), pace(Some(0)).piece(), pace(Some(9_999)).piece()), (100, 10, 1, 100));
        assert_eq!((pace(None).pause(100), pace(Some(50)).pause(25)), (Duration::ZERO, Duration::from_millis(500)));
    }
}
