//! The exam that every connector takes, for each way in which a contact is recognised.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::{self, Subject};
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::simulator::{Request, Service};
use leadwire_connector::{ConnectorKind, Event, Person};
use leadwire_connector_hubspot::{KIND, simulator::Simulator};
use serde_json::{Map, Value, json};

const TOKEN: &str = "pat-na1-0123456789abcdef";

/// Delivers a lead of this person.
struct HubSpot(Person);

impl Subject for HubSpot {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        Some(Box::new(Simulator::accepting(TOKEN)))
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        json!({"token": TOKEN, "base_url": url, "anonymous": true}).as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    fn records(&self, state: &Value) -> usize {
        state["contacts"].as_array().unwrap().len() + state["notes"].as_array().unwrap().len()
    }

    fn is_read(&self, request: &Request) -> bool {
        request.method == "GET" || request.path().ends_with("/search") || request.path().ends_with("/batch/read")
    }

    fn field(&self) -> &str {
        "firstname"
    }

    fn event(&self) -> Event {
        Event { person: self.0.clone(), received_at: Timestamp::now(), ..conformance::sample() }
    }
}

#[tokio::test]
async fn a_person_with_an_email_passes_the_exam() {
    conformance::run(&HubSpot(conformance::sample().person)).await;
}

#[tokio::test]
async fn a_person_with_a_phone_only_passes_the_exam() {
    conformance::run(&HubSpot(Person { email: None, ..conformance::sample().person })).await;
}

#[tokio::test]
async fn a_person_with_a_name_only_passes_the_exam() {
    conformance::run(&HubSpot(Person { email: None, phone: None, ..conformance::sample().person })).await;
}
