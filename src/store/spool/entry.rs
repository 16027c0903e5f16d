//! What a record of the spool says, as JSON. Destinations stand there by name, because their numbers belong to one store.

use crate::store::{DestinationId, Error, NewEvent, QuarantineClass, Receipt, Refused, Result, Via};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use leadwire_connector::Event;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// One request that was answered with success.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Entry {
    /// When it came.
    #[serde(with = "leadwire_connector::timestamp")]
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store) enum Content {
    /// The events of a verified body.
    Events(Vec<SpooledEvent>),
    /// A body whose source awaits its key.
    Promised(SpooledBody),
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct SpooledEvent {
    content_key: String,
    person_key: Option<String>,
    pub(in crate::store) destinations: Vec<String>,
    /// The event's own JSON, byte by byte as it is kept. Earlier versions wrote it as text, with every quote escaped.
    body: Box<RawValue>,
    /// How it came in; earlier versions did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct SpooledBody {
    source: String,
    client: String,
    header: Option<String>,
    code: String,
    reason: String,
    /// Base64: a body may be any bytes.
    body: String,
}

impl Entry {
    /// The record of a request. A destination whose number has no name cannot be kept, so then nothing is.
    pub(in crate::store) fn of_events(events: &[NewEvent], names: &HashMap<DestinationId, String>) -> Result<Self> {
        let at = events.first().map_or(Timestamp::UNIX_EPOCH, |new| new.event.received_at);
        let name = |id: &DestinationId| {
            names.get(id).cloned().ok_or_else(|| Error::Refused("a destination has no name; this is a bug".to_owned()))
        };
        let write = |new: &NewEvent| {
            Ok(SpooledEvent {
                content_key: hex::encode(new.content_key),
                person_key: new.person_key.map(hex::encode),
                destinations: new.destinations.iter().map(name).collect::<Result<_>>()?,
                body: RawValue::from_string(new.body.clone()).map_err(|error| unwritable(&error))?,
                receipt: new.receipt.map(Receipt::to_text),
            })
        };
        Ok(Self { at, content: Content::Events(events.iter().map(write).collect::<Result<_>>()?) })
    }

    /// The record of a body that was promised to be kept.
    pub(in crate::store) fn of_promised(refused: &Refused) -> Self {
        let body = SpooledBody {
            source: refused.source.clone(),
            client: refused.client.clone(),
            header: refused.header.clone(),
            code: refused.code.clone(),
            reason: refused.reason.clone(),
            body: STANDARD.encode(&refused.body),
        };
        Self { at: refused.at, content: Content::Promised(body) }
    }

    pub(in crate::store) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| unwritable(&error))
    }

    pub(in crate::store) fn from_json(payload: &[u8]) -> Result<Self> {
        // The words of serde_json tell places, not values; a record holds personal data.
        serde_json::from_slice(payload).map_err(|error| {
            Error::Refused(format!("the record is not what this version writes (line {}, column {})", error.line(), error.column()))
        })
    }
}

impl SpooledEvent {
    /// The event for the store, with the destinations' numbers there.
    pub(in crate::store) fn into_new(self, destinations: Vec<DestinationId>) -> Result<NewEvent> {
        let unreadable = || Error::Refused("the record holds an event that cannot be read".to_owned());
        let body = match self.body.get() {
            text if text.starts_with('"') => serde_json::from_str(text).map_err(|_| unreadable())?,
            event => event.to_owned(),
        };
        let event: Event = serde_json::from_str(&body).map_err(|_| unreadable())?;
        let mut content_key = [0; 24];
        hex::decode_to_slice(&self.content_key, &mut content_key).map_err(|_| unreadable())?;
        let person_key = self.person_key.map(|text| {
            let mut key = [0; 16];
            hex::decode_to_slice(text, &mut key).map(|()| key).map_err(|_| unreadable())
        });
        let receipt = self.receipt.as_deref().and_then(Receipt::from_text).map(|receipt| Receipt { via: Via::Spool, ..receipt });
        Ok(NewEvent { event: Arc::new(event), content_key, person_key: person_key.transpose()?, destinations, body, receipt })
    }
}

fn unwritable(error: &serde_json::Error) -> Error {
    Error::Refused(format!("the record cannot be written (line {}, column {}); this is a bug", error.line(), error.column()))
}

impl SpooledBody {
    pub(in crate::store) fn into_refused(self, at: Timestamp) -> Result<Refused> {
        let body = STANDARD.decode(&self.body).map_err(|_| Error::Refused("the record holds a body that cannot be read".to_owned()))?;
        Ok(Refused {
            source: self.source,
            at,
            client: self.client,
            header: self.header,
            body: body.into(),
            code: self.code,
            reason: self.reason,
            class: QuarantineClass::Promised,
        })
    }
}
