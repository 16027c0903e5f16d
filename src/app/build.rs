//! The parts of a bridge, made from its settings.

use crate::bucket::Bucket;
use crate::config::{self, Settings};
use crate::deliver::{self, Backoff, LaneLimits, LateConnector, Policy, connect};
use crate::door::{Fault, Limits, Tls};
use crate::normalize::Profile;
use crate::receive::{Intake, Plain, SourceGate};
use crate::route::Rules;
use crate::store::{QuarantineLimits, Retention, Store};
use crate::verify::{SigningKey, Tolerance};
use leadwire_connector::Background;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Places in memory that the lanes share among them. Each has at least 32, and what its concurrency needs.
const MEMORY_WINDOW: usize = 16_384;

/// The sources and routes of these settings, with the destinations' numbers in this store.
#[must_use]
pub fn build_intake(settings: &mut Settings, store: &Store) -> Intake {
    let sources = settings.sources.iter().map(|(name, source)| (name.clone(), build_gate(name, source))).collect();
    let number = |name: &String| store.destination_id(name).map(|id| (name.clone(), id));
    let destinations = settings.destinations.keys().filter_map(number).collect();
    let rules: Rules = std::mem::take(&mut settings.routes);
    Intake { sources, rules, destinations }
}

fn build_gate(name: &str, source: &config::Source) -> SourceGate {
    let per_minute = |most: u32| Mutex::new(Bucket::new(f64::from(most) / 60.0, most));
    SourceGate {
        keys: source.signing_keys.iter().map(|key| SigningKey::new(key.expose())).collect(),
        tolerance: Tolerance { past: source.tolerance_past, future: source.tolerance_future },
        profile: Profile { source: name.to_owned(), default_country: source.default_country.clone() },
        allow_ips: source.allow_ips.clone(),
        report_only: source.report_only,
        max_body_bytes: source.max_body_bytes,
        test_reply: source.test_reply,
        limit: source.max_per_minute.map(per_minute),
    }
}

/// For the head of a request; a body may take longer.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

pub(super) fn listen_limits(settings: &Settings) -> Limits {
    Limits {
        workers: settings.server.workers,
        connections: settings.server.max_connections,
        head: settings.server.request_timeout.min(HEAD_WITHIN),
        shutdown: settings.server.shutdown_timeout,
    }
}

/// What the listeners speak, if it is TLS.
pub(super) fn open_tls(settings: &Settings) -> Result<Option<Arc<Tls>>, Fault> {
    let files = settings.server.tls.as_ref().and_then(config::Tls::files);
    files.map(|files| Tls::open(files).map(Arc::new)).transpose()
}

/// What is said to those who come without TLS.
pub(super) fn build_plain(settings: &Settings, tls: &Arc<Tls>, own: SocketAddr) -> Plain {
    Plain {
        public_url: settings.server.public_url.clone(),
        port: own.port(),
        tls: Arc::clone(tls),
        challenges: settings.server.tls.as_ref().and_then(|tls| tls.challenges.clone()),
    }
}

pub(super) fn retention(settings: &Settings) -> Retention {
    Retention { age: settings.store.retention, max_bytes: settings.store.max_bytes }
}

pub(super) fn quarantine_limits(settings: &Settings) -> QuarantineLimits {
    QuarantineLimits { max_bytes: settings.store.quarantine_max_bytes }
}

/// Destinations for their lanes, and what talks to all of them, by name, with what tells their settings from others.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) for_lanes: Vec<deliver::Destination>,
    pub(super) connectors: BTreeMap<String, ([u8; 32], LateConnector)>,
}

impl Built {
    pub(super) fn by_name(&self) -> BTreeMap<String, LateConnector> {
        self.connectors.iter().map(|(name, (_, connector))| (name.clone(), connector.clone())).collect()
    }
}

/// Makes what talks to the destinations, but for those that `kept` has with the same settings.
pub(super) fn build_destinations(
    settings: &mut Settings,
    store: &Store,
    background: &Background,
    kept: &BTreeMap<String, ([u8; 32], LateConnector)>,
) -> Built {
    let destinations: BTreeMap<String, config::Destination> = std::mem::take(&mut settings.destinations);
    let share = MEMORY_WINDOW.checked_div(destinations.len()).unwrap_or(MEMORY_WINDOW).clamp(32, 1_024);
    let share = u32::try_from(share).unwrap_or(32);
    let mut built = Built::default();
    for (name, destination) in destinations {
        let fingerprint = destination.fingerprint;
        if let Some(known) = kept.get(&name).filter(|(known, _)| *known == fingerprint) {
            built.connectors.insert(name, known.clone());
        } else if let Some(made) = build_destination(&name, destination, &settings.delivery, (store, background, share)) {
            built.connectors.insert(name, (fingerprint, made.1));
            built.for_lanes.push(made.0);
        }
    }
    built
}

fn build_destination(
    name: &str,
    destination: config::Destination,
    delivery: &config::Delivery,
    (store, background, share): (&Store, &Background, u32),
) -> Option<(deliver::Destination, LateConnector)> {
    let id = store.destination_id(name)?;
    let limits = LaneLimits {
        concurrency: destination.concurrency,
        per_second: destination.per_second,
        burst: destination.burst,
        shared: store.shares_limits(),
        // Next to those under way, as many that come while the outcomes of these are written.
        window: share.max(destination.concurrency.saturating_mul(2).min(1_024)),
    };
    let backoff = Backoff { initial: delivery.backoff_initial, max: delivery.backoff_max, ..Backoff::default() };
    let policy = Policy { backoff, give_up_after: destination.give_up_after };
    let connector = connect(name, destination, delivery, Some((store, id))).with_background(background.clone());
    let made = deliver::Destination { name: name.to_owned(), id, connector: Box::new(connector.clone()), limits, policy };
    Some((made, connector))
}
