//! The exam that every connector takes, for each way in which a contact is recognised.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::{self, Subject};
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::simulator::{Request, Service};
use leadwire_connector::{ConnectorKind, Event, Kind, Person};
use leadwire_connector_hubspot::{KIND, simulator::Simulator};
use serde_json::{Map, Value, json};

const TOKEN: &str = "pat-na1-0123456789abcdef";

/// Delivers this event of this person, with these settings beside the credentials.
struct HubSpot {
    person: Person,
    kind: Kind,
    content: &'static str,
    key: bool,
}

fn of(person: Person) -> HubSpot {
    HubSpot { person, kind: Kind::Lead, content: "Please call me back.", key: false }
}

impl Subject for HubSpot {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        Some(Box::new(Simulator::accepting(TOKEN).with_unique_property("visitor")))
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        let mut settings = json!({"token": TOKEN, "base_url": url, "anonymous": true});
        if self.key {
            settings["person_key_property"] = "visitor".into();
        }
        settings.as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    /// The check asks for a change of a contact that does not exist, to learn whether it were allowed.
    fn is_read(&self, request: &Request) -> bool {
        let path = request.path();
        request.method == "GET" || ["/search", "/batch/read", "/contacts/0"].iter().any(|end| path.ends_with(end))
    }

    fn field(&self) -> &str {
        "firstname"
    }

    fn event(&self) -> Event {
        Event {
            person: self.person.clone(),
            kind: self.kind,
            content: Some(self.content.to_owned()),
            received_at: Timestamp::now(),
            ..conformance::sample()
        }
    }
}

#[tokio::test]
async fn a_person_with_an_email_passes_the_exam() {
    conformance::run(&of(conformance::sample().person)).await;
}

#[tokio::test]
async fn a_person_with_a_phone_only_passes_the_exam() {
    conformance::run(&of(Person { email: None, ..conformance::sample().person })).await;
}

#[tokio::test]
async fn a_person_with_a_name_only_passes_the_exam() {
    conformance::run(&of(Person { email: None, phone: None, ..conformance::sample().person })).await;
}

#[tokio::test]
async fn an_appointment_without_a_certain_time_passes_the_exam() {
    let subject = HubSpot { kind: Kind::Appointment, content: "tomorrow at 3pm", ..of(conformance::sample().person) };
    conformance::run(&subject).await;
}

#[tokio::test]
async fn an_appointment_with_a_certain_time_passes_the_exam() {
    let subject = HubSpot { kind: Kind::Appointment, content: "2099-11-24T15:00:00Z", ..of(conformance::sample().person) };
    conformance::run(&subject).await;
}

#[tokio::test]
async fn an_anonymous_person_with_a_key_passes_the_exam() {
    let person = Person { email: None, phone: None, ..conformance::sample().person };
    conformance::run(&HubSpot { key: true, ..of(person) }).await;
}

const APP: [&str; 3] = ["client-0123456789", "client-secret-0123456789", "refresh-token-0123456789"];

/// The same with an app instead of a service key.
struct App;

impl Subject for App {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        let [id, secret, refresh] = APP;
        Some(Box::new(Simulator::of_app(id, secret, refresh)))
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        let [id, secret, refresh] = APP;
        let app = json!({"client_id": id, "client_secret": secret, "refresh_token": refresh});
        json!({"oauth": app, "base_url": url}).as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        APP[1..].iter().map(|secret| (*secret).to_owned()).collect()
    }

    /// Asking for a token changes nothing in the account.
    fn is_read(&self, request: &Request) -> bool {
        request.path().ends_with("/token") || of(Person::default()).is_read(request)
    }

    fn exempt(&self) -> Vec<(&'static str, &'static str)> {
        vec![("conflict", "the fault hits the request for a token, which knows no conflicts; the exams with a service key ask this")]
    }

    fn field(&self) -> &str {
        "firstname"
    }
}

#[tokio::test]
async fn an_app_passes_the_exam() {
    conformance::run(&App).await;
}
