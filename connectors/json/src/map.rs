//! From an event to the body that is sent.

use bytes::Bytes;
use leadwire_connector::mapping::FieldMap;
use leadwire_connector::{DeliveryError, ErrorKind, Event, timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

/// The body that Standard Webhooks recommends.
#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Event(&'a Event),
    Fields(Map<String, Value>),
}

/// The same event gives the same bytes, in every attempt.
pub(crate) fn body(event: &Event, fields: &FieldMap, envelope: bool) -> Result<Bytes, DeliveryError> {
    let data = match fields.names().next() {
        None => Data::Event(event),
        Some(_) => Data::Fields(fields.render(event)?.into_iter().map(|(name, value)| (name, value.into())).collect()),
    };
    let written = if envelope {
        let timestamp = timestamp::format(event.created_at.unwrap_or(event.received_at));
        serde_json::to_vec(&Envelope { r#type: event.kind.webhook_type(), timestamp, data })
    } else {
        serde_json::to_vec(&data)
    };
    written
        .map(Bytes::from)
        .map_err(|error| DeliveryError::reject(ErrorKind::Internal, format!("the event cannot be written as JSON: {error}")))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    pub(crate) fn lead() -> Event {
        serde_json::from_value(json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": "59001dd7",
            "person": {"first_name": "David", "last_name": "Garcia", "email": "test@qq.com", "phone": null},
            "content": "test", "session_id": "31305", "page_url": "https://www.google.com",
            "created_at": "2023-11-23T18:36:21.512302Z", "received_at": "2026-11-22T05:17:00.000000Z",
            "extra": {}, "raw": {"SerialNumber": "59001dd7", "Number": 1.5}
        }))
        .unwrap()
    }

    fn fields(pairs: &[(&str, &str)]) -> FieldMap {
        FieldMap::compile(&pairs.iter().map(|(name, template)| ((*name).to_owned(), (*template).to_owned())).collect::<BTreeMap<_, _>>())
            .unwrap()
    }

    fn sent(event: &Event, fields: &FieldMap, envelope: bool) -> Value {
        serde_json::from_slice(&body(event, fields, envelope).unwrap()).unwrap()
    }

    #[test]
    fn the_envelope_is_the_one_of_standard_webhooks() {
        let event = lead();
        let expected = json!({"type": "lead.created", "timestamp": "2023-11-23T18:36:21.512302Z", "data": event});
        assert_eq!(sent(&event, &fields(&[]), true), expected);
        assert!(
            body(&event, &fields(&[]), true)
                .unwrap()
                .starts_with(b"{\"type\":\"lead.created\",\"timestamp\":\"2023-11-23T18:36:21.512302Z\",\"data\":{\"id\":")
        );
    }

    #[test]
    fn an_event_without_a_time_of_its_own_has_the_time_of_receipt() {
        let event = Event { created_at: None, ..lead() };
        assert_eq!(sent(&event, &fields(&[]), true)["timestamp"], "2026-11-22T05:17:00.000000Z");
    }

    #[test]
    fn without_the_envelope_the_event_is_sent_bare() {
        assert_eq!(sent(&lead(), &fields(&[]), false), serde_json::to_value(lead()).unwrap());
    }

    #[test]
    fn fields_take_the_place_of_the_event_and_empty_ones_are_left_out() {
        let fields = fields(&[("mail", "{{ person.email }}"), ("phone", "{{ person.phone }}"), ("list", "leads")]);
        assert_eq!(sent(&lead(), &fields, false), json!({"list": "leads", "mail": "test@qq.com"}));
        assert_eq!(sent(&lead(), &fields, true)["data"], json!({"list": "leads", "mail": "test@qq.com"}));
    }
}
