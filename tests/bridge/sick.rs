//! What happens while the store is sick: full, locked, not to be written. Never a success without the lead being kept.

use crate::harness::{Bridge, Setup, endpoint, eventually, lead};
use crate::promises::counts;
use leadwire_connector::http::{Answer, Method, Request};
use leadwire_connector::simulator::Server;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SUCCESS: &[u8] = b"{\"status\":\"success\"}";

/// The patience of the bridge, and some air for a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: Duration = Duration::from_secs(2);

/// Runs a program; whether it did what it was told.
fn does(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A small disk of its own, where mounting is permitted.
struct Volume(PathBuf);

impl Volume {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let path = at.display().to_string();
        let is_mounted = does("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &path]);
        is_mounted.then(|| Self(at.to_owned()))
    }

    /// Leaves so many bytes free.
    fn fill_but(&self, free: u64) {
        use std::io::Write as _;
        let path = self.0.join("filler");
        let mut file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
        while file.write_all(&[7; 4_096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(free)).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        does("umount", &["-l", &self.0.display().to_string()]);
    }
}

/// Another process's lock on the store, until it is dropped.
pub(crate) struct Lock {
    _connection: rusqlite::Connection,
}

impl Lock {
    pub(crate) fn take(setup: &Setup) -> Self {
        let connection = rusqlite::Connection::open(setup.folder.path().join("data/leadwire.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(20)).unwrap();
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        Self { _connection: connection }
    }
}

/// A lead of a person who has several.
fn lead_of(person: u64, n: u64) -> String {
    let mut body = lead(n);
    body["Email"] = json!(format!("person{person}@example.com"));
    body.to_string()
}

fn long_lead(n: u64, bytes: usize) -> String {
    let mut body = lead(n);
    body["Content"] = json!("x".repeat(bytes));
    body.to_string()
}

async fn timed(bridge: &Bridge, body: String) -> (Answer, Duration) {
    let start = Instant::now();
    let answer = bridge.post(body).await;
    (answer, start.elapsed())
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body.escape_ascii());
    assert!(answer.body.starts_with(br#"{"status":"error","error":"store_unavailable""#), "{}", answer.body.escape_ascii());
    assert_eq!(answer.header("retry-after"), Some("5"));
}

async fn until_taken(bridge: &Bridge, body: &str) {
    eventually("the lead to be taken", async || (bridge.post(body.to_owned()).await.body.as_ref() == SUCCESS).then_some(())).await;
}

async fn until_ready(bridge: &Bridge) {
    eventually("the bridge to be ready", async || (bridge.get("/readyz").await.status == 200).then_some(())).await;
}

async fn metrics(bridge: &Bridge) -> String {
    let url = format!("{}/metrics", bridge.console).parse().unwrap();
    let answer = bridge.client.send(&Request::new(Method::Get, url)).await.unwrap();
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// The value of a figure without labels, or with these.
async fn figure(bridge: &Bridge, name: &str) -> f64 {
    let text = metrics(bridge).await;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

/// The log says why the store was sick and for how long, and not with every request.
async fn assert_told_once(bridge: &Bridge, why: &str) {
    eventually("the end to be told", async || bridge.log().contains("the store is well again, after ").then_some(())).await;
    let log = bridge.log();
    let sick: Vec<&str> = log.lines().filter(|line| line.contains("the store is sick")).collect();
    assert!(sick.iter().all(|line| line.contains(why)), "{sick:?}");
    assert!((1..=2).contains(&sick.len()) && log.lines().filter(|line| line.contains("was not kept")).count() == 0, "{log}");
}

/// All arrived, each once, and those of each person in the order of receipt.
fn assert_delivered_in_order(sink: &Server, wanted: usize) {
    let state = sink.state();
    let doubles: Vec<_> = counts(&state).into_iter().filter(|(_, count)| *count != 1).collect();
    assert!(doubles.is_empty(), "{doubles:?}");
    let mut seen = std::collections::BTreeMap::<String, Vec<i64>>::new();
    for delivery in state["deliveries"].as_array().unwrap() {
        let event = &delivery["body"]["data"];
        seen.entry(event["person"]["email"].to_string()).or_default().push(event["session_id"].as_str().unwrap().parse().unwrap());
    }
    assert!(seen.values().all(|sessions| sessions.is_sorted()), "{seen:?}");
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), wanted);
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect();
    files.sort();
    files
}

fn with_spool(setup: Setup) -> (Setup, PathBuf) {
    let folder = setup.folder.path().join("spool");
    let mut setup = setup;
    setup.replace("[store]\n", &format!("[store]\nspool = \"{}\"\n", folder.display()));
    (setup, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_says_so_until_there_is_room_again() {
    let setup = Setup::new().archive();
    let data = setup.folder.path().join("data");
    let Some(volume) = Volume::mount(&data, "8m") else {
        // Without the right to mount, the limit on the size of files in `bad_input` is the full disk.
        assert!(!does("id", &["-u", "root"]) || std::env::var_os("CI").is_none(), "root in CI must be able to mount");
        return eprintln!("no right to mount: see bad_input::a_store_that_cannot_write_says_so_and_recovers_by_itself");
    };
    let bridge = setup.start();
    assert_eq!(bridge.post(lead(1).to_string()).await.body.as_ref(), SUCCESS);
    bridge.until("delivered", 1).await;
    // Room for small writes only: a small probe of readiness must not hide that leads are refused.
    volume.fill_but(700 << 10);
    let (answer, took) = timed(&bridge, long_lead(2, 900_000)).await;
    assert_refused(&answer);
    assert!(took < PATIENCE + AT_ONCE, "{took:?}");
    let start = Instant::now();
    while start.elapsed() < PATIENCE + AT_ONCE {
        let ready = bridge.get("/readyz").await;
        assert_eq!((ready.status, ready.header("retry-after")), (503, Some("5")), "after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bridge.post(lead(3).to_string()).await.body.as_ref(), SUCCESS, "a small lead still finds room");
    assert_eq!(bridge.get("/readyz").await.status, 503, "which proves nothing about a large one");
    assert_eq!(figure(&bridge, "leadwire_store_up").await, 0.0);
    assert!(figure(&bridge, "leadwire_store_sick_seconds").await >= 5.0);
    assert!(figure(&bridge, "leadwire_receive_refused_total{reason=\"store_unavailable\"}").await >= 1.0);
    let (answer, took) = timed(&bridge, long_lead(2, 900_000)).await;
    assert_refused(&answer);
    assert!(took < AT_ONCE, "a store that has been sick for long is not waited for: {took:?}");

    volume.make_room();
    until_taken(&bridge, &long_lead(2, 900_000)).await;
    until_ready(&bridge).await;
    bridge.until("delivered", 3).await;
    assert_eq!(figure(&bridge, "leadwire_store_up").await, 1.0);
    bridge.assert_audit();
    // Before its volume goes.
    drop(bridge);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_written_any_more_is_a_sick_store_too() {
    let bridge = Setup::new().archive().start();
    assert_eq!(bridge.post(lead(1).to_string()).await.body.as_ref(), SUCCESS);
    let files = ["leadwire.db", "leadwire.db-wal"].map(|name| bridge.setup.folder.path().join("data").join(name).display().to_string());
    // Immutable files refuse writes also to those who have them open; elsewhere a limit on the size of files has the same effect.
    let pid = bridge.pid().to_string();
    let is_immutable = does("chattr", &["+i", &files[0], &files[1]]);
    assert!(is_immutable || does("prlimit", &["--pid", &pid, "--fsize=1:unlimited"]));
    let (answer, took) = timed(&bridge, lead(2).to_string()).await;
    if is_immutable {
        assert!(does("chattr", &["-i", &files[0], &files[1]]));
    } else {
        assert!(does("prlimit", &["--pid", &pid, "--fsize=unlimited:unlimited"]));
    }
    assert_refused(&answer);
    assert!(took >= PATIENCE - AT_ONCE, "it was refused after {took:?}, though the store might have come back");
    until_taken(&bridge, &lead(2).to_string()).await;
    until_ready(&bridge).await;
    bridge.until("delivered", 2).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_a_second_costs_no_answer_and_a_long_one_is_refused_at_once() {
    let bridge = Setup::new().archive().start();
    let lock = Lock::take(&bridge.setup);
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(lock);
    };
    let posts = futures_util::future::join_all((0..20).map(|n| bridge.post(lead(n).to_string())));
    let ((), answers) = tokio::join!(release, posts);
    assert!(answers.iter().all(|answer| answer.body.as_ref() == SUCCESS), "a request failed during a short lock");

    let lock = Lock::take(&bridge.setup);
    let (answer, took) = timed(&bridge, lead(20).to_string()).await;
    assert_refused(&answer);
    assert!(took < PATIENCE + AT_ONCE, "{took:?}");
    for n in 21..30 {
        let (answer, took) = timed(&bridge, lead(n).to_string()).await;
        assert_refused(&answer);
        assert!(took < AT_ONCE, "{took:?}");
    }
    assert_eq!(bridge.get("/readyz").await.status, 503);
    drop(lock);
    until_ready(&bridge).await;
    assert_told_once(&bridge, "locked").await;
    for n in 20..30 {
        assert_eq!(bridge.post(lead(n).to_string()).await.body.as_ref(), SUCCESS);
    }
    bridge.until("delivered", 30).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_answers_for_a_sick_store_through_a_crash_and_keeps_the_order() {
    let sink = endpoint().await;
    let (setup, folder) = with_spool(Setup::new().endpoint("backend", sink.url().as_str()));
    let bridge = setup.start();
    for n in 0..8 {
        assert_eq!(bridge.post(lead_of(n % 4, n)).await.body.as_ref(), SUCCESS);
    }
    bridge.until("delivered", 8).await;
    let lock = Lock::take(&bridge.setup);
    for n in 8..40 {
        assert_eq!(bridge.post(lead_of(n % 4, n)).await.body.as_ref(), SUCCESS, "lead {n}");
    }
    assert!(!segments(&folder).is_empty());
    let ready = bridge.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.json().unwrap()["reason"].as_str().unwrap().contains("spool"));
    assert_eq!(figure(&bridge, "leadwire_spool_records").await, 32.0);
    let told: Value = serde_json::from_slice(&bridge.command(&["audit", "--json"]).stdout).unwrap();
    assert_eq!(told["spool"]["records"], 32);

    // Nothing but the disk survives; the store stays locked for a while, and the bridge waits for it.
    let setup = bridge.kill();
    let release = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(8)).await;
        drop(lock);
    });
    let bridge = tokio::task::spawn_blocking(|| setup.start()).await.unwrap();
    release.await.unwrap();
    assert!(bridge.log().contains("trying again for up to 60 s"), "{}", bridge.log());
    for n in 40..60 {
        assert_eq!(bridge.post(lead_of(n % 4, n)).await.body.as_ref(), SUCCESS);
    }
    bridge.until("delivered", 60).await;
    eventually("the spool to be empty", async || segments(&folder).is_empty().then_some(())).await;
    assert_delivered_in_order(&sink, 60);
    until_ready(&bridge).await;
    assert_eq!(bridge.status().await["spool"]["records"], 0);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_is_left_without_a_gap_under_load() {
    let sink = endpoint().await;
    let (setup, folder) = with_spool(Setup::new().endpoint("backend", sink.url().as_str()));
    let bridge = setup.start();
    let lock = Lock::take(&bridge.setup);
    assert_eq!(bridge.post(lead_of(0, 0)).await.body.as_ref(), SUCCESS);
    let release = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(lock);
    };
    // Each person's leads one after the other, all persons at once, until well after the spool ran empty.
    let person = |person: u64| {
        let (bridge, folder) = (&bridge, &folder);
        async move {
            let (mut n, mut after) = (person, 0);
            while after < 20 && n < 6_000 {
                n += 6;
                assert_eq!(bridge.post(lead_of(person, n)).await.body.as_ref(), SUCCESS);
                after += usize::from(segments(folder).is_empty());
            }
            usize::try_from((n - person) / 6).unwrap()
        }
    };
    let ((), posted) = tokio::join!(release, futures_util::future::join_all((0..6).map(person)));
    let all = posted.iter().sum::<usize>() + 1;
    bridge.until("delivered", all).await;
    eventually("the spool to be empty", async || segments(&folder).is_empty().then_some(())).await;
    assert_delivered_in_order(&sink, all);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promised_body_waits_in_the_spool_too() {
    let (setup, folder) = with_spool(Setup::bare("[sources.acme]\n"));
    let bridge = setup.start();
    let lock = Lock::take(&bridge.setup);
    let answer = bridge.post_to("acme", lead(1).to_string(), &[]).await.unwrap();
    assert_eq!(answer.body.as_ref(), SUCCESS);
    assert_eq!(segments(&folder).len(), 1);
    drop(lock);
    eventually("the body to be in quarantine", async || {
        let listed = bridge.json(&["quarantine", "list"]);
        (listed.as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    eventually("the spool to be empty", async || segments(&folder).is_empty().then_some(())).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_what_it_holds_arrives() {
    let sink = endpoint().await;
    let (mut setup, _) = with_spool(Setup::new().endpoint("backend", sink.url().as_str()));
    setup.replace("[store]\n", "[store]\nspool_max_bytes = \"80KiB\"\n");
    let bridge = setup.start();
    let lock = Lock::take(&bridge.setup);
    let (mut kept, mut refused) = (0, None);
    for n in 0..20 {
        let answer = bridge.post(long_lead(n, 6_000)).await;
        if answer.body.as_ref() != SUCCESS {
            assert_refused(&answer);
            refused = Some(n);
            break;
        }
        kept += 1;
    }
    let refused = refused.expect("the spool took more than it may");
    assert!(kept > 1);
    assert_eq!(bridge.get("/readyz").await.status, 503);
    drop(lock);
    bridge.until("delivered", kept).await;
    until_ready(&bridge).await;
    until_taken(&bridge, &long_lead(refused, 6_000)).await;
    bridge.until("delivered", kept + 1).await;
    assert_delivered_in_order(&sink, kept + 1);
    bridge.assert_audit();
}

/// A bridge that was killed with some records in its spool.
async fn killed_with_records(sink: &Server, count: u64) -> (Setup, PathBuf) {
    let (setup, folder) = with_spool(Setup::new().endpoint("backend", sink.url().as_str()));
    let bridge = setup.start();
    let lock = Lock::take(&bridge.setup);
    for n in 0..count {
        assert_eq!(bridge.post(lead_of(0, n)).await.body.as_ref(), SUCCESS);
    }
    let setup = bridge.kill();
    drop(lock);
    (setup, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_folder_of_the_spool_is_counted_until_somebody_removes_it() {
    let (setup, folder) = with_spool(Setup::new().archive());
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("spool-garbage.log"), "no record at all").unwrap();
    std::fs::write(folder.join("notes.txt"), "somebody else's").unwrap();
    let bridge = setup.start();
    eventually("both to be counted", async || (figure(&bridge, "leadwire_spool_set_aside").await == 2.0).then_some(())).await;
    let told = bridge.command(&["audit"]);
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.code() == Some(1) && text.contains("notes.txt: no file of a spool") && text.contains(".broken"), "{text}");
    for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if !entry.ends_with("spool.lock") {
            std::fs::remove_file(entry).unwrap();
        }
    }
    eventually("none to be counted", async || (figure(&bridge, "leadwire_spool_set_aside").await == 0.0).then_some(())).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_cut_off_by_a_crash_is_left_out_and_the_others_arrive() {
    let sink = endpoint().await;
    let (setup, folder) = killed_with_records(&sink, 5).await;
    let segment = segments(&folder).pop().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend_from_within(..100);
    std::fs::write(&segment, &bytes).unwrap();
    let bridge = setup.start();
    bridge.until("delivered", 5).await;
    eventually("the spool to be empty", async || segments(&folder).is_empty().then_some(())).await;
    assert_delivered_in_order(&sink, 5);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_told_and_kept_and_the_others_arrive() {
    let sink = endpoint().await;
    let (setup, folder) = killed_with_records(&sink, 5).await;
    let segment = segments(&folder).pop().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let second = 28 + usize::try_from(u32::from_le_bytes(bytes[4..8].try_into().unwrap())).unwrap();
    bytes[second + 100] ^= 0x20;
    std::fs::write(&segment, &bytes).unwrap();
    let told = |output: std::process::Output| (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned());
    let (code, text) = told(setup.command(&["audit"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("in the spool, not yet in the store: 4 requests"), "{text}");
    assert!(text.contains("BROKEN   every record of the spool can be read"), "{text}");

    let bridge = setup.start();
    bridge.until("delivered", 4).await;
    eventually("the spool to be empty", async || segments(&folder).is_empty().then_some(())).await;
    assert_delivered_in_order(&sink, 4);
    assert_eq!(bridge.status().await["spool"]["set_aside"], 1);
    let (code, text) = told(bridge.command(&["audit"]));
    assert_eq!(code, Some(1), "it is told until a person has looked: {text}");
    assert!(text.contains(".broken"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_for_a_source_that_left_the_configuration_waits_until_it_is_back() {
    let sink = endpoint().await;
    let (mut setup, folder) = killed_with_records(&sink, 2).await;
    setup.replace("[sources.acme]", "[sources.other]");
    let bridge = setup.start();
    eventually("the records to be set aside", async || (bridge.status().await["spool"]["set_aside"] == 2).then_some(())).await;
    assert_eq!(bridge.command(&["audit"]).status.code(), Some(1));
    let mut setup = bridge.terminate();
    setup.replace("[sources.other]", "[sources.acme]");
    let bridge = setup.start();
    bridge.until("delivered", 2).await;
    eventually("nothing to be set aside", async || (bridge.status().await["spool"]["set_aside"] == 0).then_some(())).await;
    assert!(segments(&folder).is_empty());
    assert_delivered_in_order(&sink, 2);
    bridge.assert_audit();
}
