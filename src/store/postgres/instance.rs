//! The bridges on one database: who is alive, and who takes over from whom.
//!
//! Each bridge raises a number of its own every few seconds. Whoever sees a number stand still for [`STILL`], while its own sign of
//! life went through all that time, takes over what that bridge had leased. Only spans that one process measured by its own steady
//! clock count, so that no jump of any wall clock, and no outage of the server, makes anybody look dead. A bridge that could not give
//! its sign of life for [`VALID`] starts nothing that it has leased: others may have it.

use super::hold::pull_in;
use super::signal::Tasks;
use super::{Postgres, Shared, column, micros, query_opt};
use crate::store::{DeliveryKey, DestinationId, Error, INTERRUPTED, Lease, Leased, Result};
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::{Client, GenericClient};

/// How often a bridge gives its sign of life.
const EVERY: Duration = Duration::from_secs(3);
/// How long leases may be used after the last sign of life was sent.
const VALID: Duration = Duration::from_secs(8);
/// How long a number stands still before its bridge counts as dead. Longer than [`VALID`].
const STILL: Duration = Duration::from_secs(9);
/// After so many signs of life, leases that nobody works on are looked for.
const SWEEP_EVERY: u32 = 4;
/// A shorter silence of all bridges is no absence.
const SILENCE_US: i64 = 15_000_000;
/// A difference to the server's clock that grew by less says nothing: asking takes time, and clocks are slowed down to be set right.
const LEAST_SET_BACK_US: i64 = 2_000_000;

/// This process among the bridges.
#[derive(Default)]
pub(super) struct Membership {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    id: Option<i64>,
    valid_until: Option<Instant>,
    /// What is leased and in memory, with the number of the lease.
    held: HashMap<DeliveryKey, i64>,
    /// What an attempt was begun for, also when the lease was lost since.
    running: HashSet<DeliveryKey>,
}

/// Gives its sign of life until it is dropped.
#[derive(Debug)]
pub(in crate::store) struct Member {
    _tasks: Tasks,
}

impl Membership {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of this bridge; `None` in a command.
    pub(super) fn id(&self) -> Option<i64> {
        self.lock().id
    }

    /// The same, if its leases are good at this moment.
    pub(super) fn live_id(&self) -> Option<i64> {
        let state = self.lock();
        state.id.filter(|_| state.is_valid())
    }

    /// The first of the rows of the ledger that this process adds to: one for receiving, one for settling, one for the rest.
    pub(super) fn slot(&self) -> i64 {
        self.id().unwrap_or_default() % 32 * 4
    }

    /// Whether this delivery is still this process's to start. If so, it counts as running until it is let go.
    pub(super) fn may_start(&self, leased: &Leased) -> bool {
        let mut state = self.lock();
        let is_ours = state.is_valid() && state.held.get(&leased.key) == Some(&leased.lease);
        if is_ours {
            state.running.insert(leased.key);
        }
        is_ours
    }

    /// Notes what was leased under this number, since that moment. False when the number is no longer that of this bridge, or when it
    /// took so long that the leases may be another's by now.
    pub(super) fn hold(&self, id: i64, began_at: Instant, leases: impl Iterator<Item = Lease>) -> bool {
        let mut state = self.lock();
        let is_ours = state.id == Some(id) && began_at.elapsed() < VALID;
        if is_ours {
            state.held.extend(leases.map(|lease| (lease.key, lease.number)));
        }
        is_ours
    }

    /// This lease is over, and no attempt of it runs.
    pub(super) fn let_go(&self, lease: Lease) {
        let mut state = self.lock();
        if state.held.get(&lease.key) == Some(&lease.number) {
            state.held.remove(&lease.key);
        }
        state.running.remove(&lease.key);
    }

    /// Whether a delivery of this event is leased and in memory, or running.
    pub(super) fn knows(&self, event: i64) -> bool {
        let state = self.lock();
        state.held.keys().chain(&state.running).any(|key| key.event == event)
    }

    /// Deliveries to this destination whose attempts run although their lease was lost.
    pub(super) fn running(&self, destination: DestinationId) -> Vec<i64> {
        let state = self.lock();
        let is_lost = |key: &&DeliveryKey| key.destination == destination && !state.held.contains_key(key);
        state.running.iter().filter(is_lost).map(|key| key.event).collect()
    }

    fn become_member(&self, id: i64, sent_at: Instant) {
        let mut state = self.lock();
        state.id = Some(id);
        state.valid_until = Some(sent_at + VALID);
        state.held.clear();
    }

    fn extend(&self, sent_at: Instant) {
        self.lock().valid_until = Some(sent_at + VALID);
    }

    fn leave(&self) -> Option<i64> {
        let mut state = self.lock();
        state.held.clear();
        state.id.take()
    }

    /// Those of these leases that are in nobody's memory.
    fn unheld(&self, leases: HashSet<(Lease, i64)>) -> HashSet<(Lease, i64)> {
        let state = self.lock();
        let is_held = |(lease, by): &(Lease, i64)| state.id == Some(*by) && state.held.get(&lease.key) == Some(&lease.number);
        leases.into_iter().filter(|lease| !is_held(lease)).collect()
    }
}

impl State {
    fn is_valid(&self) -> bool {
        self.valid_until.is_some_and(|until| Instant::now() < until)
    }
}

/// Joins the bridges on this database and starts to give the sign of life.
pub(super) async fn join(shared: &Arc<Shared>) -> Result<Member> {
    let listening = shared.signals.start(shared.target.clone(), shared.pool.clone());
    let sent_at = Instant::now();
    let mut client = shared.connection().await?;
    register(&client, shared, sent_at).await?;
    let transaction = client.transaction().await?;
    follow_clock(&transaction, shared.membership.id()).await?;
    credit_silence(&*transaction).await?;
    end_interrupted(&*transaction).await?;
    transaction.commit().await?;
    let beating = Tasks::one(tokio::spawn(beat_for_ever(Arc::downgrade(shared))));
    Ok(Member { _tasks: listening.and(beating) })
}

async fn register(client: &Client, shared: &Shared, sent_at: Instant) -> Result<()> {
    let name = format!("{}:{}", std::env::var("HOSTNAME").unwrap_or_default(), std::process::id());
    let row = client.query_one("INSERT INTO instance (name) VALUES ($1) RETURNING id", &[&name]).await?;
    shared.membership.become_member(column(&row, 0)?, sent_at);
    Ok(())
}

impl Postgres {
    /// The sign of life has its own rhythm.
    #[expect(clippy::unused_async, reason = "the other engine writes here")]
    pub(in crate::store) async fn beat(&self, _now: Timestamp) -> Result<()> {
        Ok(())
    }

    pub(in crate::store) async fn sign_off(&self, _now: Timestamp) -> Result<()> {
        let Some(id) = self.shared.membership.leave() else { return Ok(()) };
        self.run_now(move |client| async move {
            credit_silence(&**client).await?;
            let sql = "WITH gone AS (DELETE FROM instance WHERE id = $1)
                 UPDATE delivery SET state = 0, leased_by = NULL WHERE state = 1 AND leased_by = $1";
            client.execute(sql, &[&id]).await?;
            end_interrupted(&**client).await?;
            Ok(client.execute("SELECT pg_notify('leadwire', '')", &[]).await.map(drop)?)
        })
        .await
    }
}

/// What this bridge has seen of the others.
#[derive(Default)]
struct Watch {
    /// Their numbers, and since when they stand still.
    seen: HashMap<i64, (i64, Instant)>,
    beats: u32,
    /// Leases that were in nobody's memory at the last sweep, and whose they are.
    suspects: HashSet<(Lease, i64)>,
}

impl Watch {
    /// Takes what was read at this moment. Returns those that stood still for too long, with their numbers.
    fn note(&mut self, read: &[(i64, i64)], now: Instant) -> Vec<(i64, i64)> {
        let known = std::mem::take(&mut self.seen);
        let since = |id: &i64, beat: &i64| known.get(id).filter(|(last, _)| last == beat).map_or(now, |(_, since)| *since);
        self.seen = read.iter().map(|(id, beat)| (*id, (*beat, since(id, beat)))).collect();
        read.iter().filter(|(id, _)| self.seen.get(id).is_some_and(|(_, since)| now - *since >= STILL)).copied().collect()
    }
}

async fn beat_for_ever(shared: Weak<Shared>) {
    let mut watch = Watch::default();
    loop {
        let Some(shared) = shared.upgrade() else { return };
        let sent_at = Instant::now();
        let result = match tokio::time::timeout(EVERY, beat(&shared, &mut watch, sent_at)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Unavailable("PostgreSQL does not answer".to_owned())),
        };
        if let Err(error) = result {
            // Who was not seen cannot be said to stand still.
            watch.seen.clear();
            shared.signals.hang_up();
            tracing::warn!("no sign of life to the other bridges: {error}");
        }
        drop(shared);
        tokio::time::sleep_until(sent_at + EVERY).await;
    }
}

async fn beat(shared: &Arc<Shared>, watch: &mut Watch, sent_at: Instant) -> Result<()> {
    let Some(id) = shared.membership.id() else { return Ok(()) };
    let client = shared.signals.wire()?;
    if client.execute("UPDATE instance SET beat = beat + 1, beat_at = now() WHERE id = $1", &[&id]).await? == 0 {
        tracing::warn!("the other bridges gave this one up for dead after a silence; it starts anew");
        return register(&client, shared, sent_at).await;
    }
    shared.membership.extend(sent_at);
    credit_silence(&*client).await?;
    let rows = client.query("SELECT id, beat FROM instance WHERE id <> $1", &[&id]).await?;
    let others: Vec<(i64, i64)> = rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect::<Result<_>>()?;
    for (id, beat) in watch.note(&others, Instant::now()) {
        tokio::spawn(take_over(Arc::clone(shared), id, beat));
    }
    watch.beats = watch.beats.wrapping_add(1);
    if watch.beats.is_multiple_of(SWEEP_EVERY) {
        sweep(&client, shared, watch, id).await?;
    }
    Ok(())
}

/// In one statement: of several bridges that see it, one does it, and none if it came back to life. It may have to wait for what the
/// dead one left locked, so the sign of life does not wait for it.
async fn take_over(shared: Arc<Shared>, id: i64, beat: i64) {
    let sql = "WITH gone AS (DELETE FROM instance WHERE id = $1 AND beat = $2 RETURNING id)
         UPDATE delivery SET state = 0, leased_by = NULL WHERE state = 1 AND leased_by IN (SELECT id FROM gone) RETURNING destination";
    let taken = async {
        let client = shared.connection().await?;
        let rows = client.query(sql, &[&id, &beat]).await?;
        end_interrupted(&**client).await?;
        rows.iter().map(|row| Ok(u32::try_from(column::<i64>(row, 0)?).unwrap_or_default())).collect::<Result<Vec<u32>>>()
    };
    match taken.await {
        Ok(taken) => {
            tracing::warn!(instance = id, deliveries = taken.len(), "another bridge is gone; its deliveries are taken over");
            shared.tell_waiting(taken.into_iter().collect::<HashSet<_>>());
        }
        Err(error) => tracing::warn!(instance = id, "another bridge is gone, and what it had leased was not taken over yet: {error}"),
    }
}

/// Frees leases that are in nobody's memory: of bridges that are not there, and of this one, which may have missed the answer to a
/// claim. Two sweeps must find the same lease, since it may just be on its way.
async fn sweep(client: &Client, shared: &Shared, watch: &mut Watch, id: i64) -> Result<()> {
    let sql = "SELECT event, destination, lease, leased_by FROM delivery
         WHERE state = 1 AND (leased_by = $1 OR leased_by NOT IN (SELECT id FROM instance))";
    let mut leases = HashSet::new();
    for row in client.query(sql, &[&id]).await? {
        let destination = u32::try_from(column::<i64>(&row, 1)?).unwrap_or_default();
        let key = DeliveryKey { event: column(&row, 0)?, destination };
        leases.insert((Lease { key, number: column(&row, 2)? }, column(&row, 3)?));
    }
    let suspects = shared.membership.unheld(leases);
    let mut freed: HashSet<u32> = HashSet::new();
    for (Lease { key, number }, by) in suspects.intersection(&watch.suspects) {
        let sql = "UPDATE delivery SET state = 0, leased_by = NULL
             WHERE event = $1 AND destination = $2 AND lease = $3 AND leased_by = $4 AND state = 1";
        client.execute(sql, &[&key.event, &i64::from(key.destination), number, by]).await?;
        freed.insert(key.destination);
    }
    watch.suspects = suspects;
    end_interrupted(client).await?;
    shared.tell_waiting(freed);
    Ok(())
}

/// What a page or a program asked for goes on in the bridge that was asked, and ends with it.
async fn end_interrupted(client: &impl GenericClient) -> Result<()> {
    let sql = "UPDATE action SET ended_at = $1, failure = $2 WHERE ended_at IS NULL AND client IS NOT NULL
         AND (instance IS NULL OR instance NOT IN (SELECT id FROM instance))";
    Ok(client.execute(sql, &[&micros(Timestamp::now()), &INTERRUPTED]).await.map(drop)?)
}

/// What waits must not be late because the clock was set back while no bridge ran: the bridge's, the server's, or that of the machine
/// that both are on. One that runs beside others has seen nothing of the kind: its clock is another one. Those that start at the same
/// time and gave no sign of life yet are no others.
async fn follow_clock(transaction: &Transaction<'_>, id: Option<i64>) -> Result<()> {
    let now = micros(Timestamp::now());
    let sql = "SELECT clock_ahead - ($1 - at) + greatest(0, alive_at - at)
         FROM (SELECT clock_ahead, alive_at, (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT AS at FROM pulse WHERE id = 1 FOR UPDATE) p
         WHERE NOT EXISTS (SELECT 1 FROM instance
             WHERE id <> $2 AND beat > 0 AND beat_at BETWEEN now() - INTERVAL '15 seconds' AND now() + INTERVAL '1 second')";
    let Some(row) = query_opt(transaction, sql, &[&now, &id]).await? else { return Ok(()) };
    let set_back = column::<Option<i64>>(&row, 0)?.unwrap_or_default();
    if set_back <= LEAST_SET_BACK_US {
        return Ok(());
    }
    let seconds = set_back / 1_000_000;
    tracing::warn!(seconds, "the machine's clock was set back while no bridge ran; what waits is due that much earlier");
    pull_in(transaction, set_back, now).await
}

/// The time in which no bridge was in touch with the store does not count for deliveries. What is on hold has that time already.
async fn credit_silence(client: &impl GenericClient) -> Result<()> {
    let sql = "WITH old AS (SELECT alive_at FROM pulse WHERE id = 1 FOR UPDATE),
         now AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT AS at),
         beat AS (UPDATE pulse SET beats = beats + 1, alive_at = (SELECT at FROM now),
             clock_ahead = $2 - (SELECT at FROM now) WHERE id = 1)
         UPDATE destination SET parked_us = parked_us + now.at - old.alive_at FROM old, now
         WHERE hold_since IS NULL AND now.at - old.alive_at > $1";
    Ok(client.execute(sql, &[&SILENCE_US, &micros(Timestamp::now())]).await.map(drop)?)
}
