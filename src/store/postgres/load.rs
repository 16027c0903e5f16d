//! Taking in the rows of another store, piece by piece.

use super::dump::read_counts;
use super::transfer::{Session, read_kept};
use super::{Postgres, column, execute, micros, query_opt, text};
use crate::store::dump::{Begun, Head, Kind, Mark, Piece, Rows, Value, refuse_full};
use crate::store::{Error, Ownership, Result, Right};
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use std::sync::Arc;
use tokio_postgres::types::ToSql;

impl Postgres {
    /// The right to write into this store, without anything that a bridge does when it joins.
    pub(in crate::store) async fn take_target(&self) -> Result<Ownership> {
        Ok(Ownership { _right: Right::Session(Session::open(&self.shared.target).await?.lock_out().await?) })
    }

    /// Gives an empty store the head, or finds the place where the same transfer was interrupted.
    ///
    /// # Errors
    /// `Refused` when the store holds anything else.
    pub(in crate::store) async fn begin_transfer(&self, origin: String, head: Head) -> Result<Begun> {
        self.run(move |mut client| async move {
            let transaction = client.transaction().await?;
            let fingerprint = head.fingerprint();
            if let Some(kept) = read_kept(&transaction).await? {
                let events: i64 = column(&transaction.query_one("SELECT count(*) FROM event", &[]).await?, 0)?;
                return kept.resume(&origin, &fingerprint, u64::try_from(events).unwrap_or(0));
            }
            if !is_empty(&transaction).await? {
                return Err(refuse_full());
            }
            transaction.batch_execute("DELETE FROM source_count; DELETE FROM destination_count").await?;
            for rows in &head.rows {
                transaction.batch_execute(&format!("DELETE FROM {}", rows.table.name)).await?;
                insert(&transaction, rows).await?;
            }
            let Mark { stage, after } = Mark::START;
            let sql = "INSERT INTO transfer (id, origin, fingerprint, stage, after) VALUES (1, $1, $2, $3, $4)";
            execute(&transaction, sql, &[&origin, &fingerprint, &stage.number(), &after]).await?;
            transaction.commit().await?;
            Ok(Begun::From(Mark::START, 0))
        })
        .await
    }

    /// Takes in a piece and moves the mark, in one transaction.
    ///
    /// # Errors
    /// `Refused` when the mark is not where the piece begins.
    pub(in crate::store) async fn load(&self, piece: Piece) -> Result<()> {
        let piece = Arc::new(piece);
        self.run(move |mut client| async move {
            let transaction = client.transaction().await?;
            let Piece { from, to, rows } = &*piece;
            let sql = "UPDATE transfer SET stage = $1, after = $2 WHERE stage = $3 AND after = $4 AND finished_at IS NULL";
            if execute(&transaction, sql, &[&to.stage.number(), &to.after, &from.stage.number(), &from.after]).await? != 1 {
                return Err(Error::Refused("another transfer writes into the same target; let it finish".to_owned()));
            }
            for rows in rows {
                insert(&transaction, rows).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// From here on, numbers go on where the origin's were.
    pub(in crate::store) async fn finish_transfer(&self, now: Timestamp) -> Result<()> {
        self.run(move |mut client| async move {
            let transaction = client.transaction().await?;
            transaction
                .batch_execute(
                    "SELECT setval('event_seq', (SELECT coalesce(max(seq), 0) + 1 FROM event), false);
                     SELECT setval(pg_get_serial_sequence('source', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM source), false);
                     SELECT setval(pg_get_serial_sequence('destination', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM destination), false);
                     SELECT setval(pg_get_serial_sequence('quarantine', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM quarantine), false);
                     SELECT setval(pg_get_serial_sequence('action', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM action), false);",
                )
                .await?;
            execute(&transaction, "UPDATE transfer SET finished_at = $1", &[&micros(now)]).await?;
            transaction.commit().await?;
            // The planner knows nothing of rows that came in so quickly.
            Ok(client.batch_execute("ANALYZE event, delivery, attempt, step, content, quarantine").await?)
        })
        .await
    }

    /// See [`ROW_COUNTS`](crate::store::dump::ROW_COUNTS).
    pub(in crate::store) async fn counts(&self) -> Result<Vec<(String, String, i64)>> {
        let session = Session::open(&self.shared.target).await?;
        read_counts(&session.client).await
    }
}

/// Names that a bridge registered at a first start are nothing yet.
async fn is_empty(client: &impl GenericClient) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM event) AND NOT EXISTS (SELECT 1 FROM delivery) AND NOT EXISTS (SELECT 1 FROM quarantine)
               AND NOT EXISTS (SELECT 1 FROM source_count WHERE received > 0)
               AND NOT EXISTS (SELECT 1 FROM destination_count WHERE created > 0)
               AND NOT EXISTS (SELECT 1 FROM destination WHERE hold_since IS NOT NULL)";
    query_opt(client, sql, &[]).await?.map_or(Ok(false), |row| column(&row, 0))
}

/// The statements that take in the rows `t` of a table.
fn statements(rows: &Rows) -> Vec<String> {
    let name = rows.table.name;
    match name {
        "source" => vec![
            "INSERT INTO source (id, name) SELECT id, name FROM t".to_owned(),
            "INSERT INTO source_count (source, slot, received, removed) SELECT id, 0, received, removed FROM t".to_owned(),
        ],
        "destination" => vec![
            "INSERT INTO destination (id, name, hold_reason, hold_since, hold_until, parked_us)
             SELECT id, name, hold_reason, hold_since, hold_until, parked_us FROM t"
                .to_owned(),
            "INSERT INTO destination_count (destination, slot, created, removed, delivered, skipped, dead, erased)
             SELECT id, 0, created, removed, delivered, skipped, dead, erased FROM t"
                .to_owned(),
        ],
        "erasure" => vec![
            "INSERT INTO erasure (delivery, destination, event, under_way, requested_at, done_at, result, place, arrived)
             SELECT delivery, destination, event, under_way <> 0, requested_at, done_at, result, place, arrived FROM t"
                .to_owned(),
        ],
        "event" => vec![
            format!(
                "INSERT INTO event ({}) SELECT {} FROM t",
                rows.table.list(),
                rows.table.columns.iter().map(|(name, _)| if *name == "id" { "encode(id, 'hex')::UUID" } else { name }).collect::<Vec<_>>().join(", ")
            ),
            "INSERT INTO content (source, content_key, event) SELECT source, content_key, seq FROM t".to_owned(),
            "INSERT INTO source_count (source, slot, bytes) SELECT source, 0, sum(octet_length(body)) FROM t GROUP BY source
             ON CONFLICT (source, slot) DO UPDATE SET bytes = source_count.bytes + excluded.bytes"
                .to_owned(),
        ],
        "quarantine" => vec![
            format!("INSERT INTO quarantine ({0}) OVERRIDING SYSTEM VALUE SELECT {0} FROM t", rows.table.list()),
            "INSERT INTO quarantine_total (source, class, bodies, bytes) SELECT source, class, count(*), sum(size) FROM t GROUP BY source, class
             ON CONFLICT (source, class) DO UPDATE SET bodies = quarantine_total.bodies + excluded.bodies, bytes = quarantine_total.bytes + excluded.bytes"
                .to_owned(),
        ],
        _ => vec![format!("INSERT INTO {name} ({0}) SELECT {0} FROM t", rows.table.list())],
    }
}

/// All rows in one statement, a list for each column.
async fn insert(client: &impl GenericClient, rows: &Rows) -> Result<()> {
    if rows.rows.is_empty() {
        return Ok(());
    }
    let columns = rows.table.columns;
    let lists: Vec<Box<dyn ToSql + Sync + Send>> = columns.iter().enumerate().map(|(at, (_, kind))| list(rows, at, *kind)).collect();
    let types = columns.iter().enumerate().map(|(at, (_, kind))| format!("${}::{}[]", at + 1, sql_type(*kind)));
    let parts = statements(rows).into_iter().enumerate().map(|(number, sql)| format!("part_{number} AS ({sql})"));
    let sql = format!(
        "WITH t AS (SELECT * FROM unnest({}) AS t({})), {} SELECT 1",
        types.collect::<Vec<_>>().join(", "),
        rows.table.list(),
        parts.collect::<Vec<_>>().join(", ")
    );
    let values: Vec<&(dyn ToSql + Sync)> = lists.iter().map(|list| &**list as &(dyn ToSql + Sync)).collect();
    super::query(client, &sql, &values).await.map(drop)
}

fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "BIGINT",
        Kind::Text => "TEXT",
        Kind::Bytes => "BYTEA",
    }
}

fn list(rows: &Rows, at: usize, kind: Kind) -> Box<dyn ToSql + Sync + Send> {
    let values = rows.rows.iter().map(|row| row.get(at).unwrap_or(&Value::Null));
    match kind {
        Kind::Int => Box::new(values.map(Value::as_int).collect::<Vec<Option<i64>>>()),
        Kind::Text => {
            Box::new(values.map(|value| if let Value::Text(value) = value { Some(text(value)) } else { None }).collect::<Vec<_>>())
        }
        Kind::Bytes => {
            Box::new(values.map(|value| if let Value::Bytes(bytes) = value { Some(bytes.clone()) } else { None }).collect::<Vec<_>>())
        }
    }
}
