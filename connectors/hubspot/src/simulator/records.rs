//! The records of the simulated account.

use super::answers::{correlation_id, error, missing, rejected, required, taken};
use super::properties::Properties;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::simulator::{Response, SearchLag};
use leadwire_connector::timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const FIRST_ID: u64 = 101;
const ASSOCIATIONS_AT_ONCE: usize = 500;

/// The kinds of records that are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Contact,
    Note,
    Task,
    Meeting,
}

impl Object {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "contacts" | "contact" | "0-1" => Some(Self::Contact),
            "notes" | "note" | "0-46" => Some(Self::Note),
            "tasks" | "task" | "0-27" => Some(Self::Task),
            "meetings" | "meeting" | "0-47" => Some(Self::Meeting),
            _ => None,
        }
    }
}

impl Object {
    fn name(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Note => "note",
            Self::Task => "task",
            Self::Meeting => "meeting",
        }
    }

    /// From the activity to the contact, and back.
    fn associations(self) -> (u32, u32) {
        match self {
            Self::Contact => (0, 0),
            Self::Note => (202, 201),
            Self::Task => (204, 203),
            Self::Meeting => (200, 199),
        }
    }

    fn body(self) -> &'static str {
        match self {
            Self::Contact => "",
            Self::Note => "hs_note_body",
            Self::Task => "hs_task_body",
            Self::Meeting => "hs_meeting_body",
        }
    }
}

/// One contact or activity.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) object: Object,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) created: Timestamp,
    updated: Timestamp,
    /// The number of the request that made it.
    request: u64,
    pub(super) archived: bool,
    /// Of an activity: the contact it hangs on.
    contact: Option<u64>,
}

impl Entry {
    fn new(object: Object, contact: Option<u64>, request: u64, now: Timestamp) -> Self {
        Self { object, properties: BTreeMap::new(), created: now, updated: now, request, archived: false, contact }
    }
}

/// All records, by id.
#[derive(Debug, Default)]
pub(super) struct Records {
    entries: BTreeMap<u64, Entry>,
    /// Ids that were merged away, and where they went.
    merged: BTreeMap<u64, u64>,
    pub(super) lag: SearchLag,
    pub(super) properties: Properties,
    /// A twin is found out only when its e-mail is written.
    pub(super) finds_twins_late: bool,
}

impl Records {
    pub(super) fn live(&self, object: Object) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().filter(move |(_, entry)| entry.object == object && !entry.archived).map(|(id, entry)| (*id, entry))
    }

    /// What search knows of by now.
    pub(super) fn searchable(&self, object: Object) -> impl Iterator<Item = (u64, &Entry)> {
        self.live(object).filter(|(_, entry)| self.lag.shows(entry.request))
    }

    fn next_id(&self) -> u64 {
        self.entries.keys().next_back().map_or(FIRST_ID, |last| last + 1)
    }

    /// Follows merges; the record must be there and not archived.
    fn find(&self, object: Object, id: &str, id_property: Option<&str>) -> Result<u64, Response> {
        let found = match id_property {
            Some("email") => self.owner_of_email(id),
            Some(property) if self.properties.is_unique(property) => self.owner_of_value(property, id),
            Some(_) => None,
            None => id.parse().ok().map(|id| self.merged.get(&id).copied().unwrap_or(id)),
        };
        let is_live = |id: &u64| self.entries.get(id).is_some_and(|entry| entry.object == object && !entry.archived);
        found.filter(is_live).ok_or_else(|| missing(id))
    }

    fn owner_of_email(&self, email: &str) -> Option<u64> {
        let email = email.to_lowercase();
        let owns = |entry: &Entry| {
            let primary = entry.properties.get("email").map(String::as_str);
            let secondary = entry.properties.get("hs_additional_emails").map_or("", String::as_str).split(';');
            primary.into_iter().chain(secondary).any(|known| known.trim().to_lowercase() == email)
        };
        self.live(Object::Contact).find(|(_, entry)| owns(entry)).map(|(id, _)| id)
    }

    fn owner_of_value(&self, property: &str, value: &str) -> Option<u64> {
        self.live(Object::Contact).find(|(_, entry)| entry.properties.get(property).is_some_and(|known| known == value)).map(|(id, _)| id)
    }

    /// Checks all properties and reports every fault at once, as HubSpot does.
    fn validated(&self, object: Object, body: &Value) -> Result<Vec<(String, String)>, Response> {
        let table =
            body["properties"].as_object().ok_or_else(|| error(400, "VALIDATION_ERROR", "Invalid input JSON: properties is missing"))?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let given: Vec<(String, String)> = table.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let faults: Vec<Value> = given.iter().filter_map(|(name, value)| self.properties.fault(object, name, value)).collect();
        if faults.is_empty() { Ok(given) } else { Err(rejected(&faults)) }
    }

    /// What an administrator requires of new contacts.
    fn refuse_incomplete(&self, given: &[(String, String)]) -> Result<(), Response> {
        let is_given = |name: &String| given.iter().any(|(known, value)| known == name && !value.is_empty());
        let missing: Vec<String> = self.properties.required.iter().filter(|name| !is_given(name)).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(required(&missing)) }
    }

    pub(super) fn create(&mut self, object: Object, body: &Value, now: Timestamp) -> Result<Response, Response> {
        let properties = self.validated(object, body)?;
        let contact = match object {
            Object::Contact => {
                self.refuse_twin(&properties, None)?;
                self.refuse_incomplete(&properties)?;
                if !properties.iter().any(|(name, value)| matches!(name.as_str(), "email" | "firstname" | "lastname") && !value.is_empty())
                {
                    return Err(error(400, "VALIDATION_ERROR", "A contact needs an email, a first name or a last name"));
                }
                None
            }
            Object::Note | Object::Task | Object::Meeting => Some(self.contact_of_new(object, &properties, body)?),
        };
        let id = self.next_id();
        let mut entry = Entry::new(object, contact, self.lag.now(), now);
        set(&mut entry, properties);
        self.entries.insert(id, entry);
        Ok(Response::json(201, &self.shown(id)))
    }

    fn refuse_twin(&self, properties: &[(String, String)], own: Option<u64>) -> Result<(), Response> {
        let new = own.unwrap_or_else(|| self.next_id());
        for (name, value) in properties.iter().filter(|(_, value)| !value.is_empty()) {
            let owner = match name.as_str() {
                "email" => self.owner_of_email(value),
                name if self.properties.is_unique(name) => self.owner_of_value(name, value),
                _ => None,
            };
            match owner.filter(|owner| Some(*owner) != own) {
                Some(owner) if name == "email" && !self.finds_twins_late => {
                    return Err(error(409, "CONFLICT", &format!("Contact already exists. Existing ID: {owner}")));
                }
                Some(owner) => return Err(taken(name, value, new, owner)),
                None => {}
            }
        }
        Ok(())
    }

    fn contact_of_new(&self, object: Object, properties: &[(String, String)], body: &Value) -> Result<u64, Response> {
        if !properties.iter().any(|(name, value)| name == "hs_timestamp" && !value.is_empty()) {
            let message = format!("Error creating {}. Some required properties were not set.", object.name().to_uppercase());
            return Err(error(400, "VALIDATION_ERROR", &message));
        }
        let association = &body["associations"][0];
        if association["types"][0]["associationTypeId"] != object.associations().0 {
            return Err(error(400, "VALIDATION_ERROR", "One or more associations are not valid"));
        }
        self.find(Object::Contact, association["to"]["id"].as_str().unwrap_or_default(), None)
    }

    pub(super) fn read(&self, object: Object, id: &str, id_property: Option<&str>) -> Result<Response, Response> {
        Ok(Response::json(200, &self.shown(self.find(object, id, id_property)?)))
    }

    pub(super) fn update(
        &mut self,
        object: Object,
        id: &str,
        id_property: Option<&str>,
        body: &Value,
        now: Timestamp,
    ) -> Result<Response, Response> {
        let id = self.find(object, id, id_property)?;
        let properties = self.validated(object, body)?;
        self.refuse_twin(&properties, Some(id))?;
        if let Some(entry) = self.entries.get_mut(&id) {
            set(entry, properties);
            entry.updated = now;
        }
        Ok(Response::json(200, &self.shown(id)))
    }

    pub(super) fn archive(&mut self, object: Object, id: &str) -> Result<Response, Response> {
        let id = self.find(object, id, None)?;
        // What hangs on a contact alone goes with it (https://knowledge.hubspot.com/privacy-and-consent/understand-restorable-and-permanent-contact-deletions).
        for (_, entry) in self.entries.iter_mut().filter(|(known, entry)| **known == id || entry.contact == Some(id)) {
            entry.archived = true;
        }
        Ok(Response { status: 204, headers: Vec::new(), body: Default::default() })
    }

    /// The survivor gets an id of its own; the values of the first one win, and the other's e-mail becomes a secondary one.
    pub(super) fn merge(&mut self, body: &Value, now: Timestamp) -> Result<Response, Response> {
        let named = |key: &str| self.find(Object::Contact, body[key].as_str().unwrap_or_default(), None);
        let (primary, other) = (named("primaryObjectId")?, named("objectIdToMerge")?);
        if primary == other {
            return Err(error(400, "VALIDATION_ERROR", "Cannot merge a contact with itself"));
        }
        let survivor = self.next_id();
        let (Some(first), Some(second)) = (self.entries.remove(&primary), self.entries.remove(&other)) else {
            return Err(missing("merge"));
        };
        let mut properties = second.properties;
        let secondary = properties.remove("email");
        properties.extend(first.properties.clone());
        properties.extend(secondary.map(|email| ("hs_additional_emails".to_owned(), email)));
        self.entries.insert(survivor, Entry { properties, updated: now, ..first });
        self.redirect([primary, other], survivor);
        Ok(Response::json(200, &self.shown(survivor)))
    }

    fn redirect(&mut self, old: [u64; 2], survivor: u64) {
        self.merged.values_mut().filter(|target| old.contains(target)).for_each(|target| *target = survivor);
        self.merged.extend(old.map(|id| (id, survivor)));
        for note in self.entries.values_mut().filter(|entry| entry.contact.is_some_and(|contact| old.contains(&contact))) {
            note.contact = Some(survivor);
        }
    }

    pub(super) fn list(&self, object: Object, limit: Option<String>) -> Response {
        let limit = limit.and_then(|limit| limit.parse().ok()).unwrap_or(10);
        let results: Vec<Value> = self.live(object).take(limit).map(|(id, _)| self.shown(id)).collect();
        Response::json(200, &json!({"results": results}))
    }

    pub(super) fn read_batch(&self, object: Object, body: &Value) -> Result<Response, Response> {
        let inputs = body["inputs"].as_array().filter(|inputs| inputs.len() <= 100);
        let inputs = inputs.ok_or_else(|| error(400, "VALIDATION_ERROR", "inputs must be a list of at most 100"))?;
        let ids = inputs.iter().map(|input| input["id"].as_str().unwrap_or_default());
        let (found, lost): (Vec<_>, Vec<_>) = ids.map(|id| self.find(object, id, None)).partition(Result::is_ok);
        let results: Vec<Value> = found.into_iter().flatten().map(|id| self.shown(id)).collect();
        let mut answer = json!({"status": "COMPLETE", "results": results});
        if !lost.is_empty() {
            answer["numErrors"] = 1.into();
            answer["errors"] = json!([{"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some objects"}]);
        }
        Ok(Response::json(200, &answer))
    }

    /// `POST /crm/associations/…/contacts/{object}/batch/read`. Who has none is told as an error inside.
    pub(super) fn associations(&self, object: Object, body: &Value) -> Result<Response, Response> {
        let inputs = body["inputs"].as_array().filter(|inputs| inputs.len() <= 1_000);
        let inputs = inputs.ok_or_else(|| error(400, "VALIDATION_ERROR", "inputs must be a list of at most 1000"))?;
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for input in inputs {
            match self.associations_of(object, input) {
                Some(result) => results.push(result),
                None => errors.push(no_associations(object, &input["id"])),
            }
        }
        let mut answer = json!({"status": "COMPLETE", "results": results});
        if errors.is_empty() {
            return Ok(Response::json(200, &answer));
        }
        answer["numErrors"] = errors.len().into();
        answer["errors"] = errors.into();
        Ok(Response::json(207, &answer))
    }

    fn associations_of(&self, object: Object, input: &Value) -> Option<Value> {
        let contact = self.find(Object::Contact, input["id"].as_str()?, None).ok()?;
        let after: u64 = input["after"].as_str().and_then(|after| after.parse().ok()).unwrap_or(0);
        let mut ids = self.live(object).filter(|(id, entry)| *id > after && entry.contact == Some(contact)).map(|(id, _)| id);
        let page: Vec<u64> = ids.by_ref().take(ASSOCIATIONS_AT_ONCE).collect();
        let kind = json!([{"category": "HUBSPOT_DEFINED", "typeId": object.associations().1, "label": null}]);
        let to: Vec<Value> = page.iter().map(|id| json!({"toObjectId": id.to_string(), "associationTypes": kind})).collect();
        let mut result = json!({"from": {"id": contact.to_string()}, "to": to});
        if let (Some(last), true) = (page.last(), ids.next().is_some()) {
            result["paging"] = json!({"next": {"after": last.to_string()}});
        }
        (!page.is_empty()).then_some(result)
    }

    pub(super) fn shown(&self, id: u64) -> Value {
        let Some(entry) = self.entries.get(&id) else { return Value::Null };
        let mut properties: Map<String, Value> =
            entry.properties.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        properties.insert("hs_object_id".to_owned(), id.to_string().into());
        properties.insert("createdate".to_owned(), timestamp::format(entry.created).into());
        json!({
            "id": id.to_string(), "properties": properties, "createdAt": timestamp::format(entry.created),
            "updatedAt": timestamp::format(entry.updated), "archived": entry.archived,
        })
    }

    /// Everything, the archived marked.
    pub(super) fn state(&self) -> Value {
        let of = |object: Object| self.entries.iter().filter(move |(_, entry)| entry.object == object);
        let contacts: Vec<Value> = of(Object::Contact)
            .map(|(id, entry)| json!({"id": id.to_string(), "properties": entry.properties, "archived": entry.archived}))
            .collect();
        let activities = |object: Object| -> Vec<Value> {
            of(object)
                .map(|(id, entry)| {
                    json!({
                        "id": id.to_string(), "contact": entry.contact.map(|id| id.to_string()),
                        "body": entry.properties.get(object.body()), "timestamp": entry.properties.get("hs_timestamp"),
                        "properties": entry.properties, "archived": entry.archived,
                    })
                })
                .collect()
        };
        json!({
            "contacts": contacts, "notes": activities(Object::Note), "tasks": activities(Object::Task),
            "meetings": activities(Object::Meeting),
        })
    }
}

fn no_associations(object: Object, contact: &Value) -> Value {
    let id = contact.as_str().unwrap_or_default();
    json!({
        "status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": format!("No {} is associated with contact {id}.", object.name()), "correlationId": correlation_id(),
        "context": {"fromObjectId": [id], "fromObjectType": ["contact"], "toObjectType": [object.name()]},
    })
}

/// An empty text clears the value.
fn set(entry: &mut Entry, properties: Vec<(String, String)>) {
    for (name, value) in properties {
        if value.is_empty() {
            entry.properties.remove(&name);
        } else {
            let value = if name == "email" { value.to_lowercase() } else { value };
            entry.properties.insert(name, value);
        }
    }
}
