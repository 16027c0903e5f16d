//! The bridge, put together from its settings.

mod build;
mod keep;
mod reload;

pub use build::build_intake;

use crate::alerts::{self, Watching};
use crate::config::{self, Lasting, Settings, StoreUrl};
use crate::console::{self, Access, Console, Jobs, Live, Reloads};
use crate::deliver::{Deliverer, LateConnector};
use crate::door::{self, Tls};
use crate::inspect::SecretMask;
use crate::normalize;
use crate::receive::{self, Budget, Plain, Receiver, Sightings, Walker};
use crate::store::{self, Checkup, Keeper, Origin, Ownership, Spool, Store};
use crate::swap::Swap;
use crate::telemetry::{Health, Tallying, TraceOptions, Tracing};
use actix_server::{Server, ServerHandle};
use build::{Built, build_destinations, build_plain, listen_limits, open_tls, quarantine_limits, retention};
use jiff::Timestamp;
use keep::{beat, find_missed, flush_sightings, note_sightings, reverify_all, tidy};
use leadwire_connector::Background;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a start waits for a store that is locked or cannot be reached, and how often it looks. Machines start in any order, and a
/// supervisor that restarts in a loop tells less than one line of ours.
const START_PATIENCE: Duration = Duration::from_secs(60);
const START_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a stop waits for a sick store to note it. Without the note, the next start goes by the last sign of life.
const SIGN_OFF: Duration = Duration::from_secs(5);
/// How long a stop, or a command at its end, waits beyond its time for tokens that are being renewed: a refresh token that was rotated and is not kept is lost.
/// It is what a token endpoint may take, and a little for the store.
pub const LAST_RENEWALS: Duration = Duration::from_secs(12);
/// Why the bridge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A listener.
    #[error("{0}; set another address in the configuration, or stop what uses it")]
    Listen(#[from] std::io::Error),
    /// The certificate.
    #[error("{0}")]
    Certificate(#[from] door::Fault),
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
    /// Whether webhooks are received through TLS, and whether the console is shown through it.
    pub speaks_tls: (bool, bool),
    certificate: Option<Secured>,
    receiving: (ServerHandle, JoinHandle<std::io::Result<()>>),
    showing: (ServerHandle, JoinHandle<std::io::Result<()>>),
    door: Arc<Swap<Receiver>>,
    shown: Arc<Swap<Console>>,
    deliverer: Deliverer,
    background: Background,
    applied: Applied,
    alerts: Option<Watching>,
    reverifying: JoinHandle<()>,
    tidy: JoinHandle<()>,
    walking: JoinHandle<()>,
    lasting: [JoinHandle<()>; 5],
    keeper: Keeper,
    sightings: Arc<Sightings>,
    tallying: Tallying,
    tracing: Tracing,
    shutdown_timeout: Duration,
    _ownership: Ownership,
}

/// What there is beside the listeners when they speak TLS.
#[derive(Debug)]
struct Secured {
    tls: Arc<Tls>,
    plain: Arc<Swap<Plain>>,
    watching: JoinHandle<()>,
    redirecting: Option<(ServerHandle, JoinHandle<std::io::Result<()>>)>,
}

impl Secured {
    /// Looks after the certificate, and sends away who comes without TLS.
    fn start(settings: &Settings, tls: Arc<Tls>, own: SocketAddr) -> std::io::Result<Self> {
        let plain = Arc::new(Swap::new(build_plain(settings, &tls, own)));
        let config = settings.server.tls.clone().unwrap_or_default();
        let redirecting = match config.redirect {
            Some(address) => Some(running(receive::listen_plain(Arc::clone(&plain), door::bind(address)?)?)),
            None => None,
        };
        let watching = tokio::spawn(Arc::clone(&tls).watch(config.look_every));
        Ok(Self { tls, plain, watching, redirecting })
    }

    async fn stop(self) {
        self.watching.abort();
        if let Some((handle, task)) = self.redirecting {
            handle.stop(false).await;
            let _ = task.await;
        }
    }
}

fn running(server: Server) -> (ServerHandle, JoinHandle<std::io::Result<()>>) {
    (server.handle(), tokio::spawn(server))
}

/// What holds now, for comparing.
#[derive(Debug)]
struct Applied {
    /// What was taken at the start for good.
    lasting: Lasting,
    delivery: config::Delivery,
    sources: BTreeMap<String, config::Source>,
    connectors: BTreeMap<String, ([u8; 32], LateConnector)>,
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

impl Bridge {
    /// Starts everything: store, deliveries, listeners. When it returns, requests are answered.
    ///
    /// # Errors
    /// When the store or an address cannot be used; nothing runs then.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        // Nobody listens at the other end: who starts it like this knows no file to read again.
        Box::pin(Self::start_with(settings, Reloads::new().0)).await
    }

    /// The same for one whose settings can be read again: wishes for that go to `reloads`, and [`Bridge::reload`] grants them.
    ///
    /// # Errors
    /// When the store or an address cannot be used; nothing runs then.
    pub async fn start_with(mut settings: Settings, reloads: Reloads) -> Result<Self, StartError> {
        let (store, ownership, spool) = open_patiently(&settings).await?;
        let tls = open_tls(&settings)?;
        let listener = door::bind(settings.server.listen)?;
        let console_listener = door::bind(settings.console.listen)?;
        let (address, console_address) = (listener.local_addr()?, console_listener.local_addr()?);

        let lasting = Lasting::of(&settings);
        let intake = Arc::new(build_intake(&mut settings, &store));
        // The tables of phone numbers take a moment, which the first lead should not wait for.
        tokio::task::spawn_blocking(normalize::warm_up);
        let health = Arc::new(Health::default());
        let sightings = Arc::new(Sightings::new(settings.sources.keys()));
        let keeper = Keeper::new(store.clone(), spool, quarantine_limits(&settings), settings.destinations.keys());
        let background = Background::default();
        let mask = SecretMask::of([&settings]);
        let mut built = build_destinations(&mut settings, &store, &background, &BTreeMap::new());
        let tracing = Tracing::start(settings.traces.take().and_then(trace_options), &store);
        let deliverer = Deliverer::start(&store, std::mem::take(&mut built.for_lanes), &tracing.tracer).await?;
        let door = Arc::new(Swap::new(Receiver {
            intake: Arc::clone(&intake),
            keeper: keeper.clone(),
            trusted_proxies: settings.server.trusted_proxies.clone(),
            request_timeout: settings.server.request_timeout,
            health: Arc::clone(&health),
            budget: Budget::default(),
            sightings: Arc::clone(&sightings),
            tracer: tracing.tracer.clone(),
        }));
        let receiving = running(receive::listen(Arc::clone(&door), listener, tls.clone(), &listen_limits(&settings))?);
        let certificate = tls.clone().map(|tls| Secured::start(&settings, tls, address)).transpose()?;
        let alerts = alerts::start(&settings, &store, &keeper, deliverer.statuses());
        let (live, telling) = Live::start(&store, deliverer.statuses());
        let shown = Arc::new(Swap::new(Console {
            live,
            alerts: alerts.as_ref().map(|watching| Arc::clone(&watching.overview)),
            store: store.clone(),
            keeper: keeper.clone(),
            health: Arc::clone(&health),
            lanes: deliverer.statuses(),
            looked: Arc::default(),
            access: Access::new(&settings.console, &settings.server.trusted_proxies),
            sources: have_keys(&settings),
            intake: Arc::clone(&intake),
            connectors: built.by_name(),
            secrets: mask,
            public_url: settings.server.reached_by(address),
            jobs: Arc::new(Jobs::new()),
            reloads,
            tls: tls.clone(),
        }));
        let showing = running(console::listen(Arc::clone(&shown), console_listener, tls.filter(|_| settings.console.tls))?);
        let walking = tokio::spawn(find_missed(Walker::new(store.clone(), &intake)));
        let all = settings.sources.keys().cloned().collect();
        let reverifying = tokio::spawn(reverify_all(store.clone(), intake, all));
        let tidy = tokio::spawn(tidy(store.clone(), retention(&settings), settings.store.quarantine_max_age));
        let lasting_tasks = [
            tokio::spawn(flush_sightings(store.clone(), Arc::clone(&sightings))),
            tokio::spawn(beat(store.clone())),
            tokio::spawn(store.clone().keep_index()),
            // Whoever is being told of changes is let go with it, so that nothing waits for them.
            telling,
            keeper.start(),
        ];
        let Settings { server, console, delivery, sources, .. } = settings;
        Ok(Self {
            address,
            console: console_address,
            tallying: Tallying::start(store.clone()),
            tracing,
            store,
            health,
            speaks_tls: (server.tls.is_some(), console.tls),
            certificate,
            receiving,
            showing,
            door,
            shown,
            deliverer,
            background,
            applied: Applied { lasting, delivery, sources, connectors: built.connectors },
            alerts,
            reverifying,
            tidy,
            walking,
            lasting: lasting_tasks,
            keeper,
            sightings,
            shutdown_timeout: server.shutdown_timeout,
            _ownership: ownership,
        })
    }

    /// Stops: no new requests, those under way are answered, attempts under way are finished and settled, the rest waits in the
    /// store. Returns whether all of that was done in the time the settings give.
    pub async fn stop(self) -> bool {
        self.health.stop();
        self.reverifying.abort();
        self.tidy.abort();
        self.walking.abort();
        // What is not told yet is remembered, and told after the next start.
        if let Some(alerts) = &self.alerts {
            alerts.task.abort();
        }
        let [flushing, beating, indexing, telling, keeping] = self.lasting;
        [flushing, beating, indexing, telling].iter().for_each(JoinHandle::abort);
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
        keeping.abort();
        if let Some(certificate) = self.certificate {
            certificate.stop().await;
        }
        let (handle, task) = self.showing;
        handle.stop(false).await;
        let _ = task.await;
        // When the next bridge starts, the time until then does not count for deliveries. Figures must not keep that from being noted.
        let sign_off = self.store.sign_off(Timestamp::now());
        let figures = async { tokio::join!(note_sightings(&self.store, &self.sightings), self.tallying.finish(), self.tracing.finish()) };
        let last = async {
            let (signed_off, _) = tokio::join!(sign_off, figures);
            let emptied = self.store.empty_log().await;
            if let Err(error) = signed_off.and(emptied) {
                tracing::debug!("the store was not left in order; the next start sees to it: {error}");
            }
        };
        let _ = tokio::time::timeout(SIGN_OFF, last).await;
        is_settled
    }
}

fn trace_options(traces: config::Traces) -> Option<TraceOptions> {
    let headers = traces.headers.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect();
    let (sample_ratio, service_name) = (traces.sample_ratio, traces.service_name);
    Some(TraceOptions { endpoint: traces.endpoint?, headers, sample_ratio, service_name })
}

/// By name: whether the source has a signing key.
fn have_keys(settings: &Settings) -> BTreeMap<String, bool> {
    settings.sources.iter().map(|(name, source)| (name.clone(), !source.signing_keys.is_empty())).collect()
}
