//! The settings of one GoHighLevel destination.

use crate::client::Api;
use crate::deliver::HighLevel;
use crate::fields;
use leadwire_connector::http;
use leadwire_connector::mapping::{self, FieldMap};
use leadwire_connector::note::Conversations;
use leadwire_connector::session::Sessions;
use leadwire_connector::settings::{self, Fault, Origin, Secret, valid};
use leadwire_connector::token::{CredentialFaults, Credentials, OAuth, OAuthKeys};
use leadwire_connector::{Build, BuildContext, Claim, Connector, Limits};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use url::Url;

/// What every lead fills unless `fields` says otherwise.
const DEFAULT_FIELDS: [(&str, &str); 5] = [
    ("email", "{{ person.email|default('', true)|lower }}"),
    ("firstName", "{{ person.first_name }}"),
    ("lastName", "{{ person.last_name }}"),
    ("phone", "{{ person.phone }}"),
    ("source", "Website chat"),
];
const DEFAULT_TITLE: &str = "Chat appointment: {{ person.first_name }} {{ person.last_name }} {% if not person.first_name and not person.last_name %}\
                             {{ person.email|default(person.phone, true) }}{% endif %}";

/// From the parameter `Version` in `apps/contacts.json` and `apps/calendars.json` of
/// <https://github.com/GoHighLevel/highlevel-api-docs>.
const CONTACTS_VERSION: &str = "2021-07-28";
const CALENDARS_VERSION: &str = "2021-04-15";
/// A year of notes on one contact, read back at once.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// Below this there is no room for the marker and the part's number.
const MIN_NOTE: usize = 500;
const MAX_NOTE: usize = 60_000;

/// The keys of `[destinations.NAME]` with `type = "gohighlevel"`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A private integration token of the sub-account. Either this or `oauth`.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A marketplace app's access to the sub-account.
    #[serde(default)]
    pub oauth: Option<OAuthKeys>,
    /// The sub-account's id.
    pub location_id: String,
    /// The calendar that appointments with an explicit time are booked in. Without one, they become tasks.
    #[serde(default)]
    pub calendar_id: Option<String>,
    /// Where the API is. Default `https://services.leadconnectorhq.com`; a simulated GoHighLevel for staging.
    #[serde(default = "default_base_url")]
    pub base_url: Url,
    /// Where people look at contacts, for links. Default `https://app.gohighlevel.com`; a white label has its own.
    #[serde(default = "default_app_url")]
    pub app_url: Url,
    /// One value of the header `Version` for every request, such as `"v3"`.
    #[serde(default)]
    pub api_version: Option<String>,
    /// The header `Version` of requests about contacts and locations. Default `2021-07-28`.
    #[serde(default)]
    pub contacts_version: Option<String>,
    /// The header `Version` of requests about calendars. Default `2021-04-15`.
    #[serde(default)]
    pub calendars_version: Option<String>,
    /// Contact fields by name, as templates over the event, merged over the defaults. An empty template switches a default off.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Fields written to a new contact only. Default `["source"]`.
    #[serde(default = "default_create_only")]
    pub create_only: Vec<String>,
    /// Tags, as templates over the event, added to those that the contact has.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether remarks and wishes for an appointment become notes. Default true.
    #[serde(default = "yes")]
    pub notes: bool,
    /// How long a note may be, in characters. Default 5000.
    #[serde(default = "default_note_characters")]
    pub note_characters: usize,
    /// How notes are written. Default `"text"`.
    #[serde(default)]
    pub note_format: NoteFormat,
    /// What to do with conversations. Default `"note"`.
    #[serde(default)]
    pub conversations: Conversations,
    /// The id of a custom field that keeps the chat session, to find a conversation's contact by.
    #[serde(default)]
    pub session_field: Option<String>,
    /// What becomes of wishes for an appointment.
    #[serde(default)]
    pub appointments: Appointments,
}

/// The keys of `[destinations.NAME.appointments]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Appointments {
    /// A template for the time: all of its text must be one, with its offset. Default `{{ content }}`.
    pub start: String,
    /// A template for the title of the appointment or task.
    pub title: String,
    /// How long an appointment is, in minutes. Without it, the calendar decides.
    pub minutes: Option<u32>,
    /// The appointment's status. Without it, the calendar decides.
    pub status: Option<Status>,
    /// Whether only free slots are booked. Default true.
    pub free_slots_only: bool,
    /// Whether the location's automations run (confirmations, reminders). Default true.
    pub notify: bool,
    /// The id of the user who gets the appointment or the task.
    pub assigned_user: Option<String>,
    /// Whether an appointment that cannot be booked becomes a task. Default true.
    pub task: bool,
    /// So many hours after the event such a task is due. Default 24.
    pub task_due_hours: u32,
}

impl Default for Appointments {
    fn default() -> Self {
        Self {
            start: "{{ content }}".to_owned(),
            title: DEFAULT_TITLE.to_owned(),
            minutes: None,
            status: None,
            free_slots_only: true,
            notify: true,
            assigned_user: None,
            task: true,
            task_due_hours: 24,
        }
    }
}

/// The status that a new appointment gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// To be confirmed.
    New,
    /// Confirmed.
    Confirmed,
}

/// How notes are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoteFormat {
    /// As plain text.
    #[default]
    Text,
    /// As HTML, escaped, with `<br>` between lines.
    Html,
}

#[expect(clippy::unwrap_used, reason = "a constant, which a test parses")]
fn default_base_url() -> Url {
    Url::parse("https://services.leadconnectorhq.com").unwrap()
}

#[expect(clippy::unwrap_used, reason = "a constant, which a test parses")]
fn default_app_url() -> Url {
    Url::parse("https://app.gohighlevel.com").unwrap()
}

fn default_create_only() -> Vec<String> {
    vec!["source".to_owned()]
}

fn default_note_characters() -> usize {
    5_000
}

fn yes() -> bool {
    true
}

impl Config {
    pub(crate) fn contacts_version(&self) -> &str {
        self.contacts_version.as_deref().or(self.api_version.as_deref()).unwrap_or(CONTACTS_VERSION)
    }

    pub(crate) fn calendars_version(&self) -> &str {
        self.calendars_version.as_deref().or(self.api_version.as_deref()).unwrap_or(CALENDARS_VERSION)
    }

    /// Where tokens are renewed: form-encoded at `/oauth/token`, from `apps/oauth.json` of
    /// <https://github.com/GoHighLevel/highlevel-api-docs>. `user_type` asks for a token of the sub-account.
    fn oauth(&self, keys: &OAuthKeys) -> Result<OAuth, Vec<Fault>> {
        let url = http::join(&self.base_url, &["oauth", "token"]);
        keys.oauth(Some(&url)).map(|oauth| oauth.parameter("user_type", "Location"))
    }
}

/// A valid [`Config`], its templates merged with the defaults and compiled.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) fields: FieldMap,
    pub(crate) tags: FieldMap,
    /// `start` and `title`.
    pub(crate) appointment: FieldMap,
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
        let keys = &config.appointments;
        let appointment = [("start", &keys.start), ("title", &keys.title)].map(|(name, template)| (name.to_owned(), template.clone()));
        let mut faults: Vec<Fault> = config.fields.keys().filter_map(|name| fields::fault(name)).collect();
        let credentials = valid(credentials(&config), &mut faults);
        faults.extend(self::faults(&config));
        let fields = valid(FieldMap::compile(&mapping::over(&DEFAULT_FIELDS, &config.fields)), &mut faults);
        let tags = valid(FieldMap::compile_list("tags", &config.tags), &mut faults);
        let appointment = valid(FieldMap::compile_at("appointments", &appointment.into()), &mut faults);
        match (credentials, fields, tags, appointment) {
            (Some(credentials), Some(fields), Some(tags), Some(appointment)) if faults.is_empty() => {
                Ok(Self { config, fields, tags, appointment, credentials })
            }
            _ => Err(faults),
        }
    }
}

fn credentials(config: &Config) -> Result<Credentials, Vec<Fault>> {
    let told = CredentialFaults {
        missing: Fault::new(["token"], "`token` is missing").with_help(
            "make a private integration token in the sub-account (Settings, Private Integrations) and set { env = \"NAME\" }, or set `oauth`",
        ),
        both: Fault::new(["oauth"], "both `token` and `oauth` are set").with_help("keep one of them"),
        malformed: Fault::new(["token"], "the token has characters that no token has, such as a space or a line break")
            .with_help("copy it again from GoHighLevel: Settings, Private Integrations"),
    };
    Credentials::of(config.token.as_ref(), config.oauth.as_ref(), |keys| config.oauth(keys), told)
}

fn faults(config: &Config) -> Vec<Fault> {
    let mut faults = url_faults("base_url", &config.base_url);
    faults.extend(url_faults("app_url", &config.app_url));
    faults.extend(id_faults(config));
    if !(MIN_NOTE..=MAX_NOTE).contains(&config.note_characters) {
        faults.push(
            Fault::new(["note_characters"], format!("a note has {MIN_NOTE} to {MAX_NOTE} characters")).with_help("leave it out for 5000"),
        );
    }
    if config.api_version.is_some() && (config.contacts_version.is_some() || config.calendars_version.is_some()) {
        let fault = Fault::new(["api_version"], "one version for all, and one for some: it is not clear which is meant");
        faults.push(fault.with_help("keep `api_version`, or `contacts_version` and `calendars_version`"));
    }
    faults
}

fn url_faults(key: &str, url: &Url) -> Vec<Fault> {
    let unusable = Fault::new([key], "this is not an address that paths can be added to");
    http::base_faults(key, url, unusable.with_help("write it as \"https://example.com\", or leave it out"))
}

/// Ids and versions travel in addresses and headers.
fn id_faults(config: &Config) -> Vec<Fault> {
    let texts = [
        ("location_id", Some(&config.location_id)),
        ("calendar_id", config.calendar_id.as_ref()),
        ("session_field", config.session_field.as_ref()),
        ("api_version", config.api_version.as_ref()),
        ("contacts_version", config.contacts_version.as_ref()),
        ("calendars_version", config.calendars_version.as_ref()),
    ];
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let wrong = texts.into_iter().filter(|(_, text)| text.is_some_and(|text| !is_word(text)));
    wrong.map(|(key, text)| id_fault(key, text.is_none_or(String::is_empty))).collect()
}

fn id_fault(key: &str, is_empty: bool) -> Fault {
    match (is_empty, key) {
        (true, "location_id") => Fault::new([key], "`location_id` is empty")
            .with_help("set the sub-account's id: in GoHighLevel, Settings, Business Profile, or in the address behind /location/"),
        (true, _) => Fault::new([key], format!("`{key}` is empty")).with_help("set it, or leave it out"),
        (false, _) => Fault::new([key], "this has characters that no such id has").with_help("copy it again from GoHighLevel"),
    }
}

impl Build for Settings {
    fn build(&self, context: &BuildContext) -> Result<Box<dyn Connector>, String> {
        let tokens = self.credentials.tokens("GoHighLevel", context)?;
        Ok(Box::new(HighLevel {
            api: Api::new(&self.config, tokens, &context.http.clone().with_room_for(MAX_ANSWER_BYTES))?,
            settings: self.clone(),
            sessions: Sessions::new(Arc::clone(&context.values)),
            ids: Mutex::default(),
        }))
    }

    fn claims(&self, _base_directory: &Path) -> Vec<Claim> {
        self.credentials.claim().into_iter().collect()
    }

    /// 100 requests in 10 seconds (<https://marketplace.gohighlevel.com/docs/other/rate-limits>). A lead takes four or five: two to look
    /// for it, one to write it, its tags and its note.
    fn limits(&self) -> Limits {
        Limits { concurrency: 8, per_second: Some(2.0), burst: 5 }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> =
            http::in_the_clear("base_url", &self.config.base_url, "the token and the leads").into_iter().collect();
        let names: Vec<&str> = self.fields.names().collect();
        if !names.contains(&"email") {
            warnings.push("`email` is switched off: contacts are found by phone only, and leads without a phone are skipped".to_owned());
        }
        if !self.config.notes && !self.config.appointments.task && self.config.calendar_id.is_none() {
            warnings.push("neither notes nor tasks nor a calendar: the text of a wish for an appointment goes nowhere".to_owned());
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
        table.entry("token").or_insert_with(|| json!("pit-0123456789abcdef"));
        table.entry("location_id").or_insert_with(|| json!("LOC1"));
        Settings::new(settings::parse(table, &Typed).unwrap()).unwrap()
    }

    fn places(table: &Value) -> Vec<String> {
        let faults = parse(table.as_object().unwrap().clone(), &Typed).unwrap_err();
        faults.iter().map(|fault| fault.path.join(".")).collect()
    }

    #[test]
    fn a_token_and_a_location_are_all_it_takes() {
        let settings = settings(&json!({}));
        assert_eq!(settings.config.base_url.as_str(), "https://services.leadconnectorhq.com/");
        assert_eq!((settings.config.contacts_version(), settings.config.calendars_version()), ("2021-07-28", "2021-04-15"));
        assert_eq!(settings.fields.names().collect::<Vec<_>>(), ["email", "firstName", "lastName", "phone", "source"]);
        assert!(settings.warnings().is_empty());
    }

    #[test]
    fn the_version_is_set_for_all_or_for_a_family() {
        let all = settings(&json!({"api_version": "v3"}));
        assert_eq!((all.config.contacts_version(), all.config.calendars_version()), ("v3", "v3"));
        let one = settings(&json!({"calendars_version": "v3"}));
        assert_eq!((one.config.contacts_version(), one.config.calendars_version()), ("2021-07-28", "v3"));
    }

    #[test]
    fn every_fault_has_its_place() {
        let wrong = json!({
            "token": "a b", "location_id": "x/y", "base_url": "ftp://x", "api_version": "v3", "contacts_version": "v3", "note_characters": 3,
            "fields": {"first_name": "x", "city": "{{ person. }}"}, "tags": ["ok", "{{ contnet }}"], "appointments": {"title": "{{ x }}"},
        });
        let places = places(&wrong);
        let expected = [
            "fields.first_name",
            "token",
            "base_url",
            "location_id",
            "note_characters",
            "api_version",
            "fields.city",
            "tags.1",
            "appointments.title",
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn what_is_missing_and_what_is_misspelt_is_told_at_once() {
        assert_eq!(places(&json!({"location_id": "x"})), ["token"]);
        assert_eq!(places(&json!({"tokn": "x"})), ["tokn", "location_id"]);
    }

    #[test]
    fn the_reference_names_every_key() {
        let keys = [
            "token",
            "oauth",
            "location_id",
            "calendar_id",
            "base_url",
            "app_url",
            "api_version",
            "contacts_version",
            "calendars_version",
            "fields",
            "create_only",
            "tags",
            "notes",
            "note_characters",
            "note_format",
            "conversations",
            "session_field",
            "start",
            "title",
            "minutes",
            "status",
            "free_slots_only",
            "notify",
            "assigned_user",
            "task",
            "task_due_hours",
        ];
        for key in keys {
            assert!(crate::KIND.reference.contains(&format!("| `{key}` |")), "{key} is missing in the README");
        }
    }

    #[test]
    fn what_is_legal_but_odd_is_worth_a_warning() {
        assert_eq!(settings(&json!({"base_url": "http://crm.example"})).warnings().len(), 1);
        assert!(settings(&json!({"base_url": "http://127.0.0.1:9"})).warnings().is_empty());
        assert_eq!(settings(&json!({"fields": {"email": ""}})).warnings().len(), 1);
        assert_eq!(settings(&json!({"notes": false, "appointments": {"task": false}})).warnings().len(), 1);
    }
}
