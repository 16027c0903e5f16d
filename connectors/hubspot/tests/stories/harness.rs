//! A destination and the simulated account it writes to.

use leadwire_connector::http::{self, HttpSettings, Method};
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::settings::Typed;
use leadwire_connector::simulator::{FaultRule, Faults, Request, Server};
use leadwire_connector::{BuildContext, Connector, Delivery, DeliveryError, Event, MemorySteps, MemoryValues, Receipt, Steps, Verdict};
use leadwire_connector_hubspot::KIND;
use leadwire_connector_hubspot::simulator::Simulator;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const TOKEN: &str = "pat-na1-0123456789abcdef";

/// A destination and the simulated account it writes to.
pub(crate) struct Crm {
    pub(crate) server: Server,
    pub(crate) connector: Box<dyn Connector>,
    pub(crate) values: Arc<MemoryValues>,
}

impl Crm {
    pub(crate) async fn start() -> Self {
        Self::with(&json!({})).await
    }

    pub(crate) async fn with(config: &Value) -> Self {
        Self::of(Simulator::accepting(TOKEN), config).await
    }

    /// An account whose search finds a contact only when so many requests came after the one that made it.
    pub(crate) async fn lagging(requests: u64, config: &Value) -> Self {
        Self::of(Simulator::accepting(TOKEN).with_search_lag(requests), config).await
    }

    pub(crate) async fn of(simulator: Simulator, config: &Value) -> Self {
        let server = Server::start(Box::new(simulator), "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap();
        let values = Arc::<MemoryValues>::default();
        let connector = built(&server, &values, config);
        Self { server, connector, values }
    }

    /// The same account after the bridge was restarted.
    pub(crate) fn restarted(self) -> Self {
        let connector = built(&self.server, &self.values, &json!({"anonymous": true}));
        Self { connector, ..self }
    }

    pub(crate) fn order(&self, fault: &str) {
        self.server.order(fault.parse::<FaultRule>().unwrap());
    }

    /// One attempt of delivery `id`, with what earlier attempts kept.
    pub(crate) async fn attempt(&self, id: &str, event: &Event, kept: &MemorySteps) -> Result<Receipt, DeliveryError> {
        let delivery = Delivery { id: id.to_owned(), destination: "crm".to_owned(), event: Arc::new(event.clone()), attempt: 1 };
        self.connector.deliver(&delivery, &mut Steps::new(kept, kept.saved())).await
    }

    pub(crate) async fn deliver(&self, id: &str, event: &Event) -> Result<Receipt, DeliveryError> {
        self.attempt(id, event, &MemorySteps::default()).await
    }

    /// Asks the simulated HubSpot directly, as its owner would.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        let records = self.server.state()[kind].as_array().unwrap().clone();
        records.into_iter().filter(|record| record["archived"] == false).collect()
    }

    pub(crate) fn contacts(&self) -> Vec<Value> {
        self.records("contacts")
    }

    pub(crate) fn notes(&self) -> Vec<Value> {
        self.records("notes")
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let client = http::Client::new(&HttpSettings::default()).unwrap();
        let url = self.server.url().join(path).unwrap();
        let request = http::Request::new(method, url).header("Authorization", format!("Bearer {TOKEN}")).json(body);
        client.send(&request).await.unwrap().json().unwrap_or_default()
    }

    pub(crate) async fn contact(&self, properties: &Value) -> Value {
        let body = json!({"properties": properties, "associations": []});
        self.call(Method::Post, "crm/objects/2026-09/contacts", &body).await
    }

    pub(crate) fn tasks(&self) -> Vec<Value> {
        self.records("tasks")
    }

    pub(crate) fn meetings(&self) -> Vec<Value> {
        self.records("meetings")
    }

    /// How many contacts, notes, tasks and meetings there are.
    pub(crate) fn counts(&self) -> [usize; 4] {
        [self.contacts(), self.notes(), self.tasks(), self.meetings()].map(|records| records.len())
    }

    /// A contact property that somebody made.
    pub(crate) async fn property(&self, name: &str, is_unique: bool) {
        let body = json!({"name": name, "label": name, "groupName": "contactinformation", "type": "string", "fieldType": "text",
            "hasUniqueValue": is_unique});
        assert_eq!(self.call(Method::Post, "crm/properties/2026-09/0-1", &body).await["name"], name);
    }

    pub(crate) fn sent(&self) -> Vec<String> {
        let line = |request: &Request| format!("{} {}", request.method, request.path());
        self.server.requests().iter().map(|logged| line(&logged.request)).collect()
    }
}

/// A connector of its own, with a token unless `config` has an app.
pub(crate) fn connector(server: &Server, token: &str, config: &Value) -> Box<dyn Connector> {
    let mut table = config.clone();
    table["token"] = token.into();
    built(server, &Arc::default(), &table)
}

pub(crate) fn built(server: &Server, values: &Arc<MemoryValues>, config: &Value) -> Box<dyn Connector> {
    let mut table = config.as_object().unwrap().clone();
    if !table.contains_key("oauth") {
        table.entry("token").or_insert(TOKEN.into());
    }
    table.insert("base_url".to_owned(), server.url().as_str().into());
    let http = HttpSettings { timeout: Duration::from_secs(5), ..HttpSettings::default() };
    let context = BuildContext::new("crm").with_http(http).with_values(values.clone());
    (KIND.parse)(table, &Typed).unwrap().build(&context).unwrap()
}

pub(crate) fn lead(changes: &Value) -> Event {
    let mut event = json!({
        "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
        "person": {"first_name": "David", "last_name": "Garcia", "email": "david@acme.example", "phone": "+14155550100"},
        "content": "I want a quote", "session_id": "31305", "page_url": "https://acme.example/",
        "created_at": "2026-11-22T05:16:00Z", "received_at": leadwire_connector::timestamp::format(Timestamp::now()),
        "extra": {}, "raw": {},
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

pub(crate) fn assert_waits(error: &DeliveryError) {
    assert_eq!(error.verdict, Verdict::Retry { after: Some(Duration::from_secs(15)) }, "{error:?}");
    assert!(!error.kind.is_outage(), "{error:?}");
}
