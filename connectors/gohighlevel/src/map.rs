//! From an event to a contact: pure.

use crate::config::Settings;
use crate::{compare, fields};
use leadwire_connector::fields::{Fields, LeftOut, Reason};
use leadwire_connector::note::Conversations;
use leadwire_connector::session::visitor;
use leadwire_connector::{DeliveryError, Event, Kind};
use serde_json::Value;

const NAMES: [&str; 3] = ["firstName", "lastName", "name"];

/// What to do with an event.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing, for this reason.
    Skip(&'static str),
    /// A contact that is made or updated, and what hangs on it.
    Write(Contact),
    /// Notes on a contact that must be there already.
    Add(Contact),
}

/// The fields of a contact, as the templates filled them.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    fields: Fields<Why>,
    create_only: Vec<String>,
    /// What its templates could not make of the event, in sentences.
    pub(crate) failed: Vec<String>,
    /// The custom field that keeps the chat session, and the session.
    pub(crate) session: Option<(String, String)>,
    /// Who had the chat session, as [`Sessions`](leadwire_connector::session::Sessions) know it.
    pub(crate) visitor: Option<String>,
    pub(crate) tags: Vec<String>,
}

/// Why a field was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// GoHighLevel refused it.
    Refused,
    /// GoHighLevel took it and kept nothing of it.
    Dropped,
    /// It is another contact's.
    Split,
    /// The contact has another one, which stays.
    Other,
    /// GoHighLevel refused the contact as a whole, and took it without this.
    Unnamed,
}

impl Why {
    fn letter(self) -> char {
        match self {
            Self::Refused => 'r',
            Self::Dropped => 'd',
            Self::Split => 's',
            Self::Other => 'o',
            Self::Unnamed => 'u',
        }
    }

    fn of(letter: &str) -> Self {
        Self::ALL.iter().copied().find(|why| letter.starts_with(why.letter())).unwrap_or(Self::Refused)
    }
}

impl Reason for Why {
    const ALL: &'static [Self] = &[Self::Refused, Self::Dropped, Self::Split, Self::Other, Self::Unnamed];

    fn note(self) -> &'static str {
        match self {
            Self::Refused => "not accepted as a field",
            Self::Dropped => "accepted as a field, but not kept",
            Self::Split => "belongs to another contact",
            Self::Other => "this contact has another one",
            Self::Unnamed => "not written, because GoHighLevel refused the contact without saying why",
        }
    }

    fn remark(self) -> &'static str {
        match self {
            Self::Refused => "GoHighLevel did not accept these fields",
            Self::Dropped => "GoHighLevel accepted these fields and did not keep them",
            Self::Split => "split identity: the e-mail and the phone are of two contacts; left out",
            Self::Other => "the contact has other values, which stay; left out",
            Self::Unnamed => "GoHighLevel refused the contact without naming a field, and took it without these",
        }
    }
}

/// The contact that was found for a lead, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
}

impl Found {
    /// `None` when there is no contact, or none with an id.
    pub(crate) fn of(contact: &Value) -> Option<Self> {
        let text = |name: &str| contact[name].as_str().map(str::to_owned).filter(|text| !text.trim().is_empty());
        let id = text("id").filter(|id| leadwire_connector::refusal::word(id).is_some())?;
        Some(Self { id, email: text("email"), phone: text("phone") })
    }
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
            return Ok(Self::Skip("GoHighLevel takes leads, appointments and conversations only"));
        }
        let contact = Contact::of(event, settings)?;
        Ok(match event.kind {
            Kind::Conversation if event.chat().is_none() => Self::Skip("the conversation has no messages"),
            Kind::Conversation if !contact.has_identity() && contact.visitor.is_none() => {
                Self::Skip("the conversation gives neither an e-mail, nor a phone, nor a chat session to find a contact by")
            }
            Kind::Conversation => Self::Add(contact),
            // GoHighLevel makes no contact without one of them (https://github.com/GoHighLevel/highlevel-api-docs/issues/37).
            _ if !contact.has_identity() => Self::Skip("there is neither an e-mail nor a phone, and GoHighLevel wants one of them"),
            _ => Self::Write(contact),
        })
    }
}

impl Contact {
    fn of(event: &Event, settings: &Settings) -> Result<Self, DeliveryError> {
        // Without what a person is found by, the lead would be a second contact, or none.
        let rendered = settings.fields.render(event).require(|name| matches!(name, "email" | "phone"))?;
        let mut failed: Vec<String> = rendered.remark().into_iter().collect();
        let mut fields = Fields::new(rendered.fields);
        let session = settings.config.session_field.clone().zip(event.session_id.clone());
        if let Some((field, session)) = &session {
            fields.add(field, session);
        }
        let tags = settings.tags.render(event);
        failed.extend(tags.remark().map(|told| format!("tags {told}")));
        if event.kind == Kind::Appointment {
            failed.extend(settings.appointment.render(event).remark().map(|told| format!("appointment: {told}")));
        }
        Ok(Self {
            failed,
            fields,
            create_only: settings.config.create_only.clone(),
            session,
            visitor: visitor(event),
            tags: tags.fields.into_iter().map(|(_, tag)| tag).collect(),
        })
    }

    pub(crate) fn email(&self) -> Option<&str> {
        self.value("email")
    }

    pub(crate) fn phone(&self) -> Option<&str> {
        self.value("phone")
    }

    pub(crate) fn has_identity(&self) -> bool {
        self.email().is_some() || self.phone().is_some()
    }

    /// How many of e-mail and phone there are.
    pub(crate) fn identities(&self) -> usize {
        self.email().into_iter().chain(self.phone()).count()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.fields.value(name)
    }

    pub(crate) fn for_create(&self) -> Vec<(&str, &str)> {
        self.fields.all()
    }

    /// Of these fields, those that the contact has.
    pub(crate) fn only(&self, names: &[String]) -> Vec<(&str, &str)> {
        self.for_create().into_iter().filter(|(name, _)| names.iter().any(|known| known == name)).collect()
    }

    /// What a known contact is updated with. Its e-mail stays, unless it has none.
    pub(crate) fn for_update(&self, has_email: bool) -> Vec<(&str, &str)> {
        self.for_create().into_iter().filter(|(name, _)| !(*name == "email" && has_email) && self.updates(name)).collect()
    }

    /// Whether this field of a known contact is written.
    pub(crate) fn updates(&self, name: &str) -> bool {
        !self.fields.is_left_out_for(name, Why::Other)
            && !self.create_only.iter().any(|only| only == name)
            && !fields::NEW_CONTACTS_ONLY.contains(&name)
    }

    /// Leaves to a contact, as GoHighLevel shows it, what it has already, if it looks like somebody else. Names are one thing: a last name
    /// is not put beside another person's first name.
    pub(crate) fn yield_to(&mut self, there: &Value) {
        self.yield_nothing();
        let differs = |name: &str| self.value(name).is_some_and(|value| clashes(name, value, there));
        let has_other_name = NAMES.into_iter().any(differs);
        if !has_other_name && !differs("email") {
            return;
        }
        let stays = |name: &str, value: &str| match name {
            "phone" => false,
            _ if NAMES.contains(&name) => has_other_name,
            _ if fields::is_standard(name) => clashes(name, value, there),
            _ => compare::may_replace_custom(name, value, there),
        };
        let names = self.fields.all().into_iter().filter(|(name, value)| self.updates(name) && stays(name, value));
        let names: Vec<String> = names.map(|(name, _)| name.to_owned()).collect();
        self.fields.note(&names, Why::Other);
    }

    /// Takes back what [`yield_to`](Self::yield_to) did, for the sake of another contact.
    pub(crate) fn yield_nothing(&mut self) {
        self.fields.take_back(Why::Other);
    }

    /// Takes these fields away, for the note to carry; names as GoHighLevel gives them, also paths into `customFields` of what was
    /// `sent`. False when none of them is here.
    pub(crate) fn leave_out<S: AsRef<str>>(&mut self, names: &[S], sent: &[String], why: Why) -> bool {
        let names: Vec<String> = names.iter().map(|name| resolve(name.as_ref(), sent)).collect();
        self.fields.leave_out(&names, why)
    }

    /// Notes a field that stays as it is, because the contact that was written has another value or lost this one.
    pub(crate) fn note_left_out(&mut self, names: &[String], why: Why) {
        self.fields.note(names, why);
    }

    /// Takes everything away that is not the name, e-mail or phone. False when nothing else is here.
    pub(crate) fn leave_out_extras(&mut self) -> bool {
        let names = self.fields.all().into_iter().map(|(name, _)| name);
        let extras: Vec<String> = names.filter(|name| !fields::is_core(name)).map(str::to_owned).collect();
        self.fields.leave_out(&extras, Why::Unnamed)
    }

    pub(crate) fn left_out(&self) -> &[LeftOut<Why>] {
        self.fields.left_out()
    }

    /// What the receipt says of it.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.fields.remarks()
    }

    /// What was left out, for a later attempt.
    pub(crate) fn memory(&self) -> String {
        self.left_out().iter().map(|field| format!("{}:{}", field.why.letter(), field.name)).collect::<Vec<_>>().join(",")
    }

    /// As an earlier attempt left it.
    pub(crate) fn recall(&mut self, memory: &str) {
        for (why, name) in memory.split(',').filter_map(|entry| entry.split_once(':')) {
            match Why::of(why) {
                why @ (Why::Dropped | Why::Other) => self.fields.note(&[name], why),
                why => drop(self.fields.leave_out(&[name], why)),
            }
        }
    }
}

/// Whether a contact has another value of a standard field.
fn clashes(name: &str, value: &str, there: &Value) -> bool {
    let other = there[name].as_str().map(str::trim).filter(|text| !text.is_empty());
    let other = other.or_else(|| (name == "name").then(|| there["contactName"].as_str()).flatten());
    other.is_some_and(|other| !compare::is_same_text(value, other))
}

/// `customFields.1.field_value` is the second custom field that was sent; a key may come back without the model before it.
fn resolve(name: &str, sent: &[String]) -> String {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    let custom = || sent.iter().filter(|name| !fields::is_standard(name));
    let by_index = (first == "customFields").then(|| parts.next()?.parse().ok().and_then(|index| custom().nth(index))).flatten();
    let by_key = || custom().find(|known| fields::key(known) == fields::key(name));
    let by_case = || fields::STANDARD.iter().find(|known| known.eq_ignore_ascii_case(name)).map(|known| (*known).to_owned());
    by_index.or_else(by_key).cloned().or_else(by_case).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::config::tests::settings;
    pub(crate) use leadwire_connector::testing::lead as event;
    use leadwire_connector::testing::person;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::LazyLock;

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
    fn a_template_that_fails_costs_its_field_unless_the_contact_is_found_by_it() {
        let event = event(&json!({"extra": {"Zip": "12-345"}}));
        let with = |name: &str| settings(&json!({"fields": {name: "{{ extra.Zip|int }}"}, "tags": ["{{ extra.Zip|int }}", "chat"]}));
        let Plan::Write(contact) = Plan::of(&event, &with("postalCode")).unwrap() else { panic!("the lead is skipped") };
        assert!(contact.for_create().iter().all(|(name, _)| *name != "postalCode"));
        assert_eq!((contact.tags.as_slice(), contact.failed.len()), (["chat".to_owned()].as_slice(), 2));
        assert!(Plan::of(&event, &with("email")).is_err());
    }

    #[test]
    fn a_new_contact_gets_everything_and_a_known_one_keeps_its_email_and_source() {
        let person = person(Some("David"), Some("David@Acme.example"), Some("+14155550100"));
        let contact = contact(&json!({"person": person}), &json!({"fields": {"gender": "male", "city": "{{ extra.No }}"}}));
        let create = [
            ("email", "david@acme.example"),
            ("firstName", "David"),
            ("gender", "male"),
            ("phone", "+14155550100"),
            ("source", "Website chat"),
        ];
        assert_eq!(contact.for_create(), create);
        assert_eq!(contact.for_update(true), [("firstName", "David"), ("phone", "+14155550100")]);
        assert_eq!(contact.for_update(false)[0], ("email", "david@acme.example"));
    }

    #[test]
    fn tags_keep_their_order_and_empty_ones_are_none() {
        let contact = contact(&json!({}), &json!({"tags": ["z {{ source }}", "{{ extra.No }}", "a"]}));
        assert_eq!(contact.tags, ["z acme", "a"]);
    }

    #[test]
    fn kinds_and_people_without_a_place_are_skipped() {
        let nobody = json!({"person": {"first_name": "A", "last_name": null, "email": null, "phone": null}});
        assert!(skipped(&nobody, &json!({})));
        assert!(!skipped(
            &nobody,
            &json!({"fields": {"email": "{{ person.email|default('chat-' ~ session_id ~ '@acme.example', true) }}"}})
        ));
        assert!(skipped(&json!({"kind": "test"}), &json!({})));
        assert!(skipped(&json!({"kind": "unrecognized"}), &json!({})));
        let chat = json!({"kind": "conversation", "messages": [{"author": "user", "text": "Hi"}]});
        assert!(!skipped(&chat, &json!({})));
        let unknown = json!({"kind": "conversation", "messages": chat["messages"], "person": {"email": null}, "session_id": null});
        assert!(skipped(&unknown, &json!({})));
        assert!(skipped(&chat, &json!({"conversations": "skip"})));
        assert!(skipped(&json!({"kind": "conversation", "messages": []}), &json!({})));
    }

    #[test]
    fn a_conversation_of_nobody_is_found_by_its_session() {
        let chat = json!({"kind": "conversation", "messages": [{"author": "user", "text": "Hi"}],
            "person": {"first_name": null, "last_name": null, "email": null, "phone": null}});
        assert!(contact(&chat, &json!({})).visitor.is_some());
        let found = contact(&chat, &json!({"session_field": "3sv6UEo51C9Bmpo1cKTq"}));
        assert_eq!(found.session, Some(("3sv6UEo51C9Bmpo1cKTq".to_owned(), "31305".to_owned())));
    }

    #[test]
    fn what_was_left_out_is_remembered_with_its_reason() {
        let config = json!({"fields": {"contact.size": "XL", "contact.color": "red"}});
        let mut first = contact(&json!({}), &config);
        let sent: Vec<String> = first.for_create().iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(first.leave_out(&["customFields.0.field_value"], &sent, Why::Refused));
        assert!(!first.leave_out(&["nonsense"], &sent, Why::Refused));
        assert_eq!(resolve("Email", &sent), "email");
        first.note_left_out(&["lastName".to_owned()], Why::Dropped);
        assert!(first.leave_out(&["phone"], &sent, Why::Split));
        let mut second = contact(&json!({}), &config);
        second.recall(&first.memory());
        assert_eq!((second.left_out(), second.for_create()), (first.left_out(), first.for_create()));
        assert_eq!(first.left_out()[0], LeftOut { name: "contact.color".to_owned(), value: "red".to_owned(), why: Why::Refused });
        assert_eq!(first.phone(), None);
    }

    #[test]
    fn in_the_last_resort_only_the_person_is_left() {
        let mut contact = contact(&json!({}), &json!({"fields": {"city": "Bonn"}}));
        assert!(contact.leave_out_extras() && !contact.leave_out_extras());
        assert_eq!(contact.for_create().len(), 4);
    }

    /// Templates are compiled once, and not for each case.
    static SETTINGS: LazyLock<Settings> = LazyLock::new(|| settings(&json!({})));

    proptest! {
        #[test]
        fn nothing_empty_is_ever_sent(first in "[ a-z]{0,3}", email in "[ a-z]{0,3}", phone in "[ 0-9]{0,3}", memory in "[a-z:,]{0,12}") {
            let person = json!({"person": {"first_name": first, "last_name": null, "email": email, "phone": phone}});
            let mut contact = Contact::of(&event(&person), &SETTINGS).unwrap();
            contact.recall(&memory);
            for (_, value) in contact.for_create().into_iter().chain(contact.for_update(true)) {
                prop_assert!(!value.trim().is_empty());
            }
        }
    }
}
