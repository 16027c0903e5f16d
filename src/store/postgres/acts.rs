//! What people do, with the trail of it in the same transaction.

use super::connect::collision;
use super::ledger::Tally;
use super::receive::{Place, lock_ahead};
use super::{Params, Postgres, again, column, execute, hold, micros, moment, quarantine, query, query_opt, replay, tell_all, text};
use crate::failpoint::{self, Commit};
use crate::store::acts::read_again;
use crate::store::{Act, ActionFilter, ActionRow, DeliveryKey, DestinationId, Entry, NewAction, Result, Routing, State, Unrouted};
use deadpool_postgres::{GenericClient, Object, Transaction};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio_postgres::Row;
use uuid::Uuid;

/// How many rows were changed, and the destinations that have something due now.
type Changed = (usize, HashSet<DestinationId>);

impl Postgres {
    pub(in crate::store) async fn perform(&self, entry: Entry, act: Act, now: Timestamp) -> Result<usize> {
        let (work, slot) = (Arc::new((entry, act)), self.shared.membership.slot() + 2);
        let (count, due) = again(|| {
            let work = Arc::clone(&work);
            self.run(move |client| async move { perform(client, &work.0, &work.1, now, slot).await })
        })
        .await?;
        self.shared.tell_waiting(due);
        Ok(count)
    }

    pub(in crate::store) async fn begin_action(&self, new: NewAction, now: Timestamp) -> Result<i64> {
        let instance = self.shared.membership.id();
        self.run(move |client| async move { insert(&client, &new, 0, now, Going(instance)).await }).await
    }

    pub(in crate::store) async fn end_action(&self, id: i64, more: usize, failure: Option<String>, now: Timestamp) -> Result<()> {
        self.run(move |client| async move {
            let sql = "UPDATE action SET count = count + $2, ended_at = $3, failure = $4 WHERE id = $1";
            execute(&client, sql, &[&id, &number(more), &micros(now), &failure.as_deref().map(text)]).await.map(drop)
        })
        .await
    }

    pub(in crate::store) async fn forget_again(&self, id: i64) -> Result<()> {
        self.run(move |client| async move { execute(&client, "UPDATE action SET again = NULL WHERE id = $1", &[&id]).await.map(drop) })
            .await
    }

    pub(in crate::store) async fn actions(&self, filter: ActionFilter) -> Result<Vec<ActionRow>> {
        self.run(move |client| async move {
            let sql = "SELECT id, at, who, client, action, target, planned, count, detail, ended_at, failure, again FROM action
                 WHERE ($1::BIGINT IS NULL OR at >= $1) AND ($2::BIGINT IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
            let values: Params<'_> = &[&filter.since.map(micros), &filter.before, &i64::from(filter.limit)];
            query(&client, sql, values).await?.iter().map(read_action).collect()
        })
        .await
    }

    pub(in crate::store) async fn forget_actions(&self, before: Timestamp) -> Result<usize> {
        self.run(move |client| async move {
            let removed = execute(&client, "DELETE FROM action WHERE at < $1", &[&micros(before)]).await?;
            Ok(usize::try_from(removed).unwrap_or(usize::MAX))
        })
        .await
    }

    pub(in crate::store) async fn unrouted_after(&self, after: i64, limit: u32) -> Result<Vec<Unrouted>> {
        self.run(move |client| async move {
            let sql = "SELECT seq, body FROM event WHERE deliveries = 0 AND kind <> 'test' AND erased_at IS NULL AND seq > $1
                 ORDER BY seq LIMIT $2";
            let rows = query(&client, sql, &[&after, &i64::from(limit)]).await?;
            rows.iter().map(|row| Ok(Unrouted { seq: column(row, 0)?, body: column(row, 1)? })).collect()
        })
        .await
    }
}

async fn perform(mut client: Object, entry: &Entry, act: &Act, now: Timestamp, slot: i64) -> Result<Changed> {
    let transaction = client.transaction().await?;
    let (count, due) = match act {
        Act::Hold { destination, reason, until } => park(&transaction, *destination, reason, *until, now).await?,
        Act::Resume { destination } => release(&transaction, *destination, now).await?,
        Act::Replay { keys, from } => replay::revive(&transaction, keys, from, micros(now), slot).await?,
        Act::Discard { keys, remark } => (discard(&transaction, keys, remark, now, slot).await?, HashSet::new()),
        Act::Route { routings } => route(&transaction, routings, now, slot).await?,
        Act::Purge(which) => (quarantine::purge(&transaction, which).await?, HashSet::new()),
    };
    note(&transaction, entry, count, now).await?;
    failpoint::reach(Commit::Other.before()).await?;
    transaction.commit().await?;
    failpoint::reach(Commit::Other.after()).await?;
    Ok((count, due))
}

async fn park(
    transaction: &Transaction<'_>,
    destination: DestinationId,
    reason: &str,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<Changed> {
    let values: Params<'_> = &[&i64::from(destination), &text(reason), &until.map(micros), &micros(now), &true];
    let changed = execute(transaction, hold::PARK, values).await?;
    tell_all(transaction).await?;
    Ok((usize::from(changed == 1), HashSet::new()))
}

async fn release(transaction: &Transaction<'_>, destination: DestinationId, now: Timestamp) -> Result<Changed> {
    let changed = execute(transaction, hold::RELEASE, &[&i64::from(destination), &micros(now), &None::<i64>]).await?;
    tell_all(transaction).await?;
    Ok((usize::from(changed == 1), HashSet::new()))
}

async fn discard(transaction: &Transaction<'_>, keys: &[DeliveryKey], remark: &str, now: Timestamp, slot: i64) -> Result<usize> {
    let mut ended = replay::lock_ended(transaction, keys).await?;
    ended.retain(|one| one.state == State::Dead);
    let events: Vec<i64> = ended.iter().map(|one| one.key.event).collect();
    let destinations: Vec<i64> = ended.iter().map(|one| one.key.destination.into()).collect();
    let sql = "UPDATE delivery d SET state = 4, ended_at = $3, remark = $4, cause = '' FROM unnest($1::BIGINT[], $2::BIGINT[]) AS t(event, destination)
         WHERE d.event = t.event AND d.destination = t.destination";
    execute(transaction, sql, &[&events, &destinations, &micros(now), &text(remark)]).await?;
    let mut tally = Tally::default();
    for one in &ended {
        tally.add_ended(one.key.destination, State::Dead, -1);
        tally.add_ended(one.key.destination, State::Skipped, 1);
    }
    tally.write(transaction, slot).await?;
    Ok(ended.len())
}

/// A delivery that an event is given.
struct Birth {
    event: i64,
    destination: DestinationId,
    person: Option<Vec<u8>>,
}

impl Birth {
    fn place(&self) -> Option<Place> {
        Some((self.destination.into(), self.person.clone()?))
    }
}

/// Persons are locked before events, as receiving does it.
async fn route(transaction: &Transaction<'_>, routings: &[Routing], now: Timestamp, slot: i64) -> Result<Changed> {
    let place = |routing: &Routing, destination: &DestinationId| Some((i64::from(*destination), routing.person_key?.to_vec()));
    let places = routings.iter().flat_map(|routing| routing.destinations.iter().filter_map(|destination| place(routing, destination)));
    let mut ahead = lock_ahead(transaction, &places.collect()).await?;
    let births = find_births(transaction, routings).await?;
    // Of several deliveries of a person, the first goes ahead and the others wait behind it.
    let is_ahead = |birth: &Birth| birth.place().is_none_or(|place| ahead.insert(place));
    let states: Vec<State> = births.iter().map(is_ahead).map(|is_ahead| if is_ahead { State::Waiting } else { State::Blocked }).collect();
    insert_births(transaction, &births, &states, micros(now)).await?;
    let mut tally = Tally::default();
    births.iter().for_each(|birth| tally.add_created(birth.destination));
    tally.write(transaction, slot).await?;
    let is_due = |(birth, state): (&Birth, &State)| (*state == State::Waiting).then_some(birth.destination);
    let due: HashSet<DestinationId> = births.iter().zip(&states).filter_map(is_due).collect();
    if !due.is_empty() {
        tell_all(transaction).await?;
    }
    Ok((births.len(), due))
}

/// What is not there yet, in the order of receipt. The events are locked, so that of two who ask for the same at once, the second finds
/// that it is there.
async fn find_births(transaction: &Transaction<'_>, routings: &[Routing]) -> Result<Vec<Birth>> {
    let ids: Vec<Uuid> = routings.iter().map(|routing| routing.event).collect();
    let sql = "SELECT id, seq FROM event WHERE id = ANY($1::UUID[]) AND erased_at IS NULL ORDER BY seq FOR UPDATE";
    let mut seqs: HashMap<Uuid, i64> = HashMap::new();
    for row in query(transaction, sql, &[&ids]).await? {
        seqs.insert(column(&row, 0)?, column(&row, 1)?);
    }
    let events: Vec<i64> = seqs.values().copied().collect();
    let mut there: HashSet<(i64, i64)> = HashSet::new();
    for row in query(transaction, "SELECT event, destination FROM delivery WHERE event = ANY($1::BIGINT[])", &[&events]).await? {
        there.insert((column(&row, 0)?, column(&row, 1)?));
    }
    let mut births = Vec::new();
    for routing in routings {
        let Some(event) = seqs.get(&routing.event).copied() else { continue };
        let person = routing.person_key.map(|person| person.to_vec());
        let missing = routing.destinations.iter().filter(|destination| there.insert((event, i64::from(**destination))));
        births.extend(missing.map(|destination| Birth { event, destination: *destination, person: person.clone() }));
    }
    births.sort_by_key(|birth| birth.event);
    Ok(births)
}

/// One that finds its person under way although nobody was ahead met another transaction: all is done again, with that one ahead.
async fn insert_births(transaction: &Transaction<'_>, births: &[Birth], states: &[State], now: i64) -> Result<()> {
    let events: Vec<i64> = births.iter().map(|birth| birth.event).collect();
    let destinations: Vec<i64> = births.iter().map(|birth| birth.destination.into()).collect();
    let persons: Vec<Option<&[u8]>> = births.iter().map(|birth| birth.person.as_deref()).collect();
    let states: Vec<i64> = states.iter().map(|state| state.number()).collect();
    let sql = "INSERT INTO delivery (event, destination, state, person, not_before, clock_start, parked_base)
         SELECT t.e, t.d, t.s, t.p, $5::BIGINT, $5, n.parked_us + CASE WHEN n.hold_since IS NULL THEN 0 ELSE greatest(0, $5 - n.hold_since) END
         FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BYTEA[]) AS t(e, d, s, p)
         JOIN destination n ON n.id = t.d ORDER BY t.d, t.p, t.e
         ON CONFLICT DO NOTHING";
    let made = execute(transaction, sql, &[&events, &destinations, &states, &persons, &now]).await?;
    if usize::try_from(made).ok() != Some(births.len()) {
        return Err(collision("a delivery of the same person came first"));
    }
    let sql = "UPDATE event SET deliveries = deliveries + n.made
         FROM (SELECT e, count(*) AS made FROM unnest($1::BIGINT[]) AS t(e) GROUP BY e) n WHERE event.seq = n.e";
    execute(transaction, sql, &[&events]).await.map(drop)
}

/// How an action stands when its line is written.
#[derive(Debug, Clone, Copy)]
enum Standing {
    /// This instance is at it; `None` is a command.
    Going(Option<i64>),
    Done,
}
use Standing::{Done, Going};

async fn note(client: &impl GenericClient, entry: &Entry, count: usize, now: Timestamp) -> Result<()> {
    match entry {
        Entry::New(new) => insert(client, new, count, now, Done).await.map(drop),
        Entry::Ongoing(id) => execute(client, "UPDATE action SET count = count + $2 WHERE id = $1", &[id, &number(count)]).await.map(drop),
    }
}

async fn insert(client: &impl GenericClient, new: &NewAction, count: usize, now: Timestamp, standing: Standing) -> Result<i64> {
    let sql = "INSERT INTO action (at, who, client, action, target, planned, count, detail, ended_at, again, instance)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id";
    let (who, address, target, detail) = (text(&new.who), new.client.as_deref().map(text), text(&new.target), text(&new.detail));
    let (planned, count, again) = (number(new.planned), number(count), new.again_json());
    let (ended_at, instance) = match standing {
        Going(instance) => (None, instance),
        Done => (Some(micros(now)), None),
    };
    let again = again.as_deref().map(text);
    let values: Params<'_> = &[&micros(now), &who, &address, &new.action, &target, &planned, &count, &detail, &ended_at, &again, &instance];
    query_opt(client, sql, values).await?.map_or(Ok(0), |row| column(&row, 0))
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read_action(row: &Row) -> Result<ActionRow> {
    Ok(ActionRow {
        id: column(row, 0)?,
        at: moment(column(row, 1)?),
        who: column(row, 2)?,
        client: column(row, 3)?,
        action: column(row, 4)?,
        target: column(row, 5)?,
        planned: column(row, 6)?,
        count: column(row, 7)?,
        detail: column(row, 8)?,
        ended_at: column::<Option<i64>>(row, 9)?.map(moment),
        failure: column(row, 10)?,
        again: read_again(column::<Option<String>>(row, 11)?.as_deref()),
    })
}
