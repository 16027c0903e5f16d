//! The owner learns of trouble: once, with its end, whatever becomes of channels, bridges and the store.

use crate::harness::{Bridge, KEY, Setup, endpoint, eventually, lead};
use crate::mail::MailServer;
use crate::postgres::database;
use crate::sick::Lock;
use leadwire_connector::signature::Key;
use leadwire_connector::simulator::{FaultKind, FaultRule, Faults, Request, Response, Server, Service};
use serde_json::{Value, json};
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What no alert may hold: of the lead that the stories post.
const PERSONAL: [&str; 3] = ["david", "Garcia", "example.com"];

/// Takes everything, as a chat or an endpoint of one's own.
struct Taker;

impl Service for Taker {
    fn answer(&mut self, _: &Request) -> Response {
        Response::json(200, &json!("ok"))
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!("no"))
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!("slowly"))
    }

    fn state(&self) -> Value {
        Value::Null
    }
}

async fn hook() -> Server {
    Server::start(Box::new(Taker), "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap()
}

/// Looks often, and takes trouble for trouble soon. `more` are further keys of the section.
fn alerting(setup: Setup, hook: &Server, more: &str) -> Setup {
    setup.with(&format!(
        "[alerts]\nlook_every = \"200ms\"\nsettle = \"1s\"\nbreaker_open_for = \"1s\"\nquarantine_per_hour = 2\nstore_sick_for = \"500ms\"\n\
         disk_free = \"1KiB\"\nconsole_url = \"https://leads.example.org/\"\n{more}\n\
         [[alerts.channels]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\nsecret = \"{SECRET}\"",
        hook.url()
    ))
}

/// The messages that a hook took, each once, by their order; each is signed, and none names a person.
fn told(hook: &Server) -> Vec<Value> {
    let key = Key::parse(SECRET).unwrap();
    let mut messages: Vec<Value> = Vec::new();
    for logged in hook.requests().into_iter().filter(|logged| logged.status == Some(200)) {
        let header = |name: &str| logged.request.header(name).unwrap().to_owned();
        let (id, seconds, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        assert!(key.verifies(&signature, &id, &seconds, &logged.request.body), "the signature is wrong");
        let text = String::from_utf8_lossy(&logged.request.body).into_owned();
        assert!(PERSONAL.iter().all(|personal| !text.contains(personal)), "{text}");
        assert!(messages.iter().all(|known| known["id"] != id.as_str()), "told twice: {text}");
        messages.push(logged.request.json());
    }
    messages
}

/// As `opened hold crm`.
fn short(message: &Value) -> String {
    let word = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    format!("{} {} {}", word("type").trim_start_matches("alert."), word("condition"), word("subject")).trim_end().to_owned()
}

fn shorts(hook: &Server) -> Vec<String> {
    told(hook).iter().map(short).collect()
}

async fn until_told(hook: &Server, what: &str) -> Value {
    eventually(&format!("`{what}` to be told"), async || told(hook).into_iter().rev().find(|message| short(message) == what)).await
}

async fn channel_status(bridge: &Bridge, name: &str) -> Value {
    let status = bridge.status().await;
    status["alerts"]["channels"].as_array().unwrap().iter().find(|channel| channel["name"] == name).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_dead_letters_and_an_outage_are_each_told_once_and_so_is_their_end() {
    let (crm, hook) = (endpoint().await, hook().await);
    let bridge = alerting(Setup::new().endpoint("crm", crm.url().as_str()), &hook, "").start();

    crm.order(FaultRule::always(FaultKind::Status(401)));
    bridge.post(lead(1).to_string()).await;
    let message = until_told(&hook, "opened hold crm").await;
    assert_eq!(message["severity"], "critical");
    assert!(message["detail"].as_str().unwrap().contains("401") && message["remedy"].as_str().unwrap().contains("leadwire resume crm"));
    assert_eq!(message["link"], "https://leads.example.org/");
    assert_eq!(bridge.json(&["alerts", "list"])[0]["kind"], "hold");
    crm.clear_faults();
    assert!(bridge.command(&["resume", "crm"]).status.success());
    let message = until_told(&hook, "resolved hold crm").await;
    assert!(message["title"].as_str().unwrap().starts_with("resolved after "), "{message}");
    assert_eq!(bridge.json(&["alerts", "list"]), json!([]));

    crm.order(FaultRule::next(1, FaultKind::Status(422)));
    bridge.post(lead(2).to_string()).await;
    let message = until_told(&hook, "opened dead_letters crm").await;
    assert_eq!((&message["title"], &message["detail"]), (&json!("1 dead letter for crm"), &json!("1: data 422.")));
    assert!(bridge.command(&["replay", "--destination", "crm", "--state", "dead", "--yes"]).status.success());
    until_told(&hook, "resolved dead_letters crm").await;

    crm.order(FaultRule::always(FaultKind::Status(503)));
    bridge.post(lead(3).to_string()).await;
    until_told(&hook, "opened breaker crm").await;
    crm.clear_faults();
    until_told(&hook, "resolved breaker crm").await;

    let all = [
        "opened hold crm",
        "resolved hold crm",
        "opened dead_letters crm",
        "resolved dead_letters crm",
        "opened breaker crm",
        "resolved breaker crm",
    ];
    assert_eq!(shorts(&hook), all);
    assert_eq!(bridge.json(&["alerts", "list", "--all"]).as_array().unwrap().len(), 3);
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_waits_a_silent_source_and_a_growing_quarantine_are_told() {
    let (crm, hook) = (endpoint().await, hook().await);
    let source = format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\nsilence_after = \"2s\"\n");
    let bridge = alerting(Setup::bare(&source).endpoint("crm", crm.url().as_str()), &hook, "lead_older_than = \"1s\"").start();
    until_told(&hook, "opened silence acme").await;
    crm.set_latency(Duration::from_secs(5));
    bridge.post(lead(1).to_string()).await;
    until_told(&hook, "opened waiting crm").await;
    until_told(&hook, "resolved silence acme").await;
    crm.set_latency(Duration::ZERO);
    until_told(&hook, "resolved waiting crm").await;
    for n in 2..4 {
        let answer = bridge.post_to("acme", lead(n).to_string(), &[("X-Webhook-Signature", "t=1,v1=00")]).await.unwrap();
        assert_eq!(answer.status, 401);
    }
    let message = until_told(&hook, "opened quarantine acme").await;
    assert!(message["detail"].as_str().unwrap().contains("2: "), "{message}");
    assert!(bridge.command(&["quarantine", "purge", "--yes"]).status.success());
    until_told(&hook, "resolved quarantine acme").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_is_tried_again_and_keeps_nobody_waiting() {
    let (crm, failing, chat) = (endpoint().await, hook().await, hook().await);
    let setup = alerting(Setup::new().endpoint("crm", crm.url().as_str()), &failing, "");
    let bridge = setup
        .with(&format!("[[alerts.channels]]\nname = \"chat\"\ntype = \"slack\"\nurl = \"{}services/T0/B0/x7y8z9\"", chat.url()))
        .start();
    failing.order(FaultRule::always(FaultKind::Status(500)));
    assert!(bridge.command(&["hold", "crm", "--reason", "call jane@example.com, +1 415 555 2671"]).status.success());
    let text = eventually("the chat to be told", async || Some(chat.requests().first()?.request.json()["text"].as_str()?.to_owned())).await;
    assert!(text.contains("*crm is on hold*") && text.contains("<https://leads.example.org/|"), "{text}");
    assert!(!text.contains("jane") && !text.contains("2671"), "{text}");
    eventually("the failure to be shown", async || channel_status(&bridge, "hook").await["last_error"].as_str().map(str::to_owned)).await;
    assert_eq!(channel_status(&bridge, "chat").await["last_error"], Value::Null);
    assert!(bridge.log().contains("an alert does not get through") && !bridge.log().contains("x7y8z9"));
    bridge.post(lead(1).to_string()).await;
    failing.clear_faults();
    until_told(&failing, "opened hold crm").await;
    eventually("the channel to be well", async || channel_status(&bridge, "hook").await["failing_since"].is_null().then_some(())).await;
    assert!(bridge.command(&["resume", "crm"]).status.success());
    until_told(&failing, "resolved hold crm").await;
    bridge.until("delivered", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_neither_repeats_nor_forgets() {
    let (crm, hook) = (endpoint().await, hook().await);
    let bridge = alerting(Setup::new().endpoint("crm", crm.url().as_str()), &hook, "").start();
    assert!(bridge.command(&["hold", "crm", "--reason", "moving"]).status.success());
    until_told(&hook, "opened hold crm").await;
    eventually("it to be known as told", async || (channel_status(&bridge, "hook").await["waiting"] == 0).then_some(())).await;
    let setup = bridge.kill();
    // What happens while nobody looks, and nobody can be told.
    hook.order(FaultRule::always(FaultKind::Status(500)));
    assert!(setup.command(&["resume", "crm"]).status.success());
    let bridge = setup.start();
    eventually("the end to be tried", async || channel_status(&bridge, "hook").await["last_error"].as_str().map(str::to_owned)).await;
    let setup = bridge.kill();
    hook.clear_faults();
    let _bridge = setup.start();
    until_told(&hook, "resolved hold crm").await;
    assert_eq!(shorts(&hook), ["opened hold crm", "resolved hold crm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bridges_on_one_database_tell_once() {
    let (crm, hook) = (endpoint().await, hook().await);
    let url = database();
    let setup = || alerting(Setup::new().on(&url).endpoint("crm", crm.url().as_str()), &hook, "");
    let (first, second) = (setup().start(), setup().start());
    for round in 1..4 {
        assert!(first.command(&["hold", "crm", "--reason", "moving"]).status.success());
        eventually("the hold to be told", async || (shorts(&hook).len() >= round * 2 - 1).then_some(())).await;
        assert!(second.command(&["resume", "crm"]).status.success());
        eventually("its end to be told", async || (shorts(&hook).len() >= round * 2).then_some(())).await;
    }
    let expected = ["opened hold crm", "resolved hold crm"].repeat(3);
    assert_eq!(shorts(&hook), expected);
    drop(first);
    assert!(second.command(&["hold", "crm", "--reason", "moving"]).status.success());
    eventually("the one that is left to tell", async || (shorts(&hook).len() >= 7).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_sick_is_told_while_it_is() {
    let hook = hook().await;
    let bridge = alerting(Setup::new().archive(), &hook, "").start();
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 1).await;
    let lock = Lock::take(&bridge.setup);
    bridge.post(lead(2).to_string()).await;
    let message = eventually("the sick store to be told", async || {
        told(&hook).into_iter().find(|message| message["condition"] == "store" && message["type"] == "alert.opened")
    })
    .await;
    assert_eq!(message["severity"], "critical");
    assert_eq!(bridge.get("/readyz").await.status, 503);
    drop(lock);
    eventually("its end to be told", async || {
        told(&hook).into_iter().find(|message| message["condition"] == "store" && message["type"] == "alert.resolved")
    })
    .await;
    assert_eq!(told(&hook).iter().filter(|message| message["condition"] == "store").count(), 2);
}

/// The keys of a channel to this mail server.
fn mail(server: &MailServer, authority: &str, password: &str) -> String {
    format!(
        "[[alerts.channels]]\nname = \"mail\"\ntype = \"smtp\"\nhost = \"localhost\"\nport = {}\nuser = \"ann\"\npassword = \"{password}\"\n\
         ca_certificate = '''{authority}'''\nfrom = \"Leadwire <leadwire@example.org>\"\nto = [\"one@example.org\", \"Two <two@example.org>\"]",
        server.port
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_encrypted_to_everybody_and_a_full_disk_is_mailed() {
    let server = MailServer::start().await;
    let quick = "[alerts]\nlook_every = \"200ms\"\nsettle = \"1s\"\ndisk_free = \"9000000GiB\"\n";
    let bridge = Setup::new().archive().with(quick).with(&mail(&server, &server.authority, "correct-horse")).start();
    eventually("a mail", async || server.heard().mails.first().cloned()).await;
    let heard = server.heard();
    let position =
        |start: &str| heard.commands.iter().position(|command| command.starts_with(start)).unwrap_or_else(|| panic!("{heard:?}"));
    let order = [
        "EHLO",
        "STARTTLS",
        "+EHLO",
        "+AUTH",
        "+MAIL FROM:<leadwire@example.org>",
        "+RCPT TO:<one@example.org>",
        "+RCPT TO:<two@example.org>",
        "+DATA",
    ];
    assert!(order.map(position).is_sorted(), "{heard:?}");
    assert!(
        heard.commands.iter().all(|command| command.starts_with('+') || ["EHLO", "STARTTLS"].iter().any(|word| command.starts_with(word)))
    );
    let mail = &heard.mails[0];
    for line in
        ["Auto-Submitted: auto-generated", "Subject: [Leadwire] ", "To: one@example.org, Two <two@example.org>", "Message-ID: <alert_"]
    {
        assert!(mail.contains(line), "{line} is not in {mail}");
    }
    assert!(mail.contains("left on the disk of"), "{mail}");
    drop(bridge);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_message_tells_what_each_channel_answered() {
    let (server, hook) = (MailServer::start().await, hook().await);
    let with = |authority: &str, password: &str| alerting(Setup::new().archive(), &hook, "").with(&mail(&server, authority, password));
    let output = with(&server.authority, "correct-horse").command(&["alerts", "test"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("answered 200") && text.contains("answered 250"), "{text}");
    assert_eq!(shorts(&hook), ["test"]);

    let output = with(&server.authority, "hunter2-hunter2").command(&["alerts", "test", "--channel", "mail", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("535") && text.contains("password is wrong") && !text.contains("hunter2"), "{text}");

    let stranger = MailServer::start().await;
    let output = with(&stranger.authority, "correct-horse").command(&["alerts", "test", "--channel", "mail"]);
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert!(output.status.code() == Some(1) && text.contains("certificate"), "{text}");
    assert!(server.heard().commands.iter().filter(|command| command.contains("AUTH")).all(|command| command.starts_with('+')));

    assert_eq!(with(&server.authority, "x").command(&["alerts", "test", "--channel", "male"]).status.code(), Some(64));
    assert_eq!(Setup::new().archive().command(&["alerts", "test"]).status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_sent_when_its_hour_has_come() {
    let (crm, hook) = (endpoint().await, hook().await);
    let digest = "digest_at = \"08:00\"\ntime_zone = \"Europe/Berlin\"";
    let bridge = alerting(Setup::new().endpoint("crm", crm.url().as_str()), &hook, digest).start();
    let database = rusqlite::Connection::open(bridge.setup.folder.path().join("data/leadwire.db")).unwrap();
    database.busy_timeout(Duration::from_secs(20)).unwrap();
    let page = || database.query_row("SELECT page FROM alert WHERE name = 'digest'", [], |row| row.get::<_, String>(0)).ok();
    let page: Value = serde_json::from_str(&eventually("the first count", async || page()).await).unwrap();
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 1).await;
    let mut yesterday = page;
    yesterday["digest"]["at"] = json!("2026-01-01T00:00:00Z");
    database.execute("UPDATE alert SET page = ?1, version = version + 1 WHERE name = 'digest'", [yesterday.to_string()]).unwrap();
    let message = until_told(&hook, "digest").await;
    assert_eq!((&message["figures"]["received"]["acme"], &message["figures"]["done"]["crm"]), (&json!(1), &json!(1)), "{message}");
    assert_eq!(message["remedy"], "Nothing needs a person.");
    assert_eq!(shorts(&hook), ["digest"]);
}
