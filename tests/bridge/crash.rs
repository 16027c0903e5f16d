//! What survives a crash, and what a good stop leaves behind.

use crate::harness::KEY;
use crate::harness::{Bridge, Setup, client, endpoint, eventually, lead, rows, signature};
use crate::promises::{counts, ids};
use leadwire_connector::http::{Client, Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ROUNDS: u64 = 20;

/// A small generator with a printed seed, so that a round that failed can be played again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Posts leads as fast as it is answered, from several connections, and writes down what was answered with success.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<Mutex<Vec<u64>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(bridge: &Bridge, next: &Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(Mutex::new(Vec::new()));
        let url = format!("{}/hooks/acme", bridge.url);
        let tasks = (0..6)
            .map(|_| {
                let (client, url, stop, answered, next) =
                    (client(), url.clone(), Arc::clone(&stop), Arc::clone(&answered), Arc::clone(next));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if post(&client, &url, n).await {
                            answered.lock().unwrap().push(n);
                        }
                    }
                })
            })
            .collect();
        Self { stop, answered, tasks }
    }

    /// How many were answered with success so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered.lock().unwrap().len()
    }

    /// Which ones.
    pub(crate) fn so_far(&self) -> BTreeSet<u64> {
        self.answered.lock().unwrap().iter().copied().collect()
    }

    pub(crate) async fn end(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut *self.answered.lock().unwrap())
    }
}

async fn post(client: &Client, url: &str, n: u64) -> bool {
    let body = lead(n).to_string();
    let header = signature(KEY, body.as_bytes());
    let request = Request::new(Method::Post, url.parse().unwrap()).body("application/json", body).header("X-Webhook-Signature", header);
    client.send(&request).await.is_ok_and(|answer| answer.body.as_ref() == b"{\"status\":\"success\"}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bridge_loses_nothing_it_answered_and_doubles_nothing_by_id() {
    let seed = std::env::var("LEADWIRE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()) | 1 << 40);
    eprintln!("seed {seed}; play this again with LEADWIRE_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let sink = endpoint().await;
    sink.set_latency(Duration::from_millis(2));
    let setup = Setup::new().endpoint("backend", sink.url().as_str()).archive();
    let drop = setup.drop_folder();
    let (next, mut answered) = (Arc::new(AtomicU64::new(0)), Vec::new());
    let mut bridge = setup.start();
    for round in 0..ROUNDS {
        let load = Load::start(&bridge, &next);
        tokio::time::sleep(Duration::from_millis(20 + dice.roll(300))).await;
        let setup = bridge.kill();
        answered.extend(load.end().await);
        bridge = setup.start();
        eprintln!("round {round}: {} answered so far", answered.len());
    }
    assert!(answered.len() > 200, "too little load to prove anything: {}", answered.len());
    eventually("everything to be delivered", async || {
        bridge.json(&["deliveries", "list", "--state", "pending", "--limit", "1"]).as_array().unwrap().is_empty().then_some(())
    })
    .await;
    bridge.assert_audit();
    assert_delivered_to_endpoint(&sink, &answered);
    let rows = eventually("the last file to be closed", async || {
        let rows = rows(&drop);
        let stored = bridge.json(&["audit"])["sources"][0]["stored"].as_i64().unwrap();
        (i64::try_from(rows.len()).unwrap() >= stored).then_some(rows)
    })
    .await;
    assert_rows_once(&rows, &answered);
}

fn assert_delivered_to_endpoint(sink: &Server, answered: &[u64]) {
    let state = sink.state();
    let sessions: BTreeMap<String, usize> = state["deliveries"].as_array().unwrap().iter().fold(BTreeMap::new(), |mut seen, delivery| {
        *seen.entry(delivery["body"]["data"]["session_id"].as_str().unwrap().to_owned()).or_default() += 1;
        seen
    });
    for n in answered {
        // A repeat of an attempt that was in flight has the id of the first, so one id stands for one lead.
        assert_eq!(sessions.get(&(31_305 + n).to_string()), Some(&1), "lead {n} was answered with success");
    }
}

fn assert_rows_once(rows: &[BTreeMap<String, String>], answered: &[u64]) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *seen.entry(row["session_id"].as_str()).or_default() += 1);
    assert!(
        seen.values().all(|count| *count == 1),
        "a row is doubled: {:?}",
        seen.iter().filter(|(_, count)| **count > 1).collect::<Vec<_>>()
    );
    for n in answered {
        assert!(seen.contains_key((31_305 + n).to_string().as_str()), "lead {n} has no row");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_mid_flight_makes_no_duplicate() {
    let sink = endpoint().await;
    sink.set_latency(Duration::from_millis(300));
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    let next = Arc::new(AtomicU64::new(0));
    let load = Load::start(&bridge, &next);
    eventually("attempts to be in flight", async || (sink.count() > 4).then_some(())).await;
    let setup = bridge.terminate();
    let answered = load.end().await;
    sink.set_latency(Duration::ZERO);
    let bridge = setup.start();
    bridge.until("delivered", answered.len()).await;
    eventually("nothing to be pending", async || {
        bridge.json(&["deliveries", "list", "--state", "pending", "--limit", "1"]).as_array().unwrap().is_empty().then_some(())
    })
    .await;
    let doubles: Vec<_> = counts(&sink.state()).into_iter().filter(|(_, count)| *count != 1).collect();
    assert!(doubles.is_empty(), "{doubles:?}");
    bridge.assert_audit();
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
async fn a_second_bridge_on_the_same_store_is_refused() {
    let bridge = Setup::new().start();
    let output = bridge.command(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another bridge runs on"));
}
