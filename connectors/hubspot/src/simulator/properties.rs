//! The properties of the simulated account and what they accept.

use super::answers::error;
use super::records::Object;
use leadwire_connector::simulator::Response;
use serde_json::{Value, json};

/// A property and its kind.
enum Kind {
    Text,
    Email,
    Choice(&'static [&'static str]),
    ReadOnly,
}

const STAGES: &[&str] =
    &["subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist", "other"];
const STATUSES: &[&str] = &["NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED", "ATTEMPTED_TO_CONTACT", "CONNECTED", "BAD_TIMING"];

fn kind(object: Object, name: &str) -> Option<Kind> {
    Some(match (object, name) {
        (Object::Note, "hs_timestamp" | "hs_note_body" | "hubspot_owner_id") => Kind::Text,
        (Object::Contact, "email") => Kind::Email,
        (Object::Contact, "lifecyclestage") => Kind::Choice(STAGES),
        (Object::Contact, "hs_lead_status") => Kind::Choice(STATUSES),
        (
            Object::Contact,
            "firstname"
            | "lastname"
            | "phone"
            | "mobilephone"
            | "company"
            | "website"
            | "jobtitle"
            | "address"
            | "city"
            | "state"
            | "zip"
            | "country"
            | "message"
            | "hs_additional_emails"
            | "hubspot_owner_id",
        ) => Kind::Text,
        (_, "createdate" | "lastmodifieddate" | "hs_object_id") => Kind::ReadOnly,
        _ => return None,
    })
}

/// What is wrong with a value, in HubSpot's shape.
pub(super) fn fault(object: Object, name: &str, value: &str) -> Option<Value> {
    let fault = |code: &str, message: String| Some(json!({"isValid": false, "message": message, "error": code, "name": name}));
    match kind(object, name) {
        None => fault("PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist")),
        Some(Kind::ReadOnly) => fault("READ_ONLY_VALUE", format!("\"{name}\" is a read only property; its value cannot be set.")),
        Some(Kind::Email) if !value.is_empty() && !is_email(value) => fault("INVALID_EMAIL", format!("Email address {value} is invalid")),
        Some(Kind::Choice(options)) if !value.is_empty() && !options.contains(&value) => {
            fault("INVALID_OPTION", format!("{value} was not one of the allowed options: {options:?}"))
        }
        Some(_) if value.encode_utf16().count() > 65_536 => fault("INVALID_LENGTH", format!("The value of {name} is too long")),
        Some(_) => None,
    }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.ends_with(".invalid"))
}

/// The definition of a contact property.
pub(super) fn describe(name: &str) -> Result<Response, Response> {
    let kind = kind(Object::Contact, name).ok_or_else(|| error(404, "OBJECT_NOT_FOUND", &format!("Property {name} does not exist")))?;
    let (of_type, field, options) = match kind {
        Kind::Choice(options) => ("enumeration", "select", options),
        _ => ("string", "text", &[][..]),
    };
    let options: Vec<Value> = options.iter().map(|option| json!({"label": option, "value": option, "hidden": false})).collect();
    let read_only = matches!(kind, Kind::ReadOnly);
    let modification = json!({"archivable": false, "readOnlyDefinition": true, "readOnlyValue": read_only});
    Ok(Response::json(
        200,
        &json!({
            "name": name, "label": name, "type": of_type, "fieldType": field, "groupName": "contactinformation", "options": options,
            "modificationMetadata": modification,
        }),
    ))
}
