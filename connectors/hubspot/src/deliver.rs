//! The way of a delivery: the contact, then what is written beside it.

use crate::activity::Activities;
use crate::client::Api;
use crate::config::Settings;
use crate::map::{Contact, Plan, Why};
use crate::verdict::is_gone;
use async_trait::async_trait;
use leadwire_connector::fields::Reason;
use leadwire_connector::note::Conversations;
use leadwire_connector::session::{Sessions, caller};
use leadwire_connector::{Connector, Delivery, DeliveryError, Erased, Event, PreviewRequest, Receipt, Record, Report, Steps};
use std::time::Duration;

/// The step that keeps the contact's id; empty once that contact turned out to be gone.
pub(crate) const CONTACT: &str = "contact";
/// Search follows the writes after "a few moments" (<https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm>).
pub(crate) const SEARCH_LAG: Duration = Duration::from_secs(15);

/// The connector.
pub(crate) struct HubSpot {
    pub(crate) api: Api,
    pub(crate) settings: Settings,
    /// The contacts of the last minutes by phone, which search does not show yet.
    pub(crate) phones: Sessions,
    pub(crate) sessions: Sessions,
}

#[async_trait]
impl Connector for HubSpot {
    async fn deliver(&self, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        self.sessions.sweep().await;
        self.phones.sweep().await;
        let (mut contact, may_create) = match Plan::of(&delivery.event, &self.settings)? {
            Plan::Skip(reason) => return Ok(Receipt::skipped(reason)),
            Plan::Write(contact) => (contact, true),
            Plan::Add(contact) => (contact, false),
        };
        recall(&mut contact, steps);
        match self.relay(&mut contact, may_create, delivery, steps).await {
            // The contact was archived between two steps, or since an earlier attempt: once more with another one.
            Err(error) if is_gone(&error) && steps.done(CONTACT).is_some() => {
                self.start_over(&mut contact, delivery, steps).await?;
                self.relay(&mut contact, may_create, delivery, steps).await
            }
            result => result,
        }
    }

    async fn check(&self) -> Report {
        crate::check::check(&self.api, &self.settings).await
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        self.preview_of(event)
    }

    /// Nothing of the person is kept here; which contact had the chat session, or the phone, is forgotten with the person.
    async fn erase(&self, deliveries: &[String]) -> Result<Erased, DeliveryError> {
        self.phones.erase(deliveries).await?;
        self.sessions.erase(deliveries).await.map(|()| Erased::NotKept)
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
        let Some(id) = self.contact_of(contact, may_create, delivery, steps).await? else {
            return Ok(Receipt::skipped("HubSpot has no contact of this conversation: neither by e-mail or phone nor by its chat session"));
        };
        let activities = Activities::of(&delivery.event, contact, &self.settings, &delivery.id);
        let mut lost_owner = false;
        for mut activity in activities.all {
            if steps.done(&activity.step).is_none() {
                // A merge may have given the contact another id meanwhile.
                let now = steps.get(CONTACT).unwrap_or(&id).to_owned();
                let (remote, is_without_owner) = self.write(&now, &mut activity, steps).await?;
                steps.keep(&activity.step, &remote).await?;
                lost_owner |= is_without_owner;
            }
        }
        let id = steps.get(CONTACT).unwrap_or(&id).to_owned();
        Ok(self.receipt(id, contact, lost_owner, activities.cut))
    }

    /// The contact's id, from an earlier attempt or from HubSpot. `None` when it must be there already and is not.
    async fn contact_of(
        &self,
        contact: &mut Contact,
        may_create: bool,
        delivery: &Delivery,
        steps: &mut Steps<'_>,
    ) -> Result<Option<String>, DeliveryError> {
        let kept = steps.done(CONTACT).map(str::to_owned);
        let found = match kept {
            Some(id) => Some(id),
            None if may_create => Some(self.write_contact(contact, &delivery.event, steps).await?),
            None => self.find_person(contact, steps).await?,
        };
        let Some(id) = found else { return Ok(None) };
        // Before the step is kept, which may fail.
        if let Some(phone) = contact.phone().filter(|_| may_create) {
            self.phones.remember(&caller(phone), &id, &delivery.id).await?;
        }
        if let Some(visitor) = contact.visitor().filter(|_| may_create && self.settings.config.conversations == Conversations::Note) {
            self.sessions.remember(visitor, &id, &delivery.id).await?;
        }
        if steps.get(CONTACT) != Some(&id) {
            steps.keep(CONTACT, &id).await?;
        }
        Ok(Some(id))
    }

    /// Forgets the contact, and what was written beside it: that went with it.
    async fn start_over(&self, contact: &mut Contact, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
        for activity in Activities::of(&delivery.event, contact, &self.settings, &delivery.id).all {
            steps.undo(&activity.step).await?;
        }
        steps.undo(CONTACT).await?;
        self.forget(contact, steps).await
    }

    fn receipt(&self, id: String, contact: &Contact, lost_owner: bool, cut: bool) -> Receipt {
        let url = self.settings.config.portal_id.map(|portal| format!("https://app.hubspot.com/contacts/{portal}/record/0-1/{id}"));
        let mut remarks = contact.failed().to_vec();
        remarks.extend(Why::ALL.iter().filter_map(|why| why.told(&contact.left_out_names(*why))));
        if lost_owner {
            remarks.push("HubSpot did not accept `appointments.owner_id`, so that nobody owns the appointment".to_owned());
        }
        if cut {
            remarks.push("the text was too long and its end was left out".to_owned());
        }
        Receipt::Delivered { record: Some(Record { id, url }), remark: None }.with_remarks(remarks)
    }
}

/// What earlier attempts found out is not to be written.
fn recall(contact: &mut Contact, steps: &Steps<'_>) {
    for why in Why::ALL.iter().copied() {
        let names: Vec<&str> = steps.get(why.step()).unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect();
        if why == Why::Kept {
            contact.keep(&names);
        } else {
            contact.leave_out(&names, why);
        }
    }
}
