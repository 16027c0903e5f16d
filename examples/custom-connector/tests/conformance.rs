//! The exam that every connector takes.

use leadwire_acme::{KIND, simulator};
use leadwire_connector::conformance::{self, Subject};
use leadwire_connector::simulator::Service;
use leadwire_connector::{ConnectorKind, reexport::Url};
use serde_json::{Map, Value, json};

struct Acme;

impl Subject for Acme {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        Some(Box::<simulator::Simulated>::default())
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        json!({"url": url, "token": simulator::TOKEN}).as_object().cloned().unwrap_or_default()
    }

    fn secrets(&self) -> Vec<String> {
        vec![simulator::TOKEN.to_owned()]
    }

    fn field(&self) -> &str {
        "phone"
    }
}

#[tokio::test]
async fn acme_passes_the_exam() {
    conformance::run(&Acme).await;
}
