//! Other settings for a bridge that runs: nothing is lost, nothing is taken twice, and nothing is half of one and half of the other.

use crate::driver::{Dice, seed};
use crate::harness::{Bridge, KEY, Setup, endpoint, eventually, lead, signature};
use crate::oracle::{BACKEND, Trial};
use crate::postgres::database;
use leadwire_connector::http::{Answer, Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

const ROUNDS: usize = 20;
const SOMETIMES: &str = "sometimes";

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Writes the file, without a word to the bridge.
fn write(bridge: &Bridge, toml: &str) {
    std::fs::write(bridge.setup.config_path(), toml).unwrap();
}

fn written(bridge: &Bridge) -> String {
    std::fs::read_to_string(bridge.setup.config_path()).unwrap()
}

async fn ask(bridge: &Bridge) -> Answer {
    let request = Request::new(Method::Post, format!("{}/api/v1/reload", bridge.console).parse().unwrap()).json(&json!({}));
    bridge.client.send(&request).await.unwrap()
}

async fn reloaded(bridge: &Bridge) -> Value {
    let answer = ask(bridge).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json().unwrap()
}

/// By each of the three ways in turn; returns when it is done.
async fn reload(bridge: &Bridge, way: usize, is_good: bool) {
    let line = if is_good { "was read again" } else { "nothing has changed" };
    let before = bridge.log().matches(line).count();
    match way % 3 {
        0 => bridge.signal("HUP"),
        1 => assert_eq!(ask(bridge).await.status, if is_good { 200 } else { 409 }),
        _ => {
            let address = format!("{}/", bridge.console);
            let output = bridge.command(&["reload", "--server", &address]);
            assert_eq!(output.status.code(), Some(if is_good { 0 } else { 1 }), "{}", text(&output));
        }
    }
    eventually("the reload to be told", async || (bridge.log().matches(line).count() > before).then_some(())).await;
}

/// Marks on both sides of a request; a third destination in every second one.
fn marked(toml: &str, mark: &str, third: Option<&Server>) -> String {
    let url = toml.lines().find(|line| line.starts_with("url = \"http")).unwrap().trim_end_matches('"').to_owned();
    let more = format!("{url}?mark={mark}\"\nheaders = {{ X-Mark = \"{mark}\" }}\nconcurrency = {}", if mark == "a" { 2 } else { 8 });
    let toml = toml.replace(&format!("{url}\""), &more);
    // A folder belongs to the one that writes into it, so that the files of one must be finished before the other begins.
    let toml = toml.replace("max_age = \"1s\"", &format!("max_age = \"1s\"\nmax_rows = {}", if mark == "a" { 9 } else { 5 }));
    let sometimes = third
        .map(|sink| format!("[destinations.{SOMETIMES}]\ntype = \"json\"\nurl = \"{}\"\n[[routes]]\nto = [\"{SOMETIMES}\"]\n", sink.url()));
    format!("{toml}\n{}", sometimes.unwrap_or_default())
}

const BAD: [&str; 3] = ["[servr]\n", "[sources.x]\nsigning_keys = [{ env = \"LEADWIRE_NOT_SET\" }]\n", "this is no TOML"];

async fn reload_under_load(mut trial: Trial, setup: Setup) {
    let third = endpoint().await;
    let mut dice = Dice::new(seed());
    trial.sink.order(FaultRule { probability: Some(0.05), ..FaultRule::always(FaultKind::Status(503)) });
    let bridge = setup.start();
    let plain = written(&bridge);
    let good = [marked(&plain, "a", None), marked(&plain, "b", Some(&third))];
    write(&bridge, &good[0]);
    reload(&bridge, 1, true).await;
    trial.driver.pace(Duration::from_millis(2));
    trial.driver.aim(&[&bridge.url]);
    trial.driver.start();
    for round in 1..=ROUNDS {
        trial.sink.set_latency(Duration::from_millis(dice.roll(40)));
        let before = trial.driver.answered();
        eventually("load", async || (trial.driver.answered() > before + 15).then_some(())).await;
        write(&bridge, &good[round % 2]);
        reload(&bridge, round, true).await;
        if round % 4 == 0 {
            write(&bridge, &format!("{}{}", BAD[round % BAD.len()], good[(round + 1) % 2]));
            reload(&bridge, round / 4, false).await;
        }
    }
    // The last one with the third destination in it, so that what waits for it is delivered.
    write(&bridge, &good[1]);
    reload(&bridge, 1, true).await;
    assert_eq!(trial.driver.refusals(), BTreeMap::new(), "nobody was refused");
    let mut requests = trial.sink.requests();
    requests.retain(|logged| logged.request.header("x-mark").is_some() || logged.request.target.contains("mark="));
    assert!(requests.len() > 100, "too little to prove anything: {}", requests.len());
    for logged in &requests {
        let mark = logged.request.header("x-mark").unwrap_or("none");
        assert!(logged.request.target.ends_with(&format!("?mark={mark}")), "half of one and half of the other: {}", logged.request.target);
    }
    let marks = |mark: &str| requests.iter().filter(|logged| logged.request.header("x-mark") == Some(mark)).count();
    assert!(marks("a") > 10 && marks("b") > 10, "{} and {}", marks("a"), marks("b"));
    let met = trial.end(&bridge).await;
    assert!(met > 100, "too little load to prove anything: {met}");
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for logged in third.requests() {
        *taken.entry(logged.request.header("webhook-id").unwrap().to_owned()).or_default() += 1;
    }
    let owed = bridge.json(&["deliveries", "list", "--destination", SOMETIMES, "--limit", "100000"]);
    assert_eq!(owed.as_array().unwrap().len(), taken.len(), "what was routed there while it was there is there");
    assert!(taken.len() > 10 && taken.values().all(|times| *times == 1), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_lose_nothing_double_nothing_and_mix_nothing() {
    let mut trial = Trial::new(seed()).await;
    let setup = trial.setup();
    reload_under_load(trial, setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_lose_nothing_double_nothing_and_mix_nothing_on_postgresql() {
    let trial = Trial::new(seed()).await;
    let setup = trial.setup_on(&database());
    reload_under_load(trial, setup).await;
}

fn destination(status: &Value, name: &str) -> Value {
    status["destinations"].as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wrong_changes_nothing_and_says_why() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint(BACKEND, sink.url().as_str()).start();
    let good = written(&bridge);
    write(&bridge, &good.replace("[sources.acme]", "[sources.acme]\nreprot_only = true"));
    let answer = ask(&bridge).await;
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.status == 409 && said.contains("did you mean `report_only`?") && !said.contains(KEY), "{said}");
    let output = bridge.command(&["reload"]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("did you mean `report_only`?"), "{}", text(&output));
    bridge.signal("HUP");
    eventually("the signal to be answered", async || (bridge.log().matches("everything goes on as before").count() == 2).then_some(()))
        .await;
    bridge.post(lead(1).to_string()).await;
    eventually("the lead to arrive", async || (sink.count() == 1).then_some(())).await;
    write(&bridge, &good);
    assert_eq!(bridge.json(&["actions", "list"]), json!([]), "nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_told_and_the_rest_is_taken() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint(BACKEND, sink.url().as_str()).start();
    let toml = written(&bridge)
        .replace("[server]\nlisten = \"127.0.0.1:0\"", "[server]\nworkers = 7\nlisten = \"127.0.0.1:0\"")
        .replace("leadwire.db", "other.db")
        .replace("[sources.acme]", "[sources.acme]\ndefault_country = \"US\"");
    write(&bridge, &format!("{toml}[sources.second]\nsigning_keys = [\"another-key-0123456789\"]\n"));
    let told = reloaded(&bridge).await;
    assert_eq!(told["needs_restart"], json!(["server.workers", "store.url"]), "{told}");
    assert_eq!(told["sources"], json!({"added": ["second"], "changed": ["acme"], "removed": []}), "{told}");
    eventually("its address to be told", async || bridge.log().contains("source second: http").then_some(())).await;
    let body = lead(1).to_string();
    let header = signature("another-key-0123456789", body.as_bytes());
    let answer = bridge.post_to("second", body, &[("X-Webhook-Signature", &header)]).await.unwrap();
    assert_eq!(answer.status, 200);
    eventually("the lead to arrive", async || (sink.count() == 1).then_some(())).await;
    // Commands look into the store that the file names.
    write(&bridge, &toml.replace("other.db", "leadwire.db"));
    let actions = bridge.json(&["actions", "list"]);
    assert_eq!((&actions[0]["action"], &actions[0]["who"]), (&json!("reload"), &json!("local")), "{actions}");
    assert_eq!(reloaded(&bridge).await["sources"]["removed"], json!(["second"]));
    let answer = bridge.post_to("second", "{}", &[]).await.unwrap();
    assert_eq!(answer.status, 404);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_gone_keeps_its_deliveries_until_it_is_there_again() {
    let (sink, other) = (endpoint().await, endpoint().await);
    sink.order(FaultRule::always(FaultKind::Status(503)));
    let bridge = Setup::new().endpoint(BACKEND, sink.url().as_str()).start();
    let with = written(&bridge);
    bridge.post(lead(1).to_string()).await;
    eventually("an attempt", async || (sink.count() > 0).then_some(())).await;
    let without = with.replace("[destinations.backend]", "[destinations.other]").replace("to = [\"backend\"]", "to = [\"other\"]");
    write(&bridge, &without.replace(sink.url().as_str(), other.url().as_str()));
    let told = reloaded(&bridge).await;
    assert_eq!(told["destinations"], json!({"added": ["other"], "changed": [], "removed": [BACKEND]}), "{told}");
    bridge.post(lead(2).to_string()).await;
    bridge.until("delivered", 1).await;
    let row = destination(&bridge.status().await, BACKEND);
    assert_eq!((&row["state"], &row["pending"]), (&json!("not_configured"), &json!(1)), "{row}");
    assert_eq!(bridge.json(&["deliveries", "list", "--destination", BACKEND])[0]["state"], "waiting");
    let before = sink.count();
    sink.clear_faults();
    write(&bridge, &with);
    reloaded(&bridge).await;
    bridge.until("delivered", 2).await;
    assert!(sink.count() > before);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_with_a_reload_admits_what_waited_for_it() {
    let sink = endpoint().await;
    let bridge = Setup::bare("[sources.acme]\n").endpoint(BACKEND, sink.url().as_str()).start();
    assert_eq!(bridge.post(lead(1).to_string()).await.status, 200);
    assert_eq!(sink.count(), 0);
    write(&bridge, &written(&bridge).replace("[sources.acme]\n", &format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\n")));
    reloaded(&bridge).await;
    bridge.until("delivered", 1).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_by_the_settings_it_began_with_and_others_begin_after_it() {
    let (slow, quick) = (endpoint().await, endpoint().await);
    slow.set_latency(Duration::from_secs(2));
    let bridge = Setup::new().endpoint(BACKEND, slow.url().as_str()).start();
    bridge.post(lead(1).to_string()).await;
    eventually("an attempt", async || (destination(&bridge.status().await, BACKEND)["in_flight"] == 1).then_some(())).await;
    write(&bridge, &written(&bridge).replace(slow.url().as_str(), quick.url().as_str()));
    assert_eq!(reloaded(&bridge).await["destinations"]["changed"], json!([BACKEND]));
    bridge.post(lead(2).to_string()).await;
    bridge.until("delivered", 2).await;
    assert_eq!((slow.count(), quick.count()), (1, 1));
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_act_may_reload_and_a_token_is_swapped_with_the_rest() {
    const OLD: &str = "operator-token-0123456789abcdef";
    const NEW: &str = "another-operator-token-0123456789";
    const READER: &str = "reader-token-0123456789abcdef";
    let console = format!("[console]\ntoken = \"{OLD}\"\n");
    let mut setup = Setup::new().archive();
    setup.replace("[console]\n", &console);
    let bridge = setup.with(&format!("[console.users.ann]\ntoken = \"{READER}\"\nrole = \"read\"")).start();
    let with = async |token: &str| {
        let request = Request::new(Method::Post, format!("{}/api/v1/reload", bridge.console).parse().unwrap()).bearer(token);
        bridge.client.send(&request).await.unwrap().status
    };
    assert_eq!((with(READER).await, with(NEW).await), (403, 401));
    write(&bridge, &written(&bridge).replace(OLD, NEW));
    assert_eq!(with(OLD).await, 200);
    assert_eq!((with(OLD).await, with(NEW).await), (401, 200));
    // Without a token the console is for this machine only. Where it listens is not changed by a reload, so neither is who may come.
    write(
        &bridge,
        &written(&bridge)
            .replace(&format!("token = \"{NEW}\"\n"), "")
            .replace("listen = \"127.0.0.1:0\"\n[store]", "listen = \"127.0.0.1:9\"\n[store]"),
    );
    assert_eq!(with(NEW).await, 200);
    assert_eq!(with(OLD).await, 401);
}
