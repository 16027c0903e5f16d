//! Carrying out what the store asks connectors to remove of erased persons.

use super::attempt::Bench;
use crate::store::{DeliveryKey, Erasure, ErasureResult, Result, Store};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::Connector;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

/// Attempts that have not begun so long after they were leased are none of this process.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(1);

/// Deliveries in memory whose person was erased meanwhile: no attempt of them begins.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    keys: Mutex<HashSet<DeliveryKey>>,
}

impl Forgotten {
    pub(super) fn contains(&self, key: DeliveryKey) -> bool {
        self.lock().contains(&key)
    }

    fn replace(&self, keys: HashSet<DeliveryKey>) {
        *self.lock() = keys;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<DeliveryKey>> {
        self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Looks for erasures, and has the connectors of these lanes carry out those that are open. What fails stays open.
pub(super) async fn carry_out_all(store: Store, benches: Vec<Arc<Bench>>) {
    let since = Timestamp::now().checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    let Ok(erasures) = store.erasures(since).await else { return };
    for bench in &benches {
        let own: Vec<&Erasure> = erasures.iter().filter(|erasure| erasure.destination == bench.name).collect();
        let key = |erasure: &&Erasure| erasure.event.map(|event| DeliveryKey { event, destination: erasure.destination_id });
        bench.forgotten.replace(own.iter().filter(|erasure| erasure.under_way).filter_map(key).collect());
        let open: Vec<Erasure> = own.into_iter().filter(|erasure| erasure.done_at.is_none()).cloned().collect();
        let Some(drive) = bench.drive().filter(|_| !open.is_empty()) else { continue };
        match carry_out(&store, drive.connector.as_ref(), &open).await {
            Ok(()) => tracing::info!(destination = bench.name, deliveries = open.len(), "what was kept of erased deliveries is removed"),
            Err(why) => tracing::warn!(destination = bench.name, "what is kept of erased deliveries is not removed yet: {why}"),
        }
    }
}

/// Has a connector remove what it keeps of these deliveries, and says so in the store. What an attempt that ended meanwhile may have
/// brought back stays open.
///
/// # Errors
/// Why it was not done; it stays open.
pub async fn carry_out(store: &Store, connector: &dyn Connector, erasures: &[Erasure]) -> std::result::Result<(), String> {
    let deliveries: Vec<String> = erasures.iter().map(|erasure| erasure.delivery.clone()).collect();
    let erased = connector.erase(&deliveries).await.map_err(|error| error.message)?;
    finish(store, ErasureResult::of(erasures, &erased)).await.map_err(|error| error.to_string())
}

async fn finish(store: &Store, results: Vec<ErasureResult>) -> Result<()> {
    store.finish_erasures(results, Timestamp::now()).await
}

/// Those of these erasures that are open, by destination.
#[must_use]
pub fn open_by_destination(erasures: &[Erasure]) -> BTreeMap<String, Vec<Erasure>> {
    let mut open: BTreeMap<String, Vec<Erasure>> = BTreeMap::new();
    for erasure in erasures.iter().filter(|erasure| erasure.done_at.is_none()) {
        open.entry(erasure.destination.clone()).or_default().push(erasure.clone());
    }
    open
}
