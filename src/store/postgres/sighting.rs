//! What was seen of each source. Instances add to the same rows, all in the same order.

use super::{Postgres, again, column, execute, micros, moment, query, query_opt};
use crate::store::Result;
use crate::store::sighting::{Cutoffs, MOST_CLIENTS, Read, Row, Sighting, What, in_order};
use deadpool_postgres::{GenericClient, Object};
use std::sync::Arc;

impl Postgres {
    pub(in crate::store) async fn note_sightings(&self, sightings: Vec<Sighting>, cutoffs: Cutoffs) -> Result<()> {
        let names = self.shared.names.now();
        let rows = Arc::new(in_order(sightings, |name| names.sources.get(name).copied()));
        again(|| {
            let rows = Arc::clone(&rows);
            self.run(move |client| async move { note(client, &rows, cutoffs).await })
        })
        .await
    }

    pub(in crate::store) async fn sightings(&self, source: String) -> Result<Option<Vec<Read>>> {
        self.run(move |client| async move {
            let Some(row) = query_opt(&client, "SELECT id FROM source WHERE name = $1", &[&source]).await? else { return Ok(None) };
            let sql = "SELECT what, name, at, times, listed FROM sighting WHERE source = $1";
            let rows = query(&client, sql, &[&column::<i64>(&row, 0)?]).await?;
            let read = |row| Ok((column(row, 0)?, column(row, 1)?, moment(column(row, 2)?), column(row, 3)?, column::<i64>(row, 4)? != 0));
            rows.iter().map(read).collect::<Result<_>>().map(Some)
        })
        .await
    }
}

async fn note(mut client: Object, rows: &[Row], cutoffs: Cutoffs) -> Result<()> {
    let transaction = client.transaction().await?;
    let sources: Vec<i64> = rows.iter().map(|row| row.source).collect();
    // Whoever forgets locks rows in another order than whoever adds: one instance after the other.
    execute(&transaction, "SELECT 1 FROM source WHERE id = ANY($1) ORDER BY id FOR UPDATE", &[&sources]).await?;
    add(&transaction, rows).await?;
    forget(&transaction, &sources, cutoffs).await?;
    Ok(transaction.commit().await?)
}

async fn add(client: &impl GenericClient, rows: &[Row]) -> Result<()> {
    let sources: Vec<i64> = rows.iter().map(|row| row.source).collect();
    let whats: Vec<i64> = rows.iter().map(|row| row.sighting.what.number()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.sighting.name.as_str()).collect();
    let ats: Vec<i64> = rows.iter().map(|row| micros(row.sighting.at)).collect();
    let times: Vec<i64> = rows.iter().map(|row| row.sighting.times).collect();
    let listed: Vec<i64> = rows.iter().map(|row| row.sighting.listed.into()).collect();
    let sql = "INSERT INTO sighting AS s (source, what, name, at, times, listed)
         SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[])
         ON CONFLICT (source, what, name) DO UPDATE SET listed = CASE WHEN excluded.at >= s.at THEN excluded.listed ELSE s.listed END,
             at = greatest(s.at, excluded.at), times = s.times + excluded.times";
    execute(client, sql, &[&sources, &whats, &names, &ats, &times, &listed]).await.map(drop)
}

async fn forget(client: &impl GenericClient, sources: &[i64], cutoffs: Cutoffs) -> Result<()> {
    let sql = "DELETE FROM sighting WHERE source = ANY($1) AND (what IN (3, 4) AND at < $2 OR what = 6 AND at < $3)";
    execute(client, sql, &[&sources, &micros(cutoffs.seen), &micros(cutoffs.hours)]).await?;
    let sql = "WITH over AS (
             SELECT source, name FROM (SELECT source, name, row_number() OVER (PARTITION BY source ORDER BY at DESC, name) AS place
                                       FROM sighting WHERE source = ANY($1) AND what = 4) c WHERE place > $2
         ), gone AS (
             DELETE FROM sighting s USING over o WHERE s.source = o.source AND s.what = 4 AND s.name = o.name RETURNING s.source, s.at, s.times
         )
         INSERT INTO sighting AS s (source, what, name, at, times, listed)
         SELECT source, $3, '', max(at), sum(times)::BIGINT, 1 FROM gone GROUP BY source
         ON CONFLICT (source, what, name) DO UPDATE SET at = greatest(s.at, excluded.at), times = s.times + excluded.times";
    execute(client, sql, &[&sources, &MOST_CLIENTS, &What::OtherClients.number()]).await.map(drop)
}
