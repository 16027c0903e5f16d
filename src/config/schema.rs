//! The whole configuration as JSON Schema: for editors, for the reference, and for telling what is secret.

use super::alerts::Alerts;
use super::channels::{Common, Slack, Smtp, Webhook};
use super::settings::{Console, Delivery, Drive, Log, Route, Server, Source, Store, User};
use super::traces::Traces;
use crate::connectors::Connectors;
use leadwire_connector::ConnectorKind;
use leadwire_connector::settings::schema as schema_of;
use serde_json::{Map, Value, json};

/// What names may look like; see the reader.
const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";

/// As an editor takes it; `connectors` are the kinds of destination.
#[must_use]
pub fn schema(connectors: &Connectors) -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The configuration of Leadwire",
        "type": "object",
        "properties": {
            "server": described(server(), "The listener that the chatbot platforms post to."),
            "console": described(console(), "The listener for people and programs that look after the bridge."),
            "store": described(schema_of::<Store>(), "Where everything is kept before it is answered."),
            "delivery": described(schema_of::<Delivery>(), "How deliveries are tried."),
            "alerts": described(alerts(), "Which trouble is told, and to whom; nobody without a channel."),
            "traces": described(required(schema_of::<Traces>(), "endpoint"), "Where the way of each lead is told, by OTLP; only a program with the feature `otlp` takes it."),
            "log": described(schema_of::<Log>(), "What is logged."),
            "sources": named(&described(schema_of::<Source>(), "One webhook URL, `/hooks/NAME`.")),
            "destinations": named(&destination(connectors)),
            "routes": {"type": "array", "items": described(required(schema_of::<Route>(), "to"), "Where events go: to the union of all that match.")},
        },
        "additionalProperties": false,
    })
}

fn described(mut schema: Value, about: &str) -> Value {
    schema["description"] = json!(about);
    if let Value::Object(table) = &mut schema {
        table.shift_remove("title");
    }
    schema
}

fn required(mut schema: Value, key: &str) -> Value {
    schema["required"] = json!([key]);
    schema
}

fn named(each: &Value) -> Value {
    json!({"type": "object", "propertyNames": {"pattern": NAME}, "additionalProperties": each})
}

/// How many threads there are by default is the machine's to say.
fn server() -> Value {
    let mut schema = schema_of::<Server>();
    if let Some(workers) = schema["properties"]["workers"].as_object_mut() {
        workers.shift_remove("default");
    }
    schema
}

fn console() -> Value {
    let mut schema = schema_of::<Console>();
    let user = described(required(schema_of::<User>(), "token"), "Somebody who may come.");
    schema["properties"]["users"] = described(named(&user), "Who else may come, by name.");
    schema
}

fn alerts() -> Value {
    let mut schema = schema_of::<Alerts>();
    let common = schema_of::<Common>();
    let types = [("webhook", schema_of::<Webhook>()), ("slack", schema_of::<Slack>()), ("smtp", schema_of::<Smtp>())];
    let one_of: Vec<Value> = types.into_iter().map(|(name, own)| of_type(name, &[&common, &own])).collect();
    schema["properties"]["channels"] =
        json!({"type": "array", "description": "Who is told.", "items": {"description": "Somebody who is told.", "oneOf": one_of}});
    schema
}

fn destination(connectors: &Connectors) -> Value {
    let drive = schema_of::<Drive>();
    let one_of: Vec<Value> = connectors.iter().map(|kind| of_kind(kind, &drive)).collect();
    json!({"description": "One account in one CRM, one endpoint, or one folder.", "oneOf": one_of})
}

fn of_kind(kind: &ConnectorKind, drive: &Value) -> Value {
    let own = kind.schema.map_or_else(|| json!({"additionalProperties": true}), |schema| schema());
    described(of_type(kind.name, &[&own, drive]), kind.about)
}

/// The table whose `type` is this one, with the keys of all of these.
fn of_type(name: &str, parts: &[&Value]) -> Value {
    let mut properties = Map::new();
    properties.insert("type".to_owned(), json!({"const": name}));
    let mut required = vec![json!("type")];
    for part in parts {
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        required.extend(part["required"].as_array().cloned().unwrap_or_default());
    }
    let is_open = parts.iter().any(|part| part["additionalProperties"] == true);
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": is_open})
}

/// What the schema says of the value at `path`, where `table` is what stands in the configuration and tells the types.
pub(super) fn at<'s>(schema: &'s Value, path: &[String], table: &Value) -> Option<&'s Value> {
    let Some((key, rest)) = path.split_first() else { return Some(schema) };
    let schema = chosen(schema, table);
    let below = key.parse::<usize>().map_or_else(|_| table.get(key), |index| table.get(index)).unwrap_or(&Value::Null);
    let of_key = schema.get("properties").and_then(|properties| properties.get(key));
    let of_any = || schema.get("additionalProperties").or_else(|| schema.get("items")).filter(|any| any.is_object());
    at(of_key.or_else(of_any)?, rest, below)
}

/// Of the types that a table may have, the one that it has; of a list and its single item, the list.
pub(super) fn chosen<'s>(schema: &'s Value, table: &Value) -> &'s Value {
    let one_of = schema.get("oneOf").and_then(Value::as_array);
    let is_its = |choice: &&Value| choice["properties"]["type"]["const"] == table["type"];
    let list = || schema.get("anyOf")?.as_array()?.iter().find(|choice| choice["type"] == "array");
    one_of.and_then(|choices| choices.iter().find(is_its)).or_else(list).unwrap_or(schema)
}
