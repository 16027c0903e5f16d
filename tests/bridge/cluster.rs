//! Several bridges on one PostgreSQL database, and a database that goes away.

use crate::driver::{Dice, seed};
use crate::harness::{Bridge, Setup, endpoint, eventually, lead};
use crate::oracle::Trial;
use crate::postgres::{Options, Server, database, execute};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::http::{Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule};
use std::time::Duration;

/// Of what a bridge that is gone had leased, all must be attempted by another one within this time.
const TAKEOVER: SignedDuration = SignedDuration::from_secs(15);
/// Longer than a lease lives without a sign of life, and than it takes others to see that.
const PAST_THE_LEASE: Duration = Duration::from_secs(13);

async fn answered(trial: &Trial, more: usize) {
    let until = trial.driver.answered() + more;
    eventually("more answers", async || (trial.driver.answered() >= until).then_some(())).await;
}

/// Waits until each of these has ended, whoever attempted it, and returns how long after that moment the last one did.
async fn taken_over(other: &Bridge, ids: &[String], since: Timestamp) -> SignedDuration {
    eventually("the takeover", async || {
        let ended = other.deliveries().into_iter().filter(|row| ids.iter().any(|id| row["id"] == id.as_str()));
        let ended: Vec<Timestamp> = ended.filter_map(|row| row["ended_at"].as_str()?.parse().ok()).collect();
        (ended.len() == ids.len()).then(|| ended.into_iter().max().unwrap_or(since).duration_since(since))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_bridge_was_at_is_taken_over_within_fifteen_seconds() {
    let mut trial = Trial::new(seed()).await;
    let url = database();
    let (first, second) = (trial.setup_on(&url).start(), trial.setup_on(&url).start());
    trial.driver.limit(40);
    trial.driver.aim(&[&first.url]);
    trial.sink.set_latency(Duration::from_secs(2));
    trial.driver.start();
    answered(&trial, 20).await;
    let killed_at = Timestamp::now();
    let setup = first.kill();
    let leased = trial.excuse(&setup);
    assert!(!leased.is_empty(), "nothing was under way");
    trial.sink.set_latency(Duration::ZERO);
    trial.driver.aim(&[&second.url]);
    let took = taken_over(&second, &leased, killed_at).await;
    eprintln!("{} deliveries were taken over within {took:#}", leased.len());
    assert!(took < TAKEOVER, "the takeover took {took:#}");
    trial.end(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_is_paused_past_its_lease_does_no_harm_when_it_wakes() {
    let mut trial = Trial::new(seed()).await;
    let url = database();
    let (paused, other) = (trial.setup_on(&url).start(), trial.setup_on(&url).start());
    trial.driver.pace(Duration::from_millis(20));
    trial.driver.aim(&[&paused.url, &other.url]);
    trial.sink.set_latency(Duration::from_millis(200));
    trial.driver.start();
    answered(&trial, 40).await;
    let stopped_at = Timestamp::now();
    paused.signal("STOP");
    let leased = trial.excuse(&other.setup);
    trial.driver.aim(&[&other.url]);
    let took = taken_over(&other, &leased, stopped_at).await;
    assert!(took < TAKEOVER, "the takeover took {took:#}");
    tokio::time::sleep(PAST_THE_LEASE).await;
    paused.signal("CONT");
    trial.driver.aim(&[&paused.url, &other.url]);
    answered(&trial, 40).await;
    trial.end(&other).await;
    paused.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_bridges_one_is_slow_and_others_are_killed_and_started() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let mut trial = Trial::new(seed).await;
    let url = database();
    trial.sink.order(FaultRule { probability: Some(0.1), ..FaultRule::always(FaultKind::Status(503)) });
    let slow = trial.setup_on(&url).environment("LEADWIRE_FAILPOINTS", "send.before=delay:400ms;commit.settle.before=delay:100ms").start();
    let mut others = [trial.setup_on(&url).start(), trial.setup_on(&url).start()];
    trial.driver.pace(Duration::from_millis(20));
    trial.driver.start();
    for round in 0..6 {
        trial.driver.aim(&[&slow.url, &others[0].url, &others[1].url]);
        tokio::time::sleep(Duration::from_millis(300 + dice.roll(700))).await;
        let victim = others[round % 2].kill_in_place();
        trial.excuse(&slow.setup);
        others[round % 2] = victim.start();
    }
    trial.end(&others[0]).await;
    for bridge in others.into_iter().chain([slow]) {
        bridge.terminate();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_restarted_or_hangs_under_load_costs_nothing() {
    let mut trial = Trial::new(seed()).await;
    let server = Server::private(Options { fsync: true, tls: false });
    let url = server.database();
    let bridges = [trial.setup_on(&url).start(), trial.setup_on(&url).start()];
    trial.driver.pace(Duration::from_millis(10));
    trial.driver.aim(&[&bridges[0].url, &bridges[1].url]);
    trial.driver.start();
    for stop in [Server::stop_fast, Server::stop_immediate] {
        answered(&trial, 30).await;
        stop(&server);
        server.start();
    }
    answered(&trial, 30).await;
    server.pause();
    tokio::time::sleep(PAST_THE_LEASE).await;
    server.resume();
    answered(&trial, 30).await;
    // No outage of the server makes a bridge look dead, so nothing was taken over, and nothing is sent twice.
    trial.end(&bridges[0]).await;
    for bridge in bridges {
        bridge.terminate();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_does_not_answer_nothing_says_that_nothing_is_pending() {
    let (server, sink) = (Server::private(Options::default()), endpoint().await);
    sink.order(FaultRule::always(FaultKind::Status(503)));
    let bridge = Setup::new().on(&server.database()).endpoint("backend", sink.url().as_str()).start();
    assert_eq!(bridge.post(lead(1).to_string()).await.status, 200);
    server.pause();
    let page = Request::new(Method::Get, format!("{}/", bridge.console).parse().unwrap());
    let (status, is_quiet, page) = tokio::join!(bridge.status(), bridge.is_quiet(), bridge.client.send(&page));
    server.resume();
    assert!(status["store"]["unreadable_because"].is_string(), "{status}");
    let row = &status["destinations"][0];
    assert_eq!((row["name"].as_str(), row.get("pending"), row["state"].is_string()), (Some("backend"), None, true), "{status}");
    assert!(!is_quiet, "a lead is pending, and the store could not be asked");
    let page = String::from_utf8(page.unwrap().body.to_vec()).unwrap();
    assert!(page.contains("backend</a></th>") && page.contains("data-label=\"Pending\" class=\"number\">?</td>"), "{page}");
    sink.clear_faults();
    bridge.until("delivered", 1).await;
    eventually("nothing to be pending", async || bridge.is_quiet().await.then_some(())).await;
}

/// A server that keeps commits in memory when a session lets it, and a bridge on it whose leads the destination takes a second for.
fn lazy_server(trial: &mut Trial, failpoints: &str) -> (Server, Bridge) {
    let server = Server::private(Options { fsync: true, tls: false });
    let url = server.database();
    let (_, name) = url.rsplit_once('/').unwrap();
    execute(&url, &format!("alter database {name} set synchronous_commit = off"));
    let bridge = trial.setup_on(&url).environment("LEADWIRE_FAILPOINTS", failpoints).start();
    // From here on only a session that waits for the disk gets anything there.
    execute(&url, "checkpoint");
    server.pause_writers();
    trial.sink.set_latency(Duration::from_secs(1));
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();
    (server, bridge)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_has_kept_what_was_answered_whatever_its_settings() {
    let mut trial = Trial::new(seed()).await;
    let (server, bridge) = lazy_server(&mut trial, "");
    answered(&trial, 20).await;
    for _ in 0..3 {
        server.stop_immediate();
        server.start();
        answered(&trial, 10).await;
    }
    trial.sink.set_latency(Duration::ZERO);
    trial.end(&bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(debug_assertions)]
async fn sessions_that_do_not_wait_for_the_disk_are_found_out_by_a_crash_of_the_database() {
    let mut trial = Trial::new(seed()).await;
    let (server, bridge) = lazy_server(&mut trial, "store.careless=error");
    answered(&trial, 20).await;
    let setup = bridge.kill();
    server.stop_immediate();
    server.start();
    trial.sink.clear_faults();
    let bridge = setup.start();
    let findings = trial.findings(&bridge).await;
    assert!(findings.iter().any(|finding| finding.0 == crate::oracle::Fault::Lost), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_kept_by_all_bridges_together() {
    const LEADS: u64 = 31;
    let sink = endpoint().await;
    let toml = format!(
        "[destinations.backend]\ntype = \"json\"\nurl = \"{}\"\nrate_per_second = 10\nburst = 1\n[[routes]]\nto = [\"backend\"]",
        sink.url()
    );
    let url = database();
    let bridges = [(); 3].map(|()| Setup::new().on(&url).with(&toml).start());
    for (n, bridge) in (0..LEADS).zip(bridges.iter().cycle()) {
        assert_eq!(bridge.post(lead(n).to_string()).await.status, 200);
    }
    bridges[0].until("delivered", usize::try_from(LEADS).unwrap()).await;
    let requests = sink.requests();
    let took = requests.last().unwrap().at.duration_since(requests[0].at);
    assert!(took >= SignedDuration::from_millis(2_700), "{LEADS} deliveries at 10 per second took {took:#}");
}
