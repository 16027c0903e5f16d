//! Ending leases, many in one transaction.

use super::batch::Job;
use super::ledger::Tally;
use super::{Params, Postgres, Shared, column, execute, micros, person, query, text};
use crate::failpoint::{self, Commit};
use crate::figures::{StoreFigures, WorkFigures};
use crate::store::cause::cause;
use crate::store::{DestinationId, Error, Lease, Outcome, Result, Settlement, State};
use deadpool_postgres::{Object, Transaction};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What became of one delivery.
pub(super) struct Settling(pub(super) Settlement);

impl Postgres {
    pub(in crate::store) async fn settle(&self, settlement: Settlement) -> Result<()> {
        let lease = Lease { key: settlement.key, number: settlement.lease };
        self.settler.send(Settling(settlement)).await?;
        self.shared.membership.let_go(lease);
        Ok(())
    }
}

/// A delivery that ended just now, for the next of its person.
struct End {
    destination: i64,
    person: Option<Vec<u8>>,
    state: State,
    at: i64,
}

impl Job for Settling {
    type Reply = ();

    fn figures(figures: &StoreFigures) -> &WorkFigures {
        &figures.settle
    }

    async fn commit(client: &mut Object, shared: &Arc<Shared>, jobs: &[Self]) -> Result<Vec<()>> {
        let transaction = client.transaction().await?;
        lock_in_order(&transaction, jobs).await?;
        let ends = end_leases(&transaction, shared.membership.id(), jobs).await?;
        insert_attempts(&transaction, jobs).await?;
        note_arrivals(&transaction, jobs).await?;
        let due = unblock_next(&transaction, &ends).await?;
        let mut tally = Tally::default();
        ends.iter().for_each(|end| tally.add_ended(id(end.destination), end.state, 1));
        tally.write(&transaction, shared.membership.slot() + 1).await?;
        failpoint::reach(Commit::Settle.before()).await?;
        transaction.commit().await?;
        failpoint::reach(Commit::Settle.after()).await?;
        shared.tell_waiting(due);
        Ok(vec![(); jobs.len()])
    }
}

fn id(destination: i64) -> DestinationId {
    DestinationId::try_from(destination).unwrap_or_default()
}

/// Whoever locks deliveries of several persons does it in this order, so that no two wait for each other.
async fn lock_in_order(transaction: &Transaction<'_>, jobs: &[Settling]) -> Result<()> {
    let (events, destinations): (Vec<i64>, Vec<i64>) = jobs.iter().map(|job| (job.0.key.event, i64::from(job.0.key.destination))).unzip();
    let sql = "SELECT 1 FROM delivery d JOIN unnest($1::BIGINT[], $2::BIGINT[]) AS t(event, destination)
         ON d.event = t.event AND d.destination = t.destination ORDER BY d.destination, d.person, d.event FOR UPDATE OF d";
    execute(transaction, sql, &[&events, &destinations]).await.map(drop)
}

/// What was accepted over there is delivered, whoever has the lease by now. Everything else counts only with the lease it came from.
async fn end_leases(transaction: &Transaction<'_>, member: Option<i64>, jobs: &[Settling]) -> Result<Vec<End>> {
    let column_of = |pick: &dyn Fn(&Settlement) -> i64| jobs.iter().map(|job| pick(&job.0)).collect::<Vec<i64>>();
    let text_of = |pick: &dyn Fn(&Settlement) -> Option<&String>| {
        jobs.iter().map(|job| pick(&job.0).map(|found| text(found))).collect::<Vec<Option<String>>>()
    };
    let (events, destinations) = (column_of(&|job| job.key.event), column_of(&|job| job.key.destination.into()));
    let (leases, moments) = (column_of(&|job| job.lease), column_of(&|job| micros(job.at)));
    let states = column_of(&|job| state_of(&job.outcome).number());
    let not_before = column_of(&|job| if let Outcome::Again(again) = &job.outcome { micros(again.not_before) } else { 0 });
    let attempts = column_of(&|job| if let Outcome::Again(again) = &job.outcome { again.attempts.into() } else { 0 });
    let records = text_of(&|job| ended(job)?.record.as_ref().map(|record| &record.id));
    let urls = text_of(&|job| ended(job)?.record.as_ref()?.url.as_ref());
    let remarks = text_of(&|job| match &job.outcome {
        Outcome::Ended(ended) => ended.remark.as_ref(),
        Outcome::Again(_) => job.attempt.as_ref()?.message.as_ref(),
    });
    let causes: Vec<String> = jobs.iter().map(|job| cause_of(&job.0)).collect();
    let sql = "UPDATE delivery d SET state = t.state, leased_by = NULL, cause = t.cause,
             attempts = CASE WHEN t.state = 0 THEN t.attempts ELSE d.attempts + 1 END,
             not_before = CASE WHEN t.state = 0 THEN t.not_before ELSE d.not_before END,
             ended_at = CASE WHEN t.state = 0 THEN NULL ELSE t.at END,
             record_id = coalesce(t.record_id, d.record_id),
             record_url = CASE WHEN t.record_id IS NULL THEN d.record_url ELSE t.record_url END,
             remark = CASE WHEN t.state = 0 THEN coalesce(t.remark, d.remark) ELSE t.remark END
         FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[],
             $8::TEXT[], $9::TEXT[], $10::TEXT[], $12::TEXT[])
             AS t(event, destination, state, lease, at, not_before, attempts, record_id, record_url, remark, cause)
         WHERE d.event = t.event AND d.destination = t.destination
             AND (d.state < 3 AND t.state = 3 AND d.lease >= t.lease OR d.state = 1 AND d.lease = t.lease AND d.leased_by = $11)
         RETURNING d.destination, d.person, d.state, d.ended_at";
    let values: Params<'_> =
        &[&events, &destinations, &states, &leases, &moments, &not_before, &attempts, &records, &urls, &remarks, &member, &causes];
    let mut ends = Vec::new();
    for row in query(transaction, sql, values).await? {
        let state = State::from_number(column(&row, 2)?).unwrap_or(State::Dead);
        if !state.is_pending() {
            ends.push(End { destination: column(&row, 0)?, person: column(&row, 1)?, state, at: column(&row, 3)? });
        }
    }
    Ok(ends)
}

fn state_of(outcome: &Outcome) -> State {
    match outcome {
        Outcome::Ended(ended) => ended.state,
        Outcome::Again(_) => State::Waiting,
    }
}

/// What it died of; nothing when it did not die.
fn cause_of(settlement: &Settlement) -> String {
    if state_of(&settlement.outcome) == State::Dead { cause(settlement.attempt.as_ref()) } else { String::new() }
}

fn ended(settlement: &Settlement) -> Option<&crate::store::Ended> {
    match &settlement.outcome {
        Outcome::Ended(ended) => Some(ended),
        Outcome::Again(_) => None,
    }
}

/// Attempts are kept also when the lease was lost: they happened. Of a person who was erased in the meantime, nothing is.
async fn insert_attempts(transaction: &Transaction<'_>, jobs: &[Settling]) -> Result<()> {
    let told: Vec<_> = jobs.iter().filter_map(|job| Some((job.0.key, job.0.attempt.as_ref()?))).collect();
    if told.is_empty() {
        return Ok(());
    }
    let events: Vec<i64> = told.iter().map(|(key, _)| key.event).collect();
    let destinations: Vec<i64> = told.iter().map(|(key, _)| key.destination.into()).collect();
    let moments: Vec<i64> = told.iter().map(|(_, attempt)| micros(attempt.at)).collect();
    let durations: Vec<i64> = told.iter().map(|(_, attempt)| attempt.duration_ms).collect();
    let outcomes: Vec<&str> = told.iter().map(|(_, attempt)| attempt.outcome.as_str()).collect();
    let kinds: Vec<Option<&String>> = told.iter().map(|(_, attempt)| attempt.kind.as_ref()).collect();
    let statuses: Vec<Option<i64>> = told.iter().map(|(_, attempt)| attempt.status.map(i64::from)).collect();
    let codes: Vec<Option<String>> = told.iter().map(|(_, attempt)| attempt.code.as_deref().map(text)).collect();
    let messages: Vec<Option<String>> = told.iter().map(|(_, attempt)| attempt.message.as_deref().map(text)).collect();
    let excerpts: Vec<Option<String>> = told.iter().map(|(_, attempt)| attempt.excerpt.as_deref().map(text)).collect();
    let sql = "INSERT INTO attempt (event, destination, at, duration_ms, outcome, kind, status, code, message, excerpt)
         SELECT t.* FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[], $8::TEXT[],
             $9::TEXT[], $10::TEXT[]) AS t(event, destination, at, duration_ms, outcome, kind, status, code, message, excerpt)
         JOIN delivery d ON d.event = t.event AND d.destination = t.destination AND d.state <> 6 FOR SHARE OF d
         ON CONFLICT (event, destination, at) DO NOTHING";
    let values: Params<'_> = &[&events, &destinations, &moments, &durations, &outcomes, &kinds, &statuses, &codes, &messages, &excerpts];
    execute(transaction, sql, values).await.map(drop)
}

/// Nothing of an erased person comes back, but the owner must learn what there is to remove at the destination, and connectors are asked
/// to erase again: what an attempt kept after they were asked is still there.
async fn note_arrivals(transaction: &Transaction<'_>, jobs: &[Settling]) -> Result<()> {
    let (events, destinations): (Vec<i64>, Vec<i64>) = jobs.iter().map(|job| (job.0.key.event, i64::from(job.0.key.destination))).unzip();
    let arrived: Vec<Option<String>> = jobs.iter().map(|job| arrived(&job.0)).collect();
    person::reopen(transaction, &events, &destinations, &arrived).await
}

fn arrived(settlement: &Settlement) -> Option<String> {
    let ended = ended(settlement).filter(|ended| ended.state == State::Delivered)?;
    let record = ended.record.as_ref().map(|record| record.url.as_ref().unwrap_or(&record.id).as_str());
    Some(text(record.unwrap_or("delivered")))
}

/// How often persons are looked at again whose next delivery was just ended by another transaction.
const ROUNDS: u32 = 20;

/// The next delivery of each person becomes due, with its whole time before it. Returns the destinations to tell.
///
/// The next one may be ended by another transaction at this very moment, which sees this one's delivery still ahead of it and leaves
/// the rest to us. So this goes on until nobody waits behind nobody.
pub(super) async fn unblock<'a>(
    transaction: &Transaction<'_>,
    persons: impl Iterator<Item = (i64, &'a [u8], i64)>,
) -> Result<HashSet<DestinationId>> {
    let mut places: BTreeMap<(i64, &[u8]), i64> = persons.map(|(destination, person, at)| ((destination, person), at)).collect();
    let mut due = HashSet::new();
    for _ in 0..ROUNDS {
        let stuck = find_stuck(transaction, &places).await?;
        places.retain(|(destination, person), _| stuck.contains(&(*destination, person.to_vec())));
        if places.is_empty() {
            return Ok(due);
        }
        due.extend(make_due(transaction, &places).await?);
    }
    Err(Error::Unavailable("deliveries of the same persons came and went too fast".to_owned()))
}

type Places<'a> = BTreeMap<(i64, &'a [u8]), i64>;

fn split<'a>(places: &Places<'a>) -> (Vec<i64>, Vec<&'a [u8]>) {
    places.keys().copied().unzip()
}

/// Those with a delivery that waits behind nobody.
async fn find_stuck(transaction: &Transaction<'_>, places: &Places<'_>) -> Result<HashSet<(i64, Vec<u8>)>> {
    if places.is_empty() {
        return Ok(HashSet::new());
    }
    let (destinations, persons) = split(places);
    let sql = "SELECT t.destination, t.person FROM unnest($1::BIGINT[], $2::BYTEA[]) AS t(destination, person)
         WHERE (SELECT 1 FROM delivery b WHERE b.destination = t.destination AND b.person = t.person AND b.state = 2 LIMIT 1) IS NOT NULL
             AND (SELECT 1 FROM delivery a WHERE a.destination = t.destination AND a.person = t.person AND a.state < 2 LIMIT 1) IS NULL";
    let rows = query(transaction, sql, &[&destinations, &persons]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

async fn make_due(transaction: &Transaction<'_>, places: &Places<'_>) -> Result<HashSet<DestinationId>> {
    let (destinations, persons) = split(places);
    let moments: Vec<i64> = places.values().copied().collect();
    let sql = "UPDATE delivery d SET state = 0, not_before = least(d.not_before, x.at), clock_start = x.at,
             parked_base = n.parked_us + CASE WHEN n.hold_since IS NULL THEN 0 ELSE greatest(0, x.at - n.hold_since) END
         FROM (SELECT t.at, t.destination, (SELECT min(b.event) FROM delivery b
                   WHERE b.destination = t.destination AND b.person = t.person AND b.state = 2) AS event
               FROM unnest($1::BIGINT[], $2::BYTEA[], $3::BIGINT[]) AS t(destination, person, at)) x
         JOIN destination n ON n.id = x.destination
         WHERE d.event = x.event AND d.destination = x.destination AND d.state = 2 RETURNING d.destination";
    let rows = query(transaction, sql, &[&destinations, &persons, &moments]).await?;
    rows.iter().map(|row| Ok(id(column(row, 0)?))).collect()
}

async fn unblock_next(transaction: &Transaction<'_>, ends: &[End]) -> Result<HashSet<DestinationId>> {
    unblock(transaction, ends.iter().filter_map(|end| Some((end.destination, end.person.as_deref()?, end.at)))).await
}
