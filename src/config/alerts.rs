//! `[alerts]`: which trouble is told, and to whom.

use super::reader::Reader;
use super::sections::LITERAL;
use super::settings::Source;
use super::values;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use leadwire_connector::http::is_loopback;
use leadwire_connector::settings::{Fault, Secret, did_you_mean};
use leadwire_connector::signature::Key;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

const TYPES: [&str; 3] = ["webhook", "slack", "smtp"];
/// Looking costs a few queries.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Deliveries are dead.
    DeadLetters,
    /// A destination is on hold.
    Hold,
    /// The breaker of a destination is open.
    Breaker,
    /// A lead waits for too long.
    Waiting,
    /// Bodies that could not be verified come in numbers.
    Quarantine,
    /// Nothing comes from a source.
    Silence,
    /// A disk is nearly full.
    Disk,
    /// The store takes nothing.
    Store,
    /// What is received is kept in the spool.
    Spool,
    /// The spool has files that cannot be brought into the store.
    SetAside,
}

impl AlertKind {
    /// In the order in which they are documented.
    pub const ALL: [Self; 10] = [
        Self::DeadLetters,
        Self::Hold,
        Self::Breaker,
        Self::Waiting,
        Self::Quarantine,
        Self::Silence,
        Self::Disk,
        Self::Store,
        Self::Spool,
        Self::SetAside,
    ];

    /// The word in the configuration and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead_letters",
            Self::Hold => "hold",
            Self::Breaker => "breaker",
            Self::Waiting => "waiting",
            Self::Quarantine => "quarantine",
            Self::Silence => "silence",
            Self::Disk => "disk",
            Self::Store => "store",
            Self::Spool => "spool",
            Self::SetAside => "set_aside",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertSeverity {
    /// A person should look today.
    #[default]
    Warning,
    /// A person should look now: leads are not kept, or nothing goes on by itself.
    Critical,
}

impl AlertSeverity {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// `[alerts]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// How people reach the console; for the link in each message.
    #[serde(deserialize_with = "values::web_address")]
    pub console_url: Option<Url>,
    /// How often the bridge looks for trouble.
    #[serde(deserialize_with = "values::period")]
    pub look_every: Duration,
    /// How often trouble that lasts is told again.
    #[serde(deserialize_with = "values::period")]
    pub remind_every: Duration,
    /// How long trouble must be gone before its end is told, and the least time between two messages that it grew.
    #[serde(deserialize_with = "values::period")]
    pub settle: Duration,
    /// For how long a breaker may be open.
    #[serde(deserialize_with = "values::period")]
    pub breaker_open_for: Duration,
    /// For how long a lead may be undelivered.
    #[serde(deserialize_with = "values::period")]
    pub lead_older_than: Duration,
    /// So many bodies of one source in the quarantine within an hour are trouble.
    #[serde(deserialize_with = "values::at_least_one")]
    pub quarantine_per_hour: usize,
    /// What must be free on the disks of store and spool, in bytes.
    #[serde(deserialize_with = "values::size")]
    pub disk_free: u64,
    /// For how long the store may be sick.
    #[serde(deserialize_with = "values::period")]
    pub store_sick_for: Duration,
    /// What is not told.
    #[serde(deserialize_with = "kinds")]
    pub off: Vec<AlertKind>,
    /// When a digest is sent each day; `None` is never.
    #[serde(deserialize_with = "time_of_day")]
    digest_at: Option<Time>,
    /// The time zone of `digest_at`, and of the times in messages.
    #[serde(deserialize_with = "time_zone")]
    pub time_zone: TimeZone,
    /// Who is told; nobody without any.
    #[serde(skip)]
    pub channels: Vec<AlertChannel>,
}

/// When a digest is sent each day.
#[derive(Debug, Clone)]
pub struct Digest {
    /// At this time of the day.
    pub at: Time,
    /// Of this time zone.
    pub zone: TimeZone,
}

impl Alerts {
    /// When a digest is sent; `None` is never.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest_at.map(|at| Digest { at, zone: self.time_zone.clone() })
    }
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            console_url: None,
            look_every: Duration::from_secs(10),
            remind_every: Duration::from_hours(24),
            settle: Duration::from_mins(5),
            breaker_open_for: Duration::from_mins(15),
            lead_older_than: Duration::from_hours(1),
            quarantine_per_hour: 10,
            disk_free: 1 << 30,
            store_sick_for: Duration::from_secs(30),
            off: Vec::new(),
            digest_at: None,
            time_zone: TimeZone::UTC,
            channels: Vec::new(),
        }
    }
}

/// Somebody who is told.
#[derive(Debug, Clone)]
pub struct AlertChannel {
    /// For logs, the status and commands.
    pub name: String,
    /// The least severity that is told here.
    pub severity: AlertSeverity,
    /// Whether the digest goes here.
    pub digest: bool,
    /// How.
    pub medium: Medium,
}

/// How a channel is reached.
#[derive(Debug, Clone)]
pub enum Medium {
    /// JSON, signed by Standard Webhooks when there is a key.
    Webhook {
        /// The address, which may be a secret.
        url: Secret,
        /// Signs.
        key: Option<Key>,
    },
    /// A chat that takes what Slack takes.
    Slack {
        /// The address, which is a secret.
        url: Secret,
    },
    /// Mail.
    Smtp(Smtp),
}

impl Medium {
    /// The `type` of the configuration.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Smtp(_) => "smtp",
        }
    }
}

/// How the connection to a mail server is kept private.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// It begins in clear, and goes on encrypted before anything is said.
    #[default]
    Starttls,
    /// It is encrypted from the beginning.
    Implicit,
    /// It is not; for a server on this machine.
    None,
}

/// A mail server and who gets mail.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// The server.
    pub host: String,
    /// Its port; by default that of the kind of TLS.
    pub port: Option<u16>,
    /// How the connection is kept private.
    pub tls: MailTls,
    /// Certificates of authorities that are trusted beside those of the machine, as PEM.
    pub ca_certificate: Option<Secret>,
    /// Who logs in; nobody without it.
    pub user: Option<String>,
    /// For logging in.
    pub password: Option<Secret>,
    /// Who writes.
    pub from: String,
    /// Who reads.
    #[serde(deserialize_with = "values::words")]
    pub to: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Common {
    name: Option<String>,
    severity: AlertSeverity,
    digest: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Webhook {
    url: Option<Secret>,
    secret: Option<Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Slack {
    url: Option<Secret>,
}

/// The section, and its channels.
pub(super) fn read(reader: &mut Reader<'_>, sources: &BTreeMap<String, Source>) -> Alerts {
    let mut table = reader.section("alerts");
    let is_given = !table.is_empty();
    let channels = list(reader, table.shift_remove("channels"));
    let mut alerts: Alerts = reader.read(&["alerts"], table);
    if alerts.look_every < LOOK_AT_MOST_EVERY {
        reader.fault(&["alerts", "look_every"], "out of range: at least \"100ms\"", "the default is \"10s\"");
    }
    if alerts.settle < alerts.look_every * 2 {
        reader.fault(&["alerts", "settle"], "out of range: at least twice `look_every`", "the default is \"5m\"");
    }
    for (index, channel) in channels.into_iter().enumerate() {
        let Some(channel) = read_channel(reader, index, channel) else { continue };
        if alerts.channels.iter().any(|earlier| earlier.name == channel.name) {
            let place = ["alerts", "channels", &index.to_string(), "name"];
            reader.fault(&place, format!("two channels are named `{}`", channel.name), "give each a `name` of its own");
        }
        alerts.channels.push(channel);
    }
    if is_given && alerts.channels.is_empty() && !reader.is_faulty(&["alerts"]) {
        let help = "add [[alerts.channels]] with a `type`: webhook, slack or smtp";
        reader.warn(&["alerts"], "nobody is told: there is no channel", help);
    }
    for (name, _) in sources.iter().filter(|(_, source)| source.silence_after.is_some() && alerts.channels.is_empty()) {
        reader.warn(&["sources", name, "silence_after"], "`silence_after` does nothing without a channel", "add [[alerts.channels]]");
    }
    alerts
}

fn list(reader: &mut Reader<'_>, value: Option<Value>) -> Vec<Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(channels)) => channels,
        // From the environment a list comes as JSON.
        Some(Value::String(text)) if serde_json::from_str::<Vec<Value>>(&text).is_ok() => serde_json::from_str(&text).unwrap_or_default(),
        Some(_) => {
            let help = "write [[alerts.channels]], in double brackets, and its keys below";
            reader.fault(&["alerts", "channels"], "expected a list of channels", help);
            Vec::new()
        }
    }
}

fn read_channel(reader: &mut Reader<'_>, index: usize, channel: Value) -> Option<AlertChannel> {
    let number = index.to_string();
    let path = ["alerts", "channels", number.as_str()];
    let mut table = reader.table(&path, channel);
    let common = ["name", "severity", "digest"].iter().filter_map(|key| table.shift_remove_entry(*key)).collect();
    let common: Common = reader.read(&path, common);
    let kind = read_type(reader, &path, table.shift_remove("type"))?;
    let medium = match kind {
        "webhook" => read_webhook(reader, &path, table),
        "slack" => read_slack(reader, &path, table),
        _ => read_smtp(reader, &path, table),
    }?;
    let name = common.name.unwrap_or_else(|| if index == 0 { kind.to_owned() } else { format!("{kind}-{}", index + 1) });
    Some(AlertChannel { name, severity: common.severity, digest: common.digest.unwrap_or(true), medium })
}

fn read_type(reader: &mut Reader<'_>, path: &[&str; 3], value: Option<Value>) -> Option<&'static str> {
    let place = below(path, "type");
    let Some(Value::String(name)) = value else {
        let message = if value.is_none() { "`type` is missing" } else { "expected text in quotes" };
        reader.fault(&place, message, did_you_mean("", &TYPES));
        return None;
    };
    let known = TYPES.into_iter().find(|kind| *kind == name);
    if known.is_none() {
        reader.fault(&place, format!("unknown type `{name}`"), did_you_mean(&name, &TYPES));
    }
    known
}

fn below<'a>(path: &[&'a str; 3], key: &'a str) -> [&'a str; 4] {
    [path[0], path[1], path[2], key]
}

fn read_webhook(reader: &mut Reader<'_>, path: &[&str; 3], table: Map<String, Value>) -> Option<Medium> {
    let read: Webhook = reader.read(path, table);
    warn_of_literal(reader, path, "secret", read.secret.as_ref());
    let key = read.secret.and_then(|secret| match Key::parse(secret.expose()) {
        Ok(key) => Some(key),
        Err((message, help)) => {
            reader.fault(&below(path, "secret"), message, help);
            None
        }
    });
    Some(Medium::Webhook { url: check_url(reader, path, read.url)?, key })
}

fn read_slack(reader: &mut Reader<'_>, path: &[&str; 3], table: Map<String, Value>) -> Option<Medium> {
    let read: Slack = reader.read(path, table);
    warn_of_literal(reader, path, "url", read.url.as_ref());
    Some(Medium::Slack { url: check_url(reader, path, read.url)? })
}

/// The address is not repeated: it is often all that is needed to write there.
fn check_url(reader: &mut Reader<'_>, path: &[&str; 3], url: Option<Secret>) -> Option<Secret> {
    let place = below(path, "url");
    if reader.is_faulty(&place) {
        return None;
    }
    let help = "write url = \"https://…\", or { env = \"NAME\" }";
    let Some(secret) = url else {
        reader.fault(&place, "`url` is missing", help);
        return None;
    };
    let parsed = Url::parse(secret.expose().trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match parsed {
        None => reader.fault(&place, "this is no web address", help),
        Some(url) if url.scheme() == "http" && !is_loopback(&url) => reader.warn(&place, "alerts travel unencrypted", "use https"),
        Some(_) => {}
    }
    Some(secret)
}

fn read_smtp(reader: &mut Reader<'_>, path: &[&str; 3], table: Map<String, Value>) -> Option<Medium> {
    let smtp: Smtp = reader.read(path, table);
    warn_of_literal(reader, path, "password", smtp.password.as_ref());
    let faults = check_smtp(&smtp);
    // What could not be read is missing now; that is no news.
    let news = faults.into_iter().filter(|fault| !reader.is_faulty(&below(path, fault.path.first().map_or("", String::as_str))));
    let news: Vec<Fault> = news.map(|fault| fault.under(*path)).collect();
    reader.faults.extend(news);
    Some(Medium::Smtp(smtp))
}

fn warn_of_literal(reader: &mut Reader<'_>, path: &[&str; 3], key: &str, secret: Option<&Secret>) {
    let place = below(path, key);
    if secret.is_some_and(Secret::is_literal) && reader.layers.is_from_file(&place) {
        reader.warn(&place, "this secret stands in the file itself", LITERAL);
    }
}

fn check_smtp(smtp: &Smtp) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, message: String, help: &str| faults.push(Fault::new([key], message).with_help(help));
    if smtp.host.trim().is_empty() {
        fault("host", "`host` is missing".to_owned(), "write host = \"smtp.example.com\"");
    }
    if smtp.tls == MailTls::None && !is_this_machine(&smtp.host) {
        fault("tls", "without TLS mail goes to this machine only".to_owned(), "use \"starttls\" (port 587) or \"implicit\" (port 465)");
    }
    if smtp.user.is_some() != smtp.password.is_some() {
        let (missing, given) = if smtp.user.is_some() { ("password", "user") } else { ("user", "password") };
        fault(given, format!("`{given}` without `{missing}`"), "logging in takes both");
    }
    if !is_mailbox(&smtp.from) {
        fault("from", "`from` is missing, or no mail address".to_owned(), "write from = \"leadwire@example.com\"");
    }
    if smtp.to.is_empty() || !smtp.to.iter().all(|to| is_mailbox(to)) {
        fault("to", "`to` is missing, or not all of it are mail addresses".to_owned(), "write to = [\"you@example.com\"]");
    }
    faults
}

fn is_this_machine(host: &str) -> bool {
    Url::parse(&format!("http://{host}/")).or_else(|_| Url::parse(&format!("http://[{host}]/"))).is_ok_and(|url| is_loopback(&url))
}

fn is_mailbox(text: &str) -> bool {
    text.parse::<lettre::message::Mailbox>().is_ok()
}

fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AlertKind>, D::Error> {
    let known = AlertKind::ALL.map(AlertKind::as_str);
    let read = |word: &String| {
        let found = AlertKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| serde::de::Error::custom(format!("unknown condition `{word}`; {}", did_you_mean(word, &known))))
    };
    values::words(deserializer)?.iter().map(read).collect()
}

fn time_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = Time::strptime("%H:%M", text.trim());
    read.map(Some).map_err(|_| serde::de::Error::custom(format!("`{text}` is no time of the day; write one such as \"08:00\"")))
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let text = String::deserialize(deserializer)?;
    let told = |_| serde::de::Error::custom(format!("unknown time zone `{text}`; write one such as \"Europe/Berlin\" or \"UTC\""));
    TimeZone::get(text.trim()).map_err(told)
}
