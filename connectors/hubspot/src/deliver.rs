//! The way of a delivery: the contact, then its notes.

use crate::client::Api;
use crate::config::Settings;
use crate::map::{Contact, Identity, Plan};
use crate::note::{self, Page, Pages};
use crate::recent::Recent;
use crate::verdict::{Outcome, id, is_gone, written};
use async_trait::async_trait;
use leadwire_connector::http::Request;
use leadwire_connector::{
    Connector, Delivery, DeliveryError, ErrorKind, Event, Kind, PreviewRequest, Receipt, Record, Report, Steps, Verdict,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The step that keeps the contact's id; empty once that contact turned out to be gone.
const CONTACT: &str = "contact";
/// The step that keeps the names of the properties that were left out, so that a later attempt still notes their values.
const LEFT_OUT: &str = "left_out";
/// The step that an attempt keeps which waits for the search to follow.
const WAITED: &str = "waited";
/// How often a contact is tried: each time without the properties that were refused, or without an id that was stale.
const ROUNDS: u32 = 3;
/// Search follows the writes after "a few moments".
const SEARCH_LAG: Duration = Duration::from_secs(15);
/// Clocks may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
const NOTES_AT_ONCE: usize = 20;
/// Read back at most so many of a contact's notes, newest first.
const NOTES_READ_BACK: usize = 500;
/// Of the list of a contact's notes; 10,000 notes.
const MAX_PAGES: usize = 20;

/// The connector.
pub(crate) struct HubSpot {
    pub(crate) api: Api,
    pub(crate) settings: Settings,
    pub(crate) recent: Recent,
}

#[async_trait]
impl Connector for HubSpot {
    async fn deliver(&self, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        let (mut contact, may_create) = match Plan::of(&delivery.event, &self.settings)? {
            Plan::Skip(reason) => return Ok(Receipt::skipped(reason)),
            Plan::Write(contact) => (contact, true),
            Plan::Add(contact) => (contact, false),
        };
        if let Some(names) = steps.get(LEFT_OUT) {
            contact.leave_out(&names.split(',').collect::<Vec<_>>());
        }
        match self.relay(&mut contact, may_create, delivery, steps).await {
            // The contact was archived between two steps, or since an earlier attempt: once more with another one.
            Err(error) if is_gone(&error) && steps.get(CONTACT).is_some_and(|id| !id.is_empty()) => {
                steps.keep(CONTACT, "").await?;
                self.forget(&contact);
                self.relay(&mut contact, may_create, delivery, steps).await
            }
            result => result,
        }
    }

    async fn check(&self) -> Report {
        crate::check::check(&self.api, &self.settings).await
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let requests = match Plan::of(event, &self.settings)? {
            Plan::Skip(_) => Vec::new(),
            Plan::Write(contact) => self.preview_of(event, &contact, Some(self.api.create_contact(&contact.for_create()))),
            Plan::Add(contact) => self.preview_of(event, &contact, None),
        };
        Ok(requests.iter().map(Request::preview).collect())
    }
}

impl HubSpot {
    async fn relay(
        &self,
        contact: &mut Contact,
        may_create: bool,
        delivery: &Delivery,
        steps: &mut Steps<'_>,
    ) -> Result<Receipt, DeliveryError> {
        let Some(id) = self.contact(contact, may_create, &delivery.event, steps).await? else {
            return Ok(Receipt::skipped("HubSpot has no contact with this e-mail or phone"));
        };
        let notes = self.notes_for(&delivery.event, contact, &delivery.id);
        for page in &notes.pages {
            if steps.get(&page.step).is_none() {
                let note = self.note(&id, page, &delivery.event, steps).await?;
                steps.keep(&page.step, &note).await?;
            }
        }
        Ok(self.receipt(id, contact, notes.cut))
    }

    /// The contact's id, from an earlier attempt or from HubSpot. `None` when it must be there already and is not.
    async fn contact(
        &self,
        contact: &mut Contact,
        may_create: bool,
        event: &Event,
        steps: &mut Steps<'_>,
    ) -> Result<Option<String>, DeliveryError> {
        if let Some(id) = steps.get(CONTACT).filter(|id| !id.is_empty()) {
            return Ok(Some(id.to_owned()));
        }
        let found = if may_create { Some(self.write_contact(contact, event, steps).await?) } else { self.find(contact).await? };
        // Before the step is kept, which may fail.
        if let (Some(id), Some(phone)) = (&found, contact.phone()) {
            self.recent.remember(phone, id, Instant::now());
        }
        match &found {
            Some(id) => steps.keep(CONTACT, id).await?,
            // The lead may have come a moment ago.
            None => wait_once(steps, "HubSpot has no contact with this e-mail or phone yet").await?,
        }
        Ok(found)
    }

    fn forget(&self, contact: &Contact) {
        if let Some(phone) = contact.phone() {
            self.recent.forget(phone);
        }
    }

    async fn write_contact(&self, contact: &mut Contact, event: &Event, steps: &mut Steps<'_>) -> Result<String, DeliveryError> {
        // What this attempt itself sends is answered before it goes on; only an earlier one may have left something unknown.
        let may_be_there = steps.is_announced(CONTACT);
        let mut round = 1;
        loop {
            let error = match self.upsert(contact, event, may_be_there, steps).await {
                Ok(Outcome::Done(body)) => return written(&body),
                Ok(Outcome::Invalid { properties, error }) => {
                    self.leave_out(contact, &properties, error.clone())?;
                    steps.keep(LEFT_OUT, &contact.left_out_names().join(",")).await?;
                    error
                }
                // The id in HubSpot's answer was out of date already.
                Err(error) if is_gone(&error) => {
                    self.forget(contact);
                    error
                }
                Ok(Outcome::Conflict { error, .. }) | Err(error) => return Err(error),
            };
            if round == ROUNDS {
                return Err(error);
            }
            round += 1;
        }
    }

    /// # Errors
    /// `error`, when the lead cannot do without what HubSpot refuses.
    fn leave_out(&self, contact: &mut Contact, properties: &[String], error: DeliveryError) -> Result<(), DeliveryError> {
        let left = contact.leave_out(properties);
        if left && (contact.is_somebody() || self.settings.config.anonymous) { Ok(()) } else { Err(error) }
    }

    async fn upsert(&self, contact: &Contact, event: &Event, may_be_there: bool, steps: &mut Steps<'_>) -> Result<Outcome, DeliveryError> {
        if let Some(id) = self.find_twin(contact, event, may_be_there).await? {
            return self.update(&id, contact).await;
        }
        if !matches!(contact.identity(), Identity::Email(_)) {
            if may_be_there {
                wait_once(steps, "an earlier attempt may have made the contact, and HubSpot's search does not show it yet").await?;
            }
            steps.announce(CONTACT).await?;
        }
        match self.api.send(&self.api.create_contact(&contact.for_create())).await {
            Ok(Outcome::Conflict { existing: Some(id), .. }) => self.update(&id, contact).await,
            Ok(Outcome::Conflict { existing: None, error }) => match self.find(contact).await? {
                Some(id) => self.update(&id, contact).await,
                None => Err(error),
            },
            // Without an e-mail only search can tell whether the contact was made, and it lags behind.
            Err(error) if error.is_ambiguous() && !matches!(contact.identity(), Identity::Email(_)) => {
                Err(DeliveryError { verdict: Verdict::Retry { after: Some(SEARCH_LAG) }, ..error })
            }
            other => other,
        }
    }

    /// HubSpot keeps contacts unique by e-mail; those without one must be looked for before they are made.
    async fn find_twin(&self, contact: &Contact, event: &Event, may_be_there: bool) -> Result<Option<String>, DeliveryError> {
        match contact.identity() {
            Identity::Email(_) => Ok(None),
            Identity::Phone(_) => self.find(contact).await,
            Identity::Nothing if may_be_there => {
                let since = event.received_at.checked_sub(CLOCK_SKEW).unwrap_or(event.received_at);
                self.search(&self.api.contacts_made_since(since, &contact.name_for_create())).await
            }
            Identity::Nothing => Ok(None),
        }
    }

    async fn find(&self, contact: &Contact) -> Result<Option<String>, DeliveryError> {
        match contact.identity() {
            Identity::Email(email) => match self.api.send(&self.api.contact_by_email(email)).await {
                Err(error) if is_gone(&error) => Ok(None),
                outcome => written(&outcome?.done()?).map(Some),
            },
            Identity::Phone(phone) => match self.recent.id_of(phone, Instant::now()) {
                Some(id) => Ok(Some(id)),
                None => self.search(&self.api.contacts_by_phone(phone)).await,
            },
            Identity::Nothing => Ok(None),
        }
    }

    /// The oldest of the contacts found.
    async fn search(&self, request: &Request) -> Result<Option<String>, DeliveryError> {
        let found = results(&self.api.send(request).await?.done()?)?.iter().filter_map(|contact| id(&contact["id"])).collect::<Vec<_>>();
        Ok(found.into_iter().min_by_key(|id| (id.len(), id.clone())))
    }

    async fn update(&self, id: &str, contact: &Contact) -> Result<Outcome, DeliveryError> {
        let properties = contact.for_update();
        if properties.is_empty() {
            return Ok(Outcome::Done(json!({"id": id})));
        }
        self.api.send(&self.api.update_contact(id, &properties)).await
    }

    /// Writes a note unless an earlier attempt, whose answer never arrived, wrote it.
    async fn note(&self, contact: &str, page: &Page, event: &Event, steps: &mut Steps<'_>) -> Result<String, DeliveryError> {
        let may_be_there = steps.announce(&page.step).await?;
        if may_be_there && let Some(id) = self.find_note(contact, &page.marker).await? {
            return Ok(id);
        }
        written(&self.api.send(&self.note_request(contact, page, event)).await?.done()?)
    }

    async fn find_note(&self, contact: &str, marker: &str) -> Result<Option<String>, DeliveryError> {
        for ids in self.notes_of(contact).await?.chunks(NOTES_AT_ONCE) {
            let notes = self.api.send(&self.api.read_notes(ids)).await?.done()?;
            let ours = |note: &&Value| note["properties"]["hs_note_body"].as_str().is_some_and(|body| body.contains(marker));
            if let Some(note) = results(&notes)?.iter().find(ours) {
                return Ok(id(&note["id"]));
            }
        }
        Ok(None)
    }

    /// The ids of a contact's newest notes, newest first: HubSpot counts upwards.
    async fn notes_of(&self, contact: &str) -> Result<Vec<u64>, DeliveryError> {
        let mut ids: Vec<u64> = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = self.api.send(&self.api.notes_of(contact, after.as_deref())).await?.done()?;
            ids.extend(results(&page)?.iter().filter_map(|note| id(&note["toObjectId"]).or_else(|| id(&note["id"]))?.parse::<u64>().ok()));
            ids.sort_unstable_by(|one, other| other.cmp(one));
            ids.truncate(NOTES_READ_BACK);
            after = id(&page["paging"]["next"]["after"]);
            if after.is_none() {
                break;
            }
        }
        Ok(ids)
    }

    fn note_request(&self, contact: &str, page: &Page, event: &Event) -> Request {
        self.api.create_note(contact, event.created_at.unwrap_or(event.received_at), &page.html)
    }

    fn notes_for(&self, event: &Event, contact: &Contact, delivery_id: &str) -> Pages {
        let text = match event.kind {
            Kind::Conversation => note::transcript(event),
            _ if self.settings.config.notes => note::remark(event, contact.left_out()),
            _ => None,
        };
        text.map_or(Pages { pages: Vec::new(), cut: false }, |text| note::pages(&text, delivery_id))
    }

    fn receipt(&self, id: String, contact: &Contact, cut: bool) -> Receipt {
        let url = self.settings.config.portal_id.map(|portal| format!("https://app.hubspot.com/contacts/{portal}/record/0-1/{id}"));
        let mut remarks = Vec::new();
        if !contact.left_out().is_empty() {
            remarks.push(format!("HubSpot did not accept these properties, which were left out: {}", contact.left_out_names().join(", ")));
        }
        if cut {
            remarks.push("the text was too long and its end was left out".to_owned());
        }
        Receipt::Delivered { record: Some(Record { id, url }), remark: (!remarks.is_empty()).then(|| remarks.join("; ")) }
    }

    fn preview_of(&self, event: &Event, contact: &Contact, create: Option<Request>) -> Vec<Request> {
        let lookup = match (contact.identity(), &create) {
            (Identity::Phone(phone), _) => Some(self.api.contacts_by_phone(phone)),
            (Identity::Email(email), None) => Some(self.api.contact_by_email(email)),
            _ => None,
        };
        let notes = self.notes_for(event, contact, &PreviewRequest::placeholder("id of the delivery"));
        let notes = notes.pages.iter().map(|page| self.note_request(&PreviewRequest::placeholder("id of the contact"), page, event));
        lookup.into_iter().chain(create).chain(notes).collect()
    }
}

/// The first time, an error to be tried again when HubSpot's search has followed; after that nothing.
async fn wait_once(steps: &mut Steps<'_>, why: &str) -> Result<(), DeliveryError> {
    if steps.get(WAITED).is_some() {
        return Ok(());
    }
    steps.keep(WAITED, "").await?;
    let message = format!("{why}; it is looked for once more in {} seconds", SEARCH_LAG.as_secs());
    Err(DeliveryError::retry_after(ErrorKind::Unexpected, message, Some(SEARCH_LAG)))
}

fn results(body: &Value) -> Result<&Vec<Value>, DeliveryError> {
    let missing = || DeliveryError::retry(ErrorKind::Unexpected, "HubSpot answered a question with success, but without results");
    body["results"].as_array().ok_or_else(missing)
}
