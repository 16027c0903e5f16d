//! Stories about what waits in the store because its lane has no room: it keeps the order of each person, and keeps nobody else waiting.

use crate::stage::{Stage, after, event, next_leased, now, with};
use jiff::SignedDuration;
use leadwire::store::{Act, DeliveryFilter, Entry, Erasing, EventFilter, Handoff, Leased, NewAction, Room, Routing, State};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

type Handoffs = UnboundedReceiver<Handoff>;

/// A lane that is open from now on, after these persons' events came while it was closed, from number 1.
async fn behind_a_closed_lane(stage: &Stage, persons: &[u8]) -> (Arc<Room>, Handoffs) {
    let (room, handoffs) = stage.attach_lane(100);
    room.set_open(false);
    for (n, person) in (1..).zip(persons) {
        stage.receive(n, Some(*person)).await;
    }
    room.set_open(true);
    (room, handoffs)
}

fn number(leased: &Leased) -> u64 {
    leased.event.session_id.as_ref().unwrap().parse().unwrap()
}

async fn claimed(stage: &Stage, limit: u32) -> Vec<Leased> {
    stage.claim(limit).await.deliveries
}

/// Delivers until nothing is pending; the numbers, in the order of delivery.
async fn deliver_all(stage: &Stage) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let leased = claimed(stage, 3).await;
        if leased.is_empty() {
            return seen;
        }
        for leased in leased {
            seen.push(number(&leased));
            stage.end(&leased, State::Delivered).await;
        }
    }
}

/// What is handed to the lane of what was received until now.
async fn handed_over(stage: &Stage, handoffs: &mut Handoffs) -> Vec<u64> {
    // The last one is of nobody, so that nothing is before it.
    stage.receive(1_000_000, None).await;
    let mut numbers = Vec::new();
    loop {
        let number = number(&next_leased(handoffs).await);
        if number == 1_000_000 {
            return numbers;
        }
        numbers.push(number);
    }
}

async fn of_one_person_only_the_first_is_leased(stage: Stage) {
    let (_room, _handoffs) = behind_a_closed_lane(&stage, &[7, 7, 8, 7]).await;
    let leased = claimed(&stage, 10).await;
    assert_eq!(leased.iter().map(number).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(stage.states().await, [State::Leased, State::Blocked, State::Leased, State::Blocked]);
    stage.assert_audit().await;
    stage.end(&leased[0], State::Dead).await;
    assert_eq!(deliver_all(&stage).await, [2, 4]);
    stage.assert_audit().await;
}

async fn a_stranger_overtakes_a_backlog_and_nobody_overtakes_his_own(stage: Stage) {
    let (_room, mut handoffs) = behind_a_closed_lane(&stage, &[7, 8]).await;
    for (n, person) in [(3, 9), (4, 7), (5, 8)] {
        stage.receive(n, Some(person)).await;
    }
    assert_eq!(handed_over(&stage, &mut handoffs).await, [3]);
    assert_eq!(deliver_all(&stage).await, [1, 2, 4, 5]);
    stage.receive(6, Some(7)).await;
    assert_eq!(number(&next_leased(&mut handoffs).await), 6, "nobody is before him any more");
    stage.assert_audit().await;
}

async fn a_later_one_waits_though_the_first_has_left_the_backlog(stage: Stage) {
    let (_room, mut handoffs) = behind_a_closed_lane(&stage, &[7, 7, 8]).await;
    let first = claimed(&stage, 1).await.remove(0);
    stage.receive(4, Some(7)).await;
    stage.end(&first, State::Delivered).await;
    stage.receive(5, Some(7)).await;
    assert_eq!(handed_over(&stage, &mut handoffs).await, [0; 0]);
    assert_eq!(deliver_all(&stage).await, [2, 3, 4, 5]);
}

async fn after_a_restart_nobody_overtakes_his_own(stage: Stage) {
    drop(behind_a_closed_lane(&stage, &[7, 8]).await);
    let stage = stage.restart().await;
    let (_room, mut handoffs) = stage.attach_lane(100);
    stage.receive(3, Some(7)).await;
    assert_eq!(handed_over(&stage, &mut handoffs).await, [0; 0]);
    // The claim learns who is there; from then on a stranger goes ahead.
    let first = claimed(&stage, 1).await.remove(0);
    stage.receive(4, Some(9)).await;
    stage.receive(5, Some(8)).await;
    assert_eq!(number(&next_leased(&mut handoffs).await), 4);
    stage.end(&first, State::Delivered).await;
    assert_eq!(deliver_all(&stage).await, [2, 3, 5]);
    stage.assert_audit().await;
}

async fn what_another_process_replays_is_not_overtaken(stage: Stage) {
    stage.receive(1, Some(8)).await;
    let dead = stage.claim_one().await;
    stage.end(&dead, State::Dead).await;
    let (room, mut handoffs) = stage.attach_lane(100);
    room.set_open(false);
    stage.receive(2, Some(7)).await;
    let (other, _ownership) = stage.another().await;
    let keys = other.find_ended(DeliveryFilter::default()).await.unwrap();
    assert_eq!(other.replay(keys, now()).await.unwrap(), 1);
    room.set_open(true);
    stage.receive(3, Some(8)).await;
    assert_eq!(handed_over(&stage, &mut handoffs).await, [0; 0]);
    let numbers = deliver_all(&stage).await;
    let place = |n| numbers.iter().position(|number| *number == n).unwrap();
    assert!(numbers.len() == 3 && place(1) < place(3), "{numbers:?}");
    stage.assert_audit().await;
}

/// Of person 7, the first is dead, the second under way and the third behind it; person 8 is in the backlog.
async fn with_a_line_and_a_backlog(stage: &Stage) -> (Leased, (Arc<Room>, Handoffs)) {
    stage.receive(1, Some(7)).await;
    let dead = stage.claim_one().await;
    stage.end(&dead, State::Dead).await;
    let (room, handoffs) = behind_a_closed_lane(stage, &[]).await;
    stage.receive(2, Some(7)).await;
    stage.receive(3, Some(7)).await;
    room.set_open(false);
    stage.receive(4, Some(8)).await;
    room.set_open(true);
    let mut handoffs = handoffs;
    let second = next_leased(&mut handoffs).await;
    (second, (room, handoffs))
}

async fn what_is_replayed_goes_before_what_is_newer(stage: Stage) {
    let (second, _lane) = with_a_line_and_a_backlog(&stage).await;
    let (other, _ownership) = stage.another().await;
    let keys = other.find_ended(DeliveryFilter::default()).await.unwrap();
    assert_eq!(other.replay(keys, now()).await.unwrap(), 1);
    stage.assert_audit().await;
    stage.end(&second, State::Delivered).await;
    let numbers = deliver_all(&stage).await;
    let place = |n| numbers.iter().position(|number| *number == n).unwrap();
    assert!(numbers.len() == 3 && place(1) < place(3), "{numbers:?}");
}

/// A process that does not deliver looks anew each time: the bridge makes backlogs without telling.
async fn what_another_process_routes_goes_behind_what_is_older(stage: Stage) {
    let (room, _handoffs) = stage.attach_lane(100);
    room.set_open(false);
    let (other, _ownership) = stage.another().await;
    for n in [1, 3] {
        stage.receive_one(event(n, Some(7), &[])).await;
    }
    let route = async |n: usize| {
        let mut events = stage.find(EventFilter::default()).await;
        events.sort_by_key(|row| row.event.id);
        let routings = vec![Routing { event: events[n].event.id, person_key: Some([7; 16]), destinations: vec![stage.crm] }];
        other.perform(Entry::New(NewAction::default()), Act::Route { routings }, now()).await.unwrap()
    };
    assert_eq!(route(0).await, 1);
    assert_eq!(deliver_all(&stage).await, [1]);
    stage.receive_one(event(2, Some(7), &[stage.crm])).await;
    // Received after 3, so that it is newer.
    stage.receive_one(event(4, Some(7), &[])).await;
    assert_eq!(route(3).await, 1);
    stage.assert_audit().await;
    assert_eq!(deliver_all(&stage).await, [2, 4]);
}

async fn erasing_some_of_a_backlog_lets_nobody_go_before_his_turn(stage: Stage) {
    stage.receive(1, Some(7)).await;
    let dead = stage.claim_one().await;
    stage.end(&dead, State::Dead).await;
    let (room, _handoffs) = stage.attach_lane(100);
    room.set_open(false);
    for (n, person) in [(2, 7), (3, 8), (4, 7)] {
        stage.receive(n, Some(person)).await;
    }
    let second = claimed(&stage, 1).await.remove(0);
    let keys = stage.store.find_ended(DeliveryFilter::default()).await.unwrap();
    assert_eq!(stage.store.replay(keys, now()).await.unwrap(), 1);
    let events = stage.find(EventFilter::default()).await;
    let last = events.iter().find(|row| row.event.session_id.as_deref() == Some("4")).unwrap().event.id;
    stage.store.erase(Erasing { events: vec![last], ..Erasing::default() }, now()).await.unwrap();
    assert_eq!(claimed(&stage, 10).await.iter().map(number).collect::<Vec<_>>(), [3]);
    stage.end(&second, State::Delivered).await;
    assert_eq!(claimed(&stage, 10).await.iter().map(number).collect::<Vec<_>>(), [1]);
    stage.assert_audit().await;
}

async fn what_came_before_the_clock_was_set_back_is_due(stage: Stage) {
    let (room, _handoffs) = stage.attach_lane(100);
    room.set_open(false);
    stage.receive_one(with(event(1, Some(7), &[stage.crm]), |event| event.received_at = after(3_600))).await;
    stage.store.follow_clock(SignedDuration::from_hours(1), now()).await.unwrap();
    let leased = claimed(&stage, 10).await;
    stage.store.release(leased.iter().map(Leased::lease).collect()).await.unwrap();
    assert_eq!(claimed(&stage, 10).await.len(), 1);
}

async fn a_backlog_of_one_person_is_delivered_one_after_the_other(stage: Stage) {
    let (room, _handoffs) = stage.attach_lane(100);
    room.set_open(false);
    // More than one claim looks at.
    let count = 5_000;
    for start in (0..count).step_by(500) {
        let news = (start..start + 500).map(|n| event(n, Some(if n + 1 == count { 8 } else { 7 }), &[stage.crm]));
        stage.store.receive(news.collect::<Vec<_>>()).await.unwrap();
    }
    let first = stage.claim(10).await;
    assert_eq!(first.deliveries.iter().map(number).next(), Some(0));
    let (mut others, mut next_due) = (first.deliveries.iter().skip(1).map(number).collect::<Vec<_>>(), first.next_due);
    while others.is_empty() {
        assert!(next_due.is_some_and(|due| due <= now()), "it is to be asked again at once");
        let more = stage.claim(10).await;
        (others, next_due) = (more.deliveries.iter().map(number).collect(), more.next_due);
    }
    assert_eq!(others, [count - 1]);
    stage.end(&first.deliveries[0], State::Delivered).await;
    assert_eq!(claimed(&stage, 10).await.iter().map(number).collect::<Vec<_>>(), [1]);
    stage.assert_audit().await;
}

async fn who_is_erased_leaves_the_backlog(stage: Stage) {
    let (_room, _handoffs) = behind_a_closed_lane(&stage, &[7, 7, 8]).await;
    let events = stage.find(EventFilter::default()).await;
    let first = events.iter().find(|row| row.event.session_id.as_deref() == Some("1")).unwrap().event.id;
    let erasing = Erasing { events: vec![first], ..Erasing::default() };
    stage.store.erase(erasing, now()).await.unwrap();
    assert_eq!(deliver_all(&stage).await, [2, 3]);
    stage.assert_audit().await;
}

on_every_engine!(
    of_one_person_only_the_first_is_leased,
    a_stranger_overtakes_a_backlog_and_nobody_overtakes_his_own,
    a_later_one_waits_though_the_first_has_left_the_backlog,
    after_a_restart_nobody_overtakes_his_own,
    what_another_process_replays_is_not_overtaken,
    what_is_replayed_goes_before_what_is_newer,
    what_another_process_routes_goes_behind_what_is_older,
    erasing_some_of_a_backlog_lets_nobody_go_before_his_turn,
    what_came_before_the_clock_was_set_back_is_due,
    a_backlog_of_one_person_is_delivered_one_after_the_other,
    who_is_erased_leaves_the_backlog,
);
