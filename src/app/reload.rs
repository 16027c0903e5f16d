//! Other settings for a bridge that runs.
//!
//! What can fail comes first, and has changed nothing when it does. Then the parts are swapped, each as a whole: a request is taken by the
//! settings of its beginning, and a lane ends what is under way before it begins by others.

use super::{
    Applied, Bridge, Built, Receiver, Secured, build_destinations, build_intake, build_plain, find_missed, have_keys, quarantine_limits,
    retention, reverify_all, tidy,
};
use crate::alerts;
use crate::config::{Changed, Reloaded, Settings, Tls};
use crate::console::{Console, Unchanged};
use crate::inspect::SecretMask;
use crate::receive::{Intake, Walker};
use crate::store::{Error, NewAction};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the store may take to note what it must know. Meanwhile everything goes on as before.
const NOTED_WITHIN: Duration = Duration::from_secs(10);

impl Bridge {
    /// Goes on with these settings. `by` is who wishes it, for the trail.
    ///
    /// # Errors
    /// When the store cannot be used; everything goes on as before then.
    pub async fn reload(&mut self, mut settings: Settings, by: NewAction) -> Result<Reloaded, Unchanged> {
        let reloaded = self.compare(&settings);
        let by = NewAction { detail: reloaded.words(), ..by };
        let noted = tokio::time::timeout(NOTED_WITHIN, self.note(&settings, by)).await;
        let action = noted.unwrap_or_else(|_| Err(Error::Unavailable("the store does not answer".to_owned())))?;

        self.keeper.change(quarantine_limits(&settings), settings.destinations.keys());
        self.sightings.add(settings.sources.keys());
        let mask = SecretMask::of([&settings]);
        let unchanged = if settings.delivery == self.applied.delivery { &self.applied.connectors } else { &BTreeMap::new() };
        let mut built = build_destinations(&mut settings, &self.store, &self.background, unchanged);
        let intake = Arc::new(build_intake_of(&mut settings, &self.store, &built));
        self.deliverer.change(std::mem::take(&mut built.for_lanes), &reloaded.destinations.removed).await;
        self.renew_certificate(&settings);
        self.door.put(self.receiver(&settings, &intake));
        self.begin_anew(&settings, &intake, &reloaded.sources);
        self.shown.put(self.console_of(&settings, intake, &built, mask));
        self.applied.delivery = settings.delivery;
        self.applied.sources = settings.sources;
        self.applied.connectors = built.connectors;
        // The trail has its line; only its end may be missing.
        let _ = tokio::time::timeout(NOTED_WITHIN, self.store.end_action(action, 1, None, Timestamp::now())).await;
        Ok(reloaded)
    }

    /// The certificate was read a moment ago, when the settings were; what has become of it since is told in the log.
    fn renew_certificate(&self, settings: &Settings) {
        let Some(Secured { tls, plain, .. }) = &self.certificate else { return };
        let Some(files) = settings.server.tls.as_ref().and_then(Tls::files) else { return };
        if let Err(fault) = tls.change(files) {
            tracing::warn!("the certificate cannot be used, so that the one before stays in use: {fault}");
        }
        plain.put(build_plain(settings, tls, self.address));
    }

    fn compare(&self, settings: &Settings) -> Reloaded {
        let Applied { lasting, delivery, sources, connectors } = &self.applied;
        let is_same_delivery = *delivery == settings.delivery;
        Reloaded {
            sources: Changed::between(sources, &settings.sources, |old, new| old == new),
            destinations: Changed::between(connectors, &settings.destinations, |(old, _), new| is_same_delivery && *old == new.fingerprint),
            needs_restart: lasting.needs_restart(settings),
            warnings: settings.warnings.iter().map(|warning| warning.message.clone()).collect(),
        }
    }

    /// What the store must know before anything is another. Returns the number of the line in the trail.
    async fn note(&self, settings: &Settings, by: NewAction) -> crate::store::Result<i64> {
        let names = |names: Vec<&String>| names.into_iter().cloned().collect();
        self.store.register(names(settings.sources.keys().collect()), names(settings.destinations.keys().collect())).await?;
        self.store.begin_action(by, Timestamp::now()).await
    }

    fn receiver(&self, settings: &Settings, intake: &Arc<Intake>) -> Receiver {
        let now = self.door.now();
        Receiver {
            intake: Arc::clone(intake),
            keeper: self.keeper.clone(),
            trusted_proxies: settings.server.trusted_proxies.clone(),
            request_timeout: settings.server.request_timeout,
            health: Arc::clone(&self.health),
            budget: now.budget.clone(),
            sightings: Arc::clone(&self.sightings),
            tracer: self.tracing.tracer.clone(),
        }
    }

    /// What looks after things by the settings is begun anew, and forgets nothing that counts: it is in the store.
    fn begin_anew(&mut self, settings: &Settings, intake: &Arc<Intake>, sources: &Changed) {
        if let Some(alerts) = self.alerts.take() {
            alerts.task.abort();
        }
        self.alerts = alerts::start(settings, &self.store, &self.keeper, self.deliverer.statuses());
        self.walking.abort();
        self.walking = tokio::spawn(find_missed(Walker::new(self.store.clone(), intake)));
        self.tidy.abort();
        self.tidy = tokio::spawn(tidy(self.store.clone(), retention(settings), settings.store.quarantine_max_age));
        let is_done = self.reverifying.is_finished();
        let others = [sources.added.as_slice(), &sources.changed].concat();
        let names = if is_done { others } else { settings.sources.keys().cloned().collect() };
        self.reverifying.abort();
        self.reverifying = tokio::spawn(reverify_all(self.store.clone(), Arc::clone(intake), names));
    }

    fn console_of(&self, settings: &Settings, intake: Arc<Intake>, built: &Built, secrets: SecretMask) -> Console {
        let now = self.shown.now();
        let proxies = &settings.server.trusted_proxies;
        let access = if self.applied.lasting.has_other_console(settings) {
            now.access.clone()
        } else {
            now.access.renewed(&settings.console, proxies)
        };
        Console {
            store: self.store.clone(),
            keeper: self.keeper.clone(),
            health: Arc::clone(&self.health),
            lanes: self.deliverer.statuses(),
            looked: Arc::clone(&now.looked),
            alerts: self.alerts.as_ref().map(|watching| Arc::clone(&watching.overview)),
            access,
            sources: have_keys(settings),
            intake,
            connectors: built.by_name(),
            secrets,
            public_url: settings.server.reached_by(self.address),
            jobs: Arc::clone(&now.jobs),
            live: now.live.clone(),
            reloads: now.reloads.clone(),
            tls: now.tls.clone(),
        }
    }
}

/// The destinations have been taken out of the settings by now.
fn build_intake_of(settings: &mut Settings, store: &crate::store::Store, built: &Built) -> Intake {
    let number = |name: &String| store.destination_id(name).map(|id| (name.clone(), id));
    let destinations = built.connectors.keys().filter_map(number).collect();
    Intake { destinations, ..build_intake(settings, store) }
}
