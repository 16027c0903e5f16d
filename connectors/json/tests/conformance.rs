//! The exam that every connector takes: as it is by default, and as each preset.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::conformance::{self, Subject};
use leadwire_connector::simulator::Service;
use leadwire_connector::{ConnectorKind, reexport::Url};
use leadwire_connector_json::{KIND, Preset, simulator::Endpoint};
use serde_json::{Map, Value, json};

const BEARER: &str = "0123456789-bearer";
/// Who knows the path of a webhook may post to it.
const SECRET_PATH: &str = "hooks/0123456789-path";

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
}

struct Preconfigured(Preset);

impl Subject for Preconfigured {
    fn kind(&self) -> ConnectorKind {
        KIND
    }

    fn service(&self) -> Option<Box<dyn Service>> {
        Some(Box::new(Endpoint::of(self.0)))
    }

    fn settings(&self, url: &Url) -> Map<String, Value> {
        let mut settings = json!({"url": url.join(SECRET_PATH).unwrap(), "preset": self.0.as_str()});
        // Both answer what their owner likes; owners who leave that as it is can ask for it.
        match self.0 {
            Preset::Make => settings["success"] = json!({"body_equals": "Accepted"}),
            Preset::N8n => settings["success"] = json!({"present": ["/message"]}),
            _ => {}
        }
        settings.as_object().unwrap().clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET_PATH.to_owned()]
    }

    /// Told apart by `webhook-id`, and by the `event_id` in the body, which is how the owner of a flow tells repeats; the services do not.
    fn exempt(&self) -> Vec<(&'static str, &'static str)> {
        vec![("check-refused", "a check asks nothing at the address itself, since any request may start a flow")]
    }
}

#[tokio::test]
async fn json_passes_the_exam() {
    conformance::run(&Json).await;
}

#[tokio::test]
async fn zapier_passes_the_exam() {
    conformance::run(&Preconfigured(Preset::Zapier)).await;
}

#[tokio::test]
async fn make_passes_the_exam() {
    conformance::run(&Preconfigured(Preset::Make)).await;
}

#[tokio::test]
async fn n8n_passes_the_exam() {
    conformance::run(&Preconfigured(Preset::N8n)).await;
}

#[tokio::test]
async fn slack_passes_the_exam() {
    conformance::run(&Preconfigured(Preset::Slack)).await;
}

#[tokio::test]
async fn gohighlevel_passes_the_exam() {
    conformance::run(&Preconfigured(Preset::GoHighLevel)).await;
}
