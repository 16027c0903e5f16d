//! Bodies that could not be verified: kept, bounded, never delivered.
//!
//! Whoever adds to the bodies of a source, or takes from them, locks the totals of that source first, so that the bound holds among
//! instances and nobody waits in a circle.

use super::receive::Arrival;
use super::{Postgres, again, column, execute, micros, moment, query, query_opt, text};
use crate::store::{NewEvent, Purge, QuarantineClass, QuarantineLimits, QuarantineRow, Quarantined, Received, Refused, Result};
use deadpool_postgres::{GenericClient, Object};
use jiff::Timestamp;
use std::sync::Arc;
use tokio_postgres::Row;

pub(super) const COLUMNS: &str = "id, source, at, client, times, size, code, reason, header";

impl Postgres {
    pub(in crate::store) async fn quarantine(&self, refused: Refused, limits: QuarantineLimits) -> Result<Quarantined> {
        let refused = Arc::new(refused);
        // They wait for each other anyway, and should do so without a connection.
        let _turn = self.shared.quarantining.acquire().await;
        again(|| {
            let refused = Arc::clone(&refused);
            self.run(move |client| async move { keep(client, &refused, limits).await })
        })
        .await
    }

    pub(in crate::store) async fn quarantined(&self, source: Option<String>, before: i64, limit: u32) -> Result<Vec<QuarantineRow>> {
        self.run(move |client| async move {
            let sql =
                format!("SELECT {COLUMNS} FROM quarantine WHERE ($1::TEXT IS NULL OR source = $1) AND id < $2 ORDER BY id DESC LIMIT $3");
            query(&client, &sql, &[&source, &before, &i64::from(limit)]).await?.iter().map(read_row).collect()
        })
        .await
    }

    pub(in crate::store) async fn count_quarantined(&self) -> Result<i64> {
        self.run(|client| async move {
            let row = query_opt(&client, "SELECT coalesce(sum(bodies), 0)::BIGINT FROM quarantine_total", &[]).await?;
            row.map_or(Ok(0), |row| column(&row, 0))
        })
        .await
    }

    pub(in crate::store) async fn quarantined_bodies(
        &self,
        source: String,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(QuarantineRow, Vec<u8>)>> {
        self.run(move |client| async move {
            let sql = format!("SELECT {COLUMNS}, body FROM quarantine WHERE source = $1 AND id > $2 ORDER BY id LIMIT $3");
            let rows = query(&client, &sql, &[&source, &after, &i64::from(limit)]).await?;
            rows.iter().map(|row| Ok((read_row(row)?, column(row, 9)?))).collect()
        })
        .await
    }

    /// Another process may have admitted it in the meantime; then its events are duplicates.
    pub(in crate::store) async fn admit(&self, id: i64, events: Vec<NewEvent>) -> Result<Vec<Received>> {
        self.receiver.send(Arrival { events: events.into(), admits: Some(id) }).await
    }

    pub(in crate::store) async fn explain_quarantined(&self, id: i64, code: String, reason: String) -> Result<()> {
        self.run(move |client| async move {
            let sql = "UPDATE quarantine SET code = $2, reason = $3 WHERE id = $1";
            execute(&client, sql, &[&id, &text(&code), &text(&reason)]).await.map(drop)
        })
        .await
    }

    pub(in crate::store) async fn purge_quarantine(
        &self,
        source: Option<String>,
        before: Option<Timestamp>,
        with_promised: bool,
    ) -> Result<usize> {
        let which = Arc::new(Purge { id: None, source, before, with_promised });
        again(|| {
            let which = Arc::clone(&which);
            self.run(move |mut client| async move {
                let transaction = client.transaction().await?;
                let removed = purge(&transaction, &which).await?;
                transaction.commit().await?;
                Ok(removed)
            })
        })
        .await
    }

    pub(in crate::store) async fn quarantined_body(&self, id: i64, most_bytes: u32) -> Result<Option<(QuarantineRow, Vec<u8>)>> {
        self.run(move |client| async move {
            let sql = format!("SELECT {COLUMNS}, substr(body, 1, $2) FROM quarantine WHERE id = $1");
            let most = i32::try_from(most_bytes).unwrap_or(i32::MAX);
            let row = query_opt(&client, &sql, &[&id, &most]).await?;
            row.map(|row| Ok((read_row(&row)?, column(&row, 9)?))).transpose()
        })
        .await
    }
}

/// Takes a body out of the quarantine, within the transaction of the caller. Whether it was there.
pub(super) async fn remove(client: &impl GenericClient, id: i64) -> Result<bool> {
    let Some(row) = query_opt(client, "SELECT source FROM quarantine WHERE id = $1", &[&id]).await? else { return Ok(false) };
    let source: String = column(&row, 0)?;
    lock_totals(client, &source).await?;
    Ok(remove_one(client, "id = $1", &[&id]).await?.is_some())
}

async fn keep(mut client: Object, refused: &Refused, limits: QuarantineLimits) -> Result<Quarantined> {
    let digest = refused.digest();
    if count_repetition(&client, refused, &digest).await? {
        return Ok(Quarantined::Kept { pushed_out: 0 });
    }
    let transaction = client.transaction().await?;
    lock_totals(&transaction, &refused.source).await?;
    // Another instance may have kept it just now.
    if count_repetition(&transaction, refused, &digest).await? {
        transaction.commit().await?;
        return Ok(Quarantined::Kept { pushed_out: 0 });
    }
    let Some(pushed_out) = make_room(&transaction, refused, limits).await? else { return Ok(Quarantined::Full) };
    // What is here now was of a lesser class.
    remove_one(&transaction, "source = $1 AND digest = $2", &[&refused.source, &&digest[..]]).await?;
    insert(&transaction, refused, &digest).await?;
    transaction.commit().await?;
    Ok(Quarantined::Kept { pushed_out })
}

async fn count_repetition(client: &impl GenericClient, refused: &Refused, digest: &[u8; 32]) -> Result<bool> {
    let sql = "UPDATE quarantine SET times = times + 1, at = $3 WHERE source = $1 AND digest = $2 AND class >= $4";
    Ok(execute(client, sql, &[&refused.source, &&digest[..], &micros(refused.at), &refused.class.number()]).await? == 1)
}

/// The totals of a source, of all classes, are this transaction's until it ends.
async fn lock_totals(client: &impl GenericClient, source: &str) -> Result<()> {
    let sql =
        "INSERT INTO quarantine_total (source, class, bodies, bytes) SELECT $1, class, 0, 0 FROM generate_series(0::BIGINT, 2) AS class
         ON CONFLICT (source, class) DO NOTHING";
    execute(client, sql, &[&source]).await?;
    execute(client, "SELECT 1 FROM quarantine_total WHERE source = $1 ORDER BY class FOR UPDATE", &[&source]).await.map(drop)
}

async fn insert(client: &impl GenericClient, refused: &Refused, digest: &[u8; 32]) -> Result<()> {
    let (class, size, at) = (refused.class.number(), refused.size(), micros(refused.at));
    let (address, code, reason) = (text(&refused.client), text(&refused.code), text(&refused.reason));
    let header = refused.kept_header();
    let sql = "INSERT INTO quarantine (source, class, size, digest, at, client, code, reason, header, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values: super::Params<'_> =
        &[&refused.source, &class, &size, &&digest[..], &at, &address, &code, &reason, &header, &refused.body.as_ref()];
    execute(client, sql, values).await?;
    let sql = "UPDATE quarantine_total SET bodies = bodies + 1, bytes = bytes + $3 WHERE source = $1 AND class = $2";
    execute(client, sql, &[&refused.source, &class, &size]).await.map(drop)
}

/// Removes the largest bodies of the class until this one fits; how many, or `None` when it cannot fit.
async fn make_room(client: &impl GenericClient, refused: &Refused, limits: QuarantineLimits) -> Result<Option<u32>> {
    let (class, size, most) = (refused.class.number(), refused.size(), limits.most(refused.class));
    let sql = "SELECT bytes FROM quarantine_total WHERE source = $1 AND class = $2";
    let total: i64 = query_opt(client, sql, &[&refused.source, &class]).await?.map_or(Ok(0), |row| column(&row, 0))?;
    let mut over = total.saturating_add(size).saturating_sub(most);
    if over > 0 && (refused.class == QuarantineClass::Promised || size > most) {
        return Ok(None);
    }
    let mut pushed_out = 0;
    while over > 0 {
        let largest = "id = (SELECT id FROM quarantine WHERE source = $1 AND class = $2 ORDER BY size DESC, id DESC LIMIT 1)";
        let Some(freed) = remove_one(client, largest, &[&refused.source, &class]).await? else { return Ok(None) };
        over -= freed;
        pushed_out += 1;
    }
    Ok(Some(pushed_out))
}

/// Removes the body that the condition names, and its share of the totals. Returns its size, if there is one.
async fn remove_one(client: &impl GenericClient, condition: &str, values: super::Params<'_>) -> Result<Option<i64>> {
    let sql = format!("DELETE FROM quarantine WHERE {condition} RETURNING source, class, size");
    let Some(row) = query_opt(client, &sql, values).await? else { return Ok(None) };
    let (source, class, size): (String, i64, i64) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
    let sql = "UPDATE quarantine_total SET bodies = bodies - 1, bytes = bytes - $3 WHERE source = $1 AND class = $2";
    execute(client, sql, &[&source, &class, &size]).await?;
    Ok(Some(size))
}

/// Within the transaction of the caller.
pub(super) async fn purge(client: &impl GenericClient, Purge { id, source, before, with_promised }: &Purge) -> Result<usize> {
    let sql = "SELECT 1 FROM quarantine_total WHERE $1::TEXT IS NULL OR source = $1 ORDER BY source COLLATE \"C\", class FOR UPDATE";
    execute(client, sql, &[source]).await?;
    let sql = "WITH gone AS (
             DELETE FROM quarantine
             WHERE ($1::TEXT IS NULL OR source = $1) AND ($2::BIGINT IS NULL OR at < $2) AND ($3 OR class < 2) AND ($4::BIGINT IS NULL OR id = $4)
             RETURNING source, class, size
         ), counted AS (
             UPDATE quarantine_total t SET bodies = t.bodies - g.bodies, bytes = t.bytes - g.bytes
             FROM (SELECT source, class, count(*) AS bodies, sum(size)::BIGINT AS bytes FROM gone GROUP BY source, class) g
             WHERE t.source = g.source AND t.class = g.class
         ) SELECT count(*) FROM gone";
    let row = query_opt(client, sql, &[source, &before.map(micros), with_promised, id]).await?;
    let removed: i64 = row.map_or(Ok(0), |row| column(&row, 0))?;
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

pub(super) fn read_row(row: &Row) -> Result<QuarantineRow> {
    Ok(QuarantineRow {
        id: column(row, 0)?,
        source: column(row, 1)?,
        at: moment(column(row, 2)?),
        client: column(row, 3)?,
        times: column(row, 4)?,
        size: column(row, 5)?,
        code: column(row, 6)?,
        reason: column(row, 7)?,
        header: column(row, 8)?,
    })
}
