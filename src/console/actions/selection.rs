//! Dead letters and other ended deliveries: replay them, or end them for good.

use super::{Actor, Console, Done, Kind, Refusal, again, count, given, moment, reason, unknown};
use crate::store::{ACT_PIECE, Act, DeliveryFilter, DeliveryKey, Entry, NewAction, Pace, State};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// How many become due per second, as `leadwire replay` does it.
const PER_SECOND: u32 = 1_000;

/// Which deliveries. Everything given must match; something must be given.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// One delivery, or all of one event, by id.
    pub delivery: String,
    /// To this destination.
    pub destination: String,
    /// Dead letters of this cause.
    pub cause: String,
    /// Of events received since: a moment, a day, or an age such as `2h`.
    pub since: String,
}

/// Deliveries to be made pending again.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ReplayRequest {
    /// Which ones.
    #[serde(flatten)]
    pub which: Selection,
    /// How they ended: `dead` (also when empty), `skipped` or `delivered`.
    pub state: String,
}

/// Dead letters that need not be delivered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DiscardRequest {
    /// Which ones.
    #[serde(flatten)]
    pub which: Selection,
    /// Why, for people.
    pub reason: String,
}

/// Delivers again what has ended.
///
/// # Errors
/// When the visitor may not, nothing matches, or the store fails.
pub async fn replay(console: &Console, actor: &Actor, request: ReplayRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let state = state(&request.state)?;
    let keys = request.which.find(console, state).await?;
    let detail = request.which.told(state);
    let again = request.which.again(("state", &request.state))?;
    let new = NewAction { detail, again, ..actor.acts("replay", &request.which.target(), keys.len()) };
    let act = move |keys| Act::Replay { keys, from: vec![state] };
    let what = if state == State::Dead { "dead letter" } else { "delivery that ended" };
    let words = Words { done: "pending again, and delivered in its turn", going: "being replayed, 1,000 a second", what };
    perform(console, new, keys, Pace { per_second: Some(PER_SECOND) }, act, words).await
}

/// Ends dead letters as skipped, with the name of the visitor and the reason. They can still be replayed.
///
/// # Errors
/// When the visitor may not, a reason is missing, nothing matches, or the store fails.
pub async fn discard(console: &Console, actor: &Actor, request: DiscardRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let reason = reason(&request.reason)?;
    let keys = request.which.find(console, State::Dead).await?;
    let remark = format!("discarded by {}: {reason}", actor.visitor.name);
    let detail = request.which.told(State::Dead);
    let again = request.which.again(("reason", &reason))?;
    let new = NewAction { detail, reason, again, ..actor.acts("discard", &request.which.target(), keys.len()) };
    let act = move |keys| Act::Discard { keys, remark: remark.clone() };
    let words = Words { done: "discarded; it can still be replayed", going: "being discarded", what: "dead letter" };
    perform(console, new, keys, Pace { per_second: None }, act, words).await
}

/// How many [`replay`] would be of, without doing it.
///
/// # Errors
/// Of [`replay`].
pub async fn count_replay(console: &Console, actor: &Actor, request: &ReplayRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let keys = request.which.find(console, state(&request.state)?).await?;
    Ok(Done::now(keys.len(), format!("{} would be replayed", count(keys.len(), "delivery").replace("ys", "ies"))))
}

/// How many [`discard`] would be of, without doing it.
///
/// # Errors
/// Of [`discard`].
pub async fn count_discard(console: &Console, actor: &Actor, request: &DiscardRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    reason(&request.reason)?;
    let keys = request.which.find(console, State::Dead).await?;
    Ok(Done::now(keys.len(), format!("{} would be discarded", count(keys.len(), "dead letter"))))
}

/// How it is told what came of it.
struct Words {
    done: &'static str,
    going: &'static str,
    what: &'static str,
}

/// At once when they are few, and else as a job. What was done until the store failed is not found again, so a job goes on with all.
async fn perform(
    console: &Console,
    new: NewAction,
    keys: Vec<DeliveryKey>,
    pace: Pace,
    act: impl Fn(Vec<DeliveryKey>) -> Act + Send + Sync + 'static,
    words: Words,
) -> Result<Done, Refusal> {
    if keys.len() <= ACT_PIECE {
        let done = console.store.perform(Entry::New(new), act(keys), Timestamp::now()).await?;
        return Ok(Done::now(done, format!("{}: {}", count(done, words.what), words.done)));
    }
    let id = console.store.begin_action(new, Timestamp::now()).await?;
    let message = format!("{}: {}", count(keys.len(), words.what), words.going);
    let (store, work) = (console.store.clone(), Arc::new((keys, act)));
    console.jobs.start(&console.store, id, move || {
        let (store, work) = (store.clone(), Arc::clone(&work));
        async move {
            let (keys, act) = &*work;
            store.carry_on(id, keys, pace, act, |_| {}).await.map(|_| 0)
        }
    });
    Ok(Done { count: 0, message, job: Some(id) })
}

fn state(word: &str) -> Result<State, Refusal> {
    match word.trim() {
        "" | "dead" => Ok(State::Dead),
        "skipped" => Ok(State::Skipped),
        "delivered" => Ok(State::Delivered),
        _ => Err(Refusal::new(Kind::Invalid, "what can be replayed is dead, skipped or delivered")),
    }
}

impl Selection {
    /// Those that match, oldest first.
    async fn find(&self, console: &Console, state: State) -> Result<Vec<DeliveryKey>, Refusal> {
        let (event, of_id) = self.event()?;
        let destination = given(&self.destination).or(of_id);
        if let Some(name) = &destination {
            console.store.find_destination(name).await.map_err(unknown)?;
        }
        if event.is_none() && destination.is_none() && given(&self.cause).is_none() && given(&self.since).is_none() {
            return Err(Refusal::new(Kind::Invalid, "say which: a delivery, a destination, a cause, or since when"));
        }
        let (cause, since) = (given(&self.cause), moment(&self.since)?);
        let filter = DeliveryFilter { states: vec![state], destination, cause, since, ..DeliveryFilter::default() };
        let keys = match event {
            Some(event) => console.store.find_ended_of(event, filter).await?,
            None => console.store.find_ended(filter).await?,
        };
        let none =
            || Refusal::new(Kind::NotFound, format!("nothing of this is {} any more; someone may have been quicker", state.as_str()));
        if keys.is_empty() { Err(none()) } else { Ok(keys) }
    }

    /// A delivery's id is the event's, and with `_` its destination's name.
    fn event(&self) -> Result<(Option<Uuid>, Option<String>), Refusal> {
        let Some(id) = given(&self.delivery) else { return Ok((None, None)) };
        let (event, destination) = match id.split_once('_') {
            Some((event, destination)) => (event, Some(destination.to_owned())),
            None => (id.as_str(), None),
        };
        let wrong = |_| Refusal::new(Kind::Invalid, "this is no id of a delivery or an event");
        Ok((Some(Uuid::try_parse(event).map_err(wrong)?), destination))
    }

    /// What to ask once more, with one field besides. An age would mean another moment by then.
    fn again(&self, besides: (&'static str, &str)) -> Result<BTreeMap<&'static str, String>, Refusal> {
        let since = moment(&self.since)?.map(|since| since.to_string()).unwrap_or_default();
        let own = [("delivery", self.delivery.as_str()), ("destination", &self.destination), ("cause", &self.cause), ("since", &since)];
        let [delivery, destination, cause, since] = own;
        Ok(again([delivery, destination, cause, since, besides]))
    }

    fn target(&self) -> String {
        given(&self.delivery).or_else(|| given(&self.destination)).unwrap_or_else(|| "all destinations".to_owned())
    }

    fn told(&self, state: State) -> String {
        let cause = given(&self.cause).map(|cause| format!(", died of {cause}")).unwrap_or_default();
        let since = given(&self.since).map(|since| format!(", received since {since}")).unwrap_or_default();
        format!("those {}{cause}{since}", state.as_str())
    }
}
