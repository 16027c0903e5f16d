//! The exam that every connector takes, taken by the example in Python.
#![allow(clippy::unwrap_used, clippy::allow_attributes, dead_code)]

mod support;

use leadwire_connector::conformance::{self, Subject};
use leadwire_connector::simulator::{Request, Response, Service};
use leadwire_connector::{ConnectorKind, ErrorKind, Verdict, reexport::Url};
use leadwire_connector_process::KIND;
use serde_json::{Map, Value, json};
use support::{Story, python};

const TOKEN: &str = "0123456789-acme-token";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/connector.py");

/// The CRM that the example is written for: contacts by e-mail, and notes that anybody may add twice.
#[derive(Default)]
struct Acme {
    contacts: Vec<String>,
    notes: Vec<Value>,
}

impl Acme {
    fn put_contact(&mut self, email: &str) -> Value {
        let place = self.contacts.iter().position(|known| known == email).unwrap_or_else(|| {
            self.contacts.push(email.to_owned());
            self.contacts.len() - 1
        });
        json!({"id": place.to_string()})
    }

    fn add_note(&mut self, contact: &str, body: &Value) -> Value {
        let id = self.notes.len().to_string();
        self.notes.push(json!({"id": id, "contact": contact, "text": body["text"], "delivery": body["delivery"]}));
        json!({"id": id})
    }
}

impl Service for Acme {
    fn answer(&mut self, request: &Request) -> Response {
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Response::json(401, &json!({"error": "no"}));
        }
        let parts: Vec<&str> = request.path().split('/').skip(1).collect();
        let body = match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["account"]) => json!({"name": "Acme Ltd"}),
            ("PUT", ["contacts", email]) if *email == "refused%40example.com" => return Response::json(422, &json!({"field": "email"})),
            ("PUT", ["contacts", email]) => self.put_contact(email),
            ("GET", ["contacts", _, "notes"]) => json!({"notes": self.notes}),
            ("POST", ["contacts", contact, "notes"]) => self.add_note(contact, &request.json()),
            _ => return Response::json(404, &json!({"error": "there is nothing"})),
        };
        Response::json(200, &body)
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!({"error": "not now"}))
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!({"error": "too many requests"}))
    }

    fn invalid_field(&self, field: &str) -> Response {
        Response::json(422, &json!({"field": field}))
    }

    fn state(&self) -> Value {
        json!({"contacts": self.contacts, "notes": self.notes})
    }
}

fn settings(url: &Url) -> Value {
    json!({"command": ["python3", EXAMPLE], "env": {"ACME_URL": url, "ACME_TOKEN": TOKEN}, "timeout": "3s", "start_timeout": "30s"})
}

struct Example;

impl Subject for Example {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        Some(Box::<Acme>::default())
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        settings(url).as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    fn records(&self, state: &Value) -> usize {
        state["contacts"].as_array().unwrap().len() + state["notes"].as_array().unwrap().len()
    }
}

/// On threads of their own, as in the bridge, where a preview blocks one of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_python_passes_the_exam() {
    if python() {
        conformance::run(&Example).await;
    }
}

#[tokio::test]
async fn the_example_names_a_refused_field_and_skips_a_lead_without_e_mail() {
    if !python() {
        return;
    }
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let server = leadwire_connector::simulator::Server::start(Box::<Acme>::default(), anywhere, Default::default()).await.unwrap();
    let refused = Story::of(&settings(&server.url())).with_event(|event| event.person.email = Some("refused@example.com".to_owned()));
    let error = refused.deliver("d-1").await.unwrap_err();
    assert_eq!((error.message.as_str(), error.status), ("`acme` rejects the event: field `email`: Acme refuses the data", Some(422)));
    let nobody = Story::of(&settings(&server.url())).with_event(|event| event.person.email = None);
    let receipt = nobody.deliver("d-2").await.unwrap();
    assert_eq!(receipt, leadwire_connector::Receipt::skipped("Acme knows people by their e-mail, and there is none"));
    assert!(nobody.connector.preview(&conformance::sample()).unwrap().len() == 2);
}

/// A CRM that answers the same to everything.
struct Odd(u16, &'static str);

impl Service for Odd {
    fn answer(&mut self, _: &Request) -> Response {
        let body: Value = serde_json::from_str(self.1).unwrap();
        Response::json(self.0, &body)
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!({"error": "not now"}))
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!([]))
    }

    fn state(&self) -> Value {
        Value::Null
    }
}

#[tokio::test]
async fn the_example_has_a_verdict_for_the_oddest_answer() {
    if !python() {
        return;
    }
    for (status, body) in [(400, "[]"), (400, "\"bad\""), (404, "null"), (422, "{\"field\": 7}"), (200, "{}"), (200, "null"), (200, "[]")] {
        let server =
            leadwire_connector::simulator::Server::start(Box::new(Odd(status, body)), "127.0.0.1:0".parse().unwrap(), Default::default())
                .await
                .unwrap();
        let error = Story::of(&settings(&server.url())).deliver("d-1").await.unwrap_err();
        let expected = if status == 200 { Verdict::Retry { after: None } } else { Verdict::Reject };
        assert_eq!(error.verdict, expected, "{status} {body}: {error:?}");
        assert!(error.kind != ErrorKind::Ambiguous, "{status} {body}: {error:?}");
    }
}
