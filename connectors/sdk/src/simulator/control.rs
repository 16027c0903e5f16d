//! `/_simulator/`: looking at a running simulator, and ordering faults.

use super::server::{Logged, Shared, lock};
use super::{FaultRule, Request, Response};
use crate::timestamp;
use serde_json::{Value, json};

const LAST: usize = 100;

/// The answer, if the request is one to the simulator itself.
pub(super) fn answer(shared: &Shared, request: &Request) -> Option<Response> {
    let what = request.path().strip_prefix("/_simulator/")?;
    Some(match (request.method.as_str(), what) {
        ("GET", "state") => Response::json(200, &lock(&shared.service).state()),
        ("GET", "requests") => requests(shared),
        ("GET", "faults") => faults(shared),
        ("POST", "faults") => order(shared, request),
        ("DELETE", "faults") => {
            shared.clear_faults();
            faults(shared)
        }
        _ => error(404, "known are GET state, GET requests, and GET, POST and DELETE faults"),
    })
}

fn requests(shared: &Shared) -> Response {
    let (count, last) = shared.logged(LAST);
    Response::json(200, &json!({"count": count, "last": last.iter().map(show).collect::<Vec<_>>()}))
}

fn faults(shared: &Shared) -> Response {
    let faults = lock(&shared.faults);
    Response::json(200, &json!({"latency_ms": faults.latency.as_millis() as u64, "rules": faults.listed()}))
}

fn order(shared: &Shared, request: &Request) -> Response {
    let ordered = request.json();
    let Some(rule) = ordered.get("rule").and_then(Value::as_str) else {
        return error(400, "the body is to be {\"rule\":\"503x3\"}");
    };
    match rule.parse::<FaultRule>() {
        Ok(rule) => lock(&shared.faults).rules.push(rule),
        Err(message) => return error(400, &message),
    }
    faults(shared)
}

fn error(status: u16, message: &str) -> Response {
    Response::json(status, &json!({"error": message}))
}

/// Credentials are masked: a simulator may well be given real ones by mistake.
fn show(Logged { request, status, at }: &Logged) -> Value {
    let headers = request.headers.iter().map(|(name, value)| {
        let is_secret = ["authorization", "cookie", "x-api-key"].iter().any(|secret| name.eq_ignore_ascii_case(secret));
        (name.clone(), Value::from(if is_secret { crate::text::mask(value) } else { value.clone() }))
    });
    let body = match request.json() {
        Value::Null => Value::from(String::from_utf8_lossy(&request.body)),
        body => body,
    };
    json!({
        "method": request.method, "target": request.target, "headers": Value::Object(headers.collect()), "body": body,
        "status": status, "at": timestamp::format(*at),
    })
}
