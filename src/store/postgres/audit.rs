//! Proving that the states add up to what was received.

use super::hold::{COUNT_COLUMNS, SUMS, read_counts};
use super::{Postgres, column, index, query};
use crate::store::search::{INDEX_INVARIANT, has_strays};
use crate::store::{AuditFinding, AuditReport, DestinationLedger, Result, SourceLedger};
use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::IsolationLevel;

/// What must hold, and a query for what breaks it: an id in words for each. The first nine are those of every engine, in the same
/// words.
const INVARIANTS: [(&str, &str); 16] = [
    (
        "every event the ledger counted is in the store or was removed by retention",
        "SELECT s.name || ': ' || coalesce(c.received, 0) || ' received, ' || coalesce(c.removed, 0) || ' removed, ' || coalesce(e.stored, 0) || ' in the store'
         FROM source s
         LEFT JOIN (SELECT source, sum(received) AS received, sum(removed) AS removed FROM source_count GROUP BY source) c ON c.source = s.id
         LEFT JOIN (SELECT source, count(*) AS stored FROM event GROUP BY source) e ON e.source = s.id
         WHERE coalesce(c.received - c.removed, 0) <> coalesce(e.stored, 0)",
    ),
    (
        "every delivery the ledger counted is in the store or was removed by retention",
        "SELECT n.name || ': ' || coalesce(c.created, 0) || ' made, ' || coalesce(c.removed, 0) || ' removed, ' || coalesce(d.stored, 0) || ' in the store'
         FROM destination n
         LEFT JOIN (SELECT destination, sum(created) AS created, sum(removed) AS removed FROM destination_count GROUP BY destination) c
             ON c.destination = n.id
         LEFT JOIN (SELECT destination, count(*) AS stored FROM delivery GROUP BY destination) d ON d.destination = n.id
         WHERE coalesce(c.created - c.removed, 0) <> coalesce(d.stored, 0)",
    ),
    (
        "the deliveries that ended are as many as the ledger counted, in each state",
        "SELECT n.name || ': ' || coalesce(c.delivered, 0) || ' delivered, ' || coalesce(c.skipped, 0) || ' skipped, ' || coalesce(c.dead, 0)
             || ' dead, ' || coalesce(c.erased, 0) || ' erased in the ledger'
         FROM destination n
         LEFT JOIN (
             SELECT destination, sum(delivered) AS delivered, sum(skipped) AS skipped, sum(dead) AS dead, sum(erased) AS erased
             FROM destination_count GROUP BY destination
         ) c ON c.destination = n.id
         LEFT JOIN (
             SELECT destination, count(*) FILTER (WHERE state = 3) AS three, count(*) FILTER (WHERE state = 4) AS four,
                 count(*) FILTER (WHERE state = 5) AS five, count(*) FILTER (WHERE state = 6) AS six
             FROM delivery GROUP BY destination
         ) d ON d.destination = n.id
         WHERE (coalesce(c.delivered, 0), coalesce(c.skipped, 0), coalesce(c.dead, 0), coalesce(c.erased, 0))
             <> (coalesce(three, 0), coalesce(four, 0), coalesce(five, 0), coalesce(six, 0))",
    ),
    (
        "every event has as many deliveries as it was given at receipt",
        "SELECT replace(e.id::TEXT, '-', '') FROM event e LEFT JOIN (SELECT event, count(*) AS made FROM delivery GROUP BY event) d ON d.event = e.seq
         WHERE coalesce(d.made, 0) <> e.deliveries",
    ),
    (
        "every delivery has its event",
        "SELECT d.event || '/' || d.destination FROM delivery d LEFT JOIN event e ON e.seq = d.event WHERE e.seq IS NULL",
    ),
    (
        "every delivery is in a known state",
        "SELECT event || '/' || destination || ' in state ' || state FROM delivery WHERE state NOT BETWEEN 0 AND 6",
    ),
    (
        "an ended delivery has an end, a pending one has none",
        "SELECT event || '/' || destination FROM delivery WHERE (state < 3) <> (ended_at IS NULL)",
    ),
    (
        "a skipped or dead delivery has its reason",
        "SELECT event || '/' || destination FROM delivery WHERE state IN (4, 5) AND coalesce(remark, '') = ''",
    ),
    (
        "at a destination, at most one delivery of a person is under way, and the others wait behind one",
        "SELECT n.name || ': ' || encode(d.person, 'hex') FROM delivery d JOIN destination n ON n.id = d.destination
         WHERE d.state < 3 AND d.person IS NOT NULL GROUP BY n.name, d.destination, d.person HAVING count(*) FILTER (WHERE d.state < 2) <> 1",
    ),
    (
        "the bodies are as many bytes as the ledger counted",
        "SELECT s.name || ': ' || coalesce(c.bytes, 0) || ' in the ledger, ' || coalesce(e.bytes, 0) || ' in the store'
         FROM source s
         LEFT JOIN (SELECT source, sum(bytes) AS bytes FROM source_count GROUP BY source) c ON c.source = s.id
         LEFT JOIN (SELECT source, sum(octet_length(body)) AS bytes FROM event GROUP BY source) e ON e.source = s.id
         WHERE coalesce(c.bytes, 0) <> coalesce(e.bytes, 0)",
    ),
    (
        "every event is known by its content",
        "SELECT replace(e.id::TEXT, '-', '') FROM event e LEFT JOIN content c ON c.source = e.source AND c.content_key = e.content_key
         WHERE c.event IS DISTINCT FROM e.seq",
    ),
    (
        "what is known by its content has its event",
        "SELECT 'event ' || c.event FROM content c LEFT JOIN event e ON e.seq = c.event WHERE e.seq IS NULL",
    ),
    (
        "the quarantine holds as many bodies and bytes as were counted",
        "SELECT coalesce(t.source, q.source) || ', class ' || coalesce(t.class, q.class) || ': ' || coalesce(t.bodies, 0) || ' counted, ' || coalesce(q.bodies, 0) || ' there'
         FROM quarantine_total t
         FULL JOIN (SELECT source, class, count(*) AS bodies, sum(size) AS bytes FROM quarantine GROUP BY source, class) q
             ON q.source = t.source AND q.class = t.class
         WHERE (coalesce(t.bodies, 0), coalesce(t.bytes, 0)) <> (coalesce(q.bodies, 0), coalesce(q.bytes, 0))",
    ),
    (
        "the deliveries of an erased event are erased, and no others",
        "SELECT replace(e.id::TEXT, '-', '') FROM event e JOIN delivery d ON d.event = e.seq WHERE (d.state = 6) <> (e.erased_at IS NOT NULL)",
    ),
    (
        "an erased event has nothing of its person left",
        "SELECT replace(e.id::TEXT, '-', '') FROM event e WHERE e.erased_at IS NOT NULL AND (
             e.email IS NOT NULL OR e.phone IS NOT NULL OR e.session_id IS NOT NULL OR e.receipt IS NOT NULL OR e.body NOT LIKE '%\"raw\":null}' OR e.body NOT LIKE '%\"content\":null%'
             OR e.body NOT LIKE '%\"person\":{\"first_name\":null,\"last_name\":null,\"email\":null,\"phone\":null}%'
             OR EXISTS (SELECT 1 FROM missed m WHERE m.event = e.seq) OR EXISTS (SELECT 1 FROM attempt a WHERE a.event = e.seq) OR EXISTS (SELECT 1 FROM step s WHERE s.event = e.seq)
             OR EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq
                 AND NOT (d.person IS NULL AND d.record_id IS NULL AND d.record_url IS NULL AND d.remark IS NULL)))",
    ),
    (
        "every leased delivery is with a bridge, and no other is",
        "SELECT d.event || '/' || d.destination FROM delivery d LEFT JOIN instance i ON i.id = d.leased_by
         WHERE d.state = 1 AND i.id IS NULL OR d.state <> 1 AND d.leased_by IS NOT NULL",
    ),
];

/// Ids shown for an invariant that does not hold.
const SHOWN: usize = 20;

/// All rows are read, some of them several times: with ten millions that takes minutes, and sorting them needs some memory.
const PATIENCE: &str = "SET LOCAL statement_timeout = '1h'; SET LOCAL work_mem = '128MB'";

impl Postgres {
    pub(in crate::store) async fn audit(&self) -> Result<AuditReport> {
        self.run(|client| async move { audit(client).await }).await
    }
}

async fn audit(mut client: Object) -> Result<AuditReport> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    snapshot.batch_execute(PATIENCE).await?;
    let mut findings = Vec::with_capacity(INVARIANTS.len() + 1);
    for (invariant, sql) in INVARIANTS {
        findings.push(find(&snapshot, invariant, sql).await?);
    }
    findings.push(AuditFinding { invariant: INDEX_INVARIANT.to_owned(), differing: find_strays(&snapshot).await? });
    Ok(AuditReport { sources: read_sources(&snapshot).await?, destinations: read_destinations(&snapshot).await?, findings })
}

/// Parts of the search index that know what is not there.
async fn find_strays(client: &impl GenericClient) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT 'pages of ' || stretch FROM search_page WHERE stretch NOT IN (SELECT id FROM search_stretch)";
    let mut strays = query(client, sql, &[]).await?.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>>>()?;
    for stretch in index::read_stretches(client).await? {
        let (first, last) = (stretch.first, stretch.last);
        let (there, erased) = (index::read_places(client, first, last, false).await?, index::read_places(client, first, last, true).await?);
        if has_strays(&stretch, &index::read_pages(client, stretch.id).await?, &there, &erased) {
            strays.push(format!("events {first} to {last}"));
        }
    }
    strays.truncate(SHOWN);
    Ok(strays)
}

async fn find(client: &impl GenericClient, invariant: &str, sql: &str) -> Result<AuditFinding> {
    let rows = client.query(&format!("{sql} LIMIT {SHOWN}"), &[]).await?;
    let differing = rows.iter().map(|row| column(row, 0)).collect::<Result<_>>()?;
    Ok(AuditFinding { invariant: invariant.to_owned(), differing })
}

async fn read_sources(client: &impl GenericClient) -> Result<Vec<SourceLedger>> {
    let sql = "SELECT s.name, coalesce(c.received, 0)::BIGINT, coalesce(e.stored, 0), coalesce(e.duplicates, 0)::BIGINT
         FROM source s
         LEFT JOIN (SELECT source, sum(received) AS received FROM source_count GROUP BY source) c ON c.source = s.id
         LEFT JOIN (SELECT source, count(*) AS stored, sum(duplicates) AS duplicates FROM event GROUP BY source) e ON e.source = s.id
         ORDER BY s.name COLLATE \"C\"";
    let read = |row| -> Result<SourceLedger> {
        Ok(SourceLedger { name: column(row, 0)?, received: column(row, 1)?, stored: column(row, 2)?, duplicates: column(row, 3)? })
    };
    query(client, sql, &[]).await?.iter().map(read).collect()
}

async fn read_destinations(client: &impl GenericClient) -> Result<Vec<DestinationLedger>> {
    let sql = format!("SELECT n.name, coalesce(c.created, 0), {COUNT_COLUMNS} FROM destination n {SUMS} ORDER BY n.name COLLATE \"C\"");
    let rows = query(client, &sql, &[]).await?;
    rows.iter().map(|row| Ok(DestinationLedger { name: column(row, 0)?, made: column(row, 1)?, counts: read_counts(row, 2)? })).collect()
}
