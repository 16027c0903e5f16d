//! What people are shown of requests and of what others said, without secrets.
//!
//! Connectors mask what they know to be secret. This is the second lock: no secret of a configuration is shown, whatever a connector
//! made of it.

use crate::config::Settings;
use leadwire_connector::{PreviewRequest, Redactor};
use serde_json::Value;
use url::Url;

const DOTS: &str = "••••";
/// The same, as a URL may hold it.
const DOTS_IN_URL: &str = "%E2%80%A2%E2%80%A2%E2%80%A2%E2%80%A2";

/// Headers that hold credentials, whatever a connector says of them.
const SECRET_HEADERS: [&str; 6] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"];
/// The same for parameters of an address.
const SECRET_PARAMETERS: [&str; 8] = ["token", "access_token", "api_key", "apikey", "key", "secret", "password", "client_secret"];

/// Masks the secrets of configurations.
#[derive(Debug, Clone)]
pub struct SecretMask {
    redactors: Vec<Redactor>,
}

impl SecretMask {
    /// The secrets of all of these.
    #[must_use]
    pub fn of<'a>(settings: impl IntoIterator<Item = &'a Settings>) -> Self {
        Self { redactors: settings.into_iter().map(|settings| settings.redactor.clone()).collect() }
    }

    /// The text without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        self.redactors.iter().fold(text.to_owned(), |text, redactor| redactor.clean(&text).into_owned())
    }

    /// The request without secrets.
    #[must_use]
    pub fn request(&self, mut request: PreviewRequest) -> PreviewRequest {
        request.url = self.text(&mask_url(&request.url));
        for (name, value) in &mut request.headers {
            *value = self.text(&mask_header(name, value));
        }
        self.value(&mut request.body);
        request
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(table) => table.values_mut().for_each(|value| self.value(value)),
            _ => {}
        }
    }
}

/// Whether something of a value was masked.
#[must_use]
pub fn is_masked(value: &str) -> bool {
    value.contains(DOTS)
}

fn mask_header(name: &str, value: &str) -> String {
    let is_secret = SECRET_HEADERS.contains(&name.to_ascii_lowercase().as_str());
    match value.split_once(' ') {
        _ if !is_secret || is_masked(value) => value.to_owned(),
        Some((scheme, _)) => format!("{scheme} {DOTS}"),
        None => DOTS.to_owned(),
    }
}

/// Addresses of files, and what is no address, stay as they are.
fn mask_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return text.to_owned() };
    let mut is_changed = false;
    if !url.username().is_empty() || url.password().is_some() {
        // Only addresses that cannot have either refuse it, and they have neither.
        is_changed = url.set_username(DOTS).is_ok() && url.set_password(None).is_ok();
    }
    let is_secret = |name: &str| SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str());
    if url.query_pairs().any(|(name, _)| is_secret(&name)) {
        let mask = |(name, value): (String, String)| {
            let shown = if is_secret(&name) { DOTS.to_owned() } else { value };
            (name, shown)
        };
        let pairs: Vec<_> = url.query_pairs().into_owned().map(mask).collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
        is_changed = true;
    }
    if is_changed { url.as_str().replace(DOTS_IN_URL, DOTS) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_in_an_address_are_masked_and_the_rest_is_left_as_it_is() {
        assert_eq!(mask_url("https://ann:pw@example.com/in?a=b%20c"), "https://••••@example.com/in?a=b%20c");
        assert_eq!(mask_url("https://TOKEN@example.com/in"), "https://••••@example.com/in");
        assert_eq!(mask_url("https://example.com/in?api_key=abc&a=1"), "https://example.com/in?api_key=••••&a=1");
        for whole in ["https://example.com/in?a=b%20c", "drop/2026.csv", "/var/drop/a:b@c.csv", "(address of the record)"] {
            assert_eq!(mask_url(whole), whole);
        }
    }

    #[test]
    fn credentials_in_a_header_are_masked_also_when_a_connector_forgot_it() {
        assert_eq!(mask_header("AUTHORIZATION", "Basic YW5uOnB3"), "Basic ••••");
        assert_eq!(mask_header("Authorization", "Bearer pat-••••"), "Bearer pat-••••");
        assert_eq!(mask_header("X-Api-Key", "abc"), "••••");
        assert_eq!(mask_header("Idempotency-Key", "abc"), "abc");
    }

    #[test]
    fn a_secret_of_the_configuration_is_found_wherever_it_stands() {
        let mask = SecretMask { redactors: vec![Redactor::new(["first-secret"]), Redactor::new(["second-secret"])] };
        let request = PreviewRequest {
            url: "https://example.com/hooks/first-secret".to_owned(),
            headers: vec![("X-Tag".to_owned(), "second-secret!".to_owned())],
            body: json!({"a": ["first-secret", 1]}),
            ..PreviewRequest::default()
        };
        let shown = format!("{:?}", mask.request(request));
        assert!(!shown.contains("-secret") && shown.contains("••••!"), "{shown}");
    }
}
