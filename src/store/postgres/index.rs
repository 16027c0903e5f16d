//! The search index in the database: reading it, and making it in the background. One lock keeps those apart that change it.

use super::{Postgres, column, execute, query, query_opt};
use crate::store::Result;
use crate::store::search::{BATCH_BYTES, Draft, Page, STRETCH, Stretch, Unread, Work, broke_off, has_strays, next_work, stays, without};
use deadpool_postgres::{GenericClient, Object, Transaction};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::Row;

/// `LEADWORD` in ASCII: the lock of those that change the index, until the end of their transaction.
const LOCK: i64 = 0x4C45_4144_574F_5244;

const COLUMNS: &str = "id, first, last, events, words, oldest, newest, version, is_stale";

/// How long those who receive at this moment are waited for, and how often it is looked whether they are done.
const WRITERS_WITHIN: Duration = Duration::from_secs(2);
const WRITERS_EVERY: Duration = Duration::from_millis(10);

/// Whoever numbers events holds this lock from before to the end of the transaction.
const WRITERS: &str = "SELECT coalesce(array_agg(virtualtransaction), '{}') FROM pg_locks
    WHERE relation = 'content'::REGCLASS AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

impl Postgres {
    pub(in crate::store) async fn index_events(&self, at_least: i64) -> Result<bool> {
        self.run(move |client| async move { index_events(client, at_least).await }).await
    }

    pub(in crate::store) async fn check_index(&self, after: i64) -> Result<Option<i64>> {
        self.run(move |client| async move { check(client, after).await }).await
    }
}

async fn index_events(mut client: Object, at_least: i64) -> Result<bool> {
    let transaction = client.transaction().await?;
    let row = transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await?;
    if !column::<bool>(&row, 0)? {
        return Ok(false);
    }
    let stretches = read_stretches(&transaction).await?;
    let row = transaction.query_one("SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM event", &[]).await?;
    let (low, newest): (i64, i64) = (column(&row, 0)?, column(&row, 1)?);
    let top = stretches.first().map_or(0, |stretch| stretch.last);
    // Nobody is waited for when there is nothing to do.
    let high = if newest - top >= at_least { read_settled(&transaction).await?.unwrap_or(top) } else { top };
    let Some(work) = next_work(&stretches, low, high.max(top), at_least) else { return Ok(false) };
    carry_out(&transaction, work).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The number up to which no event will come any more: all numbers until then were given to transactions that have ended. Numbers are
/// given in order, but committed as it happens. `None` when one of them goes on for long.
async fn read_settled(client: &impl GenericClient) -> Result<Option<i64>> {
    let row = client.query_one("SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM event_seq", &[]).await?;
    let (given, began_at) = (column(&row, 0)?, Instant::now());
    let row = client.query_one(WRITERS, &[]).await?;
    let mut writers: Vec<String> = column(&row, 0)?;
    while !writers.is_empty() && began_at.elapsed() < WRITERS_WITHIN {
        tokio::time::sleep(WRITERS_EVERY).await;
        let row = client.query_one(WRITERS, &[]).await?;
        let now: Vec<String> = column(&row, 0)?;
        writers.retain(|writer| now.contains(writer));
    }
    Ok(writers.is_empty().then_some(given))
}

async fn carry_out(transaction: &Transaction<'_>, work: Work) -> Result<()> {
    let (old, draft) = match work {
        Work::Drop(stretch) => (Some(stretch.id), None),
        Work::Refresh(stretch) => {
            let (id, pages) = (stretch.id, read_pages(transaction, stretch.id).await?);
            let there = read_places(transaction, stretch.first, stretch.last, false).await?;
            (Some(id), aside(move || Draft::refreshed(stretch, &pages, &there)).await?)
        }
        Work::Extend(stretch, to) => {
            let (id, pages) = (stretch.id, read_pages(transaction, stretch.id).await?);
            let (events, is_all) = read_unread(transaction, stretch.last + 1, to, STRETCH - stretch.events, "ASC").await?;
            let last = if is_all { to } else { events.last().map_or(to, |event| event.seq) };
            (Some(id), aside(move || Draft::extended(stretch, &pages, last, &events)).await?)
        }
        Work::Add(from, to) => {
            let (mut events, is_all) = read_unread(transaction, from, to, STRETCH, "DESC").await?;
            let first = if is_all { from } else { events.last().map_or(from, |event| event.seq) };
            events.reverse();
            (None, aside(move || Some(Draft::new(first, to, &events))).await?)
        }
    };
    if let Some(id) = old {
        remove(transaction, id).await?;
    }
    if let Some(draft) = &draft {
        insert(transaction, draft).await?;
    }
    Ok(())
}

/// Sorting words takes a while; the threads here have others to serve.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| broke_off(&error))
}

async fn remove(client: &impl GenericClient, id: i64) -> Result<()> {
    execute(client, "DELETE FROM search_page WHERE stretch = $1", &[&id]).await?;
    execute(client, "DELETE FROM search_stretch WHERE id = $1", &[&id]).await.map(drop)
}

async fn insert(client: &impl GenericClient, draft: &Draft) -> Result<()> {
    let Stretch { first, last, events, words, oldest, newest, version, .. } = &draft.stretch;
    let sql =
        "INSERT INTO search_stretch (first, last, events, words, oldest, newest, version) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
    let rows = query(client, sql, &[first, last, events, words, oldest, newest, version]).await?;
    let id: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
    insert_pages(client, id, draft.pages.iter()).await
}

async fn insert_pages(client: &impl GenericClient, stretch: i64, pages: impl Iterator<Item = &Page>) -> Result<()> {
    let (firsts, bodies): (Vec<&[u8]>, Vec<&[u8]>) = pages.map(|page| (page.first.as_slice(), page.body.as_slice())).unzip();
    let sql = "INSERT INTO search_page (stretch, first, body) SELECT $1, f, b FROM unnest($2::BYTEA[], $3::BYTEA[]) AS t(f, b)";
    execute(client, sql, &[&stretch, &firsts, &bodies]).await.map(drop)
}

async fn check(mut client: Object, after: i64) -> Result<Option<i64>> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let sql = format!("SELECT {COLUMNS} FROM search_stretch WHERE id > $1 ORDER BY id LIMIT 1");
    let Some(row) = query_opt(&transaction, &sql, &[&after]).await? else { return Ok(None) };
    let stretch = read_stretch(&row)?;
    let (id, pages) = (stretch.id, read_pages(&transaction, stretch.id).await?);
    let there = read_places(&transaction, stretch.first, stretch.last, false).await?;
    let erased = read_places(&transaction, stretch.first, stretch.last, true).await?;
    if aside(move || has_strays(&stretch, &pages, &there, &erased)).await? {
        tracing::warn!("a part of the search index was damaged or missing, and is made anew");
        remove(&transaction, id).await?;
        transaction.commit().await?;
    }
    Ok(Some(id))
}

pub(super) async fn read_stretches(client: &impl GenericClient) -> Result<Vec<Stretch>> {
    let sql = format!("SELECT {COLUMNS} FROM search_stretch ORDER BY first DESC");
    query(client, &sql, &[]).await?.iter().map(read_stretch).collect()
}

fn read_stretch(row: &Row) -> Result<Stretch> {
    Ok(Stretch {
        id: column(row, 0)?,
        first: column(row, 1)?,
        last: column(row, 2)?,
        events: column(row, 3)?,
        words: column(row, 4)?,
        oldest: column(row, 5)?,
        newest: column(row, 6)?,
        version: column(row, 7)?,
        is_stale: column(row, 8)?,
    })
}

pub(super) async fn read_pages(client: &impl GenericClient, stretch: i64) -> Result<Vec<Vec<u8>>> {
    let rows = query(client, "SELECT body FROM search_page WHERE stretch = $1 ORDER BY first", &[&stretch]).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// The places of the events there are, or of those that are but tombstones, rising.
pub(super) async fn read_places(client: &impl GenericClient, first: i64, last: i64, erased: bool) -> Result<Vec<i64>> {
    let sql = "SELECT seq FROM event WHERE seq BETWEEN $1 AND $2 AND (NOT $3 OR erased_at IS NOT NULL) ORDER BY seq";
    query(client, sql, &[&first, &last, &erased]).await?.iter().map(|row| column(row, 0)).collect()
}

/// Events between these places, and whether these are all. The sizes come first: a chat log may be of any length.
async fn read_unread(client: &impl GenericClient, from: i64, to: i64, most: i64, order: &str) -> Result<(Vec<Unread>, bool)> {
    let sql = format!("SELECT seq, octet_length(body)::BIGINT FROM event WHERE seq BETWEEN $1 AND $2 ORDER BY seq {order} LIMIT $3");
    let (mut places, mut bytes) = (Vec::new(), 0);
    let sizes = query(client, &sql, &[&from, &to, &most]).await?;
    for row in &sizes {
        if bytes < BATCH_BYTES {
            bytes += usize::try_from(column::<i64>(row, 1)?).unwrap_or(usize::MAX / 2);
            places.push(column::<i64>(row, 0)?);
        }
    }
    let is_all = places.len() == sizes.len() && i64::try_from(sizes.len()).is_ok_and(|read| read < most);
    let sql = format!("SELECT seq, received_at, body FROM event WHERE seq = ANY($1) ORDER BY seq {order}");
    let rows = query(client, &sql, &[&places]).await?;
    let read = |row: &Row| Ok(Unread { seq: column(row, 0)?, received_at: column(row, 1)?, body: column(row, 2)? });
    Ok((rows.iter().map(read).collect::<Result<_>>()?, is_all))
}

/// Takes the words of these events out of the index, in the transaction that erases them. Whoever makes a part of the index at this
/// moment is waited for: it may have read them before.
pub(super) async fn forget(client: &impl GenericClient, events: &[i64]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    execute(client, "SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let gone: BTreeSet<i64> = events.iter().copied().collect();
    for stretch in read_stretches(client).await? {
        let gone: BTreeSet<i64> = gone.range(stretch.first..).copied().take_while(|place| *place <= stretch.last).collect();
        if !gone.is_empty() {
            forget_in(client, &stretch, &gone).await?;
        }
    }
    Ok(())
}

async fn forget_in(client: &impl GenericClient, stretch: &Stretch, gone: &BTreeSet<i64>) -> Result<()> {
    let pages = query(client, "SELECT first, body FROM search_page WHERE stretch = $1", &[&stretch.id]).await?;
    let (mut words, mut old, mut new) = (stretch.words, Vec::new(), Vec::new());
    for row in &pages {
        let Some(page) = without(column(row, 1)?, stretch.first, gone, stays) else { continue };
        words -= page.lost;
        old.push(column::<Vec<u8>>(row, 0)?);
        new.extend(page.left);
    }
    execute(client, "DELETE FROM search_page WHERE stretch = $1 AND first = ANY($2)", &[&stretch.id, &old]).await?;
    insert_pages(client, stretch.id, new.iter()).await?;
    let sql = "UPDATE search_stretch SET words = $2, version = version + 1 WHERE id = $1";
    execute(client, sql, &[&stretch.id, &words]).await.map(drop)
}

/// Says that events were removed. Their words go with the next batch. A stretch that is written anew at this moment may miss it, and is
/// found when it is looked over.
pub(super) async fn note_removed(client: &impl GenericClient, events: &[i64]) -> Result<()> {
    let sql = "UPDATE search_stretch s SET is_stale = TRUE, version = s.version + 1
         WHERE s.id IN (SELECT w.id FROM search_stretch w WHERE NOT w.is_stale
             AND EXISTS (SELECT 1 FROM unnest($1::BIGINT[]) AS t(seq) WHERE t.seq BETWEEN w.first AND w.last) ORDER BY w.id FOR UPDATE)";
    execute(client, sql, &[&events]).await.map(drop)
}
