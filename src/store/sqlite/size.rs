//! How much disk the file takes, and giving back what it no longer needs.

use super::audit::read_destinations;
use super::open::beside;
use super::schema::{INCREMENTAL, NEWEST};
use super::{Sqlite, moment};
use crate::store::{DestinationStatus, OldestPending, Pending, Result, State, Status};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

/// Pages given back in one transaction: short enough that an answer waiting behind it does not notice.
const STEP: i64 = 256;

/// Free pages are used again by what comes next; an eighth of the file may be free before it is worth moving pages.
const WORTHWHILE: u64 = 8;

/// The last part of a checkpoint keeps writers waiting, so that it must not wait long for readers itself.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(200);
/// So it is tried so often, with a pause in which writers go on.
const CHECKPOINTS: u32 = 20;
const CHECKPOINT_AGAIN: Duration = Duration::from_millis(300);

/// The pages of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space {
    page_bytes: u64,
    pages: u64,
    free_pages: u64,
    can_shrink: bool,
}

impl Space {
    /// What rows and indexes take.
    pub(super) fn used_bytes(&self) -> u64 {
        self.pages.saturating_sub(self.free_pages) * self.page_bytes
    }

    fn is_worth_shrinking(&self) -> bool {
        self.can_shrink && self.free_pages > 0 && self.free_pages * WORTHWHILE > self.pages
    }
}

/// Each destination with the event of its oldest pending delivery, or without one. A backlog is in that order.
pub(super) const OLDEST: &str = "
    WITH each_oldest AS MATERIALIZED (
        SELECT id, name,
            (SELECT min(event) FROM delivery INDEXED BY delivery_line WHERE destination = n.id AND state < 3 AND in_line = 1) AS line,
            (SELECT min(event) FROM delivery INDEXED BY delivery_backlog WHERE destination = n.id AND state = 0 AND in_line = 0) AS backlog
        FROM destination n)
    SELECT id, name, min(coalesce(line, backlog), coalesce(backlog, line)) AS event FROM each_oldest";

impl Sqlite {
    pub(super) async fn space(&self) -> Result<Space> {
        self.read(read_space).await
    }

    pub(in crate::store) async fn used_bytes(&self) -> Result<u64> {
        Ok(self.space().await?.used_bytes())
    }

    /// Moves pages from the end of the file into free ones, step by step between other writes, and cuts the file.
    pub(in crate::store) async fn give_back(&self) -> Result<()> {
        let space = self.space().await?;
        if !space.is_worth_shrinking() {
            return Ok(());
        }
        let mut left = u64::MAX;
        loop {
            let free = self.writer.write(|unit| shrink(unit.connection)).await?;
            if free == 0 || free >= left {
                break;
            }
            left = free;
        }
        self.empty_log().await
    }

    /// Brings what is in the log into the file, which is cut to its size.
    pub(in crate::store) async fn empty_log(&self) -> Result<()> {
        let path = self.readers.path.clone();
        let cut = tokio::task::spawn_blocking(move || checkpoint(&path)).await;
        cut.unwrap_or_else(|error| Err(crate::store::Error::Refused(format!("a checkpoint failed: {error}"))))
    }

    pub(in crate::store) async fn oldest_pending(&self) -> Result<BTreeMap<String, Timestamp>> {
        let sql = format!("SELECT o.name, e.received_at FROM ({OLDEST}) o JOIN event e ON e.seq = o.event");
        self.read(move |connection| {
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, moment(row.get(1)?))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.readers.path
    }

    pub(in crate::store) async fn status(&self) -> Result<Status> {
        let path = self.readers.path.clone();
        self.read(move |connection| read_status(connection, &path)).await
    }
}

pub(super) fn read_space(connection: &Connection) -> Result<Space> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let count = |name: &str| -> Result<u64> { Ok(u64::try_from(pragma(name)?).unwrap_or(0)) };
    Ok(Space {
        page_bytes: count("page_size")?,
        pages: count("page_count")?,
        free_pages: count("freelist_count")?,
        can_shrink: pragma("auto_vacuum")? == INCREMENTAL,
    })
}

/// The free pages that are left after it.
fn shrink(connection: &Connection) -> Result<u64> {
    let mut step = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({STEP})"))?;
    let mut rows = step.query([])?;
    // Each row is one page.
    while rows.next()?.is_some() {}
    Ok(read_space(connection)?.free_pages)
}

/// Most of it keeps nobody waiting; then what is left of the log is emptied and the file is cut.
#[expect(clippy::disallowed_methods, reason = "this thread is for work that blocks")]
fn checkpoint(path: &Path) -> Result<()> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(CHECKPOINT_TIMEOUT)?;
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    for _ in 0..CHECKPOINTS {
        let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if !is_busy {
            break;
        }
        // Somebody reads what is in the log. Who reads for longer than all of this leaves it to the next one.
        std::thread::sleep(CHECKPOINT_AGAIN);
    }
    Ok(())
}

/// Reads the ledger, not the rows: the one walk is over what is pending.
fn read_status(connection: &Connection, path: &Path) -> Result<Status> {
    let snapshot = connection.unchecked_transaction()?;
    let space = read_space(&snapshot)?;
    let number = |sql: &str| snapshot.query_row(sql, [], |row| row.get::<_, i64>(0));
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    Ok(Status {
        engine: "sqlite",
        place: path.display().to_string(),
        schema: NEWEST,
        file_bytes: length(path),
        used_bytes: space.used_bytes(),
        free_bytes: Some(space.free_pages * space.page_bytes),
        wal_bytes: Some(length(&beside(path, "-wal"))),
        events: number("SELECT coalesce(sum(received - removed), 0) FROM source")?,
        destinations: read_pending(&snapshot)?,
        oldest_pending: read_oldest_pending(&snapshot)?,
        quarantine_bodies: number("SELECT coalesce(sum(bodies), 0) FROM quarantine_total")?,
        quarantine_bytes: number("SELECT coalesce(sum(bytes), 0) FROM quarantine_total")?,
        alive_at: snapshot.query_row("SELECT alive_at FROM pulse", [], |row| row.get::<_, Option<i64>>(0))?.map(moment),
    })
}

fn read_pending(connection: &Connection) -> Result<Vec<DestinationStatus>> {
    let sql = "SELECT n.name, sum(d.waiting), sum(d.leased), sum(d.blocked), n.hold_since IS NOT NULL FROM (
                   SELECT destination, sum(state = 0) AS waiting, sum(state = 1) AS leased, sum(state = 2) AS blocked
                   FROM delivery INDEXED BY delivery_line WHERE state < 3 AND in_line = 1 GROUP BY destination
                   UNION ALL SELECT destination, count(*), 0, 0
                   FROM delivery INDEXED BY delivery_backlog WHERE state = 0 AND in_line = 0 GROUP BY destination
               ) d JOIN destination n ON n.id = d.destination GROUP BY n.id";
    let mut query = connection.prepare(sql)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Pending::new(row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
    let found: HashMap<String, Pending> = query.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
    let pending = |name: &String| found.get(name).copied().unwrap_or_default();
    Ok(read_destinations(connection)?.into_iter().map(|ledger| DestinationStatus { pending: pending(&ledger.name), ledger }).collect())
}

fn read_oldest_pending(connection: &Connection) -> Result<Option<OldestPending>> {
    let sql = format!(
        "SELECT e.id, e.received_at, o.name, d.state FROM ({OLDEST}) o JOIN event e ON e.seq = o.event
         JOIN delivery d ON d.event = o.event AND d.destination = o.id ORDER BY o.event, o.id LIMIT 1"
    );
    let read = |row: &rusqlite::Row<'_>| {
        Ok(OldestPending {
            event: uuid::Uuid::from_bytes(row.get(0)?),
            received_at: moment(row.get(1)?),
            destination: row.get(2)?,
            state: State::from_number(row.get(3)?).unwrap_or(State::Waiting),
        })
    };
    Ok(connection.query_row(&sql, [], read).optional()?)
}
