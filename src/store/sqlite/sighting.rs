//! What was seen of each source.

use super::{Sqlite, micros, moment};
use crate::store::Result;
use crate::store::sighting::{Cutoffs, MOST_CLIENTS, Read, Row, Sighting, What, in_order};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;

impl Sqlite {
    pub(in crate::store) async fn note_sightings(&self, sightings: Vec<Sighting>, cutoffs: Cutoffs) -> Result<()> {
        let names = self.names.now();
        let rows = in_order(sightings, |name| names.sources.get(name).copied());
        self.writer.write(move |unit| note(unit.connection, &rows, cutoffs)).await
    }

    pub(in crate::store) async fn sightings(&self, source: String) -> Result<Option<Vec<Read>>> {
        self.read(move |connection| {
            let id = connection.query_row("SELECT id FROM source WHERE name = ?1", [source], |row| row.get::<_, i64>(0)).optional()?;
            let Some(id) = id else { return Ok(None) };
            let mut query = connection.prepare_cached("SELECT what, name, at, times, listed FROM sighting WHERE source = ?1")?;
            let rows = query.query_map([id], |row| Ok((row.get(0)?, row.get(1)?, moment(row.get(2)?), row.get(3)?, row.get(4)?)))?;
            Ok(Some(rows.collect::<rusqlite::Result<_>>()?))
        })
        .await
    }
}

fn note(connection: &Connection, rows: &[Row], cutoffs: Cutoffs) -> Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO sighting (source, what, name, at, times, listed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET listed = CASE WHEN excluded.at >= at THEN excluded.listed ELSE listed END,
             at = max(at, excluded.at), times = times + excluded.times",
    )?;
    for Row { source, sighting } in rows {
        add.execute(params![source, sighting.what.number(), sighting.name, micros(sighting.at), sighting.times, sighting.listed])?;
    }
    for source in rows.iter().map(|row| row.source).collect::<BTreeSet<_>>() {
        forget(connection, source, cutoffs)?;
    }
    Ok(())
}

fn forget(connection: &Connection, source: i64, cutoffs: Cutoffs) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM sighting WHERE source = ?1 AND (what IN (3, 4) AND at < ?2 OR what = 6 AND at < ?3)")?
        .execute(params![source, micros(cutoffs.seen), micros(cutoffs.hours)])?;
    let mut query = connection.prepare_cached(
        "DELETE FROM sighting WHERE source = ?1 AND what = 4 AND name IN (
             SELECT name FROM sighting WHERE source = ?1 AND what = 4 ORDER BY at DESC, name LIMIT -1 OFFSET ?2) RETURNING at, times",
    )?;
    let gone = query.query_map(params![source, MOST_CLIENTS], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let gone: Vec<(i64, i64)> = gone.collect::<rusqlite::Result<_>>()?;
    let Some(last) = gone.iter().map(|(at, _)| *at).max() else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO sighting (source, what, name, at, times, listed) VALUES (?1, ?2, '', ?3, ?4, 1)
             ON CONFLICT DO UPDATE SET at = max(at, excluded.at), times = times + excluded.times",
        )?
        .execute(params![source, What::OtherClients.number(), last, gone.iter().map(|(_, times)| times).sum::<i64>()])?;
    Ok(())
}
