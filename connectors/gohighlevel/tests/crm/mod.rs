//! A destination and the simulated location it writes to.
#![allow(dead_code, clippy::allow_attributes)]

use leadwire_connector::http::{self, HttpSettings, Method};
use leadwire_connector::settings::Typed;
use leadwire_connector::simulator::{FaultRule, Faults, Request, Server, Service};
use leadwire_connector::{BuildContext, Connector, Delivery, DeliveryError, Event, MemorySteps, Receipt, Steps};
use leadwire_connector_gohighlevel::KIND;
use leadwire_connector_gohighlevel::simulator::Simulator;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const TOKEN: &str = "pit-0123456789abcdef";
pub(crate) const LOCATION: &str = "LOC1";

pub(crate) struct Crm {
    pub(crate) server: Server,
    pub(crate) connector: Box<dyn Connector>,
}

impl Crm {
    pub(crate) async fn start() -> Self {
        Self::with(&json!({})).await
    }

    pub(crate) async fn with(config: &Value) -> Self {
        Self::of(Simulator::accepting(TOKEN, LOCATION), config).await
    }

    pub(crate) async fn of(simulator: Simulator, config: &Value) -> Self {
        Self::on(Box::new(simulator), config).await
    }

    pub(crate) async fn on(service: Box<dyn Service>, config: &Value) -> Self {
        let server = Server::start(service, "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap();
        let mut config = config.clone();
        config.as_object_mut().unwrap().entry("token").or_insert(TOKEN.into());
        let connector = connector(&server, &config);
        Self { server, connector }
    }

    pub(crate) async fn oauth(simulator: Simulator, oauth: &Value) -> Self {
        let server = Server::start(Box::new(simulator), "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap();
        let connector = connector(&server, &json!({"oauth": oauth}));
        Self { server, connector }
    }

    pub(crate) fn order(&self, fault: &str) {
        self.server.order(fault.parse::<FaultRule>().unwrap());
    }

    /// One attempt of delivery `id`, with what earlier attempts kept.
    pub(crate) async fn attempt(&self, id: &str, event: &Event, kept: &MemorySteps) -> Result<Receipt, DeliveryError> {
        self.connector.deliver(&delivery(id, event), &mut Steps::new(kept, kept.saved())).await
    }

    pub(crate) async fn deliver(&self, id: &str, event: &Event) -> Result<Receipt, DeliveryError> {
        self.attempt(id, event, &MemorySteps::default()).await
    }

    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        self.server.state()[kind].as_array().unwrap().clone()
    }

    pub(crate) fn contacts(&self) -> Vec<Value> {
        self.records("contacts")
    }

    pub(crate) fn notes(&self) -> Vec<Value> {
        self.records("notes")
    }

    /// Contacts, notes, tasks, appointments.
    pub(crate) fn counts(&self) -> [usize; 4] {
        ["contacts", "notes", "tasks", "appointments"].map(|kind| self.records(kind).len())
    }

    /// Asks the simulated location directly, as its owner would.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let client = http::Client::new(&HttpSettings::default()).unwrap();
        let url = self.server.url().join(path).unwrap();
        let request =
            http::Request::new(method, url).header("Authorization", format!("Bearer {TOKEN}")).header("Version", "2021-07-28").json(body);
        client.send(&request).await.unwrap().json().unwrap_or_default()
    }

    /// A contact that is there already; its id.
    pub(crate) async fn make(&self, fields: &Value) -> String {
        let mut body = fields.clone();
        body["locationId"] = LOCATION.into();
        let made = self.call(Method::Post, "contacts/upsert", &body).await;
        made["contact"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn sent(&self) -> Vec<String> {
        let line = |request: &Request| format!("{} {}", request.method, request.path());
        self.server.requests().iter().map(|logged| line(&logged.request)).collect()
    }
}

pub(crate) fn connector(server: &Server, config: &Value) -> Box<dyn Connector> {
    let mut table = config.as_object().unwrap().clone();
    table.insert("location_id".to_owned(), LOCATION.into());
    table.insert("base_url".to_owned(), server.url().as_str().into());
    let http = HttpSettings { timeout: Duration::from_secs(5), ..HttpSettings::default() };
    (KIND.parse)(table, &Typed).unwrap().build(&BuildContext::new("crm").with_http(http)).unwrap()
}

pub(crate) fn delivery(id: &str, event: &Event) -> Delivery {
    Delivery { id: id.to_owned(), destination: "crm".to_owned(), event: Arc::new(event.clone()), attempt: 1 }
}

pub(crate) fn event(changes: &Value) -> Event {
    let mut event = json!({
        "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
        "person": {"first_name": "David", "last_name": "Garcia", "email": "david@acme.example", "phone": "+14155550100"},
        "content": "I want a quote", "session_id": "31305", "page_url": "https://acme.example/",
        "created_at": "2026-11-22T05:16:00Z", "received_at": "2026-11-22T05:17:00Z", "extra": {}, "raw": {},
    });
    event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(event).unwrap()
}

pub(crate) fn person(first: Option<&str>, email: Option<&str>, phone: Option<&str>) -> Value {
    json!({"first_name": first, "last_name": null, "email": email, "phone": phone})
}

pub(crate) fn record_id(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Delivered { record: Some(record), .. } => record.id.clone(),
        other => panic!("no record: {other:?}"),
    }
}

pub(crate) fn remark(receipt: &Receipt) -> Option<&str> {
    match receipt {
        Receipt::Delivered { remark, .. } => remark.as_deref(),
        Receipt::Skipped { reason } => panic!("skipped: {reason}"),
    }
}
