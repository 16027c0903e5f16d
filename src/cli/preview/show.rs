//! Requests for people and for programs.

use super::{Outcome, Subject};
use crate::cli::show::plain;
use leadwire_connector::PreviewRequest;
use serde_json::{Value, json};

const INDENT: &str = "   ";

pub(super) fn to_json(subject: &Subject, outcome: &Outcome) -> Value {
    let event = &subject.event;
    let steps: Vec<_> = subject.steps.iter().map(|(step, remote)| json!({"step": step, "remote_id": remote})).collect();
    let (requests, refused) = match outcome {
        Outcome::Requests(requests) => (requests.as_slice(), None),
        Outcome::Refused(error) => (&[][..], Some(json!({"kind": error.kind, "message": error.message}))),
    };
    json!({
        "event": event.id, "kind": event.kind, "source": event.source, "routed": subject.is_routed, "finished_steps": steps,
        "outcome": if refused.is_some() { "refused" } else if requests.is_empty() { "skipped" } else { "sent" },
        "says": outcome.words(), "requests": requests, "refused": refused,
    })
}

pub(super) fn render(subject: &Subject, outcome: &Outcome, destination: &str, kind: &str) -> String {
    let event = &subject.event;
    let heading = format!("{} {} from {} to {destination} ({kind}): {}", event.kind, event.id, event.source, outcome.words());
    let requests = if let Outcome::Requests(requests) = outcome { requests.as_slice() } else { &[] };
    render_parts(heading, remarks(subject, destination), requests)
}

pub(super) fn render_parts(heading: String, remarks: Vec<String>, requests: &[PreviewRequest]) -> String {
    let mut lines = vec![heading];
    lines.extend(remarks);
    lines.push(String::new());
    for (number, request) in requests.iter().enumerate() {
        lines.extend(request_lines(number + 1, request));
        lines.push(String::new());
    }
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

fn remarks(subject: &Subject, destination: &str) -> Vec<String> {
    let mut remarks: Vec<String> = subject.faults.clone();
    remarks.extend(of_its_way(destination, subject.is_routed, &subject.steps));
    remarks
}

/// What there is to know of its way there.
pub(super) fn of_its_way(destination: &str, is_routed: bool, steps: &[(String, String)]) -> Vec<String> {
    let mut remarks = Vec::new();
    if !is_routed {
        remarks.push(format!("no route sends it to {destination}; this is what would be sent if one did"));
    }
    if !steps.is_empty() {
        let steps: Vec<String> = steps.iter().map(|(step, remote)| format!("{step} ({remote})")).collect();
        remarks.push(format!("its delivery has finished these steps, which a replay does not repeat: {}", steps.join(", ")));
    }
    remarks
}

fn request_lines(number: usize, request: &PreviewRequest) -> Vec<String> {
    let said: Vec<&str> = [request.step.as_str()].into_iter().chain(request.condition.as_deref()).filter(|said| !said.is_empty()).collect();
    let first = format!("{} {}", request.method, request.url);
    let mut lines = match said.as_slice() {
        [] => vec![format!("{number}. {first}")],
        said => vec![format!("{number}. {}", said.join(", ")), format!("{INDENT}{first}")],
    };
    lines.extend(request.headers.iter().map(|(name, value)| format!("{INDENT}{name}: {value}")));
    let body = body(&request.body);
    if !body.is_empty() {
        lines.push(String::new());
        lines.extend(body.lines().map(|line| format!("{INDENT}{line}")));
    }
    lines
}

/// JSON is written over several lines; what is sent has no line breaks of its own.
fn body(body: &Value) -> String {
    match body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::{DeliveryError, ErrorKind};

    fn subject() -> Subject {
        let event = serde_json::from_value(json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
            "person": {"first_name": "David", "last_name": null, "email": "david@example.com", "phone": null}, "content": null,
            "session_id": null, "page_url": null, "created_at": null, "received_at": "2026-11-22T05:17:00Z", "extra": {}, "raw": {}
        }));
        let steps = vec![("contact".to_owned(), "501".to_owned())];
        Subject { event: event.unwrap(), is_routed: false, faults: Vec::new(), steps }
    }

    fn requests() -> Outcome {
        let request = |method: &str, url: &str, body: Value| PreviewRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: vec![("Authorization".to_owned(), "Bearer pat-••••".to_owned())],
            body,
            ..PreviewRequest::default()
        };
        let lookup = request("GET", "https://crm.example/contacts?email=david%40example.com", Value::Null).step("find the contact");
        let create = request("POST", "https://crm.example/contacts", json!({"email": "david@example.com", "tags": ["chat"]}))
            .step("contact")
            .only_when("only when there is no such contact");
        Outcome::Requests(vec![lookup, create])
    }

    #[test]
    fn requests_are_shown_as_they_are_sent() {
        insta::assert_snapshot!(render(&subject(), &requests(), "crm", "example"));
    }

    #[test]
    fn skips_and_refusals_are_said_in_words() {
        let refused = Outcome::Refused(DeliveryError::reject(ErrorKind::Data, "the field `budget` is not a number"));
        let told = |outcome: &Outcome| render(&subject(), outcome, "crm", "example").lines().next().unwrap().to_owned();
        let start = "lead 0199f3c2-0000-7000-8000-000000000001 from acme to crm (example): nothing would be sent";
        assert_eq!(told(&refused), format!("{start}, and it is a dead letter: the field `budget` is not a number"));
        let skipped = Outcome::Requests(Vec::new());
        assert_eq!(told(&skipped), format!("{start}: the destination does not take such an event, and its delivery is skipped"));
        assert_eq!(to_json(&subject(), &skipped)["outcome"], "skipped");
        assert_eq!(to_json(&subject(), &refused)["refused"]["kind"], "data");
    }

    #[test]
    fn what_a_sender_wrote_does_not_steer_the_terminal() {
        let request = PreviewRequest { body: "a\u{1b}[2Jb\nc".into(), ..PreviewRequest::default() };
        let text = render(&subject(), &Outcome::Requests(vec![request]), "crm", "example");
        assert!(!text.contains('\u{1b}') && text.contains("   c"), "{text}");
    }
}
