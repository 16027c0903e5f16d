//! Whether what was sent is there: GoHighLevel accepts some fields and keeps nothing of them, such as a phone that belongs to another
//! contact (<https://github.com/GoHighLevel/highlevel-api-docs/issues/37>, <https://github.com/GoHighLevel/highlevel-api-docs/issues/313>).

use crate::fields;
use serde_json::Value;
use std::collections::HashMap;

/// The names of the fields that `contact`, as GoHighLevel shows it, does not have as they were sent. `ids` gives the ids of custom fields
/// by their keys; contacts show ids only.
pub(crate) fn missing(sent: &[(&str, &str)], contact: &Value, ids: Option<&Ids>) -> Vec<String> {
    let is_there = |name: &str, value: &str| match fields::is_standard(name) {
        true => same(value, &contact[name]),
        false => has_custom(name, value, contact, ids),
    };
    sent.iter().filter(|(name, value)| !is_there(name, value)).map(|(name, _)| (*name).to_owned()).collect()
}

/// The ids of custom fields by their bare keys.
pub(crate) type Ids = HashMap<String, String>;

/// From the list of a location's custom fields.
pub(crate) fn ids(list: &Value) -> Ids {
    let pair = |field: &Value| Some((fields::key(field["fieldKey"].as_str()?).to_owned(), field["id"].as_str()?.to_owned()));
    list["customFields"].as_array().into_iter().flatten().filter_map(pair).collect()
}

/// Without `ids`, because the token may not read them, any field with the value is taken for one that was sent by its key.
fn has_custom(name: &str, value: &str, contact: &Value, ids: Option<&Ids>) -> bool {
    let is_it = |field: &Value| {
        let shown = ["key", "fieldKey"].into_iter().find_map(|member| field[member].as_str());
        match (fields::is_id(name), shown, ids) {
            (true, _, _) => field["id"] == name,
            (false, Some(key), _) => fields::key(key) == fields::key(name),
            (false, None, Some(ids)) => ids.get(fields::key(name)).is_some_and(|id| field["id"] == id.as_str()),
            (false, None, None) => true,
        }
    };
    let list = contact["customFields"].as_array();
    list.into_iter().flatten().filter(|field| is_it(field)).any(|field| values(field).into_iter().any(|there| same(value, there)))
}

fn values(field: &Value) -> [&Value; 3] {
    [&field["value"], &field["fieldValue"], &field["field_value"]]
}

/// Whether the custom field with this id has this very value.
pub(crate) fn has_value(id: &str, value: &str, contact: &Value) -> bool {
    let is_it = |field: &&Value| field["id"] == id;
    let is_same = |there: &Value| there.as_str().map_or_else(|| there.to_string(), |text| text.trim().to_owned()) == value.trim();
    contact["customFields"].as_array().into_iter().flatten().filter(is_it).any(|field| values(field).into_iter().any(is_same))
}

/// Whether writing this custom field may replace another value of the contact. By its key alone, that cannot be told when the contact
/// has any.
pub(crate) fn may_replace_custom(name: &str, value: &str, contact: &Value) -> bool {
    let is_empty = |there: &Value| there.is_null() || plain(&there.to_string()).is_empty();
    let has_value = |field: &Value| values(field).into_iter().any(|there| !is_empty(there) && !same(value, there));
    let list = contact["customFields"].as_array();
    list.into_iter().flatten().any(|field| (!fields::is_id(name) || field["id"] == name) && has_value(field))
}

/// Whether two texts differ in nothing but case and signs.
pub(crate) fn is_same_text(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase() || !plain(one).is_empty() && plain(one) == plain(other)
}

/// Phones are reformatted, names change their case, dates get a time: only letters and digits count, and the longer one may have more.
fn same(sent: &str, there: &Value) -> bool {
    let (sent, there) = (
        plain(sent),
        plain(&match there {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }),
    );
    !there.is_empty() && (there.contains(&sent) || sent.contains(&there)) || sent.is_empty()
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether two e-mails are the same to GoHighLevel.
pub(crate) fn same_email(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_reformatted_is_there_and_what_was_dropped_is_not() {
        let contact = json!({
            "firstName": "david", "email": "a@b.example", "phone": "+1 415-555-0100", "dateOfBirth": "1990-09-25T00:00:00.000Z", "city": null,
            "customFields": [{"id": "x", "value": ["Red", "Blue"]}, {"id": "y", "value": 10}],
        });
        let sent = [
            ("firstName", "David"),
            ("email", "A@b.example"),
            ("phone", "+14155550100"),
            ("dateOfBirth", "1990-09-25"),
            ("source", "Chat"),
            ("city", "Bonn"),
            ("contact.colors", "[\"Red\",\"Blue\"]"),
            ("contact.budget", "10"),
            ("contact.size", "XL"),
        ];
        assert_eq!(missing(&sent, &contact, None), ["source", "city", "contact.size"]);
        assert_eq!(missing(&sent[..1], &Value::Null, None), ["firstName"]);
    }

    #[test]
    fn a_custom_field_is_there_only_if_it_is_the_one_with_the_value() {
        let (budget, color) = ("3sv6UEo51C9Bmpo1cKTq", "Pz7Yw3Hc9Qe1Ju5Ds2Ga");
        let contact = json!({"customFields": [{"id": color, "value": "10"}, {"key": "contact.size", "fieldValue": "10"}]});
        let fields = json!([{"id": budget, "fieldKey": "contact.budget"}, {"id": color, "fieldKey": "contact.color"}]);
        let ids = ids(&json!({"customFields": fields}));
        let sent = [("contact.budget", "10"), (budget, "10"), ("color", "10"), (color, "10"), ("size", "10"), ("contact.no", "10")];
        assert_eq!(missing(&sent, &contact, Some(&ids)), ["contact.budget", budget, "contact.no"]);
        assert!(may_replace_custom(color, "12", &contact) && !may_replace_custom(color, "10", &contact));
        assert!(!may_replace_custom(budget, "12", &contact) && may_replace_custom("contact.budget", "12", &contact));
    }

    #[test]
    fn a_phone_is_the_same_with_and_without_its_country() {
        assert!(same_email("A@B.example", "a@b.example "));
    }
}
