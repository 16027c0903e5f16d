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
use crate::swap::Swap;
use crate::telemetry::Tracer;
use attempt::{Bench, Drive, until_stored};
use clock::Clock;
use erasure::{Forgotten, carry_out_all};
use jiff::{SignedDuration, Timestamp};
use lane::{Input, Lane};
use leadwire_connector::Connector;
use parked::Parked;
use shell::{Next, Shell};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
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
    store: Store,
    clock: Arc<Clock>,
    tracer: Tracer,
    lanes: Lanes,
    tasks: JoinSet<()>,
    watch: JoinHandle<()>,
}

/// The lanes of this moment. None is ever taken away: one whose destination left the configuration gives back what comes to it still, and
/// goes on when it is there again.
type Lanes = Arc<RwLock<Vec<LaneHandle>>>;

#[derive(Clone)]
struct LaneHandle {
    name: String,
    id: DestinationId,
    inbox: UnboundedSender<Input<Leased>>,
    status: watch::Receiver<LaneStatus>,
    parked: Arc<Parked>,
    bench: Arc<Bench>,
    end: LaneEnd,
    next: Arc<Mutex<Option<Next>>>,
    is_configured: bool,
}

impl std::fmt::Debug for LaneHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

impl LaneHandle {
    fn change(&mut self, next: Next) {
        self.is_configured = next.is_some();
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        // A lane that is gone has stopped with its process.
        let _ = self.inbox.send(Input::Change);
    }
}

fn all(lanes: &Lanes) -> Vec<LaneHandle> {
    lanes.read().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Deliverer {
    /// Starts a lane for each destination. Deliveries that are due start at once; fresh ones are born leased from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(store: &Store, destinations: Vec<Destination>, tracer: &Tracer) -> crate::store::Result<Self> {
        let holds = store.holds().await?;
        let known: HashMap<DestinationId, (Option<Hold>, i64)> = holds.into_iter().map(|row| (row.id, (row.hold, row.parked_us))).collect();
        let (lanes, clock) = (Lanes::default(), Arc::new(Clock::start()));
        let watch = tokio::spawn(watch_store(store.clone(), Arc::clone(&clock), Arc::clone(&lanes)));
        let mut deliverer = Self { store: store.clone(), clock, tracer: tracer.clone(), lanes, tasks: JoinSet::new(), watch };
        for destination in destinations {
            let (hold, parked_us) = known.get(&destination.id).cloned().unwrap_or_default();
            deliverer.add(destination, hold, parked_us);
        }
        deliverer.tell_store().await;
        Ok(deliverer)
    }

    /// Goes on with these destinations that are new or have other settings, and without those of these names. What is under way ends by
    /// the settings it began with, before anything begins by others. Those that are named in neither go on as they are.
    pub async fn change(&mut self, destinations: Vec<Destination>, removed: &[String]) {
        // A hold that cannot be read now is learnt by the watch, once it can be: what would be tried before cannot be leased either.
        let holds = self.store.holds().await.unwrap_or_default();
        let known: HashMap<DestinationId, (Option<Hold>, i64)> = holds.into_iter().map(|row| (row.id, (row.hold, row.parked_us))).collect();
        for destination in destinations {
            if let Err(destination) = self.renew(destination) {
                let (hold, parked_us) = known.get(&destination.id).cloned().unwrap_or_default();
                self.add(*destination, hold, parked_us);
            }
        }
        self.retire(removed);
        self.tell_store().await;
    }

    fn retire(&self, names: &[String]) {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        lanes.iter_mut().filter(|lane| names.contains(&lane.name)).for_each(|lane| lane.change(None));
    }

    /// Gives the lane that there is these settings; gives them back when there is none.
    fn renew(&self, destination: Destination) -> Result<(), Box<Destination>> {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let Some(lane) = lanes.iter_mut().find(|lane| lane.id == destination.id) else { return Err(Box::new(destination)) };
        let limits = destination.limits.clone();
        lane.change(Some((drive(destination), limits)));
        Ok(())
    }

    fn add(&mut self, destination: Destination, hold: Option<Hold>, parked_us: i64) {
        let (handle, shell) = prepare(&self.store, &self.clock, &self.tracer, destination, (hold, parked_us));
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).push(handle);
        self.tasks.spawn(shell.run());
    }

    /// Has deliveries born leased to all lanes there are. The store may be writing, which takes as long as its disk does.
    async fn tell_store(&self) {
        let ends = all(&self.lanes).into_iter().map(|lane| (lane.id, lane.end)).collect();
        let store = self.store.clone();
        // It cannot panic, and is not cancelled.
        let _ = tokio::task::spawn_blocking(move || store.set_lanes(ends)).await;
    }

    /// The state of each lane now, by destination name.
    #[must_use]
    pub fn statuses(&self) -> Statuses {
        Statuses { lanes: Arc::clone(&self.lanes) }
    }

    /// Starts no attempt any more. What is received from now on waits in the store.
    pub fn begin_stop(&self) {
        self.watch.abort();
        for lane in all(&self.lanes) {
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
    lanes: Lanes,
}

impl Statuses {
    /// The state now of each destination of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = (String, LaneStatus)> + use<> {
        let configured = all(&self.lanes).into_iter().filter(|lane| lane.is_configured);
        configured.map(|lane| (lane.name, lane.status.borrow().clone()))
    }
}

fn drive(destination: Destination) -> Drive {
    let per_second = destination.limits.per_second.map(|per_second| (per_second, destination.limits.burst));
    Drive { connector: destination.connector, policy: destination.policy, per_second }
}

fn prepare(
    store: &Store,
    clock: &Arc<Clock>,
    tracer: &Tracer,
    destination: Destination,
    (hold, parked_us): (Option<Hold>, i64),
) -> (LaneHandle, Shell) {
    let (inbox, inputs) = unbounded_channel();
    let (handoff, handoffs) = unbounded_channel();
    let (status, seen) = watch::channel(LaneStatus::default());
    let room = Arc::new(Room::new(destination.limits.window));
    let end = LaneEnd { room: Arc::clone(&room), inbox: handoff };
    let parked = Arc::new(Parked::new(parked_us));
    let (name, id, next) = (destination.name.clone(), destination.id, Arc::default());
    let lane = Lane::new(destination.limits.clone(), hold);
    let bench = Bench {
        name: name.clone(),
        drive: Swap::new(Some(Arc::new(drive(destination)))),
        store: store.clone(),
        clock: Arc::clone(clock),
        inbox: inbox.clone(),
        room: Arc::clone(&room),
        forgotten: Forgotten::default(),
        parked: Arc::clone(&parked),
        tracer: tracer.clone(),
    };
    let bench = Arc::new(bench);
    let stepped_at = Timestamp::now();
    let handle =
        LaneHandle { name, id, inbox, status: seen, parked, bench: Arc::clone(&bench), end, next: Arc::clone(&next), is_configured: true };
    let shell = Shell { next, id, lane, bench, room, handoffs, inbox: inputs, status, stepped_at };
    (handle, shell)
}

/// `hold`, `resume`, `replay`, `quarantine verify` and `person erase` write to the store from another process; the lanes learn it here.
async fn watch_store(store: Store, clock: Arc<Clock>, lanes: Lanes) {
    let mut changes = store.changes();
    // Files may take a while to be written anew, in which the lanes must learn of holds. Ends with the watch.
    let mut erasing = JoinSet::new();
    loop {
        changes.next().await;
        let lanes = all(&lanes);
        if let Some(by) = clock.set_back() {
            follow_clock(&store, &lanes, by).await;
        }
        while erasing.try_join_next().is_some() {}
        if erasing.is_empty() {
            erasing.spawn(carry_out_all(store.clone(), lanes.iter().map(|lane| Arc::clone(&lane.bench)).collect()));
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
