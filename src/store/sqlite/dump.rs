//! Handing the rows over to another store, from one snapshot.

use super::open::{is_read_only, lock_to_read, named, open_reader, read_still, refuse_old};
use super::verify::find_damages;
use super::{Error, Result, Sqlite, schema};
use crate::store::dump::{Head, Mark, Piece, ROW_COUNTS, Rows, Stage, Table, Value, event_tables, head_tables, quarantine_tables};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Events or bodies in one piece, at most.
const PIECE_ROWS: usize = 2_000;
/// About how much memory the events or bodies of one piece take.
const PIECE_BYTES: usize = 8 << 20;

/// The ledger's part of [`ROW_COUNTS`].
const LEDGER_COUNTS: &str = "
    SELECT 'source ' || name AS part, 'received' AS what, received AS n FROM source
    UNION ALL SELECT 'source ' || name, 'removed', removed FROM source
    UNION ALL SELECT 'destination ' || name, 'made', created FROM destination
    UNION ALL SELECT 'destination ' || name, 'removed', removed FROM destination";

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A store that is read for another one. No bridge can start on it meanwhile, and nothing in it is changed.
#[derive(Debug, Clone)]
pub(in crate::store) struct Dump {
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    /// `None` where nothing can be written and no bridge ever ran.
    _lock: Arc<Option<std::fs::File>>,
}

impl Dump {
    /// Opens the file. A schema older than this program is brought up to date first, as by every command.
    ///
    /// # Errors
    /// When there is no such file, a bridge runs on it, or it is of another program or a newer version.
    pub(in crate::store) fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        if !path.is_file() {
            return Err(Error::Refused(format!("there is no store at {shown}")));
        }
        let in_use = |_| Error::Refused(format!("a bridge runs on {shown}; stop it first, so that nothing comes in behind the move"));
        let lock = lock_to_read(path).map_err(in_use)?;
        let connection = open_snapshot(path).map_err(|error| named(path, error))?;
        Ok(Self { path: path.to_owned(), connection: Arc::new(Mutex::new(connection)), _lock: Arc::new(lock) })
    }

    /// Reads every page: what is damaged would be lost on the way, or stop the transfer in its middle.
    ///
    /// # Errors
    /// `Refused` when something is damaged.
    pub(in crate::store) async fn check(&self) -> Result<()> {
        let shown = self.path.display().to_string();
        self.read(move |connection| match find_damages(connection, "quick_check")?.first() {
            None => Ok(()),
            Some(damage) => Err(Error::Refused(format!(
                "{shown} is not moved, because it is {damage}; move a backup instead (`leadwire store verify FILE` says whether one is good), or \
                 save what is left with SQLite's `.recover` and move that"
            ))),
        })
        .await
    }

    /// Everything that comes before the events.
    pub(in crate::store) async fn head(&self) -> Result<Head> {
        self.read(|connection| {
            let rows =
                head_tables().map(|table| Ok(Rows { table, rows: read_all(connection, table, "TRUE", [])? })).collect::<Result<_>>()?;
            let newest = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            let newest = [newest("SELECT coalesce(max(seq), 0) FROM event")?, newest("SELECT coalesce(max(id), 0) FROM quarantine")?];
            Ok(Head { rows, newest })
        })
        .await
    }

    /// What comes after the mark.
    pub(in crate::store) async fn piece(&self, from: Mark) -> Result<Piece> {
        self.read(move |connection| match from.stage {
            Stage::Events => read_events(connection, from),
            Stage::Quarantine => read_quarantine(connection, from),
            Stage::Complete => Ok(Piece { from, to: from, rows: Vec::new() }),
        })
        .await
    }

    /// See [`ROW_COUNTS`].
    pub(in crate::store) async fn counts(&self) -> Result<Vec<(String, String, i64)>> {
        self.read(read_counts).await
    }

    async fn read<T: Send + 'static>(&self, query: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let connection = Arc::clone(&self.connection);
        let query = move || query(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(query).await.map_err(|error| Error::Refused(format!("a query failed: {error}")))?
    }
}

fn open_snapshot(path: &Path) -> Result<Connection> {
    let connection = if is_read_only(path) { read_to_the_end(path)? } else { read_and_migrate(path)? };
    // The snapshot begins with the first query.
    connection.execute_batch("BEGIN; SELECT count(*) FROM pulse;")?;
    line_up(&connection)?;
    Ok(connection)
}

/// Backlogs are of this engine alone: for this connection, what is in one is due, and blocked where it stands behind another of its person. Names of
/// the temporary schema, which is no part of the file, come before those of the file.
fn line_up(connection: &Connection) -> Result<()> {
    let state = "CASE WHEN EXISTS (SELECT 1 FROM behind b WHERE b.event = d.event AND b.destination = d.destination) THEN 2 ELSE d.state END AS state";
    let not_before =
        "CASE WHEN d.state = 0 AND d.in_line = 0 THEN min(d.not_before, unixepoch() * 1000000) ELSE d.not_before END AS not_before";
    let read = |name| match name {
        "state" => state,
        "not_before" => not_before,
        name => name,
    };
    let columns: Vec<&str> = delivery_columns().map(read).collect();
    connection.execute_batch(&format!(
        "CREATE TEMP TABLE behind (event INTEGER NOT NULL, destination INTEGER NOT NULL, PRIMARY KEY (event, destination)) WITHOUT ROWID;
         INSERT INTO behind SELECT event, destination FROM (
             SELECT event, destination, in_line, row_number() OVER (PARTITION BY destination, person ORDER BY in_line DESC, event) AS place
             FROM main.delivery WHERE state < 3 AND person IS NOT NULL
         ) WHERE in_line = 0 AND place > 1;
         CREATE TEMP VIEW delivery AS SELECT {} FROM main.delivery d;",
        columns.join(", ")
    ))?;
    Ok(())
}

fn delivery_columns() -> impl Iterator<Item = &'static str> {
    event_tables().filter(|(table, _)| table.name == "delivery").flat_map(|(table, _)| table.columns.iter().map(|(name, _)| *name))
}

fn read_to_the_end(path: &Path) -> Result<Connection> {
    let connection = read_still(path, false)?;
    refuse_old(&connection)?;
    Ok(connection)
}

fn read_and_migrate(path: &Path) -> Result<Connection> {
    let connection = open_reader(path)?;
    match schema::read_version(&connection)? {
        0 => return Err(Error::Refused("it is empty: no store was ever made in it".to_owned())),
        schema::NEWEST => {}
        _ => drop(Sqlite::open(path, [], [])?),
    }
    Ok(connection)
}

pub(super) fn read_counts(connection: &Connection) -> Result<Vec<(String, String, i64)>> {
    let mut query = connection.prepare(&format!("{LEDGER_COUNTS} UNION ALL {ROW_COUNTS}"))?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read_events(connection: &Connection, from: Mark) -> Result<Piece> {
    let (mut rows, mut to, mut until) = (Vec::new(), from, i64::MAX);
    for (index, (table, column)) in event_tables().enumerate() {
        if index == 0 {
            let (events, is_full) = read_first(connection, table, column, from.after)?;
            to = from.next(events.last(column), is_full);
            until = if is_full { to.after } else { i64::MAX };
            rows.push(events);
        } else {
            let condition = format!("{column} > ?1 AND {column} <= ?2");
            rows.push(Rows { table, rows: read_all(connection, table, &condition, params![from.after, until])? });
        }
    }
    Ok(Piece { from, to, rows })
}

fn read_quarantine(connection: &Connection, from: Mark) -> Result<Piece> {
    let (mut rows, mut to) = (Vec::new(), from);
    for (table, column) in quarantine_tables() {
        let (bodies, is_full) = read_first(connection, table, column, from.after)?;
        to = from.next(bodies.last(column), is_full);
        rows.push(bodies);
    }
    Ok(Piece { from, to, rows })
}

/// As many rows after `after` as a piece holds, and whether there may be more.
fn read_first(connection: &Connection, table: &'static Table, column: &str, after: i64) -> Result<(Rows, bool)> {
    let sql = format!("SELECT {} FROM {} WHERE {column} > ?1 ORDER BY {column}", table.list_for_reading(), table.name);
    let mut query = connection.prepare_cached(&sql)?;
    let mut found = query.query([after])?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let row = read_row(table, row)?;
        bytes += row.iter().map(Value::size).sum::<usize>();
        rows.push(row);
        if rows.len() >= PIECE_ROWS || bytes >= PIECE_BYTES {
            return Ok((Rows { table, rows }, true));
        }
    }
    Ok((Rows { table, rows }, false))
}

fn read_all(connection: &Connection, table: &Table, condition: &str, values: impl Params) -> Result<Vec<Vec<Value>>> {
    let mut query = connection.prepare_cached(&format!("SELECT {} FROM {} WHERE {condition}", table.list_for_reading(), table.name))?;
    let mut found = query.query(values)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(read_row(table, row)?);
    }
    Ok(rows)
}

fn read_row(table: &Table, row: &Row<'_>) -> Result<Vec<Value>> {
    let value = |at: usize| {
        Ok(match row.get_ref(at)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Int(number),
            ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
            ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).map_err(|_| unreadable(table, at))?.to_owned()),
            ValueRef::Real(_) => return Err(unreadable(table, at)),
        })
    };
    (0..table.columns.len()).map(value).collect()
}

fn unreadable(table: &Table, at: usize) -> Error {
    let column = table.columns.get(at).map_or("?", |(name, _)| name);
    Error::Refused(format!("a row of the table {} has something in {column} that does not belong there; run `leadwire audit`", table.name))
}
