//! The settings of one `json` destination.

use crate::client::Endpoint;
use crate::sign::{self, Key};
use leadwire_connector::http::{self, is_loopback};
use leadwire_connector::mapping::FieldMap;
use leadwire_connector::settings::{self, Fault, Origin, Secret, duration};
use leadwire_connector::{Build, BuildContext, Connector};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Headers that the connector or the connection itself needs.
const RESERVED: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-timestamp",
];

/// A shorter secret would be found inside unrelated words.
const LEAST_MASKED: usize = 4;

/// The keys of `[destinations.NAME]` with `type = "json"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to send.
    #[serde(deserialize_with = "address")]
    pub url: Url,
    /// How to send. Default `POST`.
    #[serde(default)]
    pub method: Method,
    /// The signing key, `whsec_` and base64.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Further headers. Those from the environment or a file are masked in previews.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// For `Authorization: Bearer`.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// For `Authorization: Basic`.
    #[serde(default)]
    pub basic: Option<Basic>,
    /// What an answer must be to count as delivered.
    #[serde(default)]
    pub success: Success,
    /// Whether the event is wrapped as Standard Webhooks recommends. Default true.
    #[serde(default = "yes")]
    pub envelope: bool,
    /// Templates whose results are sent as a flat object in place of the event.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// How long to wait for an answer.
    #[serde(default, deserialize_with = "duration::option::deserialize")]
    pub timeout: Option<Duration>,
}

/// How events are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they are what they say")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Post => Self::Post,
            Method::Put => Self::Put,
            Method::Patch => Self::Patch,
        }
    }
}

/// A user name and a password (RFC 7617).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// Without a colon.
    pub username: String,
    /// Any text.
    pub password: Secret,
}

/// What an answer must be to count as delivered; every condition that is given must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Success {
    /// The statuses that count. Default 200 to 299.
    #[serde(default)]
    pub statuses: Option<Vec<u16>>,
    /// Text that the body must contain.
    #[serde(default)]
    pub body_contains: Option<String>,
    /// JSON pointers (RFC 6901) and the values that must be there.
    #[serde(default)]
    pub json: BTreeMap<String, Value>,
}

fn yes() -> bool {
    true
}

/// The text itself is not repeated in the error: it may hold a password.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(text.trim())
        .map_err(|error| D::Error::custom(format!("this is not a web address ({error}); write it as \"https://example.com/leads\"")))
}

/// A valid [`Config`], with its key and templates ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) key: Option<Key>,
    pub(crate) fields: FieldMap,
}

/// Reads and validates the settings; for [`ConnectorKind::parse`](leadwire_connector::ConnectorKind).
pub(crate) fn parse(table: Map<String, Value>, origin: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
    Ok(Box::new(settings::parse_and(table, origin, Settings::new)?))
}

impl Settings {
    pub(crate) fn new(config: Config) -> Result<Self, Vec<Fault>> {
        let mut faults = url_faults(&config.url);
        faults.extend(header_faults(&config));
        faults.extend(authorization_faults(&config));
        faults.extend(success_faults(&config.success));
        let key = config.secret.as_ref().map(|secret| Key::parse(secret.expose())).transpose();
        let key = key.map_err(|(message, help)| faults.push(Fault::new(["secret"], message).with_help(help)));
        let fields = FieldMap::compile(&config.fields).map_err(|more| faults.extend(more));
        match (key, fields) {
            (Ok(key), Ok(fields)) if faults.is_empty() => Ok(Self { config, key, fields }),
            _ => Err(faults),
        }
    }

    /// The value of `Authorization`, unless it is among the headers.
    pub(crate) fn authorization(&self) -> Option<String> {
        let bearer = self.config.bearer.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let basic = self.config.basic.as_ref();
        bearer.or_else(|| {
            basic.map(|Basic { username, password }| format!("Basic {}", sign::base64(&format!("{username}:{}", password.expose()))))
        })
    }

    /// Everything that must not be shown, should an answer repeat it, plain or as JSON writes it; the longest first.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let Config { secret, bearer, basic, headers, .. } = &self.config;
        let known = secret.iter().chain(bearer).chain(basic.as_ref().map(|basic| &basic.password));
        let elsewhere = headers.iter().filter(|(name, value)| is_secret_header(name, value)).map(|(_, value)| value);
        let mut secrets: Vec<String> = known.chain(elsewhere).map(|secret| secret.expose().trim().to_owned()).collect();
        secrets.extend(self.authorization().and_then(|value| Some(value.split_once(' ')?.1.to_owned())));
        let escaped: Vec<String> =
            secrets.iter().map(|secret| Value::from(secret.as_str()).to_string().trim_matches('"').to_owned()).collect();
        secrets.extend(escaped);
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        secrets.retain(|secret| secret.chars().count() >= LEAST_MASKED);
        secrets
    }
}

/// A header named like a credential is one, wherever its value stands.
pub(crate) fn is_secret_header(name: &str, value: &Secret) -> bool {
    !value.is_literal() || ["authorization", "cookie", "x-api-key"].iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn url_faults(url: &Url) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !matches!(url.scheme(), "http" | "https") {
        faults.push(
            Fault::new(["url"], format!("`{}` is not http or https", url.scheme())).with_help("write it as \"https://example.com/leads\""),
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        let fault = Fault::new(["url"], "the address holds credentials, which would get into logs");
        faults.push(fault.with_help("take them out, and write basic = { username = \"…\", password = { env = \"NAME\" } }"));
    }
    faults
}

fn header_faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut known = Vec::new();
    for (name, value) in &config.headers {
        let lower = name.to_ascii_lowercase();
        let fault = |message: &str| Fault::new(["headers", name], message);
        if RESERVED.contains(&lower.as_str()) || lower == "webhook-signature" {
            faults.push(fault("this header is set by the connector itself").with_help("take it out"));
        } else if !is_token(name) {
            faults.push(fault("this is not the name of a header").with_help("use letters, digits and `-`"));
        } else if known.contains(&lower) {
            faults.push(fault("this header is given twice").with_help("names of headers are the same in any case"));
        }
        if value.expose().contains(|c: char| c.is_control() && c != '\t') {
            faults.push(
                fault("the value has a line break or another control character")
                    .with_help("take it out, also from the file or the environment"),
            );
        }
        known.push(lower);
    }
    faults
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn authorization_faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Config { bearer, basic, headers, .. } = config;
    let in_headers = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    if [bearer.is_some(), basic.is_some(), in_headers].into_iter().filter(|is_given| *is_given).count() > 1 {
        let key = if bearer.is_some() { "bearer" } else { "basic" };
        let fault = Fault::new([key], "there is more than one value for `Authorization`");
        faults.push(fault.with_help("keep one of `bearer`, `basic` and the header"));
    }
    if bearer.as_ref().is_some_and(|token| !token.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
        let fault = Fault::new(["bearer"], "the token has a space, a line break or another character that no token has");
        faults.push(fault.with_help("copy it again, without `Bearer`"));
    }
    if basic.as_ref().is_some_and(|basic| basic.username.contains(|c: char| c == ':' || c.is_control())) {
        faults.push(Fault::new(["basic", "username"], "a user name has no colon and no control characters (RFC 7617)"));
    }
    faults
}

fn success_faults(success: &Success) -> Vec<Fault> {
    let mut faults = Vec::new();
    if success.statuses.as_ref().is_some_and(Vec::is_empty) {
        faults
            .push(Fault::new(["success", "statuses"], "without a status nothing is ever delivered").with_help("leave it out for any 2xx"));
    }
    for (index, status) in success.statuses.iter().flatten().enumerate().filter(|(_, status)| !(200..600).contains(*status)) {
        faults.push(Fault::new(
            ["success".to_owned(), "statuses".to_owned(), index.to_string()],
            format!("{status} is no status of an answer"),
        ));
    }
    for pointer in success.json.keys().filter(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
        faults.push(Fault::new(["success", "json", pointer], "a JSON pointer starts with `/`").with_help(format!("write \"/{pointer}\"")));
    }
    faults
}

impl Build for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
        Ok(Box::new(Endpoint::new(self.clone(), &context.http)?))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.config.url.scheme() == "http" && !is_loopback(&self.config.url) {
            warnings.push("`url` is not https: the leads travel in the clear".to_owned());
        }
        if self.key.as_ref().is_some_and(Key::is_short) {
            warnings.push("`secret` is shorter than the 24 bytes that Standard Webhooks asks for".to_owned());
        }
        warnings
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::settings::Typed;
    use serde_json::json;

    pub(crate) fn settings(extra: &Value) -> Settings {
        let mut table = extra.as_object().unwrap().clone();
        table.entry("url").or_insert_with(|| json!("https://example.com/leads"));
        Settings::new(settings::parse(table, &Typed).unwrap()).unwrap()
    }

    fn places(table: &Value) -> Vec<String> {
        let mut table = table.as_object().unwrap().clone();
        table.entry("url").or_insert_with(|| json!("https://example.com/leads"));
        let faults = parse(table, &Typed).unwrap_err();
        faults.iter().map(|fault| fault.path.join(".")).collect()
    }

    #[test]
    fn an_address_is_all_it_takes() {
        let settings = settings(&json!({}));
        assert!(settings.config.envelope && settings.key.is_none() && settings.authorization().is_none());
        assert_eq!(settings.config.method, Method::Post);
        assert!(settings.warnings().is_empty());
    }

    #[test]
    fn every_fault_has_its_place() {
        assert_eq!(places(&json!({"url": "example.com/leads"})), ["url"]);
        assert_eq!(places(&json!({"url": "ftp://example.com"})), ["url"]);
        assert_eq!(places(&json!({"url": "https://u:hunter2@example.com"})), ["url"]);
        assert_eq!(places(&json!({"secret": "hunter2"})), ["secret"]);
        assert_eq!(places(&json!({"method": "GET", "ulr": ""})), ["method", "ulr"]);
        assert_eq!(places(&json!({"bearer": "x", "basic": {"username": "u", "password": "p"}})), ["bearer"]);
        assert_eq!(places(&json!({"bearer": "Bearer x"})), ["bearer"]);
        assert_eq!(places(&json!({"basic": {"username": "u:v", "password": "p"}})), ["basic.username"]);
        assert_eq!(places(&json!({"bearer": "x", "headers": {"authorization": "y"}})), ["bearer"]);
        assert_eq!(places(&json!({"timeout": 30})), ["timeout"]);
        assert_eq!(places(&json!({"success": {"statuses": []}})), ["success.statuses"]);
        assert_eq!(places(&json!({"success": {"statuses": [200, 99], "json": {"ok": true}}})), ["success.statuses.1", "success.json.ok"]);
        assert_eq!(places(&json!({"fields": {"a": "{{ person. }}"}, "secret": "whsec_*"})), ["secret", "fields.a"]);
    }

    #[test]
    fn headers_that_the_connector_sets_or_that_are_none_are_refused() {
        for name in ["Content-Type", "webhook-signature", "Idempotency-Key", "HOST", "a b", ""] {
            assert_eq!(places(&json!({"headers": {name: "x"}})), [format!("headers.{name}")]);
        }
        assert_eq!(places(&json!({"headers": {"X-A": "1", "x-a": "2"}})), ["headers.x-a"]);
        assert_eq!(places(&json!({"headers": {"X-A": "1\r\nX-B: 2"}})), ["headers.X-A"]);
    }

    #[test]
    fn no_fault_repeats_a_secret() {
        let table =
            json!({"url": "https://u:hunter2@example.com:x", "secret": "hunter2", "bearer": "hunter2 ", "headers": {"X-A": "hunter2\n"}});
        let faults = parse(table.as_object().unwrap().clone(), &Typed).unwrap_err();
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
    }

    #[test]
    fn credentials_become_an_authorization() {
        assert_eq!(settings(&json!({"bearer": "abc"})).authorization().unwrap(), "Bearer abc");
        let basic = settings(&json!({"basic": {"username": "Aladdin", "password": "open sesame"}}));
        assert_eq!(basic.authorization().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn what_is_probably_not_meant_is_a_warning() {
        assert_eq!(settings(&json!({"url": "http://example.com", "secret": "whsec_c2hvcnQ="})).warnings().len(), 2);
        assert!(settings(&json!({"url": "http://[::1]:9"})).warnings().is_empty());
    }

    #[test]
    fn the_reference_names_every_key() {
        for key in ["url", "method", "secret", "headers", "bearer", "basic", "success", "envelope", "fields", "timeout"] {
            assert!(crate::KIND.reference.contains(&format!("| `{key}` |")), "{key} is missing in the README");
        }
        for key in ["statuses", "body_contains", "json"] {
            assert!(crate::KIND.reference.contains(&format!("| `success.{key}` |")), "{key} is missing in the README");
        }
    }
}
