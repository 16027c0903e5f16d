//! The contact of an event: found, made or updated, once.

use crate::activity::{results, without_errors};
use crate::deliver::{CONTACT, HubSpot, SEARCH_LAG};
use crate::known::{Known, LOOKED_AT};
use crate::map::{Contact, Identity, Why};
use crate::verdict::{Outcome, id, is_gone, of_no_record, written};
use leadwire_connector::http::Request;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::session::caller;
use leadwire_connector::{DeliveryError, ErrorKind, Event, Steps, Verdict};
use serde_json::{Value, json};
use std::time::Duration;

/// How often a contact is tried: each time without the properties that were refused, or without an id that was stale.
const ROUNDS: u32 = 4;
/// What tells whether a contact is known by its name alone.
pub(crate) const BY_NAME_ALONE: [&str; 5] = ["firstname", "lastname", "email", "phone", "mobilephone"];
/// Clocks may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

impl HubSpot {
    /// The contact of a lead or an appointment, made or updated. Its id.
    pub(crate) async fn write_contact(&self, contact: &mut Contact, event: &Event, steps: &mut Steps<'_>) -> Result<String, DeliveryError> {
        // What this attempt itself sends is answered before it goes on; only an earlier one may have left something unknown.
        let may_be_there = steps.is_announced(CONTACT);
        let result = self.write_in_rounds(contact, event, may_be_there, steps).await;
        // A refusal says that this attempt made nothing, and nothing of an earlier one. What is unique may have been sent twice at once.
        if let Err(error) = &result
            && is_refusal(error)
            && !may_be_there
            && !contact.is_unique()
        {
            steps.withdraw(CONTACT).await?;
        }
        result
    }

    async fn write_in_rounds(
        &self,
        contact: &mut Contact,
        event: &Event,
        may_be_there: bool,
        steps: &mut Steps<'_>,
    ) -> Result<String, DeliveryError> {
        let mut round = 1;
        loop {
            let error = match self.upsert(contact, event, may_be_there, steps).await {
                Ok(Outcome::Done(body)) => return written(&body),
                Ok(Outcome::Invalid { properties, error }) => {
                    let why = if properties.is_empty() { Why::Unnamed } else { Why::Refused };
                    self.leave_out(contact, properties, why, error.clone())?;
                    steps.keep(why.step(), &contact.left_out_names(why).join(",")).await?;
                    error
                }
                Ok(Outcome::Conflict { property, error, .. }) => {
                    drop_taken_key(contact, property.as_deref(), error.clone())?;
                    error
                }
                // The id in HubSpot's answer was out of date already.
                Err(error) if is_gone(&error) => {
                    self.forget(contact, steps).await?;
                    error
                }
                Err(error) => return Err(error),
            };
            if round == ROUNDS {
                return Err(error);
            }
            round += 1;
        }
    }

    /// # Errors
    /// `error`, when the lead cannot do without what HubSpot refuses.
    fn leave_out(&self, contact: &mut Contact, named: Vec<String>, why: Why, error: DeliveryError) -> Result<(), DeliveryError> {
        let properties = if why == Why::Unnamed { contact.beside_core() } else { named };
        let missing: Vec<&str> = properties.iter().map(String::as_str).filter(|name| !contact.knows(name)).collect();
        if !missing.is_empty() {
            let message = format!(
                "{}; HubSpot wants {}, which this delivery does not fill: add it to `fields`, with a default for leads that do not give \
                 it, or have an administrator of HubSpot no longer require it, then replay",
                error.message,
                missing.join(", ")
            );
            return Err(DeliveryError { message, ..error });
        }
        let left = contact.leave_out(&properties, why);
        if left && (contact.is_somebody() || self.settings.config.anonymous) { Ok(()) } else { Err(error) }
    }

    async fn upsert(
        &self,
        contact: &mut Contact,
        event: &Event,
        may_be_there: bool,
        steps: &mut Steps<'_>,
    ) -> Result<Outcome, DeliveryError> {
        if let Some(id) = self.find_twin(contact, event, may_be_there).await? {
            return match self.update(&id, contact, steps).await? {
                // The e-mail, which this contact was to get, is another one's.
                Outcome::Conflict { existing, property, error } => {
                    keep_nothing(contact, steps).await?;
                    self.settle(contact, existing, property, error, steps).await
                }
                outcome => Ok(outcome),
            };
        }
        if !contact.is_unique() && may_be_there {
            steps.wait_once("an earlier attempt may have made the contact, and HubSpot's search does not show it yet", SEARCH_LAG).await?;
        }
        if !matches!(contact.identity(), Identity::Email(_)) {
            steps.announce(CONTACT).await?;
        }
        let create = self.api.create_contact(&contact.for_create(), contact.is_unique());
        match self.api.send(&create).await.map_err(of_no_record) {
            Ok(Outcome::Conflict { existing, property, error }) => self.settle(contact, existing, property, error, steps).await,
            // Only search can tell whether the contact was made, and it lags behind.
            Err(error) if error.is_ambiguous() && !contact.is_unique() => {
                Err(DeliveryError { verdict: Verdict::Retry { after: Some(SEARCH_LAG) }, ..error })
            }
            other => other,
        }
    }

    /// The contact that is in the way is the one to update, unless it only had the same chat session and this one has an e-mail.
    async fn settle(
        &self,
        contact: &mut Contact,
        existing: Option<String>,
        property: Option<String>,
        error: DeliveryError,
        steps: &mut Steps<'_>,
    ) -> Result<Outcome, DeliveryError> {
        let is_key = property.as_deref().is_some_and(|property| contact.key().is_some_and(|(name, _)| name == property));
        if is_key && matches!(contact.identity(), Identity::Email(_)) {
            return Ok(Outcome::Conflict { existing, property, error });
        }
        let updated = match existing {
            Some(id) => self.update(&id, contact, steps).await,
            None => Err(error.clone()),
        };
        match updated {
            Err(failed) if failed == error || is_gone(&failed) => match self.find(contact).await? {
                Some(id) => self.update(&id, contact, steps).await,
                None if failed == error => Err(nobody_found(error)),
                None => Err(failed),
            },
            other => other,
        }
    }

    /// HubSpot keeps contacts unique by e-mail; those without one must be looked for before they are made.
    async fn find_twin(&self, contact: &Contact, event: &Event, may_be_there: bool) -> Result<Option<String>, DeliveryError> {
        match (contact.identity(), contact.key()) {
            (Identity::Email(_), _) => match contact.phone() {
                Some(phone) => self.find_before_email(contact, phone).await,
                None => Ok(None),
            },
            (Identity::Nothing, Some(_)) => Ok(None),
            (Identity::Phone(_), _) => self.find(contact).await,
            (Identity::Nothing, None) if may_be_there => {
                let since = event.received_at.checked_sub(CLOCK_SKEW).unwrap_or(event.received_at);
                self.find_by_name(since, &contact.name_for_create()).await
            }
            (Identity::Nothing, None) => Ok(None),
        }
    }

    /// The contact of somebody who gave a phone only, before, and now an e-mail as well. Whose the phone's contact is must be beyond doubt:
    /// it gets the e-mail.
    async fn find_before_email(&self, contact: &Contact, phone: &str) -> Result<Option<String>, DeliveryError> {
        let found = match self.phones.contact_of(&caller(phone)).await? {
            Some(id) => match self.api.send(&self.api.contact_with(&id, &LOOKED_AT)).await.and_then(Outcome::done) {
                Err(error) if is_gone(&error) => Vec::new(),
                read => vec![read?],
            },
            None => self.search_phone(phone).await?,
        };
        Ok(oldest(found.iter().filter(|found| Known(&found["properties"]).is_theirs(contact))))
    }

    /// The contact that an earlier attempt made of a name alone: the only one since then that has this very name and nothing else to
    /// tell people by. Others of the same name are strangers; of two like it, nobody knows which it is.
    async fn find_by_name(&self, since: Timestamp, name: &[(&str, &str)]) -> Result<Option<String>, DeliveryError> {
        let body = self.api.send(&self.api.contacts_made_since(since, name)).await.map_err(of_no_record)?.done()?;
        let found = listed(&body)?;
        let is_whole = body["total"].as_u64().is_none_or(|total| u64::try_from(found.len()).is_ok_and(|shown| total <= shown));
        let mut like_it = found.iter().filter(|found| has_only_name(&found["properties"], name)).filter_map(|found| id(&found["id"]));
        let (first, second) = (like_it.next(), like_it.next());
        Ok(first.filter(|_| second.is_none() && is_whole))
    }

    /// By e-mail, else by phone, else by the visitor's key.
    async fn find(&self, contact: &Contact) -> Result<Option<String>, DeliveryError> {
        match (contact.identity(), contact.key()) {
            (Identity::Email(email), _) => self.contact_by("email", email).await,
            (Identity::Phone(phone), _) => match self.phones.contact_of(&caller(phone)).await? {
                Some(id) => Ok(Some(id)),
                None => self.search_phone(phone).await.map(|found| oldest(found.iter())),
            },
            (Identity::Nothing, Some((property, key))) => self.contact_by(property, key).await,
            (Identity::Nothing, None) => Ok(None),
        }
    }

    async fn contact_by(&self, property: &str, value: &str) -> Result<Option<String>, DeliveryError> {
        found(self.api.send(&self.api.contact_by(property, value)).await)
    }

    /// The contact that a conversation belongs to: by e-mail or phone, else by its chat session.
    ///
    /// # Errors
    /// Also one to be tried again, once, since the lead may have come a moment ago.
    pub(crate) async fn find_person(&self, contact: &Contact, steps: &mut Steps<'_>) -> Result<Option<String>, DeliveryError> {
        let is_known = contact.identity() != Identity::Nothing;
        let by_identity = if is_known { self.find(contact).await? } else { None };
        let found = match (by_identity, contact.visitor()) {
            (None, Some(visitor)) => self.of_session(visitor, contact).await?,
            (found, _) => found,
        };
        if found.is_none() && is_known {
            steps.wait_once("HubSpot has no contact with this e-mail or phone yet", SEARCH_LAG).await?;
        }
        Ok(found)
    }

    async fn of_session(&self, visitor: &str, contact: &Contact) -> Result<Option<String>, DeliveryError> {
        if let Some(known) = self.sessions.contact_of(visitor).await? {
            match found(self.api.send(&self.api.contact(&known)).await)? {
                Some(id) => return Ok(Some(id)),
                None => self.sessions.forget(visitor).await?,
            }
        }
        match contact.key() {
            Some((property, key)) => self.search(&self.api.contacts_with(property, key)).await,
            None => Ok(None),
        }
    }

    /// The id that a contact has by now: a merge gives it another one
    /// (<https://developers.hubspot.com/changelog/updated-merge-functionality-for-contacts-and-companies>).
    ///
    /// # Errors
    /// One that [`is_gone`], when it was archived.
    pub(crate) async fn current_id(&self, id: &str, steps: &mut Steps<'_>) -> Result<String, DeliveryError> {
        let current = written(&self.api.send(&self.api.contact(id)).await?.done()?)?;
        if current != id {
            steps.keep(CONTACT, &current).await?;
        }
        Ok(current)
    }

    /// The oldest of the contacts found.
    async fn search(&self, request: &Request) -> Result<Option<String>, DeliveryError> {
        let body = self.api.send(request).await.map_err(of_no_record)?.done()?;
        listed(&body).map(|found| oldest(found.iter()))
    }

    /// The contacts with this phone, however it is written there.
    async fn search_phone(&self, phone: &str) -> Result<Vec<Value>, DeliveryError> {
        let body = match self.api.send(&self.api.contacts_by_phone(phone)).await.map_err(of_no_record)? {
            // The properties that HubSpot makes of phones are hardly documented: an account without them is searched as it can be.
            Outcome::Invalid { .. } => self.api.send(&self.api.contacts_by_exact_phone(phone)).await.map_err(of_no_record)?.done()?,
            outcome => outcome.done()?,
        };
        let found = listed(&body)?.iter().filter(|found| Known(&found["properties"]).has_phone(phone));
        Ok(found.cloned().collect())
    }

    /// Writes what does not take anything from the contact that may not be the lead's to take.
    async fn update(&self, id: &str, contact: &mut Contact, steps: &mut Steps<'_>) -> Result<Outcome, DeliveryError> {
        if contact.for_update().is_empty() {
            return Ok(Outcome::Done(json!({"id": id})));
        }
        let known = self.api.send(&self.read_request(id, contact)).await?.done()?;
        // A merge may have given it another id.
        let id = written(&known)?;
        let kept = Known(&known["properties"]).kept_from(contact);
        if !kept.is_empty() {
            contact.keep(&kept);
            steps.keep(Why::Kept.step(), &contact.left_out_names(Why::Kept).join(",")).await?;
        }
        let mut properties = contact.for_update();
        if Known(&known["properties"]).is_without_email() {
            properties.extend(contact.email().map(|email| ("email", email)));
        }
        if properties.is_empty() {
            return Ok(Outcome::Done(json!({"id": id})));
        }
        self.api.send(&self.api.update_contact(&id, &properties)).await
    }

    pub(crate) fn read_request(&self, id: &str, contact: &Contact) -> Request {
        let more = contact.for_update().into_iter().map(|(name, _)| name).filter(|name| !LOOKED_AT.contains(name));
        self.api.contact_with(id, &LOOKED_AT.into_iter().chain(more).collect::<Vec<_>>())
    }

    /// That contact is gone.
    pub(crate) async fn forget(&self, contact: &mut Contact, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
        keep_nothing(contact, steps).await?;
        if let Some(phone) = contact.phone() {
            self.phones.forget(&caller(phone)).await?;
        }
        match contact.visitor() {
            Some(visitor) => self.sessions.forget(visitor).await,
            None => Ok(()),
        }
    }
}

/// It is another contact's values that count.
async fn keep_nothing(contact: &mut Contact, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
    if contact.left_out_names(Why::Kept).is_empty() {
        return Ok(());
    }
    contact.keep_nothing();
    steps.keep(Why::Kept.step(), "").await
}

/// Somebody is in the way, and cannot be found: HubSpot contradicts itself, as it does while a contact is being made, merged or archived.
fn nobody_found(error: DeliveryError) -> DeliveryError {
    let message = format!("{}, which is not to be found; this is tried again", error.message);
    DeliveryError { kind: ErrorKind::Unexpected, verdict: Verdict::Retry { after: Some(SEARCH_LAG) }, message, ..error }
}

/// # Errors
/// `error`, when it was not the key that is taken.
fn drop_taken_key(contact: &mut Contact, property: Option<&str>, error: DeliveryError) -> Result<(), DeliveryError> {
    match (property, contact.key()) {
        (Some(property), Some((name, _))) if property == name => {
            contact.drop_key();
            Ok(())
        }
        _ => Err(error),
    }
}

/// The first that was made: HubSpot counts upwards.
fn oldest<'a>(found: impl Iterator<Item = &'a Value>) -> Option<String> {
    found.filter_map(|contact| id(&contact["id"])).min_by_key(|id| (id.len(), id.clone()))
}

/// What a search found.
fn listed(body: &Value) -> Result<&Vec<Value>, DeliveryError> {
    without_errors(body, |_| false)?;
    results(body)
}

/// Whether a contact has exactly this name, and neither an e-mail nor a phone.
fn has_only_name(properties: &Value, name: &[(&str, &str)]) -> bool {
    BY_NAME_ALONE.iter().all(|property| {
        let wanted = name.iter().find(|(known, _)| known == property).map_or("", |(_, value)| value.trim());
        properties[*property].as_str().unwrap_or_default().trim() == wanted
    })
}

/// Whether HubSpot certainly did not take what was sent.
fn is_refusal(error: &DeliveryError) -> bool {
    error.kind == ErrorKind::Unreachable || error.status.is_some_and(|status| (400..500).contains(&status) && status != 408)
}

fn found(outcome: Result<Outcome, DeliveryError>) -> Result<Option<String>, DeliveryError> {
    match outcome {
        Err(error) if is_gone(&error) => Ok(None),
        outcome => written(&outcome?.done()?).map(Some),
    }
}
