//! What a delivery would send, nothing sent.

use crate::activity::Activities;
use crate::deliver::HubSpot;
use crate::map::{Contact, Identity, Plan};
use leadwire_connector::{DeliveryError, Event, PreviewRequest};

const UNKNOWN_PHONE: &str = "when none with this phone was written in the last five minutes";
const NONE_YET: &str = "only when HubSpot has no such contact";
const ONE_ALREADY: &str = "only when HubSpot has such a contact already";
const TO_UPDATE: &str =
    "only when HubSpot has such a contact already, without the values that it keeps of its own, and with the e-mail if it has none";

impl HubSpot {
    pub(crate) fn preview_of(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let (contact, mut requests) = match Plan::of(event, &self.settings)? {
            Plan::Skip(_) => return Ok(Vec::new()),
            Plan::Write(contact) => {
                let requests = self.preview_write(&contact);
                (contact, requests)
            }
            Plan::Add(contact) => {
                let requests = self.preview_find(&contact);
                (contact, requests)
            }
        };
        let id = PreviewRequest::placeholder("id of the contact");
        let delivery = PreviewRequest::placeholder("id of the delivery");
        for activity in Activities::of(event, &contact, &self.settings, &delivery).all {
            let step = activity.step.replace('-', " ");
            requests.push(self.api.preview(&self.activity_request(&id, &activity)).step(step));
        }
        Ok(requests)
    }

    fn preview_write(&self, contact: &Contact) -> Vec<PreviewRequest> {
        let id = PreviewRequest::placeholder("id of the contact");
        let create = self.api.create_contact(&contact.for_create(), contact.is_unique());
        let create = self.api.preview(&create).step("contact");
        let read = self.api.preview(&self.read_request(&id, contact)).step("read the contact").only_when(ONE_ALREADY);
        let update = self.api.preview(&self.api.update_contact(&id, &contact.for_update())).step("update the contact");
        let update = update.only_when(TO_UPDATE);
        match contact.identity() {
            Identity::Email(_) => {
                let find = contact.phone().map(|phone| self.api.preview(&self.api.contacts_by_phone(phone)).step("find the contact"));
                let find = find.map(|find| find.only_when(UNKNOWN_PHONE));
                find.into_iter().chain([create, read, update]).collect()
            }
            Identity::Phone(phone) => {
                let find = self.api.preview(&self.api.contacts_by_phone(phone)).step("find the contact");
                let find = find.only_when(UNKNOWN_PHONE);
                vec![find, create.only_when(NONE_YET), read, update]
            }
            Identity::Nothing if contact.key().is_some() => vec![create, read, update],
            Identity::Nothing => vec![create],
        }
    }

    fn preview_find(&self, contact: &Contact) -> Vec<PreviewRequest> {
        let find = |request| self.api.preview(&request).step("find the contact");
        let mut requests = Vec::new();
        match contact.identity() {
            Identity::Email(email) => requests.push(find(self.api.contact_by("email", email))),
            Identity::Phone(phone) => requests.push(find(self.api.contacts_by_phone(phone)).only_when(UNKNOWN_PHONE)),
            Identity::Nothing => {}
        }
        if contact.visitor().is_some() {
            let known = self.api.contact(&PreviewRequest::placeholder("id of the contact of the chat session"));
            requests.push(find(known).only_when("when a lead of the same chat session was delivered, and it was not found before"));
        }
        if let Some((property, key)) = contact.key() {
            requests.push(find(self.api.contacts_with(property, key)).only_when("when it was not found before"));
        }
        requests
    }
}
