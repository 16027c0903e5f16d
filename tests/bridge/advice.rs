//! What people ask before they trust a configuration: the doctor, previews, and what another configuration would change.

use crate::harness::{Bridge, KEY, Setup, endpoint, eventually, lead};
use crate::postgres::database;
use leadwire_connector::simulator::{FaultKind, FaultRule};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What no output may hold.
const BEARER: &str = "sentinel-bearer-0123456789";
const HEADER: &str = "sentinel-header-0123456789";
const PASSWORD: &str = "sentinel-password-0123456789";
const QUERY: &str = "sentinel-query-0123456789";

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", text(output)))
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The findings of one who was asked, by subject.
fn severities(report: &Value, what: &str, name: &str) -> Vec<(String, String)> {
    let asked =
        report["asked"].as_array().unwrap().iter().find(|asked| asked["what"] == what && (name.is_empty() || asked["name"] == name));
    let findings = asked.unwrap_or_else(|| panic!("nothing of {what} {name}: {report}"))["findings"].as_array().unwrap().clone();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    findings.iter().map(|finding| (word(&finding["subject"]), word(&finding["severity"]))).collect()
}

/// A destination with every kind of secret.
fn with_secrets(setup: Setup, url: &str) -> Setup {
    setup.with(&format!(
        "[destinations.secretive]\ntype = \"json\"\nurl = \"{url}in?api_key={QUERY}\"\nbearer = \"{BEARER}\"\n\
         headers = {{ X-Tenant-Secret = \"{HEADER}\" }}\n[[routes]]\nto = [\"secretive\"]"
    ))
}

fn assert_no_secret(output: &Output) {
    let told = text(output);
    for secret in [BEARER, HEADER, PASSWORD, QUERY, KEY] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_before_the_first_start_and_makes_nothing() {
    let sink = endpoint().await;
    let setup = Setup::new().endpoint("backend", sink.url().as_str());
    let output = setup.command(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report = json_of(&output);
    assert!(severities(&report, "store", "").contains(&("schema".to_owned(), "good".to_owned())), "{report}");
    assert!(severities(&report, "destination", "backend").contains(&("address".to_owned(), "good".to_owned())), "{report}");
    assert!(severities(&report, "source", "acme").contains(&("key".to_owned(), "good".to_owned())), "{report}");
    assert_eq!(files(setup.folder.path()), ["leadwire.toml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_works_beside_a_bridge_and_fails_for_what_is_bad_only() {
    let (good, bad) = (endpoint().await, endpoint().await);
    bad.order(FaultRule::always(FaultKind::Status(401)));
    let setup = Setup::new().endpoint("good", good.url().as_str()).endpoint("bad", bad.url().as_str()).archive();
    let bridge = setup.start();
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 2).await;
    bridge.until_held("bad").await;

    let before = files(&bridge.setup.folder.path().join("data"));
    let output = bridge.command(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = json_of(&output);
    assert_eq!(report["bad"], 1, "{report}");
    let found = severities(&report, "destination", "bad");
    assert!(
        found.contains(&("address".to_owned(), "bad".to_owned())) && found.contains(&("hold".to_owned(), "warn".to_owned())),
        "{report}"
    );
    let store = severities(&report, "store", "");
    for subject in ["schema", "writing", "bridge"] {
        assert!(store.contains(&(subject.to_owned(), "good".to_owned())), "{report}");
    }
    assert_eq!(files(&bridge.setup.folder.path().join("data")), before);

    let output = bridge.command(&["doctor", "--destination", "good"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("destination good (json)") && !text(&output).contains("store"), "{}", text(&output));
    assert_eq!(bridge.command(&["doctor", "--destination", "god"]).status.code(), Some(64));
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_waits_for_no_destination_longer_than_it_was_told() {
    let (quick, silent) = (endpoint().await, endpoint().await);
    silent.order(FaultRule::always(FaultKind::Hang));
    let setup = Setup::new().endpoint("quick", quick.url().as_str()).endpoint("silent", silent.url().as_str());
    let output = setup.command(&["doctor", "--timeout", "1s"]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("none within 1s") && told.contains("✓ address"), "{told}");
    assert!(String::from_utf8_lossy(&output.stdout).lines().all(|line| line.chars().count() <= 100), "{told}");
}

#[test]
fn the_doctor_looks_at_a_postgresql_too() {
    let database = database();
    let setup = Setup::new().on(&database).archive();
    let output = setup.command(&["doctor", "--json"]);
    let report = json_of(&output);
    assert!(severities(&report, "store", "").contains(&("schema".to_owned(), "good".to_owned())), "{report}");
    // Made by a command, as the bridge would.
    assert_eq!(setup.command(&["quarantine", "verify"]).status.code(), Some(0));
    let report = json_of(&setup.command(&["doctor", "--json"]));
    let store = severities(&report, "store", "");
    assert!(store.contains(&("writing".to_owned(), "good".to_owned())), "{report}");
    assert!(store.contains(&("fsync".to_owned(), "bad".to_owned())), "this server does not wait for its disk: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_what_is_sent() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    bridge.post(lead(7).to_string()).await;
    bridge.until("delivered", 1).await;
    let id = bridge.json(&["events", "list"])[0]["id"].as_str().unwrap().to_owned();
    let sent: Value = serde_json::from_slice(&sink.requests()[0].request.body).unwrap();
    let preview = bridge.json(&["preview", "--event", &id]);
    assert_eq!(preview["events"][0]["requests"][0]["body"], sent);
    assert_eq!((&preview["events"][0]["outcome"], &preview["events"][0]["routed"]), (&json!("sent"), &json!(true)));
    let same = bridge.json(&["preview", "--event", &format!("{id}_backend")]);
    assert_eq!(same, preview);
    assert_eq!(sink.count(), 1, "a preview sends nothing");
}

#[test]
fn a_file_is_read_as_the_bridge_reads_it_and_needs_no_store() {
    let setup = Setup::bare(&format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\ndefault_country = \"US\"\n[sources.other]\n")).with(
        "[destinations.backend]\ntype = \"json\"\nurl = \"http://127.0.0.1:9/in\"\n[[routes]]\nto = [\"backend\"]\nkinds = [\"lead\"]",
    );
    let mut second = lead(2);
    second["PhoneNumber"] = "(415) 555-0123".into();
    second["Type"] = "Appointment".into();
    std::fs::write(setup.folder.path().join("body.json"), json!([lead(1), second]).to_string()).unwrap();
    let output = setup.command(&["preview", "--file", "body.json", "--source", "acme", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let events = json_of(&output)["events"].clone();
    assert_eq!(events.as_array().unwrap().len(), 2);
    assert_eq!((&events[0]["routed"], &events[1]["routed"]), (&json!(true), &json!(false)));
    assert_eq!(events[1]["requests"][0]["body"]["data"]["person"]["phone"], "+14155550123");
    assert_eq!(setup.command(&["preview", "--file", "body.json"]).status.code(), Some(64), "which of two sources?");
    assert_eq!(setup.command(&["preview", "--file", "none.json", "--source", "acme"]).status.code(), Some(1));
    let sample = setup.command(&["preview", "--kind", "appointment"]);
    assert!(text(&sample).contains("no route sends it to backend"), "{}", text(&sample));
    assert_eq!(files(setup.folder.path()), ["body.json", "leadwire.toml"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_person_was_erased_has_no_preview() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 1).await;
    let id = bridge.json(&["events", "list"])[0]["id"].as_str().unwrap().to_owned();
    let erased = bridge.command(&["person", "erase", "--email", "david1@example.com", "--yes"]);
    assert_eq!(erased.status.code(), Some(0), "{}", text(&erased));
    let output = bridge.command(&["preview", "--event", &id]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("was erased at"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_printed() {
    let sink = endpoint().await;
    sink.order(FaultRule::always(FaultKind::Echo));
    let setup = with_secrets(Setup::new(), sink.url().as_str());
    let database = format!("postgres://leadwire:{PASSWORD}@127.0.0.1:9/none");
    let away = with_secrets(Setup::new().on(&database), sink.url().as_str());
    for arguments in [&["preview"][..], &["preview", "--json"], &["doctor"], &["doctor", "--json"]] {
        let output = setup.command(arguments);
        assert!(text(&output).contains("secretive"), "{}", text(&output));
        assert_no_secret(&output);
        assert_no_secret(&away.command(arguments));
    }
    assert!(text(&setup.command(&["preview"])).contains("••••"));
    // Whether or not its connector takes an address with credentials in it.
    let inside = format!("http://leadwire:{PASSWORD}@127.0.0.1:9/in");
    let setup = Setup::new().endpoint("inside", &inside);
    for arguments in [&["preview"][..], &["doctor"], &["check"]] {
        assert_no_secret(&setup.command(arguments));
    }
}

/// More than are read in one go.
const LEADS: u64 = 40;

/// A bridge with these leads and an appointment, and a copy of its configuration with this changed.
async fn bridge_and_other(url: &str, from: &str, to: &str) -> Bridge {
    let route = "[[routes]]\nto = [\"backend\"]\nkinds = [\"lead\"]";
    let keys = "headers = { X-Tag = \"chat\" }\nbearer = \"sentinel-bearer-0123456789\"";
    let fields = "[destinations.backend.fields]\nemail = \"{{ person.email }}\"\nstage = \"lead\"";
    let setup = Setup::new().with(&format!("[destinations.backend]\ntype = \"json\"\nurl = \"{url}\"\n{keys}\n{fields}\n{route}"));
    setup.write();
    let toml = std::fs::read_to_string(setup.config_path()).unwrap();
    assert!(toml.contains(from));
    std::fs::write(setup.folder.path().join("other.toml"), toml.replace(from, to)).unwrap();
    let bridge = setup.start();
    for n in 0..LEADS {
        bridge.post(lead(n).to_string()).await;
    }
    let mut appointment = lead(LEADS);
    appointment["Type"] = "Appointment".into();
    bridge.post(appointment.to_string()).await;
    bridge.until("delivered", LEADS as usize).await;
    bridge
}

const AGAINST: [&str; 7] = ["preview", "--destination", "backend", "--since", "1h", "--against", "other.toml"];

#[tokio::test(flavor = "multi_thread")]
async fn what_another_configuration_changes_is_told_field_by_field() {
    let sink = endpoint().await;
    let bridge = bridge_and_other(sink.url().as_str(), "stage = \"lead\"", "stage = \"customer\"").await;
    let output = bridge.command(&AGAINST);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("40 compared, 0 the same, 40 changed; 0 only here, 0 only there"), "{told}");
    assert_eq!(told.matches("/stage: \"lead\" → \"customer\"").count(), 40, "{told}");
    let output = bridge.command(&[&AGAINST[..], &["--json", "--limit", "2"]].concat());
    let report = json_of(&output);
    assert_eq!((&report["summary"]["compared"], &report["summary"]["changed"]), (&json!(2), &json!(2)), "{report}");
    let differences = report["events"][0]["differences"].as_array().unwrap().clone();
    assert_eq!(differences.len(), 1, "{report}");
    assert!(differences[0]["at"].as_str().unwrap().ends_with("/stage") && differences[0]["new"] == "customer", "{report}");
    assert_eq!(sink.count(), LEADS, "nothing is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_route_is_told_and_a_rotated_secret_is_no_change() {
    let sink = endpoint().await;
    let bridge = bridge_and_other(sink.url().as_str(), "kinds = [\"lead\"]", "kinds = [\"lead\", \"appointment\"]").await;
    let output = bridge.command(&AGAINST);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("40 compared, 40 the same, 0 changed; 0 only here, 1 only there"), "{told}");

    let toml = std::fs::read_to_string(bridge.setup.config_path()).unwrap();
    let other = bridge.setup.folder.path().join("other.toml");
    std::fs::write(&other, toml.replace(BEARER, PASSWORD)).unwrap();
    let output = bridge.command(&AGAINST);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("40 compared, 40 the same, 0 changed"), "{}", text(&output));
    assert_no_secret(&output);

    std::fs::write(
        &other,
        toml.replace("[destinations.backend", "[destinations.back-end").replace("to = [\"backend\"]", "to = [\"back-end\"]"),
    )
    .unwrap();
    let output = bridge.command(&AGAINST);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("did you mean `back-end`?"), "{}", text(&output));
    std::fs::write(&other, toml.replace("type = \"json\"", "type = \"fax\"")).unwrap();
    let output = bridge.command(&AGAINST);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("other.toml:"), "{}", text(&output));
}

/// Stopped when dropped.
struct Simulator(std::process::Child);

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_with_a_simulation_can_be_simulated_and_its_lines_pasted() {
    let connectors = leadwire::connectors::builtin();
    let mut count = 0;
    for kind in connectors.iter().filter(|kind| kind.simulator.is_some()) {
        count += 1;
        let mut command = Command::new(env!("CARGO_BIN_EXE_leadwire"));
        command.args(["simulate", "crm", "--kind", kind.name, "--listen", "127.0.0.1:0", "--json"]);
        let mut simulator = Simulator(command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(simulator.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let settings = told["settings"].as_str().unwrap();
        let setup = Setup::new().with(&format!("[destinations.crm]\n{settings}\n[[routes]]\nto = [\"crm\"]"));
        let preview = setup.command(&["preview", "--json"]);
        assert_eq!(preview.status.code(), Some(0), "{}: {}", kind.name, text(&preview));
        let bridge = setup.start();
        bridge.post(lead(1).to_string()).await;
        eventually(&format!("a lead to be delivered to {}", kind.name), async || {
            bridge.deliveries().iter().any(|delivery| delivery["state"] == "delivered").then_some(())
        })
        .await;
        let doctor = bridge.command(&["doctor", "--destination", "crm"]);
        assert_eq!(doctor.status.code(), Some(0), "{}: {}", kind.name, text(&doctor));
    }
    assert!(count > 0);
    let unknown = Setup::new().command(&["simulate", "crm", "--kind", "fax"]);
    assert_eq!(unknown.status.code(), Some(64));
    let all = connectors.iter().filter(|kind| kind.simulator.is_some());
    assert!(all.into_iter().all(|kind| text(&unknown).contains(kind.name)), "{}", text(&unknown));
}
