//! `[alerts]`: which trouble is told, and to whom.

use super::channels::{AlertChannel, list, read_channel};
use super::kinds;
use super::reader::Reader;
use super::settings::Source;
use super::values;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use leadwire_connector::settings::did_you_mean;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Looking costs a few queries.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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

/// `[alerts]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// How people reach the console; for the link in each message.
    #[serde(with = "kinds::WebAddress")]
    pub console_url: Option<Url>,
    /// How often the bridge looks for trouble.
    #[serde(with = "kinds::Period")]
    pub look_every: Duration,
    /// How often trouble that lasts is told again.
    #[serde(with = "kinds::Period")]
    pub remind_every: Duration,
    /// How long trouble must be gone before its end is told, and the least time between two messages that it grew.
    #[serde(with = "kinds::Period")]
    pub settle: Duration,
    /// For how long a breaker may be open.
    #[serde(with = "kinds::Period")]
    pub breaker_open_for: Duration,
    /// For how long a lead may be undelivered.
    #[serde(with = "kinds::Period")]
    pub lead_older_than: Duration,
    /// So many bodies of one source in the quarantine within an hour are trouble.
    #[serde(with = "kinds::AtLeastOne")]
    pub quarantine_per_hour: usize,
    /// What must be free on the disks of store and spool, in bytes.
    #[serde(with = "kinds::Size")]
    pub disk_free: u64,
    /// For how long the store may be sick.
    #[serde(with = "kinds::Period")]
    pub store_sick_for: Duration,
    /// What is not told.
    #[serde(with = "kinds::AlertKinds")]
    pub off: Vec<AlertKind>,
    /// When a digest is sent each day; by default never.
    #[serde(with = "kinds::TimeOfDay")]
    digest_at: Option<Time>,
    /// The time zone of `digest_at`, and of the times in messages.
    #[serde(with = "kinds::Zone")]
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

pub(super) fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AlertKind>, D::Error> {
    let known = AlertKind::ALL.map(AlertKind::as_str);
    let read = |word: &String| {
        let found = AlertKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| serde::de::Error::custom(format!("unknown condition `{word}`; {}", did_you_mean(word, &known))))
    };
    values::words(deserializer)?.iter().map(read).collect()
}

pub(super) fn time_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = Time::strptime("%H:%M", text.trim());
    read.map(Some).map_err(|_| serde::de::Error::custom(format!("`{text}` is no time of the day; write one such as \"08:00\"")))
}

pub(super) fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
    let text = String::deserialize(deserializer)?;
    let told = |_| serde::de::Error::custom(format!("unknown time zone `{text}`; write one such as \"Europe/Berlin\" or \"UTC\""));
    TimeZone::get(text.trim()).map_err(told)
}
