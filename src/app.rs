//! The bridge, put together from its settings.

use crate::bucket::Bucket;
use crate::config::{self, Settings, StoreUrl};
use crate::console::{self, Console};
use crate::deliver::{self, Backoff, Deliverer, LaneLimits, Policy, StoredValues};
use crate::normalize::{self, Profile};
use crate::receive::{self, Budget, Intake, Receiver, SourceGate, reverify};
use crate::route::Rules;
use crate::store::{self, Checkup, DestinationId, Keeper, Origin, Ownership, QuarantineLimits, Retention, Spool, Store};
use crate::telemetry::{Health, Refusals};
use crate::verify::{SigningKey, Tolerance};
use actix_web::dev::ServerHandle;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::http::HttpSettings;
use leadwire_connector::{
    Background, Build, BuildContext, Connector, Delivery, DeliveryError, Erased, ErrorKind, Event, Kept, PreviewRequest, Receipt, Report,
    Steps, ValueStore,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

/// How often retention and the age of the quarantine are looked after.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How often the store learns that the bridge still runs.
const BEAT_EVERY: Duration = Duration::from_secs(60);
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
/// How long verifying the quarantine again waits after the store failed.
const REVERIFY_AGAIN: Duration = Duration::from_secs(5);

/// What a check looked at when it could not be made at all.
pub const SET_UP: &str = "set-up";

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
    tidy: JoinHandle<()>,
    keeping: JoinHandle<()>,
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
        let refusals = Arc::new(Refusals::default());
        let quarantine = QuarantineLimits { max_bytes: settings.store.quarantine_max_bytes };
        let keeper = Keeper::new(store.clone(), spool, quarantine, settings.destinations.keys());
        let background = Background::default();
        let deliverer = Deliverer::start(&store, build_destinations(&mut settings, &store, &background)).await?;
        let receiver = Receiver {
            intake: Arc::clone(&intake),
            keeper: keeper.clone(),
            trusted_proxies: settings.server.trusted_proxies.clone(),
            request_timeout: settings.server.request_timeout,
            health: Arc::clone(&health),
            budget: Budget::default(),
            refusals: Arc::clone(&refusals),
        };
        let server = receive::listen(receiver, listener, &listen_limits(&settings))?;
        let receiving = (server.handle(), tokio::spawn(server));
        let console = Console {
            store: store.clone(),
            keeper: keeper.clone(),
            health: Arc::clone(&health),
            refusals,
            lanes: deliverer.statuses(),
            token: settings.console.token.as_ref().map(|token| token.expose().to_owned()),
            sources: settings.sources.iter().map(|(name, source)| (name.clone(), !source.signing_keys.is_empty())).collect(),
        };
        let server = console::listen(console, console_listener)?;
        let showing = (server.handle(), tokio::spawn(server));
        let retention = Retention { age: settings.store.retention, max_bytes: settings.store.max_bytes };
        let tidy = tokio::spawn(tidy(store.clone(), intake, retention, settings.store.quarantine_max_age));
        let shutdown_timeout = settings.server.shutdown_timeout;
        Ok(Self {
            address,
            console: console_address,
            store,
            health,
            receiving,
            showing,
            deliverer,
            background,
            tidy,
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
        // When the next bridge starts, the time until then does not count for deliveries.
        let _ = tokio::time::timeout(SIGN_OFF, self.store.sign_off(Timestamp::now())).await;
        is_settled
    }
}

fn listen_limits(settings: &Settings) -> receive::Limits {
    receive::Limits {
        workers: settings.server.workers,
        max_connections: settings.server.max_connections,
        request_timeout: settings.server.request_timeout,
        shutdown_timeout: settings.server.shutdown_timeout,
    }
}

fn build_destinations(settings: &mut Settings, store: &Store, background: &Background) -> Vec<deliver::Destination> {
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
            Some(deliver::Destination { name, id, connector: Box::new(connector), limits, policy })
        })
        .collect()
}

/// The connector of a destination, built when it is first needed. What it keeps, such as renewed tokens, is kept `at` its place in the
/// store; without one it is kept in memory, which is right only where nothing is asked of the destination.
#[must_use]
pub fn connect(
    name: &str,
    destination: config::Destination,
    delivery: &config::Delivery,
    at: Option<(&Store, DestinationId)>,
) -> LateConnector {
    let http = HttpSettings {
        connect_timeout: delivery.connect_timeout,
        timeout: delivery.timeout,
        block_private_addresses: delivery.block_private_addresses,
        ..HttpSettings::default()
    };
    let context = BuildContext::new(name).with_base_directory(destination.base_directory).with_http(http);
    let context = match at {
        Some((store, id)) => context.with_values(Arc::new(StoredValues::new(store, id))),
        None => context,
    };
    LateConnector { settings: Arc::from(destination.settings), context, built: Arc::default() }
}

/// A connector that is set up at its first use, and again at the next when that failed: a folder on a disk that is not mounted
/// yet must not keep the bridge from receiving.
#[derive(Clone)]
pub struct LateConnector {
    settings: Arc<dyn Build>,
    context: BuildContext,
    built: Arc<OnceCell<Box<dyn Connector>>>,
}

impl std::fmt::Debug for LateConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LateConnector").field("context", &self.context).finish_non_exhaustive()
    }
}

impl LateConnector {
    /// Sets it up beside whatever else is going on: a folder may hold a file that a crash left open, and no lead may come for days.
    fn prepare(&self) {
        let late = self.clone();
        // What keeps it from being set up is told when a delivery needs it.
        tokio::spawn(async move {
            if let Ok(connector) = late.get().await {
                drop(connector.prepare().await);
            }
        });
    }

    /// The connector, set up.
    ///
    /// # Errors
    /// What keeps it from being set up.
    pub async fn get(&self) -> Result<&dyn Connector, DeliveryError> {
        // Opening a folder may take a while on a slow disk, and must not keep other lanes waiting.
        let build = || async {
            let (settings, context) = (Arc::clone(&self.settings), self.context.clone());
            let built = tokio::task::spawn_blocking(move || settings.build(&context)).await;
            built.unwrap_or_else(|_| Err("setting it up panicked; this is a bug in its connector".to_owned()))
        };
        let failed = |reason: String| DeliveryError::retry(ErrorKind::Unreachable, format!("the destination cannot be set up: {reason}"));
        self.built.get_or_try_init(build).await.map(AsRef::as_ref).map_err(failed)
    }
}

impl LateConnector {
    /// The same destination, not set up yet.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { settings: Arc::clone(&self.settings), context: self.context.clone(), built: Arc::default() }
    }

    /// The same destination, not set up yet, with what it keeps kept there.
    #[must_use]
    pub fn keeping_in(&self, values: Arc<dyn ValueStore>) -> Self {
        Self { context: self.context.clone().with_values(values), ..self.again() }
    }

    /// The same destination, not set up yet, with the work waited for there that outlives deliveries.
    #[must_use]
    pub fn with_background(&self, background: Background) -> Self {
        Self { context: self.context.clone().with_background(background), ..self.again() }
    }

    /// What is kept on our side and `wanted` says yes to; sets nothing up.
    ///
    /// # Errors
    /// What is in the way, in a sentence for a person.
    pub fn kept(&self, wanted: &dyn Fn(&Kept) -> bool) -> Result<Vec<Kept>, String> {
        self.settings.kept(&self.context, wanted)
    }
}

#[async_trait]
impl Connector for LateConnector {
    async fn deliver(&self, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        self.get().await?.deliver(delivery, steps).await
    }

    async fn check(&self) -> Report {
        match self.get().await {
            Ok(connector) => connector.check().await,
            Err(error) => Report::default().bad(SET_UP, error.message),
        }
    }

    async fn erase(&self, deliveries: &[String]) -> Result<Erased, DeliveryError> {
        self.get().await?.erase(deliveries).await
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        self.settings.build(&self.context).map_err(|reason| DeliveryError::retry(ErrorKind::Configuration, reason))?.preview(event)
    }
}

/// At the start, bodies that a new key verifies are admitted; then, for ever, what is old enough is removed.
async fn tidy(store: Store, intake: Arc<Intake>, retention: Retention, quarantine_max_age: Duration) {
    for name in intake.sources.keys() {
        reverify_patiently(&store, &intake, name).await;
    }
    loop {
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

async fn remove_old(store: &Store, retention: Retention, quarantine_max_age: Duration) -> store::Result<()> {
    let now = Timestamp::now();
    let before = SignedDuration::try_from(quarantine_max_age).ok().and_then(|age| now.checked_sub(age).ok());
    store.purge_quarantine(None, before.or(Some(Timestamp::MIN)), false).await?;
    let removed = store.tidy(retention, now).await?;
    if removed > 0 {
        tracing::info!(removed, "old events were removed");
    }
    Ok(())
}
