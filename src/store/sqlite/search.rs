//! Finding events and deliveries for people.

use super::row::{DELIVERY_COLUMNS, DELIVERY_TABLES, read_delivery};
use super::{Sqlite, index, micros, moment};
use crate::store::cause::to_kept;
use crate::store::model::digits;
use crate::store::search::{Bounds, Found, MAX_AMONG, Places, Query, Shelf, Stretch, find};
use crate::store::{AttemptRow, DeliveryFilter, DeliveryRow, Error, EventDetail, EventFilter, EventRow, Receipt, Result, State};
use futures_util::FutureExt as _;
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
        if let [state] = states {
            // Written so, the indexes of just this state are used where a destination is named.
            self.texts.push(match state {
                State::Waiting => "((d.state = 0 AND d.in_line = 1) OR (d.state = 0 AND d.in_line = 0))".to_owned(),
                State::Leased | State::Blocked => in_state(*state),
                ended => format!("d.state = {}", ended.number()),
            });
        } else if !states.is_empty() {
            let numbers: Vec<String> = states.iter().map(|state| state.number().to_string()).collect();
            self.texts.push(format!("d.state IN ({})", numbers.join(", ")));
        }
    }

    /// Deliveries behind the one of the event at this place to this destination, in the order of lists.
    fn go_on(&mut self, place: i64, destination: &str) {
        self.add("d.event <= ?", Some(place));
        let at = self.values.len();
        let behind = format!("(d.event < ?{at} OR d.destination > (SELECT id FROM destination WHERE name = ?))");
        self.values.push(Value::from(destination.to_owned()));
        self.texts.push(behind.replace("name = ?", &format!("name = ?{}", at + 1)));
    }

    pub(super) fn clause(&self) -> String {
        if self.texts.is_empty() { "TRUE".to_owned() } else { self.texts.join(" AND ") }
    }
}

impl Sqlite {
    pub(in crate::store) async fn events(&self, filter: EventFilter) -> Result<Vec<EventRow>> {
        let query = filter.query();
        self.search(filter, query).await
    }

    pub(in crate::store) async fn search(&self, filter: EventFilter, query: Query) -> Result<Vec<EventRow>> {
        self.read(move |connection| search(connection, &filter, &query)).await
    }

    pub(in crate::store) async fn events_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<EventRow>> {
        let mut conditions = Conditions::default();
        conditions.add("e.id >= ?", Some(first.as_bytes().to_vec()));
        conditions.add("e.id <= ?", Some(last.as_bytes().to_vec()));
        // Ids grow with time; in their order, the index on them finds and sorts.
        self.read(move |connection| read_events(connection, conditions, limit)).await
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
            if let Some((event, destination)) = &filter.before {
                conditions.go_on(read_before(connection, Some(*event))?, destination);
            }
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

/// What events must have besides what is asked of the index. The plus keeps indexes out of it: the order of receipt finds and sorts.
fn event_conditions(filter: &EventFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add("e.id = ?", filter.event_id().map(|id| id.as_bytes().to_vec()));
    conditions.add("lower(e.email) = lower(?)", filter.email.clone());
    conditions.add("? <> ''", filter.last_digits());
    conditions.add("digits(e.phone) LIKE '%' || ?", filter.last_digits());
    conditions.add("e.session_id = ?", filter.session.clone());
    conditions.add("+e.source = (SELECT id FROM source WHERE name = ?)", filter.source.clone());
    conditions.add("e.kind = ?", filter.kind.clone());
    conditions.add("+e.received_at >= ?", filter.since.map(micros));
    conditions.add("+e.received_at < ?", filter.until.map(micros));
    if filter.unrouted {
        // Written out, so that the index of just these is used.
        conditions.texts.push("e.deliveries = 0 AND e.kind <> 'test' AND e.erased_at IS NULL".to_owned());
    }
    if filter.duplicates {
        conditions.texts.push("e.duplicates > 0".to_owned());
    }
    if let Some(deliveries) = delivery_condition(filter) {
        let is_there = format!("EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND {deliveries})");
        match &filter.destination {
            Some(destination) => conditions.add(&is_there, Some(destination.clone())),
            None => conditions.texts.push(is_there),
        }
    }
    conditions
}

/// What a delivery of the event must be, with `?` for the destination; `None` when it may be any.
fn delivery_condition(filter: &EventFilter) -> Option<String> {
    let to = filter.destination.as_ref().map(|_| "d.destination = (SELECT id FROM destination WHERE name = ?)".to_owned());
    // Both conditions are written out, so that the indexes of just these are used.
    let state = filter.state.map(in_state);
    let both: Vec<String> = [state, to].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join(" AND "))
}

/// What a delivery in this state must be. All that an index of just these asks for is written out, so that it is used.
fn in_state(state: State) -> String {
    let rest = match state {
        State::Waiting => "",
        State::Leased | State::Blocked => " AND d.state < 3 AND d.in_line = 1",
        State::Delivered => " AND d.state >= 3",
        State::Skipped | State::Dead | State::Erased => " AND d.state >= 3 AND d.state > 3",
    };
    format!("d.state = {}{rest}", state.number())
}

/// The places of all that waits: there is an index for what is in a line, and one for backlogs.
fn waiting(and: &str) -> String {
    [1, 0].map(|in_line| format!("SELECT d.event FROM delivery d WHERE d.state = 0 AND d.in_line = {in_line}{and}")).join(" UNION ALL ")
}

/// The places of all events of a kind that has an index of its own, rising; `None` when there are too many, or no such kind is wanted.
fn read_among(connection: &Connection, filter: &EventFilter) -> Result<Option<Vec<i64>>> {
    let mut among: Option<Vec<i64>> = None;
    for (sql, values) in among_queries(filter) {
        let mut query = connection.prepare_cached(&sql)?;
        let mut places = query.query_map(params_from_iter(values), |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        if places.len() > MAX_AMONG {
            continue;
        }
        places.sort_unstable();
        places.dedup();
        if let Some(among) = &among {
            places.retain(|place| among.binary_search(place).is_ok());
        }
        among = Some(places);
    }
    Ok(among)
}

fn among_queries(filter: &EventFilter) -> Vec<(String, Vec<String>)> {
    let mut queries = Vec::new();
    // What is delivered is most of all, and has no index but that of its destination.
    let told = EventFilter { state: filter.state.filter(|state| *state != State::Delivered), ..filter.clone() };
    let to = if filter.destination.is_some() { " AND d.destination = (SELECT id FROM destination WHERE name = ?1)" } else { "" };
    let sql = match (told.state, delivery_condition(&told)) {
        (Some(State::Waiting), _) => Some(waiting(to)),
        (Some(_), Some(condition)) => Some(format!("SELECT d.event FROM delivery d WHERE {condition}")),
        (None, Some(condition)) => Some(format!("SELECT d.event FROM delivery d WHERE {condition} AND d.event > 0")),
        (_, None) => None,
    };
    queries.extend(sql.map(|sql| (sql.replace(" ?)", " ?1)"), filter.destination.clone().into_iter().collect())));
    if filter.unrouted {
        queries.push(("SELECT e.seq FROM event e WHERE e.deliveries = 0 AND e.kind <> 'test'".to_owned(), Vec::new()));
    }
    if filter.duplicates {
        queries.push(("SELECT e.seq FROM event e WHERE e.duplicates > 0".to_owned(), Vec::new()));
    }
    queries.iter_mut().for_each(|(sql, _)| sql.push_str(&format!(" LIMIT {}", MAX_AMONG + 1)));
    queries
}

/// The place before which events are listed.
fn read_before(connection: &Connection, before: Option<Uuid>) -> Result<i64> {
    let Some(id) = before else { return Ok(i64::MAX) };
    // One that was removed since has left a gap between those that were received before and after it.
    let sql = "SELECT seq + (id <> ?1) FROM event WHERE id <= ?1 ORDER BY id DESC LIMIT 1";
    Ok(connection.query_row(sql, [id.as_bytes()], |row| row.get(0)).optional()?.unwrap_or(i64::MIN))
}

fn search(connection: &Connection, filter: &EventFilter, query: &Query) -> Result<Vec<EventRow>> {
    let snapshot = connection.unchecked_transaction()?;
    let bounds = Bounds {
        before: read_before(&snapshot, filter.before)?,
        since: filter.since.map(micros),
        until: filter.until.map(micros),
        among: read_among(&snapshot, filter)?,
        limit: filter.limit as usize,
    };
    let file = Pages { connection: &snapshot, conditions: event_conditions(filter) };
    // Nothing here waits but for the file, so it is ready when it returns.
    let found = find(&file, query, &bounds).now_or_never().unwrap_or_else(|| Ok(Vec::new()))?;
    found.into_iter().map(|found| read_event(&snapshot, found)).collect()
}

/// The file as a search sees it.
struct Pages<'a> {
    connection: &'a Connection,
    conditions: Conditions,
}

impl Conditions {
    fn between(&self) -> String {
        let (n, clause) = (self.values.len(), self.clause());
        format!("{EVENT} WHERE e.seq BETWEEN ?{} AND ?{} AND {clause} ORDER BY e.seq DESC LIMIT ?{}", n + 1, n + 2, n + 3)
    }

    fn at(&self) -> String {
        format!("{EVENT} WHERE e.seq = ?{} AND {}", self.values.len() + 1, self.clause())
    }
}

impl Pages<'_> {
    fn between(&self, first: i64, last: i64, limit: usize) -> Result<Vec<Found>> {
        let sql = self.conditions.between();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = self.conditions.values.iter().cloned().chain([first.into(), last.into(), limit.into()]);
        let mut query = self.connection.prepare_cached(&sql)?;
        Ok(query.query_map(params_from_iter(values), read_found)?.collect::<rusqlite::Result<_>>()?)
    }

    /// One by one: so many steps to the row itself are the least there is.
    fn among(&self, places: &[i64]) -> Result<Vec<Found>> {
        let sql = self.conditions.at();
        let mut query = self.connection.prepare_cached(&sql)?;
        let mut found = Vec::new();
        for place in places.iter().rev() {
            let values = self.conditions.values.iter().cloned().chain([(*place).into()]);
            found.extend(query.query_row(params_from_iter(values), read_found).optional()?);
        }
        Ok(found)
    }
}

const EVENT: &str = "SELECT e.seq, e.body, e.duplicates, e.erased_at, e.receipt FROM event e";

impl Shelf for Pages<'_> {
    async fn stretches(&self) -> Result<Vec<Stretch>> {
        index::read_stretches(self.connection)
    }

    async fn pages(&self, stretches: &[i64], low: &[u8], high: &[u8]) -> Result<Vec<(i64, Vec<u8>)>> {
        let mut start = self.connection.prepare_cached(PAGE_AT)?;
        let mut rest = self.connection.prepare_cached(PAGES_AFTER)?;
        let mut pages = Vec::new();
        for stretch in stretches {
            pages.extend(start.query_row(params![stretch, low], |row| row.get(0)).optional()?.map(|body| (*stretch, body)));
            if low == high {
                continue;
            }
            let mut rows = rest.query(params![stretch, low, high])?;
            while let Some(row) = rows.next()? {
                pages.push((*stretch, row.get(0)?));
            }
        }
        Ok(pages)
    }

    async fn events(&self, places: Places, limit: usize) -> Result<Vec<Found>> {
        match places {
            Places::Between(first, last) => self.between(first, last, limit),
            Places::Among(places) => self.among(&places),
        }
    }
}

/// What searches ask, with every filter there is.
#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    let some = || Some("x".to_owned());
    let people = EventFilter { email: some(), phone: Some("7".to_owned()), session: some(), ..EventFilter::default() };
    let rest = EventFilter { source: some(), kind: some(), since: Some(moment(1)), until: Some(moment(2)), ..EventFilter::default() };
    let unusual = EventFilter { unrouted: true, duplicates: true, ..EventFilter::default() };
    let in_state = |destination: Option<String>| {
        State::ALL.map(|state| EventFilter { state: Some(state), destination: destination.clone(), ..EventFilter::default() })
    };
    let to = EventFilter { destination: some(), ..EventFilter::default() };
    let filters = [EventFilter::default(), people, rest, unusual, to].into_iter().chain(in_state(some())).chain(in_state(None));
    let mut statements = vec![PAGE_AT.to_owned(), PAGES_AFTER.to_owned()];
    for filter in filters {
        let conditions = event_conditions(&filter);
        statements.extend([conditions.between(), conditions.at()]);
        statements.extend(among_queries(&filter).into_iter().map(|(sql, _)| sql));
    }
    statements
}

/// The page that a word would be on, and those after it up to another word.
const PAGE_AT: &str = "SELECT body FROM search_page WHERE stretch = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
const PAGES_AFTER: &str = "SELECT body FROM search_page WHERE stretch = ?1 AND first > ?2 AND first < ?3 ORDER BY first";

pub(super) fn delivery_conditions(filter: &DeliveryFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add_states(&filter.states);
    conditions.add("n.name = ?", filter.destination.clone());
    conditions.add("d.state = 5 AND d.cause = ?", filter.cause.as_deref().map(|cause| to_kept(cause).to_owned()));
    conditions.add("e.received_at >= ?", filter.since.map(micros));
    conditions
}

/// What the queries here call and SQLite does not bring.
pub(super) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("digits", 1, flags, |context| Ok(context.get::<Option<String>>(0)?.map(|phone| digits(&phone))))
}

fn read_events(connection: &Connection, mut conditions: Conditions, limit: u32) -> Result<Vec<EventRow>> {
    conditions.values.push(i64::from(limit).into());
    let sql = format!("{EVENT} WHERE {} ORDER BY e.id DESC LIMIT ?{}", conditions.clause(), conditions.values.len());
    let mut query = connection.prepare(&sql)?;
    let rows = query.query_map(params_from_iter(&conditions.values), read_found)?;
    let rows = rows.collect::<rusqlite::Result<Vec<Found>>>()?;
    rows.into_iter().map(|found| read_event(connection, found)).collect()
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
