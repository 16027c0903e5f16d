//! Proving that the states add up to what was received.

use super::ledger::{COUNT_COLUMNS, read_counts};
use super::{Sqlite, index};
use crate::store::search::{INDEX_INVARIANT, has_strays};
use crate::store::{AuditFinding, AuditReport, DestinationLedger, Result, SourceLedger};
use rusqlite::Connection;

/// What must hold, and a query for what breaks it: an id in words for each.
const INVARIANTS: [(&str, &str); 12] = [
    (
        "every event the ledger counted is in the store or was removed by retention",
        "SELECT name || ': ' || received || ' received, ' || removed || ' removed, ' || (SELECT count(*) FROM event WHERE source = source.id) || ' in the store'
         FROM source WHERE received - removed <> (SELECT count(*) FROM event WHERE source = source.id)",
    ),
    (
        "every delivery the ledger counted is in the store or was removed by retention",
        "SELECT name || ': ' || created || ' made, ' || removed || ' removed, ' || (SELECT count(*) FROM delivery WHERE destination = destination.id) || ' in the store'
         FROM destination WHERE created - removed <> (SELECT count(*) FROM delivery WHERE delivery.destination = destination.id)",
    ),
    (
        "the deliveries that ended are as many as the ledger counted, in each state",
        "SELECT name || ': ' || delivered || ' delivered, ' || skipped || ' skipped, ' || dead || ' dead, ' || erased || ' erased in the ledger'
         FROM destination n LEFT JOIN (
             SELECT destination, sum(state = 3) AS three, sum(state = 4) AS four, sum(state = 5) AS five, sum(state = 6) AS six
             FROM delivery GROUP BY destination
         ) d ON d.destination = n.id
         WHERE (delivered, skipped, dead, erased) <> (coalesce(three, 0), coalesce(four, 0), coalesce(five, 0), coalesce(six, 0))",
    ),
    (
        "every event has as many deliveries as it was given at receipt",
        "SELECT lower(hex(e.id)) FROM event e LEFT JOIN delivery d ON d.event = e.seq GROUP BY e.seq HAVING count(d.event) <> e.deliveries",
    ),
    ("every delivery has its event", "SELECT d.event || '/' || d.destination FROM delivery d LEFT JOIN event e ON e.seq = d.event WHERE e.seq IS NULL"),
    ("every delivery is in a known state", "SELECT event || '/' || destination || ' in state ' || state FROM delivery WHERE state NOT BETWEEN 0 AND 6"),
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
        "SELECT n.name || ': ' || lower(hex(d.person)) FROM delivery d JOIN destination n ON n.id = d.destination
         WHERE d.state < 3 AND d.in_line = 1 AND d.person IS NOT NULL GROUP BY d.destination, d.person HAVING sum(d.state < 2) <> 1",
    ),
    (
        "what is leased or blocked stands in its person's line, and what is in a backlog is newer than that",
        "SELECT event || '/' || destination FROM delivery WHERE in_line NOT IN (0, 1) OR (state IN (1, 2) AND in_line = 0)
         UNION ALL SELECT b.event || '/' || b.destination FROM delivery b WHERE b.state = 0 AND b.in_line = 0 AND EXISTS (
             SELECT 1 FROM delivery l WHERE l.destination = b.destination AND l.person = b.person AND l.event > b.event AND l.state < 3 AND l.in_line = 1)",
    ),
    (
        "the deliveries of an erased event are erased, and no others",
        "SELECT lower(hex(e.id)) FROM event e JOIN delivery d ON d.event = e.seq WHERE (d.state = 6) <> (e.erased_at IS NOT NULL)",
    ),
    (
        "an erased event has nothing of its person left",
        "SELECT lower(hex(e.id)) FROM event e WHERE e.erased_at IS NOT NULL AND (
             e.email IS NOT NULL OR e.phone IS NOT NULL OR e.session_id IS NOT NULL OR e.receipt IS NOT NULL
             OR json_extract(e.body, '$.raw') IS NOT NULL OR json_extract(e.body, '$.content') IS NOT NULL
             OR json_extract(e.body, '$.person.email', '$.person.phone', '$.person.first_name', '$.person.last_name') <> '[null,null,null,null]'
             OR EXISTS (SELECT 1 FROM missed m WHERE m.event = e.seq) OR EXISTS (SELECT 1 FROM attempt a WHERE a.event = e.seq) OR EXISTS (SELECT 1 FROM step s WHERE s.event = e.seq)
             OR EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND (d.person, d.record_id, d.record_url, d.remark) IS NOT (NULL, NULL, NULL, NULL)))",
    ),
];

/// Ids shown for an invariant that does not hold.
const SHOWN: usize = 20;

impl Sqlite {
    pub(in crate::store) async fn audit(&self) -> Result<AuditReport> {
        self.read(audit).await
    }
}

pub(super) fn audit(connection: &Connection) -> Result<AuditReport> {
    let snapshot = connection.unchecked_transaction()?;
    let mut findings = INVARIANTS.iter().map(|(invariant, sql)| find(&snapshot, invariant, sql)).collect::<Result<Vec<_>>>()?;
    findings.push(AuditFinding { invariant: INDEX_INVARIANT.to_owned(), differing: find_strays(&snapshot)? });
    Ok(AuditReport { sources: read_sources(&snapshot)?, destinations: read_destinations(&snapshot)?, findings })
}

/// Parts of the search index that know what is not there.
fn find_strays(connection: &Connection) -> Result<Vec<String>> {
    let mut query = connection.prepare("SELECT DISTINCT stretch FROM search_page WHERE stretch NOT IN (SELECT id FROM search_stretch)")?;
    let mut strays = query.query_map([], |row| Ok(format!("pages of {}", row.get::<_, i64>(0)?)))?.collect::<rusqlite::Result<Vec<_>>>()?;
    for stretch in index::read_stretches(connection)? {
        let places = |erased| index::read_places(connection, stretch.first, stretch.last, erased);
        if has_strays(&stretch, &index::read_pages(connection, stretch.id)?, &places(false)?, &places(true)?) {
            strays.push(format!("events {} to {}", stretch.first, stretch.last));
        }
    }
    strays.truncate(SHOWN);
    Ok(strays)
}

fn find(connection: &Connection, invariant: &str, sql: &str) -> Result<AuditFinding> {
    let mut query = connection.prepare(&format!("{sql} LIMIT {SHOWN}"))?;
    let differing = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(AuditFinding { invariant: invariant.to_owned(), differing })
}

fn read_sources(connection: &Connection) -> Result<Vec<SourceLedger>> {
    let mut query = connection.prepare(
        "SELECT s.name, s.received, count(e.seq), coalesce(sum(e.duplicates), 0) FROM source s LEFT JOIN event e ON e.source = s.id GROUP BY s.id ORDER BY s.name",
    )?;
    let rows = query
        .query_map([], |row| Ok(SourceLedger { name: row.get(0)?, received: row.get(1)?, stored: row.get(2)?, duplicates: row.get(3)? }))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn read_destinations(connection: &Connection) -> Result<Vec<DestinationLedger>> {
    let mut query = connection.prepare(&format!("SELECT name, created, {COUNT_COLUMNS} FROM destination ORDER BY name"))?;
    let rows = query.query_map([], |row| Ok(DestinationLedger { name: row.get(0)?, made: row.get(1)?, counts: read_counts(row, 2)? }))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
