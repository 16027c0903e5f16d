//! The way of a delivery: the contact, its tags, the appointment or a task, then notes.

use crate::client::{Api, Call};
use crate::compare::Ids;
use crate::config::Settings;
use crate::contact::LEFT_OUT;
use crate::fields;
use crate::map::{Contact, Plan};
use crate::note::{self, FIRST, MAX_NOTES};
use crate::verdict::is_gone;
use crate::write::{APPOINTMENT, Booking, PAST, TAGS, TASK};
use async_trait::async_trait;
use leadwire_connector::http;
use leadwire_connector::note::{Notes, step};
use leadwire_connector::session::Sessions;
use leadwire_connector::{Connector, Delivery, DeliveryError, Erased, Event, Kind, PreviewRequest, Receipt, Record, Report, Steps};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The step that keeps the contact's id; empty once that contact turned out to be gone.
pub(crate) const CONTACT: &str = "contact";
/// How far GoHighLevel's search may be behind the writes; nothing is promised.
pub(crate) const SEARCH_LAG: Duration = Duration::from_secs(15);

/// The connector.
pub(crate) struct HighLevel {
    pub(crate) api: Api,
    pub(crate) settings: Settings,
    pub(crate) sessions: Sessions,
    /// The ids of the location's custom fields, once they were asked for.
    pub(crate) ids: Mutex<Option<Arc<Ids>>>,
}

#[async_trait]
impl Connector for HighLevel {
    async fn deliver(&self, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        self.sessions.sweep().await;
        let (contact, may_create) = match Plan::of(&delivery.event, &self.settings)? {
            Plan::Skip(reason) => return Ok(Receipt::skipped(reason)),
            Plan::Write(contact) => (contact, true),
            Plan::Add(contact) => (contact, false),
        };
        match self.relay(contact.clone(), may_create, delivery, steps).await {
            // The contact was deleted between two steps, or since an earlier attempt: once more with another one.
            Err(error) if is_gone(&error) && steps.done(CONTACT).is_some() => {
                self.forget(&contact, steps).await?;
                self.relay(contact, may_create, delivery, steps).await
            }
            result => result,
        }
    }

    async fn check(&self) -> Report {
        crate::check::check(&self.api, &self.settings).await
    }

    /// Nothing of the person is kept here; which contact had the chat session is forgotten with the person.
    async fn erase(&self, deliveries: &[String]) -> Result<Erased, DeliveryError> {
        self.sessions.erase(deliveries).await.map(|()| Erased::NotKept)
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        match Plan::of(event, &self.settings)? {
            Plan::Skip(_) => Ok(Vec::new()),
            Plan::Write(contact) => self.preview_of(event, &contact, true),
            Plan::Add(contact) => self.preview_of(event, &contact, false),
        }
    }
}

impl HighLevel {
    async fn relay(
        &self,
        mut contact: Contact,
        may_create: bool,
        delivery: &Delivery,
        steps: &mut Steps<'_>,
    ) -> Result<Receipt, DeliveryError> {
        let event = &delivery.event;
        let Some(id) = self.contact(&mut contact, may_create, &delivery.id, steps).await? else {
            return Ok(Receipt::skipped("GoHighLevel has no contact with this e-mail, phone or chat session"));
        };
        if may_create {
            self.tags(&id, &contact, steps).await?;
        }
        let booking = match event.kind {
            Kind::Appointment => self.appointment(&id, event, &delivery.id, steps).await?,
            _ => Booking::None,
        };
        if self.needs_task(event, &booking) {
            self.task(&id, event, &delivery.id, steps).await?;
        }
        let notes = self.notes_for(event, &contact, &booking, &delivery.id);
        for note in &notes.notes {
            self.note(&id, note, steps).await?;
        }
        Ok(self.receipt(id, &contact, &booking, notes.cut))
    }

    fn needs_task(&self, event: &Event, booking: &Booking) -> bool {
        event.kind == Kind::Appointment && self.settings.config.appointments.task && !matches!(booking, Booking::Booked(_))
    }

    /// What hung on the contact is gone with it, and is written again.
    async fn forget(&self, contact: &Contact, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
        if let Some(visitor) = &contact.visitor {
            self.sessions.forget(visitor).await?;
        }
        let mut hung = [CONTACT, LEFT_OUT, TAGS, TASK, APPOINTMENT].map(str::to_owned).to_vec();
        hung.extend((1..=MAX_NOTES).map(|number| step(FIRST, number)));
        for name in hung {
            steps.undo(&name).await?;
        }
        Ok(())
    }

    fn notes_for(&self, event: &Event, contact: &Contact, booking: &Booking, delivery: &str) -> Notes {
        let config = &self.settings.config;
        let text = match event.kind {
            Kind::Conversation => note::transcript(event),
            _ if config.notes => note::remark(event, contact.left_out(), &contact.failed, self.told(booking).as_deref()),
            _ => None,
        };
        text.map_or_else(Notes::default, |text| note::notes(&text, delivery, config.note_characters, config.note_format))
    }

    fn told(&self, booking: &Booking) -> Option<String> {
        match booking {
            Booking::None => None,
            Booking::Booked(at) => Some(format!("Booked for {at}")),
            Booking::Refused(why) if self.settings.config.appointments.task => Some(format!("Not booked: {why}. There is a task instead.")),
            Booking::Refused(why) => Some(format!("Not booked: {why}.")),
        }
    }

    fn receipt(&self, id: String, contact: &Contact, booking: &Booking, cut: bool) -> Receipt {
        let config = &self.settings.config;
        let url = http::join(&config.app_url, &["v2", "location", &config.location_id, "contacts", "detail", &id]);
        let mut remarks = contact.remarks();
        remarks.extend_from_slice(&contact.failed);
        if let Booking::Refused(why) = booking {
            remarks.push(format!("the appointment was not booked: {why}"));
        }
        if cut {
            remarks.push("the text was too long and its end was left out".to_owned());
        }
        Receipt::Delivered { record: Some(Record { id, url: Some(url.to_string()) }), remark: None }.with_remarks(remarks)
    }

    fn preview_of(&self, event: &Event, contact: &Contact, may_create: bool) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let (id, delivery) = (PreviewRequest::placeholder("id of the contact"), PreviewRequest::placeholder("id of the delivery"));
        let show = |call: &Call, step: &str| self.api.preview(call).step(step);
        let mut shown = self.preview_of_search(contact, may_create);
        if may_create {
            shown.push(show(&self.api.upsert(&contact.for_create()), "make the contact").only_when("only when there is no such contact"));
            let update = self.api.update(&id, &contact.for_update(true));
            shown.push(show(&update, "update the contact").only_when("when there is such a contact; its own e-mail stays"));
            if contact.for_create().iter().any(|(name, _)| fields::is_key(name)) {
                let list = show(&self.api.custom_fields(), "ids of the custom fields");
                shown.push(list.only_when("only the first time, to see whether their values were kept"));
            }
            if !contact.tags.is_empty() {
                shown.push(show(&self.api.add_tags(&id, &contact.tags), "tags"));
            }
        }
        let mut booking = Booking::None;
        if event.kind == Kind::Appointment
            && let Some((start, call)) = self.booking(&id, event, &delivery)
        {
            booking = if start.is_past() {
                Booking::Refused(PAST.to_owned())
            } else {
                shown.push(show(&call, "appointment"));
                Booking::Booked(start.text)
            };
        }
        if self.needs_task(event, &Booking::None) {
            let task = show(&self.task_call(&id, event, &delivery), "task");
            let is_booked = matches!(booking, Booking::Booked(_));
            shown.push(if is_booked { task.only_when("only when the appointment is refused") } else { task });
        }
        let notes = self.notes_for(event, contact, &booking, &delivery);
        shown.extend(notes.notes.iter().map(|note| show(&self.api.create_note(&id, &note.body), &note.step)));
        Ok(shown)
    }

    fn preview_of_search(&self, contact: &Contact, may_create: bool) -> Vec<PreviewRequest> {
        let by_email = contact.email().map(|email| self.api.preview(&self.api.find("email", email)).step("find by e-mail"));
        let by_phone = contact.phone().map(|phone| self.api.preview(&self.api.find("number", phone)).step("find by phone"));
        let by_phone = by_phone.map(|find| match by_email {
            Some(_) => find.only_when("only when the e-mail's contact does not have this phone"),
            None => find,
        });
        let session = contact.session.as_ref().filter(|_| !may_create);
        let by_session = session.map(|(field, session)| {
            let find = self.api.preview(&self.api.search(field, session)).step("find by session");
            find.only_when("only when neither e-mail nor phone finds a contact, and no lead of this chat session is known")
        });
        let id = PreviewRequest::placeholder("id of the contact");
        let look = contact.phone().filter(|_| may_create).map(|_| self.api.preview(&self.api.contact(&id)).step("look at the contact"));
        let look = look.map(|look| look.only_when("only when the phone alone finds a contact: what it has already may stay"));
        by_email.into_iter().chain(by_phone).chain(look).chain(by_session).collect()
    }
}
