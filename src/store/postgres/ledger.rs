//! The ledger: counts kept beside the rows, in the same transactions, so that they can be compared.

use super::execute;
use crate::store::{DestinationId, Result, State};
use deadpool_postgres::GenericClient;
use std::collections::BTreeMap;

/// What one transaction adds to a source.
#[derive(Debug, Default, Clone, Copy)]
struct SourceGain {
    received: i64,
    removed: i64,
    bytes: i64,
}

/// What one transaction adds to a destination; the ended states in the order of their numbers.
#[derive(Debug, Default, Clone, Copy)]
struct DestinationGain {
    created: i64,
    removed: i64,
    ended: [i64; 4],
}

/// What one transaction adds to the ledger, written once before its commit.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sources: BTreeMap<i64, SourceGain>,
    destinations: BTreeMap<i64, DestinationGain>,
}

impl Tally {
    /// An event with a body of so many bytes was stored.
    pub(super) fn add_received(&mut self, source: i64, bytes: usize) {
        let gain = self.sources.entry(source).or_default();
        gain.received += 1;
        gain.bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// So many events, with bodies of so many bytes together, were removed.
    pub(super) fn add_removed_events(&mut self, source: i64, events: i64, bytes: i64) {
        let gain = self.sources.entry(source).or_default();
        gain.removed += events;
        gain.bytes -= bytes;
    }

    /// A body became so much longer; shorter when negative.
    pub(super) fn add_bytes(&mut self, source: i64, bytes: i64) {
        self.sources.entry(source).or_default().bytes += bytes;
    }

    /// A delivery was made.
    pub(super) fn add_created(&mut self, destination: DestinationId) {
        self.destinations.entry(destination.into()).or_default().created += 1;
    }

    /// So many deliveries in this state were removed.
    pub(super) fn add_removed(&mut self, destination: DestinationId, state: State, count: i64) {
        self.destinations.entry(destination.into()).or_default().removed += count;
        self.add_ended(destination, state, -count);
    }

    /// So many deliveries entered this state, or left it when negative. Pending is what is left of the created ones.
    pub(super) fn add_ended(&mut self, destination: DestinationId, state: State, count: i64) {
        let Some(index) = usize::try_from(state.number() - State::Delivered.number()).ok() else { return };
        if let Some(ended) = self.destinations.entry(destination.into()).or_default().ended.get_mut(index) {
            *ended += count;
        }
    }

    /// Writes what was added to the rows of this slot.
    pub(super) async fn write(&self, client: &impl GenericClient, slot: i64) -> Result<()> {
        tokio::try_join!(self.write_sources(client, slot), self.write_destinations(client, slot)).map(drop)
    }

    async fn write_sources(&self, client: &impl GenericClient, slot: i64) -> Result<()> {
        if self.sources.is_empty() {
            return Ok(());
        }
        let column = |pick: fn(&SourceGain) -> i64| self.sources.values().map(pick).collect::<Vec<i64>>();
        let ids: Vec<i64> = self.sources.keys().copied().collect();
        let sql = "INSERT INTO source_count (source, slot, received, removed, bytes)
             SELECT s, $2, received, removed, bytes FROM unnest($1::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[]) AS t(s, received, removed, bytes)
             ON CONFLICT (source, slot) DO UPDATE SET received = source_count.received + excluded.received,
                 removed = source_count.removed + excluded.removed, bytes = source_count.bytes + excluded.bytes";
        let (received, removed, bytes) = (column(|gain| gain.received), column(|gain| gain.removed), column(|gain| gain.bytes));
        execute(client, sql, &[&ids, &slot, &received, &removed, &bytes]).await.map(drop)
    }

    async fn write_destinations(&self, client: &impl GenericClient, slot: i64) -> Result<()> {
        if self.destinations.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = self.destinations.keys().copied().collect();
        let column = |pick: &dyn Fn(&DestinationGain) -> i64| self.destinations.values().map(pick).collect::<Vec<i64>>();
        let (created, removed) = (column(&|gain| gain.created), column(&|gain| gain.removed));
        let [delivered, skipped, dead, erased] = [0, 1, 2, 3].map(|index: usize| column(&|gain| gain.ended[index]));
        let sql = "INSERT INTO destination_count (destination, slot, created, removed, delivered, skipped, dead, erased)
             SELECT d, $2, created, removed, delivered, skipped, dead, erased
             FROM unnest($1::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], $8::BIGINT[])
                 AS t(d, created, removed, delivered, skipped, dead, erased)
             ON CONFLICT (destination, slot) DO UPDATE SET created = destination_count.created + excluded.created,
                 removed = destination_count.removed + excluded.removed, delivered = destination_count.delivered + excluded.delivered,
                 skipped = destination_count.skipped + excluded.skipped, dead = destination_count.dead + excluded.dead,
                 erased = destination_count.erased + excluded.erased";
        execute(client, sql, &[&ids, &slot, &created, &removed, &delivered, &skipped, &dead, &erased]).await.map(drop)
    }
}
