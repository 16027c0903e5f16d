//! Every sender's own pages and habits, through the real door.

use crate::harness::{KEY, Setup, endpoint, lead, signature};
use leadwire::simulate::is_success;
use leadwire::verify::{SigningKey, json, sign};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

const SUCCESS: &[u8] = b"{\"status\":\"success\"}";

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/senders");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.into_iter().map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(file).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_platform_page_is_understood_signed_either_way() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    for (name, body) in fixtures() {
        let canonical = json::parse(&body).unwrap().canonical();
        for signed in [body.as_slice(), canonical.as_bytes()] {
            let header = signature(KEY, signed);
            let answer = bridge.post_to("acme", body.clone(), &[("X-Webhook-Signature", &header)]).await.unwrap();
            assert!(is_success(&answer.body), "{name}: {}", answer.body.escape_ascii());
        }
    }
    let events = bridge.json(&["events", "list", "--limit", "1000"]);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events.as_array().unwrap() {
        *kinds.entry(event["kind"].as_str().unwrap()).or_default() += 1;
    }
    for kind in ["lead", "appointment", "conversation", "test", "unrecognized"] {
        assert!(kinds.contains_key(kind), "no {kind} in {kinds:?}");
    }
    let routed = events.as_array().unwrap().iter().filter(|event| event["kind"] != "test").count();
    bridge.until("delivered", routed).await;
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_own_example_arrives_as_documented() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    let body = fixtures().into_iter().find(|(name, _)| name == "newoaks-lead").unwrap().1;
    bridge.post(body).await;
    bridge.until("delivered", 1).await;
    let state = sink.state();
    let envelope = &state["deliveries"][0]["body"];
    assert_eq!((&envelope["type"], &envelope["timestamp"]), (&json!("lead.created"), &json!("2023-11-23T18:36:21.512302Z")));
    let event = &envelope["data"];
    let expected = json!({
        "kind": "lead", "source": "acme", "chatbot_id": "59001dd73709417321c58b11693183a2",
        "person": {"first_name": "David", "last_name": "Garcia", "email": "test@qq.com", "phone": null},
        "content": "test", "session_id": "31305", "page_url": "https://www.google.com", "created_at": "2023-11-23T18:36:21.512302Z", "extra": {}
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&event[field], value, "{field}");
    }
    assert_eq!(event["raw"]["URI"], "www.google.com");
    let order: Vec<&String> = event.as_object().unwrap().keys().collect();
    assert_eq!(order[..5], ["id", "kind", "source", "chatbot_id", "person"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_chat_log_of_twenty_megabytes_becomes_its_conversations_at_once() {
    let bridge = Setup::new()
        .with("[destinations.archive]\ntype = \"csv\"\ndirectory = \"drop\"\nmax_rows = 10000\n[[routes]]\nto = [\"archive\"]")
        .start();
    let message = "I would like to know more about your offer. ".repeat(22);
    let conversations: Vec<Value> = (0..5_000)
        .map(|n| {
            let messages: Vec<Value> =
                (0..4).map(|m| json!({"Type": if m % 2 == 0 { "AI" } else { "User" }, "Content": message})).collect();
            json!({"SessionID": n, "CreateTime": format!("2026-11-21T10:00:00.{n:06}Z"), "URI": "www.example.com", "Messages": messages})
        })
        .collect();
    let log = json!({"Collection": [{"SerialNumber": "x", "Name": "Bot", "StartTime": "2026-11-21T00:00:00Z", "EndTime": "2026-11-22T00:00:00Z", "Conversations": conversations}]});
    let body = log.to_string();
    assert!(body.len() > 19 << 20, "{} bytes", body.len());
    assert_eq!(bridge.post(body.clone()).await.body.as_ref(), SUCCESS);
    bridge.until("delivered", 5_000).await;
    assert_eq!(bridge.post(body).await.body.as_ref(), SUCCESS);
    let ledger = bridge.json(&["audit"]);
    assert_eq!(
        ledger["sources"][0],
        json!({"name": "acme", "received": 5_000, "stored": 5_000, "duplicates": 5_000}),
        "the repeat added nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_senders_three_tries_make_one_event() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    let body = lead(1).to_string();
    let first = jiff::Timestamp::now().as_second() - 240;
    // The sender whose network lost the answers tries again after one and three more minutes, each time with a new signature.
    for at in [first, first + 60, first + 240] {
        let header = sign(&SigningKey::new(KEY), &at.to_string(), body.as_bytes());
        assert!(is_success(&bridge.post_to("acme", body.clone(), &[("X-Webhook-Signature", &header)]).await.unwrap().body));
    }
    bridge.until("delivered", 1).await;
    let events = bridge.json(&["events", "list"]);
    assert_eq!((events.as_array().unwrap().len(), &events[0]["duplicates"]), (1, &json!(2)));
    assert_eq!(sink.state()["deliveries"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_work_while_one_replaces_the_other() {
    let bridge = Setup::bare("[sources.acme]\nsigning_keys = [\"the-new-key-0123456789\", \"the-old-key-0123456789\"]\n").start();
    for (n, key) in ["the-old-key-0123456789", "the-new-key-0123456789"].into_iter().enumerate() {
        let body = lead(n as u64).to_string();
        let header = sign(&SigningKey::new(key), &jiff::Timestamp::now().as_second().to_string(), body.as_bytes());
        assert_eq!(bridge.post_to("acme", body, &[("X-Webhook-Signature", &header)]).await.unwrap().body.as_ref(), SUCCESS);
    }
}
