//! The thin shell around a lane: channels, clock, tasks.

use super::attempt::{self, Bench, Drive, until_stored};
use super::lane::{Action, Input, Lane, LaneLimits};
use crate::store::{DestinationId, Handoff, Hold, Leased, Room};
use jiff::Timestamp;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Semaphore, watch};

/// Inputs taken together before the lane decides.
const BATCH: usize = 256;

/// The lane never sleeps longer than this, so that a jump of the clock is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A lane as people see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LaneStatus {
    /// Set while parked.
    pub hold: Option<Hold>,
    /// Whether the breaker is closed.
    pub flowing: bool,
    /// When the breaker lets a probe through.
    pub probe_at: Option<Timestamp>,
    /// Attempts under way.
    pub in_flight: u32,
}

/// What a lane goes on with after a change; `None` when its destination left the configuration.
pub(super) type Next = Option<(Drive, LaneLimits)>;

pub(super) struct Shell {
    /// Set before the lane is told to change.
    pub(super) next: Arc<Mutex<Option<Next>>>,
    pub(super) id: DestinationId,
    pub(super) lane: Lane<Leased>,
    pub(super) bench: Arc<Bench>,
    pub(super) room: Arc<Room>,
    pub(super) handoffs: UnboundedReceiver<Handoff>,
    pub(super) inbox: UnboundedReceiver<Input<Leased>>,
    pub(super) status: watch::Sender<LaneStatus>,
    pub(super) stepped_at: Timestamp,
}

/// Destinations that are prepared at the same time: each takes a thread, and there may be a thousand.
static PREPARING: Semaphore = Semaphore::const_new(16);
/// Whatever takes longer, such as a folder on a disk that hangs, keeps the others waiting no more.
const TURN: Duration = Duration::from_secs(10);
/// Those that took longer than their turn, and hold a thread that waits for a folder each; others need such threads, too.
static LATE: Semaphore = Semaphore::const_new(64);

impl Shell {
    /// Runs until the lane is stopped and nothing of it is in memory.
    pub(super) async fn run(mut self) {
        let mut inputs = vec![Input::Tick];
        let mut is_stopping = false;
        self.prepare();
        loop {
            is_stopping |= inputs.iter().any(|input| matches!(input, Input::Stop));
            self.step(std::mem::take(&mut inputs));
            if self.lane.is_changing() && self.lane.is_idle() && self.change() {
                self.step(Vec::new());
            }
            if is_stopping && self.lane.is_idle() {
                return;
            }
            inputs = self.next_inputs().await;
        }
    }

    /// Nothing is under way: from now on by other settings. Whether it goes on at all.
    fn change(&mut self) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        match next {
            Some(Some((drive, limits))) => {
                self.room.resize(self.lane.window(), limits.window);
                self.lane.renew(limits, self.bench.clock.now());
                self.bench.drive.put(Some(Arc::new(drive)));
                self.prepare();
            }
            Some(None) => self.bench.drive.put(None),
            // An earlier change has taken what this one brought.
            None if self.bench.drive().is_some() => self.lane.go_on(),
            None => {}
        }
        !self.lane.is_changing()
    }

    /// Takes up what an earlier run left; what is in the way is told when a delivery needs it.
    fn prepare(&self) {
        let bench = Arc::clone(&self.bench);
        tokio::spawn(in_turn(&PREPARING, &LATE, TURN, async move || {
            // Looked at now: its settings may have changed while it waited, and the folder of those before must not be opened.
            if let Some(drive) = bench.drive() {
                drop(drive.connector.prepare().await);
            }
        }));
    }

    async fn next_inputs(&mut self) -> Vec<Input<Leased>> {
        let (mut handoffs, mut inputs) = (Vec::new(), Vec::new());
        // As of the last step: what came due since then is still in its future, and wakes at once.
        let wake_at = self.lane.wake_at(self.stepped_at);
        let sleep = wake_at.map_or(LONGEST_SLEEP, |at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
        tokio::select! {
            taken = self.handoffs.recv_many(&mut handoffs, BATCH) => {
                if taken == 0 {
                    // The store is gone, which only happens when the process ends.
                    inputs.push(Input::Stop);
                }
            }
            _ = self.inbox.recv_many(&mut inputs, BATCH) => {}
            () = tokio::time::sleep(sleep.min(LONGEST_SLEEP)) => inputs.push(Input::Tick),
        }
        inputs.extend(handoffs.into_iter().map(|handoff| match handoff {
            Handoff::Leased(leased) => Input::Fresh(leased),
            Handoff::Waiting => Input::Waiting,
        }));
        inputs
    }

    fn step(&mut self, inputs: Vec<Input<Leased>>) {
        let now = self.bench.clock.now();
        self.stepped_at = now;
        for input in inputs {
            self.note_hold(&input, now);
            for action in self.lane.on(input, now) {
                self.perform(action);
            }
        }
        for action in self.lane.advance(now) {
            self.perform(action);
        }
        self.room.set_open(self.lane.is_open());
        self.publish();
    }

    fn note_hold(&mut self, input: &Input<Leased>, now: Timestamp) {
        let name = &self.bench.name;
        match (input, self.lane.hold()) {
            (Input::Held(hold), None) => {
                tracing::warn!(destination = name, until = ?hold.until, "on hold, its deliveries wait: {}", hold.reason);
            }
            (Input::Resumed, Some(hold)) => {
                tracing::info!(destination = name, "released, its deliveries go on");
                self.bench.parked.add(now.duration_since(hold.since));
            }
            _ => {}
        }
    }

    fn publish(&self) {
        let gate = self.lane.gate();
        let status = LaneStatus {
            hold: self.lane.hold().cloned(),
            flowing: gate.is_flowing(),
            probe_at: gate.opens_at(),
            in_flight: self.lane.in_flight(),
        };
        let was_flowing = self.status.borrow().flowing;
        if was_flowing && !status.flowing {
            tracing::warn!(
                destination = self.bench.name,
                "no deliveries start for now; one at a time will probe whether it takes them again"
            );
        }
        self.status.send_if_modified(|known| {
            let is_new = *known != status;
            *known = status;
            is_new
        });
    }

    fn perform(&mut self, action: Action<Leased>) {
        let bench = Arc::clone(&self.bench);
        let (id, store) = (self.id, self.bench.store.clone());
        match action {
            Action::Start { delivery, probe } => drop(tokio::spawn(attempt::run(bench, delivery, probe))),
            Action::Claim(wanted) => drop(tokio::spawn(claim(bench, id, Arc::clone(&self.room), wanted))),
            Action::AskStarts(wanted) => drop(tokio::spawn(ask(bench, id, wanted))),
            Action::Release(deliveries) => {
                self.room.leave(deliveries.iter().map(|leased| leased.places).sum());
                let leases: Vec<_> = deliveries.iter().map(Leased::lease).collect();
                tokio::spawn(async move { until_stored(|| store.release(leases.clone())).await });
            }
            Action::Resume(since) => {
                bench.parked.add(Timestamp::now().duration_since(since));
                tracing::info!(destination = bench.name, "the hold is over; deliveries go on");
                tokio::spawn(async move { until_stored(|| store.resume_expired(id, Timestamp::now())).await });
            }
            Action::Credit(from, to) => {
                let outage = to.duration_since(from);
                bench.parked.add(outage);
                tokio::spawn(async move { until_stored(|| store.credit_outage(id, outage)).await });
            }
        }
    }
}

/// Does something when it is its turn, which ends with it, or after some time if one of `late` is free. A delivery sets up what it needs
/// without waiting here.
async fn in_turn(turns: &Semaphore, late: &Semaphore, longest: Duration, work: impl AsyncFnOnce()) {
    // The semaphores are never closed.
    let turn = turns.acquire().await;
    let mut work = pin!(work());
    if tokio::time::timeout(longest, &mut work).await.is_err() {
        let _late = tokio::select! {
            late = late.acquire() => late,
            () = &mut work => return,
        };
        drop(turn);
        work.await;
    }
}

async fn claim(bench: Arc<Bench>, id: DestinationId, room: Arc<Room>, wanted: u32) {
    let places = room.take_up_to(wanted);
    if places == 0 {
        return send(&bench.inbox, Input::NoRoom);
    }
    let claimed = bench.store.claim(id, places, bench.clock.now()).await.ok();
    room.take(claimed.iter().flat_map(|claimed| &claimed.deliveries).map(|leased| leased.places).sum());
    room.leave(places);
    let input = claimed.map_or(Input::ClaimFailed, |claimed| Input::Claimed { deliveries: claimed.deliveries, next_due: claimed.next_due });
    send(&bench.inbox, input);
}

async fn ask(bench: Arc<Bench>, id: DestinationId, wanted: u32) {
    let granted = match bench.drive().and_then(|drive| drive.per_second) {
        Some((per_second, burst)) => bench.store.take_starts(id, wanted, per_second, burst, bench.clock.now()).await.ok(),
        None => None,
    };
    send(&bench.inbox, Input::Granted(granted.map(|granted| (granted.starts, granted.next_at))));
}

fn send(inbox: &UnboundedSender<Input<Leased>>, input: Input<Leased>) {
    // A lane that is gone has stopped with its process.
    let _ = inbox.send(input);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn what_never_ends_keeps_the_others_from_their_turn_for_a_moment_only() {
        let (turns, late) = (Semaphore::new(1), Semaphore::new(1));
        let hang = || in_turn(&turns, &late, Duration::from_millis(20), async || pending().await);
        let come = || in_turn(&turns, &late, Duration::from_millis(20), async || {});
        tokio::select! {
            biased;
            () = hang() => unreachable!("it never ends"),
            () = come() => {}
        }
    }

    #[tokio::test]
    async fn no_more_than_so_many_hang_at_once() {
        let (turns, late) = (Semaphore::new(1), Semaphore::new(0));
        let longest = Duration::from_millis(1);
        tokio::select! {
            biased;
            () = in_turn(&turns, &late, longest, async || pending().await) => unreachable!("it never ends"),
            () = in_turn(&turns, &late, longest, async || {}) => unreachable!("the first keeps its turn"),
            () = tokio::time::sleep(Duration::from_millis(60)) => {}
        }
    }
}
