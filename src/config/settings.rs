//! What the bridge is told: every section of the configuration with its defaults.

use super::alerts::Alerts;
use super::diagnostics::in_short;
use super::tls::Tls;
use super::traces::Traces;
use super::{Backfill, Diagnostic};
use super::{kinds, values};
use crate::route::Rules;
use ipnet::IpNet;
use leadwire_connector::settings::{Secret, duration};
use leadwire_connector::{Build, Redactor};
use schemars::JsonSchema;
use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// A valid configuration: names resolve, limits are in range, secrets are at hand.
#[derive(Debug)]
pub struct Settings {
    /// The file it came from.
    pub path: PathBuf,
    /// The public listener.
    pub server: Server,
    /// The admin listener.
    pub console: Console,
    /// Where events are kept.
    pub store: Store,
    /// How deliveries are tried.
    pub delivery: Delivery,
    /// Who is told of trouble.
    pub alerts: Alerts,
    /// Where traces go; `None` is nowhere.
    pub traces: Option<Traces>,
    /// What is logged.
    pub log: Log,
    /// By name.
    pub sources: BTreeMap<String, Source>,
    /// By name.
    pub destinations: BTreeMap<String, Destination>,
    /// First to last.
    pub routes: Rules,
    /// Takes every secret of this configuration out of a text.
    pub redactor: Redactor,
    /// What is legal but probably not meant.
    pub warnings: Vec<Diagnostic>,
}

impl Settings {
    /// What a person is told of the warnings: of those that many places have, the first few and how many there are.
    #[must_use]
    pub fn told_warnings(&self) -> Vec<String> {
        in_short(&self.warnings)
    }
}

/// `[server]`: the listener that the chatbot platforms post to.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port.
    #[serde(with = "kinds::Listen")]
    pub listen: SocketAddr,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(with = "kinds::Addresses")]
    pub trusted_proxies: Vec<IpNet>,
    /// Threads that receive; by default one for each core.
    #[serde(with = "kinds::AtLeastOne")]
    pub workers: usize,
    /// How long a stop waits for what is in flight.
    #[serde(with = "kinds::Period")]
    pub shutdown_timeout: Duration,
    /// How long a sender may take to send a whole request.
    #[serde(with = "kinds::Period")]
    pub request_timeout: Duration,
    /// Connections open at once.
    #[serde(with = "kinds::AtLeastOne")]
    pub max_connections: usize,
    /// How the listener is reached from outside; used to print the URLs that are pasted into the platform.
    #[serde(with = "kinds::WebAddress")]
    pub public_url: Option<Url>,
    /// The listener's own TLS, where no proxy has it.
    pub tls: Option<Tls>,
}

impl Server {
    /// What senders reach the receiver by, which listens at `own`; without a slash at its end.
    #[must_use]
    pub fn reached_by(&self, own: SocketAddr) -> String {
        self.public_url.as_ref().map_or_else(|| format!("{}://{own}", self.scheme()), |url| url.as_str().trim_end_matches('/').to_owned())
    }

    /// What the listener itself speaks.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            trusted_proxies: Vec::new(),
            workers: std::thread::available_parallelism().map_or(2, Into::into),
            shutdown_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            max_connections: 1_000,
            public_url: None,
            tls: None,
        }
    }
}

/// `[console]`: the listener for people and programs that look after the bridge.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Address and port; loopback unless there is a token.
    #[serde(with = "kinds::Listen")]
    pub listen: SocketAddr,
    /// Whether it speaks TLS, with the certificate of `[server.tls]`.
    pub tls: bool,
    /// Whoever shows it may do everything.
    pub token: Option<Secret>,
    /// `[console.users.NAME]`, by name; read on their own.
    #[serde(skip)]
    pub users: BTreeMap<String, User>,
    /// Whether those who may only read see persons masked.
    pub mask_personal_data: bool,
    /// How long a login lasts.
    #[serde(with = "kinds::Period")]
    pub session_lifetime: Duration,
    /// How long a login lasts that nobody uses.
    #[serde(with = "kinds::Period")]
    pub session_idle: Duration,
}

impl Console {
    /// What the listener itself speaks.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            tls: false,
            token: None,
            users: BTreeMap::new(),
            mask_personal_data: false,
            session_lifetime: Duration::from_hours(12),
            session_idle: Duration::from_hours(2),
        }
    }
}

/// What somebody may do on the console.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    #[default]
    Read,
    /// Look and act.
    Operate,
}

/// `[console.users.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct User {
    /// What they log in with.
    pub token: Option<Secret>,
    /// What they may do.
    pub role: Role,
}

/// The kind of store and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The database file; a relative path is relative to the working directory.
    Sqlite(PathBuf),
    /// The URL of the database, which may hold a password.
    Postgres(Secret),
}

/// The same as in a configuration.
impl std::str::FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let deserializer: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
        values::store_url(deserializer).map_err(|error| error.to_string())
    }
}

/// `[store]`: where events, deliveries and the quarantine are kept.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite:PATH` or `postgres://…`.
    #[serde(with = "kinds::Place")]
    pub url: StoreUrl,
    /// How long events are kept once all their deliveries have ended; without it, for ever.
    #[serde(with = "kinds::SomePeriod")]
    pub retention: Option<Duration>,
    /// What the store may take before the oldest ended events go; without it, any size.
    #[serde(with = "kinds::SomeSize")]
    pub max_bytes: Option<u64>,
    /// All quarantined bodies of one source together.
    #[serde(with = "kinds::Size")]
    pub quarantine_max_bytes: u64,
    /// How long a quarantined body is kept.
    #[serde(with = "kinds::Period")]
    pub quarantine_max_age: Duration,
    /// A folder, on another volume than the store, that takes what is received while the store is sick; by default none.
    #[serde(with = "kinds::SomeFolder")]
    pub spool: Option<PathBuf>,
    /// All records of the spool together.
    #[serde(with = "kinds::Size")]
    pub spool_max_bytes: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite(PathBuf::from("data/leadwire.db")),
            retention: None,
            max_bytes: None,
            quarantine_max_bytes: 256 << 20,
            quarantine_max_age: Duration::from_hours(30 * 24),
            spool: None,
            spool_max_bytes: 1 << 30,
        }
    }
}

/// `[delivery]`: how deliveries are tried, for all destinations.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// The pause after the first failed attempt; it doubles from there.
    #[serde(with = "kinds::Period")]
    pub backoff_initial: Duration,
    /// The longest pause.
    #[serde(with = "kinds::Period")]
    pub backoff_max: Duration,
    /// How long a delivery is tried, not counting the time its destination is on hold.
    #[serde(with = "kinds::Period")]
    pub give_up_after: Duration,
    /// How long connecting to a destination may take.
    #[serde(with = "kinds::Period")]
    pub connect_timeout: Duration,
    /// How long one request to a destination may take in all.
    #[serde(with = "kinds::Period")]
    pub timeout: Duration,
    /// Whether destinations may only be at public addresses.
    pub block_private_addresses: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            backoff_initial: Duration::from_secs(5),
            backoff_max: Duration::from_hours(1),
            give_up_after: Duration::from_hours(72),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            block_private_addresses: false,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `info`, or with exceptions for parts of the program: `info,leadwire::deliver=debug`.
    #[serde(with = "kinds::LogLevel")]
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::default() }
    }
}

/// `[sources.NAME]`: one webhook URL, `/hooks/NAME`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Any of them may have signed; several while rotating, none while awaiting the key.
    #[serde(with = "kinds::Secrets")]
    pub signing_keys: Vec<Secret>,
    /// Who may post; empty is everyone.
    #[serde(with = "kinds::Addresses")]
    pub allow_ips: Vec<IpNet>,
    /// Addresses outside `allow_ips` are logged and let in.
    pub report_only: bool,
    /// For telephone numbers without an international prefix; ISO 3166-1 alpha-2, upper case.
    #[serde(with = "kinds::Country")]
    pub default_country: Option<String>,
    /// An event signed longer ago is marked stale.
    #[serde(with = "kinds::Period")]
    pub tolerance_past: Duration,
    /// An event signed further in the future is marked stale.
    #[serde(with = "kinds::Period")]
    pub tolerance_future: Duration,
    /// Of one request, inflated.
    #[serde(with = "kinds::BodySize")]
    pub max_body_bytes: usize,
    /// Whether a test request gets the platform's own reply to tests.
    pub test_reply: bool,
    /// Requests per minute; by default without limit.
    #[serde(with = "kinds::SomeCount")]
    pub max_per_minute: Option<u32>,
    /// How long nothing may come before it is trouble; without it, the source's own weeks tell.
    #[serde(with = "kinds::SomePeriod")]
    pub silence_after: Option<Duration>,
    /// The platform's list of leads, for `leadwire backfill`.
    pub backfill: Option<Backfill>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            signing_keys: Vec::new(),
            allow_ips: Vec::new(),
            report_only: false,
            default_country: None,
            tolerance_past: Duration::from_secs(600),
            tolerance_future: Duration::from_secs(300),
            max_body_bytes: 32 << 20,
            test_reply: true,
            max_per_minute: None,
            silence_after: None,
            backfill: None,
        }
    }
}

/// `[destinations.NAME]`: one account in one CRM, one endpoint, or one folder.
#[derive(Debug)]
pub struct Destination {
    /// The `type`: the name of its connector.
    pub kind: String,
    /// The connector's own settings, valid.
    pub settings: Box<dyn Build>,
    /// The same for the same settings, with the secrets and files that they name.
    pub fingerprint: [u8; 32],
    /// Attempts under way at once.
    pub concurrency: u32,
    /// Attempts started per second; `None` is no limit.
    pub per_second: Option<f64>,
    /// How many may start at once after a quiet time.
    pub burst: u32,
    /// How long a delivery is tried, not counting the time the destination is on hold.
    pub give_up_after: Duration,
    /// What relative paths in its settings are relative to: the working directory.
    pub base_directory: PathBuf,
}

/// The keys of `[destinations.NAME]` that are the bridge's; all others are the connector's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Drive {
    /// Attempts under way at once; by default what suits its type.
    #[serde(with = "kinds::SomeCount")]
    pub(super) concurrency: Option<u32>,
    /// Attempts started per second; by default what suits its type. On PostgreSQL, of all bridges together.
    #[serde(with = "kinds::SomeRate")]
    pub(super) rate_per_second: Option<f64>,
    /// How many may start at once after a quiet time.
    #[serde(with = "kinds::SomeCount")]
    pub(super) burst: Option<u32>,
    /// In place of the one in `[delivery]`.
    #[serde(with = "kinds::SomePeriod")]
    pub(super) give_up_after: Option<Duration>,
}

impl Drive {
    pub(super) const KEYS: [&'static str; 4] = ["concurrency", "rate_per_second", "burst", "give_up_after"];
}

/// `[[routes]]` as it is written; [`crate::route::Rule`] is what it means.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Route {
    /// The names of the destinations.
    #[serde(with = "kinds::Words")]
    pub(super) to: Vec<String>,
    /// From these sources only; by default from all.
    #[serde(with = "kinds::SomeWords")]
    pub(super) sources: Option<Vec<String>>,
    /// Of these kinds only: `lead`, `appointment`, `conversation`, `unrecognized`, `test`; by default all but `test`.
    #[serde(with = "kinds::SomeWords")]
    pub(super) kinds: Option<Vec<String>>,
    /// From these chatbots only, by the platform's `SerialNumber`.
    #[serde(with = "kinds::SomeWords")]
    pub(super) chatbots: Option<Vec<String>>,
    /// Only when this expression over the event holds, such as `person.phone`.
    pub(super) when: Option<String>,
}

/// A duration that is neither nothing nor so long that sums with it overflow.
pub(super) fn read_period(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_hours(24 * 3_650);
    let period = duration::parse(text)?;
    if period.is_zero() || period > LONGEST {
        return Err(format!("`{text}` is out of range; it must be more than nothing and at most \"3650d\""));
    }
    Ok(period)
}
