//! What a bridge does beside receiving and delivering, for ever.

use crate::receive::{Intake, Sightings, Walker, reverify};
use crate::store::{self, Retention, Store};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How often retention and the age of the quarantine are looked after.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How often the store learns that the bridge still runs.
const BEAT_EVERY: Duration = Duration::from_secs(60);
/// How often what was seen of the sources goes into the store.
const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// How often missed leads are looked for. On a shared store, what is found is what was there one look before.
const WALK_EVERY: Duration = Duration::from_secs(20);
/// How long the trail of what people did is kept.
const ACTIONS_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);
/// How long verifying the quarantine again waits after the store failed.
const REVERIFY_AGAIN: Duration = Duration::from_secs(5);

/// Admits the bodies that a key of these sources verifies now.
pub(super) async fn reverify_all(store: Store, intake: Arc<Intake>, sources: Vec<String>) {
    for name in &sources {
        reverify_patiently(&store, &intake, name).await;
    }
}

/// For ever, dead letters from before causes were kept get theirs, and what is old enough is removed.
pub(super) async fn tidy(store: Store, retention: Retention, quarantine_max_age: Duration) {
    loop {
        if let Err(error) = sort_dead(&store).await {
            tracing::error!("dead letters were not sorted by their causes: {error}");
        }
        if let Err(error) = remove_old(&store, retention, quarantine_max_age).await {
            tracing::error!("what is old was not removed: {error}");
        }
        tokio::time::sleep(TIDY_EVERY).await;
    }
}

/// Leaves signs of life, for ever.
pub(super) async fn beat(store: Store) {
    loop {
        tokio::time::sleep(BEAT_EVERY).await;
        if let Err(error) = store.beat(Timestamp::now()).await {
            tracing::error!("the store did not take a sign of life: {error}");
        }
    }
}

/// Brings what is seen of the sources into the store, for ever.
pub(super) async fn flush_sightings(store: Store, sightings: Arc<Sightings>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        note_sightings(&store, &sightings).await;
    }
}

/// Lists conversations whose lead never came, for ever.
pub(super) async fn find_missed(mut walker: Walker) {
    loop {
        match walker.look(Timestamp::now()).await {
            Ok(0) => {}
            Ok(listed) => tracing::warn!(listed, "visitors left a contact in a chat and no lead came; see `leadwire missed list`"),
            Err(error) => tracing::debug!("missed leads were not looked for: {error}"),
        }
        tokio::time::sleep(WALK_EVERY).await;
    }
}

pub(super) async fn note_sightings(store: &Store, sightings: &Sightings) {
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
