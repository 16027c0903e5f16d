//! The quarantine: verify again, look at one body, purge.

use super::{Actor, Console, Done, Kind, Refusal, again, count, flag, given, moment};
use crate::receive::reverify;
use crate::store::{ACT_PIECE, Act, Entry, NewAction, Purge, QuarantineRow, Result as Stored, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of a body that are shown.
const EXCERPT: u32 = 16 << 10;

/// Bodies to be verified again.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct VerifyRequest {
    /// Of this source; empty is all.
    pub source: String,
}

/// Bodies to be removed for good. Everything given must match; something must be given.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PurgeRequest {
    /// The number of one body.
    pub id: String,
    /// Of this source.
    pub source: String,
    /// Those that came before: a moment, a day, or an age such as `7d`.
    pub before: String,
    /// Also those whose sender was told success while the source awaited its key. They may be leads.
    #[serde(deserialize_with = "flag")]
    pub with_promised: bool,
}

/// One quarantined body.
#[derive(Debug, Clone, Serialize)]
pub struct Body {
    /// What is known of it, with the reason of its refusal.
    #[serde(flatten)]
    pub row: QuarantineRow,
    /// Whether it came with a signature header.
    pub is_signed: bool,
    /// Its beginning; what is no text is replaced.
    pub excerpt: String,
    /// Whether there is more of it.
    pub is_cut: bool,
}

/// Verifies bodies again with the keys of today. What verifies becomes events; the others get the explanation of today.
///
/// # Errors
/// When the visitor may not, there is no such source, or the store fails.
pub async fn verify(console: &Console, actor: &Actor, request: VerifyRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let source = given(&request.source);
    let known = &console.intake.sources;
    if let Some(name) = source.as_ref().filter(|name| !known.contains_key(*name)) {
        return Err(Refusal::new(Kind::NotFound, format!("there is no source `{name}` in the configuration")));
    }
    let names: Vec<String> = source.clone().map_or_else(|| known.keys().cloned().collect(), |name| vec![name]);
    let planned = usize::try_from(console.store.count_quarantined().await?).unwrap_or(0);
    let again = again([("source", source.as_deref().unwrap_or_default())]);
    let new = NewAction { again, ..actor.acts("verify", source.as_deref().unwrap_or("all sources"), planned) };
    let id = console.store.begin_action(new, Timestamp::now()).await?;
    let (intake, store) = (Arc::clone(&console.intake), console.store.clone());
    let work = move || verify_all(Arc::clone(&intake), store.clone(), names.clone());
    if planned > ACT_PIECE {
        console.jobs.start(&console.store, id, work);
        return Ok(Done {
            count: 0,
            message: format!("{} being verified again", count(planned, "body").replace("ys", "ies")),
            job: Some(id),
        });
    }
    let admitted = work().await;
    let failure = admitted.as_ref().err().map(ToString::to_string);
    console.store.end_action(id, admitted.as_ref().copied().unwrap_or(0), failure, Timestamp::now()).await?;
    let admitted = admitted?;
    let told = if admitted == 0 { "none verifies now; each says why".to_owned() } else { format!("{admitted} verified and became events") };
    Ok(Done::now(admitted, told))
}

async fn verify_all(intake: Arc<crate::receive::Intake>, store: Store, names: Vec<String>) -> Stored<usize> {
    let mut admitted = 0;
    for name in &names {
        admitted += reverify(&intake, &store, name, || {}).await?.admitted;
    }
    Ok(usize::try_from(admitted).unwrap_or(usize::MAX))
}

/// Removes bodies for good.
///
/// # Errors
/// When the visitor may not, nothing is said of which, or the store fails.
pub async fn purge(console: &Console, actor: &Actor, request: PurgeRequest) -> Result<Done, Refusal> {
    actor.may_act()?;
    let wrong = |_| Refusal::new(Kind::Invalid, "this is no number of a quarantined body");
    let id = given(&request.id).map(|id| id.parse::<i64>().map_err(wrong)).transpose()?;
    let (source, before, with_promised) = (given(&request.source), moment(&request.before)?, request.with_promised);
    if id.is_none() && source.is_none() && before.is_none() {
        return Err(Refusal::new(Kind::Invalid, "say which: one body, a source, or those that came before a moment"));
    }
    let target = id.map(|id| format!("body {id}")).or_else(|| source.clone()).unwrap_or_else(|| "all sources".to_owned());
    let also = if with_promised { "also promised ones" } else { "no promised ones" };
    let detail = before.map_or_else(|| also.to_owned(), |before| format!("from before {before}; {also}"));
    let new = NewAction { detail, ..actor.acts("purge", &target, 0) };
    let act = Act::Purge(Purge { id, source, before, with_promised });
    let removed = console.store.perform(Entry::New(new), act, Timestamp::now()).await?;
    Ok(Done::now(removed, format!("{} removed", count(removed, "body").replace("ys", "ies"))))
}

/// One body with its beginning.
///
/// # Errors
/// When it is not there any more, the visitor sees personal data masked, or the store fails.
pub async fn look(console: &Console, actor: &Actor, id: i64) -> Result<Body, Refusal> {
    if actor.visitor.masked {
        let why = "a body that could not be verified is shown as it came, with personal data in it, which is masked for you";
        return Err(Refusal::new(Kind::Forbidden, why));
    }
    let gone =
        || Refusal::new(Kind::NotFound, "this body is no longer in the quarantine: it was verified, purged, or made room for another");
    let (row, start) = console.store.quarantined_body(id, EXCERPT).await?.ok_or_else(gone)?;
    let is_cut = start.len() >= EXCERPT as usize;
    let excerpt = String::from_utf8_lossy(&start).into_owned();
    Ok(Body { is_signed: row.header.is_some(), row, excerpt, is_cut })
}
