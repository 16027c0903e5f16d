//! A destination and the simulated location it writes to.
#![allow(dead_code, unused_imports, clippy::allow_attributes)]

use leadwire_connector::http::{self, Method};
use leadwire_connector::reexport::Url;
use leadwire_connector::simulator::Service;
use leadwire_connector::testing::Stage;
pub(crate) use leadwire_connector::testing::{lead as event, person, record_id, remark};
use leadwire_connector_gohighlevel::KIND;
use leadwire_connector_gohighlevel::simulator::Simulator;
use serde_json::{Value, json};
use std::ops::Deref;

pub(crate) const TOKEN: &str = "pit-0123456789abcdef";
pub(crate) const LOCATION: &str = "LOC1";

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
        Self::of(Simulator::accepting(TOKEN, LOCATION), config).await
    }

    pub(crate) async fn of(service: impl Service + 'static, config: &Value) -> Self {
        Self(Stage::start(KIND, Box::new(service), |url| settings(url, config)).await)
    }

    pub(crate) fn contacts(&self) -> Vec<Value> {
        self.list("contacts")
    }

    pub(crate) fn notes(&self) -> Vec<Value> {
        self.list("notes")
    }

    /// Contacts, notes, tasks, appointments.
    pub(crate) fn counts(&self) -> [usize; 4] {
        ["contacts", "notes", "tasks", "appointments"].map(|kind| self.list(kind).len())
    }

    /// Asks the simulated location directly, as its owner would.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = http::Request::new(method, self.server.url().join(path).unwrap()).bearer(TOKEN);
        self.0.call(&request.header("Version", "2021-07-28").json(body)).await
    }

    /// A contact that is there already; its id.
    pub(crate) async fn make(&self, fields: &Value) -> String {
        let mut body = fields.clone();
        body["locationId"] = LOCATION.into();
        let made = self.call(Method::Post, "contacts/upsert", &body).await;
        made["contact"]["id"].as_str().unwrap().to_owned()
    }
}

/// With a token unless `config` has an app.
pub(crate) fn settings(url: &Url, config: &Value) -> Value {
    let mut settings = json!({"location_id": LOCATION, "base_url": url});
    if config.get("oauth").is_none() {
        settings["token"] = TOKEN.into();
    }
    settings.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    settings
}
