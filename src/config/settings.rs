//! What the bridge is told: every section of the configuration with its defaults.

use super::alerts::Alerts;
use super::traces::Traces;
use super::values;
use super::{Backfill, Diagnostic};
use crate::route::Rules;
use ipnet::IpNet;
use leadwire_connector::settings::{Secret, duration};
use leadwire_connector::{Build, Redactor};
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

/// `[server]`: the listener that the chatbot platforms post to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port.
    #[serde(deserialize_with = "values::listen")]
    pub listen: SocketAddr,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "values::addresses")]
    pub trusted_proxies: Vec<IpNet>,
    /// Threads that receive.
    #[serde(deserialize_with = "values::at_least_one")]
    pub workers: usize,
    /// How long a stop waits for what is in flight.
    #[serde(deserialize_with = "values::period")]
    pub shutdown_timeout: Duration,
    /// How long a sender may take to send a whole request.
    #[serde(deserialize_with = "values::period")]
    pub request_timeout: Duration,
    /// Connections open at once.
    #[serde(deserialize_with = "values::at_least_one")]
    pub max_connections: usize,
    /// How the listener is reached from outside; used to print the URLs that are pasted into the platform.
    #[serde(deserialize_with = "values::web_address")]
    pub public_url: Option<Url>,
}

impl Server {
    /// What senders reach the receiver by, which listens at `own`; without a slash at its end.
    #[must_use]
    pub fn reached_by(&self, own: SocketAddr) -> String {
        self.public_url.as_ref().map_or_else(|| format!("http://{own}"), |url| url.as_str().trim_end_matches('/').to_owned())
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
        }
    }
}

/// `[console]`: the listener for people and programs that look after the bridge.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Address and port; loopback unless there is a token.
    #[serde(deserialize_with = "values::listen")]
    pub listen: SocketAddr,
    /// Whoever shows it may do everything.
    pub token: Option<Secret>,
    /// `[console.users.NAME]`, by name; read on their own.
    #[serde(skip)]
    pub users: BTreeMap<String, User>,
    /// Whether those who may only read see persons masked.
    pub mask_personal_data: bool,
    /// How long a login lasts.
    #[serde(deserialize_with = "values::period")]
    pub session_lifetime: Duration,
    /// How long a login lasts that nobody uses.
    #[serde(deserialize_with = "values::period")]
    pub session_idle: Duration,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            token: None,
            users: BTreeMap::new(),
            mask_personal_data: false,
            session_lifetime: Duration::from_hours(12),
            session_idle: Duration::from_hours(2),
        }
    }
}

/// What somebody may do on the console.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    #[default]
    Read,
    /// Look and act.
    Operate,
}

/// `[console.users.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct User {
    /// What they log in with. `None` is a fault.
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
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite:PATH` or `postgres://…`.
    #[serde(deserialize_with = "values::store_url")]
    pub url: StoreUrl,
    /// How long events are kept once all their deliveries have ended; `None` is for ever.
    #[serde(deserialize_with = "values::some_period")]
    pub retention: Option<Duration>,
    /// What the store may take before the oldest ended events go; `None` is any size.
    #[serde(deserialize_with = "values::some_size")]
    pub max_bytes: Option<u64>,
    /// All quarantined bodies of one source together.
    #[serde(deserialize_with = "values::size")]
    pub quarantine_max_bytes: u64,
    /// How long a quarantined body is kept.
    #[serde(deserialize_with = "values::period")]
    pub quarantine_max_age: Duration,
    /// A folder, on another volume than the store, that takes what is received while the store is sick; `None` is none.
    #[serde(deserialize_with = "values::some_folder")]
    pub spool: Option<PathBuf>,
    /// All records of the spool together.
    #[serde(deserialize_with = "values::size")]
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
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// The pause after the first failed attempt; it doubles from there.
    #[serde(deserialize_with = "values::period")]
    pub backoff_initial: Duration,
    /// The longest pause.
    #[serde(deserialize_with = "values::period")]
    pub backoff_max: Duration,
    /// How long a delivery is tried, not counting the time its destination is on hold.
    #[serde(deserialize_with = "values::period")]
    pub give_up_after: Duration,
    /// How long connecting to a destination may take.
    #[serde(deserialize_with = "values::period")]
    pub connect_timeout: Duration,
    /// How long one request to a destination may take in all.
    #[serde(deserialize_with = "values::period")]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `info`, or with exceptions for parts of the program: `info,leadwire::deliver=debug`.
    #[serde(deserialize_with = "values::log_level")]
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
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Any of them may have signed; several while rotating, none while awaiting the key.
    #[serde(deserialize_with = "values::secrets")]
    pub signing_keys: Vec<Secret>,
    /// Who may post; empty is everyone.
    #[serde(deserialize_with = "values::addresses")]
    pub allow_ips: Vec<IpNet>,
    /// Addresses outside `allow_ips` are logged and let in.
    pub report_only: bool,
    /// For telephone numbers without an international prefix; ISO 3166-1 alpha-2, upper case.
    #[serde(deserialize_with = "values::country")]
    pub default_country: Option<String>,
    /// An event signed longer ago is marked stale.
    #[serde(deserialize_with = "values::period")]
    pub tolerance_past: Duration,
    /// An event signed further in the future is marked stale.
    #[serde(deserialize_with = "values::period")]
    pub tolerance_future: Duration,
    /// Of one request, inflated.
    #[serde(deserialize_with = "values::body_size")]
    pub max_body_bytes: usize,
    /// Whether a test request gets the platform's own reply to tests.
    pub test_reply: bool,
    /// Requests per minute; `None` is no limit.
    #[serde(deserialize_with = "values::some_count")]
    pub max_per_minute: Option<u32>,
    /// How long nothing may come before it is trouble; `None` is for ever.
    #[serde(deserialize_with = "values::some_period")]
    pub silence_after: Option<Duration>,
    /// The platform's list of leads, for `leadwire backfill`; `None` is none.
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
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Drive {
    #[serde(deserialize_with = "values::some_count")]
    pub(super) concurrency: Option<u32>,
    #[serde(deserialize_with = "values::some_rate")]
    pub(super) rate_per_second: Option<f64>,
    #[serde(deserialize_with = "values::some_count")]
    pub(super) burst: Option<u32>,
    #[serde(deserialize_with = "values::some_period")]
    pub(super) give_up_after: Option<Duration>,
}

impl Drive {
    pub(super) const KEYS: [&'static str; 4] = ["concurrency", "rate_per_second", "burst", "give_up_after"];
}

/// `[[routes]]` as it is written; [`crate::route::Rule`] is what it means.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Route {
    #[serde(deserialize_with = "values::words")]
    pub(super) to: Vec<String>,
    #[serde(deserialize_with = "values::some_words")]
    pub(super) sources: Option<Vec<String>>,
    #[serde(deserialize_with = "values::some_words")]
    pub(super) kinds: Option<Vec<String>>,
    #[serde(deserialize_with = "values::some_words")]
    pub(super) chatbots: Option<Vec<String>>,
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
