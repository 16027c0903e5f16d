//! How events came in, what is seen of sources, missed leads, and what webhooks lost.

use crate::harness::{Bridge, KEY, Setup, endpoint, eventually, lead, signature};
use leadwire::simulate::LeadList;
use leadwire::verify::{SigningKey, sign};
use leadwire_connector::simulator::{FaultKind, FaultRule, Faults, Server};
use serde_json::{Value, json};

const TOKEN: &str = "list-secret-0123456789";

fn show(bridge: &Bridge, event: &Value) -> String {
    let output = bridge.command(&["events", "show", event["id"].as_str().unwrap()]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_says_how_it_came_in() {
    let sink = endpoint().await;
    let mut setup = Setup::new().endpoint("backend", sink.url().as_str());
    setup.replace(&format!("[\"{KEY}\"]"), &format!("[\"whk_of_last_year\", \"{KEY}\"]"));
    let bridge = setup.start();
    bridge.post(lead(1).to_string()).await;
    let spaced = format!("{:#}", lead(2));
    let old = sign(&SigningKey::new(KEY), &(jiff::Timestamp::now().as_second() - 3_600).to_string(), lead(2).to_string().as_bytes());
    bridge.post_to("acme", spaced, &[("X-Webhook-Signature", &old)]).await.unwrap();
    let body = lead(3).to_string();
    let unknown = signature("whk_of_next_year", body.as_bytes());
    bridge.post_to("acme", body, &[("X-Webhook-Signature", &unknown)]).await.unwrap();
    let mut setup = bridge.terminate();
    setup.replace("whk_of_last_year", "whk_of_next_year");
    let bridge = setup.start();
    bridge.until("delivered", 3).await;
    let events = bridge.json(&["events", "list"]);
    let receipt = |n: u64| events.as_array().unwrap().iter().find(|event| event["content"] == format!("test {n}")).unwrap();
    let (first, second, third) = (receipt(1), receipt(2), receipt(3));
    let told = |event: &Value| ["via", "client", "form", "key", "stale"].map(|field| event["receipt"][field].clone());
    assert_eq!(told(first), [json!("direct"), json!("127.0.0.1"), json!("raw"), json!(2), json!(false)]);
    assert_eq!(told(second), [json!("direct"), json!("127.0.0.1"), json!("canonical"), json!(2), json!(true)]);
    assert_eq!(told(third), [json!("quarantine"), json!("127.0.0.1"), json!("raw"), json!(1), json!(false)]);
    assert!(second["receipt"]["age_s"].as_i64().unwrap() >= 3_600);
    assert!(
        show(&bridge, first).contains("directly, posted by 127.0.0.1, signed over the body as it was sent by key 2, "),
        "{}",
        show(&bridge, first)
    );
    assert!(show(&bridge, third).contains("from the quarantine, posted by 127.0.0.1"));
    bridge.json(&["person", "erase", "--email", "david1@example.com", "--yes"]);
    assert_eq!(bridge.json(&["events", "show", first["id"].as_str().unwrap()])["receipt"], Value::Null);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_tells_when_how_and_from_where_it_was_seen() {
    let sink = endpoint().await;
    let source =
        format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\nallow_ips = [\"138.91.187.181\"]\nreport_only = true\n[sources.quiet]\n");
    let setup = Setup::bare(&source).endpoint("backend", sink.url().as_str());
    let bridge = setup.start();
    for n in 0..3 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.post_to("acme", "{}", &[]).await.unwrap();
    // What was seen is brought into the store about once a minute, and at a stop.
    let setup = bridge.terminate();
    let output = setup.command(&["sources", "list", "--json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (acme, quiet) = (&rows[0], &rows[1]);
    assert!(acme["url"].as_str().unwrap().ends_with("/hooks/acme") && acme["last_seen"].is_string() && acme["last_lead"].is_string());
    assert_eq!((&acme["requests"], &acme["keys"][0]["key"], &acme["keys"][0]["times"]), (&json!(3), &json!(1), &json!(3)));
    assert_eq!((&acme["refusals"][0]["cause"], &acme["refusals"][0]["times"]), (&json!("no_header"), &json!(1)));
    let client = &acme["clients"][0];
    assert_eq!((&client["address"], &client["times"], &client["listed"]), (&json!("127.0.0.1"), &json!(4), &json!(false)));
    assert_eq!((&acme["silence"]["unusual"], &acme["silence"]["expected_by"]), (&json!(false), &Value::Null), "a new source never alarms");
    assert_eq!((&quiet["last_seen"], &quiet["signing_keys"], &quiet["silence"]), (&Value::Null, &json!(0), &Value::Null));
    let text = String::from_utf8(setup.command(&["sources", "list"]).stdout).unwrap();
    assert!(
        text.contains("let in because of report_only") && text.contains("refused 1 times") && text.contains("awaits its signing key"),
        "{text}"
    );
    assert!(!text.contains(KEY) && !String::from_utf8_lossy(&output.stdout).contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_never_came_is_made_of_its_conversation() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    bridge.post(lead(1).to_string()).await;
    let said = |session: u64, text: &str| {
        json!({"SessionID": session, "CreateTime": "2026-11-22T10:00:00Z", "URI": "www.example.com",
               "Messages": [{"Type": "AI", "Content": "Write to us@example.org"}, {"Type": "User", "Content": text}]})
    };
    let conversations =
        [said(31_306, "david1@example.com"), said(7, "I am eve@example.com"), said(8, "bye"), said(9, "or mallory@example.com")];
    let log = json!({"Collection": [{"SerialNumber": "59001dd73709417321c58b11693183a2", "Name": "Bot", "StartTime": "2026-11-22T00:00:00Z",
                                     "EndTime": "2026-11-23T00:00:00Z", "Conversations": conversations}]});
    bridge.post(log.to_string()).await;
    let missed = eventually("two missed leads", async || {
        let missed = bridge.json(&["missed", "list"]);
        (missed.as_array().unwrap().len() == 2).then_some(missed)
    })
    .await;
    let id_of = |email: &str| {
        let one = missed.as_array().unwrap().iter().find(|one| one["email"] == email).unwrap();
        one["id"].as_str().unwrap().to_owned()
    };
    let (eve, mallory) = (id_of("eve@example.com"), id_of("mallory@example.com"));
    assert_eq!(bridge.json(&["missed", "dismiss", &mallory])["dismissed"], 1);
    let taken = bridge.json(&["missed", "take", &eve]);
    assert_eq!(taken[0]["taken"]["result"], "made");
    let again = bridge.json(&["missed", "take", &eve]);
    assert_eq!((&again[0]["taken"]["result"], &again[0]["taken"]["lead"]), (&json!("before"), &taken[0]["taken"]["lead"]));
    assert!(!bridge.command(&["missed", "take", &mallory]).status.success());
    let made = eventually("the made lead to be delivered", async || {
        let event = bridge.json(&["events", "show", taken[0]["taken"]["lead"].as_str().unwrap()]);
        (event["deliveries"][0]["state"] == "delivered").then_some(event)
    })
    .await;
    assert_eq!(
        (&made["person"]["email"], &made["session_id"], &made["content"]),
        (&json!("eve@example.com"), &json!("7"), &json!("from the chat log"))
    );
    assert_eq!((&made["extra"]["from_chat_log"], &made["receipt"]["via"]), (&json!(eve), &json!("chat_log")));
    assert_eq!(bridge.json(&["missed", "list"]), json!([]));
    bridge.assert_audit();
}

async fn serve(leads: Vec<Value>) -> Server {
    Server::start(Box::new(LeadList::of(TOKEN, leads)), "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap()
}

fn with_list(sink: &Server, list: &Server, token: &str, more: &str) -> Setup {
    let section = format!(
        "[sources.acme.backfill]\nurl = \"{}\"\ntoken = \"{token}\"\nchatbots = [\"59001dd73709417321c58b11693183a2\"]\nrequests_per_minute = 60000\n{more}",
        list.url()
    );
    Setup::new().with(&section).endpoint("backend", sink.url().as_str())
}

const BACKFILL: [&str; 7] = ["backfill", "--source", "acme", "--since", "2026-11-21", "--until", "2026-11-23"];

#[tokio::test(flavor = "multi_thread")]
async fn what_webhooks_lost_is_fetched_and_what_they_brought_is_recognised() {
    let sink = endpoint().await;
    let list = serve((0..25).map(lead).collect()).await;
    let bridge = with_list(&sink, &list, TOKEN, "page_field = \"page\"\npage_size_field = \"pageSize\"\npage_size = 10\n").start();
    for n in 0..10 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.until("delivered", 10).await;
    let dry = bridge.json(&BACKFILL);
    let found = |told: &Value| ["listed", "known", "missing", "stored"].map(|field| told["found"][field].as_u64().unwrap());
    assert_eq!((found(&dry), &dry["dry_run"]), ([25, 10, 15, 0], &json!(true)));
    assert_eq!(bridge.deliveries().len(), 10, "a dry run stores nothing");
    list.order(FaultRule::next(1, "429:1".parse::<FaultRule>().unwrap().kind));
    list.order(FaultRule::next(1, FaultKind::Status(503)));
    let done = bridge.json(&[&BACKFILL[..], &["--yes"]].concat());
    assert_eq!(found(&done), [25, 10, 15, 15], "also while the platform is busy");
    bridge.until("delivered", 25).await;
    assert_eq!(found(&bridge.json(&[&BACKFILL[..], &["--yes"]].concat())), [25, 25, 0, 0], "what was stored is recognised");
    let event = bridge.json(&["events", "list", "--email", "david24@example.com"])[0].clone();
    assert_eq!((&event["receipt"]["via"], &event["person"]["first_name"]), (&json!("backfill"), &json!("David Garcia 24")));
    bridge.json(&["person", "erase", "--email", "david3@example.com", "--yes"]);
    assert_eq!(found(&bridge.json(&BACKFILL))[2], 0, "who was erased does not come back");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_read_says_why_and_tells_no_token() {
    let sink = endpoint().await;
    let list = serve(vec![lead(1)]).await;
    let told = |setup: &Setup| {
        let output = setup.command(&BACKFILL);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !text.contains(TOKEN) && !text.contains("another-secret"), "{text}");
        text
    };
    let setup = with_list(&sink, &list, "another-secret-0123", "").start().terminate();
    assert!(told(&setup).contains("refuses the token (401)"));
    let setup = with_list(&sink, &list, TOKEN, "").start().terminate();
    for (kind, expected) in [
        (FaultKind::Garbage, "no list of leads"),
        (FaultKind::ErrorInside, "it has no `Data`"),
        (FaultKind::Status(404), "refuses the request (404)"),
    ] {
        list.order(FaultRule::next(1, kind));
        let text = told(&setup);
        assert!(text.contains(expected), "{text}");
    }
    let none = Setup::new().endpoint("backend", sink.url().as_str()).start().terminate();
    assert!(told(&none).contains("add [sources.acme.backfill]"));
}
