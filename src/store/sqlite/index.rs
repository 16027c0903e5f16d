//! The search index in the file: reading it, and making it in the background.
//!
//! Whoever is received while the writer is at it waits, so that a stretch is written in pieces. Until its last piece it is a draft: its
//! places are negative, so that no search reads it, and one that was left by a crash is dropped with the next batch. A stretch that is
//! removed becomes a draft first, too.

use super::{Sqlite, person::overwriting};
use crate::store::Result;
use crate::store::search::{BATCH_BYTES, Draft, Page, STRETCH, Stretch, Unread, Work, has_strays, next_work, stays, without};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

const COLUMNS: &str = "id, first, last, events, words, oldest, newest, version, is_stale";

/// Of the pages that are written or removed at once, in bytes: a fraction of a millisecond.
const PIECE_BYTES: usize = 16 << 10;
/// The same for those that are removed, of which only the number is known.
const PIECE_PAGES: i64 = 16;

/// What a batch is to do to the file.
enum Change {
    Drop(Version),
    Write {
        /// How often events were erased or removed when the draft was made: with more, it may know too much, and is dropped.
        changes: i64,
        /// The stretch that is replaced.
        old: Option<Version>,
        new: Draft,
    },
}

/// A stretch as it was read.
#[derive(Clone, Copy)]
struct Version {
    stretch: i64,
    version: i64,
}

impl Version {
    fn of(stretch: &Stretch) -> Self {
        Self { stretch: stretch.id, version: stretch.version }
    }
}

impl Sqlite {
    /// Reading and sorting words is done on a reader's thread; the writer gets the finished pages.
    pub(in crate::store) async fn index_events(&self, at_least: i64) -> Result<bool> {
        let Some(change) = self.read(move |connection| prepare(connection, at_least)).await? else { return Ok(false) };
        self.change_index(change).await?;
        Ok(true)
    }

    async fn change_index(&self, change: Change) -> Result<()> {
        match change {
            Change::Drop(old) => self.drop_stretch(old).await,
            Change::Write { changes, old, new } => self.write_stretch(changes, old, new).await,
        }
    }

    async fn drop_stretch(&self, old: Version) -> Result<()> {
        self.writer.write(move |unit| retire(unit.connection, old)).await?;
        while self.writer.write(move |unit| overwriting(unit, |unit| remove_piece(unit.connection, old))).await? {}
        Ok(())
    }

    /// A draft that is gone before it is finished was dropped by another process, or by an erasure; its events are put into a later one.
    async fn write_stretch(&self, changes: i64, old: Option<Version>, new: Draft) -> Result<()> {
        let Draft { stretch, pages } = new;
        let draft = self.writer.write(|unit| begin_draft(unit.connection)).await?;
        for piece in in_pieces(pages) {
            if !self.writer.write(move |unit| add_piece(unit.connection, draft, &piece)).await? {
                return Ok(());
            }
        }
        self.writer.write(move |unit| finish_draft(unit.connection, draft, changes, old, &stretch)).await
    }

    pub(in crate::store) async fn check_index(&self, after: i64) -> Result<Option<i64>> {
        let checked = self.read(move |connection| check(connection, after)).await?;
        let Some((id, damaged)) = checked else { return Ok(None) };
        if let Some(change) = damaged {
            tracing::warn!("a part of the search index was damaged or missing, and is made anew");
            self.change_index(change).await?;
        }
        Ok(Some(id))
    }
}

fn prepare(connection: &Connection, at_least: i64) -> Result<Option<Change>> {
    let snapshot = connection.unchecked_transaction()?;
    let changes = snapshot.query_row("SELECT changes FROM search_state", [], |row| row.get(0))?;
    let ends =
        snapshot.query_row("SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM event", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (low, high): (i64, i64) = ends;
    if let Some(left) = find_draft(&snapshot)? {
        return Ok(Some(Change::Drop(left)));
    }
    let Some(work) = next_work(&read_stretches(&snapshot)?, low, high, at_least) else { return Ok(None) };
    let replaced = |stretch: &Stretch| Some(Version::of(stretch));
    let (old, new) = match work {
        Work::Drop(stretch) => (replaced(&stretch), None),
        Work::Refresh(stretch) => {
            let there = read_places(&snapshot, stretch.first, stretch.last, false)?;
            (replaced(&stretch), Draft::refreshed(stretch.clone(), &read_pages(&snapshot, stretch.id)?, &there))
        }
        Work::Extend(stretch, to) => {
            let (events, is_all) = read_unread(&snapshot, stretch.last + 1, to, STRETCH - stretch.events, "ASC")?;
            let last = if is_all { to } else { events.last().map_or(to, |event| event.seq) };
            (replaced(&stretch), Draft::extended(stretch.clone(), &read_pages(&snapshot, stretch.id)?, last, &events))
        }
        Work::Add(from, to) => {
            let (mut events, is_all) = read_unread(&snapshot, from, to, STRETCH, "DESC")?;
            let first = if is_all { from } else { events.last().map_or(from, |event| event.seq) };
            events.reverse();
            (None, Some(Draft::new(first, to, &events)))
        }
    };
    Ok(match (old, new) {
        (old, Some(new)) => Some(Change::Write { changes, old, new }),
        (Some(old), None) => Some(Change::Drop(old)),
        (None, None) => None,
    })
}

/// A new draft, with a place that no other has. Its version is random: another process may drop it, and give its number to its own.
fn begin_draft(connection: &Connection) -> Result<Version> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO search_stretch (id, first, last, events, words, oldest, newest, version)
         SELECT next, -next, -next, 0, 0, 0, 0, random() FROM (SELECT coalesce(max(id), 0) + 1 AS next FROM search_stretch)
         RETURNING id, version",
    )?;
    Ok(insert.query_row([], |row| Ok(Version { stretch: row.get(0)?, version: row.get(1)? }))?)
}

fn is_draft(connection: &Connection, of: Version) -> Result<bool> {
    let mut query = connection.prepare_cached("SELECT 1 FROM search_stretch WHERE id = ?1 AND version = ?2 AND first < 0")?;
    Ok(query.exists([of.stretch, of.version])?)
}

fn find_draft(connection: &Connection) -> Result<Option<Version>> {
    let mut query = connection.prepare_cached("SELECT id, version FROM search_stretch WHERE first < 0 LIMIT 1")?;
    Ok(query.query_row([], |row| Ok(Version { stretch: row.get(0)?, version: row.get(1)? })).optional()?)
}

/// Whether it is still wanted.
fn add_piece(connection: &Connection, draft: Version, pages: &[Page]) -> Result<bool> {
    let is_wanted = is_draft(connection, draft)?;
    if is_wanted {
        insert_pages(connection, draft.stretch, pages)?;
    }
    Ok(is_wanted)
}

/// The draft takes the place of the old stretch. Where events were erased or removed meanwhile, or another process was quicker, it stays
/// a draft.
fn finish_draft(connection: &Connection, draft: Version, changes: i64, old: Option<Version>, new: &Stretch) -> Result<()> {
    let now: i64 = connection.query_row("SELECT changes FROM search_state", [], |row| row.get(0))?;
    if now != changes || !is_draft(connection, draft)? {
        return Ok(());
    }
    if let Some(old) = old
        && !retire(connection, old)?
    {
        return Ok(());
    }
    let Stretch { first, last, events, words, oldest, newest, version, .. } = *new;
    connection.execute(
        "UPDATE search_stretch SET first = ?2, last = ?3, events = ?4, words = ?5, oldest = ?6, newest = ?7, version = ?8
         WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM search_stretch WHERE first <= ?3 AND last >= ?2)",
        params![draft.stretch, first, last, events, words, oldest, newest, version + 1],
    )?;
    Ok(())
}

/// Makes a draft of it again, to be removed; false when it is another by now.
fn retire(connection: &Connection, old: Version) -> Result<bool> {
    let retired = connection
        .prepare_cached("UPDATE search_stretch SET first = -id, last = -id WHERE id = ?1 AND version = ?2")?
        .execute([old.stretch, old.version])?;
    Ok(retired == 1)
}

/// Whether there is more to remove of this draft.
fn remove_piece(connection: &Connection, draft: Version) -> Result<bool> {
    if !is_draft(connection, draft)? {
        return Ok(false);
    }
    let removed = connection
        .prepare_cached(
            "DELETE FROM search_page WHERE stretch = ?1 AND first IN (SELECT first FROM search_page WHERE stretch = ?1 LIMIT ?2)",
        )?
        .execute([draft.stretch, PIECE_PAGES])?;
    let is_all = i64::try_from(removed).is_ok_and(|removed| removed < PIECE_PAGES);
    if is_all {
        connection.prepare_cached("DELETE FROM search_stretch WHERE id = ?1")?.execute([draft.stretch])?;
    }
    Ok(!is_all)
}

fn in_pieces(pages: Vec<Page>) -> Vec<Vec<Page>> {
    let mut pieces: Vec<Vec<Page>> = Vec::new();
    let mut bytes = usize::MAX;
    for page in pages {
        let size = page.first.len() + page.body.len();
        match pieces.last_mut() {
            Some(piece) if bytes + size <= PIECE_BYTES => piece.push(page),
            _ => {
                pieces.push(vec![page]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    pieces
}

fn insert_pages(connection: &Connection, stretch: i64, pages: &[Page]) -> Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO search_page (stretch, first, body) VALUES (?1, ?2, ?3)")?;
    pages.iter().try_for_each(|page| Ok(insert.execute(params![stretch, page.first, page.body]).map(drop)?))
}

/// The next stretch, and what is to be done when it is damaged.
fn check(connection: &Connection, after: i64) -> Result<Option<(i64, Option<Change>)>> {
    let snapshot = connection.unchecked_transaction()?;
    let sql = format!("SELECT {COLUMNS} FROM search_stretch WHERE id > ?1 AND first > 0 ORDER BY id LIMIT 1");
    let Some(stretch) = snapshot.query_row(&sql, [after], read_stretch).optional()? else { return Ok(None) };
    let (id, version) = (stretch.id, Version::of(&stretch));
    let pages = read_pages(&snapshot, id)?;
    let there = read_places(&snapshot, stretch.first, stretch.last, false)?;
    if !has_strays(&stretch, &pages, &there, &read_places(&snapshot, stretch.first, stretch.last, true)?) {
        return Ok(Some((id, None)));
    }
    Ok(Some((id, Some(Change::Drop(version)))))
}

pub(super) fn read_stretches(connection: &Connection) -> Result<Vec<Stretch>> {
    let mut query = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM search_stretch WHERE first > 0 ORDER BY first DESC"))?;
    Ok(query.query_map([], read_stretch)?.collect::<rusqlite::Result<_>>()?)
}

fn read_stretch(row: &Row<'_>) -> rusqlite::Result<Stretch> {
    Ok(Stretch {
        id: row.get(0)?,
        first: row.get(1)?,
        last: row.get(2)?,
        events: row.get(3)?,
        words: row.get(4)?,
        oldest: row.get(5)?,
        newest: row.get(6)?,
        version: row.get(7)?,
        is_stale: row.get(8)?,
    })
}

pub(super) fn read_pages(connection: &Connection, stretch: i64) -> Result<Vec<Vec<u8>>> {
    let mut query = connection.prepare_cached("SELECT body FROM search_page WHERE stretch = ?1 ORDER BY first")?;
    Ok(query.query_map([stretch], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// The places of the events there are, or of those that are but tombstones, rising.
pub(super) fn read_places(connection: &Connection, first: i64, last: i64, erased: bool) -> Result<Vec<i64>> {
    let sql = if erased {
        "SELECT seq FROM event WHERE erased_at IS NOT NULL AND seq BETWEEN ?1 AND ?2 ORDER BY seq"
    } else {
        "SELECT seq FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq"
    };
    let mut query = connection.prepare_cached(sql)?;
    Ok(query.query_map([first, last], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Events between these places, and whether these are all.
fn read_unread(connection: &Connection, from: i64, to: i64, most: i64, order: &str) -> Result<(Vec<Unread>, bool)> {
    let sql = format!("SELECT seq, received_at, body FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq {order} LIMIT ?3");
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query([from, to, most])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let event = Unread { seq: row.get(0)?, received_at: row.get(1)?, body: row.get(2)? };
        bytes += event.body.len();
        events.push(event);
        if bytes >= BATCH_BYTES {
            return Ok((events, false));
        }
    }
    let is_all = i64::try_from(events.len()).is_ok_and(|read| read < most);
    Ok((events, is_all))
}

/// Takes the words of these events out of the index, in the transaction that erases them.
pub(super) fn forget(connection: &Connection, events: &[i64]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    connection.execute("UPDATE search_state SET changes = changes + 1", [])?;
    // Drafts know of them, too, and nobody else looks into these.
    connection.execute("DELETE FROM search_page WHERE stretch IN (SELECT id FROM search_stretch WHERE first < 0)", [])?;
    connection.execute("DELETE FROM search_stretch WHERE first < 0", [])?;
    let gone: BTreeSet<i64> = events.iter().copied().collect();
    for stretch in read_stretches(connection)? {
        let gone: BTreeSet<i64> = gone.range(stretch.first..).copied().take_while(|place| *place <= stretch.last).collect();
        if !gone.is_empty() {
            forget_in(connection, &stretch, &gone)?;
        }
    }
    Ok(())
}

fn forget_in(connection: &Connection, stretch: &Stretch, gone: &BTreeSet<i64>) -> Result<()> {
    let mut query = connection.prepare_cached("SELECT first, body FROM search_page WHERE stretch = ?1")?;
    let pages =
        query.query_map([stretch.id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(Vec<u8>, Vec<u8>)>>>()?;
    let mut words = stretch.words;
    for (first, body) in pages {
        let Some(page) = without(&body, stretch.first, gone, stays) else { continue };
        words -= page.lost;
        connection.prepare_cached("DELETE FROM search_page WHERE stretch = ?1 AND first = ?2")?.execute(params![stretch.id, first])?;
        insert_pages(connection, stretch.id, page.left.as_slice())?;
    }
    connection.prepare_cached("UPDATE search_stretch SET words = ?2, version = version + 1 WHERE id = ?1")?.execute([stretch.id, words])?;
    Ok(())
}

/// Says that events were removed. Their words go with the next batch: they name nobody's place any more. SQLite gives the place of the
/// newest event to another when that one is removed, so that the index must not claim to know it.
pub(super) fn note_removed(connection: &Connection, events: &[i64]) -> Result<()> {
    connection.execute("UPDATE search_state SET changes = changes + 1", [])?;
    let mut note = connection.prepare_cached(
        "UPDATE search_stretch SET is_stale = 1, version = version + 1
         WHERE id = (SELECT id FROM search_stretch WHERE first > 0 AND first <= ?1 ORDER BY first DESC LIMIT 1) AND last >= ?1 AND is_stale = 0",
    )?;
    events.iter().try_for_each(|event| note.execute([event]).map(drop))?;
    connection.execute(
        "UPDATE search_stretch SET last = (SELECT coalesce(max(seq), 0) FROM event), is_stale = 1, version = version + 1
         WHERE last > (SELECT coalesce(max(seq), 0) FROM event)",
        [],
    )?;
    Ok(())
}
