//! Finding events and deliveries for people.

use super::row::{DELIVERY_COLUMNS, DELIVERY_TABLES, read_delivery};
use super::{Postgres, column, index, micros, moment, query, query_opt, text};
use crate::store::cause::to_kept;
use crate::store::search::{Bounds, Found, MAX_AMONG, Places, Query, Shelf, Stretch, find};
use crate::store::{AttemptRow, DeliveryFilter, DeliveryRow, Error, EventDetail, EventFilter, EventRow, Receipt, Result, State};
use deadpool_postgres::{GenericClient, Object, Transaction};
use std::collections::HashMap;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

/// Conditions of a `WHERE` clause with their values; every value is bound, none is pasted.
#[derive(Default)]
pub(super) struct Conditions {
    texts: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    /// Adds `text`, in which `?` stands for the value.
    pub(super) fn add(&mut self, text: &str, value: Option<impl ToSql + Sync + Send + 'static>) {
        if let Some(value) = value {
            let place = self.bind(value);
            self.texts.push(text.replace('?', &place));
        }
    }

    fn add_states(&mut self, states: &[State]) {
        if !states.is_empty() {
            // Written out, so that the indexes of single states are used.
            let numbers: Vec<String> = states.iter().map(|state| state.number().to_string()).collect();
            self.texts.push(format!("d.state IN ({})", numbers.join(", ")));
        }
    }

    /// Deliveries behind the one of the event at this place to this destination, in the order of lists.
    fn go_on(&mut self, place: i64, destination: &str) {
        let (place, name) = (self.bind(place), self.bind(text(destination)));
        self.texts.push(format!(
            "d.event <= {place} AND (d.event < {place} OR d.destination > (SELECT id FROM destination WHERE name = {name}))"
        ));
    }

    /// Binds a value and returns what stands for it.
    fn bind(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    pub(super) fn clause(&self) -> String {
        if self.texts.is_empty() { "TRUE".to_owned() } else { self.texts.join(" AND ") }
    }

    /// Runs a query with these values and more. It is prepared once, so that it may be run many times.
    async fn query_with(&self, client: &impl GenericClient, sql: &str, more: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let values = self.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync));
        query(client, sql, &values.chain(more.iter().copied()).collect::<Vec<_>>()).await
    }

    /// Runs a query with these values. The text differs from call to call, so the statement is not kept; and the server plans it for
    /// these very values.
    pub(super) async fn query(&self, client: &impl GenericClient, sql: &str) -> Result<Vec<Row>> {
        let values: Vec<&(dyn ToSql + Sync)> = self.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect();
        Ok(client.query(sql, &values).await?)
    }
}

impl Postgres {
    pub(in crate::store) async fn events(&self, filter: EventFilter) -> Result<Vec<EventRow>> {
        let query = filter.query();
        self.search(filter, query).await
    }

    pub(in crate::store) async fn search(&self, filter: EventFilter, query: Query) -> Result<Vec<EventRow>> {
        self.run(|client| async move { search(client, &filter, &query).await }).await
    }

    pub(in crate::store) async fn events_between(&self, first: Uuid, last: Uuid, limit: u32) -> Result<Vec<EventRow>> {
        let mut conditions = Conditions::default();
        conditions.add("e.id >= ?", Some(first));
        conditions.add("e.id <= ?", Some(last));
        // Ids grow with time; in their order, the index on them finds and sorts.
        self.run(move |client| async move { read_events(&client, conditions, limit).await }).await
    }

    pub(in crate::store) async fn event(&self, id: Uuid) -> Result<Option<EventDetail>> {
        self.run(move |client| async move {
            let sql = "SELECT seq, body, duplicates, erased_at, receipt FROM event WHERE id = $1";
            let Some(row) = query_opt(&client, sql, &[&id]).await? else { return Ok(None) };
            let seq: i64 = column(&row, 0)?;
            let row = read_rows(&client, vec![read_found(&row)?]).await?.pop();
            let (attempts, steps) = tokio::try_join!(read_attempts(&client, seq), read_steps(&client, seq))?;
            Ok(row.map(|row| EventDetail { row, attempts, steps }))
        })
        .await
    }

    pub(in crate::store) async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryRow>> {
        self.run(move |client| async move {
            let mut conditions = delivery_conditions(&filter);
            if let Some((event, destination)) = &filter.before {
                conditions.go_on(read_before(&client, Some(*event)).await?, destination);
            }
            let limit = conditions.bind(i64::from(filter.limit));
            let clause = conditions.clause();
            let sql = format!(
                "SELECT {DELIVERY_COLUMNS} FROM {DELIVERY_TABLES} WHERE {clause} ORDER BY d.event DESC, d.destination LIMIT {limit}"
            );
            conditions.query(&client, &sql).await?.iter().map(read_delivery).collect()
        })
        .await
    }

    pub(in crate::store) async fn count_unrouted(&self) -> Result<i64> {
        self.run(|client| async move {
            let sql = "SELECT count(*) FROM event WHERE deliveries = 0 AND kind <> 'test' AND erased_at IS NULL";
            query_opt(&client, sql, &[]).await?.map_or(Ok(0), |row| column(&row, 0))
        })
        .await
    }

    pub(in crate::store) async fn source_counts(&self) -> Result<Vec<(String, i64)>> {
        self.run(|client| async move {
            let sql = "SELECT s.name, coalesce(sum(c.received), 0)::BIGINT FROM source s LEFT JOIN source_count c ON c.source = s.id
                 GROUP BY s.id, s.name ORDER BY s.name COLLATE \"C\"";
            query(&client, sql, &[]).await?.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
        })
        .await
    }
}

fn event_conditions(filter: &EventFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add("e.id = ?", filter.event_id());
    // The collation says that only ASCII letters are the same in both cases, whatever the database's own says.
    conditions.add("lower(e.email COLLATE \"C\") = lower(? COLLATE \"C\")", filter.email.as_deref().map(text));
    conditions.add("? <> ''", filter.last_digits());
    conditions.add("regexp_replace(e.phone, '[^0-9]', '', 'g') LIKE '%' || ?", filter.last_digits());
    conditions.add("e.session_id = ?", filter.session.as_deref().map(text));
    conditions.add("e.source = (SELECT id FROM source WHERE name = ?)", filter.source.as_deref().map(text));
    conditions.add("e.kind = ?", filter.kind.as_deref().map(text));
    conditions.add("e.received_at >= ?", filter.since.map(micros));
    conditions.add("e.received_at < ?", filter.until.map(micros));
    if filter.unrouted {
        // Written out, so that the index of just these is used.
        conditions.texts.push("e.deliveries = 0 AND e.kind <> 'test' AND e.erased_at IS NULL".to_owned());
    }
    if filter.duplicates {
        conditions.texts.push("e.duplicates > 0".to_owned());
    }
    if let Some(deliveries) = delivery_condition(&mut conditions, filter) {
        // With an offset it is asked of each event; the server would otherwise turn it into a join, and read all deliveries for some events.
        conditions.texts.push(format!("EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND {deliveries} OFFSET 0)"));
    }
    conditions
}

/// What a delivery of the event must be; `None` when it may be any.
fn delivery_condition(conditions: &mut Conditions, filter: &EventFilter) -> Option<String> {
    // Written out, so that the indexes of single states are used.
    let state = filter.state.map(|state| format!("d.state = {}", state.number()));
    let name = filter.destination.as_deref().map(text);
    let to = name.map(|name| format!("d.destination = (SELECT id FROM destination WHERE name = {})", conditions.bind(name)));
    let both: Vec<String> = [state, to].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join(" AND "))
}

/// The places of all events of a kind that has an index of its own, rising; `None` when there are too many, or no such kind is wanted.
async fn read_among(client: &impl GenericClient, filter: &EventFilter) -> Result<Option<Vec<i64>>> {
    let mut queries = Vec::new();
    // What is delivered is most of all, and has no index but that of its destination.
    let told = EventFilter { state: filter.state.filter(|state| *state != State::Delivered), ..filter.clone() };
    let mut conditions = Conditions::default();
    if let Some(condition) = delivery_condition(&mut conditions, &told) {
        let of_all = if told.state.is_none() { " AND d.event > 0 ORDER BY d.event" } else { "" };
        queries.push((format!("SELECT d.event FROM delivery d WHERE {condition}{of_all}"), conditions));
    }
    for (is_wanted, condition) in [(filter.unrouted, "e.deliveries = 0 AND e.kind <> 'test'"), (filter.duplicates, "e.duplicates > 0")] {
        if is_wanted {
            queries.push((format!("SELECT e.seq FROM event e WHERE {condition}"), Conditions::default()));
        }
    }
    let mut among: Option<Vec<i64>> = None;
    for (sql, conditions) in queries {
        let rows = conditions.query(client, &format!("{sql} LIMIT {}", MAX_AMONG + 1)).await?;
        if rows.len() > MAX_AMONG {
            continue;
        }
        let mut places = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>>>()?;
        places.sort_unstable();
        places.dedup();
        if let Some(among) = &among {
            places.retain(|place| among.binary_search(place).is_ok());
        }
        among = Some(places);
    }
    Ok(among)
}

/// The place before which events are listed.
async fn read_before(client: &impl GenericClient, before: Option<Uuid>) -> Result<i64> {
    let Some(id) = before else { return Ok(i64::MAX) };
    // One that was removed since has left a gap between those that were received before and after it.
    let sql = "SELECT seq + (id <> $1)::INT FROM event WHERE id <= $1 ORDER BY id DESC LIMIT 1";
    query_opt(client, sql, &[&id]).await?.map_or(Ok(i64::MIN), |row| column(&row, 0))
}

async fn search(mut client: Object, filter: &EventFilter, query: &Query) -> Result<Vec<EventRow>> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    let bounds = Bounds {
        before: read_before(&snapshot, filter.before).await?,
        since: filter.since.map(micros),
        until: filter.until.map(micros),
        among: read_among(&snapshot, filter).await?,
        limit: filter.limit as usize,
    };
    let pages = Pages { client: &snapshot, conditions: event_conditions(filter) };
    let found = find(&pages, query, &bounds).await?;
    read_rows(&snapshot, found).await
}

/// The database as a search sees it.
struct Pages<'a> {
    client: &'a Transaction<'a>,
    conditions: Conditions,
}

const EVENT: &str = "SELECT e.seq, e.body, e.duplicates, e.erased_at, e.receipt FROM event e";

/// Of each stretch the page that a word would be on, and those after it up to another word.
const PAGES: &str = "SELECT s.id, p.body FROM unnest($1::BIGINT[]) AS s(id) CROSS JOIN LATERAL (
        (SELECT body FROM search_page WHERE stretch = s.id AND first <= $2 ORDER BY first DESC LIMIT 1)
        UNION ALL (SELECT body FROM search_page WHERE stretch = s.id AND first > $2 AND first < $3)) p";

impl Shelf for Pages<'_> {
    async fn stretches(&self) -> Result<Vec<Stretch>> {
        index::read_stretches(self.client).await
    }

    async fn pages(&self, stretches: &[i64], low: &[u8], high: &[u8]) -> Result<Vec<(i64, Vec<u8>)>> {
        query(self.client, PAGES, &[&stretches, &low, &high]).await?.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
    }

    async fn events(&self, places: Places, limit: usize) -> Result<Vec<Found>> {
        let (n, clause) = (self.conditions.values.len(), self.conditions.clause());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = match &places {
            Places::Between(first, last) => {
                let where_ = format!("e.seq BETWEEN ${} AND ${} AND {clause} ORDER BY e.seq DESC LIMIT ${}", n + 1, n + 2, n + 3);
                self.conditions.query_with(self.client, &format!("{EVENT} WHERE {where_}"), &[first, last, &limit]).await?
            }
            Places::Among(places) => {
                let where_ = format!("e.seq = ANY(${}) AND {clause} ORDER BY e.seq DESC LIMIT ${}", n + 1, n + 2);
                self.conditions.query_with(self.client, &format!("{EVENT} WHERE {where_}"), &[places, &limit]).await?
            }
        };
        rows.iter().map(read_found).collect()
    }
}

fn read_found(row: &Row) -> Result<Found> {
    Ok(Found {
        seq: column(row, 0)?,
        body: column(row, 1)?,
        duplicates: column(row, 2)?,
        erased_at: column(row, 3)?,
        receipt: column(row, 4)?,
    })
}

pub(super) fn delivery_conditions(filter: &DeliveryFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.add_states(&filter.states);
    conditions.add("n.name = ?", filter.destination.as_deref().map(text));
    conditions.add("d.state = 5 AND d.cause = ?", filter.cause.as_deref().map(|cause| text(to_kept(cause))));
    conditions.add("e.received_at >= ?", filter.since.map(micros));
    conditions
}

async fn read_events(client: &impl GenericClient, mut conditions: Conditions, limit: u32) -> Result<Vec<EventRow>> {
    let limit = conditions.bind(i64::from(limit));
    let sql = format!("{EVENT} WHERE {} ORDER BY e.id DESC LIMIT {limit}", conditions.clause());
    let rows = conditions.query(client, &sql).await?;
    read_rows(client, rows.iter().map(read_found).collect::<Result<_>>()?).await
}

/// The events, and what was made of each.
async fn read_rows(client: &impl GenericClient, found: Vec<Found>) -> Result<Vec<EventRow>> {
    let seqs: Vec<i64> = found.iter().map(|found| found.seq).collect();
    let mut deliveries = read_deliveries(client, &seqs).await?;
    let read = |Found { seq, body, duplicates, erased_at, receipt }| {
        let event =
            serde_json::from_str(&body).map_err(|error| Error::Refused(format!("the stored event {seq} cannot be read: {error}")))?;
        let receipt = receipt.as_deref().and_then(Receipt::from_text);
        let deliveries = deliveries.remove(&seq).unwrap_or_default();
        Ok(EventRow { event, duplicates, erased_at: erased_at.map(moment), receipt, deliveries })
    };
    found.into_iter().map(read).collect()
}

/// The deliveries of each of these events.
async fn read_deliveries(client: &impl GenericClient, seqs: &[i64]) -> Result<HashMap<i64, Vec<DeliveryRow>>> {
    let sql = format!("SELECT {DELIVERY_COLUMNS}, d.event FROM {DELIVERY_TABLES} WHERE d.event = ANY($1) ORDER BY d.event, d.destination");
    let mut found: HashMap<i64, Vec<DeliveryRow>> = HashMap::new();
    for row in query(client, &sql, &[&seqs]).await? {
        found.entry(column(&row, 10)?).or_default().push(read_delivery(&row)?);
    }
    Ok(found)
}

async fn read_attempts(client: &impl GenericClient, seq: i64) -> Result<Vec<(String, AttemptRow)>> {
    let sql = "SELECT n.name, a.at, a.duration_ms, a.outcome, a.kind, a.status, a.code, a.message, a.excerpt
         FROM attempt a JOIN destination n ON n.id = a.destination WHERE a.event = $1 ORDER BY a.at, a.destination";
    query(client, sql, &[&seq]).await?.iter().map(read_attempt).collect()
}

fn read_attempt(row: &Row) -> Result<(String, AttemptRow)> {
    let attempt = AttemptRow {
        at: moment(column(row, 1)?),
        duration_ms: column(row, 2)?,
        outcome: column(row, 3)?,
        kind: column(row, 4)?,
        status: column::<Option<i64>>(row, 5)?.and_then(|status| u16::try_from(status).ok()),
        code: column(row, 6)?,
        message: column(row, 7)?,
        excerpt: column(row, 8)?,
    };
    Ok((column(row, 0)?, attempt))
}

async fn read_steps(client: &impl GenericClient, seq: i64) -> Result<Vec<(String, String, String)>> {
    let sql = "SELECT n.name, s.name, s.remote_id FROM step s JOIN destination n ON n.id = s.destination
         WHERE s.event = $1 ORDER BY n.name COLLATE \"C\", s.name COLLATE \"C\"";
    query(client, sql, &[&seq]).await?.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn every_value_is_bound() {
        let hostile = "' OR 1=1 --".to_owned();
        let some = || Some(hostile.clone());
        let filter = EventFilter {
            email: some(),
            session: some(),
            source: some(),
            kind: some(),
            phone: Some("12".into()),
            ..EventFilter::default()
        };
        let conditions = event_conditions(&filter);
        assert!(!conditions.clause().contains("OR 1=1") && !conditions.clause().contains('?'), "{}", conditions.clause());
        assert_eq!(conditions.values.len(), 6);
    }
}
