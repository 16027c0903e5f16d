//! The settings of one HubSpot destination.

use crate::API_VERSION;
use crate::client::Api;
use crate::deliver::HubSpot;
use crate::time::Times;
use jiff::fmt::temporal::DateTimeParser;
use leadwire_connector::http;
use leadwire_connector::mapping::{self, FieldMap};
use leadwire_connector::note::Conversations;
use leadwire_connector::session::Sessions;
use leadwire_connector::settings::{self, Fault, Origin, Secret, valid};
use leadwire_connector::token::{CredentialFaults, Credentials, GrantKind, OAuth, OAuthKeys};
use leadwire_connector::{Build, BuildContext, Connector, Limits};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
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
/// HubSpot says how long a token is good; should it not, it is no more than this
/// (<https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/oauth/oauth-quickstart-guide>).
const TOKEN_LIFETIME: Duration = Duration::from_secs(1_800);

/// The keys of `[destinations.NAME]` with `type = "hubspot"`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A service key with the scopes `crm.objects.contacts.read` and `crm.objects.contacts.write`. Either this or `oauth`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// `client_id`, `client_secret` and `refresh_token` of an app with those scopes. Either this or `token`.
    #[serde(default)]
    pub oauth: Option<OAuthKeys>,
    /// The date version of the API, such as `"2026-09"`. For a newer one before the connector has it; the default is what is tested.
    #[serde(default = "default_api_version")]
    pub api_version: String,
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
    /// Whether the remarks of leads become notes. Default true.
    #[serde(default = "yes")]
    pub notes: bool,
    /// What to do with appointments.
    #[serde(default)]
    pub appointments: Appointments,
    /// What to do with conversations. Default `"note"`.
    #[serde(default)]
    pub conversations: Conversations,
    /// Whether a lead with neither e-mail nor phone makes a contact. Default false: such a lead is skipped.
    #[serde(default)]
    pub anonymous: bool,
    /// A custom contact property with unique values, to hold a key of the visitor. With it, contacts without an e-mail are recognised
    /// at once and for certain.
    #[serde(default)]
    pub person_key_property: Option<String>,
    /// The account's number, for links to its contacts.
    #[serde(default)]
    pub portal_id: Option<u64>,
}

/// The keys of `[destinations.NAME.appointments]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Appointments {
    /// A template for the time, such as `"{{ extra.When }}"`. Without it, a text counts that is nothing but a
    /// moment with an offset (RFC 3339).
    #[serde(default)]
    pub time: Option<String>,
    /// What a time without an offset is in: `"America/New_York"` or `"+02:00"`. Without it, such a time does not count.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// How long a meeting takes. Without it, no end is told.
    #[serde(default)]
    pub minutes: Option<u32>,
    /// What an appointment without a certain time becomes. Default `"task"`.
    #[serde(default)]
    pub otherwise: Otherwise,
    /// The HubSpot user, by number, whom meetings and tasks are for.
    #[serde(default)]
    pub owner_id: Option<u64>,
}

/// What an appointment without a certain time becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// A task, due at once.
    #[default]
    Task,
    /// A note.
    Note,
}

#[expect(clippy::unwrap_used, reason = "a constant, which a test parses")]
fn default_base_url() -> Url {
    Url::parse("https://api.hubapi.com").unwrap()
}

fn default_api_version() -> String {
    API_VERSION.to_owned()
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
    pub(crate) times: Times,
    pub(crate) credentials: Credentials,
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
    pub(crate) fn new(config: Config) -> Result<Self, Vec<Fault>> {
        let templates = mapping::over(&DEFAULT_FIELDS, &config.fields);
        let mut faults = Vec::new();
        let credentials = valid(credentials(&config), &mut faults);
        faults.extend(self::faults(&config));
        let times = valid(times(&config.appointments), &mut faults);
        let fields = valid(FieldMap::compile(&templates), &mut faults);
        match (credentials, fields, times) {
            (Some(credentials), Some(fields), Some(times)) if faults.is_empty() => {
                Ok(Self { config, templates, fields, times, credentials })
            }
            _ => Err(faults),
        }
    }
}

fn faults(config: &Config) -> Vec<Fault> {
    let unusable = Fault::new(["base_url"], "this is not the address of an HTTP API");
    let unusable = unusable.with_help("leave it out, or write an address such as \"https://api.hubapi.com\"");
    let mut faults = http::base_faults("base_url", &config.base_url, unusable);
    if !is_version(&config.api_version) {
        let fault = Fault::new(["api_version"], "this is no date version of HubSpot's API");
        faults.push(fault.with_help(format!("leave it out, or write one such as \"{API_VERSION}\"")));
    }
    if config.person_key_property.as_ref().is_some_and(|name| config.fields.contains_key(name)) {
        let fault = Fault::new(["person_key_property"], "this property is in `fields`, too");
        faults.push(fault.with_help("take it out of `fields`; the connector fills it"));
    }
    faults
}

fn credentials(config: &Config) -> Result<Credentials, Vec<Fault>> {
    let told = CredentialFaults {
        missing: Fault::new(["token"], "`token` is missing")
            .with_help("set a service key, such as { env = \"HUBSPOT_TOKEN\" }, or the keys of an app under `oauth`"),
        both: Fault::new(["oauth"], "there are both `token` and `oauth`").with_help("keep one of them"),
        malformed: Fault::new(["token"], "the token has characters that no service key has, such as a space or a line break")
            .with_help("copy it again from HubSpot: Development, Keys, Service keys"),
    };
    Credentials::of(config.token.as_ref(), config.oauth.as_ref(), |keys| oauth(keys, config), told)
}

/// `2026-09`, `2027-03-beta`: it becomes a part of every path.
fn is_version(text: &str) -> bool {
    let date = text.strip_suffix("-beta").unwrap_or(text).as_bytes();
    date.len() == 7 && date.iter().enumerate().all(|(at, byte)| if at == 4 { *byte == b'-' } else { byte.is_ascii_digit() })
}

fn oauth(keys: &OAuthKeys, config: &Config) -> Result<OAuth, Vec<Fault>> {
    if keys.grant == GrantKind::ClientCredentials {
        let fault = Fault::new(["oauth", "grant"], "HubSpot gives no access to contacts for this grant");
        return Err(vec![fault.with_help("leave it out, and set the `refresh_token` that connecting the app gave")]);
    }
    let url = http::join(&config.base_url, &["oauth", &config.api_version, "token"]);
    Ok(keys.oauth(Some(&url))?.lifetime(TOKEN_LIFETIME))
}

fn times(appointments: &Appointments) -> Result<Times, Vec<Fault>> {
    let mut faults = Vec::new();
    let template = appointments.time.as_ref().and_then(|template| {
        let table = BTreeMap::from([("time".to_owned(), template.clone())]);
        valid(FieldMap::compile_at("appointments", &table), &mut faults)
    });
    let zone = appointments.time_zone.as_ref().and_then(|name| DateTimeParser::new().parse_time_zone(name).ok());
    if zone.is_none() && appointments.time_zone.is_some() {
        let fault = Fault::new(["appointments", "time_zone"], "there is no such time zone");
        faults.push(fault.with_help("write one such as \"America/New_York\" or \"+02:00\""));
    }
    if appointments.minutes.is_some_and(|minutes| !(1..=1_440).contains(&minutes)) {
        faults.push(Fault::new(["appointments", "minutes"], "a meeting takes 1 to 1440 minutes"));
    }
    if faults.is_empty() { Ok(Times { template, zone }) } else { Err(faults) }
}

impl Build for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
        let context = context.clone().with_http(context.http.clone().with_room_for(MAX_ANSWER_BYTES));
        Ok(Box::new(HubSpot {
            api: Api::new(self, &context)?,
            settings: self.clone(),
            phones: Sessions::of_phones(Arc::clone(&context.values)),
            sessions: Sessions::new(Arc::clone(&context.values)),
        }))
    }

    /// The free tier allows 100 requests in 10 seconds, and searches 5 in a second
    /// (<https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines>). A new lead takes three requests, a search among
    /// them, a known one four or five; what still runs into the limit is tried again after 10 seconds.
    fn limits(&self) -> Limits {
        Limits { concurrency: 8, per_second: Some(3.0), burst: 8 }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> =
            http::in_the_clear("base_url", &self.config.base_url, "the token and the leads").into_iter().collect();
        if !self.templates.contains_key("email") {
            warnings
                .push("`email` is switched off: contacts are found by phone only, and the same person may become two contacts".to_owned());
        }
        let stage = ["lifecyclestage", "hs_lead_status"].into_iter().find(|name| self.is_overwritten(name));
        warnings.extend(
            stage.map(|name| format!("`{name}` is not in `create_only`: every lead sets it back for contacts that are further on")),
        );
        if self.config.appointments.time_zone.is_some() && self.config.appointments.time.is_none() {
            warnings.push("`appointments.time_zone` does nothing without `appointments.time`".to_owned());
        }
        warnings
    }
}

impl Settings {
    fn is_overwritten(&self, name: &str) -> bool {
        self.templates.contains_key(name) && !self.config.create_only.iter().any(|only| only == name)
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
        if !table.contains_key("oauth") {
            table.entry("token").or_insert_with(|| json!("pat-na1-0123456789abcdef"));
        }
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
    fn the_reference_names_every_key() {
        let keys = ["token", "oauth", "api_version", "base_url", "fields", "create_only", "notes", "conversations", "anonymous"];
        let more = ["person_key_property", "portal_id", "appointments", "time", "time_zone", "minutes", "otherwise", "owner_id"];
        for key in keys.into_iter().chain(more) {
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
    fn an_app_is_as_good_as_a_service_key_if_it_has_a_users_grant() {
        let app = json!({"client_id": "c", "client_secret": "s", "refresh_token": "r"});
        assert!(settings(&json!({"oauth": app})).credentials.is_app());
        let grant = json!({"client_id": "c", "client_secret": "s", "grant": "client_credentials"});
        assert_eq!(faults_of(&json!({"oauth": grant}))[0].path, ["oauth", "grant"]);
    }

    #[test]
    fn a_version_is_a_date() {
        for right in ["2026-09", "2027-03-beta"] {
            assert_eq!(settings(&json!({"api_version": right})).config.api_version, right);
        }
        for wrong in ["v3", "2026-9", "2026/09", "../../x", ""] {
            assert_eq!(faults_of(&json!({"token": "t", "api_version": wrong}))[0].path, ["api_version"], "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_appointments_has_its_place() {
        let faults = faults_of(&json!({"token": "t", "appointments": {"time": "{{ wehn }}", "time_zone": "Mars", "minutes": 0}}));
        let places: Vec<String> = faults.iter().map(|fault| fault.path.join(".")).collect();
        assert_eq!(places, ["appointments.time", "appointments.time_zone", "appointments.minutes"]);
        assert_eq!(settings(&json!({"appointments": {"time_zone": "+02:00"}})).warnings().len(), 1);
    }

    #[test]
    fn a_stage_that_every_lead_sets_back_is_worth_a_warning() {
        let fields = json!({"lifecyclestage": "lead"});
        assert!(settings(&json!({"fields": fields})).warnings().is_empty());
        assert_eq!(settings(&json!({"fields": fields, "create_only": []})).warnings().len(), 1);
    }

    #[test]
    fn the_key_of_a_person_is_not_mapped_twice() {
        let faults = faults_of(&json!({"token": "t", "person_key_property": "key", "fields": {"key": "{{ id }}"}}));
        assert_eq!(faults[0].path, ["person_key_property"]);
    }
}
