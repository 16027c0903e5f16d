//! A bridge in the middle of a bad day: leads of all kinds, a CRM that stumbles, one that refuses, one on hold, and what needs a person.

use crate::browser::Browser;
use crate::harness::{Bridge, Setup, endpoint, eventually, lead, serve};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use serde_json::{Value, json};

/// The holder of this token may do everything.
pub(crate) const OWNER: &str = "owner-0123456789abcdef";
/// Ben may look, and sees no personal data.
pub(crate) const BEN: &str = "ben-0123456789abcdef";

/// Leads of people called Garcia; there is one more of somebody else.
pub(crate) const LEADS: u64 = 7;

pub(crate) struct Showroom {
    pub(crate) bridge: Bridge,
    /// Answers 503 twice, then takes everything.
    _hubspot: Server,
    /// Refuses every lead.
    pub(crate) sheet: Server,
    /// Is on hold.
    _desk: Server,
}

/// The bridge needs a token.
pub(crate) fn guarded(setup: Setup) -> Setup {
    let mut setup = setup.with(&format!("[console.users.ben]\ntoken = \"{BEN}\"\nrole = \"read\""));
    setup.replace("[console]\n", &format!("[console]\ntoken = \"{OWNER}\"\n"));
    setup
}

impl Showroom {
    pub(crate) async fn open() -> Self {
        let (hubspot, sheet, desk) = (serve("hubspot").await, endpoint().await, endpoint().await);
        hubspot.order("503 x2".parse().unwrap());
        sheet.order(FaultRule::always(FaultKind::Status(422)));
        let settings = (leadwire::connectors::builtin().get("hubspot").unwrap().simulator.unwrap().settings)(&hubspot.url());
        let bridge = Setup::new()
            .with("[sources.shop]")
            .with(&format!("[destinations.hubspot]\n{settings}"))
            .with(&format!("[destinations.sheet]\ntype = \"json\"\nurl = \"{}\"", sheet.url()))
            .with(&format!("[destinations.desk]\ntype = \"json\"\nurl = \"{}\"", desk.url()))
            .with("[[routes]]\nto = [\"hubspot\", \"sheet\", \"desk\"]\nkinds = [\"lead\"]")
            .with("[[routes]]\nto = [\"hubspot\"]\nkinds = [\"appointment\"]")
            .start();
        furnish(&bridge).await;
        // The stop writes down the figures of the minute.
        let bridge = with_missed(bridge, 1).await;
        bridge.post(lead(LEADS).to_string()).await;
        until_done(&bridge).await;
        Self { bridge, _hubspot: hubspot, sheet, _desk: desk }
    }

    /// The first event that a search finds.
    pub(crate) fn event(&self, kind: &str) -> String {
        let events = self.bridge.json(&["events", "list", "--limit", "1000"]);
        let found = events.as_array().unwrap().iter().rev().find(|event| event["kind"] == kind);
        found.unwrap_or_else(|| panic!("there is no {kind} in {events:#}"))["id"].as_str().unwrap().to_owned()
    }

    /// Every page that there is, by the name of its picture.
    pub(crate) fn pages(&self) -> Vec<(&'static str, String)> {
        let mut pages: Vec<(&'static str, String)> = PAGES.iter().map(|(name, path)| (*name, (*path).to_owned())).collect();
        pages.push(("lead", format!("/leads/{}", self.event("lead"))));
        pages.push(("conversation", format!("/leads/{}", self.event("conversation"))));
        pages.push(("body", format!("/person/quarantine/{}", self.bridge.json(&["quarantine", "list"])[0]["id"])));
        let cause = &self.bridge.json(&["deliveries", "list", "--by-cause"])[0];
        let cause = cause["cause"].as_str().unwrap();
        pages.push(("cause", format!("/person/dead?destination=sheet&cause={}", cause.replace('/', "%2F"))));
        pages.push(("appointment", format!("/leads/{}", self.event("appointment"))));
        pages
    }
}

const PAGES: [(&str, &str); 14] = [
    ("now", "/"),
    ("leads", "/leads"),
    ("found", "/leads?q=garcia&state=dead"),
    ("destinations", "/destinations"),
    ("destination-dead", "/destinations/sheet"),
    ("destination-held", "/destinations/desk"),
    ("try", "/try"),
    ("person", "/person"),
    ("quarantine", "/person/quarantine"),
    ("actions", "/actions"),
    ("sources", "/sources"),
    ("source", "/sources/acme"),
    ("source-waiting", "/sources/shop"),
    ("not-found", "/no/such/page"),
];

pub(crate) fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/senders/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Through the door, as a person comes in.
pub(crate) fn log_in(browser: &Browser, token: &str) {
    browser.fill("#token", token);
    browser.press("Log in");
}

/// A lead that says so.
pub(crate) fn lead_saying(n: u64, fields: &Value) -> String {
    let mut body = lead(n);
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

/// A chat log of one conversation, in which a visitor says so.
pub(crate) fn missed_chat(session: u64, text: &str) -> Value {
    let messages = json!([{"Type": "AI", "Content": "How can I reach you?"}, {"Type": "User", "Content": text}]);
    let conversation = json!({"SessionID": session, "CreateTime": "2026-11-21T16:22:42Z", "URI": "www.example.com", "Messages": messages});
    json!({"Collection": [{"SerialNumber": "59001dd73709417321c58b11693183a2", "Name": "Bot", "Conversations": [conversation]}]})
}

/// The bridge when it has found so many missed leads, which it looks for when it starts.
pub(crate) async fn with_missed(bridge: Bridge, count: usize) -> Bridge {
    let bridge = bridge.terminate().start();
    eventually("the missed leads", async || (bridge.json(&["missed", "list"]).as_array().unwrap().len() == count).then_some(())).await;
    bridge
}

/// A bridge with one lead delivered to one endpoint.
pub(crate) async fn small(setup: Setup) -> (Bridge, Server) {
    let sink = endpoint().await;
    let bridge = setup.endpoint("crm", sink.url().as_str()).start();
    bridge.post(lead_saying(1, &json!({"FirstName": "Ada"}))).await;
    (bridge, sink)
}

async fn furnish(bridge: &Bridge) {
    let held = bridge.command(&["hold", "desk", "--reason", "the accounts are being moved"]);
    assert!(held.status.success(), "{}", String::from_utf8_lossy(&held.stderr));
    bridge.until_held("desk").await;
    for n in 1..LEADS {
        bridge.post(lead(n).to_string()).await;
    }
    // The same again, as senders do that lost the answer.
    bridge.post(lead(1).to_string()).await;
    for name in ["ai-agent-chat-log", "hello-client-chat-log", "ai-agent-appointment", "unknown-shape", "unusual-lead", "test-type"] {
        bridge.post(fixture(name)).await;
    }
    bridge.post(missed_chat(31_402, "you can write to eve@example.com").to_string()).await;
    // To be refused, and kept.
    bridge.post_to("acme", lead(90).to_string(), &[("X-Webhook-Signature", "t=1,v1=00")]).await.unwrap();
    bridge.post_to("shop", lead(91).to_string(), &[("X-Webhook-Signature", "t=1,v1=00")]).await.unwrap();
    until_done(bridge).await;
}

async fn until_done(bridge: &Bridge) {
    let has_ended = |row: &Value| row["destination"] == "desk" || ["delivered", "dead"].iter().any(|state| row["state"] == *state);
    eventually("all but the one on hold to be done", async || bridge.deliveries().iter().all(has_ended).then_some(())).await;
}
