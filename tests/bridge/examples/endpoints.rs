//! Endpoints and programs of one's own, and the services that others offer.

use super::{appointment, at, chat_log, david, example, lead, people, post, secret, serving, until_all_ended, with};
use crate::harness::endpoint;
use leadwire_connector::simulator::{Request, Response, Server, Service};
use leadwire_connector_json::simulator::Endpoint;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_to_the_own_endpoint_signed_and_with_its_header() {
    let backend = serving(Endpoint::signed(&secret("BACKEND_SECRET")).unwrap()).await;
    let bridge = at(example("own-endpoint"), "backend", "URL", backend.url().as_str()).start();
    for body in [lead(1), appointment(2), chat_log(1)] {
        post(&bridge, "acme", &body).await;
    }
    until_all_ended(&bridge, 3, 0).await;
    assert_eq!(people(&backend), ["".to_owned(), david(1), david(2)]);
    assert!(backend.requests().iter().all(|logged| logged.request.header("x-environment") == Some("production")));
}

/// The CRM that the example in Python is written for, as far as leads need it.
#[derive(Default)]
struct Acme {
    contacts: Vec<Value>,
    notes: Vec<Value>,
}

impl Service for Acme {
    fn answer(&mut self, request: &Request) -> Response {
        if request.bearer() != Some(&secret("ACME_TOKEN")) {
            return Response::json(401, &json!({"error": "no"}));
        }
        let parts = request.segments();
        let body = match (request.method.as_str(), parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            ("PUT", ["contacts", email]) => {
                self.contacts.push(json!({"email": email}));
                json!({"id": self.contacts.len().to_string()})
            }
            ("POST", ["contacts", contact, "notes"]) => {
                self.notes.push(json!({"contact": contact, "text": request.json()["text"]}));
                json!({"id": self.notes.len().to_string()})
            }
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

    fn state(&self) -> Value {
        json!({"contacts": self.contacts, "notes": self.notes})
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_go_to_the_program_in_python_and_it_brings_them_to_its_crm() {
    let crm = serving(Acme::default()).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/process/examples");
    let setup = at(example("own-program"), "crm", "DIRECTORY", &folder.display().to_string());
    let bridge = at(setup, "crm", "ENV__ACME_URL", crm.url().as_str().trim_end_matches('/')).start();
    post(&bridge, "acme", &lead(1)).await;
    post(&bridge, "acme", &with(lead(2), "Email", "")).await;
    until_all_ended(&bridge, 1, 1).await;
    assert_eq!(people(&crm), [david(1)]);
    assert_eq!(crm.state()["notes"][0]["text"], "test 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_starts_a_zap_and_appears_in_the_chat_and_a_conversation_starts_the_workflow() {
    let services: Server = endpoint().await;
    let url = |path: &str| services.url().join(path).unwrap().to_string();
    let setup = example("webhooks").environment("ZAPIER_URL", &url("zapier/hooks/catch/1/a"));
    let setup = setup.environment("SLACK_URL", &url("slack/services/T0/B0/X")).environment("N8N_URL", &url("n8n/webhook/transcripts"));
    let bridge = setup.start();
    post(&bridge, "acme", &with(lead(1), "Company", "Acme Ltd")).await;
    post(&bridge, "acme", &appointment(2)).await;
    post(&bridge, "acme", &chat_log(1)).await;
    until_all_ended(&bridge, 5, 0).await;
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for logged in services.requests() {
        assert_eq!(logged.status, Some(200));
        let body = String::from_utf8(logged.request.body.to_vec()).unwrap();
        told.entry(logged.request.segments()[0].clone()).or_default().push(body);
    }
    let counts: Vec<(&str, usize)> = told.iter().map(|(service, bodies)| (service.as_str(), bodies.len())).collect();
    assert_eq!(counts, [("n8n", 1), ("slack", 2), ("zapier", 2)]);
    assert!(told["zapier"].iter().any(|body| body.contains("Acme Ltd")) && told["n8n"][0].contains("make an appointment"), "{told:?}");
}
