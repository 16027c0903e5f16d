//! Acme's requests, as values, and what its answers mean.

use crate::config::Settings;
use leadwire_connector::http::{self, Answer, Client, HttpSettings, Method, Request};
use leadwire_connector::reexport::Url;
use leadwire_connector::settings::Secret;
use leadwire_connector::{DeliveryError, ErrorKind};
use serde_json::{Value, json};

const NAME: &str = "Acme";

/// Acme's API.
pub(crate) struct Api {
    client: Client,
    url: Url,
    token: Secret,
}

impl Api {
    pub(crate) fn new(settings: &Settings, http: &HttpSettings) -> Result<Self, String> {
        Ok(Self { client: Client::new(http)?, url: settings.url.clone(), token: settings.token.clone() })
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        Request::new(method, http::join(&self.url, path)).bearer(self.token.expose())
    }

    /// Makes the contact, or updates the one with this e-mail: Acme's own key, so repeating it is harmless.
    pub(crate) fn put_contact(&self, email: &str, fields: &[(String, String)]) -> Request {
        let body: serde_json::Map<String, Value> = fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        self.request(Method::Put, &["contacts", email]).json(&body.into())
    }

    pub(crate) fn notes(&self, contact: &str) -> Request {
        self.request(Method::Get, &["contacts", contact, "notes"])
    }

    /// Acme takes a note as often as it is sent.
    pub(crate) fn post_note(&self, contact: &str, text: &str, delivery: &str) -> Request {
        self.request(Method::Post, &["contacts", contact, "notes"]).json(&json!({"text": text, "delivery": delivery}))
    }

    pub(crate) fn account(&self) -> Request {
        self.request(Method::Get, &["account"])
    }

    /// Sends it. A 2xx is no success until the body says so.
    pub(crate) async fn send(&self, request: &Request) -> Result<Value, DeliveryError> {
        let answer = self.client.send(request).await?;
        if !answer.is_2xx() {
            return Err(answer.error(NAME));
        }
        answer.json().filter(|body| body.is_object() && body.get("error").is_none()).ok_or_else(|| no_success(&answer))
    }
}

fn no_success(answer: &Answer) -> DeliveryError {
    let message = format!("{NAME} answered {}, but with an error inside or with no JSON", answer.status);
    DeliveryError::retry(ErrorKind::Unexpected, message).with_status(answer.status).with_excerpt(&answer.body)
}

/// The id of the record that an answer speaks of.
pub(crate) fn id_of(answer: &Value) -> Result<String, DeliveryError> {
    let no_id = || DeliveryError::retry(ErrorKind::Unexpected, format!("{NAME} answered with success, but without the id of the record"));
    answer["id"].as_str().map(str::to_owned).ok_or_else(no_id)
}
