//! Dead letters by what they died of.

use super::{Postgres, column, execute, moment, query};
use crate::store::cause::{cause, to_shown};
use crate::store::{AttemptRow, DeadCause, Result};
use deadpool_postgres::Object;
use tokio_postgres::Row;

/// Dead letters looked at in one transaction.
const BATCH: i64 = 500;

impl Postgres {
    pub(in crate::store) async fn dead_causes(&self) -> Result<Vec<DeadCause>> {
        self.run(|client| async move {
            // The index of the causes has all that is counted; only the oldest and the newest of each is looked up.
            let sql = "SELECT n.name, g.cause, g.times, o.received_at, e.received_at, e.id, coalesce(d.remark, '')
                 FROM (SELECT destination, cause, count(*) AS times, min(event) AS oldest, max(event) AS newest
                       FROM delivery WHERE state = 5 GROUP BY destination, cause ORDER BY 3 DESC LIMIT 1000) g
                 JOIN destination n ON n.id = g.destination JOIN event o ON o.seq = g.oldest JOIN event e ON e.seq = g.newest
                 JOIN delivery d ON d.event = g.newest AND d.destination = g.destination
                 ORDER BY g.times DESC, n.name COLLATE \"C\", g.cause COLLATE \"C\"";
            query(&client, sql, &[]).await?.iter().map(read_cause).collect()
        })
        .await
    }

    pub(in crate::store) async fn sort_dead(&self) -> Result<usize> {
        self.run(|client| async move { sort(client).await }).await
    }
}

fn read_cause(row: &Row) -> Result<DeadCause> {
    Ok(DeadCause {
        destination: column(row, 0)?,
        cause: to_shown(column(row, 1)?),
        count: column(row, 2)?,
        oldest: moment(column(row, 3)?),
        newest: moment(column(row, 4)?),
        example: column(row, 5)?,
        message: column(row, 6)?,
    })
}

/// Whoever works on one of them at this moment is not waited for: it is sorted another time.
async fn sort(mut client: Object) -> Result<usize> {
    let transaction = client.transaction().await?;
    let sql = "SELECT d.event, d.destination, a.at, a.outcome, a.kind, a.status, a.code, a.message
         FROM (SELECT event, destination FROM delivery WHERE state = 5 AND cause = '' LIMIT $1 FOR UPDATE SKIP LOCKED) d
         LEFT JOIN LATERAL (SELECT * FROM attempt a WHERE a.event = d.event AND a.destination = d.destination ORDER BY a.at DESC LIMIT 1) a
             ON TRUE";
    let (mut events, mut destinations, mut causes) = (Vec::<i64>::new(), Vec::<i64>::new(), Vec::new());
    for row in query(&transaction, sql, &[&BATCH]).await? {
        events.push(column(&row, 0)?);
        destinations.push(column(&row, 1)?);
        causes.push(cause(read_attempt(&row)?.as_ref()));
    }
    if events.is_empty() {
        return Ok(0);
    }
    let sql = "UPDATE delivery d SET cause = t.cause FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[]) AS t(event, destination, cause)
         WHERE d.event = t.event AND d.destination = t.destination";
    execute(&transaction, sql, &[&events, &destinations, &causes]).await?;
    transaction.commit().await?;
    Ok(events.len())
}

fn read_attempt(row: &Row) -> Result<Option<AttemptRow>> {
    let Some(at) = column::<Option<i64>>(row, 2)? else { return Ok(None) };
    Ok(Some(AttemptRow {
        at: moment(at),
        duration_ms: 0,
        outcome: column(row, 3)?,
        kind: column(row, 4)?,
        status: column::<Option<i64>>(row, 5)?.and_then(|status| u16::try_from(status).ok()),
        code: column(row, 6)?,
        message: column(row, 7)?,
        excerpt: None,
    }))
}
