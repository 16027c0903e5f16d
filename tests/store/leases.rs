//! Stories about taking deliveries to work on, and bringing them back.

use crate::stage::{Stage, after, event, next, now, settlement, with};
use leadwire::store::{Again, AttemptRow, DeliveryFilter, Ended, Handoff, Outcome, Settlement, State};
use leadwire_connector::Record;
use std::collections::BTreeSet;

async fn a_claim_brings_what_is_due_longest_first(stage: Stage) {
    for n in 1..=3 {
        stage.receive(n, None).await;
    }
    let claimed = stage.claim(3).await.deliveries;
    for (leased, seconds) in claimed.iter().zip([30, 10, 20]) {
        stage.settle(leased, Outcome::Again(Again { not_before: after(seconds), attempts: 1 })).await;
    }
    let order = |claimed: leadwire::store::Claimed| -> Vec<Option<String>> {
        claimed.deliveries.iter().map(|leased| leased.event.session_id.clone()).collect()
    };
    let due = stage.store.claim(stage.crm, 2, after(30)).await.unwrap();
    assert_eq!(order(due), ["2", "3"].map(|session| Some(session.to_owned())));
    assert_eq!(order(stage.store.claim(stage.crm, 2, after(30)).await.unwrap()), [Some("1".to_owned())]);
}

async fn a_claim_says_when_the_next_delivery_is_due(stage: Stage) {
    stage.receive(1, None).await;
    let claimed = stage.claim_one().await;
    stage.settle(&claimed, Outcome::Again(Again { not_before: after(30), attempts: 3 })).await;
    let none = stage.claim(5).await;
    assert_eq!((none.deliveries.len(), none.next_due), (0, Some(after(30))));
    assert!(stage.store.due_destinations(after(29)).await.unwrap().is_empty());
    assert_eq!(stage.store.due_destinations(after(30)).await.unwrap(), [stage.crm]);
    let again = stage.store.claim(stage.crm, 5, after(30)).await.unwrap();
    assert_eq!((again.deliveries[0].attempts, again.next_due), (3, None));
}

async fn a_claim_is_bounded_in_bytes_and_large_events_wait_in_the_store(stage: Stage) {
    let (_room, mut handoffs) = stage.attach_lane(100);
    for n in 1..=4 {
        let new = with(event(n, None, &[stage.crm]), |event| event.content = Some("x".repeat(5 << 20)));
        stage.receive_one(new).await;
        assert!(matches!(next(&mut handoffs).await, Handoff::Waiting));
    }
    let claimed = stage.claim(10).await;
    assert_eq!(claimed.deliveries.len(), 2);
    assert!(claimed.next_due.is_some_and(|due| due <= now()), "the others are due at once");
    assert!(claimed.deliveries[0].places > 80);
    assert_eq!(stage.states().await, [State::Leased, State::Leased, State::Waiting, State::Waiting]);
    assert_eq!(stage.claim(10).await.deliveries.len(), 2);
}

async fn finished_steps_come_back_with_the_next_claim(stage: Stage) {
    stage.receive(1, None).await;
    let leased = stage.claim_one().await;
    for (name, id) in [("contact", "101"), ("contact", "102"), ("note", "")] {
        stage.store.save_step(leased.key, name.to_owned(), id.to_owned()).await.unwrap();
    }
    stage.store.release(vec![leased.lease()]).await.unwrap();
    let mut steps = stage.claim_one().await.steps;
    steps.sort();
    assert_eq!(steps, [("contact", "102"), ("note", "")].map(|(name, id)| (name.to_owned(), id.to_owned())));
}

async fn one_row_that_cannot_be_read_does_not_stop_the_others(stage: Stage) {
    for n in 1..=3 {
        stage.receive(n, None).await;
    }
    stage.tamper("UPDATE event SET body = '{\"half' WHERE session_id = '1'");
    stage.tamper("DELETE FROM event WHERE session_id = '3'");
    let claimed = stage.claim(10).await.deliveries;
    assert_eq!(claimed.iter().map(|leased| leased.event.session_id.as_deref()).collect::<Vec<_>>(), [Some("2")]);
    assert!(stage.claim(10).await.deliveries.is_empty());
    let counts = stage.store.holds().await.unwrap().remove(0).counts;
    assert_eq!((counts.pending, counts.dead), (1, 2), "they are dead letters");
}

async fn what_was_told_last_stays(stage: Stage) {
    stage.receive(1, None).await;
    let attempt = |n: i64, message: Option<&str>| AttemptRow {
        at: after(n),
        duration_ms: i64::MAX - n,
        outcome: "retry".to_owned(),
        kind: None,
        status: Some(u16::MAX),
        code: Some(String::new()),
        message: message.map(str::to_owned),
        excerpt: Some(String::new()),
    };
    let again = Outcome::Again(Again { not_before: now(), attempts: 1 });
    for (n, message) in [(1, Some("refused")), (2, None)] {
        let leased = stage.claim_one().await;
        let told = Settlement { attempt: Some(attempt(n, message)), ..settlement(&leased, again.clone()) };
        stage.store.settle(told).await.unwrap();
    }
    let row = stage.store.deliveries(DeliveryFilter { limit: 1, ..DeliveryFilter::default() }).await.unwrap().remove(0);
    assert_eq!((row.attempts, row.remark.as_deref()), (1, Some("refused")), "an attempt that says nothing leaves the last word");
    let leased = stage.claim_one().await;
    let record = Record { id: "17".to_owned(), url: None };
    stage.settle(&leased, Outcome::Ended(Ended { state: State::Delivered, record: Some(record.clone()), remark: None })).await;
    let detail = stage.store.event(leased.event.id).await.unwrap().unwrap();
    let told: Vec<AttemptRow> = detail.attempts.into_iter().map(|(_, attempt)| attempt).collect();
    assert_eq!(told, [attempt(1, Some("refused")), attempt(2, None)], "empty is not the same as nothing");
    let row = &detail.row.deliveries[0];
    assert_eq!((row.attempts, &row.record, &row.remark, row.not_before), (2, &Some(record), &None, None));
}

async fn a_delivery_that_ended_stays_so_when_it_is_settled_again(stage: Stage) {
    stage.receive(1, None).await;
    let leased = stage.claim_one().await;
    stage.end(&leased, State::Delivered).await;
    // The answer of a commit may get lost, and the settlement is repeated then.
    stage.end(&leased, State::Delivered).await;
    stage.settle(&leased, Outcome::Again(Again { not_before: now(), attempts: 7 })).await;
    stage.store.release(vec![leased.lease()]).await.unwrap();
    let row = stage.store.deliveries(DeliveryFilter { limit: 1, ..DeliveryFilter::default() }).await.unwrap().remove(0);
    assert_eq!((row.state, row.attempts), (State::Delivered, 1));
    stage.assert_audit().await;
}

async fn claimers_at_the_same_time_never_get_the_same_delivery(stage: Stage) {
    for chunk in 0..10 {
        let news: Vec<_> = (chunk * 20..chunk * 20 + 20).map(|n| event(n, (n % 4 == 0).then_some(1), &[stage.crm])).collect();
        stage.store.receive(news).await.unwrap();
    }
    // Where one process alone delivers from a store, all claimers are its own.
    let (other, _ownership) = if stage.is_shared() { stage.another().await } else { (stage.store.clone(), None) };
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (store, crm) = (if n % 2 == 0 { stage.store.clone() } else { other.clone() }, stage.crm);
        tasks.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let claimed = store.claim(crm, 7, now()).await.unwrap().deliveries;
                if claimed.is_empty() {
                    return taken;
                }
                for leased in claimed {
                    assert!(store.may_start(&leased));
                    taken.push(leased.event.session_id.clone().unwrap().parse::<u64>().unwrap());
                    let ended = Ended { state: State::Delivered, record: None, remark: None };
                    store.settle(settlement(&leased, Outcome::Ended(ended))).await.unwrap();
                }
            }
        });
    }
    let mut taken: Vec<u64> = tasks.join_all().await.concat();
    // A person's next may have become due when all others had gone home.
    while let Some(leased) = stage.claim(1).await.deliveries.pop() {
        taken.push(leased.event.session_id.clone().unwrap().parse().unwrap());
        stage.end(&leased, State::Delivered).await;
    }
    assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (200, 200));
    stage.assert_audit().await;
}

on_every_engine!(
    a_claim_brings_what_is_due_longest_first,
    a_claim_says_when_the_next_delivery_is_due,
    a_claim_is_bounded_in_bytes_and_large_events_wait_in_the_store,
    finished_steps_come_back_with_the_next_claim,
    one_row_that_cannot_be_read_does_not_stop_the_others,
    what_was_told_last_stays,
    a_delivery_that_ended_stays_so_when_it_is_settled_again,
    claimers_at_the_same_time_never_get_the_same_delivery,
);
