//! What the machine itself can do, in the same run as the bridge.

use crate::load::{HOOK, Load, Pace, Times, no_times, record};
use crate::servers::Bare;
use crate::sink::Sink;
use crate::{CONNECTIONS, LASTS};
use futures_util::future::join_all;
use rusqlite::Connection;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a limit is measured.
const BRIEF: Duration = Duration::from_secs(3);
/// Rows of one transaction, as many as the bridge puts into one under load.
const BATCH: usize = 64;
/// About what a lead takes.
const ROW: usize = 600;

pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) per_second: f64,
    pub(crate) times: Option<Times>,
    pub(crate) cpu_seconds: Option<f64>,
}

/// A server that reads the body and, if it is to, checks its signature.
pub(crate) async fn bare(name: &'static str, is_verifying: bool) -> Limit {
    let server = Bare::start(is_verifying);
    let load = Load::run(&[server.address], HOOK, CONNECTIONS, 0, Pace::Closed(LASTS)).await;
    assert_eq!(load.refused, 0);
    Limit {
        name,
        per_second: load.per_second(),
        times: Some(load.answered_in),
        cpu_seconds: Some(server.process.cpu_seconds() / load.accepted.len() as f64),
    }
}

/// Syncs of a file that grows by a page each time.
pub(crate) fn fdatasync() -> Limit {
    let mut file = tempfile::tempfile_in(".").unwrap();
    let (mut times, began_at, page) = (no_times(), Instant::now(), [7_u8; 4_096]);
    while began_at.elapsed() < BRIEF {
        let at = Instant::now();
        file.write_all(&page).unwrap();
        file.sync_data().unwrap();
        record(&mut times, at.elapsed());
    }
    Limit {
        name: "fdatasync, 4 KiB appended",
        per_second: times.len() as f64 / began_at.elapsed().as_secs_f64(),
        times: Some(times),
        cpu_seconds: None,
    }
}

/// How often the disk is asked while a load lasts: seldom enough to be no load itself.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Syncs of a file that grows, one due every 10 ms beside whatever else there is, so that an answer is compared with the disk of its own
/// seconds: on a shared machine that is another one a minute later. What is late because the one before was, counts from when it was due,
/// as it does for leads.
pub(crate) struct Beside {
    is_over: Arc<AtomicBool>,
    asking: JoinHandle<Times>,
}

impl Beside {
    pub(crate) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        Self { is_over, asking: std::thread::spawn(move || ask(&until)) }
    }

    pub(crate) fn end(self) -> Times {
        self.is_over.store(true, Ordering::Relaxed);
        self.asking.join().unwrap()
    }
}

fn ask(is_over: &AtomicBool) -> Times {
    let mut file = tempfile::tempfile_in(".").unwrap();
    let (mut times, mut due, page) = (no_times(), Instant::now(), [7_u8; 4_096]);
    while !is_over.load(Ordering::Relaxed) {
        let is_late = due < Instant::now();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked_at = if is_late { due } else { Instant::now() };
        file.write_all(&page).unwrap();
        file.sync_data().unwrap();
        record(&mut times, asked_at.elapsed());
        due += ASK_EVERY;
    }
    times
}

/// Rows with a unique key into SQLite, 64 to a transaction, every one on the disk.
pub(crate) fn inserts() -> Limit {
    let folder = tempfile::tempdir_in(".").unwrap();
    let connection = Connection::open(folder.path().join("limit.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE row (n INTEGER PRIMARY KEY, id BLOB UNIQUE, body TEXT)",
        )
        .unwrap();
    let (mut rows, began_at, body) = (0_u64, Instant::now(), "x".repeat(ROW));
    while began_at.elapsed() < BRIEF {
        connection.execute_batch("BEGIN").unwrap();
        let mut insert = connection.prepare_cached("INSERT INTO row (id, body) VALUES (?1, ?2)").unwrap();
        for _ in 0..BATCH {
            rows += 1;
            insert.execute((u128::from(rows).to_be_bytes(), &body)).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    Limit {
        name: "SQLite: rows, 64 to a commit",
        per_second: rows as f64 / began_at.elapsed().as_secs_f64(),
        times: None,
        cpu_seconds: None,
    }
}

/// Posts of the HTTP client to the destination of this bench.
pub(crate) async fn client() -> Limit {
    let sink = Sink::start();
    let url = format!("http://{}/0", sink.address);
    let client = reqwest::Client::builder().build().unwrap();
    let began_at = Instant::now();
    let post = async || {
        let mut posts = 0_u64;
        while began_at.elapsed() < BRIEF {
            let answer = client.post(&url).body("x".repeat(ROW)).send().await.unwrap();
            answer.bytes().await.unwrap();
            posts += 1;
        }
        posts
    };
    let posts: u64 = join_all((0..64).map(|_| post())).await.into_iter().sum();
    Limit { name: "HTTP client: posts", per_second: posts as f64 / began_at.elapsed().as_secs_f64(), times: None, cpu_seconds: None }
}
