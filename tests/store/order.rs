//! Stories about the order of a person's deliveries.

use crate::stage::{Stage, after, event, now, settlement};
use leadwire::store::{Again, DeliveryFilter, DestinationId, Ended, Outcome, State, Store};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

async fn people_keep_their_order_and_do_not_wait_for_each_other(stage: Stage) {
    for (n, person) in [(1, 7), (2, 7), (3, 8), (4, 7)] {
        stage.receive(n, Some(person)).await;
    }
    assert_eq!(stage.states().await, [State::Waiting, State::Blocked, State::Waiting, State::Blocked]);
    let first = stage.claim(10).await.deliveries;
    assert_eq!(first.len(), 2);
    stage.settle(&first[0], Outcome::Again(Again { not_before: after(3_600), attempts: 1 })).await;
    assert!(stage.claim(10).await.deliveries.is_empty(), "the second event of a person waits while the first is tried again");
    let later = stage.store.claim(stage.crm, 10, after(7_200)).await.unwrap().deliveries;
    stage.end(&later[0], State::Delivered).await;
    let second = stage.claim(10).await.deliveries;
    assert_eq!(second.len(), 1);
    stage.end(&second[0], State::Dead).await;
    assert_eq!(stage.claim(10).await.deliveries.len(), 1, "a dead letter does not hold up the person's next event");
    stage.assert_audit().await;
}

async fn what_waited_behind_another_has_its_whole_time_before_it(stage: Stage) {
    stage.receive(1, Some(7)).await;
    stage.receive(2, Some(7)).await;
    let first = stage.claim_one().await;
    stage.store.hold(stage.crm, "quota".to_owned(), None, after(-60)).await.unwrap();
    stage.end(&first, State::Delivered).await;
    let second = stage.claim_one().await;
    assert_eq!((second.clock_start, second.parked_base_us), (now(), 60_000_000));
}

async fn the_order_is_that_of_each_destination(stage: Stage) {
    let both = [stage.crm, stage.drop];
    stage.store.receive(vec![event(1, Some(7), &both), event(2, Some(7), &both)]).await.unwrap();
    let first = stage.claim_one().await;
    stage.end(&first, State::Delivered).await;
    assert_eq!(stage.states().await.iter().filter(|state| **state == State::Blocked).count(), 1, "at the other destination it waits");
    assert_eq!(stage.claim_one().await.event.session_id.as_deref(), Some("2"));
}

async fn a_replayed_delivery_is_pending_again_behind_what_is_under_way(stage: Stage) {
    stage.receive(1, Some(7)).await;
    let leased = stage.claim_one().await;
    stage.store.save_step(leased.key, "contact".to_owned(), "1".to_owned()).await.unwrap();
    stage.end(&leased, State::Dead).await;
    stage.receive(2, Some(7)).await;
    let second = stage.claim_one().await;
    let dead = DeliveryFilter { states: vec![State::Dead], ..DeliveryFilter::default() };
    let keys = stage.store.find_ended(dead.clone()).await.unwrap();
    assert_eq!(stage.store.find_ended_of(second.event.id, dead.clone()).await.unwrap(), []);
    assert_eq!(stage.store.find_ended_of(leased.event.id, dead).await.unwrap(), keys);
    assert_eq!(stage.store.replay([keys.clone(), keys.clone()].concat(), now()).await.unwrap(), 1, "named twice, replayed once");
    assert_eq!(stage.store.replay(keys, now()).await.unwrap(), 0, "a second replay finds nothing ended");
    assert_eq!(stage.states().await, [State::Blocked, State::Leased]);
    stage.receive(3, Some(7)).await;
    stage.end(&second, State::Delivered).await;
    assert_eq!(stage.states().await, [State::Waiting, State::Delivered, State::Blocked], "the oldest goes next");
    assert_eq!(stage.claim_one().await.steps.len(), 1, "what was made is not made again");
    stage.assert_audit().await;
}

async fn the_states_of_several_replays_of_one_person_are_as_of_one(stage: Stage) {
    for n in 1..=3 {
        stage.receive(n, Some(7)).await;
        let leased = stage.claim_one().await;
        stage.end(&leased, State::Delivered).await;
    }
    let keys = stage.store.find_ended(DeliveryFilter::default()).await.unwrap();
    assert_eq!(stage.store.replay(keys, now()).await.unwrap(), 3);
    assert_eq!(stage.states().await, [State::Waiting, State::Blocked, State::Blocked]);
    stage.assert_audit().await;
}

/// Delivers what is due until nothing is pending; what it delivered, by person, in order.
async fn work(store: Store, crm: DestinationId, seen: Arc<Mutex<HashMap<[u8; 16], Vec<u64>>>>) {
    while store.holds().await.unwrap()[0].counts.pending > 0 {
        for leased in store.claim(crm, 3, now()).await.unwrap().deliveries {
            let n = leased.event.session_id.clone().unwrap().parse().unwrap();
            seen.lock().unwrap().entry(leased.person_key.unwrap()).or_default().push(n);
            let ended = Ended { state: State::Delivered, record: None, remark: None };
            store.settle(settlement(&leased, Outcome::Ended(ended))).await.unwrap();
        }
    }
}

async fn many_who_receive_and_deliver_for_the_same_people_keep_the_order(stage: Stage) {
    let (other, _ownership) = stage.another().await;
    let mut receivers = tokio::task::JoinSet::new();
    // Each task's events are of people of its own and of one whom all know.
    for task in 0..6_u64 {
        let (store, crm) = (if task % 2 == 0 { stage.store.clone() } else { other.clone() }, stage.crm);
        receivers.spawn(async move {
            for n in 0..20 {
                let person = if n % 3 == 0 { 99 } else { u8::try_from(task).unwrap() };
                store.receive(vec![event(task * 100 + n, Some(person), &[crm])]).await.unwrap();
            }
        });
    }
    receivers.join_all().await;
    stage.assert_audit().await;
    let seen = Arc::<Mutex<HashMap<_, Vec<u64>>>>::default();
    let deliverer = if stage.is_shared() { other } else { stage.store.clone() };
    let mut workers = tokio::task::JoinSet::new();
    for store in [stage.store.clone(), deliverer.clone(), stage.store.clone(), deliverer] {
        workers.spawn(work(store, stage.crm, Arc::clone(&seen)));
    }
    workers.join_all().await;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 120);
    for task in 0..6 {
        let own: Vec<u64> = seen[&[task; 16]].clone();
        assert!(own.is_sorted(), "{own:?}");
        let shared: Vec<u64> = seen[&[99; 16]].iter().copied().filter(|n| n / 100 == u64::from(task)).collect();
        assert!(shared.is_sorted(), "{shared:?}");
    }
    stage.assert_audit().await;
}

on_every_engine!(
    people_keep_their_order_and_do_not_wait_for_each_other,
    what_waited_behind_another_has_its_whole_time_before_it,
    the_order_is_that_of_each_destination,
    a_replayed_delivery_is_pending_again_behind_what_is_under_way,
    the_states_of_several_replays_of_one_person_are_as_of_one,
    many_who_receive_and_deliver_for_the_same_people_keep_the_order,
);
