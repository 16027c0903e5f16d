//! One attempt: the connector's call, bounded in time, and the settlement of its lease.

use super::clock::Clock;
use super::decide::{Attempted, Decision, Policy, decide};
use super::erasure::Forgotten;
use super::lane::{Health, Input};
use super::parked::Parked;
use super::trace;
use crate::failpoint;
use crate::store::{AttemptRow, DeliveryKey, Hold, Leased, Outcome, Room, Settlement, State, Store, delivery_id};
use crate::telemetry::Tracer;
use async_trait::async_trait;
use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::{Connector, Delivery, DeliveryError, ErrorKind, Receipt, StepStore, Steps};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// A connector may make several requests in one attempt, each with its own limit; this bounds them all.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(300);

/// What all attempts of a lane share.
pub(super) struct Bench {
    pub(super) name: String,
    pub(super) connector: Box<dyn Connector>,
    pub(super) policy: Policy,
    pub(super) store: Store,
    pub(super) clock: Arc<Clock>,
    pub(super) inbox: UnboundedSender<Input<Leased>>,
    pub(super) room: Arc<Room>,
    pub(super) forgotten: Forgotten,
    pub(super) parked: Arc<Parked>,
    /// The rate limit and its burst, for the store to count.
    pub(super) per_second: Option<(f64, u32)>,
    pub(super) tracer: Tracer,
}

/// Runs an attempt to its settlement, and tells the lane what it learns as it learns it.
pub(super) async fn run(bench: Arc<Bench>, leased: Leased, probe: bool) {
    if !bench.store.may_start(&leased) {
        return give_up(&bench, &leased, "this bridge was out of touch with the store for too long, and another may have it").await;
    }
    if bench.forgotten.contains(leased.key) {
        return give_up(&bench, &leased, "its person was erased").await;
    }
    let (started_at, began) = (Timestamp::now(), Instant::now());
    let result = call(&bench, &leased).await;
    let (took, now) = (began.elapsed(), bench.clock.now());
    let active_age = now.duration_since(leased.clock_start) - SignedDuration::from_micros(bench.parked.micros() - leased.parked_base_us);
    let decision = decide(&Attempted { result: &result, attempts: leased.attempts, probe, active_age, now }, &bench.policy);
    let (figures, word) = (bench.store.figures().destination(&bench.name), decision.word);
    figures.inspect(|figures| figures.attempt(word, took));
    report(&bench.name, &leased, &result, &decision);
    trace::tell(&bench, &leased, &result, &decision, (started_at, took));
    bench.tell(Input::Finished(decision.health));
    if let Some((reason, until)) = decision.hold.clone() {
        let hold = Hold { reason, since: now, until };
        until_stored(|| bench.store.hold_by_attempt(leased.key.destination, hold.reason.clone(), until, now)).await;
        // Only now: a lane on hold that the store does not know of would look as if a person had released it.
        bench.tell(Input::Held(hold));
    }
    let again_at = match &decision.outcome {
        Outcome::Again(again) => Some(again.not_before),
        Outcome::Ended(_) => None,
    };
    settle(&bench, &leased, &result, decision, started_at, now).await;
    let since_receipt = Duration::try_from(now.duration_since(leased.event.received_at)).unwrap_or_default();
    figures.inspect(|figures| figures.settle(word, since_receipt));
    bench.room.leave(leased.places);
    bench.tell(Input::Settled(again_at));
}

/// The lease may have been lost while the delivery waited in memory, or its person erased. Otherwise it is given back.
async fn give_up(bench: &Bench, leased: &Leased, why: &str) {
    tracing::warn!(destination = bench.name, event = %leased.event.id, "not attempted: {why}");
    bench.tell(Input::Finished(Health::Unknown));
    until_stored(|| bench.store.release(vec![leased.lease()])).await;
    bench.room.leave(leased.places);
    bench.tell(Input::Settled(None));
}

impl Bench {
    fn tell(&self, input: Input<Leased>) {
        // A lane that is gone has stopped with its process.
        let _ = self.inbox.send(input);
    }
}

async fn call(bench: &Bench, leased: &Leased) -> Result<Receipt, DeliveryError> {
    let delivery = Delivery {
        id: delivery_id(leased.event.id, &bench.name),
        destination: bench.name.clone(),
        event: Arc::clone(&leased.event),
        attempt: leased.attempts.saturating_add(1),
    };
    let memory = StoredSteps { store: &bench.store, key: leased.key };
    let mut steps = Steps::new(&memory, leased.steps.iter().cloned());
    let attempt = AssertUnwindSafe(send(bench, &delivery, &mut steps)).catch_unwind();
    match tokio::time::timeout(LONGEST_ATTEMPT, attempt).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(DeliveryError::retry(ErrorKind::Internal, "the connector panicked; this is a bug in it")),
        Err(_) => Err(DeliveryError::retry(ErrorKind::Ambiguous, "the attempt took longer than 5 minutes and was given up")),
    }
}

async fn send(bench: &Bench, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
    let struck = |kind| move |_| DeliveryError::retry(kind, "a failpoint struck");
    failpoint::reach(failpoint::SEND_BEFORE).await.map_err(struck(ErrorKind::Unreachable))?;
    let result = bench.connector.deliver(delivery, steps).await;
    failpoint::reach(failpoint::SEND_AFTER).await.map_err(struck(ErrorKind::Ambiguous))?;
    result
}

struct StoredSteps<'a> {
    store: &'a Store,
    key: DeliveryKey,
}

#[async_trait]
impl StepStore for StoredSteps<'_> {
    async fn save(&self, name: &str, remote_id: &str) -> Result<(), String> {
        // What was made over there is known here only: it is kept at any price, within the time of the attempt.
        until_stored(|| self.store.save_step(self.key, name.to_owned(), remote_id.to_owned())).await;
        Ok(())
    }
}

/// The outcome is known, so it is kept at any price: a delivery that was accepted must not be sent again because the disk was full.
async fn settle(
    bench: &Bench,
    leased: &Leased,
    result: &Result<Receipt, DeliveryError>,
    decision: Decision,
    started_at: Timestamp,
    now: Timestamp,
) {
    let settlement = Settlement {
        key: leased.key,
        lease: leased.lease,
        person_key: leased.person_key,
        attempt: attempt_row(leased, result, decision.word, started_at, now),
        outcome: decision.outcome,
        at: now,
    };
    until_stored(|| async {
        failpoint::reach(failpoint::SETTLE_BEFORE).await?;
        bench.store.settle(settlement.clone()).await?;
        Ok(failpoint::reach(failpoint::SETTLE_AFTER).await?)
    })
    .await;
}

/// Repeats a write until the store takes it.
pub(super) async fn until_stored<T, F: Future<Output = crate::store::Result<T>>>(write: impl Fn() -> F) -> T {
    let (mut wait, mut is_told) = (Duration::from_millis(100), false);
    loop {
        match write().await {
            Ok(value) => return value,
            Err(error) if is_told => tracing::debug!(error = %error, "the store still does not take what an attempt led to"),
            Err(error) => tracing::error!(error = %error, "the store does not take what an attempt led to; trying again until it does"),
        }
        is_told = true;
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}

/// A delivery that went well at once has nothing to tell beyond its own row.
fn attempt_row(
    leased: &Leased,
    result: &Result<Receipt, DeliveryError>,
    word: &str,
    started_at: Timestamp,
    now: Timestamp,
) -> Option<AttemptRow> {
    let error = result.as_ref().err();
    if error.is_none() && leased.attempts == 0 {
        return None;
    }
    Some(AttemptRow {
        at: started_at,
        duration_ms: i64::try_from(now.duration_since(started_at).as_millis()).unwrap_or(i64::MAX),
        outcome: word.to_owned(),
        kind: error.map(|error| error.kind.as_str().to_owned()),
        status: error.and_then(|error| error.status),
        code: error.and_then(|error| error.code.clone()),
        message: error.map(|error| error.message.clone()),
        excerpt: error.and_then(|error| error.excerpt.clone()),
    })
}

fn report(destination: &str, leased: &Leased, result: &Result<Receipt, DeliveryError>, decision: &Decision) {
    let event = leased.event.id;
    match (&decision.outcome, result) {
        (Outcome::Ended(ended), Err(error)) if ended.state == State::Dead => {
            tracing::error!(destination, %event, kind = error.kind.as_str(), status = error.status, "dead letter: {}", error.message);
        }
        (_, Err(error)) => {
            tracing::warn!(destination, %event, kind = error.kind.as_str(), status = error.status, verdict = decision.word, "attempt failed: {}", error.message);
        }
        (_, Ok(_)) => tracing::debug!(destination, %event, outcome = decision.word, "attempt ended"),
    }
}
