//! How much the database takes. The server reuses the space of what was removed by itself.

use super::hold::{COUNT_COLUMNS, SUMS, read_counts};
use super::retention::remove_batch;
use super::{Postgres, again, column, micros, moment, query, query_opt, schema};
use crate::store::{DestinationLedger, DestinationStatus, OldestPending, Pending, Result, State, Status};
use deadpool_postgres::{GenericClient, Object};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tokio_postgres::{IsolationLevel, Row};

/// What an event takes beyond its body, about: its row and those of its deliveries and attempts, with their places in the indexes.
const BESIDE_BODY: i64 = 1_024;

impl Postgres {
    /// An estimate by the ledger: bodies, what stands beside them, and the quarantine.
    pub(in crate::store) async fn used_bytes(&self) -> Result<u64> {
        self.run(|client| async move { estimate(&client).await }).await
    }

    /// Removes ended events received before `cutoff`, oldest first, until the rest fits.
    pub(in crate::store) async fn remove_over(&self, max_bytes: u64, cutoff: Timestamp) -> Result<usize> {
        let (slot, mut all) = (self.shared.membership.slot() + 2, 0);
        while self.used_bytes().await? > max_bytes {
            match again(|| self.run(move |client| async move { remove_batch(client, micros(cutoff), slot).await })).await? {
                0 => break,
                removed => all += removed,
            }
        }
        Ok(all)
    }

    /// The server's own `autovacuum` does what can be done while bridges run.
    #[expect(clippy::unused_async, reason = "the other engine cuts its file")]
    pub(in crate::store) async fn give_back(&self) -> Result<()> {
        Ok(())
    }

    /// What is blocked stands behind something older that is not. `+ 0` as in [`read_oldest_pending`].
    pub(in crate::store) async fn oldest_pending(&self) -> Result<BTreeMap<String, Timestamp>> {
        let oldest = |state: u8| format!("(SELECT min(event + 0) FROM delivery WHERE destination = n.id AND state = {state})");
        let sql = format!(
            "SELECT n.name, e.received_at FROM destination n CROSS JOIN LATERAL (SELECT least({}, {}) AS event) o JOIN event e ON e.seq = o.event",
            oldest(0),
            oldest(1)
        );
        self.run(|client| async move {
            let rows = query(&client, &sql, &[]).await?;
            rows.iter().map(|row| Ok((column(row, 0)?, moment(column(row, 1)?)))).collect()
        })
        .await
    }

    pub(in crate::store) async fn status(&self) -> Result<Status> {
        let place = format!("{:?}", self.shared.target);
        self.run(|client| async move { read_status(client, place).await }).await
    }
}

async fn estimate(client: &impl GenericClient) -> Result<u64> {
    let sql = "SELECT (coalesce((SELECT sum(bytes + (received - removed) * $1) FROM source_count), 0)
                       + coalesce((SELECT sum(bytes) FROM quarantine_total), 0))::BIGINT";
    let bytes: i64 = query_opt(client, sql, &[&BESIDE_BODY]).await?.map_or(Ok(0), |row| column(&row, 0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

async fn read_status(mut client: Object, place: String) -> Result<Status> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    // With indexes, long values and, when events are partitioned, all partitions.
    let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::BIGINT,
             (SELECT coalesce(sum(received - removed), 0)::BIGINT FROM source_count),
             (SELECT coalesce(sum(bodies), 0)::BIGINT FROM quarantine_total), (SELECT coalesce(sum(bytes), 0)::BIGINT FROM quarantine_total),
             (SELECT alive_at FROM pulse)
         FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'";
    let row = snapshot.query_one(sql, &[]).await?;
    let file_bytes: i64 = column(&row, 0)?;
    Ok(Status {
        engine: "postgres",
        place,
        schema: schema::read_version(&snapshot).await?,
        file_bytes: u64::try_from(file_bytes).unwrap_or(0),
        used_bytes: estimate(&snapshot).await?,
        free_bytes: None,
        wal_bytes: None,
        events: column(&row, 1)?,
        destinations: read_destinations(&snapshot).await?,
        oldest_pending: read_oldest_pending(&snapshot).await?,
        quarantine_bodies: column(&row, 2)?,
        quarantine_bytes: column(&row, 3)?,
        alive_at: column::<Option<i64>>(&row, 4)?.map(moment),
    })
}

async fn read_destinations(client: &impl GenericClient) -> Result<Vec<DestinationStatus>> {
    let pending = |state: u8| format!("(SELECT count(*) FROM delivery d WHERE d.destination = n.id AND d.state = {state})");
    let sql = format!(
        "SELECT n.name, coalesce(c.created, 0), {COUNT_COLUMNS}, {}, {}, {}, n.hold_since IS NOT NULL FROM destination n {SUMS}
         ORDER BY n.name COLLATE \"C\"",
        pending(0),
        pending(1),
        pending(2),
    );
    query(client, &sql, &[]).await?.iter().map(read_destination).collect()
}

fn read_destination(row: &Row) -> Result<DestinationStatus> {
    Ok(DestinationStatus {
        ledger: DestinationLedger { name: column(row, 0)?, made: column(row, 1)?, counts: read_counts(row, 2)? },
        pending: Pending::new(column(row, 7)?, column(row, 8)?, column(row, 9)?, column(row, 10)?),
    })
}

/// What is blocked stands behind something older that is not.
async fn read_oldest_pending(client: &impl GenericClient) -> Result<Option<OldestPending>> {
    // `+ 0` keeps the planner from walking all deliveries in their order; the indexes of what is pending are small.
    let sql = "SELECT e.id, e.received_at, n.name, d.state FROM delivery d JOIN event e ON e.seq = d.event JOIN destination n ON n.id = d.destination
               WHERE d.event = (SELECT least((SELECT min(event + 0) FROM delivery WHERE state = 0), (SELECT min(event + 0) FROM delivery WHERE state = 1)))
               AND d.state < 2 ORDER BY d.destination LIMIT 1";
    let Some(row) = query_opt(client, sql, &[]).await? else { return Ok(None) };
    Ok(Some(OldestPending {
        event: column(&row, 0)?,
        received_at: moment(column(&row, 1)?),
        destination: column(&row, 2)?,
        state: State::from_number(column(&row, 3)?).unwrap_or(State::Waiting),
    }))
}
