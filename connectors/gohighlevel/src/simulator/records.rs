//! The simulated contacts, with what a connector trips over when it writes them.

use super::answers::{duplicate, error, invalid, no_contact, ok};
use crate::compare::same_email;
use crate::fields;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::simulator::{Response, SearchLag};
use leadwire_connector::timestamp;
use serde_json::{Map, Value, json};

/// The custom fields of the simulated location.
pub(super) const CUSTOM_FIELDS: [(&str, &str); 3] = [
    ("3sv6UEo51C9Bmpo1cKTq", "contact.budget"),
    ("Kq2Zt8RwXy4Lm6Np0VbC", "contact.chat_session"),
    ("Pz7Yw3Hc9Qe1Ju5Ds2Ga", "contact.color"),
];
const UPSERT_ONLY: [&str; 3] = ["locationId", "createNewIfDuplicateAllowed", "gender"];
const BESIDE_FIELDS: [&str; 3] = ["tags", "customFields", "dnd"];

/// A contact and what hangs on it.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) id: String,
    pub(super) fields: Map<String, Value>,
    pub(super) tags: Vec<String>,
    pub(super) custom: Map<String, Value>,
    pub(super) additional_emails: Vec<String>,
    pub(super) notes: Vec<Value>,
    pub(super) tasks: Vec<Value>,
    added: Timestamp,
    /// Which request made it; look-ups may be behind.
    request: u64,
}

impl Contact {
    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    fn has(&self, field: &str, value: &str) -> bool {
        match field {
            "email" => self
                .text("email")
                .into_iter()
                .chain(self.additional_emails.iter().map(String::as_str))
                .any(|email| same_email(email, value)),
            _ => self.text("phone").is_some_and(|known| leadwire_connector::phone::is_same(known, value)),
        }
    }

    pub(super) fn shown(&self, location: &str) -> Value {
        let custom: Vec<Value> = self.custom.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
        let additional: Vec<Value> = self.additional_emails.iter().map(|email| json!({"email": email})).collect();
        let mut shown = json!({"id": self.id, "locationId": location, "dateAdded": timestamp::format(self.added)});
        for (name, value) in &self.fields {
            shown[name] = value.clone();
        }
        shown["tags"] = self.tags.clone().into();
        shown["customFields"] = custom.into();
        shown["additionalEmails"] = additional.into();
        shown
    }
}

/// The contacts of the simulated location.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    pub(super) list: Vec<Contact>,
    made: u64,
    pub(super) lag: SearchLag,
    /// The location's order is the phone first.
    pub(super) phone_first: bool,
    /// Fields that are accepted and not kept.
    pub(super) drops: Vec<String>,
    /// Fields that are unknown here.
    pub(super) refuses: Vec<String>,
    /// The next upsert is refused, and makes the contact all the same.
    pub(super) creates_despite_refusal: bool,
}

impl Contacts {
    pub(super) fn get(&mut self, id: &str) -> Result<&mut Contact, Response> {
        self.list.iter_mut().find(|contact| contact.id == id).ok_or_else(|| no_contact(id))
    }

    fn owner(&self, field: &str, body: &Value, besides: Option<&str>) -> Option<&Contact> {
        let value = body[field].as_str().filter(|value| !value.is_empty())?;
        self.list.iter().find(|contact| Some(contact.id.as_str()) != besides && contact.has(field, value))
    }

    fn order(&self) -> [&'static str; 2] {
        if self.phone_first { ["phone", "email"] } else { ["email", "phone"] }
    }

    /// `GET /contacts/search/duplicate`.
    pub(super) fn find(&self, location: &str, email: Option<&str>, number: Option<&str>) -> Result<Response, Response> {
        if email.is_none() && number.is_none() {
            return Err(error(400, "Pass at least one of number, email query parameter"));
        }
        let asked = json!({"email": email, "phone": number});
        let found = self.order().into_iter().find_map(|field| self.owner(field, &asked, None).map(|contact| (field, contact)));
        let found = found.filter(|(_, contact)| self.is_searchable(contact));
        Ok(match found {
            Some((field, contact)) => ok(200, json!({"contact": contact.shown(location), "matchingField": field})),
            None => ok(200, json!({"contact": null})),
        })
    }

    fn is_searchable(&self, contact: &Contact) -> bool {
        self.lag.shows(contact.request)
    }

    /// `POST /contacts/search`, as far as it filters custom fields by equality.
    pub(super) fn search(&self, location: &str, body: &Value) -> Result<Response, Response> {
        let filter = &body["filters"][0];
        let (Some(field), "eq") =
            (filter["field"].as_str().and_then(|name| name.strip_prefix("customFields.")), filter["operator"].as_str().unwrap_or_default())
        else {
            return Err(invalid(&["The simulated search knows filters on customFields.ID with the operator eq".to_owned()]));
        };
        let has = |contact: &&Contact| contact.custom.get(field) == Some(&filter["value"]);
        let found: Vec<Value> =
            self.list.iter().filter(|contact| self.is_searchable(contact)).filter(has).map(|contact| contact.shown(location)).collect();
        Ok(ok(200, json!({"total": found.len(), "contacts": found})))
    }

    /// `POST /contacts/upsert`: the first field of the location's order that matches decides; what another contact has is dropped.
    pub(super) fn upsert(&mut self, location: &str, body: &Value, now: Timestamp) -> Result<Response, Response> {
        self.validate(body, true)?;
        let order = self.order();
        let id = order.into_iter().find_map(|field| self.owner(field, body, None).map(|contact| contact.id.clone()));
        let taken: Vec<&str> = order.into_iter().filter(|field| self.owner(field, body, id.as_deref()).is_some()).collect();
        let is_new = id.is_none();
        let id = id.unwrap_or_else(|| self.make(now));
        self.write(&id, body, &taken, is_new);
        if std::mem::take(&mut self.creates_despite_refusal) {
            return Err(invalid(&["something is not right".to_owned()]));
        }
        Ok(ok(200, json!({"new": is_new, "contact": self.get(&id)?.shown(location)})))
    }

    /// `POST /contacts/`.
    pub(super) fn create(&mut self, location: &str, body: &Value, now: Timestamp) -> Result<Response, Response> {
        self.validate(body, true)?;
        self.refuse_twin(body, None)?;
        let id = self.make(now);
        self.write(&id, body, &[], true);
        Ok(ok(201, json!({"contact": self.get(&id)?.shown(location)})))
    }

    /// `PUT /contacts/{id}`.
    pub(super) fn update(&mut self, location: &str, id: &str, body: &Value) -> Result<Response, Response> {
        self.get(id)?;
        self.validate(body, false)?;
        self.refuse_twin(body, Some(id))?;
        self.write(id, body, &[], false);
        Ok(ok(200, json!({"succeded": true, "contact": self.get(id)?.shown(location)})))
    }

    fn refuse_twin(&self, body: &Value, own: Option<&str>) -> Result<(), Response> {
        match self.order().into_iter().find_map(|field| self.owner(field, body, own).map(|contact| (field, contact))) {
            Some((field, contact)) => Err(duplicate(&contact.id, contact.text("firstName").unwrap_or_default(), field)),
            None => Ok(()),
        }
    }

    fn make(&mut self, now: Timestamp) -> String {
        self.made += 1;
        let id = format!("contact{:013}", self.made);
        self.list.push(Contact {
            id: id.clone(),
            fields: Map::new(),
            tags: Vec::new(),
            custom: Map::new(),
            additional_emails: Vec::new(),
            notes: Vec::new(),
            tasks: Vec::new(),
            added: now,
            request: self.lag.now(),
        });
        id
    }

    fn write(&mut self, id: &str, body: &Value, taken: &[&str], is_new: bool) {
        let drops = self.drops.clone();
        let Ok(contact) = self.get(id) else { return };
        let keeps = |name: &str| !drops.iter().any(|drop| drop == name) && !taken.contains(&name) && (is_new || name != "gender");
        for (name, value) in body.as_object().into_iter().flatten().filter(|(name, _)| fields::is_standard(name) && keeps(name)) {
            contact.fields.insert(name.clone(), value.clone());
        }
        // What was the secondary address is now the primary one, and the other is lost.
        if let Some(primary) = contact.fields.get("email").and_then(Value::as_str) {
            contact.additional_emails.retain(|email| !same_email(email, primary));
        }
        if let Some(tags) = body["tags"].as_array() {
            contact.tags = tags.iter().filter_map(Value::as_str).map(str::to_lowercase).collect();
        }
        for field in body["customFields"].as_array().into_iter().flatten() {
            // A field that the location does not have is ignored without a word.
            if let Some(id) = custom_id(field) {
                let value = field.get("fieldValue").unwrap_or(&field["field_value"]);
                contact.custom.insert(id.to_owned(), value.clone());
            }
        }
    }

    /// Every fault at once, in the words of a 422.
    fn validate(&self, body: &Value, is_upsert: bool) -> Result<(), Response> {
        let Some(table) = body.as_object() else { return Err(error(400, "Bad Request")) };
        let is_known = |name: &str| {
            let beside = BESIDE_FIELDS.contains(&name) || is_upsert && UPSERT_ONLY.contains(&name);
            let is_refused = self.refuses.iter().any(|refused| refused == name);
            !is_refused && (beside || fields::is_standard(name) && (is_upsert || name != "gender"))
        };
        let mut faults: Vec<String> =
            table.keys().filter(|name| !is_known(name)).map(|name| format!("property {name} should not exist")).collect();
        if is_upsert && table.get("locationId").and_then(Value::as_str).is_none_or(str::is_empty) {
            faults.push("locationId should not be empty".to_owned());
        }
        if table.get("email").and_then(Value::as_str).is_some_and(|email| !email.contains('@') || email.contains(' ')) {
            faults.push("email must be an email".to_owned());
        }
        let texts = table.iter().filter(|(name, value)| fields::is_standard(name) && !value.is_string() && !value.is_null());
        faults.extend(texts.map(|(name, _)| format!("{name} must be a string")));
        if !faults.is_empty() {
            return Err(invalid(&faults));
        }
        let has = |name: &str| table.get(name).and_then(Value::as_str).is_some_and(|value| !value.is_empty());
        if is_upsert && !has("email") && !has("phone") {
            return Err(error(400, "Pass at least one of number, email query parameter"));
        }
        Ok(())
    }

    pub(super) fn state(&self, location: &str) -> Value {
        self.list.iter().map(|contact| contact.shown(location)).collect()
    }
}

fn custom_id(field: &Value) -> Option<&'static str> {
    let key = field["key"].as_str().map(fields::key);
    CUSTOM_FIELDS.into_iter().find(|(id, known)| field["id"] == *id || key == Some(fields::key(known))).map(|(id, _)| id)
}
