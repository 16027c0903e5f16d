//! Removing what is over and old enough. Several instances may do it at once: each takes events that no other has in hand.

use super::ledger::Tally;
use super::{Postgres, again, column, execute, hold, index, micros, query};
use crate::store::{Result, State};
use deadpool_postgres::{GenericClient, Object};
use jiff::Timestamp;
use std::collections::HashSet;
use tokio_postgres::Row;

/// Events removed in one transaction: short, so that the server's log and its locks stay small.
const BATCH: i64 = 500;

impl Postgres {
    pub(in crate::store) async fn remove_ended(&self, cutoff: Timestamp) -> Result<usize> {
        let slot = self.shared.membership.slot() + 2;
        again(|| self.run(move |client| async move { remove_batch(client, micros(cutoff), slot).await })).await
    }
}

pub(super) async fn remove_batch(mut client: Object, cutoff: i64, slot: i64) -> Result<usize> {
    let transaction = client.transaction().await?;
    let events = lock_events(&transaction, cutoff).await?;
    if events.is_empty() {
        return Ok(0);
    }
    let seqs = events.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>>>()?;
    let deliveries = lock_deliveries(&transaction, &seqs).await?;
    let kept = find_kept(&deliveries)?;
    let seqs: Vec<i64> = seqs.into_iter().filter(|seq| !kept.contains(seq)).collect();
    let tally = count(&events, &deliveries, &kept)?;
    remove(&transaction, &seqs).await?;
    index::note_removed(&transaction, &seqs).await?;
    tally.write(&transaction, slot).await?;
    transaction.commit().await?;
    Ok(seqs.len())
}

/// The statement is planned for this very cutoff, since which way is short depends on whether there is much to remove or nothing. The
/// deliveries are counted event by event: joined, all of them would be read for every batch.
async fn lock_events(client: &impl GenericClient, cutoff: i64) -> Result<Vec<Row>> {
    let sql = "SELECT e.seq, e.source, octet_length(e.body)::BIGINT FROM event e
         WHERE e.received_at < $1 AND coalesce(e.erased_at, 0) < $1 AND (e.deliveries > 0 OR e.kind = 'test' OR e.erased_at IS NOT NULL)
             AND (SELECT count(*) FROM delivery d WHERE d.event = e.seq AND d.state NOT IN (3, 4, 6)) = 0
         ORDER BY e.seq LIMIT $2 FOR UPDATE OF e SKIP LOCKED";
    Ok(client.query(sql, &[&cutoff, &BATCH]).await?)
}

async fn lock_deliveries(client: &impl GenericClient, seqs: &[i64]) -> Result<Vec<Row>> {
    let sql = "SELECT event, destination, state FROM delivery WHERE event = ANY($1) ORDER BY event, destination FOR UPDATE";
    query(client, sql, &[&seqs]).await
}

/// Events of which a delivery was replayed since it was looked at.
fn find_kept(deliveries: &[Row]) -> Result<HashSet<i64>> {
    let mut kept = HashSet::new();
    for row in deliveries {
        if !matches!(State::from_number(column(row, 2)?), Some(State::Delivered | State::Skipped | State::Erased)) {
            kept.insert(column(row, 0)?);
        }
    }
    Ok(kept)
}

fn count(events: &[Row], deliveries: &[Row], kept: &HashSet<i64>) -> Result<Tally> {
    let mut tally = Tally::default();
    for row in events {
        if !kept.contains(&column(row, 0)?) {
            tally.add_removed_events(column(row, 1)?, 1, column(row, 2)?);
        }
    }
    for row in deliveries {
        if let (false, Some(state)) = (kept.contains(&column(row, 0)?), State::from_number(column(row, 2)?)) {
            tally.add_removed(hold::number(row, 1)?, state, 1);
        }
    }
    Ok(tally)
}

async fn remove(client: &impl GenericClient, seqs: &[i64]) -> Result<()> {
    for sql in [
        "DELETE FROM attempt WHERE event = ANY($1)",
        "DELETE FROM step WHERE event = ANY($1)",
        "DELETE FROM missed WHERE event = ANY($1)",
        "DELETE FROM delivery WHERE event = ANY($1)",
        "DELETE FROM content c USING event e WHERE e.seq = ANY($1) AND c.source = e.source AND c.content_key = e.content_key",
        "DELETE FROM event WHERE seq = ANY($1)",
    ] {
        execute(client, sql, &[&seqs]).await?;
    }
    Ok(())
}
