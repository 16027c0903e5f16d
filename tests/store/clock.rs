//! Stories about a machine whose clock is set back.

use crate::stage::{Engine, Stage, after, now, settlement};
use jiff::{SignedDuration, Timestamp};
use leadwire::store::{Again, Ended, Outcome, Settlement, State};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Has a delivery that waits for so many seconds.
async fn one_waits(stage: &Stage, n: u64, seconds: i64) {
    stage.receive(n, None).await;
    let leased = stage.claim_one().await;
    stage.settle(&leased, Outcome::Again(Again { not_before: after(seconds), attempts: 1 })).await;
}

async fn what_waits_is_due_earlier_when_the_clock_is_set_back_but_not_before_now(stage: Stage) {
    one_waits(&stage, 1, 10).await;
    one_waits(&stage, 2, 90_000).await;
    stage.store.hold(stage.crm, "for a day".to_owned(), Some(now() + HOUR * 25), now()).await.unwrap();
    stage.store.hold(stage.drop, "for good".to_owned(), None, now()).await.unwrap();
    stage.store.follow_clock(HOUR * 24, now()).await.unwrap();
    let claimed = stage.claim(10).await;
    assert_eq!((claimed.deliveries.len(), claimed.next_due), (1, Some(after(3_600))));
    let holds = stage.store.holds().await.unwrap();
    let until = |id| holds.iter().find(|row| row.id == id).unwrap().hold.as_ref().unwrap().until;
    assert_eq!((until(stage.crm), until(stage.drop)), (Some(now() + HOUR), None));
    stage.assert_audit().await;
}

async fn each_jump_of_the_same_bridge_is_followed_and_one_that_another_bridge_saw_too_only_once(stage: Stage) {
    one_waits(&stage, 1, 4 * 3_600).await;
    stage.store.follow_clock(HOUR, now()).await.unwrap();
    stage.store.follow_clock(HOUR, now()).await.unwrap();
    assert_eq!(stage.claim(1).await.next_due, Some(after(2 * 3_600)));
    let (other, _membership) = stage.another().await;
    if stage.is_shared() {
        // On one machine every bridge sees it.
        other.follow_clock(HOUR, now()).await.unwrap();
        assert_eq!(stage.claim(1).await.next_due, Some(after(2 * 3_600)));
    }
}

async fn a_clock_that_was_set_back_by_nothing_or_ahead_changes_nothing(stage: Stage) {
    one_waits(&stage, 1, 3_600).await;
    for by in [SignedDuration::ZERO, -HOUR, SignedDuration::MIN] {
        stage.store.follow_clock(by, now()).await.unwrap();
    }
    assert_eq!(stage.claim(1).await.next_due, Some(after(3_600)));
}

async fn what_was_received_before_the_clock_was_set_back_is_due_when_its_turn_comes(stage: Stage) {
    stage.receive(1, Some(7)).await;
    stage.receive(2, Some(7)).await;
    let first = stage.claim_one().await;
    let earlier = now() - HOUR * 24;
    let outcome = Outcome::Ended(Ended { state: State::Delivered, record: None, remark: None });
    let settlement = Settlement { at: earlier, ..settlement(&first, outcome) };
    stage.store.settle(settlement).await.unwrap();
    assert_eq!(stage.store.claim(stage.crm, 10, earlier).await.unwrap().deliveries.len(), 1);
}

/// Has a delivery that waits for two real hours, and ends the only bridge in order.
async fn wait_for_two_hours_and_stop(stage: &Stage) {
    stage.receive(1, None).await;
    let leased = stage.claim_one().await;
    stage.settle(&leased, Outcome::Again(Again { not_before: Timestamp::now() + HOUR * 2, attempts: 1 })).await;
    stage.store.sign_off(Timestamp::now()).await.unwrap();
}

async fn due_in(stage: &Stage) -> SignedDuration {
    let claimed = stage.store.claim(stage.crm, 1, Timestamp::now()).await.unwrap();
    claimed.next_due.unwrap().duration_since(Timestamp::now())
}

#[tokio::test]
async fn a_server_whose_clock_was_set_back_with_the_bridges_delays_nothing() {
    let stage = Stage::open(Engine::Postgres).await;
    wait_for_two_hours_and_stop(&stage).await;
    stage.tamper("UPDATE pulse SET alive_at = alive_at + 3600000000");
    let stage = stage.restart().await;
    let left = due_in(&stage).await;
    assert!(left <= HOUR && left > HOUR - SignedDuration::from_mins(2), "{left}");
    let stage = stage.restart().await;
    let left = due_in(&stage).await;
    assert!(left > HOUR - SignedDuration::from_mins(2), "it is followed once: {left}");
}

#[tokio::test]
async fn bridges_that_start_together_after_the_clock_was_set_back_follow_it_once() {
    let stage = Stage::open(Engine::Postgres).await;
    wait_for_two_hours_and_stop(&stage).await;
    stage.tamper("UPDATE pulse SET clock_ahead = clock_ahead + 3600000000");
    stage.tamper("INSERT INTO instance (name) VALUES ('another that starts')");
    let stage = stage.restart().await;
    let (_other, _membership) = stage.another().await;
    let left = due_in(&stage).await;
    assert!(left <= HOUR && left > HOUR - SignedDuration::from_mins(2), "{left}");
}

on_every_engine!(
    what_waits_is_due_earlier_when_the_clock_is_set_back_but_not_before_now,
    each_jump_of_the_same_bridge_is_followed_and_one_that_another_bridge_saw_too_only_once,
    a_clock_that_was_set_back_by_nothing_or_ahead_changes_nothing,
    what_was_received_before_the_clock_was_set_back_is_due_when_its_turn_comes,
);
