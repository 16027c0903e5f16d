//! Every place where a fault can be ordered × the end, an error, a delay × early and later: nothing is lost, invented, changed,
//! reordered, or doubled beyond what was under way.

use crate::driver::seed;
use crate::harness::{Bridge, Setup, eventually, serve};
use crate::oracle::{BACKEND, Trial};
use leadwire::failpoint::{Commit, POINTS, SEND_AFTER};
use leadwire_connector::http::{Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

const ACTIONS: [&str; 3] = ["abort", "error", "delay:150ms"];
/// The first time a place is reached, and a later one.
const TIMES: [u64; 2] = [1, 5];
const VARIABLE: &str = "LEADWIRE_FAILPOINTS";

#[derive(Debug, Clone, Copy)]
struct Round {
    point: &'static str,
    action: &'static str,
    time: u64,
}

impl Round {
    fn order(self) -> String {
        format!("{}={}@{}", self.point, self.action, self.time)
    }

    /// A commit that SQLite reports as failed was not made, so a claim cannot be committed and fail.
    fn is_possible(self) -> bool {
        self.point != Commit::Claim.after() || self.action != "error"
    }

    fn is_step(self) -> bool {
        [Commit::Step.before(), Commit::Step.after()].contains(&self.point)
    }
}

fn rounds() -> Vec<Round> {
    let all = POINTS
        .iter()
        .flat_map(|point| ACTIONS.iter().flat_map(move |action| TIMES.iter().map(move |time| Round { point, action, time: *time })));
    all.filter(|round| round.is_possible()).collect()
}

/// Rounds mostly wait, so several run beside each other; each has its own threads, because starting a bridge blocks one.
#[test]
fn no_fault_at_any_place_breaks_a_promise() {
    let seed = seed();
    let queue = Mutex::new(rounds().into_iter());
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from) * 2;
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
    let setup = trial.setup().environment(VARIABLE, &round.order());
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
        format!("[destinations.crm]\ntype = \"hubspot\"\ntoken = \"pat-na1-story\"\nbase_url = \"{base}\"\n[[routes]]\nto = [\"crm\"]");
    let setup = Setup::new().endpoint(BACKEND, trial.sink.url().as_str()).with(&toml).environment(VARIABLE, &round.order());
    let bridge = setup.start();
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();
    let bridge = struck(bridge, round, |setup| drop(trial.excuse(setup))).await;
    let met = trial.end(&bridge).await;
    let state = crm.state();
    let mut notes: BTreeMap<String, usize> = BTreeMap::new();
    for note in state["notes"].as_array().unwrap() {
        *notes.entry(note["body"].to_string()).or_default() += 1;
    }
    assert!(notes.len() >= met, "{}: {} notes of {met} leads", round.order(), notes.len());
    assert!(notes.values().all(|count| *count == 1), "{}: a note is doubled: {notes:?}", round.order());
}
