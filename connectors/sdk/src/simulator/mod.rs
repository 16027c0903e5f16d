//! Simulated services over real sockets, with faults to order: for staging, demonstrations and tests.
//!
//! A [`Service`] is a pure state machine from request to answer; the [`Server`] puts it on a socket and adds the [`Faults`].
//!
//! While a server runs, people look at it and order faults under `/_simulator/`:
//!
//! | request | does |
//! | --- | --- |
//! | `GET /_simulator/state` | everything the service holds |
//! | `GET /_simulator/requests` | how many requests there were, and the last 100 |
//! | `GET /_simulator/faults` | the rules in force |
//! | `POST /_simulator/faults` `{"rule":"503x3"}` | adds a [`FaultRule`] |
//! | `DELETE /_simulator/faults` | ends all faults and the added latency |

mod connection;
mod control;
mod door;
mod faults;
mod lag;
mod server;
mod tokens;
mod wire;

pub use door::Door;
pub use faults::{FaultKind, FaultRule, Faults};
pub use lag::SearchLag;
pub use server::{Logged, Server};
pub use tokens::TokenEndpoint;

use bytes::Bytes;
use serde_json::Value;
use url::form_urlencoded;

/// A request as a service sees it.
#[derive(Debug, Clone)]
pub struct Request {
    /// In capitals.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// As sent, in order.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body; none for `null`.
    #[must_use]
    pub fn with_json(self, body: &Value) -> Self {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        Self { body, ..self }
    }

    /// The parts of the path, percent-decoded.
    #[must_use]
    pub fn segments(&self) -> Vec<String> {
        // The form decoder reads `+` as a space, which a path does not mean.
        let pair = |part: &str| format!("v={}", part.replace('+', "%2B"));
        let decoded = |part| form_urlencoded::parse(pair(part).as_bytes()).next().map(|(_, value)| value.into_owned());
        self.path().split('/').filter(|part| !part.is_empty()).filter_map(decoded).collect()
    }

    /// A parameter of the query, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The token of `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A service's answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Without `Content-Length`, which the server adds.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: vec![("Content-Type".to_owned(), "application/json".to_owned())], body: body.to_string().into() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A simulated service: its whole state, and how it answers.
pub trait Service: Send {
    /// Answers one request, as the real service would.
    fn answer(&mut self, request: &Request) -> Response;

    /// A 2xx answer of the shape of this service that nevertheless reports an error inside, for [`FaultKind::ErrorInside`].
    fn error_inside(&self) -> Response;

    /// A 429 answer of the shape of this service, without `Retry-After`, which the server adds when ordered.
    fn rate_limited(&self) -> Response;

    /// Whether a fault of this kind can hit the request: one of a field only where that is sent, one of searches only a search.
    fn is_hit(&self, kind: &FaultKind, request: &Request) -> bool {
        let _ = request;
        *kind != FaultKind::SearchLag
    }

    /// A 429 that says that the requests for the day are used up, for [`FaultKind::DayIsSpent`].
    fn day_is_spent(&self) -> Response {
        self.rate_limited()
    }

    /// The answer of a search that finds nothing, for [`FaultKind::SearchLag`].
    fn finds_nothing(&self, request: &Request) -> Response {
        let _ = request;
        Response::json(200, &serde_json::json!([]))
    }

    /// An answer of the shape of this service with this status, for [`FaultKind::Status`]; `None` for a plain one. A 403 speaks of a
    /// missing scope, a 409 of a record that is there already.
    fn failing(&self, status: u16) -> Option<Response> {
        let _ = status;
        None
    }

    /// The refusal of a field in the shape of this service, for [`FaultKind::InvalidField`].
    fn invalid_field(&self, field: &str) -> Response {
        let error = serde_json::json!({"field": field, "code": "invalid", "message": "the value is not accepted"});
        Response::json(422, &serde_json::json!({"code": "validation_error", "errors": [error]}))
    }

    /// Everything it holds, for people and tests to look at.
    fn state(&self) -> Value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_as_it_was_put_together() {
        let request = Request::new("GET", "/contacts/a%2Fb%20c+d@x.example/notes/?number=%2B1+415&empty=");
        assert_eq!(request.segments(), ["contacts", "a/b c+d@x.example", "notes"]);
        assert_eq!(
            (request.query("number").as_deref(), request.query("empty").as_deref(), request.query("no")),
            (Some("+1 415"), Some(""), None)
        );
        assert_eq!(Request::new("GET", "/").with_header("authorization", "Bearer x").bearer(), Some("x"));
        assert_eq!(Request::new("GET", "/").with_header("authorization", "Basic x").bearer(), None);
    }
}
