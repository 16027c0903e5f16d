//! Bodies in GoHighLevel's shapes.

use leadwire_connector::reexport::Uuid;
use leadwire_connector::simulator::Response;
use serde_json::{Value, json};

pub(super) fn trace() -> String {
    Uuid::now_v7().to_string()
}

fn word(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500.. => "Internal Server Error",
        _ => "Bad Request",
    }
}

pub(super) fn error(status: u16, message: &str) -> Response {
    Response::json(status, &json!({"statusCode": status, "message": message, "error": word(status), "traceId": trace()}))
}

/// A 422 tells every fault at once.
pub(super) fn invalid(faults: &[String]) -> Response {
    Response::json(422, &json!({"statusCode": 422, "message": faults, "error": word(422), "traceId": trace()}))
}

pub(super) fn no_contact(id: &str) -> Response {
    error(400, &format!("Contact with id {id} not found"))
}

pub(super) fn duplicate(id: &str, name: &str, field: &str) -> Response {
    let meta = json!({"contactId": id, "contactName": name, "matchingField": field});
    let message = "This location does not allow duplicated contacts.";
    Response::json(400, &json!({"statusCode": 400, "message": message, "meta": meta, "traceId": trace()}))
}

pub(super) fn ok(status: u16, mut body: Value) -> Response {
    body["traceId"] = trace().into();
    Response::json(status, &body)
}
