//! `[alerts]`: the owner learns of trouble before the client does, without a Prometheus.
//!
//! `problem` says what is wrong at a moment, `incident` what of it is told and when it is over, `digest` what a day brought;
//! all three are pure. `look` asks the bridge, `book` remembers, together with other bridges on the same store, `channel` sends,
//! and `watch` gives them a clock and tasks. Nothing here is waited for by what receives or delivers.

mod book;
mod channel;
mod digest;
mod incident;
mod look;
mod note;
mod problem;
mod silence;
mod watch;
mod words;

pub use incident::Incident;
pub use watch::{ChannelStatus, Overview};
pub use words::span;

use crate::config::{Alerts, Settings, StoreUrl};
use crate::deliver::Statuses;
use crate::store::{Keeper, Store};
use channel::{Channel, Sender};
use incident::Rules;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Redactor;
use look::{Look, Memory};
use note::{Letter, Note, What, letter_id};
use problem::Limits;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use watch::Watch;

/// Alerts of a running bridge.
#[derive(Debug)]
pub struct Watching {
    /// How it stands.
    pub overview: Arc<Mutex<Overview>>,
    /// Ends when it is aborted.
    pub task: JoinHandle<()>,
}

/// Starts to look, unless nobody is to be told.
#[must_use]
pub fn start(settings: &Settings, store: &Store, keeper: &Keeper, lanes: Statuses) -> Option<Watching> {
    let alerts = &settings.alerts;
    let channels = channels(settings).inspect_err(|error| tracing::error!("there are no alerts: {error}")).ok()?;
    if channels.is_empty() {
        return None;
    }
    let look = Look {
        store: store.clone(),
        keeper: keeper.clone(),
        lanes,
        folders: folders(settings),
        host: host(),
        every: alerts.look_every,
        memory: Memory::default(),
    };
    let watch = Watch::new(look, limits(settings), rules(alerts), alerts, channels, store.shares_limits());
    let overview = watch.overview();
    Some(Watching { overview, task: tokio::spawn(watch.run()) })
}

/// What a channel answered to a test.
#[derive(Debug, serde::Serialize)]
pub struct Tested {
    /// Its name.
    pub channel: String,
    /// Its type.
    pub kind: &'static str,
    /// Whether it took the message.
    pub taken: bool,
    /// What it said, or why not.
    pub answer: String,
}

/// Sends a test message to each channel, or to the one of that name.
///
/// # Errors
/// When no channel can be set up at all.
pub async fn test(settings: &Settings, only: Option<&str>) -> Result<Vec<Tested>, String> {
    let mut tested = Vec::new();
    for (config, channel) in channels(settings)? {
        if only.is_some_and(|only| only != config.name) {
            continue;
        }
        let sent = channel.send(&test_letter(&config.name)).await;
        let (taken, answer) = (sent.is_ok(), sent.unwrap_or_else(|reason| reason));
        tested.push(Tested { channel: config.name.clone(), kind: config.medium.kind(), taken, answer });
    }
    Ok(tested)
}

/// What is remembered of troubles, the open ones first; `all` also of those that are over.
///
/// # Errors
/// `Unavailable` when the store cannot be read.
pub async fn incidents(store: &Store, all: bool) -> crate::store::Result<Vec<Incident>> {
    let pages = store.alert_pages().await?;
    let read = pages.iter().filter_map(|row| serde_json::from_str::<incident::Page>(&row.page).ok()?.incident);
    let mut found: Vec<Incident> = read.filter(|incident| all || incident.is_open()).collect();
    found.sort_by_key(|incident| (incident.ended_at.is_some(), std::cmp::Reverse(incident.severity), incident.since));
    Ok(found)
}

type Channels = Vec<(crate::config::AlertChannel, Channel)>;

fn channels(settings: &Settings) -> Result<Channels, String> {
    let alerts = &settings.alerts;
    if alerts.channels.is_empty() {
        return Ok(Vec::new());
    }
    let client = channel::client(settings.delivery.block_private_addresses, settings.delivery.connect_timeout)?;
    let sender = Sender { host: host(), console_url: alerts.console_url.clone() };
    let redactor: Arc<Redactor> = Arc::new(settings.redactor.clone());
    Ok(alerts.channels.iter().map(|config| (config.clone(), Channel::new(config, &client, &sender, &redactor))).collect())
}

fn test_letter(channel: &str) -> Letter {
    let now = Timestamp::now();
    let note = Note {
        what: What::Test,
        condition: None,
        subject: String::new(),
        severity: crate::config::AlertSeverity::Warning,
        title: "a test".to_owned(),
        detail: "Somebody tries this channel. There is no trouble.".to_owned(),
        remedy: String::new(),
        since: None,
        ended_at: None,
        at: now,
        figures: None,
    };
    Letter { id: letter_id(channel, now, now), note, to: vec![channel.to_owned()] }
}

/// The name of this machine.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Of a store that is a server's, the disk is the server's.
fn folders(settings: &Settings) -> Vec<PathBuf> {
    let store = match &settings.store.url {
        StoreUrl::Sqlite(path) => {
            path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_owned())
        }
        StoreUrl::Postgres(_) => None,
    };
    store.into_iter().chain(settings.store.spool.clone()).collect()
}

fn limits(settings: &Settings) -> Limits {
    let alerts = &settings.alerts;
    let silent = settings.sources.iter().filter_map(|(name, source)| Some((name.clone(), signed(source.silence_after?))));
    Limits {
        breaker_open_for: signed(alerts.breaker_open_for),
        lead_older_than: signed(alerts.lead_older_than),
        quarantine_per_hour: i64::try_from(alerts.quarantine_per_hour).unwrap_or(i64::MAX),
        disk_free: alerts.disk_free,
        store_sick_for: signed(alerts.store_sick_for),
        silence_after: silent.collect(),
        off: alerts.off.clone(),
        zone: alerts.time_zone.clone(),
    }
}

fn rules(alerts: &Alerts) -> Rules {
    Rules {
        remind_every: signed(alerts.remind_every),
        settle: signed(alerts.settle),
        started_at: Timestamp::now(),
        channels: alerts.channels.iter().map(|channel| (channel.name.clone(), channel.severity)).collect(),
    }
}

/// The configuration knows no longer ones than years.
fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}
