//! Missed leads: the walk over the events, and the list.

use super::person::overwriting;
use super::{Sqlite, micros, moment};
use crate::store::Result;
use crate::store::missed::{FoundMissed, LeadTrace, MOST_OPEN, Missed, MissedEnding, Passed, Stretch, ending};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

/// Events of one stretch, and the bytes of its conversations.
const STRETCH: i64 = 5_000;
const STRETCH_BYTES: usize = 8 << 20;

pub(super) const WALK: &str = "SELECT e.seq, e.kind, s.name, e.session_id, e.email, e.phone, e.received_at,
        CASE WHEN e.kind = 'conversation' THEN e.body END
    FROM event e JOIN source s ON s.id = e.source WHERE e.seq > ?1 AND e.seq <= ?2 ORDER BY e.seq LIMIT ?3";

/// The plus keeps the index on the time in it, which is where these are together.
pub(super) const LEADS_SINCE: &str = "SELECT e.received_at, e.seq, s.name, e.session_id, e.email, e.phone
    FROM event e JOIN source s ON s.id = e.source
    WHERE (e.received_at, e.seq) > (?1, ?2) AND +e.seq <= ?3 AND e.kind IN ('lead', 'appointment') ORDER BY e.received_at, e.seq LIMIT ?4";

const COLUMNS: &str = "e.id, m.event, s.name, e.session_id, e.received_at, m.found_at, m.email, m.phone";
const TABLES: &str = "missed m JOIN event e ON e.seq = m.event JOIN source s ON s.id = e.source";

impl Sqlite {
    pub(in crate::store) async fn newest_place(&self) -> Result<i64> {
        self.read(|connection| Ok(connection.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |row| row.get(0))?)).await
    }

    pub(in crate::store) async fn missed_mark(&self) -> Result<i64> {
        self.read(|connection| Ok(connection.query_row("SELECT coalesce(max(seq), 0) FROM missed_mark", [], |row| row.get(0))?)).await
    }

    pub(in crate::store) async fn walk_leads(&self, after: i64, until: i64) -> Result<Stretch> {
        self.read(move |connection| walk(connection, after, until)).await
    }

    pub(in crate::store) async fn leads_since(
        &self,
        (at, seq): (Timestamp, i64),
        until: i64,
    ) -> Result<Vec<((Timestamp, i64), LeadTrace)>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(LEADS_SINCE)?;
            let rows = query.query_map(params![micros(at), seq, until, STRETCH], |row| {
                let trace = LeadTrace { source: row.get(2)?, session_id: row.get(3)?, email: row.get(4)?, phone: row.get(5)? };
                Ok(((moment(row.get(0)?), row.get(1)?), trace))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn note_missed(
        &self,
        marks: (i64, i64),
        found: Vec<FoundMissed>,
        answered: Vec<i64>,
        now: Timestamp,
    ) -> Result<bool> {
        // What is taken off the list is a person's.
        self.writer.write(move |unit| overwriting(unit, |unit| note(unit.connection, marks, &found, &answered, now))).await
    }

    pub(in crate::store) async fn missed(&self, since: Timestamp, before: i64, limit: u32) -> Result<Vec<Missed>> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM {TABLES} WHERE m.ending = 0 AND e.received_at >= ?1 AND m.event < ?2 ORDER BY m.event DESC LIMIT ?3"
            );
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params![micros(since), before, limit], read_missed)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn missed_of(&self, id: Uuid) -> Result<Option<(Missed, Option<MissedEnding>)>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS}, m.ending, m.lead FROM {TABLES} WHERE e.id = ?1");
            let read = |row: &Row<'_>| Ok((read_missed(row)?, ending(row.get(8)?, row.get::<_, Option<String>>(9)?.as_deref())));
            Ok(connection.query_row(&sql, [id.as_bytes()], read).optional()?)
        })
        .await
    }

    pub(in crate::store) async fn settle_missed(&self, id: Uuid, ending: MissedEnding, now: Timestamp) -> Result<bool> {
        self.writer
            .write(move |unit| {
                let (number, lead) = ending.columns();
                let sql = "UPDATE missed SET ending = ?2, lead = ?3, settled_at = ?4
                     WHERE event = (SELECT seq FROM event WHERE id = ?1) AND ending = 0";
                Ok(unit.connection.prepare_cached(sql)?.execute(params![id.as_bytes(), number, lead, micros(now)])? == 1)
            })
            .await
    }
}

fn walk(connection: &Connection, after: i64, until: i64) -> Result<Stretch> {
    let mut query = connection.prepare_cached(WALK)?;
    let mut rows = query.query(params![after, until, STRETCH])?;
    let (mut stretch, mut seen, mut bytes) = (Stretch { passed: Vec::new(), until: after }, 0, 0);
    while let Some(row) = rows.next()? {
        stretch.until = row.get(0)?;
        seen += 1;
        let kind: String = row.get(1)?;
        match kind.as_str() {
            "lead" | "appointment" => {
                let trace = LeadTrace { source: row.get(2)?, session_id: row.get(3)?, email: row.get(4)?, phone: row.get(5)? };
                stretch.passed.push(Passed::Lead(trace));
            }
            "conversation" => {
                let body: String = row.get(7)?;
                bytes += body.len();
                stretch.passed.push(Passed::Conversation(stretch.until, moment(row.get(6)?), body));
            }
            _ => {}
        }
        if bytes >= STRETCH_BYTES {
            return Ok(stretch);
        }
    }
    if seen < STRETCH {
        stretch.until = until;
    }
    Ok(stretch)
}

fn note(connection: &Connection, (from, to): (i64, i64), found: &[FoundMissed], answered: &[i64], now: Timestamp) -> Result<bool> {
    connection.prepare_cached("INSERT INTO missed_mark (id, seq) VALUES (1, 0) ON CONFLICT DO NOTHING")?.execute([])?;
    if connection.prepare_cached("UPDATE missed_mark SET seq = ?2 WHERE seq = ?1")?.execute([from, to])? != 1 {
        return Ok(false);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO missed (event, found_at, email, phone)
         SELECT seq, ?2, ?3, ?4 FROM event WHERE seq = ?1 AND erased_at IS NULL ON CONFLICT DO NOTHING",
    )?;
    for one in found {
        insert.execute(params![one.event, micros(now), one.email, one.phone])?;
    }
    let mut remove = connection.prepare_cached("DELETE FROM missed WHERE event = ?1 AND ending = 0")?;
    answered.iter().try_for_each(|event| remove.execute([event]).map(drop))?;
    if !found.is_empty() {
        let sql = "DELETE FROM missed WHERE ending = 0 AND event IN (SELECT event FROM missed WHERE ending = 0 ORDER BY event DESC LIMIT -1 OFFSET ?1)";
        connection.prepare_cached(sql)?.execute([MOST_OPEN])?;
    }
    Ok(true)
}

fn read_missed(row: &Row<'_>) -> rusqlite::Result<Missed> {
    Ok(Missed {
        id: Uuid::from_bytes(row.get(0)?),
        event: row.get(1)?,
        source: row.get(2)?,
        session_id: row.get(3)?,
        received_at: moment(row.get(4)?),
        found_at: moment(row.get(5)?),
        email: row.get(6)?,
        phone: row.get(7)?,
    })
}
