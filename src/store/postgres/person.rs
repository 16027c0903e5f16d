//! Erasing a person: tombstones, and what connectors are to remove.

use super::ledger::Tally;
use super::quarantine::{self, COLUMNS, read_row};
use super::{Postgres, again, column, execute, hold, index, micros, moment, query, query_opt, settle, tell_all};
use crate::store::person::tombstone;
use crate::store::{
    DestinationId, Erasing, Erasure, ErasureResult, Needle, Owed, Progress, QuarantineRow, Removed, RemovedDelivery, RemovedEvent, Result,
    Scrubbed, State, StoredEvent, Unfinished, delivery_id,
};
use deadpool_postgres::{GenericClient, Object, Transaction};
use jiff::Timestamp;
use leadwire_connector::Record;
use std::collections::HashSet;
use std::sync::Arc;
use tokio_postgres::Row;
use uuid::Uuid;

/// Why its files are not looked through.
const NOTE: &str = "PostgreSQL keeps its files to itself. VACUUM has freed the space of what was deleted to be written over, and the \
    planner's samples of values were drawn anew; what was there before is gone once the server vacuums pg_statistic. Its log (WAL), \
    replicas and backups have it for as long as they are kept. The files were not looked through.";

impl Postgres {
    pub(in crate::store) async fn stored_events(&self, after: i64, limit: u32) -> Result<Vec<StoredEvent>> {
        self.run(move |client| async move {
            let sql = "SELECT e.seq, e.id, s.name, e.email, e.phone, e.session_id, e.body
                 FROM (SELECT *, sum(octet_length(body)) OVER (ORDER BY seq) - octet_length(body) AS before
                       FROM (SELECT * FROM event WHERE seq > $1 AND erased_at IS NULL ORDER BY seq LIMIT $2) p) e
                 JOIN source s ON s.id = e.source WHERE e.before < 8388608 ORDER BY e.seq";
            query(&client, sql, &[&after, &i64::from(limit)]).await?.iter().map(read_stored).collect()
        })
        .await
    }

    pub(in crate::store) async fn stored_bodies(&self, after: i64, limit: u32) -> Result<Vec<(QuarantineRow, Vec<u8>)>> {
        self.run(move |client| async move {
            let sql = format!("SELECT {COLUMNS}, body FROM quarantine WHERE id > $1 ORDER BY id LIMIT $2");
            let rows = query(&client, &sql, &[&after, &i64::from(limit)]).await?;
            rows.iter().map(|row| Ok((read_row(row)?, column(row, 9)?))).collect()
        })
        .await
    }

    pub(in crate::store) async fn erase(&self, erasing: Erasing, at: Timestamp) -> Result<Removed> {
        let (erasing, slot) = (Arc::new(erasing), self.shared.membership.slot() + 2);
        let (removed, due) = again(|| {
            let erasing = Arc::clone(&erasing);
            self.run(move |client| async move { erase(client, &erasing, at, slot).await })
        })
        .await?;
        self.shared.tell_waiting(due);
        Ok(removed)
    }

    pub(in crate::store) async fn erasures(&self, since: Timestamp) -> Result<Vec<Erasure>> {
        self.run(move |client| async move {
            let sql =
                "SELECT r.delivery, r.destination, n.name, r.event, r.under_way, r.requested_at, r.done_at, r.result, r.place, r.arrived
                 FROM erasure r JOIN destination n ON n.id = r.destination
                 WHERE r.done_at IS NULL OR r.requested_at >= $1 ORDER BY r.requested_at, r.delivery COLLATE \"C\"";
            query(&client, sql, &[&micros(since)]).await?.iter().map(read_erasure).collect()
        })
        .await
    }

    pub(in crate::store) async fn finish_erasures(&self, results: Vec<ErasureResult>, at: Timestamp) -> Result<()> {
        self.run(move |client| async move {
            let deliveries: Vec<&str> = results.iter().map(|one| one.delivery.as_str()).collect();
            let words: Vec<&str> = results.iter().map(|one| one.result).collect();
            let places: Vec<Option<&str>> = results.iter().map(|one| one.place.as_deref()).collect();
            let asked: Vec<i64> = results.iter().map(|one| micros(one.requested_at)).collect();
            let sql = "UPDATE erasure r SET done_at = $4, result = t.result, place = t.place
                 FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[], $5::BIGINT[]) AS t(delivery, result, place, asked)
                 WHERE r.delivery = t.delivery AND r.requested_at = t.asked AND r.done_at IS NULL";
            execute(&client, sql, &[&deliveries, &words, &places, &micros(at), &asked]).await.map(drop)
        })
        .await
    }

    pub(in crate::store) async fn unfinished_erasures(&self) -> Result<Vec<Unfinished>> {
        self.run(|client| async move {
            let sql = "SELECT id, begun_at, head, removed FROM certificate ORDER BY begun_at, id COLLATE \"C\"";
            query(&client, sql, &[]).await?.iter().map(read_unfinished).collect()
        })
        .await
    }

    pub(in crate::store) async fn certify(&self, id: Uuid) -> Result<()> {
        self.run(move |client| async move { execute(&client, "DELETE FROM certificate WHERE id = $1", &[&id.to_string()]).await.map(drop) })
            .await
    }

    /// The files are the server's. What can be done from here is to free the space of dead rows at once.
    pub(in crate::store) async fn scrub(&self, _needles: Vec<Needle>, _anew: bool, progress: Progress) -> Result<Scrubbed> {
        self.run(move |client| async move {
            // The settings of this connection are changed, so it does not go back to the others.
            let client = Object::take(client);
            client.batch_execute("SET statement_timeout = '1h'").await?;
            for table in
                ["event", "delivery", "attempt", "step", "quarantine", "erasure", "certificate", "token", "search_page", "action", "missed"]
            {
                // Samples of the values are kept for planning; they are drawn anew.
                client.batch_execute(&format!("VACUUM (ANALYZE) {table}")).await?;
            }
            progress(0, 0);
            // Nothing is said of remains, since they cannot be looked for from here.
            Ok(Scrubbed { note: Some(NOTE), ..Scrubbed::default() })
        })
        .await
    }
}

fn read_stored(row: &Row) -> Result<StoredEvent> {
    Ok(StoredEvent {
        seq: column(row, 0)?,
        id: column(row, 1)?,
        source: column(row, 2)?,
        email: column(row, 3)?,
        phone: column(row, 4)?,
        session_id: column(row, 5)?,
        body: column(row, 6)?,
    })
}

fn read_erasure(row: &Row) -> Result<Erasure> {
    Ok(Erasure {
        delivery: column(row, 0)?,
        destination_id: hold::number(row, 1)?,
        destination: column(row, 2)?,
        event: column(row, 3)?,
        under_way: column(row, 4)?,
        requested_at: moment(column(row, 5)?),
        done_at: column::<Option<i64>>(row, 6)?.map(moment),
        result: column(row, 7)?,
        place: column(row, 8)?,
        arrived: column(row, 9)?,
    })
}

fn read_unfinished(row: &Row) -> Result<Unfinished> {
    let (id, removed): (String, String) = (column(row, 0)?, column(row, 3)?);
    let owed = Owed { id: id.parse().unwrap_or_default(), begun_at: moment(column(row, 1)?), head: column(row, 2)? };
    Unfinished::read(owed, &removed)
}

/// What one transaction gathers.
#[derive(Default)]
struct Work {
    removed: Removed,
    tally: Tally,
    waiting: Vec<(i64, Vec<u8>)>,
    /// Of the events that were erased.
    places: Vec<i64>,
}

async fn erase(mut client: Object, erasing: &Erasing, at: Timestamp, slot: i64) -> Result<(Removed, HashSet<DestinationId>)> {
    let transaction = client.transaction().await?;
    let mut work = Work::default();
    lock_in_order(&transaction, &erasing.events).await?;
    for id in &erasing.events {
        erase_event(&transaction, *id, at, &mut work).await?;
    }
    for id in &erasing.quarantined {
        work.removed.quarantined += usize::from(quarantine::remove(&transaction, *id).await?);
    }
    for (destination, delivery) in &erasing.kept {
        request(&transaction, delivery, i64::from(*destination), None, false, at).await?;
        work.removed.kept.push(delivery.clone());
    }
    // Only now: what was behind an erased delivery may have been erased as well.
    let persons = work.waiting.iter().map(|(destination, person)| (*destination, person.as_slice(), micros(at)));
    let due = settle::unblock(&transaction, persons).await?;
    if let Some(owed) = &erasing.owed {
        owe(&transaction, owed, &work.removed).await?;
    }
    index::forget(&transaction, &work.places).await?;
    work.tally.write(&transaction, slot).await?;
    tell_all(&transaction).await?;
    transaction.commit().await?;
    Ok((work.removed, due))
}

/// In the order in which everybody locks: what has ended first, as a replay does, and then what is pending, each person from the one
/// ahead, as receiving and settling do. What is ahead is locked also when it is not erased, since what waits behind it is theirs.
async fn lock_in_order(transaction: &Transaction<'_>, events: &[Uuid]) -> Result<()> {
    let ended = "SELECT 1 FROM delivery d WHERE d.event IN (SELECT seq FROM event WHERE id = ANY($1::UUID[])) AND d.state >= 3
         ORDER BY d.destination, d.person, d.state, d.event FOR UPDATE";
    execute(transaction, ended, &[&events]).await?;
    let pending = "WITH own AS (
             SELECT d.event, d.destination, d.person FROM delivery d
             WHERE d.event IN (SELECT seq FROM event WHERE id = ANY($1::UUID[])) AND d.state < 3
         ), ahead AS (
             SELECT c.event, o.destination FROM (SELECT DISTINCT destination, person FROM own WHERE person IS NOT NULL) o
             CROSS JOIN LATERAL (
                 (SELECT a.event FROM delivery a WHERE a.destination = o.destination AND a.person = o.person AND a.state < 2 LIMIT 1)
                 UNION ALL
                 (SELECT b.event FROM delivery b WHERE b.destination = o.destination AND b.person = o.person AND b.state = 2
                  ORDER BY b.event LIMIT 1)) c
         )
         SELECT 1 FROM (SELECT event, destination FROM own UNION SELECT event, destination FROM ahead) x
         JOIN delivery d ON d.event = x.event AND d.destination = x.destination
         WHERE d.state < 3 ORDER BY d.destination, d.person, d.state, d.event FOR UPDATE OF d";
    execute(transaction, pending, &[&events]).await.map(drop)
}

async fn erase_event(transaction: &Transaction<'_>, id: Uuid, at: Timestamp, work: &mut Work) -> Result<()> {
    let sql =
        "SELECT e.seq, e.kind, s.name, e.received_at, e.source, octet_length(e.body)::BIGINT FROM event e JOIN source s ON s.id = e.source
         WHERE e.id = $1 AND e.erased_at IS NULL FOR UPDATE OF e";
    let Some(row) = query_opt(transaction, sql, &[&id]).await? else { return Ok(()) };
    let (seq, kind, source): (i64, String, String) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
    let body = tombstone(id, &kind, &source, moment(column(&row, 3)?))?;
    let bytes: i64 = column(&row, 5)?;
    work.tally.add_bytes(column(&row, 4)?, i64::try_from(body.len()).unwrap_or(0) - bytes);
    let sql = "SELECT d.destination, n.name, d.state, d.person, d.record_id, d.record_url FROM delivery d
         JOIN destination n ON n.id = d.destination WHERE d.event = $1 ORDER BY d.destination FOR UPDATE OF d";
    let mut deliveries = Vec::new();
    for row in query(transaction, sql, &[&seq]).await? {
        deliveries.push(erase_delivery(transaction, (seq, id), &row, at, work).await?);
    }
    work.removed.attempts += count(execute(transaction, "DELETE FROM attempt WHERE event = $1", &[&seq]).await?);
    work.removed.steps += count(execute(transaction, "DELETE FROM step WHERE event = $1", &[&seq]).await?);
    execute(transaction, "DELETE FROM missed WHERE event = $1", &[&seq]).await?;
    let sql = "UPDATE event SET email = NULL, phone = NULL, session_id = NULL, receipt = NULL, body = $2, erased_at = $3 WHERE seq = $1";
    execute(transaction, sql, &[&seq, &body, &micros(at)]).await?;
    work.places.push(seq);
    work.removed.events.push(RemovedEvent { id, kind, deliveries });
    Ok(())
}

fn count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

async fn erase_delivery(
    transaction: &Transaction<'_>,
    (seq, id): (i64, Uuid),
    row: &Row,
    at: Timestamp,
    work: &mut Work,
) -> Result<RemovedDelivery> {
    let (destination, name): (i64, String) = (column(row, 0)?, column(row, 1)?);
    let was = State::from_number(column(row, 2)?).unwrap_or(State::Dead);
    let (record, url): (Option<String>, _) = (column(row, 4)?, column(row, 5)?);
    work.tally.add_ended(hold::number(row, 0)?, was, -1);
    work.tally.add_ended(hold::number(row, 0)?, State::Erased, 1);
    let person: Option<Vec<u8>> = column(row, 3)?;
    work.waiting.extend(person.filter(|_| was.is_pending()).map(|person| (destination, person)));
    let delivery = delivery_id(id, &name);
    request(transaction, &delivery, destination, Some(seq), was == State::Leased, at).await?;
    let sql = "SELECT name, remote_id FROM step WHERE event = $1 AND destination = $2 ORDER BY name COLLATE \"C\"";
    let steps = query(transaction, sql, &[&seq, &destination]).await?;
    let steps = steps.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect::<Result<_>>()?;
    let sql =
        "UPDATE delivery SET state = 6, ended_at = $3, person = NULL, record_id = NULL, record_url = NULL, remark = NULL, cause = '', leased_by = NULL
         WHERE event = $1 AND destination = $2";
    execute(transaction, sql, &[&seq, &destination, &micros(at)]).await?;
    Ok(RemovedDelivery { delivery, destination: name, was, record: record.map(|id| Record { id, url }), steps })
}

async fn owe(client: &impl GenericClient, owed: &Owed, removed: &Removed) -> Result<()> {
    let sql = "INSERT INTO certificate (id, begun_at, head, removed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET head = excluded.head, removed = certificate.removed || excluded.removed";
    let values: super::Params<'_> = &[&owed.id.to_string(), &micros(owed.begun_at), &super::text(&owed.head), &removed.to_line()?];
    execute(client, sql, values).await.map(drop)
}

/// An erasure that was asked for before is asked for again.
async fn request(
    client: &impl GenericClient,
    delivery: &str,
    destination: i64,
    event: Option<i64>,
    under_way: bool,
    at: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO erasure (delivery, destination, event, under_way, requested_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (delivery) DO UPDATE SET requested_at = excluded.requested_at, done_at = NULL, result = NULL, place = NULL";
    execute(client, sql, &[&delivery, &destination, &event, &under_way, &micros(at)]).await.map(drop)
}

/// Asks for the erasure of these deliveries again where their person was erased, since an attempt of them went on meanwhile, and notes
/// what it made at the destination, if anything, for the owner to remove there. The moment moves on, so that an answer to what was
/// asked before does not count.
pub(super) async fn reopen(client: &impl GenericClient, events: &[i64], destinations: &[i64], arrived: &[Option<String>]) -> Result<()> {
    let sql = "UPDATE erasure r SET requested_at = r.requested_at + 1, done_at = NULL, result = NULL, place = NULL,
             arrived = CASE WHEN t.what IS NULL THEN r.arrived ELSE coalesce(r.arrived || ', ', '') || t.what END
         FROM unnest($1::BIGINT[], $2::BIGINT[], $3::TEXT[]) AS t(event, destination, what)
         JOIN delivery d ON d.event = t.event AND d.destination = t.destination AND d.state = 6
         WHERE r.event = t.event AND r.destination = t.destination";
    execute(client, sql, &[&events, &destinations, &arrived]).await.map(drop)
}
