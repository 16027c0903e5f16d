//! The exam that every connector takes.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::{self, Subject};
use leadwire_connector::simulator::Service;
use leadwire_connector::{ConnectorKind, reexport::Url};
use leadwire_connector_json::{KIND, simulator::Endpoint};
use serde_json::{Map, Value, json};

const BEARER: &str = "0123456789-bearer";

/// Asks for an acceptance in the body, as everybody should whose endpoint can send one.
struct Json;

impl Subject for Json {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        Some(Box::<Endpoint>::default())
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        let settings = json!({"url": url, "bearer": BEARER, "success": {"json": {"/status": "accepted"}}});
        settings.as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![BEARER.to_owned()]
    }

    fn records(&self, state: &Value) -> usize {
        state["deliveries"].as_array().unwrap().len()
    }
}

#[tokio::test]
async fn json_passes_the_exam() {
    conformance::run(&Json).await;
}
