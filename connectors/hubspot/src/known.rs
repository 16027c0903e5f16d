//! What a contact that HubSpot has already keeps of its own when a lead is written to it: pure.

use crate::map::{Contact, Identity};
use leadwire_connector::phone;
use serde_json::Value;

const NAMES: [&str; 2] = ["firstname", "lastname"];
const PHONES: [&str; 2] = ["phone", "mobilephone"];

/// What must be known of the contact, beside the properties that an update fills.
pub(crate) const LOOKED_AT: [&str; 5] = ["email", "firstname", "lastname", "phone", "mobilephone"];

/// The properties of a contact in HubSpot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a>(pub(crate) &'a Value);

impl<'a> Known<'a> {
    fn text(self, name: &str) -> Option<&'a str> {
        self.0[name].as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// A name that was made up for want of a better one, here or by HubSpot, is none.
    fn name(self, name: &str) -> Option<&'a str> {
        let is_made_up = |text: &str| text.starts_with("Chat visitor ") || PHONES.iter().any(|phone| self.text(phone) == Some(text));
        self.text(name).filter(|text| !is_made_up(text))
    }

    fn has_name(self) -> bool {
        NAMES.iter().any(|name| self.name(name).is_some())
    }

    pub(crate) fn is_without_email(self) -> bool {
        self.text("email").is_none()
    }

    pub(crate) fn has_phone(self, number: &str) -> bool {
        PHONES.iter().filter_map(|name| self.text(name)).any(|known| phone::is_same(known, number))
    }

    /// Whether a contact with the phone of a lead that has an e-mail is the lead's person, and may get that e-mail.
    pub(crate) fn is_theirs(self, contact: &Contact) -> bool {
        match (self.text("email"), contact.email()) {
            (Some(known), Some(email)) => is_same(known, email),
            _ => self.is_surely(contact),
        }
    }

    /// Whether a contact that only the phone led to is the lead's person beyond doubt: families and offices share a phone.
    fn is_surely(self, contact: &Contact) -> bool {
        let ours = contact.for_update();
        let both = NAMES.iter().filter_map(|name| Some((self.name(name)?, ours.iter().find(|(known, _)| known == name)?.1)));
        let agreed: Vec<bool> = both.map(|(theirs, ours)| is_same(theirs, ours)).collect();
        let is_nobody = !self.has_name() && self.is_without_email();
        is_nobody || !agreed.is_empty() && agreed.iter().all(|agrees| *agrees)
    }

    /// The properties that the contact keeps although the lead has other values. A phone is kept always, since whoever knows an e-mail
    /// may type it into a chat; everything is kept when it may be somebody else's.
    pub(crate) fn kept_from(self, contact: &Contact) -> Vec<String> {
        let is_sure = !matches!(contact.identity(), Identity::Phone(_)) || self.is_surely(contact);
        let is_kept = |name: &str, value: &str| match name {
            _ if is_sure && !PHONES.contains(&name) => false,
            // One name's first part with another's last would be nobody's name.
            "firstname" | "lastname" => self.has_name() && !self.name(name).is_some_and(|known| is_same(known, value)),
            "phone" | "mobilephone" => self.text(name).is_some_and(|known| !phone::is_same(known, value)),
            _ => self.text(name).is_some_and(|known| !is_same(known, value)),
        };
        contact.for_update().into_iter().filter(|(name, value)| is_kept(name, value)).map(|(name, _)| name.to_owned()).collect()
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::map::tests::contact;
    use serde_json::json;

    fn kept(person: &Value, known: &Value) -> Vec<String> {
        let contact = contact(&json!({"person": person}), &json!({"fields": {"company": "Acme"}}));
        Known(known).kept_from(&contact)
    }

    #[test]
    fn a_contact_that_only_the_phone_led_to_keeps_what_it_has_unless_the_name_agrees() {
        let grace = json!({"first_name": "Grace", "last_name": "Other", "email": null, "phone": "+1"});
        let amara = json!({"firstname": "Amara", "lastname": null, "company": "Old", "phone": "+1", "email": "amy@a.example"});
        assert_eq!(kept(&grace, &amara), ["company", "firstname", "lastname"], "the two names are one");
        assert!(kept(&grace, &json!({"firstname": "grace", "lastname": "OTHER", "company": "Old", "phone": "+1"})).is_empty());
        assert!(kept(&grace, &json!({"lastname": "+1", "phone": "+1", "company": "Old"})).is_empty(), "a made-up name is none");
        assert!(kept(&grace, &json!({"lastname": "Chat visitor 7", "phone": "+1"})).is_empty());
        assert_eq!(kept(&grace, &json!({"email": "amy@a.example", "company": "Old"})), ["company"], "what is empty is filled");
        let nameless = json!({"first_name": null, "last_name": null, "email": null, "phone": "+1"});
        assert_eq!(kept(&nameless, &amara), ["company"]);
    }

    #[test]
    fn a_contact_that_the_email_led_to_keeps_its_phone_only() {
        let david = json!({"first_name": "David", "last_name": null, "email": "d@a.example", "phone": "+2"});
        assert_eq!(kept(&david, &json!({"firstname": "Dave", "company": "Old", "phone": "+1"})), ["phone"]);
        assert!(kept(&david, &json!({"firstname": "Dave", "phone": ""})).is_empty());
        assert!(kept(&david, &json!({"phone": "+2"})).is_empty());
        let amy = json!({"first_name": "Amy", "last_name": null, "email": "a@a.example", "phone": "+14155550100"});
        assert!(kept(&amy, &json!({"phone": "(415) 555-0100"})).is_empty(), "the same number");
    }
}
