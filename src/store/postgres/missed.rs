//! Missed leads: the walk over the events, and the list. Instances walk together: the mark is where they meet.

use super::{Postgres, column, execute, micros, moment, query, query_opt, text};
use crate::store::Result;
use crate::store::missed::{FoundMissed, LeadTrace, MOST_OPEN, Missed, MissedEnding, Passed, Stretch, ending};
use deadpool_postgres::{GenericClient, Object};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

/// Events of one stretch.
const STRETCH: i64 = 5_000;

/// The conversations of one stretch take so many bytes, and the one that goes beyond.
const WALK: &str = "SELECT w.seq, w.kind, s.name, w.session_id, w.email, w.phone, w.received_at, w.body FROM (
        SELECT *, sum(octet_length(body)) OVER (ORDER BY seq) - coalesce(octet_length(body), 0) AS before FROM (
            SELECT seq, kind, source, session_id, email, phone, received_at, CASE WHEN kind = 'conversation' THEN body END AS body
            FROM event WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3) p) w
    JOIN source s ON s.id = w.source WHERE coalesce(w.before, 0) < 8388608 ORDER BY w.seq";

const LEADS_SINCE: &str =
    "SELECT e.received_at, e.seq, s.name, e.session_id, e.email, e.phone FROM event e JOIN source s ON s.id = e.source
    WHERE e.received_at >= $1 AND (e.received_at, e.seq) > ($1, $2) AND e.seq <= $3 AND e.kind IN ('lead', 'appointment')
    ORDER BY e.received_at, e.seq LIMIT $4";

const COLUMNS: &str = "e.id, m.event, s.name, e.session_id, e.received_at, m.found_at, m.email, m.phone";
const TABLES: &str = "missed m JOIN event e ON e.seq = m.event JOIN source s ON s.id = e.source";

impl Postgres {
    pub(in crate::store) async fn newest_place(&self) -> Result<i64> {
        self.number("SELECT coalesce(max(seq), 0) FROM event").await
    }

    pub(in crate::store) async fn missed_mark(&self) -> Result<i64> {
        self.number("SELECT coalesce(max(seq), 0) FROM missed_mark").await
    }

    async fn number(&self, sql: &'static str) -> Result<i64> {
        self.run(move |client| async move { query_opt(&client, sql, &[]).await?.map_or(Ok(0), |row| column(&row, 0)) }).await
    }

    pub(in crate::store) async fn walk_leads(&self, after: i64, until: i64) -> Result<Stretch> {
        self.run(move |client| async move {
            let rows = query(&client, WALK, &[&after, &until, &STRETCH]).await?;
            let last = rows.last().map(|row| column::<i64>(row, 0)).transpose()?;
            let passed = rows.iter().map(read_passed).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
            // Fewer rows than asked for are the end only if none was left out for its size, which the next call finds out.
            Ok(Stretch { passed, until: last.unwrap_or(until) })
        })
        .await
    }

    pub(in crate::store) async fn leads_since(
        &self,
        (at, seq): (Timestamp, i64),
        until: i64,
    ) -> Result<Vec<((Timestamp, i64), LeadTrace)>> {
        self.run(move |client| async move {
            let rows = client.query(LEADS_SINCE, &[&micros(at), &seq, &until, &STRETCH]).await?;
            rows.iter().map(|row| Ok(((moment(column(row, 0)?), column(row, 1)?), read_trace(row)?))).collect()
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
        self.run(move |client| async move { note(client, marks, &found, &answered, now).await }).await
    }

    pub(in crate::store) async fn missed(&self, since: Timestamp, before: i64, limit: u32) -> Result<Vec<Missed>> {
        self.run(move |client| async move {
            let sql = format!(
                "SELECT {COLUMNS} FROM {TABLES} WHERE m.ending = 0 AND e.received_at >= $1 AND m.event < $2 ORDER BY m.event DESC LIMIT $3"
            );
            query(&client, &sql, &[&micros(since), &before, &i64::from(limit)]).await?.iter().map(read_missed).collect()
        })
        .await
    }

    pub(in crate::store) async fn missed_of(&self, id: Uuid) -> Result<Option<(Missed, Option<MissedEnding>)>> {
        self.run(move |client| async move {
            let sql = format!("SELECT {COLUMNS}, m.ending, m.lead FROM {TABLES} WHERE e.id = $1");
            let row = query_opt(&client, &sql, &[&id]).await?;
            row.map(|row| Ok((read_missed(&row)?, ending(column(&row, 8)?, column(&row, 9)?)))).transpose()
        })
        .await
    }

    pub(in crate::store) async fn settle_missed(&self, id: Uuid, ending: MissedEnding, now: Timestamp) -> Result<bool> {
        self.run(move |client| async move {
            let (number, lead) = ending.columns();
            let sql = "UPDATE missed SET ending = $2, lead = $3, settled_at = $4
                 WHERE event = (SELECT seq FROM event WHERE id = $1) AND ending = 0";
            Ok(execute(&client, sql, &[&id, &number, &lead, &micros(now)]).await? == 1)
        })
        .await
    }
}

async fn note(mut client: Object, (from, to): (i64, i64), found: &[FoundMissed], answered: &[i64], now: Timestamp) -> Result<bool> {
    let transaction = client.transaction().await?;
    execute(&transaction, "INSERT INTO missed_mark (id, seq) VALUES (1, 0) ON CONFLICT DO NOTHING", &[]).await?;
    if execute(&transaction, "UPDATE missed_mark SET seq = $2 WHERE seq = $1", &[&from, &to]).await? != 1 {
        return Ok(false);
    }
    insert(&transaction, found, now).await?;
    execute(&transaction, "DELETE FROM missed WHERE event = ANY($1) AND ending = 0", &[&answered]).await?;
    if !found.is_empty() {
        let sql =
            "DELETE FROM missed WHERE ending = 0 AND event IN (SELECT event FROM missed WHERE ending = 0 ORDER BY event DESC OFFSET $1)";
        execute(&transaction, sql, &[&MOST_OPEN]).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// A person who is being erased is waited for: an event that is a tombstone then is not listed.
async fn insert(client: &impl GenericClient, found: &[FoundMissed], now: Timestamp) -> Result<()> {
    let events: Vec<i64> = found.iter().map(|one| one.event).collect();
    let emails: Vec<Option<String>> = found.iter().map(|one| one.email.as_deref().map(text)).collect();
    let phones: Vec<Option<String>> = found.iter().map(|one| one.phone.as_deref().map(text)).collect();
    execute(client, "SELECT 1 FROM event WHERE seq = ANY($1) ORDER BY seq FOR SHARE", &[&events]).await?;
    let sql = "INSERT INTO missed (event, found_at, email, phone)
         SELECT e.seq, $4, t.email, t.phone FROM unnest($1::BIGINT[], $2::TEXT[], $3::TEXT[]) AS t(event, email, phone)
         JOIN event e ON e.seq = t.event AND e.erased_at IS NULL ON CONFLICT DO NOTHING";
    execute(client, sql, &[&events, &emails, &phones, &micros(now)]).await.map(drop)
}

fn read_passed(row: &Row) -> Result<Option<Passed>> {
    Ok(match column::<&str>(row, 1)? {
        "lead" | "appointment" => Some(Passed::Lead(read_trace(row)?)),
        "conversation" => Some(Passed::Conversation(column(row, 0)?, moment(column(row, 6)?), column(row, 7)?)),
        _ => None,
    })
}

/// The source's name and what follows stand at the same place in both queries.
fn read_trace(row: &Row) -> Result<LeadTrace> {
    Ok(LeadTrace { source: column(row, 2)?, session_id: column(row, 3)?, email: column(row, 4)?, phone: column(row, 5)? })
}

fn read_missed(row: &Row) -> Result<Missed> {
    Ok(Missed {
        id: column(row, 0)?,
        event: column(row, 1)?,
        source: column(row, 2)?,
        session_id: column(row, 3)?,
        received_at: moment(column(row, 4)?),
        found_at: moment(column(row, 5)?),
        email: column(row, 6)?,
        phone: column(row, 7)?,
    })
}
