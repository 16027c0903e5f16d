//! An endpoint that takes what this connector sends: for staging, demonstrations and tests.
//!
//! Below `/zapier`, `/make`, `/n8n`, `/slack` and `/gohighlevel` it answers as those services do. A word in the path orders another answer
//! than the usual one, such as `/make/off` for a scenario that is switched off: [`Endpoint`] lists them.

mod services;

use crate::Preset;
use crate::sign::Key;
use bytes::Bytes;
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::simulator::{Request, Response, Service};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Bodies are kept of so many deliveries, the last ones; ids and counts of all.
const KEPT_BODIES: usize = 10_000;
/// As the libraries of Standard Webhooks have it.
const TOLERANCE_SECONDS: i64 = 300;

/// Verifies signatures when it has a key, and remembers every delivery by its `webhook-id`.
///
/// | path | answers |
/// | --- | --- |
/// | `/zapier/…` | `{"status":"success",…}` |
/// | `/zapier/off` | 404 `please unsubscribe me!` |
/// | `/make/…` | `Accepted` |
/// | `/make/off`, `/make/full` | 410, 400 |
/// | `/n8n/…` | `{"message":"Workflow was started"}` |
/// | `/n8n/off` | 404 `The requested webhook … is not registered.` |
/// | `/slack/…` | `ok`, or 400 for what Slack does not take |
/// | `/slack/archived`, `/slack/gone`, `/slack/prohibited` | 410, 404, 403 |
/// | `/gohighlevel/…` | `{"status":"Success: request sent to trigger execution server","id":…}` |
/// | `/gohighlevel/draft` | 200 `{"status":"Success: test request received"}` |
///
/// [`state`](Service::state) is
/// `{"accepted": 3, "refused": 0, "deliveries": [{"id": "…", "count": 2, "body": {…}}, …]}`, in the order of first arrival;
/// `accepted` counts requests, `body` is the first of that id, or `null` when it is no longer kept.
#[derive(Debug, Default)]
pub struct Endpoint {
    key: Option<Key>,
    service: Option<Preset>,
    accepted: u64,
    refused: u64,
    deliveries: Vec<Seen>,
    places: HashMap<String, usize>,
}

#[derive(Debug)]
struct Seen {
    id: String,
    count: u64,
    body: Option<Bytes>,
}

/// An endpoint that takes unsigned requests too; for [`Simulation::service`](leadwire_connector::Simulation).
pub(crate) fn boxed() -> Box<dyn Service> {
    Box::<Endpoint>::default()
}

/// For [`Simulation::settings`](leadwire_connector::Simulation). The endpoint asks for no key, so there is none to make up.
pub(crate) fn settings(url: &Url) -> String {
    format!("type = \"json\"\nurl = \"{url}\"\n")
}

impl Endpoint {
    /// One that refuses what is not signed with this key, `whsec_` and base64.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn signed(secret: &str) -> Result<Self, String> {
        let key = Key::parse(secret).map_err(|(message, help)| format!("{message}; {help}"))?;
        Ok(Self { key: Some(key), ..Self::default() })
    }

    /// One that answers as this service does, whatever the path.
    #[must_use]
    pub fn of(service: Preset) -> Self {
        Self { service: Some(service), ..Self::default() }
    }

    /// What keeps the request from being accepted: the status and the reason.
    fn objection(&self, request: &Request) -> Option<(u16, &'static str)> {
        if !matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
            return Some((405, "events are posted"));
        }
        let Some(id) = request.header("webhook-id").filter(|id| !id.is_empty()) else {
            return Some((400, "there is no webhook-id"));
        };
        if request.header("idempotency-key").and_then(|key| key.strip_prefix('"')?.strip_suffix('"')) != Some(id) {
            return Some((400, "the Idempotency-Key is not the webhook-id in quotes"));
        }
        let is_genuine = self.key.as_ref().is_none_or(|key| is_signed(key, request, id));
        if !is_genuine {
            return Some((401, "the signature is missing, wrong or too old"));
        }
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&request.body).is_ok();
        (says_json(request) && !is_json).then_some((400, "the body is not JSON"))
    }

    fn remember(&mut self, id: &str, body: &Bytes) {
        self.accepted += 1;
        if let Some(seen) = self.places.get(id).and_then(|place| self.deliveries.get_mut(*place)) {
            seen.count += 1;
            return;
        }
        self.places.insert(id.to_owned(), self.deliveries.len());
        self.deliveries.push(Seen { id: id.to_owned(), count: 1, body: Some(body.clone()) });
        let too_old = self.deliveries.len().checked_sub(KEPT_BODIES + 1);
        if let Some(seen) = too_old.and_then(|place| self.deliveries.get_mut(place)) {
            seen.body = None;
        }
    }
}

fn is_signed(key: &Key, request: &Request, id: &str) -> bool {
    let (Some(seconds), Some(signatures)) = (request.header("webhook-timestamp"), request.header("webhook-signature")) else {
        return false;
    };
    let is_fresh =
        seconds.parse::<i64>().is_ok_and(|seconds| Timestamp::now().as_second().abs_diff(seconds) <= TOLERANCE_SECONDS.unsigned_abs());
    is_fresh && key.verifies(signatures, id, seconds, &request.body)
}

fn says_json(request: &Request) -> bool {
    crate::map::is_json(request.header("content-type"))
}

impl Service for Endpoint {
    fn answer(&mut self, request: &Request) -> Response {
        if let Some((status, reason)) = self.objection(request) {
            // Looking whether somebody is there is no event that was refused.
            self.refused += u64::from(status != 405);
            return Response::json(status, &json!({"error": reason}));
        }
        let id = request.header("webhook-id").unwrap_or_default();
        let service = self.service.or_else(|| services::of_path(request.path()));
        if let Some(refusal) = service.and_then(|service| services::refusal(service, request)) {
            self.refused += 1;
            return refusal;
        }
        self.remember(id, &request.body);
        service.map_or_else(|| Response::json(200, &json!({"status": "accepted"})), |service| services::acceptance(service, id))
    }

    fn error_inside(&self) -> Response {
        let verdict = || Response::json(200, &json!({"verdict": "retry", "message": "not now"}));
        self.service.and_then(services::error_inside).unwrap_or_else(verdict)
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!({"error": "too many requests"}))
    }

    fn state(&self) -> Value {
        let show = |seen: &Seen| {
            let text = |body: &Bytes| Value::from(String::from_utf8_lossy(body).into_owned());
            let body = seen.body.as_ref().map(|body| serde_json::from_slice::<Value>(body).unwrap_or_else(|_| text(body)));
            json!({"id": seen.id, "count": seen.count, "body": body})
        };
        let deliveries: Vec<Value> = self.deliveries.iter().map(show).collect();
        json!({"accepted": self.accepted, "refused": self.refused, "deliveries": deliveries})
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn request(id: &str, headers: &[(&str, &str)]) -> Request {
        let request = Request::new("POST", "/").with_header("Idempotency-Key", format!("\"{id}\"")).with_header("webhook-id", id);
        let request = headers.iter().fold(request, |request, (name, value)| request.with_header(name, *value));
        Request { body: Bytes::from_static(b"{}"), ..request }
    }

    #[test]
    fn repeats_are_counted_in_the_order_of_first_arrival() {
        let mut endpoint = Endpoint::default();
        for id in ["b", "a", "b"] {
            assert_eq!(endpoint.answer(&request(id, &[])).status, 200);
        }
        let expected = json!([{"id": "b", "count": 2, "body": {}}, {"id": "a", "count": 1, "body": {}}]);
        assert_eq!((&endpoint.state()["deliveries"], &endpoint.state()["accepted"]), (&expected, &json!(3)));
    }

    #[test]
    fn old_bodies_are_forgotten_and_counts_are_not() {
        let mut endpoint = Endpoint::default();
        for id in 0..=KEPT_BODIES {
            endpoint.answer(&request(&id.to_string(), &[]));
        }
        let state = endpoint.state();
        assert_eq!((&state["deliveries"][0]["body"], &state["deliveries"][1]["body"]), (&Value::Null, &json!({})));
        assert_eq!(state["deliveries"].as_array().unwrap().len(), KEPT_BODIES + 1);
    }

    #[test]
    fn with_a_key_only_a_fresh_and_right_signature_is_accepted() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let key = Key::parse(secret).unwrap();
        let mut endpoint = Endpoint::signed(secret).unwrap();
        let mut status = |seconds: i64, signature: &str| {
            endpoint.answer(&request("a", &[("webhook-timestamp", &seconds.to_string()), ("webhook-signature", signature)])).status
        };
        let now = Timestamp::now().as_second();
        let sign = |seconds: i64| key.sign("a", &seconds.to_string(), b"{}");
        assert_eq!(status(now, &sign(now)), 200);
        assert_eq!(status(now, &sign(now - 1)), 401);
        assert_eq!(status(now - 1_000, &sign(now - 1_000)), 401);
        assert_eq!(endpoint.answer(&request("a", &[])).status, 401);
        assert_eq!((&endpoint.state()["accepted"], &endpoint.state()["refused"]), (&json!(1), &json!(3)));
    }

    #[test]
    fn each_path_answers_as_its_service() {
        let mut endpoint = Endpoint::default();
        let mut told = |path: &str| {
            let body = Bytes::from_static(b"{\"text\":\"hi\"}");
            let answer = endpoint.answer(&Request { target: path.to_owned(), body, ..request("a", &[]) });
            (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
        };
        for (path, status, text) in [
            ("/leads", 200, "accepted"),
            ("/zapier/hooks/catch/1/a/", 200, "\"status\":\"success\""),
            ("/zapier/off", 404, "please unsubscribe me!"),
            ("/make/abc", 200, "Accepted"),
            ("/make/off", 410, "There is no scenario listening for this webhook."),
            ("/make/full", 400, "Queue is full."),
            ("/n8n/webhook/abc", 200, "Workflow was started"),
            ("/n8n/off", 404, "is not registered"),
            ("/slack/services/T/B/x", 200, "ok"),
            ("/slack/archived", 410, "channel_is_archived"),
            ("/slack/gone", 404, "no_service"),
            ("/slack/prohibited", 403, "action_prohibited"),
            ("/gohighlevel/hooks/x", 200, "\"id\":"),
            ("/gohighlevel/draft", 200, "test request received"),
        ] {
            let (answered, body) = told(path);
            assert!(answered == status && body.contains(text), "{path}: {answered} {body}");
        }
        assert_eq!((&endpoint.state()["accepted"], &endpoint.state()["refused"]), (&json!(6), &json!(8)));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let mut endpoint = Endpoint::default();
        assert_eq!(endpoint.answer(&request("", &[])).status, 400);
        assert_eq!(endpoint.answer(&Request { body: Bytes::from_static(b"{"), ..request("a", &[]) }).status, 400);
        let unquoted = [("Idempotency-Key", "a"), ("webhook-id", "a")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(endpoint.answer(&Request { headers: unquoted.to_vec(), ..request("a", &[]) }).status, 400);
        assert_eq!(endpoint.answer(&Request { method: "HEAD".to_owned(), ..request("a", &[]) }).status, 405);
        assert_eq!(endpoint.state()["refused"], 3);
    }
}
