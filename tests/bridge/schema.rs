//! Holds what a bridge answers to its own description of it: OpenAPI 3.1, as far as ours uses it. Stricter than JSON Schema in one thing:
//! a field that is not described is a fault, so that none is forgotten.

use serde_json::Value;

/// What is wrong with `value`, each with its place.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').unwrap();
        return faults(document, document.pointer(pointer).unwrap(), value, place);
    }
    if let Some(options) = schema["anyOf"].as_array() {
        let all: Vec<Vec<String>> = options.iter().map(|option| faults(document, option, value, place)).collect();
        return if all.iter().any(Vec::is_empty) { Vec::new() } else { all.into_iter().flatten().collect() };
    }
    let mut found = Vec::new();
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.contains(&type_of(value)) {
        found.push(format!("{place} is {value}, and should be {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{place} is {value}, which is none of {}", schema["enum"]));
    }
    let text = value.as_str().unwrap_or_default();
    let is_formed = match schema["format"].as_str() {
        Some("date-time") => value.is_null() || text.parse::<jiff::Timestamp>().is_ok(),
        Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
        _ => true,
    };
    if !is_formed {
        found.push(format!("{place} is {value}, and should be a {}", schema["format"]));
    }
    found.extend(inside(document, schema, value, place));
    found
}

fn inside(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
        for name in schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()) {
            if !fields.contains_key(name) {
                found.push(format!("{place} has no {name}"));
            }
        }
        for (name, value) in fields {
            match known.get(name) {
                Some(schema) => found.extend(faults(document, schema, value, &format!("{place}.{name}"))),
                None => found.push(format!("{place}.{name} is not described")),
            }
        }
    }
    if let (Some(fields), more @ Value::Object(_)) = (value.as_object(), &schema["additionalProperties"]) {
        found.extend(fields.iter().flat_map(|(name, value)| faults(document, more, value, &format!("{place}.{name}"))));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let schema = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
        found.extend(faults(document, schema, item, &format!("{place}[{index}]")));
    }
    found
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
