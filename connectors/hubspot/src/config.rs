//! The settings of one HubSpot destination.

use crate::client::Api;
use crate::deliver::HubSpot;
use crate::recent::Recent;
use leadwire_connector::http::{HttpSettings, is_loopback};
use leadwire_connector::mapping::FieldMap;
use leadwire_connector::settings::{self, Fault, Origin, Secret};
use leadwire_connector::{Build, BuildContext, Connector, Limits};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::Url;

/// What every lead fills unless `fields` says otherwise.
const DEFAULT_FIELDS: [(&str, &str); 4] = [
    // HubSpot keeps addresses in lower case, and finds them by exact value.
    ("email", "{{ person.email|default('', true)|lower }}"),
    ("firstname", "{{ person.first_name }}"),
    ("lastname", "{{ person.last_name }}"),
    ("phone", "{{ person.phone }}"),
];

/// Twenty notes of 65,536 characters each, as JSON, with room for four bytes a character.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// The keys of `[destinations.NAME]` with `type = "hubspot"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A service key with the scopes `crm.objects.contacts.read` and `crm.objects.contacts.write`.
    pub token: Secret,
    /// Where the API is. Default `https://api.hubapi.com`; a simulated HubSpot for staging.
    #[serde(default = "default_base_url")]
    pub base_url: Url,
    /// Contact properties by internal name, as templates over the event, merged over the defaults for `email`, `firstname`,
    /// `lastname` and `phone`. An empty template switches a default off.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Properties written to a new contact only. Default `["lifecyclestage", "hs_lead_status"]`.
    #[serde(default = "default_create_only")]
    pub create_only: Vec<String>,
    /// Whether remarks and wishes for an appointment become notes. Default true.
    #[serde(default = "yes")]
    pub notes: bool,
    /// What to do with conversations. Default `"note"`.
    #[serde(default)]
    pub conversations: Conversations,
    /// Whether a lead with neither e-mail nor phone makes a contact. Default false: such a lead is skipped.
    #[serde(default)]
    pub anonymous: bool,
    /// The account's number, for links to its contacts.
    #[serde(default)]
    pub portal_id: Option<u64>,
}

/// What becomes of a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conversations {
    /// Nothing: it is skipped.
    Skip,
    /// A note on the contact, if HubSpot knows the person.
    #[default]
    Note,
}

#[expect(clippy::unwrap_used, reason = "a constant, which a test parses")]
fn default_base_url() -> Url {
    Url::parse("https://api.hubapi.com").unwrap()
}

fn default_create_only() -> Vec<String> {
    ["lifecyclestage", "hs_lead_status"].map(str::to_owned).to_vec()
}

fn yes() -> bool {
    true
}

/// A valid [`Config`], its templates merged with the defaults and compiled.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) templates: BTreeMap<String, String>,
    pub(crate) fields: FieldMap,
}

/// Reads and validates the settings; for [`ConnectorKind::parse`](leadwire_connector::ConnectorKind).
pub(crate) fn parse(table: Map<String, Value>, origin: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
    Ok(Box::new(settings::parse_and(table, origin, Settings::new)?))
}

impl Settings {
    pub(crate) fn new(config: Config) -> Result<Self, Vec<Fault>> {
        let mut templates: BTreeMap<String, String> =
            DEFAULT_FIELDS.iter().map(|(name, template)| ((*name).to_owned(), (*template).to_owned())).collect();
        templates.extend(config.fields.clone());
        templates.retain(|_, template| !template.trim().is_empty());
        let compiled = FieldMap::compile(&templates);
        let mut faults = faults(&config);
        match compiled {
            Ok(fields) if faults.is_empty() => Ok(Self { config, templates, fields }),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }
}

fn faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !config.token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let fault = Fault::new(["token"], "the token has characters that no service key has, such as a space or a line break");
        faults.push(fault.with_help("copy it again from HubSpot: Settings, Integrations, Service Keys"));
    }
    if !matches!(config.base_url.scheme(), "http" | "https") || config.base_url.query().is_some() {
        let fault = Fault::new(["base_url"], "this is not the address of an HTTP API");
        faults.push(fault.with_help("leave it out, or write an address such as \"https://api.hubapi.com\""));
    }
    if !config.base_url.username().is_empty() || config.base_url.password().is_some() {
        faults.push(Fault::new(["base_url"], "the address holds credentials, which belong into `token`"));
    }
    faults
}

impl Build for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
        let http = HttpSettings { max_answer_bytes: context.http.max_answer_bytes.max(MAX_ANSWER_BYTES), ..context.http.clone() };
        Ok(Box::new(HubSpot { api: Api::new(&self.config, &http)?, settings: self.clone(), recent: Recent::default() }))
    }

    /// The free tier allows 100 requests in 10 seconds
    /// (<https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines>). A new lead takes two requests, a known
    /// one three; what still runs into the limit is tried again after 10 seconds.
    fn limits(&self) -> Limits {
        Limits { concurrency: 8, per_second: Some(4.0), burst: 8 }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.config.base_url.scheme() == "http" && !is_loopback(&self.config.base_url) {
            warnings.push("`base_url` is not https: the token and the leads travel in the clear".to_owned());
        }
        if !self.templates.contains_key("email") {
            warnings
                .push("`email` is switched off: contacts are found by phone only, and the same person may become two contacts".to_owned());
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
        table.entry("token").or_insert_with(|| json!("pat-na1-0123456789abcdef"));
        Settings::new(settings::parse(table, &Typed).unwrap()).unwrap()
    }

    fn faults_of(table: &Value) -> Vec<Fault> {
        parse(table.as_object().unwrap().clone(), &Typed).unwrap_err()
    }

    #[test]
    fn a_token_is_all_it_takes() {
        let settings = settings(&json!({}));
        assert_eq!(settings.config.base_url.as_str(), "https://api.hubapi.com/");
        assert_eq!(settings.config.create_only, ["lifecyclestage", "hs_lead_status"]);
        assert_eq!(settings.fields.names().collect::<Vec<_>>(), ["email", "firstname", "lastname", "phone"]);
        assert!(settings.warnings().is_empty());
    }

    #[test]
    fn fields_are_merged_over_the_defaults_and_an_empty_template_switches_one_off() {
        let settings = settings(&json!({"fields": {"lifecyclestage": "lead", "lastname": ""}}));
        assert_eq!(settings.fields.names().collect::<Vec<_>>(), ["email", "firstname", "lifecyclestage", "phone"]);
    }

    #[test]
    fn every_fault_has_its_place() {
        let faults = faults_of(&json!({"token": "a b", "base_url": "ftp://x", "fields": {"x": "{{ person. }}"}}));
        let places: Vec<String> = faults.iter().map(|fault| fault.path.join(".")).collect();
        assert_eq!(places, ["token", "base_url", "fields.x"]);
        let faults = faults_of(&json!({"tokn": "x", "conversations": "all"}));
        let places: Vec<String> = faults.iter().map(|fault| fault.path.join(".")).collect();
        assert_eq!(places, ["tokn", "conversations", "token"]);
    }

    #[test]
    fn a_missing_token_is_told_at_its_place() {
        let faults = faults_of(&json!({}));
        assert_eq!((faults.len(), faults[0].path.join("."), faults[0].message.as_str()), (1, "token".to_owned(), "`token` is missing"));
    }

    #[test]
    fn the_reference_names_every_key() {
        for key in ["token", "base_url", "fields", "create_only", "notes", "conversations", "anonymous", "portal_id"] {
            assert!(crate::KIND.reference.contains(&format!("| `{key}` |")), "{key} is missing in the README");
        }
    }

    #[test]
    fn a_token_in_the_clear_is_worth_a_warning() {
        assert_eq!(settings(&json!({"base_url": "http://crm.example"})).warnings().len(), 1);
        assert!(settings(&json!({"base_url": "http://127.0.0.1:9"})).warnings().is_empty());
        assert_eq!(settings(&json!({"fields": {"email": ""}})).warnings().len(), 1);
    }

    #[test]
    fn debug_shows_no_token() {
        assert!(!format!("{:?}", settings(&json!({}))).contains("0123456789"));
    }
}
