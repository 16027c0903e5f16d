//! The properties of the simulated account and what they accept.

use super::answers::error;
use super::records::Object;
use leadwire_connector::simulator::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A property and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Text,
    Email,
    Choice(Vec<String>),
    Owner,
    ReadOnly,
}

const STAGES: &[&str] =
    &["subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist", "other"];
const STATUSES: &[&str] = &["NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED", "ATTEMPTED_TO_CONTACT", "CONNECTED", "BAD_TIMING"];
const TASK_STATUSES: &[&str] = &["NOT_STARTED", "COMPLETED", "IN_PROGRESS", "WAITING", "DEFERRED"];
const TASK_TYPES: &[&str] = &["TODO", "CALL", "EMAIL"];
const OUTCOMES: &[&str] = &["SCHEDULED", "COMPLETED", "RESCHEDULED", "NO_SHOW", "CANCELED"];
const CONTACT_TEXTS: &[&str] = &[
    "firstname",
    "lastname",
    "phone",
    "mobilephone",
    "company",
    "website",
    "jobtitle",
    "address",
    "city",
    "state",
    "zip",
    "country",
    "message",
    "hs_additional_emails",
];

/// A property that somebody made.
#[derive(Debug, Clone)]
struct Custom {
    kind: Kind,
    is_unique: bool,
}

/// The properties of the account.
#[derive(Debug, Default)]
pub(super) struct Properties {
    custom: BTreeMap<String, Custom>,
    /// What an administrator requires of new contacts.
    pub(super) required: Vec<String>,
    /// The users; any number when there are none.
    pub(super) owners: Vec<u64>,
}

fn choice(options: &[&str]) -> Kind {
    Kind::Choice(options.iter().map(|option| (*option).to_owned()).collect())
}

impl Properties {
    fn kind(&self, object: Object, name: &str) -> Option<Kind> {
        Some(match (object, name) {
            (_, "createdate" | "lastmodifieddate" | "hs_object_id") => Kind::ReadOnly,
            (_, "hubspot_owner_id") => Kind::Owner,
            (Object::Contact, "email") => Kind::Email,
            (Object::Contact, "lifecyclestage") => choice(STAGES),
            (Object::Contact, "hs_lead_status") => choice(STATUSES),
            (Object::Contact, name) if CONTACT_TEXTS.contains(&name) => Kind::Text,
            (Object::Contact, name) => self.custom.get(name)?.kind.clone(),
            (_, "hs_timestamp") => Kind::Text,
            (Object::Note, "hs_note_body") | (Object::Task, "hs_task_body" | "hs_task_subject") => Kind::Text,
            (Object::Task, "hs_task_status") => choice(TASK_STATUSES),
            (Object::Task, "hs_task_type") => choice(TASK_TYPES),
            (Object::Meeting, "hs_meeting_outcome") => choice(OUTCOMES),
            (
                Object::Meeting,
                "hs_meeting_title" | "hs_meeting_body" | "hs_meeting_start_time" | "hs_meeting_end_time" | "hs_internal_meeting_notes",
            ) => Kind::Text,
            _ => return None,
        })
    }

    /// Makes a property: `POST /crm/properties/…/0-1`.
    pub(super) fn create(&mut self, body: &Value) -> Result<Response, Response> {
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        let name = text("name").to_owned();
        if name.is_empty() || self.kind(Object::Contact, &name).is_some() {
            return Err(error(409, "CONFLICT", &format!("A property named '{name}' already exists.")));
        }
        let options = body["options"].as_array().into_iter().flatten().filter_map(|option| option["value"].as_str().map(str::to_owned));
        let kind = if text("type") == "enumeration" { Kind::Choice(options.collect()) } else { Kind::Text };
        self.custom.insert(name.clone(), Custom { kind, is_unique: body["hasUniqueValue"] == true });
        self.describe(&name).map(|response| Response { status: 201, ..response })
    }

    pub(super) fn add_unique(&mut self, name: &str) {
        self.custom.insert(name.to_owned(), Custom { kind: Kind::Text, is_unique: true });
    }

    pub(super) fn is_unique(&self, name: &str) -> bool {
        self.custom.get(name).is_some_and(|custom| custom.is_unique)
    }

    /// What is wrong with a value, in HubSpot's shape.
    pub(super) fn fault(&self, object: Object, name: &str, value: &str) -> Option<Value> {
        let fault = |code: &str, message: String| Some(json!({"isValid": false, "message": message, "error": code, "name": name}));
        match self.kind(object, name) {
            None => fault("PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist")),
            Some(Kind::ReadOnly) => fault("READ_ONLY_VALUE", format!("\"{name}\" is a read only property; its value cannot be set.")),
            Some(Kind::Email) if !value.is_empty() && !is_email(value) => {
                fault("INVALID_EMAIL", format!("Email address {value} is invalid"))
            }
            Some(Kind::Owner) if !value.is_empty() && !self.is_owner(value) => fault("INVALID_OWNER_ID", format!("{value} is no owner")),
            Some(Kind::Choice(options)) if !value.is_empty() && !options.iter().any(|option| option == value) => {
                fault("INVALID_OPTION", format!("{value} was not one of the allowed options: {options:?}"))
            }
            Some(_) if value.encode_utf16().count() > 65_536 => fault("INVALID_LENGTH", format!("The value of {name} is too long")),
            Some(_) => None,
        }
    }

    fn is_owner(&self, value: &str) -> bool {
        value.parse().is_ok_and(|owner| self.owners.is_empty() || self.owners.contains(&owner))
    }

    /// The definition of a contact property.
    pub(super) fn describe(&self, name: &str) -> Result<Response, Response> {
        let kind = self.kind(Object::Contact, name);
        let kind = kind.ok_or_else(|| error(404, "OBJECT_NOT_FOUND", &format!("Property {name} does not exist")))?;
        let read_only = kind == Kind::ReadOnly;
        let (of_type, field, options) = match kind {
            Kind::Choice(options) => ("enumeration", "select", options),
            _ => ("string", "text", Vec::new()),
        };
        let options: Vec<Value> = options.iter().map(|option| json!({"label": option, "value": option, "hidden": false})).collect();
        let modification = json!({"archivable": false, "readOnlyDefinition": true, "readOnlyValue": read_only});
        Ok(Response::json(
            200,
            &json!({
                "name": name, "label": name, "type": of_type, "fieldType": field, "groupName": "contactinformation", "options": options,
                "hasUniqueValue": self.is_unique(name), "calculated": false, "modificationMetadata": modification,
            }),
        ))
    }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.ends_with(".invalid"))
}
