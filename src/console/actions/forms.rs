//! What pages post: a form, and back to the page it came from with a notice of what came of it.

use super::{Actor, Done, discard, dismiss, hold, interrupted, purge, replay, resume, route, take, verify};
use crate::console::access::back;
use crate::console::pages::{CONFIRMED, Notice, View, confirm, redirect};
use crate::console::{Console, Kind, Refusal};
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes of a form, at most.
const MOST_BYTES: usize = 16 << 10;

/// Actions that cannot be undone, with what they do.
const FOR_GOOD: [(&str, &str); 1] =
    [("purge", "What is purged is gone for good: it is delivered nowhere, no key brings it back, and there may be leads among it.")];

type Fields = BTreeMap<String, String>;

/// Where forms are posted to.
pub(in crate::console) fn forms_of_pages() -> Resource {
    web::resource("/actions/{name}").app_data(web::FormConfig::default().limit(MOST_BYTES)).route(web::post().to(act))
}

/// `POST /actions/{name}`: does it and leads back to the local path in the field `back`.
///
/// What cannot be undone is done only if the form says that it was asked; without, it is answered with a page that asks.
///
/// # Errors
/// When there is no such action, or the visitor may not act. Everything else that goes wrong is told on the page that it leads back to.
async fn act(
    request: HttpRequest,
    console: web::Data<Console>,
    actor: Actor,
    view: View,
    name: web::Path<String>,
    fields: web::Form<Fields>,
) -> Result<HttpResponse, Refusal> {
    actor.may_act()?;
    let back = fields.get("back").map_or("/", |path| back::local(path));
    if let Some(what) = unconfirmed(&name, &fields) {
        return Ok(confirm(&view, &name, what, &fields, back));
    }
    let done = match name.as_str() {
        "again" => go_on(&console, &actor, &fields).await,
        "leave" => leave(&console, &actor, &fields).await,
        name => perform(&console, &actor, name, &fields).await,
    };
    let notice = match done {
        Ok(done) => Notice::good(done.message),
        Err(refusal) if refusal.kind == Kind::MethodNotAllowed => return Err(Refusal::not_found()),
        Err(refusal) => Notice::bad(refusal.message),
    };
    Ok(redirect(&request, back, Some(&notice)))
}

async fn perform(console: &Console, actor: &Actor, name: &str, fields: &Fields) -> Result<Done, Refusal> {
    match name {
        "hold" => hold(console, actor, read(fields)?).await,
        "resume" => resume(console, actor, read(fields)?).await,
        "replay" => replay(console, actor, read(fields)?).await,
        "discard" => discard(console, actor, read(fields)?).await,
        "verify" => verify(console, actor, read(fields)?).await,
        "purge" => purge(console, actor, read(fields)?).await,
        "route" => route(console, actor, read(fields)?).await,
        "take" => take(console, actor, read(fields)?).await,
        "dismiss" => dismiss(console, actor, read(fields)?).await,
        _ => Err(Refusal::new(Kind::MethodNotAllowed, "there is no such action")),
    }
}

/// What it would do, when it cannot be undone and nobody said yes. A browser asks before it sends our forms; others may not.
fn unconfirmed(name: &str, fields: &Fields) -> Option<&'static str> {
    let is_said = fields.get(CONFIRMED).is_some_and(|said| matches!(said.as_str(), "on" | "true" | "1" | "yes"));
    FOR_GOOD.iter().find(|(action, _)| *action == name && !is_said).map(|(_, what)| *what)
}

/// Does what an interrupted action left undone, in the name of whoever asks now.
async fn go_on(console: &Console, actor: &Actor, fields: &Fields) -> Result<Done, Refusal> {
    let (id, action, again) = interrupted(console, actor, read(fields)?).await?;
    let done = perform(console, actor, &action, &again).await;
    // With nothing left there is nothing to ask for again, either; a store that failed can be asked later.
    if !matches!(&done, Err(refusal) if refusal.kind == Kind::Unavailable) {
        console.store.forget_again(id).await?;
    }
    done
}

/// Nobody wants what it left undone.
async fn leave(console: &Console, actor: &Actor, fields: &Fields) -> Result<Done, Refusal> {
    let (id, ..) = interrupted(console, actor, read(fields)?).await?;
    console.store.forget_again(id).await?;
    Ok(Done::now(0, "it is left as it is"))
}

fn read<T: DeserializeOwned>(fields: &Fields) -> Result<T, Refusal> {
    let object = fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let wrong = |_| Refusal::new(Kind::Invalid, "the form cannot be read; go back and try again");
    serde_json::from_value(Value::Object(object)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::super::{PurgeRequest, ReplayRequest};
    use super::*;

    #[test]
    fn what_cannot_be_undone_needs_a_yes() {
        let with = |said: &str| Fields::from([("source".to_owned(), "acme".to_owned()), (CONFIRMED.to_owned(), said.to_owned())]);
        assert!(unconfirmed("purge", &Fields::new()).is_some() && unconfirmed("purge", &with("no")).is_some());
        assert!(unconfirmed("purge", &with("on")).is_none() && unconfirmed("replay", &Fields::new()).is_none());
    }

    #[test]
    fn a_form_is_read_whatever_else_it_has() {
        let fields: Fields = [("destination", "crm"), ("cause", ""), ("_token", "x"), ("back", "/person")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let request: ReplayRequest = read(&fields).unwrap();
        assert_eq!((request.which.destination.as_str(), request.which.cause.as_str(), request.state.as_str()), ("crm", "", ""));
        let box_on: PurgeRequest = read(&[("with_promised".to_owned(), "on".to_owned())].into()).unwrap();
        let box_off: PurgeRequest = read(&fields).unwrap();
        assert!(box_on.with_promised && !box_off.with_promised);
    }
}
