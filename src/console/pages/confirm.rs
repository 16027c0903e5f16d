//! What is asked before something is done that cannot be undone, when the form did not ask.

use super::view::{Nav, View};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use std::collections::BTreeMap;

/// The box that says yes, in every form that asks.
pub(in crate::console) const CONFIRMED: &str = "confirmed";

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm<'a> {
    view: &'a View,
    name: &'a str,
    what: &'a str,
    fields: Vec<(&'a str, &'a str)>,
    back: &'a str,
}

/// The page that asks whether this action is meant, with what was sent in its form. `what` says what it does.
pub(in crate::console) fn confirm(view: &View, name: &str, what: &str, sent: &BTreeMap<String, String>, back: &str) -> HttpResponse {
    let own = ["_token", CONFIRMED];
    let fields = sent.iter().map(|(field, value)| (field.as_str(), value.as_str())).filter(|(field, _)| !own.contains(field)).collect();
    view.show_as(StatusCode::BAD_REQUEST, "This cannot be undone", Some(Nav::Person), &Confirm { view, name, what, fields, back })
}
