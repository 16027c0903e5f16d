//! `[traces]`: where the way of each lead is told, by OTLP. Only a program with the feature `otlp` takes the section.

use super::reader::Reader;
use super::sections::LITERAL;
use super::{secrets, values};
use leadwire_connector::http::is_loopback;
use leadwire_connector::settings::Secret;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use url::Url;

const ENDPOINT: &str = "write endpoint = \"http://127.0.0.1:4318\", the address of a collector that takes OTLP over HTTP";

/// `[traces]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The collector. `None` is a fault.
    #[serde(deserialize_with = "values::web_address")]
    pub endpoint: Option<Url>,
    /// Sent with every request, by name.
    pub headers: BTreeMap<String, Secret>,
    /// Of how many events there are traces, from 0 to 1.
    #[serde(deserialize_with = "ratio")]
    pub sample_ratio: f64,
    /// What the bridge is called in traces.
    pub service_name: String,
}

impl Default for Traces {
    fn default() -> Self {
        Self { endpoint: None, headers: BTreeMap::new(), sample_ratio: 1.0, service_name: "leadwire".to_owned() }
    }
}

fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let ratio = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&ratio) { Ok(ratio) } else { Err(serde::de::Error::custom("out of range: expected a number from 0 to 1")) }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Traces> {
    reader.layers.merged.get("traces")?;
    if !cfg!(feature = "otlp") {
        let help = "build it with `cargo build --release --features otlp`, or take the section out";
        reader.fault(&["traces"], "this program was built without traces", help);
        return None;
    }
    let table = reader.section("traces");
    let traces: Traces = reader.read(&["traces"], table);
    check_endpoint(reader, &traces);
    for (name, value) in &traces.headers {
        check_header(reader, name, value);
    }
    Some(traces)
}

fn check_endpoint(reader: &mut Reader<'_>, traces: &Traces) {
    let place = ["traces", "endpoint"];
    match &traces.endpoint {
        None if reader.is_faulty(&place) => {}
        None => reader.fault(&["traces"], "`endpoint` is missing", ENDPOINT),
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            let help = "write [traces.headers] and `Authorization = { env = \"NAME\" }` below";
            reader.fault(&place, "credentials do not belong in the address of the collector", help);
        }
        Some(url) if url.scheme() == "http" && !is_loopback(url) && !traces.headers.is_empty() => {
            reader.warn(&place, "what stands in `headers` travels unencrypted", "use https");
        }
        Some(_) => {}
    }
}

fn check_header(reader: &mut Reader<'_>, name: &str, value: &Secret) {
    let place = ["traces", "headers", name];
    let is_token = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
    if !is_token {
        reader.fault(&place, "no HTTP header has this name", "use letters, digits and `-`, such as `Authorization`");
    } else if !value.expose().chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        reader.fault(&place, "no HTTP header can carry this value", "use letters, digits and signs, without line breaks");
    } else if value.is_literal() && secrets::is_secret(name) && reader.layers.is_from_file(&place) {
        reader.warn(&place, "this secret stands in the file itself", LITERAL);
    }
}
