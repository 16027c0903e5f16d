//! JSON to an endpoint, signed by Standard Webhooks when there is a key.

use super::Sender;
use crate::alerts::note::{Letter, What};
use jiff::Timestamp;
use leadwire_connector::http::{Method, Request};
use leadwire_connector::signature::Key;
use serde_json::{Value, json};
use url::Url;

pub(super) fn request(url: Url, letter: &Letter, key: Option<&Key>, sender: &Sender) -> Result<Request, String> {
    let body = serde_json::to_vec(&message(letter, sender)).map_err(|error| error.to_string())?;
    let seconds = Timestamp::now().as_second().to_string();
    let request = Request::new(Method::Post, url).header("webhook-id", letter.id.as_str()).header("webhook-timestamp", seconds.as_str());
    let request = match key {
        Some(key) => request.header("webhook-signature", key.sign(&letter.id, &seconds, &body)),
        None => request,
    };
    Ok(request.body("application/json", body))
}

/// Documented in `docs/running.md`.
fn message(letter: &Letter, sender: &Sender) -> Value {
    let note = &letter.note;
    let name = match note.what {
        What::Opened => "alert.opened",
        What::Grew => "alert.grew",
        What::Reminder => "alert.reminder",
        What::Resolved => "alert.resolved",
        What::Digest => "digest",
        What::Test => "test",
    };
    let mut message = json!({
        "type": name, "id": letter.id, "at": note.at, "host": sender.host, "title": note.title, "detail": note.detail,
        "remedy": note.remedy, "link": sender.console_url,
    });
    if let Some(condition) = note.condition {
        message["condition"] = json!(condition);
        message["subject"] = json!(note.subject);
        message["severity"] = json!(note.severity);
        message["since"] = json!(note.since);
        message["ended_at"] = json!(note.ended_at);
    }
    if let Some(figures) = &note.figures {
        message["figures"] = figures.clone();
    }
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::alerts::note::tests::note;

    #[test]
    fn the_body_is_signed_with_its_id_and_time() {
        let letter = Letter { id: "alert_1".into(), note: note(What::Opened), to: Vec::new() };
        let sender = Sender { host: "box".into(), console_url: None };
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let request = request("https://example.com/".parse().unwrap(), &letter, Some(&key), &sender).unwrap();
        let header = |name: &str| request.headers.iter().find(|(known, _)| known == name).unwrap().1.clone();
        let (id, seconds, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        assert!(key.verifies(&signature, &id, &seconds, &request.body));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&body["type"], &body["condition"], &body["severity"]), (&json!("alert.opened"), &json!("hold"), &json!("critical")));
    }
}
