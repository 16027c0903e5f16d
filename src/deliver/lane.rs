//! The scheduler of one destination: which delivery starts when. A pure state machine: inputs and the time in, actions out.
//!
//! The order per person is not decided here. The store leases at most one delivery of a person at a time, so whatever a lane
//! holds may start in any order.

use super::gate::Gate;
pub use super::gate::Health;
use super::pace::{Pace, Pass};
use crate::store::Hold;
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;

/// What a lane is allowed.
#[derive(Debug, Clone)]
pub struct LaneLimits {
    /// Attempts under way at once.
    pub concurrency: u32,
    /// Attempts started per second.
    pub per_second: Option<f64>,
    /// Starts at once after a quiet time.
    pub burst: u32,
    /// Whether other processes start deliveries too, so that starts are counted in the store.
    pub shared: bool,
    /// Deliveries held in memory.
    pub window: u32,
}

/// What happened.
#[derive(Debug)]
pub enum Input<T> {
    /// A delivery was born leased to this lane.
    Fresh(T),
    /// Something in the store may be due.
    Waiting,
    /// The answer to [`Action::Claim`].
    Claimed {
        /// Leased now.
        deliveries: Vec<T>,
        /// When the next one is due.
        next_due: Option<Timestamp>,
    },
    /// The store did not answer a claim.
    ClaimFailed,
    /// All places are taken, so that nothing was claimed.
    NoRoom,
    /// The answer to [`Action::AskStarts`]: how many, and when there may be more; `None` when the store did not answer.
    Granted(Option<(u32, Option<Timestamp>)>),
    /// An attempt ended; its lease is still to be settled.
    Finished(Health),
    /// A lease is settled; its place is free. The delivery is due again at that moment, if it is.
    Settled(Option<Timestamp>),
    /// The destination was parked.
    Held(Hold),
    /// It was released.
    Resumed,
    /// It gets other settings, or leaves the configuration: what is under way ends first.
    Change,
    /// The clock was set back by that much.
    SetBack(SignedDuration),
    /// Time passed.
    Tick,
    /// The process stops.
    Stop,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Action<T> {
    /// Start an attempt. A probe asks whether the destination is back, and costs the delivery nothing when it is not.
    Start {
        /// The delivery.
        delivery: T,
        /// Whether it is a probe.
        probe: bool,
    },
    /// Lease at most so many due deliveries.
    Claim(u32),
    /// Ask the store for at most so many starts of the shared rate limit.
    AskStarts(u32),
    /// Give these back to the store, unattempted.
    Release(Vec<T>),
    /// The hold that began at this moment is over by its own end.
    Resume(Timestamp),
    /// The destination was down from the first moment to the second.
    Credit(Timestamp, Timestamp),
}

/// What the store is known to hold for this lane.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Backlog {
    None,
    DueAt(Timestamp),
}

/// How far the asking for older deliveries is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    None,
    /// Asked, and perhaps a place has become free since.
    UnderWay {
        freed: bool,
    },
    /// There was no room; it asks again when a place has become free.
    NoRoom,
}

/// One destination's scheduler. `T` is a leased delivery.
#[derive(Debug)]
pub struct Lane<T> {
    limits: LaneLimits,
    pace: Pace,
    gate: Gate,
    hold: Option<Hold>,
    fresh: VecDeque<T>,
    older: VecDeque<T>,
    in_flight: u32,
    unsettled: u32,
    backlog: Backlog,
    claim: Claim,
    changing: bool,
    stopping: bool,
}

/// When to look again for room that nothing under way will make.
const ROOM_SOON: SignedDuration = SignedDuration::from_millis(10);

impl<T> Lane<T> {
    /// A lane that knows nothing yet and looks into the store first.
    #[must_use]
    pub fn new(limits: LaneLimits, hold: Option<Hold>) -> Self {
        let pace = Pace::new(limits.per_second, limits.burst, limits.shared);
        Self {
            limits,
            pace,
            gate: Gate::default(),
            hold,
            fresh: VecDeque::new(),
            older: VecDeque::new(),
            in_flight: 0,
            unsettled: 0,
            backlog: Backlog::DueAt(Timestamp::MIN),
            claim: Claim::None,
            changing: false,
            stopping: false,
        }
    }

    /// Takes an input and says what to do now.
    pub fn on(&mut self, input: Input<T>, now: Timestamp) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        self.note(input, now, &mut actions);
        actions
    }

    /// Says what can be done, after inputs that came together.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Action<T>> {
        let mut actions = Vec::new();
        if let Some(hold) = self.hold.take_if(|hold| hold.until.is_some_and(|until| until <= now)) {
            self.note(Input::Resumed, now, &mut actions);
            actions.push(Action::Resume(hold.since));
        }
        if self.hold.is_some() || self.changing || self.stopping {
            self.release_all(&mut actions);
            return actions;
        }
        self.start_what_may(now, &mut actions);
        self.claim_if_short(now, &mut actions);
        actions
    }

    fn note(&mut self, input: Input<T>, now: Timestamp, actions: &mut Vec<Action<T>>) {
        match input {
            Input::Fresh(delivery) => self.fresh.push_back(delivery),
            Input::Waiting => self.backlog = Backlog::DueAt(Timestamp::MIN),
            Input::Claimed { deliveries, next_due } => self.note_claimed(deliveries, next_due),
            Input::ClaimFailed => self.claim_later(SignedDuration::from_secs(1), now),
            Input::NoRoom => self.note_no_room(now),
            Input::Granted(granted) => self.pace.note_granted(granted, now),
            Input::Finished(health) => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.unsettled += 1;
                if let Some((from, to)) = self.gate.note(health, now) {
                    actions.push(Action::Credit(from, to));
                }
            }
            Input::Settled(again_at) => {
                self.unsettled = self.unsettled.saturating_sub(1);
                if let Some(at) = again_at {
                    self.expect_at(at);
                }
                self.note_freed();
            }
            Input::Held(hold) => self.hold = Some(hold),
            Input::Resumed => {
                self.hold = None;
                self.gate = Gate::default();
                self.backlog = Backlog::DueAt(Timestamp::MIN);
            }
            Input::SetBack(by) => {
                self.gate.set_back(by);
                self.backlog = Backlog::DueAt(Timestamp::MIN);
            }
            Input::Change => self.changing = true,
            Input::Tick => {}
            Input::Stop => self.stopping = true,
        }
    }

    /// Goes on with these limits after [`Input::Change`], as a new lane would, but for its hold and for what it has used of its rate limit.
    pub fn renew(&mut self, limits: LaneLimits, now: Timestamp) {
        let pace = self.pace.renewed(limits.per_second, limits.burst, limits.shared, now);
        *self = Self { stopping: self.stopping, pace, ..Self::new(limits, self.hold.take()) };
    }

    /// Goes on as before after [`Input::Change`].
    pub fn go_on(&mut self) {
        self.changing = false;
    }

    /// Whether it starts nothing until it is renewed.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.changing
    }

    fn note_claimed(&mut self, deliveries: Vec<T>, next_due: Option<Timestamp>) {
        self.claim = Claim::None;
        self.older.extend(deliveries);
        if let Some(at) = next_due {
            self.expect_at(at);
        }
    }

    /// What makes room may be on its way here, or may have ended while the claim found none.
    fn note_no_room(&mut self, now: Timestamp) {
        let was_freed = self.claim == Claim::UnderWay { freed: true };
        self.claim_later(ROOM_SOON, now);
        if !was_freed && !self.is_idle() {
            self.claim_later(SignedDuration::from_secs(1), now);
            self.claim = Claim::NoRoom;
        }
    }

    fn note_freed(&mut self) {
        match &mut self.claim {
            Claim::None => {}
            Claim::UnderWay { freed } => *freed = true,
            Claim::NoRoom => {
                self.claim = Claim::None;
                self.expect_at(Timestamp::MIN);
            }
        }
    }

    fn claim_later(&mut self, after: SignedDuration, now: Timestamp) {
        self.claim = Claim::None;
        self.backlog = Backlog::DueAt(now.checked_add(after).unwrap_or(now));
    }

    fn expect_at(&mut self, at: Timestamp) {
        self.backlog = match self.backlog {
            Backlog::DueAt(known) if known <= at => Backlog::DueAt(known),
            _ => Backlog::DueAt(at),
        };
    }

    fn release_all(&mut self, actions: &mut Vec<Action<T>>) {
        if self.queued() > 0 {
            let all = self.fresh.drain(..).chain(self.older.drain(..)).collect();
            actions.push(Action::Release(all));
            self.expect_at(Timestamp::MIN);
            self.note_freed();
        }
    }

    fn start_what_may(&mut self, now: Timestamp, actions: &mut Vec<Action<T>>) {
        while self.queued() > 0 && self.in_flight < self.gate.concurrency(self.limits.concurrency, now) {
            match self.pace.pass(self.queued(), now) {
                Pass::Go => {}
                Pass::Wait => return,
                Pass::Ask(wanted) => return actions.push(Action::AskStarts(wanted)),
            }
            // Fresh leads first: a person who asked a minute ago is worth more than one who asked yesterday.
            let Some(delivery) = self.fresh.pop_front().or_else(|| self.older.pop_front()) else { return };
            let probe = self.gate.note_start();
            self.in_flight += 1;
            actions.push(Action::Start { delivery, probe });
        }
    }

    /// Older deliveries fill at most half of the window, so that fresh ones find a place.
    fn claim_if_short(&mut self, now: Timestamp, actions: &mut Vec<Action<T>>) {
        let is_due = matches!(self.backlog, Backlog::DueAt(at) if at <= now);
        let half = (self.limits.window / 2).max(1);
        let older = u32::try_from(self.older.len()).unwrap_or(u32::MAX);
        if !is_due || self.is_claiming() || older > half / 2 || self.is_shut(now) {
            return;
        }
        self.claim = Claim::UnderWay { freed: false };
        self.backlog = Backlog::None;
        let wanted = if self.gate.is_flowing() { half - older } else { 1 };
        actions.push(Action::Claim(wanted));
    }

    /// While the destination is down nothing is fetched for it, but for the one delivery that probes.
    fn is_shut(&self, now: Timestamp) -> bool {
        !self.gate.is_flowing() && (self.queued() > 0 || self.gate.concurrency(1, now) <= self.in_flight)
    }

    /// When `advance` is to be called again if nothing happens.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.stopping {
            return None;
        }
        if self.hold.is_some() || self.changing {
            return self.hold.as_ref().and_then(|hold| hold.until);
        }
        let gate = self.gate.opens_at().filter(|at| *at > now);
        let has_place = self.queued() > 0 && self.in_flight < self.gate.concurrency(self.limits.concurrency, now);
        let pace = if has_place { self.pace.next_at() } else { None };
        let backlog = match self.backlog {
            Backlog::DueAt(at) if at > now => Some(at),
            _ => None,
        };
        [gate, pace, backlog].into_iter().flatten().min()
    }

    /// Whether fresh deliveries may be born leased to this lane.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.hold.is_none() && !self.changing && !self.stopping && self.gate.is_flowing()
    }

    /// Whether nothing is in memory any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.unsettled == 0 && self.queued() == 0 && !self.is_claiming()
    }

    fn is_claiming(&self) -> bool {
        matches!(self.claim, Claim::UnderWay { .. })
    }

    /// Deliveries that it may hold in memory.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.limits.window
    }

    /// The hold that is on.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// The state of the circuit breaker, for people.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    fn queued(&self) -> usize {
        self.fresh.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    fn lane(concurrency: u32) -> Lane<u32> {
        let mut lane = Lane::new(LaneLimits { concurrency, per_second: None, burst: 1, shared: false, window: 8 }, None);
        assert_eq!(lane.advance(now()), [Action::Claim(4)], "it looks into the store first");
        lane.on(Input::Claimed { deliveries: Vec::new(), next_due: None }, now());
        lane
    }

    fn take(lane: &mut Lane<u32>, inputs: impl IntoIterator<Item = Input<u32>>) -> Vec<Action<u32>> {
        let mut actions: Vec<Action<u32>> = inputs.into_iter().flat_map(|input| lane.on(input, now())).collect();
        actions.extend(lane.advance(now()));
        actions
    }

    fn start(delivery: u32) -> Action<u32> {
        Action::Start { delivery, probe: false }
    }

    fn hold(until: Option<Timestamp>) -> Input<u32> {
        Input::Held(Hold { reason: "a reason".to_owned(), since: now(), until })
    }

    #[test]
    fn a_lane_that_changes_ends_what_is_under_way_and_gives_the_rest_back_before_it_goes_on() {
        let mut lane = lane(1);
        assert_eq!(take(&mut lane, [Input::Fresh(1), Input::Fresh(2)]), [start(1)]);
        assert_eq!(take(&mut lane, [Input::Change]), [Action::Release(vec![2])]);
        assert!(!lane.is_open() && !lane.is_idle() && lane.is_changing());
        assert_eq!(take(&mut lane, [Input::Fresh(3)]), [Action::Release(vec![3])], "what was on its way goes back, too");
        assert_eq!(take(&mut lane, [Input::Finished(Health::Good), Input::Settled(None)]), []);
        assert!(lane.is_idle());
        lane.renew(LaneLimits { concurrency: 2, per_second: None, burst: 1, shared: false, window: 8 }, now());
        assert_eq!(lane.advance(now()), [Action::Claim(4)], "it looks into the store first");
        assert_eq!(take(&mut lane, [Input::Fresh(4), Input::Fresh(5)]), [start(4), start(5)]);
    }

    #[test]
    fn a_change_gives_no_further_burst() {
        let limits = LaneLimits { concurrency: 8, per_second: Some(1.0), burst: 3, shared: false, window: 8 };
        let mut lane = Lane::new(limits.clone(), None);
        lane.advance(now());
        lane.on(Input::Claimed { deliveries: Vec::new(), next_due: None }, now());
        assert_eq!(take(&mut lane, (1..=3).map(Input::Fresh)), [start(1), start(2), start(3)]);
        take(&mut lane, [Input::Change]);
        take(&mut lane, (0..3).flat_map(|_| [Input::Finished(Health::Good), Input::Settled(None)]));
        lane.renew(limits, now());
        lane.advance(now());
        assert_eq!(take(&mut lane, [Input::Fresh(4)]), []);
        let later = now() + SignedDuration::from_secs(1);
        assert_eq!(lane.advance(later), [start(4)]);
    }

    #[test]
    fn a_hold_outlives_a_change() {
        let mut lane = lane(1);
        take(&mut lane, [hold(None), Input::Change]);
        lane.renew(LaneLimits { concurrency: 1, per_second: None, burst: 1, shared: false, window: 8 }, now());
        assert!(lane.hold().is_some() && lane.advance(now()).is_empty());
    }

    #[test]
    fn fresh_deliveries_pass_older_ones_within_the_concurrency() {
        let mut lane = lane(2);
        let claimed = Input::Claimed { deliveries: vec![1, 2, 3], next_due: None };
        assert_eq!(take(&mut lane, [claimed, Input::Fresh(9)]), [start(9), start(1)]);
        assert_eq!(take(&mut lane, [Input::Finished(Health::Good)]), [start(2)]);
        assert_eq!(lane.in_flight(), 2);
    }

    #[test]
    fn what_waits_in_the_store_is_claimed_once_and_again_when_something_was_added_meanwhile() {
        let mut lane = lane(2);
        assert_eq!(take(&mut lane, [Input::Waiting]), [Action::Claim(4)]);
        assert_eq!(take(&mut lane, [Input::Waiting]), [], "a claim is under way");
        assert_eq!(
            take(&mut lane, [Input::Claimed { deliveries: Vec::new(), next_due: None }]),
            [Action::Claim(4)],
            "it came after the claim"
        );
    }

    #[test]
    fn a_claim_that_failed_is_repeated_after_a_moment() {
        let mut lane = lane(2);
        take(&mut lane, [Input::Waiting]);
        assert_eq!(take(&mut lane, [Input::ClaimFailed]), []);
        let wake = lane.wake_at(now()).unwrap();
        assert_eq!(wake, now() + SignedDuration::from_secs(1));
        assert_eq!(lane.advance(wake), [Action::Claim(4)]);
    }

    #[test]
    fn a_claim_that_finds_no_room_is_repeated_when_there_is_some() {
        let mut lane = lane(2);
        take(&mut lane, [Input::Fresh(1), Input::Fresh(2), Input::Waiting]);
        assert_eq!(take(&mut lane, [Input::NoRoom]), []);
        assert_eq!(take(&mut lane, [Input::Finished(Health::Good)]), [], "its place is not free before it is settled");
        assert_eq!(take(&mut lane, [Input::Settled(None)]), [Action::Claim(4)]);
        take(&mut lane, [Input::Finished(Health::Good), Input::Settled(None)]);
        assert_eq!(take(&mut lane, [Input::NoRoom]), [], "all ended meanwhile");
        let wake = lane.wake_at(now()).unwrap();
        assert_eq!(wake, now() + ROOM_SOON);
        assert_eq!(lane.advance(wake), [Action::Claim(4)]);
    }

    #[test]
    fn a_place_that_becomes_free_while_a_claim_finds_none_is_not_waited_for() {
        let mut lane = lane(2);
        take(&mut lane, [Input::Fresh(1), Input::Fresh(2), Input::Waiting, Input::Finished(Health::Good), Input::Settled(None)]);
        take(&mut lane, [Input::Claimed { deliveries: Vec::new(), next_due: None }]);
        assert_eq!(take(&mut lane, [Input::Waiting]), [Action::Claim(4)]);
        take(&mut lane, [Input::Fresh(3), Input::Finished(Health::Good), Input::Settled(None), Input::NoRoom]);
        assert_eq!(lane.wake_at(now()), Some(now() + ROOM_SOON), "one is still under way");
    }

    #[test]
    fn a_lane_whose_places_wait_for_its_rate_limit_does_not_ask_for_room_all_the_time() {
        let limits = LaneLimits { concurrency: 8, per_second: Some(0.01), burst: 1, shared: false, window: 8 };
        let mut lane = Lane::new(limits, None);
        lane.advance(now());
        take(&mut lane, [Input::Claimed { deliveries: Vec::new(), next_due: None }, Input::Fresh(1), Input::Fresh(2), Input::Waiting]);
        take(&mut lane, [Input::Finished(Health::Good), Input::Settled(None)]);
        assert_eq!(take(&mut lane, [Input::NoRoom]), [], "one became free meanwhile, which is worth to ask once more");
        let soon = lane.wake_at(now()).unwrap();
        assert_eq!(soon, now() + ROOM_SOON);
        assert_eq!(lane.advance(soon), [Action::Claim(4)]);
        lane.on(Input::NoRoom, soon);
        assert_eq!(lane.wake_at(soon), Some(soon + SignedDuration::from_secs(1)));
    }

    #[test]
    fn a_hold_gives_back_what_has_not_started_and_starts_nothing() {
        let mut lane = lane(1);
        assert_eq!(take(&mut lane, [Input::Fresh(1), Input::Fresh(2), Input::Fresh(3)]), [start(1)]);
        assert_eq!(take(&mut lane, [hold(None)]), [Action::Release(vec![2, 3])]);
        assert_eq!(take(&mut lane, [Input::Fresh(4)]), [Action::Release(vec![4])]);
        assert!(!lane.is_open());
        assert_eq!(lane.wake_at(now()), None, "a hold without end waits for a person");
        assert_eq!(take(&mut lane, [Input::Finished(Health::Good), Input::Settled(None), Input::Resumed]), [Action::Claim(4)]);
    }

    #[test]
    fn a_hold_with_an_end_ends_by_itself() {
        let mut lane = lane(1);
        let until = now() + SignedDuration::from_secs(60);
        take(&mut lane, [hold(Some(until))]);
        assert_eq!(lane.wake_at(now()), Some(until));
        assert_eq!(lane.advance(until), [Action::Resume(now()), Action::Claim(4)]);
    }

    #[test]
    fn a_stop_lets_attempts_end_and_gives_the_rest_back() {
        let mut lane = lane(1);
        take(&mut lane, [Input::Fresh(1), Input::Fresh(2)]);
        assert_eq!(take(&mut lane, [Input::Stop]), [Action::Release(vec![2])]);
        assert!(!lane.is_idle());
        assert_eq!(take(&mut lane, [Input::Finished(Health::Good)]), []);
        assert!(!lane.is_idle(), "the lease is still to be settled");
        take(&mut lane, [Input::Settled(None)]);
        assert!(lane.is_idle());
    }

    #[test]
    fn a_destination_that_is_down_gets_one_probe_at_a_time() {
        let mut lane = lane(5);
        take(&mut lane, (0..9).map(Input::Fresh));
        let outages = (0..5).map(|_| Input::Finished(Health::Outage));
        assert_eq!(take(&mut lane, outages), [], "after five in a row the gate is shut");
        let opens = lane.wake_at(now()).unwrap();
        assert_eq!(lane.advance(opens), [Action::Start { delivery: 5, probe: true }]);
        assert_eq!(lane.advance(opens), [], "one probe at a time");
        let good = lane.on(Input::Finished(Health::Good), opens);
        assert_eq!(good, [Action::Credit(now(), opens)], "the time it was down is credited");
        assert_eq!(lane.advance(opens).len(), 3, "then everything flows");
    }
}
