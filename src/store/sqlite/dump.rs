//! Handing the rows over to another store, from one snapshot.

use super::{Error, Result, Sqlite, lock, open_reader, schema};
use crate::store::dump::{Head, Mark, Piece, ROW_COUNTS, Rows, Stage, Table, Value, event_tables, head_tables, quarantine_tables};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row, params};
use std::path::Path;
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
    connection: Arc<Mutex<Connection>>,
    /// `None` on a disk that cannot be written, where no bridge could run.
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
        let lock = lock_unless_read_only(path)?;
        let in_context = |error| if let Error::Unavailable(why) = error { Error::Unavailable(format!("{shown}: {why}")) } else { error };
        let open = || {
            let connection = open_reader(path)?;
            match schema::read_version(&connection)? {
                0 => return Err(Error::Refused(format!("{shown} is no store of Leadwire"))),
                schema::NEWEST => {}
                _ => drop(Sqlite::open(path, [], [])?),
            }
            // The snapshot begins with the first query.
            connection.execute_batch("BEGIN; SELECT count(*) FROM pulse;")?;
            Ok(connection)
        };
        Ok(Self { connection: Arc::new(Mutex::new(open().map_err(in_context)?)), _lock: Arc::new(lock) })
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

fn lock_unless_read_only(path: &Path) -> Result<Option<std::fs::File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.metadata().is_ok_and(|found| found.permissions().readonly()) {
        return Ok(None);
    }
    let lock = lock(path)?;
    let in_use = || Error::Refused(format!("a bridge runs on {}; stop it first, so that nothing comes in behind the move", path.display()));
    lock.ok_or_else(in_use).map(Some)
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
