//! How the services of the presets answer. [`Preset::success`](crate::Preset) and what stands beside it name the sources.

use crate::Preset;
use leadwire_connector::simulator::{Request, Response};
use leadwire_connector::text::Unit;
use serde_json::{Value, json};

/// Slack takes no more blocks, and no longer text in one.
const SLACK_BLOCKS: usize = 50;
const SLACK_TEXT: usize = 3_000;

/// The service whose part of the address this is.
pub(super) fn of_path(path: &str) -> Option<Preset> {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    Preset::ALL.into_iter().find(|preset| preset.as_str() == first)
}

/// The answer to an event that is taken.
pub(super) fn acceptance(service: Preset, id: &str) -> Response {
    match service {
        Preset::Zapier => Response::json(200, &json!({"status": "success", "attempt": id, "id": id, "request_id": id})),
        Preset::Make => plain(200, "Accepted"),
        Preset::N8n => Response::json(200, &json!({"message": "Workflow was started"})),
        Preset::Slack => plain(200, "ok"),
        Preset::GoHighLevel => Response::json(200, &json!({"status": "Success: request sent to trigger execution server", "id": id})),
    }
}

/// The answer to an event that is not taken: because the path orders it, or because the service does not take such a body.
pub(super) fn refusal(service: Preset, request: &Request) -> Option<Response> {
    let ordered = |word: &str| request.path().split('/').any(|part| part == word);
    match service {
        Preset::Zapier => ordered("off").then(|| plain(404, "please unsubscribe me!")),
        Preset::Make if ordered("off") => Some(plain(410, "There is no scenario listening for this webhook.")),
        Preset::Make => ordered("full").then(|| plain(400, "Queue is full.")),
        Preset::N8n => (ordered("off") || ordered("webhook-test")).then(|| not_registered(request)),
        Preset::Slack => slack_refusal(request, ordered),
        Preset::GoHighLevel => ordered("draft").then(draft),
    }
}

/// A 2xx that is none, where the service has one.
pub(super) fn error_inside(service: Preset) -> Option<Response> {
    match service {
        Preset::Zapier => Some(Response::json(200, &json!({"status": "error"}))),
        Preset::Slack => Some(plain(200, "no_text")),
        Preset::GoHighLevel => Some(draft()),
        Preset::Make | Preset::N8n => None,
    }
}

fn plain(status: u16, text: &'static str) -> Response {
    let headers = vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
    Response { status, headers, body: bytes::Bytes::from_static(text.as_bytes()) }
}

fn draft() -> Response {
    Response::json(200, &json!({"status": "Success: test request received"}))
}

fn not_registered(request: &Request) -> Response {
    let path = request.path().rsplit('/').next().unwrap_or_default();
    let message = format!("The requested webhook \"{} {path}\" is not registered.", request.method);
    Response::json(
        404,
        &json!({"code": 404, "message": message, "hint": "The workflow must be active for a production URL to run successfully."}),
    )
}

fn slack_refusal(request: &Request, ordered: impl Fn(&str) -> bool) -> Option<Response> {
    let body = request.json();
    let ordered = [("archived", 410, "channel_is_archived"), ("gone", 404, "no_service"), ("prohibited", 403, "action_prohibited")]
        .into_iter()
        .find(|(word, ..)| ordered(word));
    if let Some((_, status, text)) = ordered {
        return Some(plain(status, text));
    }
    if !body.is_object() {
        return Some(plain(400, "invalid_payload"));
    }
    if body["text"].as_str().is_none_or(str::is_empty) && !body["blocks"].is_array() {
        return Some(plain(400, "no_text"));
    }
    let blocks = body["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fits = |block: &Value| block["text"]["text"].as_str().is_none_or(|text| !text.is_empty() && Unit::Utf16.length(text) <= SLACK_TEXT);
    (blocks.len() > SLACK_BLOCKS || !blocks.iter().all(fits)).then(|| plain(400, "invalid_blocks"))
}
