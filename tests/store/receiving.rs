//! Stories about storing what was received.

use crate::stage::{Stage, again, event, next, next_leased, with};
use jiff::Timestamp;
use leadwire::store::{EventFilter, Handoff, Received, State};
use std::sync::Arc;

async fn the_same_content_is_stored_once_also_after_a_restart(stage: Stage) {
    assert_eq!(stage.receive(1, None).await, Received::New);
    assert_eq!(stage.receive(1, None).await, Received::Duplicate);
    let stage = stage.restart().await;
    assert_eq!(stage.receive(1, None).await, Received::Duplicate);
    let events = stage.find(EventFilter::default()).await;
    assert_eq!((events.len(), events[0].duplicates, events[0].deliveries.len()), (1, 2, 1));
    stage.assert_audit().await;
}

async fn the_same_content_of_another_source_is_another_event(stage: Stage) {
    let news = [event(1, None, &[]), again(event(1, None, &[])), with(event(2, None, &[]), |event| event.source = "Beta".to_owned())];
    let [first, same, mut other] = news;
    other.content_key = first.content_key;
    let received = stage.store.receive(vec![first, same, other]).await.unwrap();
    assert_eq!(received, [Received::New, Received::Duplicate, Received::New], "one entry for each, in order");
    assert_eq!(stage.store.source_counts().await.unwrap(), [("Beta".to_owned(), 1), ("acme".to_owned(), 1)]);
}

async fn nothing_at_all_may_be_received(stage: Stage) {
    assert_eq!(stage.store.receive(Vec::new()).await.unwrap(), []);
    stage.assert_audit().await;
}

async fn all_events_of_a_request_are_stored_or_none(stage: Stage) {
    let unknown = with(event(9, None, &[stage.crm]), |event| event.source = "unregistered".to_owned());
    let (good, bad, other) = tokio::join!(
        stage.store.receive(vec![event(1, None, &[stage.crm])]),
        stage.store.receive(vec![event(2, None, &[stage.crm]), unknown]),
        stage.store.receive(vec![event(3, None, &[stage.crm])]),
    );
    assert_eq!((good.unwrap(), other.unwrap()), (vec![Received::New], vec![Received::New]));
    assert!(bad.is_err());
    assert_eq!(stage.states().await.len(), 2, "the failed request left nothing behind");
    stage.assert_audit().await;
}

async fn a_fresh_delivery_is_born_leased_while_the_lane_has_room(stage: Stage) {
    let (room, mut handoffs) = stage.attach_lane(1);
    stage.receive(1, None).await;
    stage.receive(2, None).await;
    let Handoff::Leased(leased) = next(&mut handoffs).await else { panic!("the first is not leased") };
    assert!(matches!(next(&mut handoffs).await, Handoff::Waiting));
    assert_eq!(stage.states().await, [State::Leased, State::Waiting]);
    assert!(stage.store.may_start(&leased));
    assert_eq!((leased.event.session_id.as_deref(), leased.attempts, leased.places), (Some("1"), 0, 1));
    room.leave(leased.places);
    stage.end(&leased, State::Delivered).await;
    assert_eq!(stage.states().await, [State::Delivered, State::Waiting], "a lease by birth is a lease as any other");
    stage.receive(3, None).await;
    assert!(matches!(next(&mut handoffs).await, Handoff::Leased(_)), "the place that was given back is taken again");
}

async fn nothing_is_born_leased_into_a_closed_lane_or_behind_the_same_person(stage: Stage) {
    let (room, mut handoffs) = stage.attach_lane(8);
    room.set_open(false);
    stage.receive(1, Some(7)).await;
    assert!(matches!(next(&mut handoffs).await, Handoff::Waiting));
    room.set_open(true);
    stage.receive(2, Some(7)).await;
    stage.receive(3, Some(8)).await;
    assert_eq!(next_leased(&mut handoffs).await.event.session_id.as_deref(), Some("3"));
    assert_eq!(stage.states().await.iter().map(|state| *state == State::Leased).collect::<Vec<_>>(), [false, false, true]);
    let first = stage.claim(10).await.deliveries;
    assert_eq!(first.iter().map(|leased| leased.event.session_id.as_deref()).collect::<Vec<_>>(), [Some("1")]);
    assert_eq!(stage.states().await, [State::Leased, State::Blocked, State::Leased]);
    stage.end(&first[0], State::Delivered).await;
    assert!(matches!(next(&mut handoffs).await, Handoff::Waiting), "the lane is told of what is free to go");
    assert_eq!(stage.states().await, [State::Delivered, State::Waiting, State::Leased]);
}

async fn places_taken_for_a_request_that_failed_are_given_back(stage: Stage) {
    let (room, mut handoffs) = stage.attach_lane(1);
    let unknown = with(event(9, None, &[]), |event| event.source = "unregistered".to_owned());
    assert!(stage.store.receive(vec![event(1, None, &[stage.crm]), unknown]).await.is_err());
    assert!(handoffs.try_recv().is_err());
    assert!(room.try_enter());
}

async fn two_handles_that_receive_the_same_content_store_it_once(stage: Stage) {
    let (other, _ownership) = stage.another().await;
    let mut tasks = tokio::task::JoinSet::new();
    for store in [stage.store.clone(), other] {
        for n in (0..40).chain((0..40).rev()) {
            let (store, new) = (store.clone(), again(event(n, Some(u8::try_from(n % 5).unwrap()), &[stage.crm, stage.drop])));
            tasks.spawn(async move { store.receive(vec![new]).await.unwrap()[0] });
        }
    }
    let received = tasks.join_all().await;
    assert_eq!(received.iter().filter(|received| **received == Received::New).count(), 40);
    assert_eq!(stage.find(EventFilter::default()).await.iter().map(|event| event.duplicates).sum::<i64>(), 120);
    stage.assert_audit().await;
}

async fn a_large_event_comes_back_whole_and_waits_in_the_store(stage: Stage) {
    let (_room, mut handoffs) = stage.attach_lane(1_000);
    let new = with(event(1, None, &[stage.crm]), |event| event.content = Some("größer".repeat((25 << 20) / 8)));
    let expected = Arc::clone(&new.event);
    assert!(new.body.len() >= 25 << 20);
    stage.receive_one(new).await;
    assert!(matches!(next(&mut handoffs).await, Handoff::Waiting));
    let leased = stage.claim_one().await;
    assert!(leased.event == expected, "what was sent is what is delivered");
    assert!(leased.places >= 400, "{}", leased.places);
    assert!(stage.find(EventFilter::default()).await[0].event == *expected);
}

async fn moments_are_kept_to_the_microsecond_wherever_they_are(stage: Stage) {
    let moments =
        ["0001-01-02T00:00:00Z", "1969-12-31T23:59:59.999999Z", "2024-03-31T02:30:00.000001+02:00", "9999-12-30T21:59:59.999999Z"];
    for (n, moment) in moments.iter().enumerate() {
        let at: Timestamp = moment.parse().unwrap();
        let new = with(event(n as u64, None, &[stage.crm]), |event| (event.received_at, event.created_at) = (at, Some(at)));
        stage.receive_one(new).await;
        let events = stage.find(EventFilter { session: Some(n.to_string()), ..EventFilter::default() }).await;
        assert_eq!((events[0].event.created_at, events[0].deliveries[0].received_at), (Some(at), at));
    }
}

on_every_engine!(
    the_same_content_is_stored_once_also_after_a_restart,
    the_same_content_of_another_source_is_another_event,
    nothing_at_all_may_be_received,
    all_events_of_a_request_are_stored_or_none,
    a_fresh_delivery_is_born_leased_while_the_lane_has_room,
    nothing_is_born_leased_into_a_closed_lane_or_behind_the_same_person,
    places_taken_for_a_request_that_failed_are_given_back,
    two_handles_that_receive_the_same_content_store_it_once,
    a_large_event_comes_back_whole_and_waits_in_the_store,
    moments_are_kept_to_the_microsecond_wherever_they_are,
);
