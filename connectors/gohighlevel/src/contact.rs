//! Finding the contact of a person, and writing it, past the traps of the upsert.

use crate::client::Call;
use crate::compare::{missing, same_phone};
use crate::deliver::{CONTACT, HighLevel, done, wait_once};
use crate::map::{Contact, Found, Why};
use crate::verdict::{is_gone, written};
use leadwire_connector::refusal::Outcome;
use leadwire_connector::{DeliveryError, ErrorKind, Steps};
use serde_json::Value;

/// The step that keeps what was left out and why, so that a later attempt still notes the values.
const LEFT_OUT: &str = "left_out";
/// How often a contact is tried: each time without what was refused, or with another contact.
const ROUNDS: u32 = 4;

/// The contacts with a lead's e-mail and phone.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    by_email: Option<Found>,
    by_phone: Option<Found>,
}

impl Matches {
    /// E-mail first, whatever the location's own order is: so the same lead always means the same contact.
    fn chosen(&self) -> Option<&Found> {
        self.by_email.as_ref().or(self.by_phone.as_ref())
    }

    fn is_split(&self) -> bool {
        matches!((&self.by_email, &self.by_phone), (Some(one), Some(other)) if one.id != other.id)
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
        steps: &mut Steps<'_>,
    ) -> Result<Option<String>, DeliveryError> {
        if let Some(memory) = steps.get(LEFT_OUT) {
            contact.recall(memory);
        }
        if let Some(id) = done(steps, CONTACT) {
            return Ok(Some(id.to_owned()));
        }
        let found = if may_create { Some(self.write_contact(contact, steps).await?) } else { self.known(contact).await? };
        match &found {
            Some(id) => steps.keep(CONTACT, id).await?,
            // The lead may have come a moment ago.
            None => wait_once(steps, "GoHighLevel has no such contact yet").await?,
        }
        Ok(found)
    }

    /// The contact with this e-mail or phone, or with this chat session.
    async fn known(&self, contact: &Contact) -> Result<Option<String>, DeliveryError> {
        let matches = self.matches(contact).await?;
        match (matches.chosen(), &contact.session) {
            (Some(found), _) => Ok(Some(found.id.clone())),
            (None, Some((field, session))) => self.by_session(field, session).await,
            (None, None) => Ok(None),
        }
    }

    /// The oldest of the contacts with this session.
    async fn by_session(&self, field: &str, session: &str) -> Result<Option<String>, DeliveryError> {
        let body = self.api.send(&self.api.search(field, session)).await?.done()?;
        let contacts = body["contacts"].as_array().ok_or_else(|| unexpected("a search without a list of contacts", &body))?;
        let age = |contact: &Value| contact["dateAdded"].as_str().unwrap_or("9999").to_owned();
        let oldest = contacts.iter().filter_map(|contact| Found::of(contact).map(|found| (age(contact), found.id))).min();
        Ok(oldest.map(|(_, id)| id))
    }

    /// Asks for the phone only if the e-mail's contact does not have it.
    async fn matches(&self, contact: &Contact) -> Result<Matches, DeliveryError> {
        let by_email = match contact.email() {
            Some(email) => self.find("email", email).await?,
            None => None,
        };
        let has = |phone: &str| by_email.as_ref().and_then(|found| found.phone.as_deref()).is_some_and(|known| same_phone(known, phone));
        let by_phone = match contact.phone().filter(|phone| !has(phone)) {
            Some(phone) => self.find("number", phone).await?,
            None => None,
        };
        Ok(Matches { by_email, by_phone })
    }

    async fn find(&self, by: &str, value: &str) -> Result<Option<Found>, DeliveryError> {
        match self.api.send(&self.api.find(by, value)).await {
            Ok(Outcome::Done(body)) if body.get("contact").is_some() => Ok(Found::of(&body["contact"])),
            Ok(Outcome::Done(body)) => Err(unexpected("a look-up that says of no contact whether it is there", &body)),
            Ok(other) => other.done().map(|_| None),
            Err(error) if is_gone(&error) => Ok(None),
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
        let matches = self.matches(contact).await?;
        if matches.is_split() {
            contact.leave_out(&["phone"], &[], Why::Split);
        }
        let is_by_phone_alone = matches.by_email.is_none() && matches.by_phone.as_ref().is_some_and(|found| found.email.is_some());
        if is_by_phone_alone && contact.email().is_some() {
            contact.note_left_out(&["email".to_owned()], Why::Other);
        }
        Ok(matches.chosen().cloned())
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
        if !missing(&contact.only(sent), &body["contact"]).is_empty() {
            let there = self.api.send(&self.api.contact(&id)).await?.done()?;
            let dropped = missing(&contact.only(sent), &there["contact"]);
            contact.note_left_out(&dropped, Why::Dropped);
        }
        Ok(id)
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
                let found = Found::of(&body["contact"]);
                if error.code.as_deref() == Some("phone") && found.as_ref().is_some_and(|found| found.email.is_some()) {
                    contact.note_left_out(&["email".to_owned()], Why::Other);
                }
                Ok(Tried::Again(found, error))
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

async fn remember(contact: &Contact, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
    let memory = contact.memory();
    if memory.is_empty() || steps.get(LEFT_OUT) == Some(&memory) { Ok(()) } else { steps.keep(LEFT_OUT, &memory).await }
}

pub(crate) fn unexpected(what: &str, body: &Value) -> DeliveryError {
    DeliveryError::retry(ErrorKind::Unexpected, format!("GoHighLevel answered with success, but with {what}"))
        .with_excerpt(body.to_string().as_bytes())
}
