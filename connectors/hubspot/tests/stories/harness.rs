//! A destination and the simulated account it writes to.

use leadwire_connector::http::{self, Method};
use leadwire_connector::reexport::Url;
use leadwire_connector::simulator::Service;
use leadwire_connector::testing::Stage;
pub(crate) use leadwire_connector::testing::{lead, person, record_id, remark};
use leadwire_connector::{Connector, DeliveryError, Verdict};
use leadwire_connector_hubspot::KIND;
use leadwire_connector_hubspot::simulator::Simulator;
use serde_json::{Value, json};
use std::ops::Deref;
use std::time::Duration;

pub(crate) const TOKEN: &str = "pat-na1-0123456789abcdef";

/// A destination and the simulated account it writes to.
pub(crate) struct Crm(Stage);

impl Deref for Crm {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
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

    pub(crate) async fn of(service: impl Service + 'static, config: &Value) -> Self {
        Self(Stage::start(KIND, Box::new(service), |url| settings(url, config)).await)
    }

    /// The same account after the bridge was restarted.
    pub(crate) fn restarted(self) -> Self {
        self.restarted_with(&json!({"anonymous": true}))
    }

    pub(crate) fn restarted_with(self, config: &Value) -> Self {
        let settings = settings(&self.server.url(), config);
        Self(self.0.restarted(&settings))
    }

    /// Another destination at the same account, with what this one keeps.
    pub(crate) fn another(&self, config: &Value) -> Box<dyn Connector> {
        self.0.another(&settings(&self.server.url(), config))
    }

    /// Asks the simulated HubSpot directly, as its owner would.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        self.list(kind).into_iter().filter(|record| record["archived"] == false).collect()
    }

    pub(crate) fn contacts(&self) -> Vec<Value> {
        self.records("contacts")
    }

    pub(crate) fn notes(&self) -> Vec<Value> {
        self.records("notes")
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        self.0.call(&http::Request::new(method, self.server.url().join(path).unwrap()).bearer(TOKEN).json(body)).await
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
}

fn settings(url: &Url, config: &Value) -> Value {
    let mut settings = json!({"base_url": url});
    if config.get("oauth").is_none() {
        settings["token"] = TOKEN.into();
    }
    settings.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    settings
}

pub(crate) fn assert_waits(error: &DeliveryError) {
    assert_eq!(error.verdict, Verdict::Retry { after: Some(Duration::from_secs(15)) }, "{error:?}");
    assert!(!error.kind.is_outage(), "{error:?}");
}
