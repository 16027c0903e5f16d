//! The names of a contact's fields: those that every contact has, and the custom ones of a location.

use leadwire_connector::settings::{Fault, did_you_mean};
use serde_json::{Map, Value, json};

/// What a contact may be written with, from `UpsertContactDto` in `apps/contacts.json` of
/// <https://github.com/GoHighLevel/highlevel-api-docs>, without what has its own way or is not a lead's to say.
pub(crate) const STANDARD: [&str; 17] = [
    "firstName",
    "lastName",
    "name",
    "email",
    "phone",
    "companyName",
    "website",
    "source",
    "address1",
    "city",
    "state",
    "postalCode",
    "country",
    "timezone",
    "dateOfBirth",
    "gender",
    "assignedTo",
];

/// Accepted by an upsert that makes a contact, refused by `PUT` and ignored by an upsert of a known contact
/// (<https://github.com/GoHighLevel/highlevel-api-docs/issues/313>).
pub(crate) const NEW_CONTACTS_ONLY: [&str; 1] = ["gender"];

/// What a contact has, and what makes it somebody; everything else may be left out.
const CORE: [&str; 4] = ["email", "phone", "firstName", "lastName"];

/// Names that look like fields and are none.
const RESERVED: [(&str, &str); 6] = [
    ("tags", "tags have a key of their own, `tags`: an upsert would replace all that a contact has"),
    ("locationId", "set `location_id`"),
    ("customFields", "name each custom field by its key, such as \"contact.budget\""),
    ("id", "GoHighLevel gives the id"),
    ("additionalEmails", "GoHighLevel lets nobody write it"),
    ("dnd", "whether somebody may be contacted is not a lead's to say"),
];

pub(crate) fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name)
}

/// Whether it names a custom field by its key, and not by its id.
pub(crate) fn is_key(name: &str) -> bool {
    !is_standard(name) && !is_id(name)
}

pub(crate) fn is_core(name: &str) -> bool {
    CORE.contains(&name)
}

/// What is wrong with the name of a mapped field.
pub(crate) fn fault(name: &str) -> Option<Fault> {
    if is_standard(name) {
        return None;
    }
    if let Some((_, help)) = RESERVED.iter().find(|(reserved, _)| plain(reserved) == plain(name)) {
        return Some(Fault::new(["fields", name], format!("`{name}` cannot be mapped")).with_help(*help));
    }
    if STANDARD.iter().any(|known| plain(known) == plain(name)) {
        return Some(Fault::new(["fields", name], format!("unknown field `{name}`")).with_help(did_you_mean(name, &STANDARD)));
    }
    let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_custom = !key(name).is_empty() && name.chars().all(is_key);
    let help = "a custom field is named by its key, such as \"contact.budget\", or by its id";
    (!is_custom)
        .then(|| Fault::new(["fields", name], format!("`{name}` is neither a standard field nor the key of a custom one")).with_help(help))
}

/// How people write the same name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The key as requests name it: without the model before it, which lists of custom fields show (`contact.budget`).
pub(crate) fn key(name: &str) -> &str {
    name.strip_prefix("contact.").unwrap_or(name)
}

/// Ids of custom fields are 20 letters and digits; keys are lower case with `_` between words.
pub(crate) fn is_id(name: &str) -> bool {
    name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && name.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The members of a contact's JSON: standard fields by name, the others as a list of custom ones, each by id or key
/// (`customFieldsInputStringSchema` in `apps/contacts.json`). `value_name` is how this version names a custom field's value.
pub(crate) fn body(fields: &[(&str, &str)], value_name: &str) -> Map<String, Value> {
    let (standard, custom): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| is_standard(name));
    let mut body: Map<String, Value> = standard.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    if !custom.is_empty() {
        let list: Vec<Value> = custom.iter().map(|(name, value)| custom_field(name, value, value_name)).collect();
        body.insert("customFields".to_owned(), list.into());
    }
    body
}

fn custom_field(name: &str, value: &str, value_name: &str) -> Value {
    // Fields with several choices take a list, which a template writes as JSON.
    let list = serde_json::from_str::<Vec<String>>(value).ok();
    let value = list.map_or_else(|| Value::from(value), Value::from);
    if is_id(name) { json!({"id": name, value_name: value}) } else { json!({"key": key(name), value_name: value}) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_name_is_standard_custom_or_a_fault_with_the_right_one() {
        for right in ["email", "companyName", "contact.budget", "budget", "3sv6UEo51C9Bmpo1cKTq", "größe"] {
            assert_eq!(fault(right), None, "{right}");
        }
        for (wrong, help) in
            [("first_name", "firstName"), ("Email", "email"), ("tags", "`tags`"), ("Budget in $", "contact.budget"), ("", "key")]
        {
            assert!(fault(wrong).unwrap().help.unwrap().contains(help), "{wrong}");
        }
    }

    #[test]
    fn custom_fields_go_by_id_or_by_bare_key_and_lists_stay_lists() {
        let body =
            body(&[("city", "Bonn"), ("contact.budget", "10"), ("3sv6UEo51C9Bmpo1cKTq", "x"), ("wishes", "[\"a\",\"b\"]")], "field_value");
        let expected = json!({"city": "Bonn", "customFields": [
            {"key": "budget", "field_value": "10"}, {"id": "3sv6UEo51C9Bmpo1cKTq", "field_value": "x"},
            {"key": "wishes", "field_value": ["a", "b"]},
        ]});
        assert_eq!(Value::Object(body), expected);
    }
}
