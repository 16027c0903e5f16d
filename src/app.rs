//! The bridge, put together from its settings.

use crate::alerts::{self, Watching};
use crate::bucket::Bucket;
use crate::config::{self, Settings, StoreUrl};
use crate::console::{self, Access, Console, Jobs, Live};
use crate::deliver::{self, Backoff, Deliverer, LaneLimits, LateConnector, Policy, connect};
use crate::inspect::SecretMask;
use crate::normalize::{self, Profile};
use crate::receive::{self, Budget, Intake, Receiver, Sightings, SourceGate, Walker, reverify};
use crate::route::Rules;
use crate::store::{self, Checkup, Keeper, Origin, Ownership, QuarantineLimits, Retention, Spool, Store};
use crate::telemetry::{Health, Tallying, TraceOptions, Tracing};
use crate::verify::{SigningKey, Tolerance};
use actix_web::dev::ServerHandle;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Background;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often retention and the age of the quarantine are looked after.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How often the store learns that the bridge still runs.
const BEAT_EVERY: Duration = Duration::from_secs(60);
/// How often what was seen of the sources goes into the store.
const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// How often missed leads are looked for. On a shared store, what is found is what was there one look before.
const WALK_EVERY: Duration = Duration::from_secs(20);
/// Deliveries held in memory by all lanes together, at most.
const MEMORY_WINDOW: usize = 16_384;

/// How long a start waits for a store that is locked or cannot be reached, and how often it looks. Machines start in any order, and a
/// supervisor that restarts in a loop tells less than one line of ours.
const START_PATIENCE: Duration = Duration::from_secs(60);
const START_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a stop waits for a sick store to note it. Without the note, the next start goes by the last sign of life.
const SIGN_OFF: Duration = Duration::from_secs(5);
/// How long a stop, or a command at its end, waits beyond its time for tokens that are being renewed: a refresh token that was rotated and is not kept is lost.
/// It is what a token endpoint may take, and a little for the store.
pub const LAST_RENEWALS: Duration = Duration::from_secs(12);
/// How long the trail of what people did is kept.
const ACTIONS_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);
/// How long verifying the quarantine again waits after the store failed.
const REVERIFY_AGAIN: Duration = Duration::from_secs(5);

/// Why the bridge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A listener.
    #[error("{0}; set another address in the configuration, or stop what uses it")]
    Listen(#[from] std::io::Error),
}

/// A bridge that runs.
#[derive(Debug)]
pub struct Bridge {
    /// Where webhooks are received.
    pub address: SocketAddr,
    /// Where the console is.
    pub console: SocketAddr,
    /// For looking into it.
    pub store: Store,
    health: Arc<Health>,
    receiving: (ServerHandle, JoinHandle<std::io::Result<()>>),
    showing: (ServerHandle, JoinHandle<std::io::Result<()>>),
    deliverer: Deliverer,
    background: Background,
    alerts: Option<Watching>,
    tidy: JoinHandle<()>,
    indexing: JoinHandle<()>,
    telling: JoinHandle<()>,
    watching: [JoinHandle<()>; 2],
    sightings: Arc<Sightings>,
    keeping: JoinHandle<()>,
    tallying: Tallying,
    tracing: Tracing,
    shutdown_timeout: Duration,
    _ownership: Ownership,
}

/// Opens the store of these settings; for the bridge and for commands that work beside it.
///
/// # Errors
/// When it cannot be opened.
pub async fn open_store(settings: &Settings) -> store::Result<Store> {
    let (sources, destinations) = (settings.sources.keys(), settings.destinations.keys());
    match &settings.store.url {
        StoreUrl::Sqlite(path) => Store::sqlite(path, sources, destinations),
        StoreUrl::Postgres(url) => Store::postgres(url.expose(), sources, destinations).await,
    }
}

/// The same for commands that only read: also where nothing can be written.
///
/// # Errors
/// When it cannot be opened.
pub async fn open_store_to_read(settings: &Settings) -> store::Result<Store> {
    match &settings.store.url {
        StoreUrl::Sqlite(path) => Store::sqlite_to_read(path, settings.sources.keys(), settings.destinations.keys()),
        StoreUrl::Postgres(_) => open_store(settings).await,
    }
}

/// Looks at the store of these settings as it is, and makes none.
pub async fn check_store(settings: &Settings) -> Checkup {
    match &settings.store.url {
        StoreUrl::Sqlite(path) => store::check_sqlite(path).await,
        StoreUrl::Postgres(url) => store::check_postgres(url.expose()).await,
    }
}

/// Opens the store at `url` to read all of it for another one.
///
/// # Errors
/// When there is none, it is in use, or it cannot be opened.
pub async fn open_origin(url: &StoreUrl) -> store::Result<Origin> {
    match url {
        StoreUrl::Sqlite(path) => Origin::sqlite(path),
        StoreUrl::Postgres(url) => Origin::postgres(url.expose()).await,
    }
}

/// Where the store at `url` is, without a password; the same for every way to write it.
#[must_use]
pub fn place(url: &StoreUrl) -> String {
    match url {
        StoreUrl::Sqlite(path) => path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string(),
        StoreUrl::Postgres(url) => store::postgres_name(url.expose()),
    }
}

/// Opens the store at `url` as it is, without the names of a configuration; makes one when there is none.
///
/// # Errors
/// When it cannot be opened.
pub async fn open_target(url: &StoreUrl) -> store::Result<Store> {
    match url {
        StoreUrl::Sqlite(path) => Store::sqlite(path, [], []),
        StoreUrl::Postgres(url) => Store::postgres(url.expose(), [], []).await,
    }
}

/// Opens store and spool for the bridge, and waits for what is unavailable.
async fn open_patiently(settings: &Settings) -> store::Result<(Store, Ownership, Option<Spool>)> {
    let began = tokio::time::Instant::now();
    loop {
        match open_all(settings).await {
            Err(store::Error::Unavailable(reason)) if began.elapsed() < START_PATIENCE => {
                tracing::warn!("not started yet, trying again for up to {} s: {reason}", START_PATIENCE.as_secs());
                tokio::time::sleep(START_LOOK_EVERY).await;
            }
            result => return result,
        }
    }
}

async fn open_all(settings: &Settings) -> store::Result<(Store, Ownership, Option<Spool>)> {
    let store = open_store(settings).await?;
    let ownership = store.take_ownership().await?;
    let max_bytes = settings.store.spool_max_bytes;
    let spool = settings.store.spool.as_ref().map(|folder| Spool::open(folder, max_bytes)).transpose()?;
    Ok((store, ownership, spool))
}

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

impl Bridge {
    /// Starts everything: store, deliveries, listeners. When it returns, requests are answered.
    ///
    /// # Errors
    /// When the store or an address cannot be used; nothing runs then.
    pub async fn start(mut settings: Settings) -> Result<Self, StartError> {
        let (store, ownership, spool) = open_patiently(&settings).await?;
        let listener = receive::bind(settings.server.listen)?;
        let console_listener = receive::bind(settings.console.listen)?;
        let (address, console_address) = (listener.local_addr()?, console_listener.local_addr()?);

        let intake = Arc::new(build_intake(&mut settings, &store));
        // The tables of phone numbers take a moment, which the first lead should not wait for.
        tokio::task::spawn_blocking(normalize::warm_up);
        let health = Arc::new(Health::default());
        let sightings = Arc::new(Sightings::new(settings.sources.keys()));
        let quarantine = QuarantineLimits { max_bytes: settings.store.quarantine_max_bytes };
        let keeper = Keeper::new(store.clone(), spool, quarantine, settings.destinations.keys());
        let background = Background::default();
        let mask = SecretMask::of([&settings]);
        let (destinations, connectors) = build_destinations(&mut settings, &store, &background);
        let tracing = Tracing::start(settings.traces.take().and_then(trace_options), &store);
        let deliverer = Deliverer::start(&store, destinations, &tracing.tracer).await?;
        let receiver = Receiver {
            intake: Arc::clone(&intake),
            keeper: keeper.clone(),
            trusted_proxies: settings.server.trusted_proxies.clone(),
            request_timeout: settings.server.request_timeout,
            health: Arc::clone(&health),
            budget: Budget::default(),
            sightings: Arc::clone(&sightings),
            tracer: tracing.tracer.clone(),
        };
        let server = receive::listen(receiver, listener, &listen_limits(&settings))?;
        let receiving = (server.handle(), tokio::spawn(server));
        let alerts = alerts::start(&settings, &store, &keeper, deliverer.statuses());
        let (live, telling) = Live::start(&store, deliverer.statuses());
        let console = Console {
            live,
            alerts: alerts.as_ref().map(|watching| Arc::clone(&watching.overview)),
            store: store.clone(),
            keeper: keeper.clone(),
            health: Arc::clone(&health),
            lanes: deliverer.statuses(),
            looked: console::Looked::default(),
            access: Access::new(&settings.console, &settings.server.trusted_proxies),
            sources: settings.sources.iter().map(|(name, source)| (name.clone(), !source.signing_keys.is_empty())).collect(),
            intake: Arc::clone(&intake),
            connectors,
            secrets: mask,
            public_url: settings.server.reached_by(address),
            jobs: Jobs::new(),
        };
        let server = console::listen(console, console_listener)?;
        let showing = (server.handle(), tokio::spawn(server));
        let retention = Retention { age: settings.store.retention, max_bytes: settings.store.max_bytes };
        let watching = [
            tokio::spawn(flush_sightings(store.clone(), Arc::clone(&sightings))),
            tokio::spawn(find_missed(Walker::new(store.clone(), &intake))),
        ];
        let tidy = tokio::spawn(tidy(store.clone(), intake, retention, settings.store.quarantine_max_age));
        let indexing = tokio::spawn(store.clone().keep_index());
        let shutdown_timeout = settings.server.shutdown_timeout;
        Ok(Self {
            address,
            console: console_address,
            tallying: Tallying::start(store.clone()),
            tracing,
            store,
            health,
            receiving,
            showing,
            deliverer,
            background,
            alerts,
            tidy,
            indexing,
            watching,
            sightings,
            telling,
            keeping: keeper.start(),
            shutdown_timeout,
            _ownership: ownership,
        })
    }

    /// Stops: no new requests, those under way are answered, attempts under way are finished and settled, the rest waits in the
    /// store. Returns whether all of that was done in the time the settings give.
    pub async fn stop(self) -> bool {
        self.health.stop();
        self.tidy.abort();
        self.indexing.abort();
        // Whoever is being told of changes is let go, so that nothing waits for them.
        self.telling.abort();
        // What is not told yet is remembered, and told after the next start.
        if let Some(alerts) = &self.alerts {
            alerts.task.abort();
        }
        self.watching.iter().for_each(JoinHandle::abort);
        // Lanes first: what is still being received then waits in the store, instead of being started and cut short.
        self.deliverer.begin_stop();
        let (handle, task) = self.receiving;
        let drained = async {
            handle.stop(true).await;
            let _ = task.await;
            self.deliverer.stopped().await;
        };
        let is_settled = tokio::time::timeout(self.shutdown_timeout, drained).await.is_ok();
        // Deliveries wait for the renewals that they began; these are of deliveries that were given up or have just been cut short.
        let _ = tokio::time::timeout(LAST_RENEWALS, self.background.finished()).await;
        // Only now: what was being received may have needed it. What is left in the spool is brought over at the next start.
        self.keeping.abort();
        let (handle, task) = self.showing;
        handle.stop(false).await;
        let _ = task.await;
        // When the next bridge starts, the time until then does not count for deliveries. Figures must not keep that from being noted.
        let sign_off = self.store.sign_off(Timestamp::now());
        let figures = async { tokio::join!(note_sightings(&self.store, &self.sightings), self.tallying.finish(), self.tracing.finish()) };
        let last = async { tokio::join!(sign_off, figures) };
        let _ = tokio::time::timeout(SIGN_OFF, last).await;
        is_settled
    }
}

fn trace_options(traces: config::Traces) -> Option<TraceOptions> {
    let headers = traces.headers.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect();
    let (sample_ratio, service_name) = (traces.sample_ratio, traces.service_name);
    Some(TraceOptions { endpoint: traces.endpoint?, headers, sample_ratio, service_name })
}

fn listen_limits(settings: &Settings) -> receive::Limits {
    receive::Limits {
        workers: settings.server.workers,
        max_connections: settings.server.max_connections,
        request_timeout: settings.server.request_timeout,
        shutdown_timeout: settings.server.shutdown_timeout,
    }
}

/// The destinations for their lanes, and what talks to them, by name, for the console.
fn build_destinations(
    settings: &mut Settings,
    store: &Store,
    background: &Background,
) -> (Vec<deliver::Destination>, BTreeMap<String, LateConnector>) {
    let destinations: BTreeMap<String, config::Destination> = std::mem::take(&mut settings.destinations);
    let share = MEMORY_WINDOW.checked_div(destinations.len()).unwrap_or(MEMORY_WINDOW).clamp(32, 1_024);
    let window = u32::try_from(share).unwrap_or(32);
    destinations
        .into_iter()
        .filter_map(|(name, destination)| {
            let id = store.destination_id(&name)?;
            let limits = LaneLimits {
                concurrency: destination.concurrency,
                per_second: destination.per_second,
                burst: destination.burst,
                shared: store.shares_limits(),
                window,
            };
            let backoff = Backoff { initial: settings.delivery.backoff_initial, max: settings.delivery.backoff_max, ..Backoff::default() };
            let policy = Policy { backoff, give_up_after: destination.give_up_after };
            let connector = connect(&name, destination, &settings.delivery, Some((store, id))).with_background(background.clone());
            connector.prepare();
            let built = (name.clone(), connector.clone());
            Some((deliver::Destination { name, id, connector: Box::new(connector), limits, policy }, built))
        })
        .unzip()
}

/// At the start, bodies that a new key verifies are admitted; then, for ever, dead letters from before causes were kept get theirs, and
/// what is old enough is removed.
async fn tidy(store: Store, intake: Arc<Intake>, retention: Retention, quarantine_max_age: Duration) {
    for name in intake.sources.keys() {
        reverify_patiently(&store, &intake, name).await;
    }
    loop {
        if let Err(error) = sort_dead(&store).await {
            tracing::error!("dead letters were not sorted by their causes: {error}");
        }
        if let Err(error) = remove_old(&store, retention, quarantine_max_age).await {
            tracing::error!("what is old was not removed: {error}");
        }
        for _ in 0..TIDY_EVERY.as_secs() / BEAT_EVERY.as_secs() {
            tokio::time::sleep(BEAT_EVERY).await;
            if let Err(error) = store.beat(Timestamp::now()).await {
                tracing::error!("the store did not take a sign of life: {error}");
            }
        }
    }
}

/// Brings what is seen of the sources into the store, for ever.
async fn flush_sightings(store: Store, sightings: Arc<Sightings>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        note_sightings(&store, &sightings).await;
    }
}

/// Lists conversations whose lead never came, for ever.
async fn find_missed(mut walker: Walker) {
    loop {
        match walker.look(Timestamp::now()).await {
            Ok(0) => {}
            Ok(listed) => tracing::warn!(listed, "visitors left a contact in a chat and no lead came; see `leadwire missed list`"),
            Err(error) => tracing::debug!("missed leads were not looked for: {error}"),
        }
        tokio::time::sleep(WALK_EVERY).await;
    }
}

async fn note_sightings(store: &Store, sightings: &Sightings) {
    let seen = sightings.take();
    if seen.is_empty() {
        return;
    }
    if let Err(error) = store.note_sightings(seen.clone(), Timestamp::now()).await {
        tracing::debug!("what was seen of the sources was not kept, and comes with the next: {error}");
        sightings.give_back(seen);
    }
}

/// Until it is done: a store that is sick at this moment must not leave admitted leads in the quarantine until the next start.
async fn reverify_patiently(store: &Store, intake: &Intake, name: &str) {
    loop {
        match reverify(intake, store, name, || {}).await {
            Ok(report) => {
                if report.admitted > 0 {
                    let (admitted, events) = (report.admitted, report.events);
                    tracing::info!(source = name, admitted, events, "quarantined bodies verify now and are delivered");
                }
                return;
            }
            Err(store::Error::Unavailable(reason)) => {
                tracing::error!(source = name, "the quarantine was not verified again; trying again: {reason}");
                tokio::time::sleep(REVERIFY_AGAIN).await;
            }
            Err(error) => return tracing::error!(source = name, "the quarantine was not verified again: {error}"),
        }
    }
}

async fn sort_dead(store: &Store) -> store::Result<()> {
    while store.sort_dead().await? > 0 {}
    Ok(())
}

async fn remove_old(store: &Store, retention: Retention, quarantine_max_age: Duration) -> store::Result<()> {
    let now = Timestamp::now();
    let before = SignedDuration::try_from(quarantine_max_age).ok().and_then(|age| now.checked_sub(age).ok());
    store.purge_quarantine(None, before.or(Some(Timestamp::MIN)), false).await?;
    store.forget_actions(now.checked_sub(ACTIONS_FOR).unwrap_or(Timestamp::MIN)).await?;
    let removed = store.tidy(retention, now).await?;
    if removed > 0 {
        tracing::info!(removed, "old events were removed");
    }
    Ok(())
}
