//! What the stories of a connector are told with: a connector, the simulated service it writes to, and events.
//!
//! ```
//! # use leadwire_connector::ConnectorKind;
//! use leadwire_connector::simulator::Service;
//! use leadwire_connector::testing::{Stage, lead, person, record_id};
//! use serde_json::json;
//!
//! # async fn story(acme: ConnectorKind, simulated: Box<dyn Service>) {
//! let stage = Stage::start(acme, simulated, |url| json!({"token": "t", "url": url})).await;
//! stage.order("503x1");
//! let event = lead(&json!({"person": person(Some("Ann"), Some("ann@acme.example"), None)}));
//! assert!(stage.deliver("d1", &event).await.is_err());
//! let receipt = stage.deliver("d1", &event).await.unwrap();
//! assert_eq!(record_id(&receipt), "101");
//! assert_eq!(stage.sent().last().unwrap(), "POST /contacts");
//! # }
//! ```
//!
//! What cannot be set up fails the story where it stands: these functions are for tests, and panic.
#![expect(clippy::unwrap_used, reason = "for tests, where a panic is a failure")]

use crate::http::{self, HttpSettings};
use crate::settings::Typed;
use crate::simulator::{FaultRule, Faults, Request, Server, Service};
use crate::{BuildContext, Connector, ConnectorKind, Delivery, DeliveryError, Event, MemorySteps, MemoryValues, Receipt, Steps, timestamp};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Long enough for a busy machine, short enough to wait for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A destination and the simulated service it writes to.
#[expect(missing_debug_implementations, reason = "a connector has none")]
pub struct Stage {
    /// The service.
    pub server: Server,
    /// The destination.
    pub connector: Box<dyn Connector>,
    /// What the destination keeps on our side.
    pub values: Arc<MemoryValues>,
    kind: ConnectorKind,
    http: HttpSettings,
}

impl Stage {
    /// A service at an address of this machine, and a destination with the settings for it.
    ///
    /// # Panics
    /// When the settings are refused.
    pub async fn start(kind: ConnectorKind, service: Box<dyn Service>, settings: impl FnOnce(&Url) -> Value) -> Self {
        let http = HttpSettings { timeout: TIMEOUT, ..HttpSettings::default() };
        Self::start_with(kind, service, http, settings).await
    }

    /// The same with another client.
    ///
    /// # Panics
    /// When the settings are refused.
    pub async fn start_with(
        kind: ConnectorKind,
        service: Box<dyn Service>,
        http: HttpSettings,
        settings: impl FnOnce(&Url) -> Value,
    ) -> Self {
        let server = Server::start(service, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Faults::default()).await.unwrap();
        let values = Arc::<MemoryValues>::default();
        let connector = build(kind, &settings(&server.url()), &context(&http, &values));
        Self { server, connector, values, kind, http }
    }

    /// Another destination at the same service, with what this one keeps.
    ///
    /// # Panics
    /// When the settings are refused.
    #[must_use]
    pub fn another(&self, settings: &Value) -> Box<dyn Connector> {
        build(self.kind, settings, &context(&self.http, &self.values))
    }

    /// After the bridge was started anew with these settings: what is kept is still there, what was only remembered is not.
    ///
    /// # Panics
    /// When the settings are refused.
    #[must_use]
    pub fn restarted(self, settings: &Value) -> Self {
        Self { connector: self.another(settings), ..self }
    }

    /// Orders a [fault](FaultRule): `503x1`, `reset-after-write x1 @POST @/contacts`.
    ///
    /// # Panics
    /// When there is no such fault.
    pub fn order(&self, fault: &str) {
        self.server.order(fault.parse::<FaultRule>().unwrap());
    }

    /// One attempt of delivery `id`, with what earlier attempts kept.
    ///
    /// # Errors
    /// What the connector says.
    pub async fn attempt(&self, id: &str, event: &Event, kept: &MemorySteps) -> Result<Receipt, DeliveryError> {
        attempt(&*self.connector, id, event, kept).await
    }

    /// The first attempt of delivery `id`, whatever there was before.
    ///
    /// # Errors
    /// What the connector says.
    pub async fn deliver(&self, id: &str, event: &Event) -> Result<Receipt, DeliveryError> {
        deliver(&*self.connector, id, event).await
    }

    /// A list in the [state](Service::state) of the service.
    ///
    /// # Panics
    /// When there is no such list.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<Value> {
        self.server.state()[name].as_array().unwrap().clone()
    }

    /// What the service was asked, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests().into_iter().map(|logged| logged.request).collect()
    }

    /// What the service was asked, as `METHOD /path`.
    #[must_use]
    pub fn sent(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.path())).collect()
    }

    /// Asks the service directly, as its owner would; `null` for an answer that is no JSON.
    ///
    /// # Panics
    /// When nothing answers.
    pub async fn call(&self, request: &http::Request) -> Value {
        http::Client::new(&self.http).unwrap().send(request).await.unwrap().json().unwrap_or_default()
    }
}

fn context(http: &HttpSettings, values: &Arc<MemoryValues>) -> BuildContext {
    BuildContext::new("stage").with_http(http.clone()).with_values(values.clone())
}

/// A destination with these settings, a table.
///
/// # Panics
/// When the settings are refused.
#[must_use]
pub fn build(kind: ConnectorKind, settings: &Value, context: &BuildContext) -> Box<dyn Connector> {
    (kind.parse)(settings.as_object().unwrap().clone(), &Typed).unwrap().build(context).unwrap()
}

/// One attempt of delivery `id`, with what earlier attempts kept.
///
/// # Errors
/// What the connector says.
pub async fn attempt(connector: &dyn Connector, id: &str, event: &Event, kept: &MemorySteps) -> Result<Receipt, DeliveryError> {
    let delivery = Delivery { id: id.to_owned(), destination: "stage".to_owned(), event: Arc::new(event.clone()), attempt: 1 };
    connector.deliver(&delivery, &mut Steps::new(kept, kept.saved())).await
}

/// The first attempt of delivery `id`.
///
/// # Errors
/// What the connector says.
pub async fn deliver(connector: &dyn Connector, id: &str, event: &Event) -> Result<Receipt, DeliveryError> {
    attempt(connector, id, event, &MemorySteps::default()).await
}

/// A lead that came a moment ago, with these changes: fields of the event by their JSON names.
///
/// # Panics
/// When the changes make no event.
#[must_use]
pub fn lead(changes: &Value) -> Event {
    let mut event = json!({
        "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
        "person": {"first_name": "David", "last_name": "Garcia", "email": "david@acme.example", "phone": "+14155550100"},
        "content": "I want a quote", "session_id": "31305", "page_url": "https://acme.example/",
        "created_at": "2026-11-22T05:16:00Z", "received_at": timestamp::format(Timestamp::now()), "extra": {}, "raw": {},
    });
    event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(event).unwrap()
}

/// The `person` of a [`lead`].
#[must_use]
pub fn person(first: Option<&str>, email: Option<&str>, phone: Option<&str>) -> Value {
    json!({"first_name": first, "last_name": null, "email": email, "phone": phone})
}

/// The id of the record that a delivery ended in.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn record_id(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Delivered { record: Some(record), .. } => record.id.clone(),
        other => panic!("no record: {other:?}"),
    }
}

/// What a delivery told beside having succeeded.
///
/// # Panics
/// When the event was skipped.
#[must_use]
pub fn remark(receipt: &Receipt) -> Option<&str> {
    match receipt {
        Receipt::Delivered { remark, .. } => remark.as_deref(),
        Receipt::Skipped { reason } => panic!("skipped: {reason}"),
    }
}
