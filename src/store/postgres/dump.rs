//! Handing the rows over to another store, from one snapshot.

use super::connect::Target;
use super::transfer::Session;
use super::{Params, Postgres, column};
use crate::store::dump::{Head, Kind, Mark, Piece, ROW_COUNTS, Rows, Stage, Table, Value, event_tables, head_tables, quarantine_tables};
use crate::store::{Error, Result};
use tokio_postgres::{Client, Row};

/// Events or bodies in one piece, at most.
const PIECE_ROWS: i64 = 2_000;
/// About how much memory the events or bodies of one piece take. The server adds up what they take before it sends them.
const PIECE_BYTES: i64 = 8 << 20;

/// The ledger's part of [`ROW_COUNTS`].
const LEDGER_COUNTS: &str = "
    SELECT 'source ' || s.name AS part, 'received' AS what, coalesce((SELECT sum(received) FROM source_count WHERE source = s.id), 0)::BIGINT AS n FROM source s
    UNION ALL SELECT 'source ' || s.name, 'removed', coalesce((SELECT sum(removed) FROM source_count WHERE source = s.id), 0)::BIGINT FROM source s
    UNION ALL SELECT 'destination ' || n.name, 'made', coalesce((SELECT sum(created) FROM destination_count WHERE destination = n.id), 0)::BIGINT FROM destination n
    UNION ALL SELECT 'destination ' || n.name, 'removed', coalesce((SELECT sum(removed) FROM destination_count WHERE destination = n.id), 0)::BIGINT FROM destination n";

/// A database that is read for another store, as it was at one moment.
#[derive(Debug)]
pub(in crate::store) struct Dump {
    session: Session,
}

impl Dump {
    /// Opens the database for moving it: no bridge can start on it meanwhile. A schema older than this program is brought up to date
    /// first, as by every command.
    ///
    /// # Errors
    /// When there is no store in it, a bridge runs on it, or it has a newer schema.
    pub(in crate::store) async fn open(url: &str) -> Result<Self> {
        let target = Target::parse(url)?;
        let session = Session::open(&target).await?;
        let row = session.client.query_one("SELECT to_regclass('leadwire_schema') IS NULL", &[]).await?;
        if column(&row, 0)? {
            return Err(Error::Refused(format!("there is no store at {target:?}")));
        }
        drop(Postgres::open(url, [], []).await?);
        Self::begin(session.lock_out().await?).await
    }

    async fn begin(session: Session) -> Result<Self> {
        session.client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        Ok(Self { session })
    }

    /// Everything that comes before the events.
    pub(in crate::store) async fn head(&self) -> Result<Head> {
        let client = &self.session.client;
        let mut rows = Vec::new();
        for table in head_tables() {
            rows.push(Rows { table, rows: read(client, table, "TRUE ORDER BY 1", &[]).await? });
        }
        let sql = "SELECT coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(id) FROM quarantine), 0)";
        let newest = client.query_one(sql, &[]).await?;
        Ok(Head { rows, newest: [column(&newest, 0)?, column(&newest, 1)?] })
    }

    /// What comes after the mark.
    pub(in crate::store) async fn piece(&self, from: Mark) -> Result<Piece> {
        let client = &self.session.client;
        match from.stage {
            Stage::Events => read_events(client, from).await,
            Stage::Quarantine => read_quarantine(client, from).await,
            Stage::Complete => Ok(Piece { from, to: from, rows: Vec::new() }),
        }
    }

    /// See [`ROW_COUNTS`].
    pub(in crate::store) async fn counts(&self) -> Result<Vec<(String, String, i64)>> {
        read_counts(&self.session.client).await
    }
}

impl Postgres {
    /// The same while bridges go on.
    pub(in crate::store) async fn snapshot(&self) -> Result<Dump> {
        Dump::begin(Session::open(&self.shared.target).await?).await
    }
}

pub(super) async fn read_counts(client: &Client) -> Result<Vec<(String, String, i64)>> {
    let rows = client.query(&format!("{LEDGER_COUNTS} UNION ALL {ROW_COUNTS}"), &[]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))).collect()
}

async fn read_events(client: &Client, from: Mark) -> Result<Piece> {
    let (last, is_full) = find_end(client, "event", "seq", "body", from.after).await?;
    let to = from.next(last, is_full);
    let until = if is_full { to.after } else { i64::MAX };
    let mut rows = Vec::new();
    for (table, key) in event_tables() {
        let condition = format!("t.{key} > $1 AND t.{key} <= $2 ORDER BY t.{key}");
        rows.push(Rows { table, rows: read(client, table, &condition, &[&from.after, &until]).await? });
    }
    Ok(Piece { from, to, rows })
}

async fn read_quarantine(client: &Client, from: Mark) -> Result<Piece> {
    let (last, is_full) = find_end(client, "quarantine", "id", "body", from.after).await?;
    let to = from.next(last, is_full);
    let until = if is_full { to.after } else { i64::MAX };
    let mut rows = Vec::new();
    for (table, key) in quarantine_tables() {
        let condition = format!("t.{key} > $1 AND t.{key} <= $2 ORDER BY t.{key}");
        rows.push(Rows { table, rows: read(client, table, &condition, &[&from.after, &until]).await? });
    }
    Ok(Piece { from, to, rows })
}

/// The last row of the next piece, and whether there may be more after it.
async fn find_end(client: &Client, table: &str, key: &str, body: &str, after: i64) -> Result<(Option<i64>, bool)> {
    // The row with which the piece becomes large is its last.
    let sql = format!(
        "SELECT max(key), count(*), coalesce(sum(bytes), 0)::BIGINT FROM (
             SELECT key, bytes, sum(bytes) OVER (ORDER BY key) - bytes AS before
             FROM (SELECT {key} AS key, octet_length({body})::BIGINT AS bytes FROM {table} WHERE {key} > $1 ORDER BY {key} LIMIT $2) t
         ) u WHERE before < $3::BIGINT"
    );
    let row = client.query_one(&sql, &[&after, &PIECE_ROWS, &PIECE_BYTES]).await?;
    let (count, bytes): (i64, i64) = (column(&row, 1)?, column(&row, 2)?);
    Ok((column(&row, 0)?, count >= PIECE_ROWS || bytes >= PIECE_BYTES))
}

async fn read(client: &Client, table: &'static Table, condition: &str, values: Params<'_>) -> Result<Vec<Vec<Value>>> {
    let list: Vec<String> = table.columns.iter().map(|(name, _)| expression(table.name, name)).collect();
    let sql = format!("SELECT {} FROM {} t WHERE {condition}", list.join(", "), table.name);
    client.query(&sql, values).await?.iter().map(|row| read_row(table, row)).collect()
}

/// What a column is made of, where it is not just there. Who had leased a delivery is not where it goes, so it arrives as waiting.
fn expression(table: &str, name: &str) -> String {
    match (table, name) {
        ("event", "id") => "uuid_send(t.id)".to_owned(),
        ("delivery", "state") => "CASE t.state WHEN 1 THEN 0 ELSE t.state END".to_owned(),
        ("erasure", "under_way") => "t.under_way::INT::BIGINT".to_owned(),
        ("source", "received" | "removed") => sum(table, name),
        ("destination", "created" | "removed" | "delivered" | "skipped" | "dead" | "erased") => sum(table, name),
        _ => format!("t.{name}"),
    }
}

fn sum(table: &str, name: &str) -> String {
    format!("coalesce((SELECT sum(c.{name}) FROM {table}_count c WHERE c.{table} = t.id), 0)::BIGINT")
}

fn read_row(table: &Table, row: &Row) -> Result<Vec<Value>> {
    let value = |(at, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Int => column::<Option<i64>>(row, at)?.map_or(Value::Null, Value::Int),
            Kind::Text => column::<Option<String>>(row, at)?.map_or(Value::Null, Value::Text),
            Kind::Bytes => column::<Option<Vec<u8>>>(row, at)?.map_or(Value::Null, Value::Bytes),
        })
    };
    table.columns.iter().enumerate().map(value).collect()
}
