//! What a person does about dead letters and events that no route took, by the commands, beside a running bridge.

use crate::harness::{Bridge, KEY, Setup, endpoint, lead};
use leadwire_connector::http::{Answer, Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use serde_json::{Value, json};

/// A bridge whose only destination has rejected so many leads.
async fn bridge_with_dead_letters(count: usize) -> (Bridge, Server) {
    let sink = endpoint().await;
    sink.order(FaultRule::always(FaultKind::Status(422)));
    let bridge = Setup::new().endpoint("crm", sink.url().as_str()).start();
    for n in 0..count {
        bridge.post(lead(n as u64).to_string()).await;
    }
    bridge.until("dead", count).await;
    (bridge, sink)
}

fn rows(value: &Value) -> Vec<Value> {
    value.as_array().unwrap().clone()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn actions(bridge: &Bridge) -> Vec<Value> {
    rows(&bridge.json(&["actions", "list"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_by_cause_and_those_of_one_cause_are_replayed() {
    let (bridge, sink) = bridge_with_dead_letters(3).await;
    let causes = rows(&bridge.json(&["deliveries", "list", "--state", "dead", "--by-cause"]));
    assert_eq!((causes.len(), &causes[0]["count"], &causes[0]["destination"]), (1, &json!(3), &json!("crm")));
    let cause = causes[0]["cause"].as_str().unwrap();
    assert!(cause.contains("/422"), "{cause}");
    assert!(causes[0]["message"].as_str().unwrap().contains("422"));
    let table = text(&bridge.command(&["deliveries", "list", "--by-cause"]).stdout);
    assert!(table.contains(cause) && table.starts_with("DEAD"), "{table}");
    assert_eq!(rows(&bridge.json(&["deliveries", "list", "--cause", cause])).len(), 3);
    assert_eq!(bridge.json(&["replay", "--cause", "data/999", "--dry-run"])["found"], 0);
    sink.clear_faults();
    assert_eq!(bridge.json(&["replay", "--destination", "crm", "--cause", cause, "--yes"])["replayed"], 3);
    bridge.until("delivered", 3).await;
    assert!(rows(&bridge.json(&["deliveries", "list", "--by-cause"])).is_empty());
    let [row] = actions(&bridge).try_into().unwrap();
    assert_eq!((&row["action"], &row["target"], &row["count"]), (&json!("replay"), &json!("crm"), &json!(3)));
    assert!(row["who"].as_str().unwrap().starts_with("cli ("), "{row}");
    assert!(!row["ended_at"].is_null());
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_dead_letter_ends_with_the_reason_and_can_be_replayed() {
    let (bridge, sink) = bridge_with_dead_letters(2).await;
    let event = bridge.deliveries()[0]["event"].as_str().unwrap().to_owned();
    for arguments in
        [&["discard", "--reason", "test data"][..], &["discard", &event, "--reason", " "], &["discard", &event, "--reason", "x"]]
    {
        assert_eq!(bridge.command(arguments).status.code(), Some(64), "{arguments:?}");
    }
    let reason = "test data, says jane@example.com";
    assert_eq!(bridge.json(&["discard", &event, "--reason", reason, "--dry-run"]), json!({"found": 1, "discarded": 0}));
    assert_eq!(bridge.json(&["discard", &event, "--reason", reason, "--yes"]), json!({"found": 1, "discarded": 1}));
    let skipped = bridge.until("skipped", 1).await;
    let remark = skipped[0]["remark"].as_str().unwrap();
    assert!(remark.starts_with("discarded by cli (") && remark.ends_with(reason), "{remark}");
    bridge.assert_audit();
    assert_eq!(bridge.json(&["discard", "--destination", "crm", "--reason", "all of it", "--yes"])["discarded"], 1);
    let trail = bridge.json(&["actions", "list"]).to_string();
    assert!(trail.contains("(e-mail)") && !trail.contains("jane@"), "{trail}");
    sink.clear_faults();
    assert_eq!(bridge.json(&["replay", &event, "--state", "skipped", "--yes"])["replayed"], 1);
    bridge.until("delivered", 1).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_no_route_took_are_routed_by_the_rules_of_today_and_only_once() {
    let sink = endpoint().await;
    let setup = Setup::bare(&format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\n")).with(&format!(
        "[destinations.crm]\ntype = \"json\"\nurl = \"{}\"\n[[routes]]\nto = [\"crm\"]\nkinds = [\"appointment\"]",
        sink.url()
    ));
    let mut bridge = setup.start();
    for n in 0..3 {
        bridge.post(lead(n).to_string()).await;
    }
    let ids: Vec<String> =
        rows(&bridge.json(&["events", "list"])).iter().rev().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let output = bridge.command(&["route", &ids[0], "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no route of the configuration takes"), "{}", text(&output.stderr));
    assert_eq!(bridge.command(&["route", &ids[0], "--to", "nowhere", "--yes"]).status.code(), Some(64));
    assert_eq!(bridge.command(&["route"]).status.code(), Some(64));
    // One where a person says, also when asked twice.
    assert_eq!(bridge.json(&["route", &ids[1], "--to", "crm", "--yes"])["deliveries"], 1);
    bridge.until("delivered", 1).await;
    assert_eq!(bridge.command(&["route", &ids[1], "--to", "crm", "--yes"]).status.code(), Some(1));
    // The others by the rules as they are now.
    bridge.setup.replace("kinds = [\"appointment\"]", "kinds = [\"appointment\", \"lead\"]");
    assert_eq!(bridge.json(&["route", "--unrouted", "--dry-run"])["events"], 2);
    assert_eq!(bridge.json(&["route", "--unrouted", "--yes"]), json!({"routed": true, "events": 2, "deliveries": 2}));
    assert_eq!(bridge.json(&["route", "--unrouted", "--yes"])["deliveries"], 0);
    bridge.until("delivered", 3).await;
    assert_eq!(sink.count(), 3);
    assert_eq!(actions(&bridge).iter().map(|row| row["count"].as_i64().unwrap()).collect::<Vec<_>>(), [2, 1]);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_is_in_the_trail_and_names_nobody() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("crm", sink.url().as_str()).start();
    bridge.post(lead(1).to_string()).await;
    bridge.post_to("acme", "no signature", &[]).await.unwrap();
    bridge.until("delivered", 1).await;
    let email = lead(1)["Email"].as_str().unwrap().to_owned();
    for arguments in [
        &["hold", "crm", "--reason", "moving accounts", "--for", "2h"][..],
        &["resume", "crm"],
        &["quarantine", "verify"],
        &["quarantine", "purge", "--yes"],
        &["person", "erase", "--email", &email, "--yes"],
    ] {
        let output = bridge.command(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    }
    let rows = actions(&bridge);
    let told: Vec<_> = rows.iter().rev().map(|row| (row["action"].as_str().unwrap(), row["count"].as_i64().unwrap())).collect();
    assert_eq!(told, [("hold", 1), ("resume", 1), ("verify", 0), ("purge", 1), ("erase", 1)]);
    assert!(rows.iter().all(|row| !row["ended_at"].is_null() && row["failure"].is_null()));
    assert!(!Value::from(rows).to_string().contains(&email));
    let table = text(&bridge.command(&["actions", "list"]).stdout);
    assert!(table.contains("moving accounts") && table.contains("erase") && !table.contains('@'), "{table}");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_waits_for_a_hold_says_so() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("crm", sink.url().as_str()).start();
    assert_eq!(bridge.command(&["hold", "crm", "--reason", "moving accounts"]).status.code(), Some(0));
    bridge.until_held("crm").await;
    bridge.post(lead(1).to_string()).await;
    bridge.until("waiting", 1).await;
    assert_eq!(bridge.deliveries()[0]["remark"], "crm is on hold: moving accounts");
    let table = text(&bridge.command(&["deliveries", "list"]).stdout);
    assert!(table.contains("moving accounts"), "{table}");
}

#[test]
fn a_check_counts_one_as_one() {
    let told = text(&Setup::new().archive().command(&["check"]).stdout);
    assert!(told.contains("1 source, 1 destination, 1 route, "), "{told}");
}

/// Posts a form of the console, with more headers.
async fn submit(bridge: &Bridge, action: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
    let url = format!("{}/actions/{action}", bridge.console).parse().unwrap();
    let request = Request::new(Method::Post, url).body("application/x-www-form-urlencoded", form.to_owned().into_bytes());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
    bridge.client.send(&request).await.unwrap()
}

/// Where the answer leads to.
fn leads_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", String::from_utf8_lossy(&answer.body));
    assert!(answer.headers.iter().any(|(name, value)| name == "set-cookie" && value.contains("leadwire_notice=")), "a notice is shown");
    answer.headers.iter().find(|(name, _)| name == "location").map(|(_, value)| value.as_str()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forms_of_the_console_do_what_the_commands_do() {
    let (bridge, sink) = bridge_with_dead_letters(3).await;
    let id = bridge.deliveries()[0]["id"].as_str().unwrap().to_owned();
    let answer = submit(&bridge, "discard", &format!("delivery={id}&reason=test+data&back=/person%3Fpage%3D2"), &[]).await;
    assert_eq!(leads_to(&answer), "/person?page=2");
    assert_eq!(bridge.until("skipped", 1).await[0]["remark"], "discarded by local: test data");
    let cause = bridge.json(&["deliveries", "list", "--by-cause"])[0]["cause"].as_str().unwrap().to_owned();
    sink.clear_faults();
    leads_to(&submit(&bridge, "replay", &format!("destination=crm&cause={cause}"), &[]).await);
    bridge.until("delivered", 2).await;
    leads_to(&submit(&bridge, "hold", "destination=crm&reason=moving&for=2h", &[]).await);
    assert_eq!(bridge.until_held("crm").await["reason"], "moving");
    leads_to(&submit(&bridge, "resume", "destination=crm", &[]).await);
    bridge.post_to("acme", "no signature", &[]).await.unwrap();
    leads_to(&submit(&bridge, "verify", "source=acme", &[]).await);
    leads_to(&submit(&bridge, "purge", "source=acme", &[]).await);
    leads_to(&submit(&bridge, "route", "unrouted=on", &[]).await);
    let rows = actions(&bridge);
    let told: Vec<_> = rows.iter().rev().map(|row| (row["action"].as_str().unwrap(), row["count"].as_i64().unwrap())).collect();
    assert_eq!(told, [("discard", 1), ("replay", 2), ("hold", 1), ("resume", 1), ("verify", 0), ("purge", 1), ("route", 0)]);
    assert!(rows.iter().all(|row| row["who"] == "local" && row["client"] == "127.0.0.1" && !row["ended_at"].is_null()), "{rows:?}");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_replay_goes_on_as_a_job_and_its_progress_can_be_asked() {
    let (bridge, sink) = bridge_with_dead_letters(150).await;
    sink.clear_faults();
    leads_to(&submit(&bridge, "replay", "destination=crm", &[]).await);
    bridge.until("delivered", 150).await;
    crate::harness::eventually("the job to end", async || {
        let row = actions(&bridge).remove(0);
        (row["planned"] == 150 && row["count"] == 150 && !row["ended_at"].is_null()).then_some(())
    })
    .await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_a_stranger_is_obeyed_and_none_leads_away() {
    let (bridge, _sink) = bridge_with_dead_letters(1).await;
    for back in ["//evil.example", "/%5Cevil.example", "https://evil.example", "/a%0D%0ASet-Cookie:x", ""] {
        assert_eq!(leads_to(&submit(&bridge, "replay", &format!("back={back}"), &[]).await), "/", "{back}");
    }
    let foreign = submit(&bridge, "replay", "destination=crm", &[("Origin", "https://evil.example")]).await;
    assert_eq!(foreign.status, 403);
    assert_eq!(submit(&bridge, "erase", "destination=crm", &[]).await.status, 404);
    assert!(submit(&bridge, "replay", &"a=1&".repeat(1 << 18), &[]).await.status >= 400);
    for form in ["delivery=%00", "since=yesterday&destination=crm", "destination=nobody", "state=pending&destination=crm", "%FF=%FF"] {
        leads_to(&submit(&bridge, "replay", form, &[]).await);
    }
    assert!(actions(&bridge).is_empty(), "nothing of that was done");
    assert_eq!(bridge.deliveries()[0]["state"], "dead");
}
