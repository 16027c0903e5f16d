//! The order of system calls, as `strace` writes it: between the read of a request and the write of its success there is a sync of
//! what holds the lead.

use crate::harness::{Setup, endpoint, eventually, lead};
use crate::postgres::{self, database};
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

const SUCCESS: &str = r#"{\"status\":\"success\"}"#;
const READS: [&str; 4] = ["read", "readv", "recvfrom", "recvmsg"];
const WRITES: [&str; 6] = ["write", "writev", "sendto", "sendmsg", "pwrite64", "pwritev"];

/// A call that is whole: where it began and where it ended, as places in the trace.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    name: String,
    /// The file or socket, as strace shows its first argument.
    on: String,
    text: String,
    result: i64,
    began: usize,
    ended: usize,
}

/// Lines such as `12 0.1 fsync(3</x>) = 0`; a call that others interrupt is in two pieces.
fn parse(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (place, line) in trace.lines().enumerate() {
        // The thread's number is padded, then comes the moment.
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((_, rest)) = rest.trim_start().split_once(' ') else { continue };
        if let Some(first) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread, (place, first));
        } else if let Some((_, second)) = rest.split_once(" resumed>").filter(|_| rest.starts_with("<...")) {
            let Some((began, first)) = begun.remove(thread) else { continue };
            calls.extend(call(&format!("{first}{second}"), began, place));
        } else {
            calls.extend(call(rest, place, place));
        }
    }
    calls
}

fn call(line: &str, began: usize, ended: usize) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (text, result) = rest.rsplit_once(" = ")?;
    let on = text.split([',', ')']).next()?.trim().to_owned();
    // The first argument of a socket names both ends and has no comma; its number may be used again, its name says which it is.
    let result = result.split(' ').next()?.parse().ok()?;
    Some(Call { name: name.to_owned(), on, text: text.to_owned(), result, began, ended })
}

/// What is wrong with the way of the lead that `marker` stands in; `None` when all is well.
fn violation(calls: &[Call], marker: &str) -> Option<String> {
    let is_store = |call: &&Call| call.on.contains("leadwire.db");
    let read = calls.iter().find(|call| READS.contains(&call.name.as_str()) && call.on.contains("TCP") && call.text.contains(marker));
    let Some(read) = read else { return Some(format!("no request with {marker} was read")) };
    let answer = calls
        .iter()
        .find(|call| WRITES.contains(&call.name.as_str()) && call.on == read.on && call.began > read.ended && call.text.contains(SUCCESS));
    let Some(answer) = answer else { return Some(format!("{marker} was not answered with success")) };
    let between = || calls.iter().filter(|call| call.began > read.ended && call.ended < answer.began);
    let written = between().filter(is_store).find(|call| WRITES.contains(&call.name.as_str()) && call.text.contains(marker));
    let Some(written) = written else { return Some(format!("{marker} was not written to the store before its answer")) };
    let synced = between().filter(is_store).find(|call| {
        ["fsync", "fdatasync"].contains(&call.name.as_str()) && call.on == written.on && call.began > written.ended && call.result == 0
    });
    synced.is_none().then(|| format!("{marker} was answered before {} was synced", written.on))
}

/// The same for PostgreSQL on this port: the server must have said that it committed what it was sent of the lead.
fn violation_of_database(calls: &[Call], marker: &str, port: u16) -> Option<String> {
    let server = format!("->127.0.0.1:{port}]");
    let is = |call: &Call, names: &[&str], text: &str| names.contains(&call.name.as_str()) && call.text.contains(text);
    let Some(read) = calls.iter().find(|call| is(call, &READS, marker) && !call.on.contains(&server)) else {
        return Some(format!("no request with {marker} was read"));
    };
    let Some(answer) = calls.iter().find(|call| is(call, &WRITES, SUCCESS) && call.on == read.on && call.began > read.ended) else {
        return Some(format!("{marker} was not answered with success"));
    };
    let Some(sent) = calls.iter().find(|call| is(call, &WRITES, marker) && call.on.contains(&server) && call.began > read.ended) else {
        return Some(format!("{marker} was not sent to the database"));
    };
    let committed = calls.iter().find(|call| is(call, &READS, "COMMIT\\0") && call.on == sent.on && call.began > sent.began);
    let is_late = committed.is_none_or(|committed| committed.ended > answer.began);
    is_late.then(|| format!("{marker} was answered before the database said that it committed"))
}

/// Whether there is an strace; on a machine that proves changes there must be one.
fn has_strace() -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/strace.sh");
    let installed = Command::new(script).status().is_ok_and(|status| status.success());
    assert!(installed || std::env::var("CI").is_err(), "strace is missing and cannot be installed");
    installed
}

/// The bridge under strace takes some leads; what is wrong with the way of each.
async fn violations(setup: Setup, judge: impl Fn(&[Call], &str) -> Option<String>) -> Vec<String> {
    let sink = endpoint().await;
    let setup = setup.endpoint("backend", sink.url().as_str());
    let trace = setup.folder.path().join("trace");
    let calls = READS.iter().chain(&WRITES).chain(&["fsync", "fdatasync"]).copied().collect::<Vec<_>>().join(",");
    // The tracer is the grandchild, so that signals reach the bridge itself.
    let tracer = ["strace", "-D", "-f", "-ttt", "-yy", "-s", "65536", "-o", trace.to_str().unwrap(), "-e", &format!("trace={calls}")];
    let bridge = setup.under(&tracer).start();
    for n in 0..5 {
        assert_eq!(bridge.post(lead(n).to_string()).await.status, 200);
    }
    let _setup = bridge.terminate();
    let written = eventually("the end of the trace", async || {
        std::fs::read_to_string(&trace).ok().filter(|trace| trace.lines().last().is_some_and(|line| line.contains("+++ exited")))
    })
    .await;
    let calls = parse(&written);
    (0..5).filter_map(|n| judge(&calls, &format!("david{n}@example.com"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_synced_before_its_success_is_written() {
    if has_strace() {
        assert_eq!(violations(Setup::new(), violation).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_committed_by_the_database_before_its_success_is_written() {
    if has_strace() {
        let url = database();
        let port = postgres::shared().port();
        let found = violations(Setup::new().on(&url), |calls, marker| violation_of_database(calls, marker, port)).await;
        assert_eq!(found, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(debug_assertions)]
async fn a_store_that_does_not_wait_for_the_disk_is_found_out_by_its_calls() {
    if has_strace() {
        let found = violations(Setup::new().environment("LEADWIRE_FAILPOINTS", "store.careless=error"), violation).await;
        assert!(
            found.len() == 5 && found.iter().all(|violation| violation.contains("before") && violation.contains("synced")),
            "{found:?}"
        );
    }
}

#[test]
fn an_order_of_calls_is_judged() {
    let good = "7 1.0 recvfrom(9<TCP:[a->b]>, \"POST m\", 99, 0) = 6\n8 1.1 pwrite64(4</d/leadwire.db-wal>, \"m\", 1, 0) = 1\n\
                8 1.2 fsync(4</d/leadwire.db-wal> <unfinished ...>\n7 1.3 read(3</x>, \"\", 1) = 0\n8 1.4 <... fsync resumed>) = 0\n\
                7 1.5 writev(9<TCP:[a->b]>, [{iov_base=\"{\\\"status\\\":\\\"success\\\"}\"}], 1) = 20\n";
    assert_eq!(violation(&parse(good), "m"), None);
    let lines: Vec<&str> = good.lines().collect();
    let late = [lines[0], lines[1], lines[2], lines[5], lines[4]].join("\n");
    assert!(violation(&parse(&late), "m").unwrap().contains("synced"), "the sync ended after the answer");
    assert!(violation(&parse(&good.replace("resumed>) = 0", "resumed>) = -1 EIO")), "m").is_some(), "the sync failed");
    assert!(
        violation(&parse(&good.replace("pwrite64(4</d/leadwire.db-wal>, \"m\"", "pwrite64(4</d/leadwire.db-wal>, \"\"")), "m").is_some()
    );
    assert!(violation(&parse(good), "other").is_some());
}

#[test]
fn an_order_of_calls_to_a_database_is_judged() {
    let good = "7 1.0 recvfrom(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"POST m\", 99, 0) = 6\n\
                7 1.1 writev(5<TCP:[127.0.0.1:3->127.0.0.1:4]>, \"m\", 1) = 1\n\
                7 1.2 recvfrom(5<TCP:[127.0.0.1:3->127.0.0.1:4]>, \"C\\0\\0\\0\\vCOMMIT\\0Z\", 99, 0) = 6\n\
                7 1.3 writev(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"{\\\"status\\\":\\\"success\\\"}\", 1) = 20\n";
    assert_eq!(violation_of_database(&parse(good), "m", 4), None);
    let lines: Vec<&str> = good.lines().collect();
    let late = [lines[0], lines[1], lines[3], lines[2]].join("\n");
    assert!(violation_of_database(&parse(&late), "m", 4).unwrap().contains("committed"));
    assert!(violation_of_database(&parse(&[lines[0], lines[3]].join("\n")), "m", 4).unwrap().contains("not sent"));
}
