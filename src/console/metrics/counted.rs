//! What the process counts.

use super::page::{Page, SECOND};
use crate::figures::{DestinationFigures, Figures, SourceFigures, StoreFigures};
use jiff::Timestamp;

/// Of the bounds of speed to lead, which are for percentiles in the console, every second one is enough here.
const SPEED_BOUNDS: usize = 2;

type SourceCount = (&'static str, &'static str, fn(&SourceFigures) -> u64);
type EndedCount = (&'static str, fn(&DestinationFigures) -> u64);

const SOURCE_COUNTS: [SourceCount; 5] = [
    ("leadwire_source_duplicates_total", "Events that were in the store already.", |figures| figures.duplicates.get()),
    ("leadwire_source_stale_total", "New events whose signature was older than the source tolerates.", |figures| figures.stale.get()),
    ("leadwire_source_body_bytes_total", "Bytes of request bodies, inflated.", |figures| figures.bytes.get()),
    ("leadwire_source_spooled_total", "Requests that went to the spool.", |figures| figures.spooled.get()),
    ("leadwire_source_quarantined_total", "Bodies that went to the quarantine, repetitions included.", |figures| figures.quarantined.get()),
];

const ENDED: [EndedCount; 3] = [
    ("delivered", |figures| figures.delivered.get()),
    ("skipped", |figures| figures.skipped.get()),
    ("dead", |figures| figures.dead.get()),
];

/// Adds all of it.
pub(super) fn show(page: &mut Page, figures: &Figures, now: Timestamp) {
    show_sources(page, figures);
    show_attempts(page, figures);
    show_ended(page, figures);
    show_quotas(page, figures, now);
    show_store(page, figures.store());
}

fn show_sources(page: &mut Page, figures: &Figures) {
    let mut family = page.counters("leadwire_source_events_total", "New events in the store.");
    for (name, source) in figures.sources().iter() {
        for (kind, count) in source.received() {
            family.add(&[("source", name), ("kind", kind.as_str())], count);
        }
    }
    let help = "Requests that were not answered with success, by the code their senders read.";
    let mut family = page.counters("leadwire_source_refused_total", help);
    for (name, source) in figures.sources().iter() {
        for (reason, count) in source.refused().all() {
            family.add(&[("source", name), ("reason", reason)], count);
        }
    }
    for (count, help, read) in SOURCE_COUNTS {
        let mut family = page.counters(count, help);
        for (name, source) in figures.sources().iter() {
            family.add(&[("source", name)], read(source));
        }
    }
}

fn show_attempts(page: &mut Page, figures: &Figures) {
    let mut family = page.counters("leadwire_attempts_total", "Attempts, by what they led to.");
    for (name, destination) in figures.destinations().iter() {
        for (outcome, count) in destination.attempts() {
            family.add(&[("destination", name), ("outcome", outcome)], count);
        }
    }
    let mut family = page.histograms("leadwire_attempt_seconds", "How long attempts took.");
    for (name, destination) in figures.destinations().iter() {
        family.add_reading(&[("destination", name)], &destination.durations(), SECOND, 1);
    }
}

fn show_ended(page: &mut Page, figures: &Figures) {
    let mut family = page.counters("leadwire_deliveries_ended_total", "Deliveries that ended, by how.");
    for (name, destination) in figures.destinations().iter() {
        for (state, read) in ENDED {
            family.add(&[("destination", name), ("state", state)], read(destination));
        }
    }
    let mut family = page.counters("leadwire_deliveries_retried_total", "Attempts after which the delivery is tried again.");
    for (name, destination) in figures.destinations().iter() {
        family.add(&[("destination", name)], destination.retried.get());
    }
    let mut family = page.histograms("leadwire_speed_to_lead_seconds", "From receipt to the destination's acceptance, replays included.");
    for (name, destination) in figures.destinations().iter() {
        family.add_reading(&[("destination", name)], &destination.speed(), SECOND, SPEED_BOUNDS);
    }
}

fn show_quotas(page: &mut Page, figures: &Figures, now: Timestamp) {
    let told: Vec<_> = figures.destinations().iter().map(|(name, figures)| (name.clone(), figures.quotas.all(now))).collect();
    let all = || told.iter().flat_map(|(name, quotas)| quotas.iter().map(move |(window, quota)| (name.as_str(), *window, quota)));
    let mut family = page.gauges("leadwire_quota_remaining", "What is left of a limit, as the destination told last.");
    for (name, window, quota) in all() {
        family.add(&[("destination", name), ("window", window)], quota.remaining);
    }
    let mut family = page.gauges("leadwire_quota_limit", "The limit that the destination told last.");
    for (name, window, quota) in all() {
        if let Some(limit) = quota.limit {
            family.add(&[("destination", name), ("window", window)], limit);
        }
    }
}

fn show_store(page: &mut Page, store: &StoreFigures) {
    let works = [("receive", &store.receive), ("settle", &store.settle)];
    let mut family = page.histograms("leadwire_store_commit_seconds", "How long transactions took that held such work.");
    for (work, figures) in works {
        family.add_reading(&[("work", work)], &figures.commits(), SECOND, 1);
    }
    let mut family = page.histograms("leadwire_store_batch_size", "Requests received, or attempts settled, in one transaction.");
    for (work, figures) in works {
        family.add_reading(&[("work", work)], &figures.batches(), 1.0, 1);
    }
    let help = "How long leasing due deliveries took, the wait for the store's turn included.";
    page.histograms("leadwire_store_claim_seconds", help).add_reading(&[], &store.claims(), SECOND, 1);
}
