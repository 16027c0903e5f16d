//! `[[alerts.channels]]`: who is told of trouble, and how.

use super::kinds;
use super::reader::Reader;
use super::sections::LITERAL;
use leadwire_connector::http::is_loopback;
use leadwire_connector::settings::{Fault, Secret, did_you_mean};
use leadwire_connector::signature::Key;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

const TYPES: [&str; 3] = ["webhook", "slack", "smtp"];

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
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
    #[serde(with = "kinds::Words")]
    pub to: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Common {
    /// For the log and for commands; by default the type.
    name: Option<String>,
    /// The least that is told here.
    severity: AlertSeverity,
    /// Whether the digest goes here. Default true.
    digest: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Webhook {
    /// Where to post.
    url: Option<Secret>,
    /// Signs what is posted, as Standard Webhooks says.
    secret: Option<Secret>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Slack {
    /// Where to post; who knows it may write there.
    url: Option<Secret>,
}

pub(super) fn list(reader: &mut Reader<'_>, value: Option<Value>) -> Vec<Value> {
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

pub(super) fn read_channel(reader: &mut Reader<'_>, index: usize, channel: Value) -> Option<AlertChannel> {
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
