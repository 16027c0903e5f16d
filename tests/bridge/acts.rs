//! What a person does about dead letters and events that no route took, by the commands, beside a running bridge.

use crate::harness::{Bridge, KEY, Setup, endpoint, lead};
use leadwire_connector::http::{Answer, Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use serde_json::{Value, json};

/// A bridge whose only destination has rejected so many leads.
async fn bridge_with_dead_letters(count: usize) -> (Bridge, Server) {
    dead_letters_on(Setup::new(), count).await
}

async fn dead_letters_on(setup: Setup, count: usize) -> (Bridge, Server) {
    let sink = endpoint().await;
    sink.order(FaultRule::always(FaultKind::Status(422)));
    let bridge = setup.endpoint("crm", sink.url().as_str()).start();
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
    leads_to(&submit(&bridge, "purge", "source=acme&confirmed=on", &[]).await);
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

async fn page(bridge: &Bridge, path: &str) -> Answer {
    bridge.client.send(&Request::new(Method::Get, format!("{}{path}", bridge.console).parse().unwrap())).await.unwrap()
}

async fn page_text(bridge: &Bridge, path: &str) -> String {
    let answer = page(bridge, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", text(&answer.body));
    text(&answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_for_good_is_asked_for_by_the_server_too() {
    let bridge = Setup::new().archive().start();
    bridge.post_to("acme", "no signature", &[]).await.unwrap();
    for unconfirmed in ["source=acme&back=/person/quarantine", "source=acme&back=/person/quarantine&confirmed=no"] {
        let asked = submit(&bridge, "purge", unconfirmed, &[]).await;
        let page = text(&asked.body);
        assert!(asked.status == 400 && page.contains("Nothing was done yet"), "{page}");
        for kept in
            [r#"name="source" value="acme""#, r#"name="back" value="/person/quarantine""#, r#"type="checkbox" name="confirmed" required"#]
        {
            assert!(page.contains(kept), "{kept}: {page}");
        }
    }
    let hostile = submit(&bridge, "purge", "source=%22%3E%3Cscript%3E&back=//evil.example", &[]).await;
    let page = text(&hostile.body);
    assert!(!page.contains("<script>") && !page.contains(r#"href="//evil"#), "{page}");
    assert!(actions(&bridge).is_empty());
    leads_to(&submit(&bridge, "purge", "source=acme&confirmed=on", &[]).await);
    assert_eq!(actions(&bridge)[0]["count"], 1);
}

/// Where the link to the next page leads.
fn older(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("rel=\"next\" href=\"")?;
    Some(rest.split('"').next()?.replace("&#38;", "&").replace("&amp;", "&"))
}

/// How many rows of its lists link below `prefix`, over all pages.
async fn walk(bridge: &Bridge, first: &str, prefix: &str) -> Vec<usize> {
    let (mut path, mut pages) = (first.to_owned(), Vec::new());
    loop {
        let page = page_text(bridge, &path).await;
        pages.push(
            page.matches(&format!("<th scope=\"row\"><a href=\"{prefix}")).count()
                + page.matches(&format!("<th scope=\"row\" class=\"long\"><a href=\"{prefix}")).count(),
        );
        assert_eq!(page.contains(">Newest<"), pages.len() > 1, "{path}");
        match older(&page) {
            Some(next) => path = next,
            None => return pages,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_for_a_person_have_pages() {
    let (bridge, _sink) = bridge_with_dead_letters(101).await;
    let cause = bridge.json(&["deliveries", "list", "--by-cause"])[0]["cause"].as_str().unwrap().to_owned();
    assert_eq!(walk(&bridge, &format!("/person/dead?destination=crm&cause={cause}"), "/leads/").await, [100, 1]);
    for n in 0..201 {
        bridge.post_to("acme", format!("not signed {n}"), &[]).await.unwrap();
    }
    assert_eq!(walk(&bridge, "/person/quarantine?source=acme", "/person/quarantine/").await, [200, 1]);
    let said = |n: usize| {
        let text = format!("I am visitor{n}@example.com");
        json!({"SessionID": 900_000 + n, "CreateTime": "2026-11-22T10:00:00Z", "URI": "x", "Messages": [{"Type": "User", "Content": text}]})
    };
    let conversations: Vec<Value> = (0..101).map(said).collect();
    let log = json!({"Collection": [{
        "SerialNumber": "59001dd73709417321c58b11693183a2", "Name": "Bot", "StartTime": "2026-11-22T00:00:00Z", "EndTime": "2026-11-23T00:00:00Z",
        "Conversations": conversations
    }]});
    assert_eq!(bridge.post(log.to_string()).await.status, 200);
    let all = async || (walk(&bridge, "/person/missed", "/leads/").await == [100, 1]).then_some(());
    crate::harness::eventually("101 missed leads on two pages", all).await;
    assert!(page_text(&bridge, "/person").await.contains(r#"href="/person/missed""#));
    for path in
        ["/leads?before=zzz", "/person/missed?before=zzz", "/person/quarantine?before=zzz", "/person/dead?destination=crm&cause=x&before=7"]
    {
        let answer = page(&bridge, path).await;
        assert!(answer.status == 400 && text(&answer.body).contains("go back to the first page"), "{path}: {}", answer.status);
    }
}

/// A long replay is cut short by a kill; the next bridge says so, and goes on when it is asked.
#[cfg(debug_assertions)]
async fn a_job_is_interrupted(setup: Setup) {
    let (bridge, sink) = dead_letters_on(setup, 250).await;
    let bridge = bridge.terminate().environment("LEADWIRE_FAILPOINTS", "commit.other.before=delay:1000ms").start();
    sink.clear_faults();
    leads_to(&submit(&bridge, "replay", "destination=crm&since=2h", &[]).await);
    let begun = async || Some(actions(&bridge).remove(0)).filter(|row| row["count"].as_i64() > Some(0));
    let row = crate::harness::eventually("the first piece", begun).await;
    assert!(row["count"].as_i64() < Some(250) && row["ended_at"].is_null(), "{row}");
    let bridge = bridge.kill().without("LEADWIRE_FAILPOINTS").start();
    let told = async || Some(actions(&bridge).remove(0)).filter(|row| row["failure"].is_string());
    let row = crate::harness::eventually("the interruption to be told", told).await;
    assert!(row["failure"].as_str().unwrap().contains("interrupted"), "{row}");
    let page = page_text(&bridge, "/person").await;
    assert!(page.contains("Go on") && page.contains("interrupted: the bridge stopped"), "{page}");
    let form = format!("action={}&back=/person", row["id"]);
    assert_eq!(leads_to(&submit(&bridge, "again", &form, &[]).await), "/person");
    bridge.until("delivered", 250).await;
    let page = page_text(&bridge, "/person").await;
    assert!(!page.contains("Go on"), "it was asked for: {page}");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(debug_assertions)]
async fn a_job_that_a_kill_interrupted_says_so_and_goes_on_when_asked() {
    a_job_is_interrupted(Setup::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(debug_assertions)]
async fn a_job_that_a_kill_interrupted_on_postgres_says_so_and_goes_on_when_asked() {
    a_job_is_interrupted(Setup::new().on(&crate::postgres::database())).await;
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
