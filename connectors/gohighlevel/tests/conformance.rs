//! The exam that every connector takes, for each way in which a contact is recognised.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::{self, Subject};
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::simulator::{Request, Service};
use leadwire_connector::{ConnectorKind, Event, Kind, Person};
use leadwire_connector_gohighlevel::{KIND, simulator::Simulator};
use serde_json::{Map, Value, json};

const TOKEN: &str = "pit-0123456789abcdef";
const LOCATION: &str = "LOC1";

/// Delivers an event of this kind and person.
struct HighLevel {
    kind: Kind,
    person: Person,
    content: &'static str,
}

impl HighLevel {
    fn lead(person: Person) -> Self {
        Self { kind: Kind::Lead, person, content: "Please call me back." }
    }
}

impl Subject for HighLevel {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        Some(Box::new(Simulator::accepting(TOKEN, LOCATION)))
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        let keys = json!({"token": TOKEN, "base_url": url, "location_id": LOCATION, "calendar_id": "CAL1", "tags": ["chatbot"]});
        keys.as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    fn is_read(&self, request: &Request) -> bool {
        request.method == "GET" || request.path() == "/contacts/search"
    }

    fn field(&self) -> &str {
        "source"
    }

    fn event(&self) -> Event {
        let content = Some(self.content.to_owned());
        Event { kind: self.kind, person: self.person.clone(), content, received_at: Timestamp::now(), ..conformance::sample() }
    }
}

#[tokio::test]
async fn a_person_with_an_email_passes_the_exam() {
    conformance::run(&HighLevel::lead(conformance::sample().person)).await;
}

#[tokio::test]
async fn a_person_with_a_phone_only_passes_the_exam() {
    conformance::run(&HighLevel::lead(Person { email: None, ..conformance::sample().person })).await;
}

#[tokio::test]
async fn an_appointment_with_an_explicit_time_passes_the_exam() {
    let content = "See you at 2026-12-01T15:00:00+01:00";
    conformance::run(&HighLevel { kind: Kind::Appointment, person: conformance::sample().person, content }).await;
}

#[tokio::test]
async fn an_appointment_that_becomes_a_task_passes_the_exam() {
    conformance::run(&HighLevel { kind: Kind::Appointment, person: conformance::sample().person, content: "Tomorrow at three" }).await;
}
