//! Copies of the store, moving it, and bounding it, while leads come in.

use crate::harness::{Bridge, Setup, endpoint, eventually, lead};
use crate::load::Load;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", text(output)))
}

fn database(setup: &Setup) -> PathBuf {
    setup.folder.path().join("data/leadwire.db")
}

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn migrate(setup: &Setup, from: &Path, to: &Path) -> Output {
    setup.command(&["store", "migrate", "--from", &url(from), "--to", &url(to), "--json"])
}

/// The people of all leads in the store of this bridge.
fn sessions(bridge: &Bridge) -> BTreeSet<String> {
    let events = bridge.json(&["events", "list", "--limit", "1000000"]);
    events.as_array().unwrap().iter().map(|event| event["session_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_under_load_is_proven_and_restored_and_a_bridge_runs_on_it() {
    let sink = endpoint().await;
    sink.set_latency(Duration::from_millis(2));
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    let next = Arc::new(AtomicU64::new(0));
    let load = Load::start(&bridge, &next);
    eventually("some leads to be answered", async || (load.answered() > 300).then_some(())).await;
    let before: BTreeSet<u64> = load.so_far();
    let copy = bridge.setup.folder.path().join("backups copy.db");
    let output = bridge.command(&["store", "backup", copy.to_str().unwrap(), "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    eventually("more leads to be answered", async || (load.answered() > before.len() + 20).then_some(())).await;
    load.end().await;
    let again = bridge.command(&["store", "backup", copy.to_str().unwrap()]);
    assert!(again.status.code() == Some(1) && text(&again).contains("overwrites nothing"), "{}", text(&again));
    let drill = bridge.command(&["store", "verify", copy.to_str().unwrap(), "--json"]);
    assert!(drill.status.success() && json(&drill)["events"].as_u64().unwrap() >= before.len() as u64, "{}", text(&drill));

    let mut setup = bridge.terminate();
    let restored = setup.folder.path().join("restored.db");
    let moved = migrate(&setup, &copy, &restored);
    assert!(moved.status.success() && json(&moved)["same"] == true, "{}", text(&moved));
    let old = url(&database(&setup));
    setup.replace(&old, &url(&restored));
    let bridge = setup.start();
    let there = sessions(&bridge);
    let missing: Vec<_> = before.iter().filter(|n| !there.contains(&(31_305 + **n).to_string())).collect();
    assert!(missing.is_empty(), "answered before the backup and not in it: {missing:?}");
    eventually("everything to be delivered", async || {
        bridge.json(&["deliveries", "list", "--state", "pending", "--limit", "1"]).as_array().unwrap().is_empty().then_some(())
    })
    .await;
    assert_eq!(bridge.post(lead(1_000_000).to_string()).await.status, 200);
    bridge.until("delivered", there.len() + 1).await;
    bridge.assert_audit();
}

/// A store with many leads that wait.
fn fill(count: &str) -> (Setup, i64) {
    let setup = Setup::new().endpoint("backend", "http://127.0.0.1:9/");
    let output = setup.command(&["hold", "backend", "--reason", "a story"]);
    assert!(output.status.success(), "{}", text(&output));
    let bridge = setup.start();
    let hook = format!("{}/hooks/acme", bridge.url);
    let output = bridge.command(&["send", "--source", "acme", "--url", &hook, "--count", count]);
    assert!(output.status.success(), "{}", text(&output));
    let events = bridge.json(&["store", "status"])["events"].as_i64().unwrap();
    assert!(events > 0);
    (bridge.terminate(), events)
}

fn spawn_migrate(setup: &Setup, from: &Path, to: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_leadwire"))
        .args(["store", "migrate", "--from", &url(from), "--to", &url(to)])
        .current_dir(setup.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_is_killed_goes_on_and_ends_with_equal_ledgers() {
    let (mut setup, events) = fill("8000");
    let (from, to) = (database(&setup), setup.folder.path().join("moved.db"));
    let mut kills = 0;
    // Each run brings at least what it committed before it was killed; some run ends before it is killed.
    for round in 1..=50_u64 {
        let mut child = spawn_migrate(&setup, &from, &to);
        tokio::time::sleep(Duration::from_millis(60 * round)).await;
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let output = migrate(&setup, &from, &to);
    assert!(output.status.success(), "{}", text(&output));
    assert!(kills > 0, "it was never interrupted");
    let (first, repeated) = (json(&output), migrate(&setup, &from, &to));
    assert!(repeated.status.success(), "{}", text(&repeated));
    let keys = |report: &Value| report.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let again = json(&repeated);
    assert_eq!(keys(&first), keys(&again));
    assert!(first["finished_at"].is_string() && first["finished_at"] == again["finished_at"] && again["same"] == true, "{again}");
    let drill = setup.command(&["store", "verify", to.to_str().unwrap(), "--json"]);
    assert!(drill.status.success() && json(&drill)["events"] == events, "{}", text(&drill));
    let old = url(&from);
    setup.replace(&old, &url(&to));
    let status = json(&setup.command(&["store", "status", "--json"]));
    assert_eq!(status["events"], events);
    assert_eq!(status["destinations"][0]["pending"], events);
    assert!(setup.command(&["audit"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_use_is_not_moved_and_a_part_of_one_is_not_run() {
    let bridge = Setup::new().start();
    bridge.post(lead(1).to_string()).await;
    let (from, to) = (database(&bridge.setup), bridge.setup.folder.path().join("moved.db"));
    let output = bridge.command(&["store", "migrate", "--from", &url(&from), "--to", &url(&to)]);
    assert!(output.status.code() == Some(1) && text(&output).contains("a bridge runs on"), "{}", text(&output));
    let same = bridge.command(&["store", "migrate", "--from", &url(&from), "--to", &url(&from)]);
    assert_eq!(same.status.code(), Some(64), "{}", text(&same));
    let link = bridge.setup.folder.path().join("link.db");
    std::fs::hard_link(&from, &link).unwrap();
    let same = bridge.command(&["store", "migrate", "--from", &url(&from), "--to", &url(&link)]);
    assert!(same.status.code() == Some(64) && text(&same).contains("are the same file"), "{}", text(&same));
    let secret = bridge.command(&["store", "migrate", "--from", "postgres://me:hush@@host/x", "--to", &url(&to)]);
    assert!(secret.status.code() == Some(64) && !text(&secret).contains("hush"), "{}", text(&secret));
    let unknown = bridge.command(&["store", "migrate", "--from", "mysql:x", "--to", &url(&to)]);
    assert!(unknown.status.code() == Some(64) && text(&unknown).contains("unknown kind of store"), "{}", text(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_shrinks_after_retention_and_what_is_undelivered_stays() {
    let sink = endpoint().await;
    let later = "[destinations.later]\ntype = \"json\"\nurl = \"http://127.0.0.1:9/\"\n\
                 [[routes]]\nto = [\"later\"]\nwhen = \"person.last_name == 'Garcia 7'\"";
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).with(later).start();
    assert!(bridge.command(&["hold", "later", "--reason", "a story"]).status.success());
    for n in 0..200 {
        let mut body = lead(n);
        body["Extra"] = Value::String("x".repeat(50_000));
        assert_eq!(bridge.post(body.to_string()).await.status, 200);
    }
    eventually("all to be delivered", async || (bridge.json(&["store", "status"])["destinations"][0]["delivered"] == 200).then_some(()))
        .await;
    let before = bridge.json(&["store", "status"]);
    let mut setup = bridge.terminate();
    setup.replace("[store]\n", "[store]\nretention = \"1ms\"\n");
    let bridge = setup.start();
    let file = database(&bridge.setup);
    assert!(before["used_bytes"].as_u64().unwrap() > 10_000_000, "{before}");
    let after = eventually("the file to shrink", async || {
        let status = bridge.json(&["store", "status"]);
        let length = std::fs::metadata(&file).unwrap().len();
        (status["events"] == 1 && length < 1_000_000 && status["wal_bytes"].as_u64() < Some(1 << 20)).then_some(status)
    })
    .await;
    assert_eq!(after["oldest_pending"]["destination"], "later");
    assert_eq!(sessions(&bridge), BTreeSet::from([(31_305 + 7).to_string()]));
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_is_there() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 1).await;
    assert!(bridge.command(&["hold", "backend", "--reason", "a story"]).status.success());
    bridge.until_held("backend").await;
    bridge.post(lead(2).to_string()).await;
    bridge.post_to("acme", "not signed at all", &[]).await.ok();
    let status = bridge.json(&["store", "status"]);
    assert_eq!((&status["engine"], &status["events"], &status["quarantine_bodies"]), (&"sqlite".into(), &2.into(), &1.into()));
    let backend = &status["destinations"][0];
    assert_eq!((&backend["pending"], &backend["delivered"], &backend["dead"]), (&1.into(), &1.into(), &0.into()));
    assert_eq!(
        (&backend["waiting"], &backend["leased"], &backend["blocked"], &backend["held"]),
        (&0.into(), &0.into(), &0.into(), &1.into())
    );
    assert_eq!(status["oldest_pending"]["destination"], "backend");
    assert!(
        status["alive_at"].is_string() && status["wal_bytes"].as_u64() > Some(0) && status["file_bytes"].as_u64() > Some(0),
        "{status}"
    );
    let shown = text(&bridge.command(&["store", "status"]));
    assert!(shown.contains("oldest pending") && shown.contains("to backend") && shown.contains("log (WAL)"), "{shown}");
    assert!(shown.contains("BEHIND ANOTHER"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 120), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_on_a_damaged_copy_says_what_is_wrong() {
    let (setup, _) = fill("500");
    let copy = setup.folder.path().join("copy.db");
    let name = copy.to_str().unwrap();
    assert!(setup.command(&["store", "backup", name]).status.success());
    let shown = text(&setup.command(&["store", "verify", name]));
    assert!(shown.contains("is good: a bridge could run on it"), "{shown}");
    let whole = std::fs::read(&copy).unwrap();
    for content in [&whole[..whole.len() / 2], b"", b"PK\x03\x04 something else entirely"] {
        std::fs::write(&copy, content).unwrap();
        let output = setup.command(&["store", "verify", name]);
        assert!(output.status.code() == Some(1) && text(&output).contains("is NOT good"), "{}", text(&output));
    }
}

/// Makes files and folders immutable, as a disk that is mounted to be read only; where that is not permitted, false.
fn freeze(paths: &[&Path], sign: &str) -> bool {
    paths.iter().all(|path| Command::new("chattr").arg(format!("{sign}i")).arg(path).output().is_ok_and(|output| output.status.success()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_is_looked_at_and_moved() {
    let (setup, events) = fill("50");
    let from = database(&setup);
    let folder = from.parent().unwrap();
    let files = || std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>();
    let (before, is_frozen) = (files(), freeze(&[&from, folder], "+"));
    let status = setup.command(&["store", "status", "--json"]);
    let audit = setup.command(&["audit"]);
    let moved = migrate(&setup, &from, &setup.folder.path().join("moved.db"));
    if is_frozen {
        assert!(freeze(&[folder, &from], "-"));
        assert_eq!(files(), before);
    }
    assert!(status.status.success() && json(&status)["events"] == events, "{}", text(&status));
    assert!(audit.status.success(), "{}", text(&audit));
    assert!(moved.status.success() && json(&moved)["same"] == true, "{}", text(&moved));
}
