//! From the store to the destinations: one lane for each, and a watch on what other processes change in the store.
//!
//! The deciding parts are pure: `Lane` (what starts when), `Gate` (the circuit breaker), `decide` (what an attempt leads to),
//! `Backoff`. `Shell` gives them a clock, tasks and channels.

mod attempt;
mod backoff;
mod clock;
mod connect;
pub mod decide;
pub mod erasure;
pub mod gate;
pub mod lane;
mod pace;
mod parked;
mod shell;
#[cfg(test)]
mod simulation;
mod trace;
mod values;

pub use backoff::Backoff;
pub use connect::{LateConnector, SET_UP, connect};
pub use decide::Policy;
pub use lane::LaneLimits;
pub use shell::LaneStatus;
pub use values::StoredValues;

use crate::store::{DestinationId, Hold, LaneEnd, Leased, Room, Store};
use crate::telemetry::Tracer;
use attempt::{Bench, until_stored};
use clock::Clock;
use erasure::{Forgotten, carry_out_all};
use jiff::{SignedDuration, Timestamp};
use lane::{Input, Lane};
use leadwire_connector::Connector;
use parked::Parked;
use shell::Shell;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A destination, ready to be delivered to.
pub struct Destination {
    /// Its name in the configuration.
    pub name: String,
    /// Its number in the store.
    pub id: DestinationId,
    /// Its connector.
    pub connector: Box<dyn Connector>,
    /// What its lane is allowed.
    pub limits: LaneLimits,
    /// How its deliveries are tried.
    pub policy: Policy,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All lanes of a running bridge.
#[derive(Debug)]
pub struct Deliverer {
    lanes: Vec<LaneHandle>,
    tasks: JoinSet<()>,
    watch: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct LaneHandle {
    name: String,
    id: DestinationId,
    inbox: UnboundedSender<Input<Leased>>,
    status: watch::Receiver<LaneStatus>,
    parked: Arc<Parked>,
}

impl Deliverer {
    /// Starts a lane for each destination. Deliveries that are due start at once; fresh ones are born leased from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(store: &Store, destinations: Vec<Destination>, tracer: &Tracer) -> crate::store::Result<Self> {
        let holds = store.holds().await?;
        let known: HashMap<DestinationId, (Option<Hold>, i64)> = holds.into_iter().map(|row| (row.id, (row.hold, row.parked_us))).collect();
        let (mut lanes, mut benches, mut tasks, mut ends) = (Vec::new(), Vec::new(), JoinSet::new(), HashMap::new());
        let clock = Arc::new(Clock::start());
        for destination in destinations {
            let (hold, parked_us) = known.get(&destination.id).cloned().unwrap_or_default();
            let (handle, end, shell) = prepare(store, &clock, destination, tracer, (hold, parked_us));
            ends.insert(handle.id, end);
            lanes.push(handle);
            benches.push(Arc::clone(&shell.bench));
            tasks.spawn(shell.run());
        }
        store.set_lanes(ends);
        let watch = tokio::spawn(watch_store(store.clone(), clock, lanes.clone(), Arc::new(benches)));
        Ok(Self { lanes, tasks, watch })
    }

    /// The state of each lane now, by destination name.
    #[must_use]
    pub fn statuses(&self) -> Statuses {
        Statuses { lanes: self.lanes.iter().map(|lane| (lane.name.clone(), lane.status.clone())).collect() }
    }

    /// Starts no attempt any more. What is received from now on waits in the store.
    pub fn begin_stop(&self) {
        self.watch.abort();
        for lane in &self.lanes {
            // A lane that is gone has stopped already.
            let _ = lane.inbox.send(Input::Stop);
        }
    }

    /// Waits for what is under way after [`begin_stop`](Self::begin_stop). Returns when everything is settled or back in the store.
    pub async fn stopped(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A view of the lanes that can be kept while the deliverer runs.
#[derive(Debug, Clone)]
pub struct Statuses {
    lanes: Vec<(String, watch::Receiver<LaneStatus>)>,
}

impl Statuses {
    /// Each destination's state now.
    pub fn iter(&self) -> impl Iterator<Item = (&str, LaneStatus)> {
        self.lanes.iter().map(|(name, status)| (name.as_str(), status.borrow().clone()))
    }
}

fn prepare(
    store: &Store,
    clock: &Arc<Clock>,
    destination: Destination,
    tracer: &Tracer,
    (hold, parked_us): (Option<Hold>, i64),
) -> (LaneHandle, LaneEnd, Shell) {
    let (inbox, inputs) = unbounded_channel();
    let (handoff, handoffs) = unbounded_channel();
    let (status, seen) = watch::channel(LaneStatus::default());
    let room = Arc::new(Room::new(destination.limits.window));
    let end = LaneEnd { room: Arc::clone(&room), inbox: handoff };
    let parked = Arc::new(Parked::new(parked_us));
    let handle =
        LaneHandle { name: destination.name.clone(), id: destination.id, inbox: inbox.clone(), status: seen, parked: Arc::clone(&parked) };
    let per_second = destination.limits.per_second.map(|per_second| (per_second, destination.limits.burst));
    let lane = Lane::new(destination.limits, hold);
    let bench = Bench {
        name: destination.name,
        connector: destination.connector,
        policy: destination.policy,
        store: store.clone(),
        clock: Arc::clone(clock),
        inbox,
        room: Arc::clone(&room),
        forgotten: Forgotten::default(),
        parked,
        per_second,
        tracer: tracer.clone(),
    };
    let bench = Arc::new(bench);
    let stepped_at = Timestamp::now();
    let shell = Shell { id: destination.id, lane, bench, room, handoffs, inbox: inputs, status, stepped_at };
    (handle, end, shell)
}

/// `hold`, `resume`, `replay`, `quarantine verify` and `person erase` write to the store from another process; the lanes learn it here.
async fn watch_store(store: Store, clock: Arc<Clock>, lanes: Vec<LaneHandle>, benches: Arc<Vec<Arc<Bench>>>) {
    let mut changes = store.changes();
    // Files may take a while to be written anew, in which the lanes must learn of holds. Ends with the watch.
    let mut erasing = JoinSet::new();
    loop {
        changes.next().await;
        if let Some(by) = clock.set_back() {
            follow_clock(&store, &lanes, by).await;
        }
        while erasing.try_join_next().is_some() {}
        if erasing.is_empty() {
            erasing.spawn(carry_out_all(store.clone(), Arc::clone(&benches)));
        }
        tell_holds(&store, &lanes).await;
        tell_due(&store, &lanes).await;
    }
}

/// What was to wait for a minute must not wait for a minute and a day because the clock was set back by a day.
async fn follow_clock(store: &Store, lanes: &[LaneHandle], by: SignedDuration) {
    tracing::warn!(seconds = by.as_secs(), "the machine's clock was set back; what waits is due that much earlier");
    until_stored(|| store.follow_clock(by, Timestamp::now())).await;
    for lane in lanes {
        let _ = lane.inbox.send(Input::SetBack(by));
    }
}

/// The lanes are looked at before the store: a lane that is on hold was so in the store before, so that a store that says
/// otherwise was told otherwise since.
async fn tell_holds(store: &Store, lanes: &[LaneHandle]) {
    let known: Vec<Option<Hold>> = lanes.iter().map(|lane| lane.status.borrow().hold.clone()).collect();
    let Ok(rows) = store.holds().await else { return };
    let now = Timestamp::now();
    for (lane, known) in lanes.iter().zip(known) {
        let row = rows.iter().find(|row| row.id == lane.id);
        lane.parked.learn(row.map_or(0, |row| row.parked_us));
        let stored = row.and_then(|row| row.hold.clone());
        let input = match (known, stored) {
            (known, Some(hold)) if known.as_ref() != Some(&hold) && hold.until.is_none_or(|until| until > now) => Input::Held(hold),
            (Some(_), None) => Input::Resumed,
            _ => continue,
        };
        // A lane that is gone has stopped already.
        let _ = lane.inbox.send(input);
    }
}

async fn tell_due(store: &Store, lanes: &[LaneHandle]) {
    let Ok(due) = store.due_destinations(Timestamp::now()).await else { return };
    for lane in lanes.iter().filter(|lane| due.contains(&lane.id)) {
        let _ = lane.inbox.send(Input::Waiting);
    }
}
