//! How deliveries are paced, tried again and ended.

use crate::harness::{Bridge, Setup, endpoint, eventually, lead};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use serde_json::json;
use std::time::Duration;

fn moments(sink: &Server) -> Vec<Timestamp> {
    sink.requests().iter().map(|logged| logged.at).collect()
}

async fn post(bridge: &Bridge, count: u64) {
    for n in 0..count {
        assert_eq!(bridge.post(lead(n).to_string()).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_asks_for_a_pause_gets_it() {
    for is_date in [false, true] {
        let sink = endpoint().await;
        let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
        let date = (Timestamp::now() + Duration::from_secs(4)).to_zoned(jiff::tz::TimeZone::UTC);
        let hint = if is_date { jiff::fmt::rfc2822::to_string(&date).unwrap() } else { "3".to_owned() };
        sink.order(FaultRule::next(1, FaultKind::RateLimit { retry_after: Some(hint.clone()) }));
        post(&bridge, 1).await;
        bridge.until("delivered", 1).await;
        let moments = moments(&sink);
        let pause = moments[1].duration_since(moments[0]);
        assert!(pause >= SignedDuration::from_millis(1_500), "{hint}: tried again after {pause}");
        assert_eq!(bridge.deliveries()[0]["attempts"], 1, "{hint}: a pause that was asked for costs no attempt");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_of_a_destination_is_kept() {
    let sink = endpoint().await;
    let toml = format!(
        "[destinations.backend]\ntype = \"json\"\nurl = \"{}\"\nrate_per_second = 10\nburst = 1\n[[routes]]\nto = [\"backend\"]",
        sink.url()
    );
    let bridge = Setup::new().with(&toml).start();
    post(&bridge, 31).await;
    bridge.until("delivered", 31).await;
    let moments = moments(&sink);
    let took = moments[30].duration_since(moments[0]);
    // Three seconds, less a tenth for a first request that was late.
    assert!(took >= SignedDuration::from_millis(2_700), "31 deliveries at 10 per second took {took}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_is_probed_and_its_neighbour_does_not_feel_it() {
    let (down, good) = (endpoint().await, endpoint().await);
    down.order(FaultRule::always(FaultKind::ResetBefore));
    let bridge = Setup::new().endpoint("down", down.url().as_str()).endpoint("good", good.url().as_str()).start();
    post(&bridge, 60).await;
    bridge.until("delivered", 60).await;
    let attempts = down.count();
    assert!(attempts < 60, "{attempts} requests to a destination that is down");
    let status = bridge.status().await;
    assert!(status["destinations"].as_array().unwrap().iter().any(|row| row["name"] == "down" && row["state"] == "down"), "{status}");
    down.clear_faults();
    bridge.until("delivered", 120).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_gives_its_own_verdict() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    sink.order(FaultRule::next(1, FaultKind::ErrorInside));
    post(&bridge, 1).await;
    bridge.until("delivered", 1).await;
    assert!(sink.count() >= 2, "a 2xx with an error inside is not a delivery");
    let id = bridge.deliveries()[0]["event"].as_str().unwrap().to_owned();
    let shown = bridge.json(&["events", "show", &id]);
    assert_eq!(shown["attempts"][0][0], "backend");
    assert_ne!(shown["attempts"][0][1]["outcome"], "delivered", "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_closed_while_it_was_kept_costs_no_attempt() {
    let sink = endpoint().await;
    sink.order(FaultRule::next(3, FaultKind::CloseIdle));
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    for n in 0..6 {
        bridge.post(lead(n).to_string()).await;
        bridge.until("delivered", usize::try_from(n).unwrap() + 1).await;
    }
    assert!(bridge.deliveries().iter().all(|delivery| delivery["attempts"] == 1), "{:?}", bridge.deliveries());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_succeeds_is_dead_when_its_time_is_up() {
    let sink = endpoint().await;
    sink.order("404".parse().unwrap());
    let toml = format!(
        "[destinations.backend]\ntype = \"json\"\nurl = \"{}\"\ngive_up_after = \"2s\"\n[[routes]]\nto = [\"backend\"]",
        sink.url()
    );
    let bridge = Setup::new().with(&toml).start();
    post(&bridge, 2).await;
    let dead = bridge.until("dead", 2).await;
    assert!(dead[0]["remark"].as_str().unwrap().starts_with("out of time"), "{dead:?}");
    sink.clear_faults();
    let output = bridge.command(&["replay", "--since", "1h", "--yes", "--json"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(), json!({"found": 2, "replayed": 2}));
    bridge.until("delivered", 2).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_survives_a_crash_and_is_worked_off() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    assert!(bridge.command(&["hold", "backend", "--reason", "a backlog"]).status.success());
    bridge.until_held("backend").await;
    post(&bridge, 1_500).await;
    let bridge = bridge.kill().start();
    assert_eq!(sink.count(), 0);
    assert!(bridge.command(&["resume", "backend"]).status.success());
    eventually("the backlog to be worked off", async || (sink.state()["deliveries"].as_array().unwrap().len() == 1_500).then_some(()))
        .await;
    bridge.until("delivered", 1_500).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_is_a_hold_that_people_see_and_end() {
    let sink = endpoint().await;
    sink.order(FaultRule::next(1, FaultKind::RateLimit { retry_after: Some("99999999999999999999".to_owned()) }));
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    post(&bridge, 3).await;
    let hold = bridge.until_held("backend").await;
    assert!(!hold["until"].is_null(), "it ends by itself, a day from now: {hold}");
    let bridge = bridge.kill().start();
    bridge.until_held("backend").await;
    assert!(bridge.command(&["resume", "backend"]).status.success());
    bridge.until("delivered", 3).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_nothing_is_no_loop() {
    let sink = endpoint().await;
    sink.order("429:0".parse().unwrap());
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    post(&bridge, 1).await;
    eventually("three attempts", async || (sink.count() >= 3).then_some(())).await;
    let moments = moments(&sink);
    let took = moments[2].duration_since(moments[0]);
    assert!(took >= SignedDuration::from_millis(2_500), "three attempts within {took}");
}
