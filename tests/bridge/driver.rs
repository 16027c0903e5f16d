//! Who posts during faults: several senders that repeat what was not answered with success, as the platform does.

use crate::harness::{KEY, lead, signature};
use leadwire_connector::DeliveryError;
use leadwire_connector::http::{Answer, Client, HttpSettings, Method, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const SENDERS: u64 = 4;
const PERSONS_PER_SENDER: u64 = 3;
/// A sender that waits longer repeats; an instance that is paused must not hold it up.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE_BEFORE_REPEAT: Duration = Duration::from_millis(20);
/// Repeats of what was answered already, one in so many.
const REPEATS: u64 = 8;

/// A small generator, so that what was drawn can be drawn again from its seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // A generator of this kind stays at zero for ever.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// The seed of this run, printed; `LEADWIRE_TEST_SEED` plays one again.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("LEADWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| jiff::Timestamp::now().as_microsecond().unsigned_abs());
    eprintln!("seed {seed}; play this again with LEADWIRE_TEST_SEED={seed}");
    seed
}

/// What a sender is told that is to try again, as [`Driver::refusals`] tells it.
pub(crate) const COME_AGAIN: &str = "503, to come again after 5 s";

/// An event that was posted at least once.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) n: u64,
    pub(crate) person: String,
    pub(crate) body: Value,
    /// Whether it was answered with success: an obligation.
    pub(crate) answered: bool,
}

struct Shared {
    urls: Mutex<Vec<String>>,
    posted: Mutex<Vec<Posted>>,
    limit: AtomicU64,
    ending: AtomicBool,
    pace_ms: AtomicU64,
    /// 0 while they are impatient, and keep their connections.
    patience_ms: AtomicU64,
    refusals: Mutex<BTreeMap<String, usize>>,
    slowest_ms: AtomicU64,
    /// Authorities that senders trust beside those of the machine.
    roots: Mutex<Vec<String>>,
}

/// Posts until it is told to finish. Each person's next event is posted after the one before it was answered with success.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    seed: u64,
    senders: JoinSet<()>,
}

impl Driver {
    pub(crate) fn new(seed: u64) -> Self {
        let shared = Shared {
            urls: Mutex::default(),
            posted: Mutex::default(),
            limit: AtomicU64::new(u64::MAX),
            ending: AtomicBool::new(false),
            pace_ms: AtomicU64::new(0),
            patience_ms: AtomicU64::new(0),
            refusals: Mutex::default(),
            slowest_ms: AtomicU64::new(0),
            roots: Mutex::default(),
        };
        Self { shared: Arc::new(shared), seed, senders: JoinSet::new() }
    }

    /// At most so many events.
    pub(crate) fn limit(&self, events: u64) {
        self.shared.limit.store(events, Ordering::Relaxed);
    }

    /// A pause of each sender after each event.
    pub(crate) fn pace(&self, pause: Duration) {
        self.shared.pace_ms.store(millis(pause), Ordering::Relaxed);
    }

    /// Senders are as the platform is: they wait so long for an answer, and open a connection for each request, so that no answer
    /// is missed because one that was idle was closed meanwhile.
    pub(crate) fn be_patient(&self, patience: Duration) {
        self.shared.patience_ms.store(millis(patience), Ordering::Relaxed);
    }

    /// Senders that begin from now on trust this authority.
    pub(crate) fn trust(&self, pem: &str) {
        self.shared.roots.lock().unwrap().push(pem.to_owned());
    }

    /// From now on posts to these bridges.
    pub(crate) fn aim(&self, bridges: &[&str]) {
        *self.shared.urls.lock().unwrap() = bridges.iter().map(|url| format!("{url}/hooks/acme")).collect();
    }

    /// Begins to post.
    pub(crate) fn start(&mut self) {
        for sender in 0..SENDERS {
            self.senders.spawn(send(Arc::clone(&self.shared), sender, Dice::new(self.seed.wrapping_add(sender))));
        }
    }

    /// How many events were answered with success.
    pub(crate) fn answered(&self) -> usize {
        self.shared.posted.lock().unwrap().iter().filter(|posted| posted.answered).count()
    }

    /// Everything but success that senders were told, and how often.
    pub(crate) fn refusals(&self) -> BTreeMap<String, usize> {
        self.shared.refusals.lock().unwrap().clone()
    }

    /// How long the slowest of all requests took.
    pub(crate) fn slowest(&self) -> Duration {
        Duration::from_millis(self.shared.slowest_ms.load(Ordering::Relaxed))
    }

    /// Posts no new event, repeats what is open until it is answered, and returns all.
    pub(crate) async fn finish(&mut self) -> Vec<Posted> {
        self.shared.ending.store(true, Ordering::Relaxed);
        let all = async { while self.senders.join_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("the last events are never answered with success");
        std::mem::take(&mut *self.shared.posted.lock().unwrap())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap()
}

async fn send(shared: Arc<Shared>, sender: u64, mut dice: Dice) {
    let extra_roots = shared.roots.lock().unwrap().clone();
    let settings = HttpSettings { timeout: shared.patience().unwrap_or(PATIENCE), extra_roots, ..HttpSettings::default() };
    let client = Client::new(&settings).unwrap();
    let mut last: Option<Value> = None;
    while !shared.ending.load(Ordering::Relaxed) {
        if let Some(body) = last.as_ref().filter(|_| dice.roll(REPEATS) == 0) {
            post(&shared, &client, body, &mut dice).await;
        }
        let Some((n, body)) = shared.open(sender + SENDERS * dice.roll(PERSONS_PER_SENDER)) else { return };
        while !post(&shared, &client, &body, &mut dice).await {
            tokio::time::sleep(PAUSE_BEFORE_REPEAT).await;
        }
        shared.posted.lock().unwrap()[n].answered = true;
        last = Some(body);
        tokio::time::sleep(Duration::from_millis(shared.pace_ms.load(Ordering::Relaxed))).await;
    }
}

impl Shared {
    fn patience(&self) -> Option<Duration> {
        let patience_ms = self.patience_ms.load(Ordering::Relaxed);
        (patience_ms > 0).then(|| Duration::from_millis(patience_ms))
    }

    /// Written down before it is posted: whatever arrives must be known.
    fn open(&self, person: u64) -> Option<(usize, Value)> {
        let mut posted = self.posted.lock().unwrap();
        let n = posted.len();
        let number = u64::try_from(n).unwrap();
        if number >= self.limit.load(Ordering::Relaxed) {
            return None;
        }
        let person = format!("person{person}@example.com");
        let mut body = lead(number);
        body["Email"] = Value::String(person.clone());
        posted.push(Posted { n: number, person, body: body.clone(), answered: false });
        Some((n, body))
    }
}

/// One post, freshly signed. Whether it was answered with success, to the byte.
async fn post(shared: &Shared, client: &Client, body: &Value, dice: &mut Dice) -> bool {
    let url = {
        let urls = shared.urls.lock().unwrap();
        let count = u64::try_from(urls.len()).unwrap();
        if count == 0 {
            return false;
        }
        urls[usize::try_from(dice.roll(count)).unwrap()].clone()
    };
    let body = body.to_string();
    let header = signature(KEY, body.as_bytes());
    let mut request = Request::new(Method::Post, url.parse().unwrap()).body("application/json", body).header("X-Webhook-Signature", header);
    if shared.patience().is_some() {
        request = request.header("Connection", "close");
    }
    let began_at = Instant::now();
    let answer = client.send(&request).await;
    shared.slowest_ms.fetch_max(millis(began_at.elapsed()), Ordering::Relaxed);
    let Some(refusal) = refusal(answer.as_ref()) else { return true };
    *shared.refusals.lock().unwrap().entry(refusal).or_default() += 1;
    false
}

/// `None` for success.
fn refusal(answer: Result<&Answer, &DeliveryError>) -> Option<String> {
    match answer {
        Err(error) => Some(format!("no answer: {}", error.message)),
        Ok(answer) if answer.status == 200 && answer.body.as_ref() == b"{\"status\":\"success\"}" => None,
        Ok(answer) => {
            let again = answer.header("retry-after").map(|seconds| format!(", to come again after {seconds} s"));
            Some(format!("{}{}", answer.status, again.unwrap_or_default()))
        }
    }
}
