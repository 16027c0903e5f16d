//! Storing what was received: events and their deliveries, many requests in one transaction.
//!
//! The order per person among instances rests on two things. The unique index `delivery_active` lets one delivery of a person be
//! under way at a destination, so instances that receive for the same person at once meet there, and one waits for the other's
//! commit. And whoever is stored *behind* a delivery has locked that delivery's row, so that it cannot end without seeing who waits.

use super::batch::Job;
use super::connect::collision;
use super::ledger::Tally;
use super::{Postgres, Shared, column, execute, micros, quarantine, query, text};
use crate::failpoint::{self, Commit};
use crate::figures::{StoreFigures, WorkFigures};
use crate::store::{DeliveryKey, DestinationId, Error, Handoff, Leased, NewEvent, Receipt, Received, Result, State, places_for};
use deadpool_postgres::{Object, Transaction};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use tokio::time::Instant;

/// The events of one request, and the quarantined body they come from, if they do.
pub(super) struct Arrival {
    pub(super) events: Arc<[NewEvent]>,
    pub(super) admits: Option<i64>,
}

/// A person at a destination.
pub(super) type Place = (i64, Vec<u8>);

/// Events of whose commit nobody learned, at most.
const MOST_DOUBTS: usize = 16_384;

impl Postgres {
    pub(in crate::store) async fn receive(&self, events: Arc<[NewEvent]>) -> Result<Vec<Received>> {
        self.receiver.send(Arrival { events, admits: None }).await
    }
}

/// An event of the batch.
struct Row<'a> {
    new: &'a NewEvent,
    source: i64,
    /// Its place in the order; `None` for what was received before.
    seq: Option<i64>,
}

/// A delivery of the batch.
struct Birth<'a> {
    new: &'a NewEvent,
    seq: i64,
    destination: DestinationId,
    state: State,
    parked_base_us: i64,
}

impl Birth<'_> {
    fn key(&self) -> (i64, i64) {
        (self.seq, self.destination.into())
    }

    fn place(&self) -> Option<Place> {
        self.new.person_key.map(|person| (self.destination.into(), person.to_vec()))
    }
}

impl Job for Arrival {
    type Reply = Vec<Received>;

    fn figures(figures: &StoreFigures) -> &WorkFigures {
        &figures.receive
    }

    async fn commit(client: &mut Object, shared: &Arc<Shared>, jobs: &[Self]) -> Result<Vec<Vec<Received>>> {
        let (began_at, mut rows) = (Instant::now(), read_rows(shared, jobs)?);
        let member = shared.membership.id();
        let transaction = client.transaction().await?;
        let places = places(jobs);
        let (ahead, seqs) = tokio::try_join!(lock_ahead(&transaction, &places), number(&transaction, &rows))?;
        rows.iter_mut().zip(seqs).for_each(|(row, seq)| row.seq = seq);
        let ours = take_back(&transaction, shared, &rows).await?;
        let mut entered = Entered { shared, places: HashMap::new() };
        let mut births = prepare_births(shared, &rows, member, ahead, &mut entered);
        let tally = tally(&rows, &births);
        tokio::try_join!(
            insert_events(&transaction, &rows),
            insert_deliveries(&transaction, &mut births, member),
            remove_admitted(&transaction, jobs)
        )?;
        // After the insert: an event of this batch may be repeated in it.
        count_repeated(&transaction, &rows, &ours).await?;
        tally.write(&transaction, shared.membership.slot()).await?;
        let new: HashSet<uuid::Uuid> = rows.iter().filter(|row| row.seq.is_some()).map(|row| row.new.event.id).collect();
        failpoint::reach(Commit::Receive.before()).await?;
        // Before the commit: its answer may never be waited for.
        shared.note_doubt(&new);
        let committed = transaction.commit().await.map_err(|error| (error.as_db_error().is_none(), error.into()));
        let committed = match committed {
            Ok(()) => failpoint::reach(Commit::Receive.after()).await.map_err(|struck| (true, struck.into())),
            failed => failed,
        };
        if let Err((is_in_doubt, error)) = committed {
            if !is_in_doubt {
                shared.settle_doubt(&new);
            }
            return Err(error);
        }
        shared.settle_doubt(&new);
        shared.settle_doubt(&ours);
        hand_off(shared, &births, member, began_at, &mut entered);
        Ok(answers(jobs, &rows, &ours))
    }
}

fn answers(jobs: &[Arrival], rows: &[Row<'_>], ours: &HashSet<uuid::Uuid>) -> Vec<Vec<Received>> {
    let is_new = |row: &Row<'_>| row.seq.is_some() || ours.contains(&row.new.event.id);
    let mut outcomes = rows.iter().map(|row| if is_new(row) { Received::New } else { Received::Duplicate });
    jobs.iter().map(|job| outcomes.by_ref().take(job.events.len()).collect()).collect()
}

fn read_rows<'a>(shared: &Shared, jobs: &'a [Arrival]) -> Result<Vec<Row<'a>>> {
    let names = shared.names.now();
    let row = |new: &'a NewEvent| {
        let source = names.sources.get(&new.event.source).copied();
        let source = source.ok_or_else(|| Error::Refused(format!("the source {} is not registered", new.event.source)))?;
        Ok(Row { new, source, seq: None })
    };
    jobs.iter().flat_map(|job| job.events.iter()).map(row).collect()
}

/// Whose deliveries these events may have to wait behind. Sources that are not known have been refused.
fn places(jobs: &[Arrival]) -> HashSet<Place> {
    let of = |new: &NewEvent| {
        let person = new.person_key.map(|person| person.to_vec());
        new.destinations.iter().filter_map(move |destination| Some((i64::from(*destination), person.clone()?))).collect::<Vec<_>>()
    };
    jobs.iter().flat_map(|job| job.events.iter()).flat_map(of).collect()
}

/// The place in the order of receipt of every event that is new. What was received before, also within this batch, gets none.
async fn number(transaction: &Transaction<'_>, rows: &[Row<'_>]) -> Result<Vec<Option<i64>>> {
    let (sources, keys) = content(rows.iter());
    let sql = "INSERT INTO content (source, content_key, event)
         SELECT s, k, nextval('event_seq') FROM unnest($1::BIGINT[], $2::BYTEA[]) WITH ORDINALITY AS t(s, k, place) ORDER BY place
         ON CONFLICT (source, content_key) DO NOTHING RETURNING source, content_key, event";
    let mut numbered: HashMap<(i64, Vec<u8>), i64> = HashMap::new();
    for row in query(transaction, sql, &[&sources, &keys]).await? {
        numbered.insert((column(&row, 0)?, column(&row, 1)?), column(&row, 2)?);
    }
    Ok(rows.iter().map(|row| numbered.remove(&(row.source, row.new.content_key.to_vec()))).collect())
}

fn content<'a, 'b: 'a>(rows: impl Iterator<Item = &'a Row<'b>>) -> (Vec<i64>, Vec<&'a [u8]>) {
    rows.map(|row| (row.source, row.new.content_key.as_slice())).unzip()
}

/// What this process committed before without learning of it is no repetition: its ids are returned, and its deliveries, which no lane
/// was told of, wait again.
async fn take_back(transaction: &Transaction<'_>, shared: &Shared, rows: &[Row<'_>]) -> Result<HashSet<uuid::Uuid>> {
    let repeated = rows.iter().filter(|row| row.seq.is_none()).map(|row| row.new.event.id);
    let ids: Vec<uuid::Uuid> = shared.in_doubt(repeated);
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = query(transaction, "SELECT id, seq FROM event WHERE id = ANY($1::UUID[])", &[&ids]).await?;
    let found: Vec<(uuid::Uuid, i64)> = rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect::<Result<_>>()?;
    // Those that were swept up and leased again are in good hands.
    let events: Vec<i64> = found.iter().map(|(_, seq)| *seq).filter(|seq| !shared.membership.knows(*seq)).collect();
    let sql =
        "UPDATE delivery SET state = 0, leased_by = NULL WHERE event = ANY($1::BIGINT[]) AND state = 1 AND leased_by = $2 AND lease = 1";
    execute(transaction, sql, &[&events, &shared.membership.id()]).await?;
    Ok(found.into_iter().map(|(id, _)| id).collect())
}

/// Counts what came again at the first of its kind.
async fn count_repeated(transaction: &Transaction<'_>, rows: &[Row<'_>], ours: &HashSet<uuid::Uuid>) -> Result<()> {
    let repeated = rows.iter().filter(|row| row.seq.is_none() && !ours.contains(&row.new.event.id));
    let (sources, keys) = content(repeated);
    if keys.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE event SET duplicates = duplicates + n.times
         FROM (SELECT c.event, count(*) AS times FROM unnest($1::BIGINT[], $2::BYTEA[]) AS t(s, k)
               JOIN content c ON c.source = t.s AND c.content_key = t.k GROUP BY c.event) n
         WHERE event.seq = n.event";
    execute(transaction, sql, &[&sources, &keys]).await.map(drop)
}

async fn insert_events(transaction: &Transaction<'_>, rows: &[Row<'_>]) -> Result<()> {
    let new: Vec<(&Row<'_>, i64)> = rows.iter().filter_map(|row| Some((row, row.seq?))).collect();
    if new.is_empty() {
        return Ok(());
    }
    let seqs: Vec<i64> = new.iter().map(|(_, seq)| *seq).collect();
    let ids: Vec<uuid::Uuid> = new.iter().map(|(row, _)| row.new.event.id).collect();
    let (sources, keys) = content(new.iter().map(|(row, _)| *row));
    let kinds: Vec<&str> = new.iter().map(|(row, _)| row.new.event.kind.as_str()).collect();
    let received: Vec<i64> = new.iter().map(|(row, _)| micros(row.new.event.received_at)).collect();
    let searchable = |pick: fn(&NewEvent) -> Option<&String>| new.iter().map(|(row, _)| pick(row.new).map(|found| text(found))).collect();
    let emails: Vec<Option<String>> = searchable(|new| new.event.person.email.as_ref());
    let phones: Vec<Option<String>> = searchable(|new| new.event.person.phone.as_ref());
    let sessions: Vec<Option<String>> = searchable(|new| new.event.session_id.as_ref());
    let deliveries: Vec<i64> = new.iter().map(|(row, _)| i64::try_from(row.new.destinations.len()).unwrap_or(i64::MAX)).collect();
    let bodies: Vec<&str> = new.iter().map(|(row, _)| row.new.body.as_str()).collect();
    let receipts: Vec<Option<String>> = new.iter().map(|(row, _)| row.new.receipt.map(Receipt::to_text)).collect();
    let sql = "INSERT INTO event (seq, id, source, content_key, kind, received_at, email, phone, session_id, deliveries, body, receipt)
         SELECT * FROM unnest($1::BIGINT[], $2::UUID[], $3::BIGINT[], $4::BYTEA[], $5::TEXT[], $6::BIGINT[], $7::TEXT[], $8::TEXT[],
             $9::TEXT[], $10::BIGINT[], $11::TEXT[], $12::TEXT[])";
    let values: super::Params<'_> =
        &[&seqs, &ids, &sources, &keys, &kinds, &received, &emails, &phones, &sessions, &deliveries, &bodies, &receipts];
    execute(transaction, sql, values).await.map(drop)
}

/// Places that were taken in lanes; given back when dropped, unless the deliveries were handed over.
struct Entered<'a> {
    shared: &'a Shared,
    places: HashMap<DestinationId, u32>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let lanes = self.shared.lanes.read().unwrap_or_else(PoisonError::into_inner);
        for (destination, places) in &self.places {
            if let Some(lane) = lanes.get(destination) {
                lane.room.leave(*places);
            }
        }
    }
}

/// What is behind a delivery of the same person is blocked. A large event waits in the store, where it takes no memory, until its lane
/// has room for it.
fn prepare_births<'a>(
    shared: &Shared,
    rows: &[Row<'a>],
    member: Option<i64>,
    mut ahead: HashSet<Place>,
    entered: &mut Entered<'_>,
) -> Vec<Birth<'a>> {
    let lanes = shared.lanes.read().unwrap_or_else(PoisonError::into_inner);
    let mut births = Vec::new();
    for (row, seq) in rows.iter().filter_map(|row| Some((row, row.seq?))) {
        let is_small = places_for(row.new.body.len()) == 1;
        for destination in row.new.destinations.iter().copied() {
            let mut birth = Birth { new: row.new, seq, destination, state: State::Waiting, parked_base_us: 0 };
            if birth.place().is_some_and(|place| !ahead.insert(place)) {
                birth.state = State::Blocked;
            } else if member.is_some() && is_small && lanes.get(&destination).is_some_and(|lane| lane.room.try_enter()) {
                *entered.places.entry(destination).or_default() += 1;
                birth.state = State::Leased;
            }
            births.push(birth);
        }
    }
    births
}

fn tally(rows: &[Row<'_>], births: &[Birth<'_>]) -> Tally {
    let mut tally = Tally::default();
    rows.iter().filter(|row| row.seq.is_some()).for_each(|row| tally.add_received(row.source, row.new.body.len()));
    births.iter().for_each(|birth| tally.add_created(birth.destination));
    tally
}

/// One that finds its person under way although nobody was ahead met another transaction: all is done again, with that one ahead.
async fn insert_deliveries(transaction: &Transaction<'_>, births: &mut [Birth<'_>], member: Option<i64>) -> Result<()> {
    if births.is_empty() {
        return Ok(());
    }
    let events: Vec<i64> = births.iter().map(|birth| birth.seq).collect();
    let destinations: Vec<i64> = births.iter().map(|birth| birth.destination.into()).collect();
    let states: Vec<i64> = births.iter().map(|birth| birth.state.number()).collect();
    let persons: Vec<Option<&[u8]>> = births.iter().map(|birth| birth.new.person_key.as_ref().map(<[u8; 16]>::as_slice)).collect();
    let received: Vec<i64> = births.iter().map(|birth| micros(birth.new.event.received_at)).collect();
    let sql = "INSERT INTO delivery (event, destination, state, person, not_before, clock_start, parked_base, leased_by, lease)
         SELECT t.e, t.d, t.s, t.p, t.at, t.at, n.parked_us + CASE WHEN n.hold_since IS NULL THEN 0 ELSE greatest(0, t.at - n.hold_since) END,
             CASE WHEN t.s = 1 THEN $6::BIGINT END, CASE WHEN t.s = 1 THEN 1 ELSE 0 END
         FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BYTEA[], $5::BIGINT[]) AS t(e, d, s, p, at)
         JOIN destination n ON n.id = t.d ORDER BY t.d, t.p, t.e
         ON CONFLICT DO NOTHING RETURNING event, destination, parked_base";
    let mut born: HashMap<(i64, i64), i64> = HashMap::new();
    for row in query(transaction, sql, &[&events, &destinations, &states, &persons, &received, &member]).await? {
        born.insert((column(&row, 0)?, column(&row, 1)?), column(&row, 2)?);
    }
    for birth in births {
        birth.parked_base_us = born.remove(&birth.key()).ok_or_else(|| collision("a delivery of the same person came first"))?;
    }
    Ok(())
}

/// The persons that are under way at this moment, locked there until this transaction ends. Whoever locks several does it in this
/// order, and before it writes anything that others wait for. The first that waits behind is locked too: when the one ahead ends while
/// it is waited for, that one is ahead.
pub(super) async fn lock_ahead(transaction: &Transaction<'_>, places: &HashSet<Place>) -> Result<HashSet<Place>> {
    if places.is_empty() {
        return Ok(HashSet::new());
    }
    let mut places: Vec<(i64, &[u8])> = places.iter().map(|(destination, person)| (*destination, person.as_slice())).collect();
    places.sort_unstable();
    let (destinations, persons): (Vec<i64>, Vec<&[u8]>) = places.into_iter().unzip();
    // Each is looked up and locked by itself, in the order of the arrays: a join could be planned as a walk over the whole table. The
    // lock is taken by the key alone, because the row may be of another state by the time that it is ours.
    let sql = "SELECT d.destination, d.person FROM unnest($1::BIGINT[], $2::BYTEA[]) AS t(destination, person)
         CROSS JOIN LATERAL (
             (SELECT a.event FROM delivery a WHERE a.destination = t.destination AND a.person = t.person AND a.state < 2 LIMIT 1)
             UNION ALL
             (SELECT b.event FROM delivery b WHERE b.destination = t.destination AND b.person = t.person AND b.state = 2
              ORDER BY b.event LIMIT 1)) c
         CROSS JOIN LATERAL (
             SELECT x.destination, x.person FROM delivery x
             WHERE x.event = c.event AND x.destination = t.destination AND x.state < 3 FOR UPDATE) d";
    let rows = query(transaction, sql, &[&destinations, &persons]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

async fn remove_admitted(transaction: &Transaction<'_>, jobs: &[Arrival]) -> Result<()> {
    for id in jobs.iter().filter_map(|job| job.admits) {
        quarantine::remove(transaction, id).await?;
    }
    Ok(())
}

/// After the commit: leased deliveries go to their lanes, and lanes learn of waiting ones.
fn hand_off(shared: &Shared, births: &[Birth<'_>], member: Option<i64>, began_at: Instant, entered: &mut Entered<'_>) {
    let is_leased = |birth: &Birth<'_>| birth.state == State::Leased;
    let waiting: HashSet<DestinationId> =
        births.iter().filter(|birth| birth.state == State::Waiting).map(|birth| birth.destination).collect();
    let leased: Vec<Leased> = births.iter().filter(|birth| is_leased(birth)).map(lease).collect();
    // An instance that was given up for dead in the meantime owns nothing any more: others free what it stored as its own.
    if member.is_some_and(|id| shared.membership.hold(id, began_at, leased.iter().map(Leased::lease))) {
        let lanes = shared.lanes.read().unwrap_or_else(PoisonError::into_inner);
        for leased in leased {
            entered.places.entry(leased.key.destination).and_modify(|places| *places -= 1);
            if let Some(lane) = lanes.get(&leased.key.destination) {
                let _ = lane.inbox.send(Handoff::Leased(leased));
            }
        }
    }
    shared.tell_waiting(waiting);
}

fn lease(birth: &Birth<'_>) -> Leased {
    Leased {
        key: DeliveryKey { event: birth.seq, destination: birth.destination },
        event: Arc::clone(&birth.new.event),
        person_key: birth.new.person_key,
        attempts: 0,
        clock_start: birth.new.event.received_at,
        parked_base_us: birth.parked_base_us,
        steps: Vec::new(),
        places: 1,
        lease: 1,
    }
}

impl Shared {
    /// From now until an answer comes, nobody knows whether these are committed.
    fn note_doubt(&self, ids: &HashSet<uuid::Uuid>) {
        let mut doubts = self.lock_doubts();
        // Those that nobody asks about again are not kept for ever.
        if doubts.len() > MOST_DOUBTS {
            doubts.clear();
        }
        doubts.extend(ids);
    }

    /// An answer came.
    fn settle_doubt(&self, ids: &HashSet<uuid::Uuid>) {
        let mut doubts = self.lock_doubts();
        ids.iter().for_each(|id| {
            doubts.remove(id);
        });
    }

    /// Those of these events whose commit nobody learned of.
    fn in_doubt(&self, ids: impl Iterator<Item = uuid::Uuid>) -> Vec<uuid::Uuid> {
        let doubts = self.lock_doubts();
        if doubts.is_empty() { Vec::new() } else { ids.filter(|id| doubts.contains(id)).collect() }
    }

    fn lock_doubts(&self) -> std::sync::MutexGuard<'_, HashSet<uuid::Uuid>> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
