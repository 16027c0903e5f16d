//! A machine whose clock jumps. A small library stands before the real clock of the bridge for these stories; a server of PostgreSQL
//! keeps the right time, as one on another machine does.

use crate::driver::seed;
use crate::harness::{Bridge, Setup, endpoint, eventually, lead, preload};
use crate::oracle::{ARCHIVE, Trial};
use crate::postgres::database;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use std::path::PathBuf;
use std::time::Duration;

const DAY: i64 = 86_400;

#[derive(Debug, Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    fn setup(self) -> Setup {
        match self {
            Self::Sqlite => Setup::new(),
            Self::Postgres => Setup::new().on(&database()),
        }
    }
}

/// Makes a test for each engine of each of these stories, which are `async fn story(engine: Engine)`.
macro_rules! on_every_engine {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $story() { super::$story(super::Engine::Sqlite).await; })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $story() { super::$story(super::Engine::Postgres).await; })+
        }
    };
}

on_every_engine!(
    a_wait_is_as_long_as_it_was_to_be_when_the_clock_is_set_back,
    what_waits_is_not_late_when_the_clock_is_set_back_while_no_bridge_runs,
    a_rate_limit_is_kept_and_nothing_waits_longer_for_it_when_the_clock_jumps,
);

/// The machine's clock.
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn of(setup: Setup) -> (Setup, Self) {
        let file = setup.folder.path().join("shift");
        let library = preload("shifted_clock").display().to_string();
        (setup.environment("LD_PRELOAD", &library).environment("CLOCK_SHIFT", &file.display().to_string()), Self { file })
    }

    /// From now on it is wrong by so many seconds.
    fn set(&self, seconds: i64) {
        // Whole at every moment, since it is read all the time.
        let next = self.file.with_extension("next");
        std::fs::write(&next, seconds.to_string()).unwrap();
        std::fs::rename(&next, &self.file).unwrap();
    }
}

fn moments(sink: &Server) -> Vec<Timestamp> {
    sink.requests().iter().map(|logged| logged.at).collect()
}

fn newest(bridge: &Bridge) -> Timestamp {
    bridge.json(&["events", "list", "--limit", "1"])[0]["received_at"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_and_is_set_right_loses_and_delays_nothing() {
    let seed = seed();
    let mut trial = Trial::new(seed).await;
    trial.sink.order(FaultRule { probability: Some(0.3), ..FaultRule::always(FaultKind::Status(503)) });
    trial.evidence.unordered.push(ARCHIVE);
    let (setup, clock) = Clock::of(trial.setup());
    let bridge = setup.start();
    jump(&mut trial, &clock, &[&bridge]).await;
    trial.end(&bridge).await;
}

/// Loads these bridges while the clock of the first one jumps.
async fn jump(trial: &mut Trial, clock: &Clock, bridges: &[&Bridge]) {
    trial.driver.pace(Duration::from_millis(10));
    trial.driver.start();
    for shift in [300, 0, -300, 0, DAY, 0, -DAY, 0] {
        clock.set(shift);
        trial.driver.aim(&[&bridges[0].url]);
        answered(trial, 20).await;
        let off = newest(bridges[0]).duration_since(Timestamp::now()).as_secs() - shift;
        assert!(off.abs() < 60, "the library does not shift the clock of the bridge: {off} s off at {shift}");
        trial.driver.aim(&bridges.iter().map(|bridge| bridge.url.as_str()).collect::<Vec<_>>());
        answered(trial, 20).await;
    }
}

async fn answered(trial: &Trial, more: usize) {
    let until = trial.driver.answered() + more;
    eventually("more answers", async || (trial.driver.answered() >= until).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_and_is_set_right_beside_a_bridge_whose_clock_is_right_loses_and_doubles_nothing() {
    let mut trial = Trial::new(seed()).await;
    trial.sink.order(FaultRule { probability: Some(0.3), ..FaultRule::always(FaultKind::Status(503)) });
    let url = database();
    let (setup, clock) = Clock::of(trial.setup_on(&url));
    let (jumping, right) = (setup.start(), trial.setup_on(&url).start());
    jump(&mut trial, &clock, &[&jumping, &right]).await;
    trial.end(&right).await;
    jumping.terminate();
}

async fn a_wait_is_as_long_as_it_was_to_be_when_the_clock_is_set_back(engine: Engine) {
    for jump in [-300, -DAY] {
        let sink = endpoint().await;
        sink.order(FaultRule::next(1, FaultKind::Status(503)));
        let mut setup = engine.setup().endpoint("backend", sink.url().as_str());
        setup.replace("backoff_initial = \"200ms\"\nbackoff_max = \"1s\"", "backoff_initial = \"8s\"\nbackoff_max = \"8s\"");
        let (setup, clock) = Clock::of(setup);
        let bridge = setup.start();
        bridge.post(lead(1).to_string()).await;
        bridge.until("waiting", 1).await;
        clock.set(jump);
        bridge.until("delivered", 1).await;
        let moments = moments(&sink);
        let waited = moments[1].duration_since(moments[0]);
        // A fifth of jitter; then up to five seconds until the jump is seen, and the lane's next look.
        assert!(waited >= SignedDuration::from_millis(6_300), "{jump}: tried again after {waited}");
        assert!(waited <= SignedDuration::from_secs(30), "{jump}: tried again after {waited}");
    }
}

async fn what_waits_is_not_late_when_the_clock_is_set_back_while_no_bridge_runs(engine: Engine) {
    let sink = endpoint().await;
    sink.order(FaultRule::always(FaultKind::Status(503)));
    let (setup, clock) = Clock::of(engine.setup().endpoint("backend", sink.url().as_str()));
    let bridge = setup.start();
    bridge.post(lead(1).to_string()).await;
    bridge.until("waiting", 1).await;
    let setup = bridge.terminate();
    sink.clear_faults();
    clock.set(-DAY);
    let bridge = setup.start();
    bridge.until("delivered", 1).await;
    bridge.assert_audit();
}

async fn a_rate_limit_is_kept_and_nothing_waits_longer_for_it_when_the_clock_jumps(engine: Engine) {
    const LEADS: u64 = 31;
    const JUMPS: [i64; 4] = [DAY, 0, -DAY, 0];
    let sink = endpoint().await;
    let toml = format!(
        "[destinations.backend]\ntype = \"json\"\nurl = \"{}\"\nrate_per_second = 10\nburst = 1\n[[routes]]\nto = [\"backend\"]",
        sink.url()
    );
    let (setup, clock) = Clock::of(engine.setup().with(&toml));
    let bridge = setup.start();
    for n in 0..LEADS {
        bridge.post(lead(n).to_string()).await;
    }
    for (turn, jump) in JUMPS.into_iter().enumerate() {
        let seen = u64::try_from(5 * (turn + 1)).unwrap();
        eventually("some to arrive", async || (sink.count() >= seen).then_some(())).await;
        clock.set(jump);
    }
    bridge.until("delivered", usize::try_from(LEADS).unwrap()).await;
    let moments = moments(&sink);
    let took = moments.last().unwrap().duration_since(moments[0]);
    // Each jump ahead may bring one start forward; each jump back is seen within five seconds.
    assert!(took >= SignedDuration::from_millis(2_500), "{LEADS} deliveries at 10 per second took {took}");
    assert!(took <= SignedDuration::from_secs(30), "{LEADS} deliveries at 10 per second took {took}");
}
