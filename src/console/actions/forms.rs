//! What pages post: a form, and back to the page it came from with a notice of what came of it.

use super::{Actor, Done, discard, dismiss, hold, purge, replay, resume, route, take, verify};
use crate::console::access::back;
use crate::console::pages::{Notice, redirect};
use crate::console::{Console, Kind, Refusal};
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes of a form, at most.
const MOST_BYTES: usize = 16 << 10;

type Fields = BTreeMap<String, String>;

/// Where forms are posted to.
pub(in crate::console) fn forms_of_pages() -> Resource {
    web::resource("/actions/{name}").app_data(web::FormConfig::default().limit(MOST_BYTES)).route(web::post().to(act))
}

/// `POST /actions/{name}`: does it and leads back to the local path in the field `back`.
///
/// # Errors
/// When there is no such action, or the visitor may not act. Everything else that goes wrong is told on the page that it leads back to.
async fn act(
    request: HttpRequest,
    console: web::Data<Console>,
    actor: Actor,
    name: web::Path<String>,
    fields: web::Form<Fields>,
) -> Result<HttpResponse, Refusal> {
    actor.may_act()?;
    let notice = match perform(&console, &actor, &name, &fields).await {
        Ok(done) => Notice::good(done.message),
        Err(refusal) if refusal.kind == Kind::MethodNotAllowed => return Err(Refusal::not_found()),
        Err(refusal) => Notice::bad(refusal.message),
    };
    let back = fields.get("back").map_or("/", |path| back::local(path));
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
