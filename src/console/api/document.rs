//! The description of the API (OpenAPI 3.1), made from the table of operations and the schemas beside this file. `docs/openapi.json` is
//! the same, for those who have no bridge at hand.

use super::operation::{Answer, LONGEST_PAGE, Operation, PAGE, Parameter, Shape};
use super::{BASE, operations};
use crate::console::{Kind, Role};
use actix_web::HttpResponse;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// A test reads them, so that they are always JSON here.
static SCHEMAS: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(include_str!("schemas.json")).unwrap_or_default());
static DOCUMENT: LazyLock<Value> = LazyLock::new(make);

const ABOUT: &str = "Everything that the pages of the console show and do. Ask with a token of `[console]` as bearer token; without any \
    token in the configuration, the console answers on loopback only, and to everybody there. Parameters and fields that are not known are \
    refused. Pages go on with `cursor`, the `next` of the page before. Moments are asked for as `2026-11-22T10:00:00Z`, `2026-11-22` \
    (UTC), or an age such as `2h` or `7d`.";

/// Refusals of every operation.
const COMMON: [Kind; 4] = [Kind::Invalid, Kind::Unauthorized, Kind::TooMany, Kind::Unavailable];

pub(super) async fn show() -> HttpResponse {
    super::ok(&*DOCUMENT)
}

/// The schema of this name.
pub(super) fn schema(name: &str) -> &'static Value {
    &SCHEMAS[name]
}

fn make() -> Value {
    let mut paths = Map::new();
    for operation in operations() {
        let method = operation.verb.as_str().to_ascii_lowercase();
        let path = paths.entry(format!("{BASE}{}", operation.path)).or_insert_with(|| json!({}));
        path[method] = describe(operation);
    }
    let bearer = json!({"type": "http", "scheme": "bearer", "description": "A token of `[console]`."});
    let refused = |kind: Kind| {
        let content = json!({"application/problem+json": {"schema": reference("Problem")}});
        (kind.code().to_owned(), json!({"description": kind.title(), "content": content}))
    };
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Leadwire", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT, "license": {"name": "MIT OR Apache-2.0"}},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": bearer},
            "responses": Kind::ALL.into_iter().map(refused).collect::<Map<_, _>>(),
            "schemas": *SCHEMAS,
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let who = if operation.role == Role::Operate { "For the role `operate`." } else { "" };
    let more = [operation.more, who].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    let in_path = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let parameters: Vec<Value> = in_path.chain(operation.parameters.iter().map(parameter)).collect();
    let mut described =
        json!({"operationId": operation.id, "summary": operation.about, "parameters": parameters, "responses": responses(operation)});
    if !more.is_empty() {
        described["description"] = json!(more);
    }
    if let Some(name) = operation.body {
        described["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": reference(name)}}});
    }
    described
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.shape {
        Shape::Text | Shape::Cursor | Shape::Moment => json!({"type": "string", "maxLength": 500}),
        Shape::Flag => json!({"type": "boolean", "default": false}),
        Shape::Word(words) => json!({"type": "string", "enum": words}),
        Shape::Limit => json!({"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": PAGE}),
    };
    json!({"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema})
}

fn responses(operation: &Operation) -> Value {
    let mut responses = json!({"200": answer(&operation.answer)});
    if operation.path.starts_with("/actions/") && operation.body.is_some() {
        responses["202"] = json!({"description": "It goes on as a job.", "content": {"application/json": {"schema": reference("Done")}}});
    }
    let own = (operation.role == Role::Operate).then_some(Kind::Forbidden);
    let large = operation.body.map(|_| Kind::TooLarge);
    for kind in COMMON.into_iter().chain(own).chain(large).chain(operation.refusals.iter().copied()) {
        responses[kind.status().as_str()] = json!({"$ref": format!("#/components/responses/{}", kind.code())});
    }
    responses
}

fn answer(answer: &Answer) -> Value {
    let list = |name: &str| json!({"type": "array", "items": reference(name)});
    let next = json!({"type": ["string", "null"], "description": "The `cursor` of the next page; null at the end."});
    let schema = match answer {
        Answer::One(name) => reference(name),
        Answer::List(name) => json!({"type": "object", "required": ["items"], "properties": {"items": list(name)}}),
        Answer::Page(name) => json!({"type": "object", "required": ["items", "next"], "properties": {"items": list(name), "next": next}}),
        Answer::Document => json!({"type": "object"}),
        Answer::Stream => return json!({"description": "A stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}),
    };
    json!({"description": "Done.", "content": {"application/json": {"schema": schema}}})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

    /// `LEADWIRE_WRITE=1 cargo test` writes it.
    #[test]
    fn what_is_kept_in_the_repository_is_what_a_bridge_answers() {
        let made = format!("{}\n", serde_json::to_string_pretty(&*DOCUMENT).unwrap());
        if std::env::var_os("LEADWIRE_WRITE").is_some() {
            std::fs::write(KEPT, &made).unwrap();
        }
        let kept = std::fs::read_to_string(KEPT).unwrap_or_default();
        assert!(
            made == kept,
            "docs/openapi.json is not what the table says; run this test with LEADWIRE_WRITE=1, and look at what changed"
        );
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        assert!(SCHEMAS.as_object().is_some_and(|schemas| !schemas.is_empty()), "schemas.json is no JSON object");
        let text = serde_json::to_string(&*DOCUMENT).unwrap();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(DOCUMENT.pointer(pointer).is_some(), "{pointer} is not there");
        }
        for name in SCHEMAS.as_object().unwrap().keys() {
            assert!(text.contains(&format!("#/components/schemas/{name}\"")), "nothing uses {name}");
        }
    }
}
