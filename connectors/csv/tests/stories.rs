//! The connector as the bridge sees it.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use leadwire_connector::testing;
use leadwire_connector::{BuildContext, Connector, DeliveryError, Event, Receipt};
use leadwire_connector_csv::KIND;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn build(base: &Path, keys: &Value) -> Box<dyn Connector> {
    testing::build(KIND, keys, &BuildContext::new("archive").with_base_directory(base))
}

fn event(content: &str) -> Event {
    serde_json::from_value(json!({
        "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": "bot",
        "person": {"first_name": "David", "last_name": "Garcia", "email": "test@qq.com", "phone": "+15551234567"},
        "content": content, "session_id": "31305", "page_url": null, "created_at": null,
        "received_at": "2026-11-22T05:17:00Z", "extra": {}, "raw": {}
    }))
    .unwrap()
}

async fn deliver(connector: &dyn Connector, id: &str, content: &str) -> Receipt {
    try_deliver(connector, id, content).await.unwrap()
}

async fn try_deliver(connector: &dyn Connector, id: &str, content: &str) -> Result<Receipt, DeliveryError> {
    testing::deliver(connector, id, &event(content)).await
}

/// The text of every file in sight, in the order of the names.
fn files(directory: &Path) -> Vec<String> {
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// How many rows each delivery has in all files together.
fn rows_by_delivery(directory: &Path) -> HashMap<String, usize> {
    let mut rows = HashMap::new();
    for text in files(directory) {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let last = reader.headers().unwrap().len() - 1;
        for record in reader.records() {
            *rows.entry(record.unwrap()[last].to_owned()).or_default() += 1;
        }
    }
    rows
}

#[tokio::test]
async fn a_lead_is_in_the_folder_within_its_age_although_no_other_comes() {
    let base = TempDir::new().unwrap();
    let connector = build(base.path(), &json!({"directory": "a/drop", "max_age": "1s"}));
    let receipt = deliver(&*connector, "d-1", "=cmd").await;
    assert!(matches!(receipt, Receipt::Delivered { record: Some(_), remark: None }));
    let patience = Instant::now() + Duration::from_secs(20);
    while files(&base.path().join("a/drop")).is_empty() {
        assert!(Instant::now() < patience, "the file never appeared");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let text = files(&base.path().join("a/drop")).remove(0);
    assert!(text.contains("David,Garcia,test@qq.com,'+15551234567,'=cmd,31305,bot,"), "{text}");
    assert!(text.ends_with(",d-1\n"));
}

#[tokio::test]
async fn a_long_cell_is_cut_and_says_so() {
    let base = TempDir::new().unwrap();
    let connector = build(base.path(), &json!({"directory": "drop", "mode": "daily"}));
    let receipt = deliver(&*connector, "d-1", &"x".repeat(40_000)).await;
    assert!(matches!(receipt, Receipt::Delivered { remark: Some(remark), .. } if remark.contains("32000")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_the_folder_sees_whole_files_only() {
    let base = TempDir::new().unwrap();
    let connector = build(base.path(), &json!({"directory": "drop", "max_rows": 7, "max_age": "1h"}));
    // There is a folder to watch.
    connector.prepare().await.unwrap();
    let directory = base.path().join("drop");
    let is_done = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let (directory, is_done) = (directory.clone(), Arc::clone(&is_done));
        move || {
            while !is_done.load(Ordering::Relaxed) {
                for text in files(&directory) {
                    assert_eq!((text.matches("delivery_id").count(), text.lines().count(), text.ends_with('\n')), (1, 8, true));
                }
            }
        }
    });
    let ids: Vec<String> = (0..210).map(|number| format!("d-{number}")).collect();
    for _repeat in 0..2 {
        futures_join(ids.iter().map(|id| deliver(&*connector, id, "hello"))).await;
    }
    is_done.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    drop(connector);
    let rows = rows_by_delivery(&directory);
    assert_eq!((rows.len(), rows.values().max(), files(&directory).len()), (210, Some(&1), 30));
}

/// Polls all futures until each is done.
async fn futures_join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        pending.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn a_second_owner_is_refused_and_the_next_one_goes_on() {
    let base = TempDir::new().unwrap();
    let keys = json!({"directory": "drop", "max_rows": 2});
    let connector = build(base.path(), &keys);
    deliver(&*connector, "d-1", "a").await;
    let second = build(base.path(), &keys);
    let refused = try_deliver(&*second, "d-2", "b").await.unwrap_err();
    assert!(refused.kind.is_outage() && refused.message.contains("another running Leadwire"), "{refused:?}");
    drop(connector);
    deliver(&*second, "d-2", "b").await;
    drop(second);
    let connector = build(base.path(), &keys);
    deliver(&*connector, "d-1", "a").await;
    deliver(&*connector, "d-2", "b").await;
    drop(connector);
    assert_eq!(rows_by_delivery(&base.path().join("drop")), HashMap::from([("d-1".to_owned(), 1), ("d-2".to_owned(), 1)]));
}

#[tokio::test]
async fn the_check_tells_the_free_space_and_a_preview_tells_the_cells() {
    let base = TempDir::new().unwrap();
    let connector = build(base.path(), &json!({"directory": "drop", "mode": "daily", "columns": ["email", "content"]}));
    let report = connector.check().await;
    assert!(report.is_good());
    assert!(report.findings[0].message.contains("MiB are free"));
    let preview = connector.preview(&event("=1")).unwrap().remove(0);
    assert_eq!(preview.method, "APPEND");
    assert!(preview.url.ends_with("drop/leads-2026-11-22.csv"));
    assert_eq!(preview.body, json!({"email": "test@qq.com", "content": "'=1", "delivery_id": "(the delivery's own id)"}));
    assert_eq!(names(base.path()), [""; 0], "nothing was made");
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_check_and_a_preview_work_beside_the_bridge_that_owns_the_folder() {
    let base = TempDir::new().unwrap();
    let keys = json!({"directory": "drop"});
    let bridge = build(base.path(), &keys);
    deliver(&*bridge, "d-1", "a").await;
    let hidden = base.path().join("drop/.leadwire");
    let before = names(&hidden).len();
    let beside = build(base.path(), &keys);
    let report = beside.check().await;
    assert!(report.is_good() && report.findings[0].message.contains("drop can be written,"), "{report:?}");
    assert_eq!(beside.preview(&event("b")).unwrap().len(), 1);
    assert_eq!((names(&hidden).len(), names(&base.path().join("drop"))), (before, vec![".leadwire".to_owned()]));
    deliver(&*bridge, "d-2", "b").await;
}

#[tokio::test]
async fn a_check_says_when_the_folder_cannot_be_made_and_leaves_nothing() {
    let base = TempDir::new().unwrap();
    let report = build(base.path(), &json!({"directory": "a/b/drop"})).check().await;
    assert!(report.is_good() && report.findings[0].message.contains("can be made at the first row"), "{report:?}");
    assert_eq!(names(base.path()), [""; 0]);
    std::fs::write(base.path().join("a"), "a file").unwrap();
    let report = build(base.path(), &json!({"directory": "a/b/drop"})).check().await;
    assert!(!report.is_good() && report.findings[0].message.contains("there is a file where the folder should be"), "{report:?}");
}

#[tokio::test]
async fn a_bridge_that_starts_finishes_the_file_of_an_earlier_run_although_no_lead_comes() {
    let base = TempDir::new().unwrap();
    let connector = build(base.path(), &json!({"directory": "drop", "max_age": "1h"}));
    deliver(&*connector, "d-1", "a").await;
    drop(connector);
    let connector = build(base.path(), &json!({"directory": "drop", "max_age": "1s"}));
    connector.prepare().await.unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while files(&base.path().join("drop")).is_empty() {
        assert!(Instant::now() < patience, "the file never appeared");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_is_taken_away_is_an_outage_and_not_the_end() {
    let base = TempDir::new().unwrap();
    let connector = build(base.path(), &json!({"directory": "drop", "max_rows": 1}));
    deliver(&*connector, "d-1", "a").await;
    std::fs::rename(base.path().join("drop"), base.path().join("away")).unwrap();
    let error = try_deliver(&*connector, "d-2", "b").await.unwrap_err();
    assert!(error.kind.is_outage() && error.message.contains("the folder is gone"), "{error:?}");
    std::fs::rename(base.path().join("away"), base.path().join("drop")).unwrap();
    deliver(&*connector, "d-2", "b").await;
    drop(connector);
    assert_eq!(rows_by_delivery(&base.path().join("drop")).len(), 2);
}

const CHILD: &str = "LEADWIRE_CSV_CHILD";

/// Not a story of its own: the process that the next story kills. Delivers until it is killed, and prints what is delivered.
#[tokio::test]
async fn child_that_delivers() {
    let Ok(keys) = std::env::var(CHILD) else { return };
    let (round, keys) = keys.split_once(' ').unwrap();
    let keys: Value = serde_json::from_str(keys).unwrap();
    let connector = build(Path::new("/"), &keys);
    for batch in 0.. {
        let ids: Vec<String> = (0..8).map(|number| format!("d-{round}-{batch}-{number}")).collect();
        futures_join(ids.iter().map(|id| deliver(&*connector, id, "a \"quoted\"\ncell"))).await;
        let mut out = std::io::stdout().lock();
        ids.iter().for_each(|id| writeln!(out, "\n{id}").unwrap());
        out.flush().unwrap();
    }
}

/// Starts the child, kills it after `lines` lines, and tells what it delivered for certain.
fn run_and_kill(keys: &Value, round: usize, lines: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_that_delivers", "--exact", "--nocapture"])
        .env(CHILD, format!("{round} {keys}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).filter(|line| line.starts_with("d-")).take(lines);
    let delivered = lines.collect();
    child.kill().unwrap();
    child.wait().unwrap();
    delivered
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_no_row_and_doubles_none() {
    for mode in ["files", "daily"] {
        let base = TempDir::new().unwrap();
        let mut keys = json!({"directory": base.path().join("drop"), "mode": mode});
        if mode == "files" {
            keys["max_rows"] = 13.into();
        }
        let mut delivered = Vec::new();
        for round in 0..6 {
            delivered.extend(run_and_kill(&keys, round, 37 + 29 * round));
            let rows = rows_by_delivery(&base.path().join("drop"));
            assert!(rows.values().all(|count| *count == 1));
        }
        let connector = build(Path::new("/"), &keys);
        for id in &delivered {
            deliver(&*connector, id, "a \"quoted\"\ncell").await;
        }
        for number in 0..13 {
            deliver(&*connector, &format!("last-{number}"), "").await;
        }
        drop(connector);
        let rows = rows_by_delivery(&base.path().join("drop"));
        assert!(rows.values().all(|count| *count == 1));
        assert!(delivered.iter().all(|id| rows.contains_key(id)), "{mode}");
    }
}
