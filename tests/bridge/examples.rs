//! The files of `config/examples`, each as it stands: only addresses, folders and secrets come from the environment. A signed event of
//! every source goes in, and arrives where the comments of the file say, and nowhere else.

mod accounts;
mod agency;
mod caddy;
mod endpoints;

use crate::harness::{Bridge, Setup, lead, rows, signature};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use leadwire_connector::http::Answer;
use leadwire_connector::simulator::{Faults, Server, Service};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The stories of this folder, as text.
const STORIES: [&str; 4] = [
    include_str!("examples/accounts.rs"),
    include_str!("examples/agency.rs"),
    include_str!("examples/caddy.rs"),
    include_str!("examples/endpoints.rs"),
];

const SUCCESS: &[u8] = b"{\"status\":\"success\"}";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/examples")
}

/// What the file says.
fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name).with_extension("toml")).unwrap()
}

/// The same, by its keys.
fn table(name: &str) -> toml::Table {
    text(name).parse().unwrap()
}

/// The variables of the environment that a file names.
fn variables(text: &str) -> BTreeSet<String> {
    text.split("env = \"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

/// What stands in a variable: another secret for each name, in the form that a Standard Webhooks key has.
fn secret(variable: &str) -> String {
    format!("whsec_{}", BASE64_STANDARD.encode(format!("{variable:-<32}")))
}

/// The setup of an example, with a secret for each name in it. A colleague who reads it has nothing to say of it.
fn example(name: &str) -> Setup {
    let mut setup = Setup::of_file(&folder().join(name).with_extension("toml"));
    for variable in variables(&text(name)) {
        let value = match variable.as_str() {
            "DATABASE_URL" => "postgres://leadwire:a-password@db.example.com/leadwire?sslmode=verify-full".to_owned(),
            url if url.ends_with("_URL") => format!("https://example.com/{url}"),
            _ => secret(&variable),
        };
        setup = setup.environment(&variable, &value);
    }
    let output = setup.command(&["check", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && told["warnings"] == json!([]), "{name}: {told:#}");
    setup
}

/// A simulated service at an address of its own.
async fn serving(service: impl Service + 'static) -> Server {
    Server::start(Box::new(service), "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap()
}

/// Leads a destination there.
fn at(setup: Setup, destination: &str, key: &str, url: &str) -> Setup {
    setup.environment(&format!("LEADWIRE__DESTINATIONS__{}__{key}", variable(destination)), url)
}

/// The name of a source or destination as it is written in names of variables.
fn variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// Posts a body to a source, signed with its key; which must be taken.
async fn post(bridge: &Bridge, source: &str, body: &Value) {
    let answer = post_from(bridge, source, body, None).await;
    assert_eq!((answer.status, answer.body.as_ref()), (200, SUCCESS), "{source}: {}", answer.body.escape_ascii());
}

/// The same, as a proxy would that saw these addresses.
async fn post_from(bridge: &Bridge, source: &str, body: &Value, forwarded: Option<&str>) -> Answer {
    let body = body.to_string();
    let header = signature(&secret(&format!("{}_SIGNING_KEY", variable(source))), body.as_bytes());
    let headers = [("X-Webhook-Signature", header.as_str()), ("X-Forwarded-For", forwarded.unwrap_or_default())];
    let known = if forwarded.is_some() { &headers[..] } else { &headers[..1] };
    bridge.post_to(source, body, known).await.unwrap()
}

fn with(mut body: Value, key: &str, value: impl Into<Value>) -> Value {
    body[key] = value.into();
    body
}

fn appointment(n: u64) -> Value {
    with(lead(n), "Type", "Appointment")
}

/// A day's log with one conversation, that of the session which person `n` left their address in.
fn chat_log(n: u64) -> Value {
    let messages = json!([{"Type": "AI", "Content": "What can I help you with?"}, {"Type": "User", "Content": "make an appointment"}]);
    let conversation =
        json!({"SessionID": 31_305 + n, "CreateTime": "2026-11-22T10:00:00Z", "URI": "www.example.com", "Messages": messages});
    json!({"Collection": [{"SerialNumber": "59001dd73709417321c58b11693183a2", "Name": "Bot", "StartTime": "2026-11-22T00:00:00Z",
                           "EndTime": "2026-11-23T00:00:00Z", "Conversations": [conversation]}]})
}

/// Who is in a simulated account or was told to an endpoint: the address of each record, or nothing where it has none.
fn people(server: &Server) -> Vec<String> {
    let state = server.state();
    let records = state["contacts"].as_array().or(state["deliveries"].as_array()).unwrap();
    let mut people: Vec<String> = records.iter().map(|record| address(record).unwrap_or_default()).collect();
    people.sort();
    people
}

fn address(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.ends_with("@example.com") => Some(text.clone()),
        Value::Array(items) => items.iter().find_map(address),
        Value::Object(fields) => fields.values().find_map(address),
        _ => None,
    }
}

fn david(n: u64) -> String {
    format!("david{n}@example.com")
}

/// The rows of the folder `drop`, also those of the file that is still being filled, as kind and source.
fn archived(bridge: &Bridge) -> Vec<(String, String)> {
    let folder = bridge.setup.drop_folder();
    let all = rows(&folder).into_iter().chain(rows(&folder.join(".leadwire")));
    let mut found: Vec<_> = all.map(|row| (row["kind"].clone(), row["source"].clone())).collect();
    found.sort();
    found
}

/// How many deliveries ended how, at all destinations together.
async fn until_all_ended(bridge: &Bridge, delivered: usize, skipped: usize) {
    bridge.until("delivered", delivered).await;
    bridge.until("skipped", skipped).await;
    assert_eq!(bridge.deliveries().len(), delivered + skipped, "nothing went anywhere else");
    bridge.assert_audit();
}

#[test]
fn every_example_is_in_a_story_and_in_the_list_of_the_documents() {
    let list = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let mut names: Vec<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "README.md");
    assert!(names.len() > 9, "{names:?}");
    for name in names {
        let call = match name.strip_suffix(".toml") {
            Some(stem) => format!("example(\"{stem}\")"),
            None => format!("config/examples/{name}"),
        };
        assert!(STORIES.iter().any(|stories| stories.contains(&call)), "no story has {call}");
        assert!(list.contains(&format!("]({name})")), "config/examples/README.md does not list {name}");
    }
}
