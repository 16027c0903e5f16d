//! Finding events and deliveries for people.

use super::row::{DELIVERY_COLUMNS, DELIVERY_TABLES, read_delivery};
use super::{Sqlite, micros, moment};
use crate::store::model::digits;
use crate::store::{AttemptRow, DeliveryFilter, DeliveryRow, Error, EventDetail, EventFilter, EventRow, Receipt, Result, State};
use leadwire_connector::Event;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use uuid::Uuid;

/// Conditions of a `WHERE` clause with their values; every value is bound, none is pasted.
#[derive(Default)]
pub(super) struct Conditions {
    texts: Vec<String>,
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// Adds `text`, in which `?` stands for the value.
    pub(super) fn add(&mut self, text: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.values.push(value.into());
            self.texts.push(text.replace('?', &format!("?{}", self.values.len())));
        }
    }

    pub(super) fn add_states(&mut self, states: &[State]) {
        if !states.is_empty() {
            let numbers: Vec<String> = states.iter().map(|state| state.number().to_string()).collect();
            self.texts.push(format!("d.state IN ({})", numbers.join(", ")));
        }
    }

    pub(super) fn clause(&self) -> String {
        if self.texts.is_empty() { "TRUE".to_owned() } else { self.texts.join(" AND ") }
    }
}

impl Sqlite {
    pub(in crate::store) async fn events(&self, filter: EventFilter) -> Result<Vec<EventRow>> {
        self.read(move |connection| read_events(connection, event_conditions(&filter), "e.seq", filter.limit)).await
    }

    pub(in crate::store) async fn events_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<EventRow>> {
        let mut conditions = Conditions::default();
        conditions.add("e.id >= ?", Some(first.as_bytes().to_vec()));
        conditions.add("e.id <= ?", Some(last.as_bytes().to_vec()));
        // Ids grow with time; in their order, the index on them finds and sorts.
        self.read(move |connection| read_events(connection, conditions, "e.id", limit)).await
    }

    pub(in crate::store) async fn event(&self, id: Uuid) -> Result<Option<EventDetail>> {
        self.read(move |connection| {
            let sql = "SELECT seq, body, duplicates, erased_at, receipt FROM event WHERE id = ?1";
            let Some(found) = connection.query_row(sql, [id.as_bytes()], read_found).optional()? else { return Ok(None) };
            let seq = found.seq;
            let row = read_event(connection, found)?;
            Ok(Some(EventDetail { row, attempts: read_attempts(connection, seq)?, steps: read_steps(connection, seq)? }))
        })
        .await
    }

    pub(in crate::store) async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>> {
        self.read(move |connection| {
            let mut conditions = delivery_conditions(&filter);
            conditions.values.push(i64::from(filter.limit).into());
            let sql = format!(
                "SELECT {DELIVERY_COLUMNS} FROM {DELIVERY_TABLES} WHERE {} ORDER BY d.event DESC, d.destination LIMIT ?{}",
                conditions.clause(),
                conditions.values.len()
            );
            let mut query = connection.prepare(&sql)?;
            let rows = query.query_map(params_from_iter(&conditions.values), read_delivery)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn count_unrouted(&self) -> Result<i64> {
        let sql = "SELECT count(*) FROM event WHERE deliveries = 0 AND kind <> 'test' AND erased_at IS NULL";
        self.read(move |connection| Ok(connection.query_row(sql, [], |row| row.get(0))?)).await
    }

    pub(in crate::store) async fn source_counts(&self) -> Result<Vec<(String, i64)>> {
        self.read(|connection| {
            let mut query = connection.prepare_cached("SELECT name, received FROM source ORDER BY name")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn event_conditions(filter: &EventFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add("lower(e.email) = lower(?)", filter.email.clone());
    conditions.add("? <> ''", filter.last_digits());
    conditions.add("digits(e.phone) LIKE '%' || ?", filter.last_digits());
    conditions.add("e.session_id = ?", filter.session.clone());
    conditions.add("e.source = (SELECT id FROM source WHERE name = ?)", filter.source.clone());
    conditions.add("e.kind = ?", filter.kind.clone());
    conditions.add("e.received_at >= ?", filter.since.map(micros));
    conditions.add("e.received_at < ?", filter.until.map(micros));
    if filter.unrouted {
        // Written out, so that the index of just these is used.
        conditions.texts.push("e.deliveries = 0 AND e.kind <> 'test' AND e.erased_at IS NULL".to_owned());
    }
    conditions
}

pub(super) fn delivery_conditions(filter: &DeliveryFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add_states(&filter.states);
    conditions.add("n.name = ?", filter.destination.clone());
    conditions.add("e.received_at >= ?", filter.since.map(micros));
    conditions
}

/// What the queries here call and SQLite does not bring.
pub(super) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("digits", 1, flags, |context| Ok(context.get::<Option<String>>(0)?.map(|phone| digits(&phone))))
}

fn read_events(connection: &Connection, mut conditions: Conditions, order: &str, limit: u32) -> Result<Vec<EventRow>> {
    conditions.values.push(i64::from(limit).into());
    let sql = format!(
        "SELECT e.seq, e.body, e.duplicates, e.erased_at, e.receipt FROM event e WHERE {} ORDER BY {order} DESC LIMIT ?{}",
        conditions.clause(),
        conditions.values.len()
    );
    let mut query = connection.prepare(&sql)?;
    let rows = query.query_map(params_from_iter(&conditions.values), read_found)?;
    let rows = rows.collect::<rusqlite::Result<Vec<Found>>>()?;
    rows.into_iter().map(|found| read_event(connection, found)).collect()
}

struct Found {
    seq: i64,
    body: String,
    duplicates: i64,
    erased_at: Option<i64>,
    receipt: Option<String>,
}

fn read_found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found { seq: row.get(0)?, body: row.get(1)?, duplicates: row.get(2)?, erased_at: row.get(3)?, receipt: row.get(4)? })
}

fn read_event(connection: &Connection, found: Found) -> Result<EventRow> {
    let Found { seq, body, duplicates, erased_at, receipt } = found;
    let event: Event =
        serde_json::from_str(&body).map_err(|error| Error::Refused(format!("the stored event {seq} cannot be read: {error}")))?;
    let sql = format!("SELECT {DELIVERY_COLUMNS} FROM {DELIVERY_TABLES} WHERE d.event = ?1 ORDER BY d.destination");
    let mut query = connection.prepare_cached(&sql)?;
    let deliveries = query.query_map([seq], read_delivery)?.collect::<rusqlite::Result<_>>()?;
    let receipt = receipt.as_deref().and_then(Receipt::from_text);
    Ok(EventRow { event, duplicates, erased_at: erased_at.map(moment), receipt, deliveries })
}

fn read_attempts(connection: &Connection, seq: i64) -> Result<Vec<(String, AttemptRow)>> {
    let mut query = connection.prepare_cached(
        "SELECT n.name, a.at, a.duration_ms, a.outcome, a.kind, a.status, a.code, a.message, a.excerpt
         FROM attempt a JOIN destination n ON n.id = a.destination WHERE a.event = ?1 ORDER BY a.at",
    )?;
    let rows = query.query_map([seq], |row| {
        let attempt = AttemptRow {
            at: moment(row.get(1)?),
            duration_ms: row.get(2)?,
            outcome: row.get(3)?,
            kind: row.get(4)?,
            status: row.get(5)?,
            code: row.get(6)?,
            message: row.get(7)?,
            excerpt: row.get(8)?,
        };
        Ok((row.get(0)?, attempt))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read_steps(connection: &Connection, seq: i64) -> Result<Vec<(String, String, String)>> {
    let mut query = connection.prepare_cached(
        "SELECT n.name, s.name, s.remote_id FROM step s JOIN destination n ON n.id = s.destination WHERE s.event = ?1 ORDER BY 1, 2",
    )?;
    let rows = query.query_map(params![seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
