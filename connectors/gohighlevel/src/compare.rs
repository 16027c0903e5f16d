//! Whether what was sent is there: GoHighLevel accepts some fields and keeps nothing of them, such as a phone that belongs to another
//! contact (<https://github.com/GoHighLevel/highlevel-api-docs/issues/37>, <https://github.com/GoHighLevel/highlevel-api-docs/issues/313>).

use crate::fields;
use serde_json::Value;

/// The names of the fields that `contact`, as GoHighLevel shows it, does not have as they were sent.
pub(crate) fn missing(sent: &[(&str, &str)], contact: &Value) -> Vec<String> {
    let is_there =
        |name: &str, value: &str| if fields::is_standard(name) { same(value, &contact[name]) } else { has_custom(value, contact) };
    sent.iter().filter(|(name, value)| !is_there(name, value)).map(|(name, _)| (*name).to_owned()).collect()
}

/// Custom fields are shown by id only, and were perhaps sent by key, so that their values are what can be compared.
fn has_custom(value: &str, contact: &Value) -> bool {
    let list = contact["customFields"].as_array();
    list.into_iter()
        .flatten()
        .any(|field| [&field["value"], &field["fieldValue"], &field["field_value"]].into_iter().any(|there| same(value, there)))
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

/// Whether two phones are the same, however they are written: by their digits, a country code on one side only counting as equal.
pub(crate) fn same_phone(one: &str, other: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>().trim_start_matches('0').to_owned();
    let (one, other) = (digits(one), digits(other));
    let long_enough = one.len().min(other.len()) >= 7;
    one == other || long_enough && (one.ends_with(&other) || other.ends_with(&one))
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
        assert_eq!(missing(&sent, &contact), ["source", "city", "contact.size"]);
        assert_eq!(missing(&sent[..1], &Value::Null), ["firstName"]);
    }

    #[test]
    fn a_phone_is_the_same_with_and_without_its_country() {
        assert!(same_phone("+1 (415) 555-0100", "4155550100") && same_phone("+14155550100", "+14155550100"));
        assert!(!same_phone("+14155550100", "+14155550101") && !same_phone("100", "+14155550100") && !same_phone("", "+14155550100"));
        assert!(same_email("A@B.example", "a@b.example "));
    }
}
