//! From an event to the body that is sent.

use crate::preset::Shape;
use crate::template::Template;
use crate::{slack, thin};
use leadwire_connector::mapping::FieldMap;
use leadwire_connector::settings::did_you_mean;
use leadwire_connector::{DeliveryError, ErrorKind, Event, timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use url::form_urlencoded;

/// What the event, or the fields, are wrapped in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Envelope {
    /// `{"type": …, "timestamp": …, "data": …}`, as Standard Webhooks recommends.
    #[default]
    Standard,
    /// Nothing.
    Event,
    /// One JSON object with the attributes of CloudEvents in it.
    CloudEvents,
    /// The same attributes as headers.
    CloudEventsBinary,
    /// Nothing, and the fields are written as HTML forms send them.
    Form,
}

const ENVELOPES: [(&str, Envelope); 5] = [
    ("standard", Envelope::Standard),
    ("event", Envelope::Event),
    ("cloudevents", Envelope::CloudEvents),
    ("cloudevents-binary", Envelope::CloudEventsBinary),
    ("form", Envelope::Form),
];

impl JsonSchema for Envelope {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Envelope".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": ENVELOPES.map(|(name, _)| name)})
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl Visitor<'_> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of \"standard\", \"event\", \"cloudevents\", \"cloudevents-binary\" and \"form\"")
    }

    /// `true` and `false` are `"standard"` and `"event"`.
    fn visit_bool<E: Error>(self, is_wrapped: bool) -> Result<Envelope, E> {
        Ok(if is_wrapped { Envelope::Standard } else { Envelope::Event })
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Envelope, E> {
        let found = ENVELOPES.into_iter().find(|(known, _)| *known == word).map(|(_, envelope)| envelope);
        found.ok_or_else(|| E::custom(format!("there is no envelope `{word}`: {}", did_you_mean(word, &ENVELOPES.map(|(word, _)| word)))))
    }
}

/// What the body is made of.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    Event,
    Fields(FieldMap),
    Own(Template),
    Chat,
}

/// How bodies are made.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) payload: Payload,
    pub(crate) envelope: Envelope,
    /// In place of the one that the envelope has.
    pub(crate) content_type: Option<String>,
    pub(crate) most_bytes: usize,
}

/// A body and the headers that belong to it.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) content_type: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) bytes: Vec<u8>,
    /// What is missing from the body since its template failed.
    pub(crate) remark: Option<String>,
}

impl AsRef<[u8]> for Written {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body that Standard Webhooks recommends.
#[derive(Serialize)]
struct Standard<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

/// CloudEvents 1.0.2, `json-format.md`: the attributes and the data side by side.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: &'static str,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Event(&'a Event),
    Value(Value),
}

/// Whether a body of this type must be JSON.
pub(crate) fn is_json(content_type: Option<&str>) -> bool {
    content_type.is_none_or(|content_type| {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        media.ends_with("/json") || media.ends_with("+json")
    })
}

impl Payload {
    pub(crate) fn of(shape: Shape) -> Self {
        match shape {
            Shape::Chat => Self::Chat,
            Shape::Flat | Shape::Event => Self::Event,
        }
    }

    /// The data, and what is missing from them.
    fn data<'a>(&self, event: &'a Event) -> (Data<'a>, Option<String>) {
        match self {
            Self::Event | Self::Own(_) => (Data::Event(event), None),
            Self::Fields(fields) => {
                let rendered = fields.render(event);
                let remark = rendered.remark();
                let fields = rendered.fields.into_iter().map(|(name, value)| (name, Value::from(value)));
                (Data::Value(Value::Object(fields.collect())), remark)
            }
            Self::Chat => (Data::Value(slack::message(event)), None),
        }
    }
}

impl Body {
    /// The same event and the same id give the same bytes, in every attempt.
    pub(crate) fn write(&self, event: &Event, id: &str) -> Result<Written, DeliveryError> {
        thin::body(event, self.most_bytes, |event| self.write_whole(event, id))
    }

    fn write_whole(&self, event: &Event, id: &str) -> Result<Written, DeliveryError> {
        if let Payload::Own(template) = &self.payload {
            let (bytes, remark) = template.render(event, is_json(self.content_type.as_deref()))?;
            return Ok(Written { remark, ..self.written("application/json", Vec::new(), bytes) });
        }
        let (data, remark) = self.payload.data(event);
        let written = match self.envelope {
            Envelope::Standard => {
                let standard = Standard { r#type: event.kind.webhook_type(), timestamp: happened(event), data };
                self.written("application/json", Vec::new(), encode(&standard)?)
            }
            Envelope::Event => self.written("application/json", Vec::new(), encode(&data)?),
            Envelope::CloudEvents => {
                self.written("application/cloudevents+json; charset=UTF-8", Vec::new(), encode(&cloud_event(event, id, data))?)
            }
            Envelope::CloudEventsBinary => self.written("application/json", cloud_headers(event, id), encode(&data)?),
            Envelope::Form => self.written("application/x-www-form-urlencoded", Vec::new(), form(&data)),
        };
        Ok(Written { remark, ..written })
    }

    fn written(&self, content_type: &str, headers: Vec<(&'static str, String)>, bytes: Vec<u8>) -> Written {
        Written { content_type: self.content_type.clone().unwrap_or_else(|| content_type.to_owned()), headers, bytes, remark: None }
    }
}

/// When it happened, or was received if the sender did not say.
fn happened(event: &Event) -> String {
    timestamp::format(event.created_at.unwrap_or(event.received_at))
}

fn encode(body: &impl Serialize) -> Result<Vec<u8>, DeliveryError> {
    serde_json::to_vec(body)
        .map_err(|error| DeliveryError::reject(ErrorKind::Internal, format!("the event cannot be written as JSON: {error}")))
}

fn cloud_event<'a>(event: &Event, id: &'a str, data: Data<'a>) -> CloudEvent<'a> {
    let (source, time) = (cloud_source(event), happened(event));
    CloudEvent { specversion: "1.0", id, source, r#type: event.kind.webhook_type(), time, datacontenttype: "application/json", data }
}

/// `http-protocol-binding.md`, 3.1.3: each attribute is a header with the prefix `ce-`; the content type of the data is `Content-Type`.
fn cloud_headers(event: &Event, id: &str) -> Vec<(&'static str, String)> {
    let attributes = [
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", id.to_owned()),
        ("ce-source", cloud_source(event)),
        ("ce-type", event.kind.webhook_type().to_owned()),
        ("ce-time", happened(event)),
    ];
    attributes.into_iter().map(|(name, value)| (name, header_value(&value))).collect()
}

/// A reference to what the event comes from (a URI-reference): the chatbot, or the source when no chatbot is named.
fn cloud_source(event: &Event) -> String {
    let segment = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    match &event.chatbot_id {
        Some(chatbot) => format!("/chatbots/{}", segment(chatbot)),
        None => format!("/sources/{}", segment(&event.source)),
    }
}

/// `http-protocol-binding.md`, 3.1.3.2: space, `"`, `%` and what is not printable ASCII is percent-encoded.
fn header_value(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b'"' | b'%' | 0..=b' ' | 0x7f.. => format!("%{byte:02X}"),
        byte => char::from(byte).to_string(),
    };
    value.bytes().map(encode).collect()
}

/// The fields one by one. What is no text is written as JSON.
fn form(data: &Data<'_>) -> Vec<u8> {
    let value = match data {
        Data::Event(event) => serde_json::to_value(event).unwrap_or_else(|_| json!({})),
        Data::Value(value) => value.clone(),
    };
    let members = value.as_object().cloned().unwrap_or_else(Map::new);
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        form.append_pair(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str());
    }
    form.finish().into_bytes()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
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

    fn fields(pairs: &[(&str, &str)]) -> Payload {
        let templates = pairs.iter().map(|(name, template)| ((*name).to_owned(), (*template).to_owned())).collect::<BTreeMap<_, _>>();
        Payload::Fields(FieldMap::compile(&templates).unwrap())
    }

    fn written(payload: Payload, envelope: Envelope, event: &Event) -> Written {
        Body { payload, envelope, content_type: None, most_bytes: usize::MAX }.write(event, "d-1").unwrap()
    }

    fn sent(payload: Payload, envelope: Envelope) -> Value {
        serde_json::from_slice(&written(payload, envelope, &lead()).bytes).unwrap()
    }

    #[test]
    fn the_envelope_is_the_one_of_standard_webhooks() {
        let expected = json!({"type": "lead.created", "timestamp": "2023-11-23T18:36:21.512302Z", "data": lead()});
        assert_eq!(sent(Payload::Event, Envelope::Standard), expected);
        let bytes = written(Payload::Event, Envelope::Standard, &lead()).bytes;
        assert!(bytes.starts_with(b"{\"type\":\"lead.created\",\"timestamp\":\"2023-11-23T18:36:21.512302Z\",\"data\":{\"id\":"));
    }

    #[test]
    fn an_event_without_a_time_of_its_own_has_the_time_of_receipt() {
        let event = Event { created_at: None, ..lead() };
        let body: Value = serde_json::from_slice(&written(Payload::Event, Envelope::Standard, &event).bytes).unwrap();
        assert_eq!(body["timestamp"], "2026-11-22T05:17:00.000000Z");
    }

    #[test]
    fn without_the_envelope_the_event_is_sent_bare() {
        assert_eq!(sent(Payload::Event, Envelope::Event), serde_json::to_value(lead()).unwrap());
    }

    #[test]
    fn fields_take_the_place_of_the_event_and_empty_ones_are_left_out() {
        let fields = || fields(&[("mail", "{{ person.email }}"), ("phone", "{{ person.phone }}"), ("list", "leads")]);
        assert_eq!(sent(fields(), Envelope::Event), json!({"list": "leads", "mail": "test@qq.com"}));
        assert_eq!(sent(fields(), Envelope::Standard)["data"], json!({"list": "leads", "mail": "test@qq.com"}));
    }

    #[test]
    fn a_cloud_event_has_its_attributes_in_the_body_or_in_the_headers() {
        let structured = written(Payload::Event, Envelope::CloudEvents, &lead());
        assert_eq!(structured.content_type, "application/cloudevents+json; charset=UTF-8");
        let body: Value = serde_json::from_slice(&structured.bytes).unwrap();
        assert_eq!(body["data"], serde_json::to_value(lead()).unwrap());
        let attributes: Map<String, Value> =
            body.as_object().unwrap().iter().filter(|(name, _)| *name != "data").map(|(a, b)| (a.clone(), b.clone())).collect();
        let expected = json!({
            "specversion": "1.0", "id": "d-1", "source": "/chatbots/59001dd7", "type": "lead.created",
            "time": "2023-11-23T18:36:21.512302Z", "datacontenttype": "application/json",
        });
        assert_eq!(Value::Object(attributes), expected);

        let binary = written(Payload::Event, Envelope::CloudEventsBinary, &lead());
        assert_eq!(binary.content_type, "application/json");
        assert_eq!(serde_json::from_slice::<Value>(&binary.bytes).unwrap(), body["data"]);
        for (name, value) in binary.headers {
            assert_eq!(expected[name.strip_prefix("ce-").unwrap()], value);
        }
    }

    #[test]
    fn what_a_header_cannot_hold_is_percent_encoded() {
        let event = Event { chatbot_id: Some("Zoë \"%\"/1".to_owned()), ..lead() };
        let headers = written(Payload::Event, Envelope::CloudEventsBinary, &event).headers;
        let source = headers.iter().find(|(name, _)| *name == "ce-source").unwrap();
        assert_eq!(source.1, "/chatbots/Zo%25C3%25AB%2520%2522%2525%2522%252F1");
        assert_eq!(header_value("a\"b%c\u{e9}\n"), "a%22b%25c%C3%A9%0A");
    }

    #[test]
    fn a_form_has_the_fields_one_by_one() {
        let fields = fields(&[("mail", "{{ person.email }}"), ("note", "{{ content }} & more=1")]);
        let form = written(fields, Envelope::Form, &lead());
        assert_eq!(form.content_type, "application/x-www-form-urlencoded");
        assert_eq!(form.bytes, b"mail=test%40qq.com&note=test+%26+more%3D1");
    }

    #[test]
    fn json_is_known_by_its_type() {
        for (content_type, expected) in [
            (None, true),
            (Some("application/json; charset=utf-8"), true),
            (Some("application/vnd.api+JSON"), true),
            (Some("text/plain"), false),
        ] {
            assert_eq!(is_json(content_type), expected, "{content_type:?}");
        }
    }
}
