//! A simulated month of a destination with outages, rate limits, refusals and holds, in well under a second.
//!
//! The lane, the gate and the decisions are the real ones; the store is a model with the invariant the real one keeps
//! (`store::sqlite` has its own tests), the destination is a schedule drawn from a seed.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::backoff::Backoff;
use super::decide::{Attempted, Policy, decide};
use super::lane::{Action, Input, Lane, LaneLimits};
use crate::store::{Hold, Outcome, State};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::{DeliveryError, ErrorKind, Receipt};
use proptest::prelude::*;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn at(us: i64) -> Timestamp {
    Timestamp::from_microsecond(1_700_000_000 * SECOND + us).unwrap()
}

fn us(at: Timestamp) -> i64 {
    at.as_microsecond() - 1_700_000_000 * SECOND
}

#[derive(Debug, Clone)]
struct Weather {
    from: i64,
    to: i64,
    kind: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    Down,
    Busy,
    Refused,
    Rejecting,
    HeldByPerson,
}

#[derive(Debug, Clone)]
struct Model {
    person: u8,
    received: i64,
    attempts: u32,
    not_before: i64,
    state: State,
    parked_base: i64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrive(usize),
    Finish(usize, bool),
    Wake,
    Hold(i64),
    Release,
}

struct World {
    lane: Lane<usize>,
    deliveries: Vec<Model>,
    weather: Vec<Weather>,
    queue: BinaryHeap<std::cmp::Reverse<(i64, u64, Happening)>>,
    turn: u64,
    hold: Option<i64>,
    parked: i64,
    policy: Policy,
    order: BTreeMap<u8, Vec<usize>>,
    attempts: u64,
}

impl World {
    fn new(arrivals: &[(i64, u8)], weather: Vec<Weather>) -> Self {
        let limits = LaneLimits { concurrency: 4, per_second: Some(50.0), burst: 10, shared: false, window: 16 };
        let policy = Policy { backoff: Backoff { jitter: 0.0, ..Backoff::default() }, give_up_after: Duration::from_secs(72 * 3_600) };
        let mut world = Self {
            lane: Lane::new(limits, None),
            deliveries: Vec::new(),
            weather,
            queue: BinaryHeap::new(),
            turn: 0,
            hold: None,
            parked: 0,
            policy,
            order: BTreeMap::new(),
            attempts: 0,
        };
        let mut arrivals = arrivals.to_vec();
        arrivals.sort_unstable();
        for (index, (received, person)) in arrivals.into_iter().enumerate() {
            world.deliveries.push(Model { person, received, attempts: 0, not_before: received, state: State::Erased, parked_base: 0 });
            world.plan(received, Happening::Arrive(index));
        }
        for spell in world.weather.clone().iter().filter(|spell| spell.kind == Trouble::HeldByPerson) {
            world.plan(spell.from, Happening::Hold(spell.to));
            world.plan(spell.to, Happening::Release);
        }
        world
    }

    fn plan(&mut self, when: i64, happening: Happening) {
        self.turn += 1;
        self.queue.push(std::cmp::Reverse((when, self.turn, happening)));
    }

    fn trouble(&self, now: i64) -> Option<Trouble> {
        self.weather.iter().find(|spell| (spell.from..spell.to).contains(&now)).map(|spell| spell.kind)
    }

    fn run(&mut self) {
        let mut steps = 0_u64;
        self.advance(0);
        while let Some(std::cmp::Reverse((now, _, happening))) = self.queue.pop() {
            steps += 1;
            assert!(steps < 5_000_000, "the simulation does not end");
            self.happen(now, &happening);
            self.advance(now);
        }
    }

    fn happen(&mut self, now: i64, happening: &Happening) {
        match *happening {
            Happening::Arrive(index) => self.arrive(index, now),
            Happening::Finish(index, probe) => self.finish(index, probe, now),
            Happening::Wake => self.input(Input::Tick, now),
            Happening::Hold(_) => self.park("paused by a person", None, now),
            Happening::Release => self.release(now),
        }
    }

    fn arrive(&mut self, index: usize, now: i64) {
        let person = self.deliveries[index].person;
        let blocked = self.deliveries.iter().any(|other| other.person == person && other.state.is_pending());
        self.deliveries[index].parked_base = self.parked_at(now);
        if blocked {
            self.deliveries[index].state = State::Blocked;
        } else if self.lane.is_open() {
            self.deliveries[index].state = State::Leased;
            self.input(Input::Fresh(index), now);
        } else {
            self.deliveries[index].state = State::Waiting;
            self.input(Input::Waiting, now);
        }
    }

    fn parked_at(&self, now: i64) -> i64 {
        self.parked + self.hold.map_or(0, |since| now - since)
    }

    fn park(&mut self, reason: &str, until: Option<Timestamp>, now: i64) {
        self.hold.get_or_insert(now);
        self.input(Input::Held(Hold { reason: reason.to_owned(), since: at(now), until }), now);
    }

    fn release(&mut self, now: i64) {
        if let Some(since) = self.hold.take() {
            self.parked += now - since;
            self.input(Input::Resumed, now);
        }
    }

    fn finish(&mut self, index: usize, probe: bool, now: i64) {
        let result = self.answer(now);
        let delivery = self.deliveries[index].clone();
        let active_age = SignedDuration::from_micros(now - delivery.received - (self.parked - delivery.parked_base));
        let decision = decide(&Attempted { result: &result, attempts: delivery.attempts, probe, active_age, now: at(now) }, &self.policy);
        if let Some((reason, until)) = &decision.hold {
            self.park(reason, *until, now);
        }
        self.input(Input::Finished(decision.health), now);
        let again = match decision.outcome {
            Outcome::Again(again) => {
                let model = &mut self.deliveries[index];
                (model.state, model.attempts, model.not_before) = (State::Waiting, again.attempts, us(again.not_before));
                Some(again.not_before)
            }
            Outcome::Ended(ended) => {
                self.deliveries[index].state = ended.state;
                self.order.entry(delivery.person).or_default().push(index);
                self.unblock(delivery.person, now);
                None
            }
        };
        self.input(Input::Settled(again), now);
    }

    fn unblock(&mut self, person: u8, now: i64) {
        if let Some(next) = self.deliveries.iter_mut().find(|other| other.person == person && other.state == State::Blocked) {
            next.state = State::Waiting;
            self.input(Input::Waiting, now);
        }
    }

    fn answer(&self, now: i64) -> Result<Receipt, DeliveryError> {
        match self.trouble(now) {
            None | Some(Trouble::HeldByPerson) => Ok(Receipt::delivered()),
            Some(Trouble::Down) => Err(DeliveryError::retry(ErrorKind::Unreachable, "down")),
            Some(Trouble::Busy) => Err(DeliveryError::retry_after(ErrorKind::RateLimited, "busy", Some(Duration::from_secs(30)))),
            Some(Trouble::Refused) => Err(DeliveryError::hold(ErrorKind::Credentials, "refused", Some(at(now + 3_600 * SECOND)))),
            Some(Trouble::Rejecting) => Err(DeliveryError::reject(ErrorKind::Data, "bad data")),
        }
    }

    fn input(&mut self, input: Input<usize>, now: i64) {
        let actions = self.lane.on(input, at(now));
        self.perform(actions, now);
    }

    fn advance(&mut self, now: i64) {
        let actions = self.lane.advance(at(now));
        self.perform(actions, now);
        if let Some(wake) = self.lane.wake_at(at(now)) {
            let wake = us(wake).max(now + 1);
            let is_planned = self.queue.iter().any(|std::cmp::Reverse((when, _, next))| *next == Happening::Wake && *when <= wake);
            if !is_planned {
                self.plan(wake, Happening::Wake);
            }
        }
    }

    fn perform(&mut self, actions: Vec<Action<usize>>, now: i64) {
        for action in actions {
            match action {
                Action::Start { delivery, probe } => self.start(delivery, probe, now),
                Action::AskStarts(_) => unreachable!("the limit is the lane's own here"),
                Action::Claim(limit) => self.claim(limit, now),
                Action::Release(indexes) => indexes.into_iter().for_each(|index| self.deliveries[index].state = State::Waiting),
                Action::Resume(_) => {
                    if let Some(since) = self.hold.take() {
                        self.parked += now - since;
                    }
                }
                Action::Credit(from, to) => self.parked += us(to) - us(from),
            }
        }
    }

    fn start(&mut self, index: usize, probe: bool, now: i64) {
        assert!(self.hold.is_none(), "an attempt on a held destination");
        assert_eq!(self.deliveries[index].state, State::Leased);
        self.attempts += 1;
        self.plan(now + SECOND / 5, Happening::Finish(index, probe));
    }

    fn claim(&mut self, limit: u32, now: i64) {
        let mut due: Vec<usize> = (0..self.deliveries.len())
            .filter(|index| self.deliveries[*index].state == State::Waiting && self.deliveries[*index].not_before <= now)
            .collect();
        due.sort_by_key(|index| self.deliveries[*index].not_before);
        due.truncate(limit as usize);
        due.iter().for_each(|index| self.deliveries[*index].state = State::Leased);
        let next = self.deliveries.iter().filter(|delivery| delivery.state == State::Waiting).map(|delivery| at(delivery.not_before)).min();
        self.input(Input::Claimed { deliveries: due, next_due: next }, now);
    }
}

fn weather() -> impl Strategy<Value = Vec<Weather>> {
    let kind = prop_oneof![
        Just(Trouble::Down),
        Just(Trouble::Busy),
        Just(Trouble::Refused),
        Just(Trouble::Rejecting),
        Just(Trouble::HeldByPerson)
    ];
    prop::collection::vec((0..30 * DAY, 60 * SECOND..5 * DAY, kind), 0..6)
        .prop_map(|spells| spells.into_iter().map(|(from, length, kind)| Weather { from, to: from + length, kind }).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn in_a_month_with_outages_every_delivery_ends_and_people_keep_their_order(
        arrivals in prop::collection::vec((0..30 * DAY, 0_u8..40), 1..150),
        weather in weather(),
    ) {
        let is_rejecting = weather.iter().any(|spell| spell.kind == Trouble::Rejecting);
        let mut world = World::new(&arrivals, weather);
        world.run();
        for delivery in &world.deliveries {
            prop_assert!(!delivery.state.is_pending(), "never ended: {delivery:?}");
            prop_assert!(is_rejecting || delivery.state == State::Delivered, "lost: {delivery:?}");
        }
        for indexes in world.order.values() {
            prop_assert!(indexes.is_sorted(), "out of order: {indexes:?}");
        }
        prop_assert!(world.attempts < 200_000, "{} attempts", world.attempts);
    }
}

#[test]
fn three_days_of_outage_kill_no_delivery_and_cost_few_attempts() {
    let arrivals: Vec<(i64, u8)> = (0..100).map(|minute| (minute * 60 * SECOND, u8::try_from(minute % 40).unwrap())).collect();
    let mut world = World::new(&arrivals, vec![Weather { from: 0, to: 6 * DAY, kind: Trouble::Down }]);
    world.run();
    assert!(world.deliveries.iter().all(|delivery| delivery.state == State::Delivered));
    assert!(world.deliveries.iter().all(|delivery| delivery.attempts <= 5), "a destination that is down burns no attempts");
    assert!(world.attempts < 2_500, "{} attempts", world.attempts);
}
