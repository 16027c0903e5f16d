//! The settings of one `json` destination.

use crate::client::Endpoint;
use crate::faults;
use crate::map::{self, Body, Envelope, Payload};
use crate::preset::{FLAT, Preset, Shape};
use crate::rules::{Rule, Success};
use crate::sign::{self, Keys, Secrets};
use crate::template::Template;
use leadwire_connector::http::{self, Identity};
use leadwire_connector::mapping::{self, FieldMap};
use leadwire_connector::settings::{self, Fault, Origin, Secret, duration, valid};
use leadwire_connector::token::{OAuth, OAuthKeys};
use leadwire_connector::{Build, BuildContext, Connector, Limits};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;
use url::{Position, Url};

/// A shorter secret would be found inside unrelated words.
const LEAST_MASKED: usize = 4;

/// The keys of `[destinations.NAME]` with `type = "json"`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A service whose ways are known: it sets defaults for the other keys.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Where to send.
    pub url: Address,
    /// How to send. Default `POST`.
    #[serde(default)]
    pub method: Method,
    /// The signing key, `whsec_` and base64, or several while it is replaced, the newest first.
    #[serde(default)]
    pub secret: Secrets,
    /// Further headers, as templates. Those from the environment or a file are sent as they are, and masked in previews.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// For `Authorization: Bearer`.
    #[serde(default)]
    pub bearer: Option<Secret>,
    /// For `Authorization: Basic`.
    #[serde(default)]
    pub basic: Option<Basic>,
    /// For `Authorization: Bearer` with a token of OAuth 2.
    #[serde(default)]
    pub oauth: Option<OAuthKeys>,
    /// Shown to an endpoint that asks for a certificate, as PEM.
    #[serde(default)]
    pub client_certificate: Option<Secret>,
    /// The key of `client_certificate`, as PEM.
    #[serde(default)]
    pub client_key: Option<Secret>,
    /// The authority of the endpoint's certificate, as PEM, when the machine does not know it.
    #[serde(default)]
    pub ca_certificate: Option<Secret>,
    /// What an answer must be to count as delivered.
    #[serde(default)]
    pub success: Success,
    /// What other answers mean. The first rule that an answer fits decides.
    #[serde(default)]
    pub answers: Vec<Rule>,
    /// What the event is wrapped in. Default: as Standard Webhooks recommends.
    #[serde(default)]
    pub envelope: Option<Envelope>,
    /// Templates whose results are sent as a flat object in place of the event.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// The whole body: a text with templates in it, or a table whose texts are templates.
    #[serde(default)]
    pub body: Option<Value>,
    /// A file with such a text.
    #[serde(default)]
    pub body_file: Option<String>,
    /// In place of the content type that the envelope has.
    #[serde(default)]
    pub content_type: Option<String>,
    /// The greatest length of a body; what does not fit is left out.
    #[serde(default)]
    pub max_bytes: Option<usize>,
    /// How long to wait for an answer.
    #[serde(default, deserialize_with = "duration::option::deserialize")]
    #[schemars(with = "Option<duration::Text>")]
    pub timeout: Option<Duration>,
}

/// How events are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// Without a colon.
    pub username: String,
    /// Any text.
    pub password: Secret,
}

/// Where to send; the address of a webhook may be a secret of its own.
#[derive(Debug, Clone)]
pub struct Address {
    /// The address.
    pub url: Url,
    /// Whether it came from the environment or a file.
    pub is_secret: bool,
}

impl<'de> Deserialize<'de> for Address {
    /// The text itself is not repeated in an error: it may hold a password.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Secret::deserialize(deserializer)?;
        let told = |error| D::Error::custom(format!("this is not a web address ({error}); write it as \"https://example.com/leads\""));
        Ok(Self { url: Url::parse(text.expose().trim()).map_err(told)?, is_secret: !text.is_literal() })
    }
}

/// Like any secret.
impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Secret::json_schema(generator);
        schema.remove("writeOnly");
        schema
    }
}

/// A valid [`Config`], with everything ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) body: Body,
    /// Those of the headers that are templates.
    pub(crate) headers: FieldMap,
    pub(crate) oauth: Option<OAuth>,
    pub(crate) identity: Option<Identity>,
}

/// What editors are told of the keys.
pub(crate) fn schema() -> Value {
    settings::schema::<Config>()
}

/// Reads and validates the settings; for [`ConnectorKind::parse`](leadwire_connector::ConnectorKind).
pub(crate) fn parse(table: Map<String, Value>, origin: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
    Ok(Box::new(settings::parse_and(table, origin, Settings::new)?))
}

impl Settings {
    pub(crate) fn new(mut config: Config) -> Result<Self, Vec<Fault>> {
        let mut faults = faults::of(&config);
        if let Some(preset) = config.preset {
            config.success = config.success.or(preset.success());
            config.answers.extend(preset.answers());
        }
        let keys = valid(Keys::parse(&config.secret), &mut faults);
        let oauth = valid(config.oauth.as_ref().map(|keys| keys.oauth(None)).transpose(), &mut faults);
        let headers = valid(header_templates(&config), &mut faults);
        let identity = valid(identity(&config), &mut faults);
        let body = valid(body(&config), &mut faults);
        match (keys, oauth, headers, identity, body) {
            (Some(keys), Some(oauth), Some(headers), Some(identity), Some(body)) if faults.is_empty() => {
                Ok(Self { config, keys, body, headers, oauth, identity })
            }
            _ => Err(faults),
        }
    }

    /// The value of `Authorization`, unless it is among the headers or comes from OAuth.
    pub(crate) fn authorization(&self) -> Option<String> {
        let bearer = self.config.bearer.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let basic = self.config.basic.as_ref();
        bearer.or_else(|| {
            basic.map(|Basic { username, password }| format!("Basic {}", sign::base64(&format!("{username}:{}", password.expose()))))
        })
    }

    /// The part of the address that lets anybody in who knows it.
    pub(crate) fn secret_path(&self) -> Option<&str> {
        let is_secret = self.config.preset.is_some() || self.config.url.is_secret;
        let path = self.config.url.url[Position::BeforePath..Position::AfterQuery].trim_matches('/');
        Some(path).filter(|path| is_secret && !path.is_empty())
    }

    /// Everything that must not be shown, should an answer repeat it, plain or as JSON writes it; the longest first.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let Config { secret, bearer, basic, headers, .. } = &self.config;
        let known = secret.all.iter().chain(bearer).chain(basic.as_ref().map(|basic| &basic.password));
        let elsewhere = headers.iter().filter(|(name, value)| is_secret_header(name, value)).map(|(_, value)| value);
        let mut secrets: Vec<String> = known.chain(elsewhere).map(|secret| secret.expose().trim().to_owned()).collect();
        secrets.extend(self.authorization().and_then(|value| Some(value.split_once(' ')?.1.to_owned())));
        secrets.extend(self.secret_path().map(str::to_owned));
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

/// A secret is sent as it is, whatever stands in it.
pub(crate) fn is_template(name: &str, value: &Secret) -> bool {
    !is_secret_header(name, value) && ["{{", "{%"].iter().any(|start| value.expose().contains(start))
}

fn header_templates(config: &Config) -> Result<FieldMap, Vec<Fault>> {
    let templates = config.headers.iter().filter(|(name, value)| is_template(name, value));
    FieldMap::compile_at("headers", &templates.map(|(name, value)| (name.clone(), value.expose().to_owned())).collect())
}

fn identity(config: &Config) -> Result<Option<Identity>, Vec<Fault>> {
    match (&config.client_certificate, &config.client_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => match Identity::new(certificate.expose(), key) {
            Ok(identity) => Ok(Some(identity)),
            Err(told) => Err(vec![Fault::new(["client_certificate"], told).with_help("write { file = \"/path\" }, also for `client_key`")]),
        },
        (Some(_), None) => Err(vec![Fault::new(["client_key"], "`client_key` is missing").with_help("it belongs to `client_certificate`")]),
        (None, Some(_)) => {
            Err(vec![Fault::new(["client_certificate"], "`client_certificate` is missing").with_help("it belongs to `client_key`")])
        }
    }
}

fn body(config: &Config) -> Result<Body, Vec<Fault>> {
    let shape = config.preset.map(Preset::shape);
    let envelope = config.envelope.unwrap_or(if shape.is_some() { Envelope::Event } else { Envelope::Standard });
    let content_type = config.content_type.clone();
    let most_bytes = config.max_bytes.unwrap_or(usize::MAX);
    let own = match (&config.body, &config.body_file) {
        (None, Some(path)) => Some(Value::String(faults::read_template(path)?)),
        (body, _) => body.clone(),
    };
    let payload = match own {
        Some(own) => Payload::Own(Template::compile(&own, map::is_json(content_type.as_deref()))?),
        None => fields(config, shape, envelope)?.map_or_else(|| Payload::of(shape.unwrap_or(Shape::Event)), Payload::Fields),
    };
    Ok(Body { payload, envelope, content_type, most_bytes })
}

/// The owner's fields, over those of the preset if it wants flat ones. A form is flat by its nature.
fn fields(config: &Config, shape: Option<Shape>, envelope: Envelope) -> Result<Option<FieldMap>, Vec<Fault>> {
    let has_defaults = shape == Some(Shape::Flat) || (envelope == Envelope::Form && config.fields.is_empty());
    let templates = mapping::over(if has_defaults { &FLAT } else { &[] }, &config.fields);
    let compiled = FieldMap::compile(&templates)?;
    Ok((!templates.is_empty() || !config.fields.is_empty()).then_some(compiled))
}

impl Build for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
        Ok(Box::new(Endpoint::new(self.clone(), context)?))
    }

    fn limits(&self) -> Limits {
        self.config.preset.map_or_else(Limits::default, Preset::limits)
    }

    fn warnings(&self) -> Vec<String> {
        let url = &self.config.url.url;
        let mut warnings: Vec<String> = http::in_the_clear("url", url, "the leads").into_iter().collect();
        if self.keys.is_any_short() {
            warnings.push("`secret` is shorter than the 24 bytes that Standard Webhooks asks for".to_owned());
        }
        warnings.extend(self.config.preset.iter().flat_map(|preset| preset.warnings(url)));
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
        assert!(settings.body.envelope == Envelope::Standard && settings.keys.is_empty() && settings.authorization().is_none());
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
    fn keys_that_do_not_go_together_are_faults() {
        assert_eq!(places(&json!({"body": {"a": "b"}, "fields": {"c": "d"}, "envelope": "event"})), ["envelope", "fields"]);
        assert_eq!(places(&json!({"body": "{}", "body_file": "x.json"})), ["body_file"]);
        assert_eq!(places(&json!({"body_file": "/no/such/file"})), ["body_file"]);
        assert_eq!(places(&json!({"client_key": "x"})), ["client_certificate"]);
        assert_eq!(places(&json!({"client_certificate": "hunter2"})), ["client_key"]);
        assert_eq!(places(&json!({"client_certificate": "hunter2", "client_key": "x"})), ["client_certificate"]);
        assert_eq!(places(&json!({"ca_certificate": "/etc/ca.pem"})), ["ca_certificate"]);
        assert_eq!(places(&json!({"oauth": {"client_id": "x"}, "bearer": "y"})), ["bearer", "oauth.token_url", "oauth.refresh_token"]);
        assert_eq!(
            places(&json!({"max_bytes": 10, "content_type": "a\nb", "envelope": "cloud"})),
            ["envelope", "max_bytes", "content_type"]
        );
        assert_eq!(places(&json!({"answers": [{"verdict": "retry"}]})), ["answers.0.statuses"]);
        assert_eq!(
            places(&json!({"answers": [{"verdict": "maybe", "statuses": [400]}], "preset": "zapir"})),
            ["answers.0.verdict", "preset"]
        );
        assert_eq!(places(&json!({"headers": {"X-A": "{{ person.emial }}"}})), ["headers.X-A"]);
    }

    #[test]
    fn a_preset_sets_defaults_and_the_owner_goes_before_them() {
        let zapier = settings(&json!({"preset": "zapier", "fields": {"phone": "", "company": "{{ extra.Company }}"}}));
        let Payload::Fields(fields) = &zapier.body.payload else { panic!("{:?}", zapier.body) };
        let names: Vec<&str> = fields.names().collect();
        assert!(names.contains(&"email") && names.contains(&"company") && !names.contains(&"phone"), "{names:?}");
        assert!(zapier.config.success.asks_the_body());
        let own = settings(&json!({"preset": "zapier", "success": {"json": {}}, "envelope": "form", "body": null}));
        assert!(!own.config.success.asks_the_body());
        assert_eq!((own.body.envelope, zapier.body.envelope), (Envelope::Form, Envelope::Event));
        let slack = settings(&json!({"preset": "slack", "body": {"text": "{{ content }}"}}));
        assert!(matches!(slack.body.payload, Payload::Own(_)));
        assert_eq!(slack.limits().per_second, Some(1.0));
    }

    #[test]
    fn a_test_address_of_n8n_is_probably_not_meant() {
        let warnings = |path: &str| settings(&json!({"preset": "n8n", "url": format!("https://n8n.example.com{path}")})).warnings();
        assert_eq!(warnings("/webhook-test/abc").len(), 1);
        assert!(warnings("/webhook/abc").is_empty());
    }

    #[test]
    fn the_address_of_a_webhook_is_a_secret() {
        let secrets = |keys: Value| settings(&keys).secrets();
        assert!(secrets(json!({})).is_empty());
        assert_eq!(secrets(json!({"preset": "slack", "url": "https://hooks.slack.com/services/T0/B0/abc"})), ["services/T0/B0/abc"]);
    }

    #[test]
    fn the_reference_names_every_key() {
        let told = serde_json::from_value::<Config>(json!({"no such key": 1})).unwrap_err().to_string();
        let keys = told.split('`').skip(3).step_by(2).map(str::to_owned);
        let success = serde_json::from_value::<Success>(json!({"no such key": 1})).unwrap_err().to_string();
        let more = success.split('`').skip(3).step_by(2).map(|key| format!("success.{key}"));
        let rule = serde_json::from_value::<Rule>(json!({"no such key": 1})).unwrap_err().to_string();
        let rest = rule.split('`').skip(3).step_by(2).map(|key| format!("answers.{key}"));
        let all: Vec<String> = keys.chain(more).chain(rest).collect();
        assert!(all.len() > 30, "{all:?}");
        for key in all {
            assert!(crate::KIND.reference.contains(&format!("| `{key}` |")), "{key} is missing in the README");
        }
        for preset in Preset::ALL {
            assert!(crate::KIND.reference.contains(&format!("`\"{}\"`", preset.as_str())), "{preset:?} is missing in the README");
        }
    }
}
