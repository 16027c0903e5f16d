//! Finding the contact of a person, and writing it, past the traps of the upsert.

use crate::client::Call;
use crate::compare::{Ids, has_value, ids, missing};
use crate::deliver::{CONTACT, HighLevel, SEARCH_LAG};
use crate::fields;
use crate::map::{Contact, Found, Why};
use crate::verdict::{is_gone, written};
use leadwire_connector::note::Conversations;
use leadwire_connector::refusal::Outcome;
use leadwire_connector::{DeliveryError, ErrorKind, Steps, phone};
use serde_json::Value;
use std::sync::{Arc, PoisonError};

/// The step that keeps what was left out and why, so that a later attempt still notes the values.
pub(crate) const LEFT_OUT: &str = "left_out";
/// How often a contact is tried: each time without what was refused, or with another contact.
const ROUNDS: u32 = 4;

/// The contacts with a lead's e-mail and phone.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    by_email: Option<Found>,
    by_phone: Option<Found>,
    /// What GoHighLevel does not even look for.
    refused: Vec<(&'static str, DeliveryError)>,
}

impl Matches {
    /// E-mail first, whatever the location's own order is: so the same lead always means the same contact.
    fn chosen(&self) -> Option<&Found> {
        self.by_email.as_ref().or(self.by_phone.as_ref())
    }

    fn is_split(&self) -> bool {
        matches!((&self.by_email, &self.by_phone), (Some(one), Some(other)) if one.id != other.id)
    }

    /// Nobody with the e-mail, and somebody with the phone.
    fn is_by_phone_alone(&self) -> bool {
        self.by_email.is_none() && self.by_phone.is_some()
    }
}

/// What became of one try to write a contact.
enum Tried {
    Written(String),
    /// To be tried once more, as this contact or as whatever is found. The error is for the case that it was the last try.
    Again(Option<Found>, DeliveryError),
}

impl HighLevel {
    /// The contact's id, from an earlier attempt or from GoHighLevel. `None` when it must be there already and is not.
    pub(crate) async fn contact(
        &self,
        contact: &mut Contact,
        may_create: bool,
        delivery: &str,
        steps: &mut Steps<'_>,
    ) -> Result<Option<String>, DeliveryError> {
        if let Some(memory) = steps.done(LEFT_OUT) {
            contact.recall(memory);
        }
        if let Some(id) = steps.done(CONTACT) {
            return Ok(Some(id.to_owned()));
        }
        let found = if may_create { Some(self.write_contact(contact, steps).await?) } else { self.known(contact).await? };
        if let (Some(id), Some(visitor), true) = (&found, &contact.visitor, may_create && self.takes_conversations()) {
            self.sessions.remember(visitor, id, delivery).await?;
        }
        match &found {
            Some(id) => steps.keep(CONTACT, id).await?,
            // The lead may have come a moment ago, and look-ups be behind; what is remembered of sessions is not.
            None if contact.has_identity() || contact.session.is_some() => {
                steps.wait_once("GoHighLevel has no such contact yet", SEARCH_LAG).await?;
            }
            None => {}
        }
        Ok(found)
    }

    /// The contact with this e-mail or phone, or with this chat session.
    async fn known(&self, contact: &Contact) -> Result<Option<String>, DeliveryError> {
        let mut matches = self.matches(contact).await?;
        if let Some(found) = matches.chosen() {
            return Ok(Some(found.id.clone()));
        }
        if let Some(visitor) = &contact.visitor
            && let Some(id) = self.sessions.contact_of(visitor).await?
        {
            return Ok(Some(id));
        }
        match &contact.session {
            Some((field, session)) => self.by_session(field, session).await,
            // Nobody was looked for, so that it is not known that there is nobody.
            None if contact.has_identity() && matches.refused.len() == contact.identities() => {
                matches.refused.pop().map_or(Ok(None), |(_, error)| Err(error))
            }
            None => Ok(None),
        }
    }

    pub(crate) fn takes_conversations(&self) -> bool {
        self.settings.config.conversations == Conversations::Note
    }

    /// The oldest of the contacts that show this session. The search's filters are not documented: should one be ignored, the answer
    /// holds everybody.
    async fn by_session(&self, field: &str, session: &str) -> Result<Option<String>, DeliveryError> {
        let body = self.api.send(&self.api.search(field, session)).await?.done()?;
        let contacts = body["contacts"].as_array().ok_or_else(|| unexpected("a search without a list of contacts", &body))?;
        let age = |contact: &Value| contact["dateAdded"].as_str().unwrap_or("9999").to_owned();
        let with_it = contacts.iter().filter(|contact| has_value(field, session, contact));
        let oldest = with_it.filter_map(|contact| Found::of(contact).map(|found| (age(contact), found.id))).min();
        Ok(oldest.map(|(_, id)| id))
    }

    /// Asks for the phone only if the e-mail's contact does not have it.
    async fn matches(&self, contact: &Contact) -> Result<Matches, DeliveryError> {
        let mut refused = Vec::new();
        let by_email = match contact.email() {
            Some(email) => self.find("email", email).await?.unwrap_or_else(|error| {
                refused.push(("email", error));
                None
            }),
            None => None,
        };
        let has = |ours: &str| by_email.as_ref().and_then(|found| found.phone.as_deref()).is_some_and(|known| phone::is_same(known, ours));
        let by_phone = match contact.phone().filter(|phone| !has(phone)) {
            Some(phone) => self.find("number", phone).await?.unwrap_or_else(|error| {
                refused.push(("phone", error));
                None
            }),
            None => None,
        };
        Ok(Matches { by_email, by_phone, refused })
    }

    /// The inner error says that GoHighLevel refused the value, such as a phone that is none.
    async fn find(&self, by: &str, value: &str) -> Result<Result<Option<Found>, DeliveryError>, DeliveryError> {
        match self.api.send(&self.api.find(by, value)).await {
            Ok(Outcome::Done(body)) if body.get("contact").is_some() => Ok(Ok(Found::of(&body["contact"]))),
            Ok(Outcome::Done(body)) => Err(unexpected("a look-up that says of no contact whether it is there", &body)),
            Ok(Outcome::Conflict { error, .. } | Outcome::Invalid { error, .. }) => Ok(Err(error)),
            Err(error) if is_gone(&error) => Ok(Ok(None)),
            Err(error) => Err(error),
        }
    }

    async fn write_contact(&self, contact: &mut Contact, steps: &mut Steps<'_>) -> Result<String, DeliveryError> {
        let mut forced = None;
        let mut round = 1;
        loop {
            let target = match forced.take() {
                Some(found) => Some(found),
                None => self.target(contact).await?,
            };
            keep_phone(contact, target.as_ref());
            let tried = self.try_contact(contact, target).await;
            remember(contact, steps).await?;
            match tried? {
                Tried::Written(id) => return Ok(id),
                Tried::Again(_, error) if round == ROUNDS => return Err(error),
                Tried::Again(next, _) => forced = next,
            }
            round += 1;
        }
    }

    /// The contact to update, with what is another contact's taken out of the lead.
    async fn target(&self, contact: &mut Contact) -> Result<Option<Found>, DeliveryError> {
        let mut matches = self.matches(contact).await?;
        for (name, error) in std::mem::take(&mut matches.refused) {
            contact.leave_out(&[name], &[], Why::Refused);
            if !contact.has_identity() {
                return Err(error);
            }
        }
        if matches.is_split() {
            contact.leave_out(&["phone"], &[], Why::Split);
        }
        contact.yield_nothing();
        match matches.chosen() {
            Some(found) if matches.is_by_phone_alone() => self.target_by_phone(contact, &found.id).await,
            found => Ok(found.cloned()),
        }
    }

    /// A phone may be a family's or an office's: what its contact has already is not this lead's to change, unless it is the same person.
    async fn target_by_phone(&self, contact: &mut Contact, id: &str) -> Result<Option<Found>, DeliveryError> {
        match self.api.send(&self.api.contact(id)).await.and_then(Outcome::done) {
            Ok(body) => {
                contact.yield_to(&body["contact"]);
                Ok(Found::of(&body["contact"]))
            }
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn try_contact(&self, contact: &mut Contact, target: Option<Found>) -> Result<Tried, DeliveryError> {
        let (call, sent) = self.write_call(contact, target.as_ref());
        if let (Some(found), true) = (&target, sent.is_empty()) {
            return Ok(Tried::Written(found.id.clone()));
        }
        match self.api.send(&call).await {
            Ok(Outcome::Done(body)) => self.settled(contact, &body, &sent).await.map(Tried::Written),
            Ok(Outcome::Conflict { existing_id, error }) => self.conflict(contact, target.as_ref(), existing_id, error).await,
            Ok(Outcome::Invalid { fields, error }) => self.refused(contact, target.as_ref(), &fields, &sent, error).await,
            // It was deleted since it was found.
            Err(error) if is_gone(&error) && target.is_some() => Ok(Tried::Again(None, error)),
            Err(error) => Err(error),
        }
    }

    /// An upsert for a new contact, a `PUT` for a known one: the upsert of a contact with the address as its secondary e-mail would make
    /// it the primary one, and lose the other (<https://github.com/GoHighLevel/highlevel-api-docs/issues/337>).
    fn write_call(&self, contact: &Contact, target: Option<&Found>) -> (Call, Vec<String>) {
        let fields = target.map_or_else(|| contact.for_create(), |found| contact.for_update(found.email.is_some()));
        let call = target.map_or_else(|| self.api.upsert(&fields), |found| self.api.update(&found.id, &fields));
        (call, fields.into_iter().map(|(name, _)| name.to_owned()).collect())
    }

    /// Compares what was sent with what the answer shows; in doubt, with the contact itself.
    async fn settled(&self, contact: &mut Contact, body: &Value, sent: &[String]) -> Result<String, DeliveryError> {
        let id = written(body, "contact")?;
        let ids = self.ids(sent).await?;
        if !missing(&contact.only(sent), &body["contact"], ids.as_deref()).is_empty() {
            let there = self.api.send(&self.api.contact(&id)).await?.done()?;
            let dropped = missing(&contact.only(sent), &there["contact"], ids.as_deref());
            contact.note_left_out(&dropped, Why::Dropped);
        }
        Ok(id)
    }

    /// The ids of the custom fields, when some of these names are keys; contacts show ids only. `None` when the token may not read them.
    async fn ids(&self, names: &[String]) -> Result<Option<Arc<Ids>>, DeliveryError> {
        let keys: Vec<&str> = names.iter().filter(|name| fields::is_key(name)).map(|name| fields::key(name)).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let known = self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| keys.iter().all(|key| known.contains_key(*key))) {
            return Ok(Some(known));
        }
        match self.api.send(&self.api.custom_fields()).await.and_then(Outcome::done) {
            Ok(body) => {
                let known = Arc::new(ids(&body));
                *self.ids.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
                Ok(Some(known))
            }
            Err(error) if matches!(error.kind, ErrorKind::Credentials | ErrorKind::Data) || is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn conflict(
        &self,
        contact: &mut Contact,
        target: Option<&Found>,
        existing: Option<String>,
        error: DeliveryError,
    ) -> Result<Tried, DeliveryError> {
        match (target, existing) {
            // The contact keeps its own; what is another contact's goes into the note.
            (Some(_), _) => {
                let field = if error.code.as_deref() == Some("email") { "email" } else { "phone" };
                if contact.leave_out(&[field], &[], Why::Split) { Ok(Tried::Again(target.cloned(), error)) } else { Err(error) }
            }
            (None, Some(id)) => {
                let body = self.api.send(&self.api.contact(&id)).await?.done()?;
                if error.code.as_deref() == Some("phone") {
                    contact.yield_to(&body["contact"]);
                }
                Ok(Tried::Again(Found::of(&body["contact"]), error))
            }
            (None, None) => Ok(Tried::Again(None, error)),
        }
    }

    /// A 422 may have made the contact all the same (<https://github.com/GoHighLevel/highlevel-api-docs/issues/64>), so that it is looked
    /// for again before the next try.
    async fn refused(
        &self,
        contact: &mut Contact,
        target: Option<&Found>,
        fields: &[String],
        sent: &[String],
        error: DeliveryError,
    ) -> Result<Tried, DeliveryError> {
        let before = contact.clone();
        let left = contact.leave_out(fields, sent, Why::Refused) || contact.leave_out_extras();
        if left && contact.has_identity() {
            return Ok(Tried::Again(None, error));
        }
        match (target, self.matches(&before).await?.chosen()) {
            (None, Some(made)) => {
                *contact = before;
                Ok(Tried::Written(made.id.clone()))
            }
            _ => Err(error),
        }
    }
}

/// Whoever knows somebody's e-mail may type it into a chat: the phone that a contact has stays, and the note has the lead's.
fn keep_phone(contact: &mut Contact, target: Option<&Found>) {
    let known = target.and_then(|found| found.phone.as_deref());
    if known.is_some_and(|known| contact.phone().is_some_and(|ours| !phone::is_same(ours, known))) {
        contact.note_left_out(&["phone".to_owned()], Why::Other);
    }
}

async fn remember(contact: &Contact, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
    let memory = contact.memory();
    if memory.is_empty() || steps.get(LEFT_OUT) == Some(&memory) { Ok(()) } else { steps.keep(LEFT_OUT, &memory).await }
}

pub(crate) fn unexpected(what: &str, body: &Value) -> DeliveryError {
    DeliveryError::retry(ErrorKind::Unexpected, format!("GoHighLevel answered with success, but with {what}"))
        .with_excerpt(body.to_string().as_bytes())
}
