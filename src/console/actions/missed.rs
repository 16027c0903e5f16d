//! Missed leads: make a lead of a conversation, or take it off the list.

use super::{Actor, Console, Done, Kind, Refusal, reason};
use crate::receive::{Taken, take_missed};
use crate::store::{MissedEnding, NewAction};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

/// A conversation of the list to become a lead.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TakeRequest {
    /// Which one, by id.
    pub conversation: String,
}

/// A conversation that is no missed lead.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DismissRequest {
    /// Which one, by id.
    pub conversation: String,
    /// Why, for people.
    pub reason: String,
}

/// Makes a lead of a conversation whose visitor left a contact. Asked twice, it is made once.
///
/// # Errors
/// When the visitor may not, it is not on the list or was dismissed, or the store fails.
pub async fn take(console: &Console, actor: &Actor, request: TakeRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let conversation = id(&request.conversation)?;
    let new = actor.acts("take", &conversation.to_string(), 1);
    let action = console.store.begin_action(new, Timestamp::now()).await?;
    let taken = take_missed(&console.intake, &console.store, conversation, Timestamp::now()).await;
    let count = usize::from(matches!(taken, Ok(Taken::Made(_))));
    let failure = taken.as_ref().err().map(ToString::to_string);
    console.store.end_action(action, count, failure, Timestamp::now()).await?;
    match taken? {
        Taken::Made(_) => Ok(Done::now(1, "a lead was made of it, and is delivered in its turn")),
        Taken::Before(_) => Ok(Done::now(0, "a lead was made of it before")),
        Taken::Dismissed => Err(Refusal::new(Kind::Conflict, "it was dismissed; no lead is made of it")),
        Taken::NotListed => Err(not_listed()),
    }
}

/// Takes a conversation off the list.
///
/// # Errors
/// When the visitor may not, a reason is missing, it is not on the list, or the store fails.
pub async fn dismiss(console: &Console, actor: &Actor, request: DismissRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let (conversation, reason) = (id(&request.conversation)?, reason(&request.reason)?);
    let new = NewAction { reason, ..actor.acts("dismiss", &conversation.to_string(), 1) };
    let action = console.store.begin_action(new, Timestamp::now()).await?;
    let settled = console.store.settle_missed(conversation, MissedEnding::Dismissed, Timestamp::now()).await;
    let count = usize::from(matches!(settled, Ok(true)));
    let failure = settled.as_ref().err().map(ToString::to_string);
    console.store.end_action(action, count, failure, Timestamp::now()).await?;
    if settled? { Ok(Done::now(1, "it is off the list")) } else { Err(not_listed()) }
}

fn id(text: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(text.trim()).map_err(|_| Refusal::new(Kind::Invalid, "this is no id of a conversation"))
}

fn not_listed() -> Refusal {
    Refusal::new(Kind::NotFound, "it is not on the list any more; its lead may have come meanwhile")
}
