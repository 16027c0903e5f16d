//! The command line: exit codes, and what it says where and how.

use crate::harness::{Bridge, KEY, Setup, endpoint, lead};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// A bridge on which two leads were rejected at `bad` and delivered at `good`.
async fn bridge_with_dead_letters() -> (Bridge, [Server; 2]) {
    let (good, bad) = (endpoint().await, endpoint().await);
    bad.order(FaultRule::always(FaultKind::Status(422)));
    let bridge = Setup::new().endpoint("good", good.url().as_str()).endpoint("bad", bad.url().as_str()).start();
    for n in 0..2 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.until("delivered", 2).await;
    bridge.until("dead", 2).await;
    (bridge, [good, bad])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The exit code with everything that was said.
fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// The binary in the folder of this setup, with its output as a terminal of 80 columns would show it.
fn narrow(setup: &Setup, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadwire"));
    command.arg("--config").arg(setup.config_path()).args(arguments).env("COLUMNS", "80").current_dir(setup.folder.path());
    command
}

fn event_ids(bridge: &Bridge) -> Vec<String> {
    bridge.json(&["events", "list"]).as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_speaks_json() {
    let (bridge, _sinks) = bridge_with_dead_letters().await;
    bridge.post_to("acme", "no signature", &[]).await.unwrap();
    let id = event_ids(&bridge).remove(0);
    let url = format!("{}/hooks/acme", bridge.url);
    let list = |arguments: &[&str]| bridge.json(arguments).as_array().unwrap().len();
    assert_eq!(list(&["events", "list"]), 2);
    assert_eq!(list(&["deliveries", "list"]), 4);
    assert_eq!(list(&["quarantine", "list"]), 1);
    assert!(list(&["connectors"]) > 0);
    assert_eq!(bridge.json(&["events", "show", &id])["id"], id.as_str());
    assert_eq!(bridge.json(&["connectors", "json"])["name"], "json");
    assert_eq!(bridge.json(&["check"])["faults"], Value::Array(Vec::new()));
    assert!(bridge.json(&["audit"])["findings"].is_array());
    assert_eq!(bridge.json(&["hold", "bad", "--reason", "mending"])["held"], true);
    assert_eq!(bridge.json(&["replay", "--destination", "bad", "--dry-run"])["found"], 2);
    assert_eq!(bridge.json(&["replay", "--destination", "bad", "--yes"])["replayed"], 2);
    assert_eq!(bridge.json(&["resume", "bad"])["was_held"], true);
    assert_eq!(bridge.json(&["quarantine", "verify"])["acme"]["refused"], 1);
    assert_eq!(bridge.json(&["quarantine", "purge", "--yes"])["removed"], 1);
    assert_eq!(bridge.json(&["send", "--source", "acme", "--url", &url])["success"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_64_and_what_did_not_work_is_1() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    let usage: [&[&str]; 10] = [
        &["frobnicate"],
        &["events", "show", "0199"],
        &["events", "show", "this-is-no-id"],
        &["deliveries", "list", "--state", "sleeping"],
        &["replay"],
        &["replay", "--destination", "nobody"],
        &["replay", "--destination", "backend", "--state", "pending"],
        &["replay", "019abc12_backend", "--destination", "other"],
        &["quarantine", "purge"],
        &["connectors", "fax"],
    ];
    for arguments in usage {
        let (code, told) = told(&bridge.command(arguments));
        assert_eq!(code, Some(64), "{arguments:?}: {told}");
        assert!(!told.trim().is_empty(), "{arguments:?}");
    }
    for arguments in [&["events", "show", "019abc12"][..], &["replay", "019abc12"]] {
        let (code, told) = told(&bridge.command(arguments));
        assert_eq!(code, Some(1), "{arguments:?}: {told}");
        assert!(told.contains("there is no event 019abc12"), "{told}");
    }
    for arguments in [&["--help"][..], &["--version"], &["events", "list"], &["deliveries", "list"], &["audit"]] {
        assert_eq!(bridge.command(arguments).status.code(), Some(0), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_has_a_reason() {
    let setup = Setup::new().archive();
    for reason in ["", "  "] {
        let (code, told) = told(&setup.command(&["hold", "archive", "--reason", reason]));
        assert_eq!(code, Some(64), "{told}");
        assert!(told.contains("say why"), "{told}");
    }
    assert_eq!(setup.command(&["hold", "archive", "--reason", "before the first start"]).status.code(), Some(0));
    assert_eq!(setup.start().until_held("archive").await["reason"], "before the first start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_ids_keeps_to_their_state_and_age() {
    let (bridge, [good, bad]) = bridge_with_dead_letters().await;
    let ids = event_ids(&bridge);
    let replay = |arguments: &[&str]| bridge.command(&[&["replay", "--yes"], arguments].concat());
    let dry = |arguments: &[&str]| bridge.json(&[&["replay", "--dry-run"], arguments].concat())["found"].as_u64().unwrap();

    assert_eq!(dry(&[&ids[0]]), 1, "without --state, dead letters are meant");
    assert_eq!(dry(&[&ids[0], &ids[1], &format!("{}_bad", ids[0])]), 2, "each delivery once");
    assert_eq!(dry(&[&ids[0], "--state", "delivered"]), 1);
    let (code, told_old) = told(&replay(&[&ids[0], "--since", "2999-01-01"]));
    assert_eq!((code, told_old.contains("before --since")), (Some(1), true), "{told_old}");
    let good_id = format!("{}_good", ids[0]);
    let (code, told_good) = told(&replay(&[&good_id]));
    assert_eq!(code, Some(1), "{told_good}");
    assert!(told_good.contains("its deliveries are delivered; add --state delivered to send them again"), "{told_good}");
    let (code, told_none) = told(&replay(&[&ids[0], "--destination", "good", "--state", "skipped"]));
    assert_eq!((code, told_none.contains("--state delivered")), (Some(1), true), "{told_none}");
    let (code, told_nowhere) = told(&replay(&[&format!("{}_nowhere", ids[0])]));
    assert_eq!((code, told_nowhere.contains("has no delivery to nowhere")), (Some(1), true), "{told_nowhere}");
    assert_eq!((good.count(), bridge.json(&["deliveries", "list", "--state", "dead"]).as_array().unwrap().len()), (2, 2));

    bad.clear_faults();
    // What has nothing to replay is told, and does not keep the others from it.
    let output = replay(&[&ids[0], &good_id]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--state delivered"));
    assert!(text(&output.stdout).contains("1 found, 1 replayed"));
    bridge.until("delivered", 3).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_by_each_state() {
    let (bridge, _sinks) = bridge_with_dead_letters().await;
    let bridge = bridge.terminate();
    assert_eq!(bridge.command(&["hold", "bad", "--reason", "mending"]).status.code(), Some(0));
    assert_eq!(bridge.command(&["replay", "--destination", "bad", "--yes"]).status.code(), Some(0));
    let bridge = bridge.start();
    bridge.until_held("bad").await;
    // Of a person whose dead letter is to be delivered again: it is blocked by that.
    let mut second = lead(0);
    second["Content"] = "the same person again".into();
    bridge.post(lead(7).to_string()).await;
    bridge.post(second.to_string()).await;
    bridge.until("delivered", 4).await;
    for (state, count) in [("pending", 4), ("waiting", 3), ("leased", 0), ("blocked", 1), ("delivered", 4), ("skipped", 0), ("dead", 0)] {
        assert_eq!(bridge.json(&["deliveries", "list", "--state", state]).as_array().unwrap().len(), count, "{state}");
    }
}

#[test]
fn in_a_folder_without_a_store_nothing_is_found_and_nothing_is_made() {
    let mut setup = Setup::new().archive();
    let folder = setup.folder.path().display().to_string();
    let read: [&[&str]; 7] = [
        &["events", "list"],
        &["events", "show", "019abc12"],
        &["deliveries", "list"],
        &["audit"],
        &["quarantine", "list"],
        &["quarantine", "purge", "--yes"],
        &["replay", "--destination", "archive"],
    ];
    let data = setup.folder.path().join("data");
    let refuses = |setup: &Setup, expected: &str| {
        for arguments in read {
            let (code, told) = told(&setup.command(arguments));
            assert_eq!(code, Some(1), "{arguments:?}: {told}");
            assert!(told.contains(expected), "{arguments:?}: {told}");
            assert!(!data.exists(), "{arguments:?} made a store");
        }
    };
    refuses(&setup, &format!("there is no store at {folder}/data/leadwire.db; is this the configuration"));
    setup.replace(&format!("sqlite:{folder}/data"), "sqlite:data");
    refuses(&setup, "there is no store at data/leadwire.db (seen from /");
    for arguments in [&["resume", "archive"][..], &["quarantine", "verify"], &["events", "list"]] {
        assert_eq!(setup.command(arguments).status.code(), Some(0), "{arguments:?}");
    }
    assert!(data.join("leadwire.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_turned_page_by_page_while_more_comes_in() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("crm", sink.url().as_str()).start();
    for n in 0..7 {
        bridge.post(lead(n).to_string()).await;
    }
    let mut other = lead(7);
    (other["LastName"], other["Email"]) = ("Gómez".into(), "anna@example.org".into());
    bridge.post(other.to_string()).await;
    bridge.until("delivered", 8).await;
    let list = |arguments: &[&str]| {
        let rows = bridge.json(&[&["events", "list"], arguments].concat());
        rows.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (all, people) = (list(&[]), list(&["--search", "garcia david"]));
    assert_eq!(people, all[1..], "all but the newest");
    assert_eq!(list(&["--search", "gomez"]), all[..1]);
    assert_eq!(list(&["--search", "david3@example.com"]), people[3..4]);
    assert!(list(&["--search", "avid"]).is_empty() && list(&["--search", "gomez david3"]).is_empty());

    let mut pages = vec![list(&["--search", "garcia david", "--limit", "3"])];
    while let Some(last) = pages.last().and_then(|page| page.last()).cloned() {
        // What comes in meanwhile moves no page.
        bridge.post(lead(10 + pages.len() as u64).to_string()).await;
        // The beginning of an id is enough where only one has it; ids of the same moment begin alike.
        pages.push(list(&["--search", "garcia david", "--limit", "3", "--before", &last]));
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1, 0]);
    assert_eq!(pages.concat(), people);

    let output = bridge.command(&["events", "list", "--search", "garcia", "--before", "ffffffff"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("there is no event ffffffff"), "{}", text(&output.stderr));
    let table = text(&bridge.command(&["events", "list", "--search", "nobody", "--before", &people[0]]).stdout);
    assert!(table.contains("no event matches"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_fit_eighty_columns_with_whole_ids() {
    let (bridge, _sinks) = bridge_with_dead_letters().await;
    let ids = event_ids(&bridge);
    let events = text(&narrow(&bridge.setup, &["events", "list"]).output().unwrap().stdout);
    let deliveries = text(&narrow(&bridge.setup, &["deliveries", "list"]).output().unwrap().stdout);
    for id in &ids {
        assert!(events.contains(id.as_str()), "{events}");
        assert!(["good", "bad"].iter().all(|name| deliveries.contains(&format!("{id}_{name}"))), "{deliveries}");
    }
    assert!(events.lines().chain(deliveries.lines()).all(|line| line.chars().count() <= 80), "{events}\n{deliveries}");
    assert!(events.contains("David Garcia 1") && events.contains("lead from acme"), "{events}");
    assert!(deliveries.contains("422") && deliveries.contains("dead"), "{deliveries}");
    let wide = text(&bridge.command(&["deliveries", "list"]).stdout);
    assert_eq!(wide.lines().filter(|line| ids.iter().any(|id| line.contains(id.as_str()))).count(), 4, "{wide}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_an_id_is_enough_unless_several_begin_like_that() {
    let (bridge, _sinks) = bridge_with_dead_letters().await;
    let ids = event_ids(&bridge);
    let whole = bridge.json(&["events", "show", &ids[0]]);
    let common = ids[0].bytes().zip(ids[1].bytes()).take_while(|(a, b)| a == b).count();
    assert_eq!(bridge.json(&["events", "show", &ids[0][..(common + 1).max(9)]])["id"], whole["id"]);
    assert_eq!(bridge.json(&["events", "show", &format!("{}_bad", ids[0])])["id"], whole["id"], "a delivery's id says which event");
    if common >= 8 {
        let (code, told) = told(&bridge.command(&["events", "show", &ids[0][..common]]));
        assert_eq!(code, Some(1), "{told}");
        assert!(ids.iter().all(|id| told.contains(id.as_str())), "{told}");
        assert!(!told.contains("Garcia"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    let bridge = Setup::bare(&format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\n")).archive().start();
    // More than a pipe holds.
    for n in 0..800 {
        bridge.post(lead(n).to_string()).await;
    }
    for arguments in [&["events", "list", "--limit", "800"][..], &["events", "list", "--limit", "800", "--json"]] {
        let mut child = narrow(&bridge.setup, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::with_capacity(16, child.stdout.take().unwrap());
        assert!(!output.fill_buf().unwrap().is_empty());
        drop(output);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{arguments:?}");
    }
}
