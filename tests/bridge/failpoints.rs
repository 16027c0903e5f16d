//! Every place where a fault can be ordered × the end, an error, a delay × early and later: nothing is lost, invented, changed,
//! reordered, or doubled beyond what was under way.

use crate::driver::{Posted, seed};
use crate::harness::{Bridge, Setup, eventually, serve};
use crate::oracle::Trial;
use crate::postgres::database;
use leadwire::failpoint::{Commit, POINTS, SEND_AFTER, SETTLE_AFTER};
use leadwire_connector::http::{Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule};
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;

const ACTIONS: [&str; 3] = ["abort", "error", "delay:150ms"];
/// The first time a place is reached, and a later one.
const TIMES: [u64; 2] = [1, 5];
const VARIABLE: &str = "LEADWIRE_FAILPOINTS";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    store: Store,
    point: &'static str,
    action: &'static str,
    time: u64,
}

impl Round {
    fn order(self) -> String {
        format!("{}={}@{}", self.point, self.action, self.time)
    }

    /// What SQLite committed it reports as committed; PostgreSQL's answer may get lost on the way.
    fn is_possible(self) -> bool {
        let is_lost_answer =
            self.action == "error" && (self.point == SETTLE_AFTER || self.point.starts_with("commit.") && self.point.ends_with(".after"));
        self.store == Store::Postgres || !is_lost_answer
    }

    fn setup(self, trial: &mut Trial) -> Setup {
        let setup = match self.store {
            Store::Sqlite => trial.setup(),
            Store::Postgres => trial.setup_on(&database()),
        };
        setup.environment(VARIABLE, &self.order())
    }

    fn is_step(self) -> bool {
        [Commit::Step.before(), Commit::Step.after()].contains(&self.point)
    }
}

fn rounds(store: Store) -> Vec<Round> {
    let all = POINTS
        .iter()
        .flat_map(|point| ACTIONS.iter().flat_map(move |action| TIMES.iter().map(move |time| Round { store, point, action, time: *time })));
    // One that failed can be played alone.
    let only = std::env::var("LEADWIRE_TEST_ROUND").unwrap_or_default();
    all.filter(|round| round.is_possible() && round.order().contains(&only)).collect()
}

#[test]
fn no_fault_at_any_place_breaks_a_promise_on_sqlite() {
    play_all(rounds(Store::Sqlite), 2);
}

/// After each abort its deliveries are taken over, which takes some seconds: each fault strikes early or later, in turn.
#[test]
fn no_fault_at_any_place_breaks_a_promise_on_postgresql() {
    let turn = usize::from(seed().is_multiple_of(2));
    play_all(rounds(Store::Postgres).into_iter().skip(turn).step_by(TIMES.len()).collect(), 6);
}

/// Rounds mostly wait, so several run beside each other; each has its own threads, because starting a bridge blocks one.
fn play_all(rounds: Vec<Round>, per_core: usize) {
    let seed = seed();
    let queue = Mutex::new(rounds.into_iter());
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from) * per_core;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(round) = { queue.lock().unwrap().next() } {
                    let played = std::thread::spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(play(round, seed))).join();
                    if played.is_err() {
                        failed.lock().unwrap().push(round.order());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "these orders broke a promise; the panics above say which: {failed:?}");
}

async fn play(round: Round, seed: u64) {
    if round.is_step() {
        return play_steps(round, seed).await;
    }
    let mut trial = Trial::new(seed).await;
    trial.evidence.spare = usize::from(round.point == SEND_AFTER && round.action == "error");
    trial.sink.order(FaultRule { probability: Some(0.3), ..FaultRule::always(FaultKind::Status(503)) });
    trial.driver.pace(Duration::from_millis(10));
    let setup = round.setup(&mut trial);
    trial.driver.start();
    let bridge = match setup.try_start() {
        Ok(bridge) => {
            trial.driver.aim(&[&bridge.url]);
            struck(bridge, round, |setup| drop(trial.excuse(setup))).await
        }
        Err((setup, log)) => {
            assert!(log.contains(&format!("failpoint {}:", round.point)), "{}: it does not start: {log}", round.order());
            setup.without(VARIABLE).start()
        }
    };
    trial.end(&bridge).await;
}

/// Waits until the fault struck; a process that it ended is started again, without orders.
async fn struck(mut bridge: Bridge, round: Round, excuse: impl FnOnce(&Setup)) -> Bridge {
    let ready = Request::new(Method::Get, format!("{}/readyz", bridge.url).parse().unwrap());
    eventually(&format!("{} to strike", round.order()), async || {
        // Asking whether it is ready makes it commit, which is one of the places.
        let _ = bridge.client.send(&ready).await;
        bridge.log().contains(&format!("failpoint {}:", round.point)).then_some(())
    })
    .await;
    if round.action != "abort" {
        return bridge;
    }
    eventually("the process to end", async || bridge.has_ended().then_some(())).await;
    let setup = bridge.kill().without(VARIABLE);
    excuse(&setup);
    setup.start()
}

/// Steps are saved for a CRM alone, where one lead must be one contact and one note.
async fn play_steps(round: Round, seed: u64) {
    let crm = serve("hubspot").await;
    let mut trial = Trial::new(seed).await;
    trial.driver.pace(Duration::from_millis(10));
    let base = crm.url().as_str().trim_end_matches('/').to_owned();
    let toml =
        format!("[destinations.crm]\ntype = \"hubspot\"\ntoken = \"made-up-token\"\nbase_url = \"{base}\"\n[[routes]]\nto = [\"crm\"]");
    let setup = round.setup(&mut trial).with(&toml);
    let bridge = setup.start();
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();
    let bridge = struck(bridge, round, |setup| drop(trial.excuse(setup))).await;
    let findings = trial.findings(&bridge).await;
    let state = crm.state();
    let notes: Vec<&str> = state["notes"].as_array().unwrap().iter().map(|note| note["body"].as_str().unwrap()).collect();
    let wrong: Vec<&Value> =
        trial.evidence.posted.iter().filter(|posted| is_wrong(posted, &notes)).map(|posted| &posted.body["Content"]).collect();
    let is_fine = findings.is_empty() && wrong.is_empty();
    assert!(is_fine, "{}: {findings:?}; without their one note: {wrong:?}\n{}", round.order(), account(&bridge, &state));
}

/// What was answered has one note; what was not answered has one at most.
fn is_wrong(posted: &Posted, notes: &[&str]) -> bool {
    let text = format!("<br>{}<br>", posted.body["Content"].as_str().unwrap());
    let found = notes.iter().filter(|note| note.contains(&text)).count();
    found > 1 || posted.answered && found == 0
}

/// All that is known of every event: its deliveries, attempts and steps in the store, and what the CRM holds.
fn account(bridge: &Bridge, state: &Value) -> String {
    let events = bridge.json(&["events", "list", "--limit", "100000"]);
    let ids = events.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap());
    let shown = ids.map(|id| {
        let mut event = bridge.json(&["events", "show", id]);
        let notes = state["notes"].as_array().unwrap().iter().filter(|note| note["body"].as_str().unwrap().contains(id));
        event["notes"] = notes.cloned().collect();
        let kept = ["id", "session_id", "content", "received_at", "duplicates", "deliveries", "attempts", "steps", "notes"];
        kept.map(|name| format!("  {name}: {}", event[name])).join("\n")
    });
    format!("{}\ncontacts: {}", shown.collect::<Vec<_>>().join("\n\n"), state["contacts"])
}
