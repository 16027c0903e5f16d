//! Exporting and erasing a person, beside a running bridge and without one.

use crate::harness::{Bridge, Setup, endpoint, eventually, lead, serve};
use crate::postgres::{database, execute};
use leadwire_connector::simulator::{FaultKind, FaultRule};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

const EMAIL: &str = "jane.secret@example.com";
const NAMES: [&str; 4] = ["jane.secret", "Secretname", "4155552671", "415) 555-2671"];

/// A lead of the person in question.
fn jane(n: u64) -> Value {
    let mut lead = lead(n);
    lead["FirstName"] = json!("Jane");
    lead["LastName"] = json!("Secretname");
    lead["Email"] = json!("Jane.Secret@Example.com");
    lead["PhoneNumber"] = json!("+1 (415) 555-2671");
    lead["SessionID"] = json!("session-jane");
    lead
}

/// A chat log with her conversation, in which she gives no address, and somebody else's.
fn chat_log() -> Value {
    json!({"Collection": [{"SerialNumber": "x", "Name": "Bot", "StartTime": "2026-11-21T00:00:00Z", "EndTime": "2026-11-22T00:00:00Z",
    "Conversations": [
        {"SessionID": "session-jane", "Messages": [{"Type": "AI", "Content": "Hello"}, {"Type": "User", "Content": "I am Jane Secretname"}]},
        {"SessionID": "session-bert", "Messages": [{"Type": "AI", "Content": "Hello"}, {"Type": "User", "Content": "I am Bert"}]}
    ]}]})
}

/// Every file under the folder that holds one of these, with or without regard to case.
fn holders(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = std::fs::read(entry.path()).unwrap().to_ascii_lowercase();
            let is_in = |text: &&&str| bytes.windows(text.len()).any(|window| window == text.to_ascii_lowercase().as_bytes());
            found.extend(texts.iter().find(is_in).map(|text| format!("{}: {text}", entry.path().display())));
        }
    }
    found
}

fn erase(bridge: &Bridge, arguments: &[&str]) -> Value {
    let output = bridge.command(&[&["person", "erase", "--yes"], arguments].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Two destinations: a CRM with records, and a folder.
async fn setup() -> (leadwire_connector::simulator::Server, Setup) {
    let crm = serve("hubspot").await;
    let url = crm.url();
    let base = url.as_str().trim_end_matches('/');
    let toml =
        format!("[destinations.crm]\ntype = \"hubspot\"\ntoken = \"made-up-token\"\nbase_url = \"{base}\"\n[[routes]]\nto = [\"crm\"]");
    (crm, Setup::new().with(&toml).archive())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_exported_and_erased_from_everything_beside_a_running_bridge() {
    let (_crm, setup) = setup().await;
    let dead = endpoint().await;
    dead.order(FaultRule::always(FaultKind::Status(422)));
    let bridge = setup.endpoint("dead", dead.url().as_str()).start();
    bridge.post(jane(1).to_string()).await;
    bridge.post(lead(2).to_string()).await;
    bridge.post(chat_log().to_string()).await;
    let escaped = r#"{"Type":"Lead","Email":"jane.secret\u0040example.com","LastName":"Secretname"}"#;
    let refused = bridge.post_to("acme", escaped, &[("X-Webhook-Signature", &format!("t=1,v1={}", "0".repeat(64)))]).await.unwrap();
    assert_eq!(refused.status, 401);
    bridge.post_to("acme", r#"{"Email":"bert@example.com"}"#, &[]).await.unwrap();
    bridge.until("dead", 4).await;
    // One row is in sight, and the rest may still be in the hidden file.
    bridge.until("delivered", 6).await;

    let folder = bridge.setup.folder.path().to_owned();
    let file = folder.join("jane.json");
    let output = bridge.command(&["person", "export", "--email", EMAIL, "--output", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let export: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let found: Vec<&str> = export["events"].as_array().unwrap().iter().map(|event| event["found_as"].as_str().unwrap()).collect();
    assert_eq!(found, ["person", "session"]);
    let first = &export["events"][0]["event"];
    assert_eq!((&first["raw"]["LastName"], &first["kind"]), (&json!("Secretname"), &json!("lead")));
    assert_eq!(first["attempts"][0][0], "dead", "{first}");
    assert_eq!(export["quarantined"].as_array().unwrap().len(), 1);
    assert_eq!(export["quarantined"][0]["body"], escaped);
    assert_eq!(export["files"].as_array().unwrap().len(), 2);
    assert_eq!(export["files"][0]["cells"]["last_name"], "Secretname");
    std::fs::remove_file(&file).unwrap();

    assert!(!holders(&folder, &NAMES).is_empty());
    let refused = bridge.command(&["person", "erase", "--email", EMAIL]);
    assert_eq!(refused.status.code(), Some(64), "without a terminal, --yes is needed");
    let certificate_file = folder.join("certificate.json");
    let certificate = erase(&bridge, &["--email", EMAIL, "--certificate", certificate_file.to_str().unwrap()]);
    assert_eq!(holders(&folder, &NAMES), Vec::<String>::new());

    assert_eq!(certificate["state"], "complete", "{certificate}");
    assert_eq!(certificate, serde_json::from_slice::<Value>(&std::fs::read(&certificate_file).unwrap()).unwrap());
    let removed = &certificate["removed"];
    assert_eq!(
        (&removed["events"], &removed["quarantined"], &removed["rows_in_files"]),
        (&json!(2), &json!(1), &json!(2)),
        "{certificate}"
    );
    assert_eq!(removed["deliveries"], 6);
    let by_hand = certificate["remove_by_hand"].as_array().unwrap();
    let crm = by_hand.iter().find(|by_hand| by_hand["destination"] == "crm" && by_hand["record"].is_object()).unwrap();
    assert!(crm["record"]["id"].is_string() && crm["destination_type"] == "hubspot", "{crm}");
    assert!(!crm["steps"].as_array().unwrap().is_empty(), "what else was made there is told: {crm}");
    assert!(!by_hand.iter().any(|by_hand| by_hand["destination"] == "archive"), "{certificate}");
    assert!(certificate["store"]["remains"].as_array().unwrap().iter().all(|remain| remain["in_files"] == 0), "{certificate}");

    // The same body again is known, and not delivered; others are as they were.
    assert_eq!(bridge.post(jane(1).to_string()).await.status, 200);
    bridge.post(lead(3).to_string()).await;
    eventually("the next lead to be in the folder", async || {
        crate::harness::rows(&bridge.setup.drop_folder()).iter().any(|row| row["email"] == "david3@example.com").then_some(())
    })
    .await;
    assert_eq!(holders(&folder, &NAMES), Vec::<String>::new());
    let emails: Vec<String> = crate::harness::rows(&bridge.setup.drop_folder()).iter().map(|row| row["email"].clone()).collect();
    assert!(emails.contains(&"david2@example.com".to_owned()), "{emails:?}");
    let shown = bridge.command(&["events", "show", certificate["tombstones"][0].as_str().unwrap()]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("its person was erased"));
    let quarantined = bridge.json(&["quarantine", "list"]);
    assert_eq!(quarantined.as_array().unwrap().len(), 1);
    assert_eq!(bridge.json(&["person", "erasures"]), json!({"unfinished": [], "erasures": []}));
    assert_eq!(bridge.json(&["deliveries", "list", "--state", "erased"]).as_array().unwrap().len(), 6);
    bridge.assert_audit();
    assert!(!NAMES.iter().any(|name| bridge.log().contains(name)), "{}", bridge.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_erased_without_a_bridge_and_by_phone() {
    let (_crm, setup) = setup().await;
    let bridge = setup.start();
    bridge.post(jane(1).to_string()).await;
    let mut stranger = lead(2);
    stranger["PhoneNumber"] = json!("+49 4155552671");
    bridge.post(stranger.to_string()).await;
    bridge.until("delivered", 4).await;
    let setup = bridge.terminate();
    let output = setup.command(&["person", "erase", "--yes", "--phone", "+1 415 555 2671"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&certificate["removed"]["events"], &certificate["removed"]["rows_in_files"]), (&json!(1), &json!(1)));
    assert_eq!(holders(setup.folder.path(), &["jane.secret", "Secretname", "415) 555-2671"]), Vec::<String>::new());
    assert!(!holders(setup.folder.path(), &["494155552671"]).is_empty(), "a stranger whose number ends alike stays");

    let bridge = setup.start();
    bridge.post(jane(1).to_string()).await;
    bridge.post(lead(3).to_string()).await;
    bridge.until("delivered", 4).await;
    assert_eq!(holders(bridge.setup.folder.path(), &["jane.secret", "Secretname"]), Vec::<String>::new());
    bridge.assert_audit();
}

/// What connectors keep for their destinations in the store, apart from the signs of an emptied list.
fn kept_values(setup: &Setup) -> Vec<String> {
    let store = rusqlite::Connection::open(setup.folder.path().join("data/leadwire.db")).unwrap();
    let mut query = store.prepare("SELECT value FROM token WHERE value <> '[]'").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The hash of her session, as the connector keeps it.
fn kept_session(setup: &Setup) -> String {
    let store = rusqlite::Connection::open(setup.folder.path().join("data/leadwire.db")).unwrap();
    let sessions = "SELECT value FROM token WHERE value <> '[]' AND name LIKE 'sessions%'";
    let value: String = store.query_row(sessions, [], |row| row.get(0)).unwrap();
    assert_eq!(kept_values(setup).len(), 2, "her session, and her phone for a while");
    let known: Value = serde_json::from_str(&value).unwrap();
    known[0]["visitor"].as_str().unwrap().to_owned()
}

fn assert_erased_on_our_side(setup: &Setup, session: &str, certificate: &Value) {
    assert_eq!((kept_values(setup), &certificate["state"]), (Vec::new(), &json!("complete")), "{certificate}");
    assert_eq!(holders(setup.folder.path(), &[session]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_chat_session_was_is_forgotten_with_the_person() {
    let (_crm, setup) = setup().await;
    let bridge = setup.start();
    bridge.post(jane(1).to_string()).await;
    bridge.until("delivered", 2).await;
    let session = kept_session(&bridge.setup);
    assert_erased_on_our_side(&bridge.setup, &session, &erase(&bridge, &["--email", EMAIL]));
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_chat_session_was_is_forgotten_without_a_bridge() {
    let (_crm, setup) = setup().await;
    let bridge = setup.start();
    bridge.post(jane(1).to_string()).await;
    bridge.until("delivered", 2).await;
    let setup = bridge.terminate();
    let session = kept_session(&setup);
    let certificate = answer(&setup, &["person", "erase", "--yes", "--email", EMAIL]);
    assert_erased_on_our_side(&setup, &session, &certificate);
}

/// HubSpot is slow to make the contact, and whose the session is is written down only after that.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_outlives_an_erasure_does_not_bring_the_chat_session_back() {
    let (crm, setup) = setup().await;
    crm.order(FaultRule::next(1, FaultKind::Latency(Duration::from_secs(4))));
    let bridge = setup.start();
    bridge.post(jane(1).to_string()).await;
    eventually("the attempt to be under way", async || (crm.count() > 0).then_some(())).await;
    let certificate = erase(&bridge, &["--email", EMAIL]);
    assert!(!certificate["under_way"].as_array().unwrap().is_empty(), "{certificate}");
    eventually("the late contact to be told, and forgotten", async || {
        let erasures = bridge.json(&["person", "erasures"])["erasures"].as_array().unwrap().clone();
        let is_told = erasures.iter().any(|erasure| erasure["destination"] == "crm" && erasure["arrived"].is_string());
        (is_told && erasures.iter().all(|erasure| erasure["done_at"].is_string())).then_some(())
    })
    .await;
    assert_eq!(kept_values(&bridge.setup), Vec::<String>::new());
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_is_under_way_is_erased_and_what_arrives_late_is_told() {
    let sink = endpoint().await;
    sink.order(FaultRule::next(1, FaultKind::Latency(Duration::from_secs(4))));
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    bridge.post(jane(1).to_string()).await;
    bridge.post(jane(2).to_string()).await;
    eventually("the first attempt to be under way", async || (sink.count() == 1).then_some(())).await;
    let certificate = erase(&bridge, &["--email", EMAIL]);
    assert_eq!(certificate["under_way"].as_array().unwrap().len(), 1, "{certificate}");
    assert_eq!(certificate["removed"]["deliveries_by_state"], json!({"blocked": 1, "leased": 1}));
    eventually("the late arrival to be told", async || {
        let erasures = bridge.json(&["person", "erasures"]);
        erasures["erasures"].as_array().unwrap().iter().any(|erasure| erasure["arrived"].is_string()).then_some(())
    })
    .await;
    assert!(bridge.deliveries().iter().all(|delivery| delivery["state"] == "erased" && delivery["remark"].is_null()));
    assert_eq!(sink.count(), 1, "the second one is never sent");
    assert_eq!(holders(bridge.setup.folder.path(), &NAMES), Vec::<String>::new());
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_used_the_same_browser_is_somebody_else() {
    let (_crm, setup) = setup().await;
    let bridge = setup.start();
    let of_one_session = |n: u64, email: &str, phone: &str| {
        let mut lead = lead(n);
        lead["SessionID"] = json!(777);
        lead["Email"] = json!(email);
        lead["PhoneNumber"] = json!(phone);
        lead.to_string()
    };
    for body in [of_one_session(1, "", "+14155552671"), of_one_session(2, "carl@else.org", ""), of_one_session(3, "", "+14155550000")] {
        bridge.post(body).await;
    }
    let certificate = erase(&bridge, &["--phone", "+14155552671"]);
    assert_eq!(certificate["removed"]["events"], 1, "{certificate}");
    let certificate = erase(&bridge, &["--email", "carl@else.org"]);
    assert_eq!(certificate["removed"]["events"], 1, "{certificate}");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_erased_whatever_is_written() {
    let (_crm, setup) = setup().await;
    let bridge = setup.start();
    let mut mention = lead(1);
    mention["Content"] = json!("my friend is Jane.Secret@example.com");
    bridge.post(mention.to_string()).await;
    bridge.post(jane(2).to_string()).await;
    let mut longer = lead(3);
    longer["Email"] = json!("maryjane.secret@example.com");
    bridge.post(longer.to_string()).await;
    bridge.until("delivered", 6).await;
    for wild in ["%@example.com", "jane_secret@example.com", "j%@example.com", "jane.secret@%"] {
        let certificate = erase(&bridge, &["--email", wild]);
        assert_eq!((&certificate["removed"]["events"], &certificate["removed"]["rows_in_files"]), (&json!(0), &json!(0)), "{wild}");
    }
    for wrong in [["--email", "%"], ["--phone", "%"], ["--phone", "_"]] {
        assert_eq!(bridge.command(&[&["person", "erase", "--yes"], &wrong[..]].concat()).status.code(), Some(64), "{wrong:?}");
    }
    let certificate = erase(&bridge, &["--email", EMAIL]);
    assert_eq!(certificate["removed"]["events"], 1);
    assert_eq!(certificate["mentions_left"].as_array().unwrap().len(), 1);
    assert_eq!(certificate["state"], "complete", "what others say of her is no remain: {certificate}");
    let certificate = erase(&bridge, &["--email", EMAIL, "--mentions"]);
    assert_eq!(certificate["removed"]["events"], 1);
    let left = bridge.json(&["events", "list"]);
    let emails: Vec<&Value> =
        left.as_array().unwrap().iter().map(|event| &event["person"]["email"]).filter(|email| !email.is_null()).collect();
    assert_eq!(emails, ["maryjane.secret@example.com"]);
    bridge.assert_audit();
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

fn answer(setup: &Setup, arguments: &[&str]) -> Value {
    let output = setup.command(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Makes one folder what another is.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a certificate says of what is gone and what is to be removed, in an order of its own.
fn gist(certificate: &Value) -> Value {
    let mut by_hand = certificate["remove_by_hand"].as_array().unwrap().clone();
    by_hand.sort_by_key(|by_hand| by_hand["delivery"].to_string());
    let (removed, found) = (&certificate["removed"], &certificate["found"]);
    json!([certificate["state"], removed, found["events_of_person"], certificate["tombstones"].as_array().unwrap().len(), by_hand])
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_killed_anywhere_is_told_of_and_finished_by_the_same_command() {
    let (_crm, setup) = setup().await;
    let bridge = setup.start();
    for body in [jane(1), jane(2), lead(3), chat_log()] {
        bridge.post(body.to_string()).await;
    }
    bridge.post_to("acme", format!("{{\"Email\":\"{EMAIL}\"}}"), &[]).await.unwrap();
    bridge.until("delivered", 8).await;
    let mut setup = bridge.terminate();
    let folders = [setup.folder.path().join("data"), setup.drop_folder()];
    let saved = tempfile::tempdir().unwrap();
    let stores: Vec<PathBuf> = ["data", "drop"].iter().map(|name| saved.path().join(name)).collect();
    folders.iter().zip(&stores).for_each(|(folder, store)| copy(folder, store));
    let file = setup.folder.path().join("certificate.json");
    let command = ["person", "erase", "--yes", "--email", EMAIL, "--certificate", file.to_str().unwrap()];
    let whole = answer(&setup, &command);
    assert_eq!((&whole["state"], &whole["removed"]["events"]), (&json!("complete"), &json!(3)));

    let mut killed = 0;
    for place in ["before", "after"] {
        for nth in 1.. {
            folders.iter().zip(&stores).for_each(|(folder, store)| copy(store, folder));
            std::fs::remove_file(&file).unwrap();
            setup = setup.environment("LEADWIRE_FAILPOINTS", &format!("commit.other.{place}=abort@{nth}"));
            let struck = setup.command(&command);
            setup = setup.without("LEADWIRE_FAILPOINTS");
            if struck.status.success() {
                break;
            }
            killed += 1;
            // What is certified already is not owed any more; before the first commit, nothing has happened.
            let is_certified = answer(&setup, &["person", "erasures"])["unfinished"].as_array().unwrap().is_empty();
            let events = answer(&setup, &["events", "list", "--limit", "100"]);
            let is_begun = events.as_array().unwrap().iter().any(|event| !event["erased_at"].is_null());
            assert!(!is_certified || !is_begun || place == "after" && !struck.stdout.is_empty(), "{place} {nth}: {}", told(&struck));
            if is_certified && is_begun {
                continue;
            }
            let again = answer(&setup, &command);
            let (mut expected, mut got) = (gist(&whole), gist(&again));
            if again["on_our_side"].as_array().unwrap().iter().any(|erasure| erasure["result"] == "not_found") {
                // The connector had removed it when it was killed, and finds nothing now.
                for gist in [&mut expected, &mut got] {
                    (gist[1]["rows_in_files"], gist[4]) = (Value::Null, Value::Null);
                }
            }
            assert_eq!(got, expected, "{place} {nth}");
            assert_eq!(again["store"]["rewritten"].as_bool(), Some(is_begun), "{place} {nth}");
            assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap(), again);
            assert_eq!(holders(setup.folder.path(), &NAMES), Vec::<String>::new(), "{place} {nth}");
            assert_eq!(answer(&setup, &["person", "erasures"]), json!({"unfinished": [], "erasures": []}), "{place} {nth}");
            assert!(setup.command(&["audit"]).status.success());
        }
    }
    assert!(killed >= 8, "{killed}");
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_finished_is_told_without_naming_the_person_and_kept_apart_from_others() {
    let (_crm, setup) = setup().await;
    let bridge = setup.start();
    bridge.post(jane(1).to_string()).await;
    bridge.post(lead(2).to_string()).await;
    bridge.until("delivered", 4).await;
    // The first commit is the line of the trail, the second begins the erasure.
    let setup = bridge.terminate().environment("LEADWIRE_FAILPOINTS", "commit.other.after=abort@2");
    let command = ["person", "erase", "--yes", "--email", EMAIL];
    assert!(!setup.command(&command).status.success());
    let setup = setup.without("LEADWIRE_FAILPOINTS");
    let shown = told(&setup.command(&["person", "erasures"]));
    assert!(shown.contains("j***@e***.com") && shown.contains("the same `leadwire person erase` finishes it"), "{shown}");
    assert!(!NAMES.iter().any(|name| shown.contains(name)), "{shown}");
    let other = answer(&setup, &["person", "erase", "--yes", "--email", "david2@example.com"]);
    assert_eq!((&other["state"], &other["removed"]["events"]), (&json!("complete"), &json!(1)), "{other}");
    assert_eq!(other["on_our_side"].as_array().unwrap().len(), 2, "nothing of somebody else is in it: {other}");
    assert_eq!(answer(&setup, &["person", "erasures"])["unfinished"].as_array().unwrap().len(), 1);
    let finished = answer(&setup, &command);
    assert_eq!((&finished["state"], &finished["removed"]["deliveries"]), (&json!("complete"), &json!(2)), "{finished}");
    assert_eq!(finished["on_our_side"].as_array().unwrap().len(), 2, "{finished}");
    let late = answer(&setup, &command);
    assert_eq!((&late["removed"]["events"], &late["store"]["rewritten"]), (&json!(0), &json!(false)), "nothing is owed any more: {late}");
}

fn assert_refused_in_the_middle_of_a_move(setup: &Setup) {
    let commands: [&[&str]; 4] =
        [&["audit"], &["person", "erasures"], &["person", "export", "--email", EMAIL], &["person", "erase", "--yes", "--email", EMAIL]];
    for command in commands {
        let output = setup.command(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {}", told(&output));
        assert!(told(&output).contains("in the middle of a transfer from sqlite:/old.db: only a part of the leads"), "{}", told(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_erased_and_nothing_is_proven_on_a_part_of_the_leads() {
    let mark = "INSERT INTO transfer (id, origin, fingerprint, stage, after) VALUES (1, 'sqlite:/old.db', 'f', 0, 0)";
    let setup = Setup::new().start().terminate();
    rusqlite::Connection::open(setup.folder.path().join("data/leadwire.db")).unwrap().execute_batch(mark).unwrap();
    assert_refused_in_the_middle_of_a_move(&setup);
    let url = database();
    let setup = Setup::new().on(&url);
    assert!(setup.command(&["audit"]).status.success());
    execute(&url, mark);
    assert_refused_in_the_middle_of_a_move(&setup);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_folder_is_made_for_what_is_written() {
    let setup = Setup::new().start().terminate();
    let file = setup.folder.path().join("missspelt/jane.json");
    for command in [["export", "--output"], ["erase", "--certificate"]] {
        let [verb, option] = command;
        let output = setup.command(&["person", verb, "--email", EMAIL, option, file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains("there is no folder") && told(&output).contains("missspelt"), "{}", told(&output));
        assert!(!file.parent().unwrap().exists());
    }
}
