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

/// What an administrator requires is missing; the message names it, and so does the context of the error.
pub(super) fn required(names: &[String]) -> Response {
    let message = format!("Some required properties for CONTACT creates are missing: {names:?}");
    let errors: Vec<Value> = names
        .iter()
        .map(|name| {
            let context = json!({"propertyName": [name]});
            json!({"message": format!("{name} is required"), "code": "REQUIRED_PROPERTY", "context": context})
        })
        .collect();
    let body = json!({
        "status": "error", "message": message, "correlationId": correlation_id(), "category": "VALIDATION_ERROR", "errors": errors,
    });
    Response::json(400, &body)
}

/// Another record has the unique value.
pub(super) fn taken(property: &str, value: &str, own: u64, owner: u64) -> Response {
    let coordinates = format!(
        "PropertyValueCoordinates{{portalId=1, objectTypeId=ObjectTypeId{{legacyObjectType=CONTACT}}, propertyName={property}, value={value}}}"
    );
    error(400, "VALIDATION_ERROR", &format!("Cannot set {coordinates} on {own}. {owner} already has that value."))
}

pub(super) fn missing(id: &str) -> Response {
    error(404, "OBJECT_NOT_FOUND", &format!("Object not found.  objectId are usually numeric: {id}"))
}

/// That of a web server, not of the API.
pub(super) fn no_such_page() -> Response {
    let body = b"<html><body><h2>HTTP ERROR 404 Not Found</h2></body></html>".to_vec();
    Response { status: 404, headers: vec![("Content-Type".to_owned(), "text/html".to_owned())], body: body.into() }
}

pub(super) fn missing_scopes(scope: &str) -> Response {
    let context = json!({"requiredGranularScopes": [scope]});
    let body = json!({
        "status": "error", "message": "This app hasn't been granted all required scopes to make this call.",
        "correlationId": correlation_id(), "category": "MISSING_SCOPES",
        "errors": [{"message": "One or more of the following scopes are required.", "context": context}],
    });
    Response::json(403, &body)
}

pub(super) fn rate_limited(policy: &str) -> Response {
    let limit = policy.to_lowercase();
    let body = json!({
        "status": "error", "message": format!("You have reached your {limit} limit."), "errorType": "RATE_LIMIT",
        "correlationId": correlation_id(), "policyName": policy,
    });
    Response::json(429, &body)
}

pub(super) fn bad_refresh_token() -> Response {
    let told = "refresh token is invalid, expired or revoked";
    let body = json!({
        "error": "invalid_grant", "error_description": told, "status": "BAD_REFRESH_TOKEN", "message": told,
        "correlationId": correlation_id(),
    });
    Response::json(400, &body)
}
