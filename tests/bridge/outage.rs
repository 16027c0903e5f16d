//! A database that is gone for a while, comes back at another address, or has no room for a bridge.

use crate::driver::{COME_AGAIN, seed};
use crate::harness::{Bridge, Setup, endpoint, eventually, lead};
use crate::oracle::{BACKEND, Trial};
use crate::postgres::{Options, Server, database, execute};
use std::time::{Duration, Instant};

/// What the clients of senders wait for an answer.
const SENDERS_WAIT: Duration = Duration::from_secs(10);
/// Requests wait for a store that is gone for so long; then they are refused at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until a bridge has seen that its database is back: the pause between two tries, and a connection.
const AIR: Duration = Duration::from_secs(1);
/// Events of one outage, about: enough to prove something, few enough to deliver afterwards.
const EVENTS: u32 = 2_000;
const SENDERS: u32 = 4;

/// Seconds that the database is gone. `LEADWIRE_TEST_OUTAGES` plays others, such as `60,600`.
fn lengths(usual: &[u64]) -> Vec<u64> {
    let given = std::env::var("LEADWIRE_TEST_OUTAGES").ok();
    given.map_or_else(|| usual.to_vec(), |given| given.split(',').map(|seconds| seconds.trim().parse().unwrap()).collect())
}

async fn answered(trial: &Trial, more: usize) {
    let until = trial.driver.answered() + more;
    eventually("more answers", async || (trial.driver.answered() >= until).then_some(())).await;
}

async fn until_ready(bridges: &[Bridge]) {
    for bridge in bridges {
        eventually("a bridge to be ready", async || (bridge.get("/readyz").await.status == 200).then_some(())).await;
    }
}

fn private() -> Server {
    Server::private(Options { fsync: true, tls: false })
}

/// Begins to load three bridges.
async fn three(trial: &mut Trial, url: &str, with_spool: bool) -> [Bridge; 3] {
    let bridges = [(); 3].map(|()| {
        let mut setup = trial.setup_on(url);
        if with_spool {
            let folder = setup.folder.path().join("spool").display().to_string();
            setup.replace("[store]\n", &format!("[store]\nspool = \"{folder}\"\n"));
        }
        setup.start()
    });
    trial.driver.be_patient(SENDERS_WAIT);
    trial.driver.pace(Duration::from_millis(10));
    trial.driver.aim(&bridges.each_ref().map(|bridge| bridge.url.as_str()));
    trial.driver.start();
    answered(trial, 30).await;
    bridges
}

/// While the database is gone for longer than requests wait, every bridge says so, and lives.
async fn stay_away(bridges: &mut [Bridge], length: Duration, ready: u16) {
    let gone_at = Instant::now();
    while gone_at.elapsed() < length {
        if gone_at.elapsed() > PATIENCE + AIR {
            for bridge in bridges.iter_mut() {
                let answer = bridge.get("/readyz").await;
                assert_eq!(answer.status, ready, "after {:?}: {}", gone_at.elapsed(), answer.body.escape_ascii());
                assert!(!bridge.has_ended());
            }
        }
        tokio::time::sleep(Duration::from_millis(200).min(length.saturating_sub(gone_at.elapsed()))).await;
    }
}

async fn outlive(lengths: Vec<u64>, with_spool: bool) {
    let mut trial = Trial::new(seed()).await;
    if with_spool {
        // Each bridge has a spool of its own, and none knows what is in the others.
        trial.evidence.unordered.push(BACKEND);
    }
    let server = private();
    let url = server.database();
    let mut bridges = three(&mut trial, &url, with_spool).await;
    for length in lengths.into_iter().map(Duration::from_secs) {
        trial.driver.pace((length * SENDERS / EVENTS).max(Duration::from_millis(10)));
        let before: usize = trial.driver.refusals().values().sum();
        let gone_at = Instant::now();
        server.stop_immediate();
        stay_away(&mut bridges, length, if with_spool { 200 } else { 503 }).await;
        server.start();
        let gone_for = gone_at.elapsed();
        answered(&trial, 30).await;
        until_ready(&bridges).await;
        let refusals = trial.driver.refusals();
        eprintln!("gone for {gone_for:?}: the slowest request took {:?}, refused were {refusals:?}", trial.driver.slowest());
        assert!(refusals.keys().all(|told| told == COME_AGAIN), "{refusals:?}");
        let refused = refusals.values().sum::<usize>() - before;
        assert!(refused == 0 || !with_spool && gone_for + AIR > PATIENCE, "gone for {gone_for:?}: {refused} were refused");
        assert!(refused > 0 || with_spool || length < PATIENCE + AIR, "gone for {gone_for:?}, and nobody noticed");
    }
    assert!(trial.driver.slowest() < SENDERS_WAIT);
    // No outage of the server makes a bridge look dead, so nothing is sent twice.
    trial.end(&bridges[0]).await;
    for bridge in bridges {
        bridge.terminate();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_bridges_resume_by_themselves_after_every_outage_of_their_database() {
    outlive(lengths(&[1, 3, 7]), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_spools_no_request_is_refused_however_long_the_database_is_gone() {
    outlive(lengths(&[7]), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_standby_at_another_address_loses_and_doubles_nothing() {
    let mut trial = Trial::new(seed()).await;
    let primary = private();
    let url = primary.database();
    let standby = primary.standby();
    let [one, other] = [&primary, &standby].map(|server| format!("127.0.0.1:{}", server.port()));
    let url = url.replace(&one, &format!("{one},{other}"));
    let bridges = three(&mut trial, &url, false).await;
    let gone_at = Instant::now();
    primary.stop_immediate();
    standby.promote();
    let gone_for = gone_at.elapsed();
    answered(&trial, 100).await;
    until_ready(&bridges).await;
    let (refusals, slowest) = (trial.driver.refusals(), trial.driver.slowest());
    eprintln!("no primary for {gone_for:?}: the slowest request took {slowest:?}, refused were {refusals:?}");
    assert!(refusals.keys().all(|told| told == COME_AGAIN), "{refusals:?}");
    let met = trial.end(&bridges[0]).await;
    assert!(met >= 130, "too little load to prove anything: {met}");
    for bridge in bridges {
        bridge.terminate();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_bridges_that_start_together_on_an_empty_database_one_makes_the_tables() {
    for _ in 0..3 {
        let (sink, url) = (endpoint().await, database());
        let starts = [(); 3].map(|()| {
            let setup = Setup::new().on(&url).endpoint(BACKEND, sink.url().as_str());
            tokio::task::spawn_blocking(|| setup.start())
        });
        let bridges = futures_util::future::try_join_all(starts).await.unwrap();
        let versions = "select count(*) > 0, count(*) = max(version), count(distinct xmin::text) from leadwire_schema";
        assert_eq!(execute(&url, versions), "t|t|1\n", "one transaction of one bridge made it all");
        assert_eq!(execute(&url, "select count(*) from instance"), "3\n");
        assert_eq!(execute(&url, "select count(*) from source"), "1\n");
        for (n, bridge) in (0..).zip(&bridges) {
            assert_eq!(bridge.post(lead(n).to_string()).await.status, 200);
        }
        bridges[0].until("delivered", bridges.len()).await;
        bridges[0].assert_audit();
    }
}

/// The URL of an empty database for a user that may open so many connections; an administrator is never refused.
fn database_with_room_for(server: &Server, connections: u32) -> String {
    let url = server.database();
    let (_, name) = url.rsplit_once('/').unwrap();
    execute(&url, &format!("create role few login password 'few' connection limit {connections}"));
    execute(&url, &format!("alter database {name} owner to few"));
    execute(&url, "grant create on schema public to few");
    format!("postgres://few:few@127.0.0.1:{}/{name}", server.port())
}

fn make_room(server: &Server, connections: u32) {
    execute(&server.url("postgres"), &format!("alter role few connection limit {connections}"));
}

/// How many signs of life there were, as an administrator sees it.
fn beats(server: &Server, url: &str) -> u64 {
    let (_, name) = url.rsplit_once('/').unwrap();
    execute(&server.url(name), "select max(beat) from instance").trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_without_room_for_its_connections_says_so_and_resumes_when_there_is_some() {
    const TOLD: &str = "raise `max_connections` of the server, or the limit of the user";
    let mut trial = Trial::new(seed()).await;
    let server = private();
    let url = database_with_room_for(&server, 1);
    let setup = trial.setup_on(&url);
    let log = setup.log();
    let room = async {
        eventually("the bridge to say so", async || log.lock().unwrap().contains(TOLD).then_some(())).await;
        make_room(&server, 2);
    };
    let (bridge, ()) = tokio::join!(tokio::task::spawn_blocking(|| setup.start()), room);
    let bridge = bridge.unwrap();
    trial.driver.be_patient(SENDERS_WAIT);
    trial.driver.pace(Duration::from_millis(10));
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();
    answered(&trial, 50).await;
    // After a restart all of its connections compete for the little room there is.
    for _ in 0..2 {
        server.stop_fast();
        server.start();
        let (before, beats_before) = (trial.sink.count(), beats(&server, &url));
        eventually("deliveries", async || (trial.sink.count() > before + 60).then_some(())).await;
        // Without it, others would take its deliveries away.
        eventually("signs of life", async || (beats(&server, &url) > beats_before).then_some(())).await;
    }
    make_room(&server, 20);
    answered(&trial, 50).await;
    let refusals = trial.driver.refusals();
    eprintln!("refused were {refusals:?}");
    assert!(refusals.keys().all(|told| told == COME_AGAIN), "{refusals:?}");
    trial.end(&bridge).await;
    bridge.terminate();
}
