//! What survives a crash, and what a good stop leaves behind.

use crate::driver::{Dice, seed};
use crate::harness::{Bridge, Setup, endpoint, eventually, lead};
use crate::oracle::{BACKEND, Trial};
use crate::postgres::database;
use crate::promises::ids;
use leadwire_connector::simulator::{FaultKind, FaultRule};
use std::time::Duration;

const ROUNDS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bridge_loses_nothing_it_answered_and_doubles_nothing_but_what_was_under_way() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let mut trial = Trial::new(seed).await;
    trial.sink.order(FaultRule { probability: Some(0.1), ..FaultRule::always(FaultKind::Status(503)) });
    let mut bridge = trial.setup().start();
    trial.driver.start();
    for round in 0..ROUNDS {
        trial.driver.aim(&[&bridge.url]);
        trial.sink.set_latency(Duration::from_millis(dice.roll(20)));
        tokio::time::sleep(Duration::from_millis(20 + dice.roll(300))).await;
        let setup = bridge.kill();
        trial.excuse(&setup);
        bridge = setup.start();
        eprintln!("round {round}: {} answered so far", trial.driver.answered());
    }
    let met = trial.end(&bridge).await;
    assert!(met > 100, "too little load to prove anything: {met}");
}

async fn answered(trial: &Trial, more: usize) {
    let until = trial.driver.answered() + more;
    eventually("more answers", async || (trial.driver.answered() >= until).then_some(())).await;
}

async fn in_flight(bridge: &Bridge) {
    eventually("attempts to be under way", async || {
        let status = bridge.status().await;
        let rows = status["destinations"].as_array().unwrap();
        rows.iter().any(|row| row["name"] == BACKEND && row["in_flight"].as_u64() > Some(0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_any_state_loses_nothing_and_doubles_nothing() {
    let mut trial = Trial::new(seed()).await;
    let setup = trial.setup();
    stop_in_every_state(trial, setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_any_state_loses_nothing_and_doubles_nothing_on_postgresql() {
    let trial = Trial::new(seed()).await;
    let setup = trial.setup_on(&database());
    stop_in_every_state(trial, setup).await;
}

async fn stop_in_every_state(mut trial: Trial, setup: Setup) {
    let bridge = setup.start().terminate().start();
    trial.driver.pace(Duration::from_millis(5));
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();

    answered(&trial, 30).await;
    let bridge = bridge.terminate().start().terminate().start();
    trial.driver.aim(&[&bridge.url]);

    trial.sink.set_latency(Duration::from_millis(300));
    answered(&trial, 10).await;
    in_flight(&bridge).await;
    let bridge = bridge.terminate().start();
    trial.sink.set_latency(Duration::ZERO);
    trial.driver.aim(&[&bridge.url]);

    trial.sink.order(FaultRule::next(4, FaultKind::Status(503)));
    bridge.until("waiting", 1).await;
    let bridge = bridge.terminate().start();
    trial.driver.aim(&[&bridge.url]);

    assert!(bridge.command(&["hold", BACKEND, "--reason", "a stop on hold"]).status.success());
    bridge.until_held(BACKEND).await;
    answered(&trial, 100).await;
    let bridge = bridge.terminate().start();
    trial.driver.aim(&[&bridge.url]);
    assert!(bridge.command(&["resume", BACKEND]).status.success());
    let before = trial.sink.count();
    eventually("the backlog to flow", async || (trial.sink.count() > before + 5).then_some(())).await;
    let bridge = bridge.terminate().start();
    trial.driver.aim(&[&bridge.url]);

    trial.sink.order(FaultRule::always(FaultKind::ResetBefore));
    eventually("the endpoint to count as down", async || {
        let status = bridge.status().await;
        status["destinations"].as_array().unwrap().iter().any(|row| row["name"] == BACKEND && row["state"] == "down").then_some(())
    })
    .await;
    let bridge = bridge.terminate().start();
    let met = trial.end(&bridge).await;
    assert!(met > 100, "too little load to prove anything: {met}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_repeats_only_what_was_under_way() {
    let mut trial = Trial::new(seed()).await;
    let mut bridge = trial.setup().start();
    trial.sink.set_latency(Duration::from_secs(2));
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();
    in_flight(&bridge).await;
    bridge.signal("TERM");
    eventually("the stop to begin", async || bridge.log().contains("a second signal stops at once").then_some(())).await;
    bridge.signal("TERM");
    eventually("the end", async || bridge.has_ended().then_some(())).await;
    let setup = bridge.kill();
    trial.excuse(&setup);
    let bridge = setup.start();
    trial.end(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_answer_never_came_is_recognised_by_its_id() {
    let sink = endpoint().await;
    sink.order(FaultRule::next(1, FaultKind::Hang));
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    bridge.post(lead(1).to_string()).await;
    eventually("the attempt to be in flight", async || (sink.count() > 0).then_some(())).await;
    let bridge = bridge.kill().start();
    bridge.until("delivered", 1).await;
    assert_eq!(ids(&sink.state()).len(), 1);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_bridge_on_the_same_store_is_refused_however_long_the_first_is_suspended() {
    let bridge = Setup::new().start();
    for signal in ["STOP", "CONT"] {
        bridge.signal(signal);
        let output = bridge.command(&["run"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("another bridge runs on"));
    }
}
