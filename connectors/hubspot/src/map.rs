//! From an event to a contact: pure.

use crate::config::Settings;
use leadwire_connector::fields::{Fields, LeftOut, Reason};
use leadwire_connector::note::Conversations;
use leadwire_connector::{DeliveryError, Event, Kind};

/// What to do with an event.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing, for this reason.
    Skip(&'static str),
    /// A contact that is made or updated, and its notes.
    Write(Contact),
    /// Notes on a contact that must be there already.
    Add(Contact),
}

/// The properties of a contact, as the templates filled them.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    properties: Fields<Why>,
    create_only: Vec<String>,
    /// The last name of a contact that has nothing else HubSpot would take as a name.
    placeholder: String,
    /// Who had the chat session, if there was one.
    visitor: Option<String>,
    /// The property with unique values, if there is one, and the visitor's key.
    key: Option<(String, String)>,
    /// That property, once HubSpot did not accept it, and why it is left out.
    lost_key: Option<(String, Why)>,
    /// What its templates could not make of the event.
    failed: Vec<String>,
}

/// Why a property is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// HubSpot refused it by name.
    Refused,
    /// HubSpot refused the data, and did not say which property.
    Unnamed,
    /// The contact has another value.
    Kept,
}

impl Why {
    /// The step that keeps the names, so that a later attempt still notes the values.
    pub(crate) fn step(self) -> &'static str {
        match self {
            Self::Refused => "left_out",
            Self::Unnamed => "left_out_unnamed",
            Self::Kept => "kept",
        }
    }
}

impl Reason for Why {
    const ALL: &'static [Self] = &[Self::Refused, Self::Unnamed, Self::Kept];

    fn note(self) -> &'static str {
        match self {
            Self::Refused => "not accepted as a property",
            Self::Unnamed => "left out, since HubSpot refused the data without saying which field",
            Self::Kept => "the contact has another value, which was kept",
        }
    }

    fn remark(self) -> &'static str {
        match self {
            Self::Refused => "HubSpot did not accept these properties, which were left out",
            Self::Unnamed => "HubSpot refused the data without saying which field, so that these properties were left out",
            Self::Kept => "the contact in HubSpot has other values, which were kept",
        }
    }
}

/// What is written even when HubSpot does not say what it refuses.
const CORE: [&str; 5] = ["email", "firstname", "lastname", "phone", "mobilephone"];

/// What a contact is found by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Identity<'a> {
    Email(&'a str),
    Phone(&'a str),
    Nothing,
}

impl Plan {
    /// # Errors
    /// When a template fails on this event.
    pub(crate) fn of(event: &Event, settings: &Settings) -> Result<Self, DeliveryError> {
        let config = &settings.config;
        if event.kind == Kind::Conversation && config.conversations == Conversations::Skip {
            return Ok(Self::Skip("this destination takes no conversations (`conversations = \"skip\"`)"));
        }
        if matches!(event.kind, Kind::Test | Kind::Unrecognized) {
            return Ok(Self::Skip("HubSpot takes leads, appointments and conversations only"));
        }
        let contact = Contact::of(event, settings)?;
        let is_unknown = contact.identity() == Identity::Nothing;
        Ok(match event.kind {
            Kind::Conversation if is_unknown && contact.visitor.is_none() => {
                Self::Skip("the conversation gives neither an e-mail nor a phone nor a chat session to find a contact by")
            }
            Kind::Conversation if event.chat().is_none() => Self::Skip("the conversation has no messages"),
            Kind::Conversation => Self::Add(contact),
            _ if is_unknown && !config.anonymous => {
                Self::Skip("there is neither an e-mail nor a phone; set `anonymous = true` to make a contact all the same")
            }
            _ => Self::Write(contact),
        })
    }
}

impl Contact {
    fn of(event: &Event, settings: &Settings) -> Result<Self, DeliveryError> {
        // Without what a person is found by, the lead would be a second contact, or none.
        let rendered = settings.fields.render(event).require(|name| matches!(name, "email" | "phone" | "mobilephone"))?;
        let time = settings.times.remark(event).filter(|_| event.kind == Kind::Appointment);
        let failed = rendered.remark().into_iter().chain(time).collect();
        let properties = Fields::new(rendered.fields);
        let session = event.session_id.clone().unwrap_or_else(|| event.id.to_string());
        let placeholder = properties.value("phone").map_or_else(|| format!("Chat visitor {session}"), str::to_owned);
        let visitor = leadwire_connector::session::visitor(event);
        // An event without a session is nobody else's.
        let value = || format!("leadwire-{}", visitor.clone().unwrap_or_else(|| event.id.simple().to_string()));
        let key = settings.config.person_key_property.as_ref().map(|name| (name.clone(), value()));
        Ok(Self { properties, create_only: settings.config.create_only.clone(), placeholder, visitor, key, lost_key: None, failed })
    }

    /// What its templates could not make of the event, in sentences.
    pub(crate) fn failed(&self) -> &[String] {
        &self.failed
    }

    /// Who had the chat session.
    pub(crate) fn visitor(&self) -> Option<&str> {
        self.visitor.as_deref()
    }

    /// The property with unique values and the visitor's key.
    pub(crate) fn key(&self) -> Option<(&str, &str)> {
        self.key.as_ref().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Another contact has the key. The e-mail says who this is, whoever else used the same chat session.
    pub(crate) fn drop_key(&mut self) {
        self.key = None;
    }

    /// Whether HubSpot refuses a second one by itself.
    pub(crate) fn is_unique(&self) -> bool {
        self.key.is_some() || matches!(self.identity(), Identity::Email(_))
    }

    /// E-mail first; an event whose phone belongs to somebody else is still this e-mail's.
    pub(crate) fn identity(&self) -> Identity<'_> {
        match self.email() {
            Some(email) => Identity::Email(email),
            None => self.phone().map_or(Identity::Nothing, Identity::Phone),
        }
    }

    pub(crate) fn email(&self) -> Option<&str> {
        self.properties.value("email")
    }

    /// What a contact without an e-mail is found by.
    pub(crate) fn phone(&self) -> Option<&str> {
        self.properties.value("phone").or_else(|| self.properties.value("mobilephone"))
    }

    /// Whether there is anything that says who this is.
    pub(crate) fn is_somebody(&self) -> bool {
        self.identity() != Identity::Nothing || self.has_name()
    }

    fn has_name(&self) -> bool {
        self.properties.value("firstname").or_else(|| self.properties.value("lastname")).is_some()
    }

    /// HubSpot wants at least one of e-mail, first and last name.
    pub(crate) fn for_create(&self) -> Vec<(&str, &str)> {
        let mut properties = self.properties.all();
        if !matches!(self.identity(), Identity::Email(_)) && !self.has_name() {
            properties.push(("lastname", &self.placeholder));
        }
        properties.extend(self.key());
        properties
    }

    /// The name of a new contact, to recognise it by when nothing better is known.
    pub(crate) fn name_for_create(&self) -> Vec<(&str, &str)> {
        self.for_create().into_iter().filter(|(name, _)| matches!(*name, "firstname" | "lastname")).collect()
    }

    /// Without the e-mail: the contact may have been found by a secondary one, which must not replace the primary.
    pub(crate) fn for_update(&self) -> Vec<(&str, &str)> {
        let is_kept = |name: &str| self.create_only.iter().any(|only| only == name) || self.properties.is_left_out_for(name, Why::Kept);
        self.properties.all().into_iter().filter(|(name, _)| *name != "email" && !is_kept(name)).collect()
    }

    /// Has an update leave these properties as they are, for the note to carry.
    pub(crate) fn keep<S: AsRef<str>>(&mut self, names: &[S]) {
        self.properties.note(names, Why::Kept);
    }

    /// The contact whose values were kept is gone.
    pub(crate) fn keep_nothing(&mut self) {
        self.properties.take_back(Why::Kept);
    }

    /// What HubSpot may have meant when it refused the data and named nothing.
    pub(crate) fn beside_core(&self) -> Vec<String> {
        let names = self.properties.all().into_iter().map(|(name, _)| name).filter(|name| !CORE.contains(name));
        names.chain(self.key().map(|(name, _)| name)).map(str::to_owned).collect()
    }

    /// Takes these properties away, for the note to carry. False when none of them is here.
    pub(crate) fn leave_out<S: AsRef<str>>(&mut self, names: &[S], why: Why) -> bool {
        let is_key = self.key().is_some_and(|(key, _)| names.iter().any(|name| name.as_ref() == key));
        if is_key {
            self.lost_key = self.key.take().map(|(key, _)| (key, why));
        }
        self.properties.leave_out(names, why) || is_key
    }

    /// Whether it is filled, or was until HubSpot refused it.
    pub(crate) fn knows(&self, name: &str) -> bool {
        let is_key = self.key().is_some_and(|(key, _)| key == name);
        is_key || self.properties.value(name).is_some() || Why::ALL.iter().any(|why| self.left_out_names(*why).contains(&name))
    }

    /// What the note carries, each with its reason; what the contact keeps comes last.
    pub(crate) fn left_out(&self) -> Vec<LeftOut<Why>> {
        let (kept, mut left_out): (Vec<_>, Vec<_>) = self.properties.left_out().iter().cloned().partition(|field| field.why == Why::Kept);
        left_out.extend(kept);
        left_out
    }

    pub(crate) fn left_out_names(&self, why: Why) -> Vec<&str> {
        let lost_key = self.lost_key.iter().filter(|(_, of)| *of == why).map(|(name, _)| name.as_str());
        self.properties.left_out_for(why).into_iter().chain(lost_key).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::config::tests::settings;
    pub(crate) use leadwire_connector::testing::lead as event;
    use leadwire_connector::testing::person;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    pub(crate) fn contact(changes: &Value, config: &Value) -> Contact {
        match Plan::of(&event(changes), &settings(config)).unwrap() {
            Plan::Write(contact) | Plan::Add(contact) => contact,
            Plan::Skip(reason) => panic!("{reason}"),
        }
    }

    fn skipped(changes: &Value, config: &Value) -> bool {
        matches!(Plan::of(&event(changes), &settings(config)).unwrap(), Plan::Skip(_))
    }

    #[test]
    fn a_new_contact_gets_everything_and_a_known_one_keeps_its_email_and_stage() {
        let person = person(Some("David"), Some("David@Acme.example"), Some("+14155550100"));
        let contact = contact(&json!({"person": person}), &json!({"fields": {"lifecyclestage": "lead", "company": "{{ extra.Company }}"}}));
        let create = [("email", "david@acme.example"), ("firstname", "David"), ("lifecyclestage", "lead"), ("phone", "+14155550100")];
        assert_eq!(contact.for_create(), create);
        assert_eq!(contact.for_update(), [("firstname", "David"), ("phone", "+14155550100")]);
        assert_eq!(contact.identity(), Identity::Email("david@acme.example"));
    }

    #[test]
    fn a_contact_with_a_phone_only_gets_a_name_that_hubspot_takes() {
        let person = json!({"person": {"first_name": null, "last_name": null, "email": null, "phone": "+14155550100"}});
        let contact = contact(&person, &json!({}));
        assert_eq!(contact.identity(), Identity::Phone("+14155550100"));
        assert_eq!(contact.for_create(), [("phone", "+14155550100"), ("lastname", "+14155550100")]);
        assert_eq!(contact.for_update(), [("phone", "+14155550100")]);
    }

    #[test]
    fn a_lead_of_nobody_is_skipped_unless_asked_for() {
        let nobody = json!({"person": {"first_name": null, "last_name": null, "email": null, "phone": null}});
        assert!(skipped(&nobody, &json!({})));
        let contact = contact(&nobody, &json!({"anonymous": true}));
        assert_eq!(contact.for_create(), [("lastname", "Chat visitor 31305")]);
        assert!(!contact.is_somebody());
    }

    #[test]
    fn kinds_without_a_place_in_hubspot_are_skipped() {
        assert!(skipped(&json!({"kind": "test"}), &json!({})));
        assert!(skipped(&json!({"kind": "unrecognized"}), &json!({})));
        let chat = json!({"kind": "conversation", "messages": [{"author": "user", "text": "Hi"}]});
        assert!(!skipped(&chat, &json!({})));
        assert!(skipped(&chat, &json!({"conversations": "skip"})));
        assert!(skipped(&json!({"kind": "conversation", "messages": []}), &json!({})));
    }

    #[test]
    fn a_conversation_without_a_person_is_found_by_its_session() {
        let nobody = json!({"first_name": null, "last_name": null, "email": null, "phone": null});
        let chat = json!({"kind": "conversation", "person": nobody, "messages": [{"author": "user", "text": "Hi"}]});
        assert!(contact(&chat, &json!({})).visitor().is_some());
        let mut without = chat.clone();
        without["session_id"] = Value::Null;
        assert!(skipped(&without, &json!({})));
    }

    #[test]
    fn a_key_is_the_same_for_every_event_of_a_session_and_written_once() {
        let config = json!({"person_key_property": "visitor"});
        let one = contact(&json!({}), &config);
        let (name, value) = one.for_create().pop().unwrap();
        assert_eq!((name, Some((name, value))), ("visitor", one.key()));
        assert_eq!(one.key(), contact(&json!({"id": "0199f3c2-0000-7000-8000-000000000002"}), &config).key());
        assert!(!one.for_update().iter().any(|(name, _)| *name == "visitor"));
        let anonymous = contact(&json!({"session_id": null}), &config);
        assert_eq!(anonymous.key().unwrap().1, "leadwire-0199f3c2000070008000000000000001");
    }

    #[test]
    fn a_template_that_fails_costs_its_property_unless_the_contact_is_found_by_it() {
        let event = event(&json!({"extra": {"Zip": "12-345"}}));
        let with = |name: &str| settings(&json!({"fields": {name: "{{ extra.Zip|int }}"}}));
        let Plan::Write(contact) = Plan::of(&event, &with("zip")).unwrap() else { panic!("the lead is skipped") };
        assert!(contact.for_create().iter().all(|(name, _)| *name != "zip"));
        assert!(contact.failed()[0].contains("`zip`"), "{:?}", contact.failed());
        assert!(Plan::of(&event, &with("email")).is_err());
    }

    #[test]
    fn a_left_out_email_makes_the_phone_the_identity() {
        let mut contact = contact(&json!({}), &json!({}));
        assert!(contact.leave_out(&["email", "nonsense"], Why::Refused));
        assert!(!contact.leave_out(&["email"], Why::Refused));
        assert_eq!(contact.identity(), Identity::Phone("+14155550100"));
        assert_eq!(contact.left_out_names(Why::Refused), ["email"]);
    }

    proptest! {
        #[test]
        fn nothing_empty_is_ever_sent(first in "[ a-z]{0,3}", last in "[ a-z]{0,3}", email in "[ a-z]{0,3}", phone in "[ 0-9]{0,3}") {
            let person = json!({"person": {"first_name": first, "last_name": last, "email": email, "phone": phone}});
            let contact = Contact::of(&event(&person), &settings(&json!({"fields": {"x": "{{ extra.No }}"}}))).unwrap();
            for (_, value) in contact.for_create().into_iter().chain(contact.for_update()) {
                prop_assert!(!value.trim().is_empty());
            }
            prop_assert!(contact.for_create().iter().any(|(name, _)| matches!(*name, "email" | "firstname" | "lastname")));
        }
    }
}
