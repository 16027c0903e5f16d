//! One attempt: a contact, then a note on it.

use crate::client::{Api, id_of};
use crate::config::Settings;
use async_trait::async_trait;
use leadwire_connector::mapping::FieldMap;
use leadwire_connector::note;
use leadwire_connector::{BuildContext, Connector, Delivery, DeliveryError, Event, PreviewRequest, Receipt, Report, Steps};

const NOBODY: &str = "Acme knows people by their e-mail, and there is none";

/// One account at Acme.
pub(crate) struct Acme {
    api: Api,
    fields: FieldMap,
}

impl Acme {
    pub(crate) fn new(settings: Settings, context: &BuildContext) -> Result<Self, String> {
        Ok(Self { api: Api::new(&settings, &context.http)?, fields: settings.fields })
    }

    /// A note has no key of its own. Where an earlier attempt may have sent it, look before sending it again.
    async fn note(&self, contact: &str, text: &str, delivery: &str, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
        if steps.get("note").is_some() {
            return Ok(());
        }
        let known = if steps.announce("note").await? { self.find_note(contact, delivery).await? } else { None };
        let note = match known {
            Some(note) => note,
            None => id_of(&self.api.send(&self.api.post_note(contact, text, delivery)).await?)?,
        };
        steps.keep("note", &note).await
    }

    async fn find_note(&self, contact: &str, delivery: &str) -> Result<Option<String>, DeliveryError> {
        let notes = self.api.send(&self.api.notes(contact)).await?;
        let ours = notes["notes"].as_array().into_iter().flatten().find(|note| note["delivery"] == delivery);
        ours.map(id_of).transpose()
    }
}

/// What the contact has no field for: the remark, the form's own fields, and what was said.
fn note_text(event: &Event) -> Option<String> {
    let turns = event.chat().into_iter().flat_map(note::turns);
    let lines: Vec<String> = event.content.iter().cloned().chain(note::extra(event)).chain(turns).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[async_trait]
impl Connector for Acme {
    async fn deliver(&self, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        let event = &delivery.event;
        let Some(email) = &event.person.email else { return Ok(Receipt::skipped(NOBODY)) };
        let rendered = self.fields.render(event);
        let contact = self.api.send(&self.api.put_contact(email, &rendered.fields)).await?;
        let contact = id_of(&contact)?;
        if let Some(text) = note_text(event) {
            self.note(&contact, &text, &delivery.id, steps).await?;
        }
        Ok(Receipt::record(contact).with_remark(rendered.remark()))
    }

    async fn check(&self) -> Report {
        match self.api.send(&self.api.account()).await {
            Ok(account) => Report::default()
                .good("credentials", format!("the token is valid for {}", account["name"].as_str().unwrap_or("an account"))),
            Err(error) => Report::default().failed("credentials", &error).remedy("make a new token in Acme under Settings, API"),
        }
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let Some(email) = &event.person.email else { return Ok(Vec::new()) };
        let contact = self.api.put_contact(email, &self.fields.render(event).fields).preview().step("contact");
        let (id, delivery) = (PreviewRequest::placeholder("id of the contact"), PreviewRequest::placeholder("id of the delivery"));
        let note = note_text(event).map(|text| self.api.post_note(&id, &text, &delivery).preview().step("note"));
        Ok(std::iter::once(contact).chain(note).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lead_without_a_remark_keeps_what_else_it_brings() {
        let mut event = leadwire_connector::conformance::sample();
        event.content = None;
        event.extra = json!({"Company": "Acme", "Seats": 3, "Gone": null}).as_object().unwrap().clone();
        assert_eq!(note_text(&event).unwrap(), "Company: Acme\nSeats: 3");
        event.extra.clear();
        assert_eq!(note_text(&event), None);
    }
}
