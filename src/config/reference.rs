//! The reference of the configuration as Markdown, from the same schema that editors get.

use super::schema;
use crate::connectors::Connectors;
use serde_json::Value;
use std::fmt::Write as _;

const HEAD: &str = "# Configuration reference

This page is made from the program's own settings (`leadwire config reference` prints it), so it says what this version reads.
[config/leadwire.toml](../config/leadwire.toml) is the same as a file to edit, and [config/examples](../config/examples) has whole files.

- One TOML file, `config/leadwire.toml` or the one of `--config`. `leadwire check` tells everything that is wrong in it, with its place.
- Every value can also come from the environment, which wins: `LEADWIRE__SERVER__LISTEN=0.0.0.0:8080`. `leadwire config show` tells what
  holds, and where it came from.
- Editors complete and check it with [config.schema.json](config.schema.json) (`leadwire config schema` prints it): put
  `#:schema https://…/config.schema.json`, or the path of the file, into its first line.
- A *secret* is `{ env = \"NAME\" }`, `{ file = \"/run/secrets/name\" }` or `\"the secret itself\"`. A *duration* is a number and a unit:
  `\"500ms\"`, `\"30s\"`, `\"15m\"`, `\"72h\"`, `\"90d\"`. A *size* is `\"32MiB\"`, or a number of bytes.
- A running bridge takes a changed file with `leadwire reload`; see [running.md](running.md) for what needs a restart.
";

/// The whole page.
#[must_use]
pub fn reference(connectors: &Connectors) -> String {
    let schema = schema(connectors);
    let section = |name: &str| &schema["properties"][name];
    let mut page = HEAD.to_owned();
    table(&mut page, "[server]", section("server"));
    table(&mut page, "[server.tls]", &section("server")["properties"]["tls"]);
    table(&mut page, "[console]", section("console"));
    table(&mut page, "[console.users.NAME]", &section("console")["properties"]["users"]["additionalProperties"]);
    for name in ["store", "delivery", "log", "traces"] {
        table(&mut page, &format!("[{name}]"), section(name));
    }
    table(&mut page, "[alerts]", section("alerts"));
    for channel in choices(&section("alerts")["properties"]["channels"]["items"]) {
        table(&mut page, &format!("[[alerts.channels]] with type = {}", channel["properties"]["type"]["const"]), channel);
    }
    let source = &section("sources")["additionalProperties"];
    table(&mut page, "[sources.NAME]", source);
    table(&mut page, "[sources.NAME.backfill]", &source["properties"]["backfill"]);
    table(&mut page, "[[routes]]", &section("routes")["items"]);
    for destination in choices(&section("destinations")["additionalProperties"]) {
        let name = &destination["properties"]["type"]["const"];
        table(&mut page, &format!("[destinations.NAME] with type = {name}"), destination);
        for (key, below) in
            destination["properties"].as_object().into_iter().flatten().filter(|(_, below)| below.get("properties").is_some())
        {
            table(&mut page, &format!("[destinations.NAME.{key}] with type = {name}"), below);
        }
    }
    page
}

fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["oneOf"].as_array().into_iter().flatten()
}

fn table(page: &mut String, title: &str, schema: &Value) {
    let about = schema["description"].as_str().map(|about| format!("{about}\n\n")).unwrap_or_default();
    // Writing into a text does not fail.
    let _ = write!(page, "\n## `{title}`\n\n{about}| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    let required = |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|name| name == key));
    for (key, value) in schema["properties"].as_object().into_iter().flatten().filter(|(key, _)| *key != "type") {
        let default = match value.get("default") {
            Some(default) => format!("`{default}`").replace('|', "\\|"),
            None if required(key) => "required".to_owned(),
            None => String::new(),
        };
        let about = value["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(page, "| `{key}` | {} | {default} | {about} |", kind(value));
    }
}

/// What may stand there, in a few words.
fn kind(schema: &Value) -> String {
    if schema.get("writeOnly").is_some_and(|is| is == true) {
        return if is_list(schema) { "secrets" } else { "secret" }.to_owned();
    }
    let constants: Vec<String> = one_of(schema).filter_map(|choice| choice.get("const")).map(|word| format!("`{word}`")).collect();
    let words = schema["enum"].as_array().into_iter().flatten().map(|word| format!("`{word}`"));
    let words: Vec<String> = words.chain(constants).collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    match (schema["type"].as_str(), schema["pattern"].as_str(), &schema["items"]) {
        (Some("string"), Some(pattern), _) if pattern.contains("ms|s|m") => "duration".to_owned(),
        (Some("string"), ..) if schema["format"] == "uri" => "web address".to_owned(),
        (Some("string"), ..) => "text".to_owned(),
        (Some("boolean"), ..) => "`true` or `false`".to_owned(),
        (Some("integer"), ..) => "whole number".to_owned(),
        (Some("number"), ..) => "number".to_owned(),
        (Some("array"), _, items) => format!("list of {}", kind(items)),
        (Some("object"), ..) => "table".to_owned(),
        _ if one_of(schema).any(|choice| choice["pattern"].as_str().is_some_and(|pattern| pattern.contains("[bB]"))) => "size".to_owned(),
        _ => one_of(schema).next().map_or_else(|| "any value".to_owned(), kind),
    }
}

fn one_of(schema: &Value) -> impl Iterator<Item = &Value> {
    ["oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

fn is_list(schema: &Value) -> bool {
    one_of(schema).any(|choice| choice["type"] == "array")
}
