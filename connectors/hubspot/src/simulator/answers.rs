//! Bodies in HubSpot's shapes.

use leadwire_connector::reexport::Uuid;
use leadwire_connector::simulator::Response;
use serde_json::{Value, json};

pub(super) fn correlation_id() -> String {
    Uuid::now_v7().to_string()
}

pub(super) fn error(status: u16, category: &str, message: &str) -> Response {
    Response::json(status, &json!({"status": "error", "message": message, "correlationId": correlation_id(), "category": category}))
}

/// A 400 about properties: the list of faults stands as JSON inside the message, and again in `errors`.
pub(super) fn rejected(faults: &[Value]) -> Response {
    let list = Value::from(faults.to_vec());
    let errors: Vec<Value> = faults
        .iter()
        .map(|fault| json!({"message": fault["message"], "code": fault["error"], "context": {"propertyName": [fault["name"]]}}))
        .collect();
    let body = json!({
        "status": "error", "message": format!("Property values were not valid: {list}"), "correlationId": correlation_id(),
        "category": "VALIDATION_ERROR", "errors": errors,
    });
    Response::json(400, &body)
}

pub(super) fn missing(id: &str) -> Response {
    error(404, "OBJECT_NOT_FOUND", &format!("Object not found.  objectId are usually numeric: {id}"))
}
