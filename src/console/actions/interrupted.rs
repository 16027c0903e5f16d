//! What an interrupted action left undone.

use super::{Actor, Console, Kind, Refusal, progress};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Which one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct InterruptedRequest {
    /// The number of its line in the trail.
    action: String,
}

/// Its number and name, and what to ask once more.
///
/// # Errors
/// When the visitor may not act, it was not interrupted, was asked for again already, or the store fails.
pub(super) async fn interrupted(
    console: &Console,
    actor: &Actor,
    request: InterruptedRequest,
) -> Result<(i64, String, BTreeMap<String, String>), Refusal> {
    actor.may_act()?;
    let wrong = |_| Refusal::new(Kind::Invalid, "this is no number of an action");
    let row = progress(console, request.action.trim().parse().map_err(wrong)?).await?;
    let settled = || Refusal::new(Kind::Conflict, "there is nothing to go on with; someone may have been quicker");
    let again = row.again.filter(|_| row.failure.is_some()).ok_or_else(settled)?;
    Ok((row.id, row.action, again))
}
