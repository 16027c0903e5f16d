//! One story for each promise, named after it.

use crate::harness::{KEY, Setup, endpoint, eventually, lead, rows, serve, signature};
use leadwire_connector::http::{Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SUCCESS: &[u8] = b"{\"status\":\"success\"}";

#[tokio::test(flavor = "multi_thread")]
async fn stored_before_answered() {
    let bridge = Setup::new().archive().start();
    for n in 0..20 {
        let answer = bridge.post(lead(n).to_string()).await;
        assert_eq!((answer.status, answer.body.as_ref()), (200, SUCCESS));
    }
    // Nothing but the disk survives this; whatever was answered must be found there.
    let bridge = bridge.kill().start();
    let events = bridge.json(&["events", "list"]);
    assert_eq!(events.as_array().unwrap().len(), 20);
    assert!(
        events.as_array().unwrap().iter().all(|event| event["deliveries"].as_array().unwrap().len() == 1),
        "an event came without its deliveries"
    );
    bridge.until("delivered", 20).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_authentic_is_dropped() {
    let bridge = Setup::new()
        .with("[destinations.archive]\ntype = \"csv\"\ndirectory = \"drop\"\n[[routes]]\nto = [\"archive\"]\nkinds = [\"appointment\"]")
        .start();
    let unknown_fields = json!({"Type": "Lead", "Email": "a@example.com", "FavouriteColour": "blue", "Nested": {"deep": [1, 2]}});
    for body in [unknown_fields.to_string(), "[1,\"two\"]".to_owned(), "{\"hello\":\"world\"}".to_owned(), "this is no JSON".to_owned()] {
        assert_eq!(bridge.post(body).await.body.as_ref(), SUCCESS);
    }
    let old = "t=1492774577".to_owned();
    let body = lead(1).to_string();
    let key = leadwire::verify::SigningKey::new(KEY);
    let stale = leadwire::verify::sign(&key, old.trim_start_matches("t="), body.as_bytes());
    assert_eq!(bridge.post_to("acme", body, &[("X-Webhook-Signature", &stale)]).await.unwrap().body.as_ref(), SUCCESS);

    let events = bridge.json(&["events", "list", "--unrouted"]);
    let events = events.as_array().unwrap();
    assert!(events.len() >= 5, "{events:?}");
    let text = serde_json::to_string(events).unwrap();
    for kept in ["FavouriteColour", "deep", "this is no JSON", "hello", "\"stale\":true"] {
        assert!(text.contains(kept), "{kept} is lost");
    }
    assert_eq!(events.iter().filter(|event| event["kind"] == "unrecognized").count(), events.len() - 2);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_forged_is_delivered_and_a_mis_pasted_key_loses_no_lead() {
    let sink = endpoint().await;
    let mut setup = Setup::new().endpoint("backend", sink.url().as_str());
    setup.write();
    setup.replace(KEY, "a-key-that-was-pasted-wrongly");
    let bridge = setup.start();
    for n in 0..5 {
        let answer = bridge.post(lead(n).to_string()).await;
        assert_eq!(answer.status, 401);
        assert!(answer.body.starts_with(b"{\"status\":\"error\",\"error\":\"no_key_matched\""));
    }
    assert_eq!(bridge.json(&["quarantine", "list"]).as_array().unwrap().len(), 5);
    assert_eq!(sink.count(), 0);

    // The key is mended in the file; the running bridge is not touched.
    let mut bridge = bridge;
    bridge.setup.replace("a-key-that-was-pasted-wrongly", KEY);
    let report = bridge.json(&["quarantine", "verify"]);
    assert_eq!((&report["acme"]["admitted"], &report["acme"]["events"]), (&json!(5), &json!(5)));
    bridge.until("delivered", 5).await;
    assert!(bridge.json(&["quarantine", "list"]).as_array().unwrap().is_empty());
    assert_eq!(ids(&sink.state()).len(), 5);

    let forged = signature("not the key", b"{}");
    assert_eq!(bridge.post_to("acme", "{}", &[("X-Webhook-Signature", &forged)]).await.unwrap().status, 401);
    let report = bridge.json(&["quarantine", "verify"]);
    assert_eq!((&report["acme"]["admitted"], &report["acme"]["refused"]), (&json!(0), &json!(1)));
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_awaits_its_key_keeps_everything() {
    let sink = endpoint().await;
    let setup = Setup::bare("[sources.acme]\n").endpoint("backend", sink.url().as_str());
    let bridge = setup.start();
    for n in 0..3 {
        assert_eq!(bridge.post(lead(n).to_string()).await.body.as_ref(), SUCCESS);
    }
    assert_eq!(sink.count(), 0);
    let mut setup = bridge.terminate();
    setup.replace("[sources.acme]", &format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]"));
    let bridge = setup.start();
    bridge.until("delivered", 3).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn same_body_same_event() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    let body = lead(1).to_string();
    let pretty = serde_json::to_string_pretty(&lead(1)).unwrap();
    for _ in 0..3 {
        assert_eq!(bridge.post(body.clone()).await.body.as_ref(), SUCCESS);
    }
    assert_eq!(bridge.post(pretty).await.body.as_ref(), SUCCESS);
    let bridge = bridge.terminate().start();
    assert_eq!(bridge.post(body).await.body.as_ref(), SUCCESS);
    bridge.until("delivered", 1).await;
    let events = bridge.json(&["events", "list"]);
    assert_eq!((events.as_array().unwrap().len(), &events[0]["duplicates"]), (1, &json!(4)));
    assert_eq!(counts(&sink.state()), BTreeMap::from([(ids(&sink.state()).pop_first().unwrap(), 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_delivery_ends_and_the_audit_proves_it() {
    let (good, bad) = (endpoint().await, endpoint().await);
    bad.order("422".parse().unwrap());
    let setup = Setup::new().endpoint("good", good.url().as_str()).endpoint("bad", bad.url().as_str()).archive();
    let bridge = setup.start();
    for n in 0..6 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.until("delivered", 12).await;
    let dead = bridge.until("dead", 6).await;
    assert!(dead.iter().all(|delivery| delivery["remark"].as_str().unwrap().contains("422")));
    bridge.assert_audit();

    bad.clear_faults();
    let output = bridge.command(&["replay", "--destination", "bad", "--yes"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    bridge.until("delivered", 18).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn hold_do_not_burn() {
    let (refusing, down) = (endpoint().await, endpoint().await);
    refusing.order("401".parse().unwrap());
    down.order("503".parse().unwrap());
    let bridge = Setup::new().endpoint("refusing", refusing.url().as_str()).endpoint("down", down.url().as_str()).start();
    for n in 0..30 {
        assert_eq!(bridge.post(lead(n).to_string()).await.body.as_ref(), SUCCESS, "receiving does not wait for a destination");
    }
    bridge.until_held("refusing").await;
    let attempts = refusing.count();
    assert!(attempts <= 16, "{attempts} attempts on a destination that refuses its credentials");
    let pending = bridge.deliveries();
    assert!(pending.iter().filter(|delivery| delivery["destination"] == "refusing").all(|delivery| delivery["attempts"] == 0));

    refusing.clear_faults();
    down.clear_faults();
    assert!(bridge.command(&["resume", "refusing"]).status.success());
    bridge.until("delivered", 60).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_holds_and_resumes_a_destination() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    assert!(bridge.command(&["hold", "backend", "--reason", "maintenance"]).status.success());
    // The running bridge learns it from the store; the lead posted then is the proof.
    assert_eq!(bridge.until_held("backend").await["reason"], "maintenance");
    let bridge = bridge.terminate().start();
    bridge.post(lead(1).to_string()).await;
    assert_eq!(bridge.deliveries()[0]["state"], "waiting");
    assert_eq!(sink.count(), 0);
    assert!(bridge.command(&["resume", "backend"]).status.success());
    bridge.until("delivered", 1).await;
    let unknown = bridge.command(&["hold", "nobody", "--reason", "x"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("backend"), "the known names are told");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lead_one_record() {
    let crm = serve("hubspot").await;
    // The write happens, the answer never arrives: once for the contact, once for the note.
    crm.order(FaultRule {
        path_contains: Some("/contacts".to_owned()),
        method: Some("POST".to_owned()),
        ..FaultRule::next(1, FaultKind::ResetAfterWrite)
    });
    crm.order(FaultRule {
        path_contains: Some("/notes".to_owned()),
        method: Some("POST".to_owned()),
        ..FaultRule::next(1, FaultKind::ResetAfterWrite)
    });
    let url = crm.url();
    let base = url.as_str().trim_end_matches('/');
    let setup = Setup::new().with(&format!(
        "[destinations.crm]\ntype = \"hubspot\"\ntoken = \"made-up-token\"\nbase_url = \"{base}\"\n[[routes]]\nto = [\"crm\"]"
    ));
    let bridge = setup.start();
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 1).await;
    let state = crm.state();
    assert_eq!(state["contacts"].as_array().unwrap().len(), 1, "{state}");
    assert_eq!(state["notes"].as_array().unwrap().len(), 1, "{state}");

    let delivery = bridge.deliveries().remove(0);
    let output = bridge.command(&["replay", delivery["id"].as_str().unwrap(), "--state", "delivered", "--yes"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let requests = crm.count();
    bridge.until("delivered", 1).await;
    eventually("the replay to arrive", async || (crm.count() > requests || bridge.deliveries()[0]["state"] == "delivered").then_some(()))
        .await;
    assert_eq!(crm.state()["notes"].as_array().unwrap().len(), 1, "a replay makes no second note");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_per_person() {
    let sink = endpoint().await;
    sink.order(FaultRule { probability: Some(0.3), ..FaultRule::always(FaultKind::Status(503)) });
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    for n in 0..40_u64 {
        let mut body = lead(n);
        body["Email"] = json!(format!("person{}@example.com", n % 4));
        bridge.post(body.to_string()).await;
    }
    bridge.until("delivered", 40).await;
    let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for delivery in sink.state()["deliveries"].as_array().unwrap() {
        let event = &delivery["body"]["data"];
        seen.entry(event["person"]["email"].to_string()).or_default().push(event["session_id"].as_str().unwrap().parse().unwrap());
    }
    assert_eq!(seen.len(), 4);
    for sessions in seen.values() {
        assert!(sessions.is_sorted() && sessions.len() == 10, "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_personal_data_stay_out_of_what_is_printed() {
    let sink = endpoint().await;
    sink.order(FaultRule::next(2, FaultKind::Status(500)));
    sink.order(FaultRule::next(1, FaultKind::Status(422)));
    let setup = Setup::new()
        .with(&format!(
            "[destinations.backend]\ntype = \"json\"\nurl = \"{}\"\nbearer = {{ env = \"STORY_BEARER\" }}\nsecret = \"whsec_c3RvcnktZW5kcG9pbnQtc2VjcmV0\"\n[[routes]]\nto = [\"backend\"]\n[log]\nlevel = \"trace\"",
            sink.url()
        ))
        .environment("STORY_BEARER", "bearer-of-the-story-0123456789");
    let bridge = setup.start();
    for n in 0..4 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.post_to("acme", lead(9).to_string(), &[("X-Webhook-Signature", "t=1,v1=00")]).await.unwrap();
    bridge.until("delivered", 3).await;
    let mut printed = vec![bridge.log()];
    for arguments in [&["check"][..], &["audit"], &["connectors"], &["deliveries", "list"], &["quarantine", "list"]] {
        let output = bridge.command(arguments);
        printed.push(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr));
    }
    printed.push(bridge.get("/hooks/acme").await.body.escape_ascii().to_string());
    let metrics = Request::new(Method::Get, format!("{}/metrics", bridge.console).parse().unwrap());
    printed.push(bridge.client.send(&metrics).await.unwrap().body.escape_ascii().to_string());
    let setup = bridge.terminate();
    let broken = setup.with("[sources.other]\nsigning_key = \"whk_misplaced_secret\"\ntoken = 7");
    let output = broken.command(&["check"]);
    assert_eq!(output.status.code(), Some(64));
    printed.push(String::from_utf8_lossy(&output.stderr).into_owned());
    for secret in
        [KEY, "bearer-of-the-story-0123456789", "c3RvcnktZW5kcG9pbnQtc2VjcmV0", "whk_misplaced_secret", "david1@example.com", "Garcia"]
    {
        for text in &printed {
            assert!(!text.contains(secret), "{secret} is printed in:\n{text}");
        }
    }
}

/// Ids that the endpoint accepted, with how often each came.
pub(crate) fn counts(state: &Value) -> BTreeMap<String, u64> {
    let deliveries = state["deliveries"].as_array().unwrap();
    deliveries.iter().map(|delivery| (delivery["id"].as_str().unwrap().to_owned(), delivery["count"].as_u64().unwrap())).collect()
}

pub(crate) fn ids(state: &Value) -> BTreeSet<String> {
    counts(state).into_keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_files_hold_every_row_once() {
    let setup = Setup::new().archive();
    let drop = setup.drop_folder();
    let bridge = setup.start();
    for n in 0..25 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.until("delivered", 25).await;
    let rows = eventually("25 rows in finished files", async || Some(rows(&drop)).filter(|rows| rows.len() == 25)).await;
    let emails: BTreeSet<&String> = rows.iter().map(|row| &row["email"]).collect();
    assert_eq!(emails.len(), 25);
}
