//! What a store must be, as simply as it can be said: a list of events in memory.

use jiff::{SignedDuration, Timestamp};
use leadwire::store::{
    AttemptRow, Counts, DeliveryFilter, DeliveryRow, DestinationId, Ended, Erasure, EventDetail, EventFilter, EventRow, Hold, NewEvent,
    Outcome, QuarantineClass, QuarantineLimits, QuarantineRow, Quarantined, Received, Refused, Removed, RemovedDelivery, RemovedEvent,
    State, delivery_id,
};
use leadwire_connector::{Event, Kind, Person, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

#[derive(Debug, Default)]
pub(crate) struct Model {
    /// In the order of receipt.
    pub(crate) events: Vec<Kept>,
    pub(crate) destinations: BTreeMap<DestinationId, Destination>,
    /// In the order of their coming.
    pub(crate) quarantine: Vec<Body>,
    /// What connectors are to remove, in the order of asking.
    pub(crate) erasures: Vec<Erasure>,
    /// Events ever received, by source.
    pub(crate) received: BTreeMap<String, i64>,
    /// Whether what no lane has room for waits in a backlog first, and stands in its person's line only when its turn comes.
    pub(crate) has_backlogs: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Destination {
    pub(crate) name: String,
    pub(crate) hold: Option<Hold>,
    pub(crate) parked_us: i64,
    pub(crate) made: i64,
    /// Places left in its lane, and whether fresh deliveries may enter.
    pub(crate) places: u32,
    pub(crate) is_open: bool,
    /// Who joined the backlog since somebody saw that it was empty.
    pub(crate) joined: BTreeSet<[u8; 16]>,
}

#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) new: NewEvent,
    pub(crate) duplicates: i64,
    pub(crate) erased_at: Option<Timestamp>,
    pub(crate) deliveries: BTreeMap<DestinationId, Delivery>,
}

#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) state: State,
    /// Not in a backlog.
    pub(crate) in_line: bool,
    pub(crate) attempts: u32,
    pub(crate) not_before: Timestamp,
    pub(crate) clock_start: Timestamp,
    pub(crate) parked_base_us: i64,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) record: Option<Record>,
    pub(crate) remark: Option<String>,
    pub(crate) tries: BTreeMap<Timestamp, AttemptRow>,
    pub(crate) steps: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) refused: Refused,
    pub(crate) times: i64,
}

fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

impl Destination {
    /// How long it had been parked in all at this moment.
    fn parked_at(&self, now: Timestamp) -> i64 {
        self.parked_us + self.hold.as_ref().map_or(0, |hold| (micros(now) - micros(hold.since)).max(0))
    }

    fn enter(&mut self) -> bool {
        let enters = self.is_open && self.places > 0;
        self.places -= u32::from(enters);
        enters
    }
}

/// Receiving, and what becomes of deliveries.
impl Model {
    pub(crate) fn receive(&mut self, news: &[NewEvent]) -> Vec<Received> {
        news.iter().map(|new| self.receive_one(new)).collect()
    }

    fn receive_one(&mut self, new: &NewEvent) -> Received {
        let same = |kept: &&mut Kept| kept.new.content_key == new.content_key && kept.new.event.source == new.event.source;
        if let Some(first) = self.events.iter_mut().find(same) {
            first.duplicates += 1;
            return Received::Duplicate;
        }
        *self.received.entry(new.event.source.clone()).or_default() += 1;
        let deliveries = new.destinations.iter().map(|id| (*id, self.bear(*id, new))).collect();
        self.events.push(Kept { new: new.clone(), duplicates: 0, erased_at: None, deliveries });
        Received::New
    }

    fn bear(&mut self, id: DestinationId, new: &NewEvent) -> Delivery {
        let (state, in_line) = match self.place(id, new.person_key) {
            (State::Waiting, true) if self.destinations.get_mut(&id).unwrap().enter() => (State::Leased, true),
            (State::Waiting, true) if self.has_backlogs => (State::Waiting, false),
            place => place,
        };
        let destination = self.destinations.get_mut(&id).unwrap();
        destination.made += 1;
        destination.joined.extend(new.person_key.filter(|_| !in_line));
        let at = new.event.received_at;
        Delivery {
            state,
            in_line,
            attempts: 0,
            not_before: at,
            clock_start: at,
            parked_base_us: destination.parked_at(at),
            ended_at: None,
            record: None,
            remark: None,
            tries: BTreeMap::new(),
            steps: BTreeMap::new(),
        }
    }

    /// The state of a delivery that comes now and has to wait, and whether it stands in its person's line.
    fn place(&mut self, id: DestinationId, person: Option<[u8; 16]>) -> (State, bool) {
        if self.may_be_in_backlog(id, person) {
            return (State::Waiting, false);
        }
        (if self.is_in_line(id, person) { State::Blocked } else { State::Waiting }, true)
    }

    /// The same of one that is pending again, or that its event is given later: it stands before what is newer.
    fn place_again(&mut self, id: DestinationId, place: usize) -> (State, bool) {
        let person = self.events[place].new.person_key;
        let is_newer = |kept: &Kept| {
            let delivery = kept.deliveries.get(&id).is_some_and(|delivery| delivery.state.is_pending() && delivery.in_line);
            delivery && kept.new.person_key == person
        };
        if self.has_backlogs && person.is_some() && self.events[place + 1..].iter().any(is_newer) {
            return (State::Blocked, true);
        }
        self.place(id, person)
    }

    /// Whoever joined a backlog is taken to be in it until it is seen to be empty.
    fn may_be_in_backlog(&mut self, id: DestinationId, person: Option<[u8; 16]>) -> bool {
        let is_empty = self.waiting(id).all(|(_, _, in_line)| in_line);
        let joined = &mut self.destinations.get_mut(&id).unwrap().joined;
        let has_joined = person.is_some_and(|person| joined.contains(&person));
        if has_joined && is_empty {
            joined.clear();
        }
        has_joined && !is_empty
    }

    fn is_in_line(&self, id: DestinationId, person: Option<[u8; 16]>) -> bool {
        let is_there = |kept: &Kept| kept.deliveries.get(&id).is_some_and(|delivery| delivery.state.is_pending() && delivery.in_line);
        person.is_some() && self.events.iter().any(|kept| kept.new.person_key == person && is_there(kept))
    }

    pub(crate) fn delivery(&mut self, event: Uuid, destination: DestinationId) -> &mut Delivery {
        let kept = self.events.iter_mut().find(|kept| kept.new.event.id == event).unwrap();
        kept.deliveries.get_mut(&destination).unwrap()
    }

    /// The events whose deliveries are leased now, in order, and when the next one that waits is due.
    pub(crate) fn claim(&mut self, id: DestinationId, limit: u32, now: Timestamp) -> (Vec<Uuid>, Option<Timestamp>) {
        let (mut due, mut backlog): (Vec<_>, Vec<_>) = self.waiting(id).enumerate().partition(|(_, (_, _, in_line))| *in_line);
        due.retain(|(_, (not_before, _, _))| *not_before <= now);
        due.sort_by_key(|(place, (not_before, _, _))| (*not_before, *place));
        due.reverse();
        backlog.reverse();
        let mut claimed = Vec::new();
        while claimed.len() < limit as usize {
            // What waits longest goes first.
            let key = |waiting: &(usize, (Timestamp, Uuid, bool))| (waiting.1.0, waiting.0);
            let is_due_first = due.last().is_some_and(|due| backlog.last().is_none_or(|first| key(due) < key(first)));
            let Some((_, (_, event, _))) = (if is_due_first { due.pop() } else { backlog.pop() }) else { break };
            let person = self.events.iter().find(|kept| kept.new.event.id == event).unwrap().new.person_key;
            let is_behind = !is_due_first && self.is_in_line(id, person);
            let delivery = self.delivery(event, id);
            (delivery.state, delivery.in_line) = (if is_behind { State::Blocked } else { State::Leased }, true);
            if !is_behind {
                delivery.not_before = delivery.not_before.min(now);
            }
            claimed.extend((!is_behind).then_some(event));
        }
        let in_line = self.waiting(id).filter(|(_, _, in_line)| *in_line).map(|(not_before, _, _)| not_before).min();
        (claimed, in_line.into_iter().chain(self.first_in_backlog(id).map(|not_before| not_before.min(now))).min())
    }

    /// When each is due, its event, and whether it is in no backlog, in the order of receipt.
    fn waiting(&self, id: DestinationId) -> impl Iterator<Item = (Timestamp, Uuid, bool)> {
        let waits = move |kept: &Kept| {
            let delivery = kept.deliveries.get(&id).filter(|delivery| delivery.state == State::Waiting);
            delivery.map(|delivery| (delivery.not_before, kept.new.event.id, delivery.in_line))
        };
        self.events.iter().filter_map(waits)
    }

    fn first_in_backlog(&self, id: DestinationId) -> Option<Timestamp> {
        self.waiting(id).find(|(_, _, in_line)| !in_line).map(|(not_before, _, _)| not_before)
    }

    pub(crate) fn next_due(&self, id: DestinationId) -> Option<Timestamp> {
        let in_line = self.waiting(id).filter(|(_, _, in_line)| *in_line).map(|(not_before, _, _)| not_before);
        in_line.chain(self.first_in_backlog(id)).min()
    }

    /// What is in a backlog is always due.
    pub(crate) fn is_due(&self, id: DestinationId, now: Timestamp) -> bool {
        self.waiting(id).any(|(not_before, _, in_line)| !in_line || not_before <= now)
    }

    pub(crate) fn settle(&mut self, event: Uuid, id: DestinationId, outcome: &Outcome, at: Timestamp, attempt: Option<&AttemptRow>) {
        let delivery = self.delivery(event, id);
        if delivery.state == State::Erased {
            return self.arrive(event, id, outcome);
        }
        if let Some(attempt) = attempt {
            delivery.tries.insert(attempt.at, attempt.clone());
        }
        match outcome {
            Outcome::Again(again) => {
                delivery.state = State::Waiting;
                delivery.not_before = again.not_before;
                delivery.attempts = again.attempts;
                delivery.remark = attempt.and_then(|attempt| attempt.message.clone()).or(delivery.remark.take());
            }
            Outcome::Ended(ended) => {
                delivery.state = ended.state;
                delivery.ended_at = Some(at);
                delivery.attempts += 1;
                delivery.record = ended.record.clone().or(delivery.record.take());
                delivery.remark.clone_from(&ended.remark);
                let person = self.events.iter().find(|kept| kept.new.event.id == event).unwrap().new.person_key;
                self.unblock(person, id, at);
            }
        }
    }

    /// The person's oldest pending delivery goes next.
    fn unblock(&mut self, person: Option<[u8; 16]>, id: DestinationId, now: Timestamp) {
        let parked = self.destinations[&id].parked_at(now);
        let same = self.events.iter_mut().filter(|kept| person.is_some() && kept.new.person_key == person);
        let next = same.filter_map(|kept| kept.deliveries.get_mut(&id)).find(|delivery| delivery.state.is_pending() && delivery.in_line);
        if let Some(delivery) = next.filter(|delivery| delivery.state == State::Blocked) {
            delivery.state = State::Waiting;
            delivery.clock_start = now;
            delivery.not_before = delivery.not_before.min(now);
            delivery.parked_base_us = parked;
        }
    }

    pub(crate) fn replay(&mut self, event: Uuid, id: DestinationId, now: Timestamp) {
        let place = self.events.iter().position(|kept| kept.new.event.id == event).unwrap();
        let person = self.events[place].new.person_key;
        let (state, in_line) = self.place_again(id, place);
        self.destinations.get_mut(&id).unwrap().joined.extend(person.filter(|_| !in_line));
        let parked_base_us = self.destinations[&id].parked_at(now);
        let delivery = self.delivery(event, id);
        *delivery = Delivery {
            state,
            in_line,
            attempts: 0,
            not_before: now,
            clock_start: now,
            parked_base_us,
            ended_at: None,
            record: delivery.record.take(),
            remark: delivery.remark.take(),
            tries: std::mem::take(&mut delivery.tries),
            steps: std::mem::take(&mut delivery.steps),
        };
    }

    /// A dead letter that need not be delivered. Whether it was one.
    pub(crate) fn discard(&mut self, event: Uuid, id: DestinationId, remark: &str, now: Timestamp) -> bool {
        let delivery = self.delivery(event, id);
        let is_dead = delivery.state == State::Dead;
        if is_dead {
            (delivery.state, delivery.ended_at, delivery.remark) = (State::Skipped, Some(now), Some(remark.to_owned()));
        }
        is_dead
    }

    /// Events are given the deliveries that they do not have, in the order of receipt. How many.
    pub(crate) fn route(&mut self, events: &[Uuid], destinations: &[DestinationId], now: Timestamp) -> usize {
        let mut made = 0;
        for place in 0..self.events.len() {
            let kept = &self.events[place];
            if kept.erased_at.is_some() || !events.contains(&kept.new.event.id) {
                continue;
            }
            for id in destinations {
                let person = self.events[place].new.person_key;
                let (state, in_line) = self.place_again(*id, place);
                let destination = self.destinations.get_mut(id).unwrap();
                destination.joined.extend(person.filter(|_| !in_line));
                if self.events[place].deliveries.contains_key(id) {
                    continue;
                }
                destination.made += 1;
                made += 1;
                let delivery = Delivery {
                    state,
                    in_line,
                    attempts: 0,
                    not_before: now,
                    clock_start: now,
                    parked_base_us: destination.parked_at(now),
                    ended_at: None,
                    record: None,
                    remark: None,
                    tries: BTreeMap::new(),
                    steps: BTreeMap::new(),
                };
                self.events[place].deliveries.insert(*id, delivery);
            }
        }
        made
    }

    pub(crate) fn remove_ended(&mut self, cutoff: Timestamp) -> usize {
        let before = self.events.len();
        let is_over = |delivery: &Delivery| matches!(delivery.state, State::Delivered | State::Skipped);
        self.events.retain(|kept| {
            let event = &kept.new.event;
            let was_routed = !kept.deliveries.is_empty() || event.kind == Kind::Test;
            let may_go = kept.erased_at.map_or(was_routed && kept.deliveries.values().all(is_over), |erased_at| erased_at < cutoff);
            !(event.received_at < cutoff && may_go)
        });
        before - self.events.len()
    }
}

/// Erasing.
impl Model {
    /// The events by id, the bodies by their places.
    pub(crate) fn erase(&mut self, events: &[Uuid], mut bodies: Vec<usize>, at: Timestamp) -> Removed {
        let mut removed = Removed { quarantined: bodies.len(), ..Removed::default() };
        let mut waiting = Vec::new();
        for id in events {
            let kept = self.events.iter_mut().find(|kept| kept.new.event.id == *id && kept.erased_at.is_none());
            let Some(kept) = kept else { continue };
            let tries = kept.deliveries.values().map(|delivery| delivery.tries.len());
            removed.attempts += tries.sum::<usize>();
            removed.steps += kept.deliveries.values().map(|delivery| delivery.steps.len()).sum::<usize>();
            let (mut deliveries, kind) = (Vec::new(), kept.new.event.kind.to_string());
            for (destination, delivery) in &mut kept.deliveries {
                let was_ahead = delivery.in_line && matches!(delivery.state, State::Waiting | State::Leased);
                waiting.extend(was_ahead.then_some((kept.new.person_key, *destination)));
                let (erasure, gone) = erase_delivery(*id, *destination, &self.destinations[destination].name, delivery, at);
                self.erasures.push(erasure);
                deliveries.push(gone);
            }
            (kept.erased_at, kept.new.person_key, kept.new.event) = (Some(at), None, Arc::new(tombstone(&kept.new.event)));
            removed.events.push(RemovedEvent { id: *id, kind, deliveries });
        }
        waiting.into_iter().for_each(|(person, id)| self.unblock(person, id, at));
        bodies.sort_unstable_by(|one, other| other.cmp(one));
        bodies.into_iter().for_each(|place| drop(self.quarantine.remove(place)));
        self.sort_erasures();
        removed
    }

    /// What was made although the person was erased meanwhile.
    fn arrive(&mut self, event: Uuid, id: DestinationId, outcome: &Outcome) {
        let what = match outcome {
            Outcome::Ended(Ended { state: State::Delivered, record, .. }) => {
                let record = record.as_ref().map(|record| record.url.as_ref().unwrap_or(&record.id).clone());
                Some(record.unwrap_or_else(|| "delivered".to_owned()))
            }
            _ => None,
        };
        self.reopen(event, id, what);
    }

    /// It is asked again what connectors keep.
    fn reopen(&mut self, event: Uuid, id: DestinationId, what: Option<String>) {
        let delivery = delivery_id(event, &self.destinations[&id].name);
        let erasure = self.erasures.iter_mut().find(|erasure| erasure.delivery == delivery).unwrap();
        erasure.requested_at += SignedDuration::from_micros(1);
        (erasure.done_at, erasure.result, erasure.place) = (None, None, None);
        erasure.arrived = [erasure.arrived.take(), what].into_iter().flatten().reduce(|earlier, what| format!("{earlier}, {what}"));
        self.sort_erasures();
    }

    fn sort_erasures(&mut self) {
        self.erasures.sort_by(|one, other| (one.requested_at, &one.delivery).cmp(&(other.requested_at, &other.delivery)));
    }

    pub(crate) fn save_step(&mut self, event: Uuid, id: DestinationId, name: &str, remote: &str) {
        let delivery = self.delivery(event, id);
        if delivery.state == State::Erased {
            return self.reopen(event, id, Some(format!("{name} {remote}")));
        }
        delivery.steps.insert(name.to_owned(), remote.to_owned());
    }
}

fn erase_delivery(event: Uuid, id: DestinationId, name: &str, delivery: &mut Delivery, at: Timestamp) -> (Erasure, RemovedDelivery) {
    let was = std::mem::replace(&mut delivery.state, State::Erased);
    let erasure = Erasure {
        delivery: delivery_id(event, name),
        destination_id: id,
        destination: name.to_owned(),
        event: None,
        under_way: was == State::Leased,
        requested_at: at,
        done_at: None,
        result: None,
        place: None,
        arrived: None,
    };
    delivery.ended_at = Some(at);
    delivery.remark = None;
    delivery.tries.clear();
    let (record, steps) = (delivery.record.take(), std::mem::take(&mut delivery.steps).into_iter().collect());
    let removed = RemovedDelivery { delivery: erasure.delivery.clone(), destination: name.to_owned(), was, record, steps };
    (erasure, removed)
}

fn tombstone(event: &Event) -> Event {
    Event {
        chatbot_id: None,
        person: Person::default(),
        content: None,
        session_id: None,
        page_url: None,
        created_at: None,
        stale: false,
        conversation: None,
        extra: serde_json::Map::new(),
        raw: serde_json::Value::Null,
        ..event.clone()
    }
}

/// Holds.
impl Model {
    pub(crate) fn hold(&mut self, id: DestinationId, reason: &str, until: Option<Timestamp>, now: Timestamp, by_attempt: bool) {
        let destination = self.destinations.get_mut(&id).unwrap();
        let since = destination.hold.as_ref().map_or(now, |hold| hold.since);
        // One without end ends later than any other.
        let stays = |hold: &Hold| hold.until.is_none_or(|end| until.is_some_and(|until| until <= end));
        if !(by_attempt && destination.hold.as_ref().is_some_and(stays)) {
            destination.hold = Some(Hold { reason: reason.to_owned(), since, until });
        }
    }

    pub(crate) fn resume(&mut self, id: DestinationId, now: Timestamp, only_expired: bool) -> bool {
        let destination = self.destinations.get_mut(&id).unwrap();
        let parked_us = destination.parked_at(now);
        let ends = |hold: &mut Hold| !only_expired || hold.until.is_some_and(|until| until <= now);
        let ended = destination.hold.take_if(ends).is_some();
        if ended {
            destination.parked_us = parked_us;
        }
        ended
    }

    pub(crate) fn follow_clock(&mut self, by: SignedDuration, now: Timestamp) {
        let pull_in = |moment: &mut Timestamp| *moment = (*moment).min(now.max(*moment - by));
        let deliveries = self.events.iter_mut().flat_map(|kept| kept.deliveries.values_mut());
        // What is in a backlog is always due.
        deliveries
            .filter(|delivery| delivery.state == State::Waiting && delivery.in_line)
            .for_each(|delivery| pull_in(&mut delivery.not_before));
        let holds = self.destinations.values_mut().filter_map(|destination| destination.hold.as_mut());
        holds.filter_map(|hold| hold.until.as_mut()).for_each(pull_in);
    }

    pub(crate) fn credit_outage(&mut self, id: DestinationId, outage: SignedDuration) {
        self.destinations.get_mut(&id).unwrap().parked_us += i64::try_from(outage.as_micros()).unwrap().max(0);
    }

    pub(crate) fn counts(&self, id: DestinationId) -> Counts {
        let mut counts = Counts::default();
        for delivery in self.events.iter().filter_map(|kept| kept.deliveries.get(&id)) {
            *match delivery.state {
                State::Waiting | State::Leased | State::Blocked => &mut counts.pending,
                State::Delivered => &mut counts.delivered,
                State::Skipped => &mut counts.skipped,
                State::Dead => &mut counts.dead,
                State::Erased => &mut counts.erased,
            } += 1;
        }
        counts
    }
}

/// The quarantine.
impl Model {
    pub(crate) fn quarantine(&mut self, refused: Refused, limits: QuarantineLimits) -> Quarantined {
        let same = |body: &&mut Body| {
            (&body.refused.source, &body.refused.header, &body.refused.body) == (&refused.source, &refused.header, &refused.body)
        };
        if let Some(body) = self.quarantine.iter_mut().find(same).filter(|body| body.refused.class as u8 >= refused.class as u8) {
            body.times += 1;
            body.refused.at = refused.at;
            return Quarantined::Kept { pushed_out: 0 };
        }
        let Some(pushed_out) = self.make_room(&refused, limits) else { return Quarantined::Full };
        self.quarantine.retain_mut(|body| !same(&body));
        self.quarantine.push(Body { refused, times: 1 });
        Quarantined::Kept { pushed_out }
    }

    fn make_room(&mut self, refused: &Refused, limits: QuarantineLimits) -> Option<u32> {
        let is_hopeless = refused.class == QuarantineClass::Hopeless;
        let most = i64::try_from(limits.max_bytes).unwrap() / if is_hopeless { 16 } else { 1 };
        let same = |body: &Body| body.refused.source == refused.source && body.refused.class == refused.class;
        let total = |bodies: &[Body]| bodies.iter().filter(|body| same(body)).map(|body| size(&body.refused)).sum::<i64>();
        let over = total(&self.quarantine) + size(refused) > most;
        if over && (refused.class == QuarantineClass::Promised || size(refused) > most) {
            return None;
        }
        let mut pushed_out = 0;
        while total(&self.quarantine) + size(refused) > most {
            let in_class = self.quarantine.iter().enumerate().filter(|(_, body)| same(body));
            let (largest, _) = in_class.max_by_key(|(_, body)| size(&body.refused))?;
            self.quarantine.remove(largest);
            pushed_out += 1;
        }
        Some(pushed_out)
    }

    pub(crate) fn purge(&mut self, source: Option<&str>, before: Option<Timestamp>, with_promised: bool) -> usize {
        let count = self.quarantine.len();
        self.quarantine.retain(|Body { refused, .. }| {
            let is_meant = source.is_none_or(|source| source == refused.source) && before.is_none_or(|before| refused.at < before);
            !(is_meant && (with_promised || refused.class != QuarantineClass::Promised))
        });
        count - self.quarantine.len()
    }

    /// Newest first, without their numbers.
    pub(crate) fn quarantined(&self, source: Option<&str>, limit: u32) -> Vec<QuarantineRow> {
        let meant = self.quarantine.iter().rev().filter(|body| source.is_none_or(|source| source == body.refused.source));
        meant.take(limit as usize).map(quarantine_row).collect()
    }
}

/// All that a row takes, about.
fn size(refused: &Refused) -> i64 {
    i64::try_from(refused.body.len() + refused.header.as_ref().map_or(0, String::len) + 512).unwrap()
}

fn quarantine_row(body: &Body) -> QuarantineRow {
    let Refused { source, at, client, code, reason, header, .. } = body.refused.clone();
    QuarantineRow { id: 0, source, at, client, times: body.times, size: size(&body.refused), code, reason, header }
}

/// For people.
impl Model {
    fn row(&self, kept: &Kept, id: DestinationId, delivery: &Delivery) -> DeliveryRow {
        let (event, name) = (kept.new.event.id, &self.destinations[&id].name);
        DeliveryRow {
            id: delivery_id(event, name),
            event,
            destination: name.clone(),
            state: delivery.state,
            attempts: delivery.attempts,
            received_at: kept.new.event.received_at,
            not_before: (delivery.state == State::Waiting).then_some(delivery.not_before),
            ended_at: delivery.ended_at,
            record: delivery.record.clone(),
            remark: delivery.remark.clone(),
        }
    }

    fn rows(&self, kept: &Kept) -> Vec<DeliveryRow> {
        kept.deliveries.iter().map(|(id, delivery)| self.row(kept, *id, delivery)).collect()
    }

    pub(crate) fn deliveries(&self, filter: &DeliveryFilter) -> Vec<DeliveryRow> {
        let matches = |row: &DeliveryRow| {
            (filter.states.is_empty() || filter.states.contains(&row.state))
                && filter.destination.as_ref().is_none_or(|name| *name == row.destination)
                && filter.since.is_none_or(|since| row.received_at >= since)
        };
        self.events.iter().rev().flat_map(|kept| self.rows(kept)).filter(matches).take(filter.limit as usize).collect()
    }

    fn event_row(&self, kept: &Kept) -> EventRow {
        EventRow {
            event: (*kept.new.event).clone(),
            duplicates: kept.duplicates,
            erased_at: kept.erased_at,
            receipt: kept.new.receipt.filter(|_| kept.erased_at.is_none()),
            deliveries: self.rows(kept),
        }
    }

    pub(crate) fn events(&self, filter: &EventFilter) -> Vec<EventRow> {
        let to = |name: &String| self.destinations.iter().find(|(_, known)| known.name == *name).map(|(id, _)| *id).unwrap();
        let to = filter.destination.as_ref().map(to);
        let has_delivery = |kept: &Kept| {
            let is_meant = |(id, delivery): (&DestinationId, &Delivery)| {
                to.is_none_or(|to| to == *id) && filter.state.is_none_or(|state| state == delivery.state)
            };
            (to.is_none() && filter.state.is_none()) || kept.deliveries.iter().any(is_meant)
        };
        let matching = self.events.iter().rev().filter(|kept| matches(filter, kept) && has_delivery(kept));
        matching.take(filter.limit as usize).map(|kept| self.event_row(kept)).collect()
    }

    /// Attempts and steps in the order of their times and names.
    pub(crate) fn detail(&self, kept: &Kept) -> EventDetail {
        let (mut attempts, mut steps) = (Vec::new(), Vec::new());
        for (id, delivery) in &kept.deliveries {
            let name = &self.destinations[id].name;
            attempts.extend(delivery.tries.values().map(|row| (name.clone(), row.clone())));
            steps.extend(delivery.steps.iter().map(|(step, remote)| (name.clone(), step.clone(), remote.clone())));
        }
        attempts.sort_by(|(a, one), (b, other)| (one.at, a).cmp(&(other.at, b)));
        steps.sort();
        EventDetail { row: self.event_row(kept), attempts, steps }
    }
}

fn matches(filter: &EventFilter, kept: &Kept) -> bool {
    let event = &kept.new.event;
    let has = |wanted: &Option<String>, given: Option<&str>| wanted.as_ref().is_none_or(|wanted| given == Some(wanted));
    let person = &event.person;
    filter.email.as_ref().is_none_or(|wanted| person.email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(wanted)))
        && filter.phone.as_ref().is_none_or(|wanted| person.phone.as_ref().is_some_and(|phone| is_phone(phone, wanted)))
        // No other text has an address than the e-mail.
        && filter.text.as_ref().is_none_or(|wanted| person.email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(wanted)))
        && (!filter.duplicates || kept.duplicates > 0)
        && has(&filter.session, event.session_id.as_deref())
        && has(&filter.source, Some(&event.source))
        && has(&filter.kind, Some(event.kind.as_str()))
        && filter.since.is_none_or(|since| event.received_at >= since)
        && filter.until.is_none_or(|until| event.received_at < until)
        && !(filter.unrouted && (!kept.deliveries.is_empty() || event.kind == Kind::Test || kept.erased_at.is_some()))
}

/// Whether the digits of a phone end in those that are wanted, which people write with or without leading zeros.
fn is_phone(phone: &str, wanted: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let wanted = digits(wanted).trim_start_matches('0').to_owned();
    !wanted.is_empty() && digits(phone).ends_with(&wanted)
}
