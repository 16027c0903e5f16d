//! Stories about parked destinations.

use crate::stage::{Stage, after, now};
use jiff::SignedDuration;
use leadwire::store::{Hold, State};

async fn hold_of_the_crm(stage: &Stage) -> Option<Hold> {
    stage.store.holds().await.unwrap().into_iter().find(|row| row.id == stage.crm).unwrap().hold
}

async fn time_on_hold_is_added_up(stage: Stage) {
    stage.store.hold(stage.crm, "quota".to_owned(), None, now()).await.unwrap();
    stage.store.hold(stage.crm, "credentials".to_owned(), None, after(5)).await.unwrap();
    let hold = hold_of_the_crm(&stage).await.unwrap();
    assert_eq!((hold.reason.as_str(), hold.since), ("credentials", now()));
    assert!(stage.store.resume(stage.crm, after(60)).await.unwrap());
    assert!(!stage.store.resume(stage.crm, after(90)).await.unwrap());
    stage.store.credit_outage(stage.crm, SignedDuration::from_secs(10)).await.unwrap();
    stage.store.credit_outage(stage.crm, SignedDuration::from_secs(-10)).await.unwrap();
    assert_eq!(stage.store.holds().await.unwrap()[0].parked_us, 70_000_000);
    assert_eq!(stage.store.holds().await.unwrap()[1].parked_us, 0);
}

async fn only_a_person_ends_a_hold_without_end(stage: Stage) {
    stage.store.hold(stage.crm, "a person".to_owned(), None, now()).await.unwrap();
    stage.store.hold_by_attempt(stage.crm, "quota".to_owned(), Some(after(60)), now()).await.unwrap();
    assert_eq!(hold_of_the_crm(&stage).await.unwrap().reason, "a person");
    assert!(!stage.store.resume_expired(stage.crm, after(60)).await.unwrap());
    assert!(stage.store.resume(stage.crm, after(60)).await.unwrap());
    stage.store.hold_by_attempt(stage.crm, "quota".to_owned(), Some(after(60)), now()).await.unwrap();
    assert!(!stage.store.resume_expired(stage.crm, now()).await.unwrap());
    assert!(stage.store.resume_expired(stage.crm, after(60)).await.unwrap());
}

async fn an_attempt_makes_a_hold_longer_and_never_shorter(stage: Stage) {
    let hold = async |reason: &str, until| {
        stage.store.hold_by_attempt(stage.crm, reason.to_owned(), until, now()).await.unwrap();
        hold_of_the_crm(&stage).await.unwrap()
    };
    assert_eq!(hold("first", Some(after(60))).await.reason, "first");
    assert_eq!(hold("shorter", Some(after(59))).await.until, Some(after(60)));
    assert_eq!(hold("longer", Some(after(61))).await.reason, "longer");
    assert_eq!(hold("for good", None).await, Hold { reason: "for good".to_owned(), since: now(), until: None });
    assert_eq!(hold("longest", Some(after(1_000_000))).await.reason, "for good");
}

async fn a_hold_takes_nothing_from_whom_it_meets_at_work(stage: Stage) {
    stage.receive(1, Some(7)).await;
    stage.receive(2, Some(7)).await;
    let leased = stage.claim_one().await;
    stage.store.hold(stage.crm, "a person".to_owned(), Some(after(60)), now()).await.unwrap();
    assert!(stage.store.may_start(&leased));
    stage.end(&leased, State::Delivered).await;
    assert_eq!(stage.states().await, [State::Delivered, State::Waiting]);
    assert!(hold_of_the_crm(&stage).await.is_some(), "what ends does not end the hold");
    stage.assert_audit().await;
}

async fn a_destination_is_found_by_its_name_alone(stage: Stage) {
    assert_eq!(stage.store.find_destination("Drop").await.unwrap(), stage.drop);
    for name in ["drop", "cr%", "", "'"] {
        let error = stage.store.find_destination(name).await.unwrap_err().to_string();
        assert!(error.contains("crm, Drop, a-list"), "{error}");
    }
    assert_eq!((stage.store.destination_id("crm"), stage.store.destination_id("CRM")), (Some(stage.crm), None));
}

async fn a_destination_is_due_since_its_oldest_delivery(stage: Stage) {
    let due_since = async || stage.store.destinations().await.unwrap().remove(0).due_since;
    assert_eq!(due_since().await, None);
    stage.receive(1, None).await;
    stage.receive(2, None).await;
    assert_eq!(due_since().await, Some(after(-3_600)));
    stage.claim(2).await;
    assert_eq!(due_since().await, None, "what is leased does not wait");
    stage.store.probe().await.unwrap();
}

on_every_engine!(
    time_on_hold_is_added_up,
    only_a_person_ends_a_hold_without_end,
    an_attempt_makes_a_hold_longer_and_never_shorter,
    a_hold_takes_nothing_from_whom_it_meets_at_work,
    a_destination_is_found_by_its_name_alone,
    a_destination_is_due_since_its_oldest_delivery,
);
