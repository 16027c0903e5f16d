//! The API of a running bridge, and the commands over it.

use crate::harness::{Bridge, Setup, client, endpoint, eventually, lead, signature};
use crate::schema::faults;
use leadwire_connector::http::{Answer, Client, Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const OWNER: &str = "owner-token-0123456789abcdef";
const READER: &str = "reader-token-0123456789abcdef";

/// Whoever asks a bridge, and holds its answers to its document.
struct Asker {
    client: Client,
    base: String,
    token: &'static str,
    document: Value,
    seen: BTreeSet<String>,
}

impl Asker {
    async fn new(bridge: &Bridge, token: &'static str) -> Self {
        let base = format!("{}/api/v1", bridge.console);
        let mut asker = Self { client: client(), base, token, document: Value::Null, seen: BTreeSet::new() };
        asker.document = asker.send(Method::Get, "/openapi.json", None).await.json().unwrap();
        asker.seen.insert("getDocument".to_owned());
        asker
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::new(method, format!("{}{path}", self.base).parse().unwrap()).bearer(self.token);
        self.client.send(&body.map_or(request.clone(), |body| request.json(body))).await.unwrap()
    }

    /// What is described for this path.
    fn described(&self, method: &str, path: &str) -> &Value {
        let path = format!("/api/v1{}", path.split('?').next().unwrap());
        let fits = |pattern: &str| {
            let (left, right): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
            left.len() == right.len() && left.iter().zip(right).all(|(part, given)| part.starts_with('{') || *part == given)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let exact = paths.get(&path).filter(|described| !described[method].is_null());
        let described = exact
            .or_else(|| paths.iter().find(|(pattern, described)| fits(pattern) && !described[method].is_null()).map(|(_, found)| found));
        &described.unwrap_or_else(|| panic!("{method} {path} is not in the document"))[method]
    }

    /// Asks, and holds status and body of the answer to the document.
    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let answer = self.send(method, path, body).await;
        let value = answer.json().unwrap_or_else(|| panic!("{path}: no JSON: {:?}", answer.body));
        let described = self.described(&method.as_str().to_lowercase(), path).clone();
        let mut response = described["responses"][answer.status.to_string()].clone();
        assert!(!response.is_null(), "{path} answers {}, which is not described: {value}", answer.status);
        if let Some(reference) = response["$ref"].as_str() {
            response = self.document.pointer(&reference[1..]).unwrap().clone();
        }
        let (kind, content) = response["content"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(answer.header("content-type"), Some(kind.as_str()), "{path}");
        let faults = faults(&self.document, &content["schema"], &value, path);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        if answer.is_2xx() {
            self.seen.insert(described["operationId"].as_str().unwrap().to_owned());
        }
        (answer.status, value)
    }

    async fn get(&mut self, path: &str) -> Value {
        let (status, value) = self.ask(Method::Get, path, None).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        let (status, value) = self.ask(Method::Post, path, Some(&body)).await;
        assert!(status < 300, "{path}: {status} {value}");
        value
    }

    /// A refusal: its status and what it says.
    async fn refused(&mut self, method: Method, path: &str, body: Option<&Value>) -> (u16, String) {
        let (status, value) = self.ask(method, path, body).await;
        assert!(status >= 400, "{path}: {value}");
        (status, value["detail"].as_str().unwrap().to_owned())
    }
}

fn setup(sink: &Server) -> Setup {
    let console = format!(
        "[console]\nlisten = \"127.0.0.1:0\"\ntoken = \"{OWNER}\"\nmask_personal_data = true\n[console.users.ann]\ntoken = \"{READER}\"\nrole = \"read\"\n"
    );
    let mut setup = Setup::new().endpoint("crm", sink.url().as_str());
    setup.replace("[console]\nlisten = \"127.0.0.1:0\"\n", &console);
    setup
}

fn items(value: &Value) -> Vec<Value> {
    value["items"].as_array().unwrap().clone()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_document_answers_as_it_is_described() {
    let sink = endpoint().await;
    sink.order(FaultRule::always(FaultKind::Status(422)));
    let bridge = setup(&sink).start();
    let mut api = Asker::new(&bridge, OWNER).await;
    for n in 1..=3 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.post(json!({"test": true}).to_string()).await;
    let body = lead(9).to_string();
    bridge.post_to("acme", body.clone(), &[("X-Webhook-Signature", &signature("whk_other_0123456789", body.as_bytes()))]).await.unwrap();
    eventually("three dead letters", async || (items(&api.get("/deliveries?state=dead").await).len() == 3).then_some(())).await;

    assert_eq!(api.get("/status").await["quarantined"], 1);
    assert!(items(&api.get("/sources").await)[0]["url"].as_str().unwrap().ends_with("/hooks/acme"));
    assert_eq!(items(&api.get("/missed").await).len(), 0);
    assert_eq!(api.get("/figures?span=day").await["step_s"], 900);
    let found = items(&api.get("/events?q=garcia%202").await);
    assert_eq!((found.len(), &found[0]["person"]["email"]), (1, &json!("david2@example.com")));
    let id = found[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(items(&api.get(&format!("/events?id={}", &id[..13])).await).iter().filter(|row| row["id"] == id.as_str()).count(), 1);
    let detail = api.get(&format!("/events/{id}")).await;
    assert_eq!((&detail["attempts"][0][0], &detail["attempts"][0][1]["status"]), (&json!("crm"), &json!(422)));
    api.get(&format!("/events/{id}/related")).await;
    let causes = items(&api.get("/dead-letters").await);
    assert_eq!(causes[0]["count"], 3);
    assert_eq!(items(&api.get("/destinations").await)[0]["dead"], 3);
    assert_eq!(api.get("/destinations/crm").await["state"], "fine");
    let preview = api.get(&format!("/destinations/crm/preview?event={id}")).await;
    assert_eq!((&preview["outcome"], &preview["requests"][0]["method"]), (&json!("sent"), &json!("POST")));
    assert_eq!(api.post("/destinations/crm/doctor", json!({})).await["destination"], "crm");
    let trial = api.post("/try", json!({"source": "acme", "body": lead(5), "header": "t=1,v1=00"})).await;
    assert_eq!((&trial["signature"]["verdict"], &trial["events"][0]["deliveries"][0]["outcome"]), (&json!("bad"), &json!("sent")));
    let body = items(&api.get("/quarantine?source=acme").await).remove(0);
    assert!(api.get(&format!("/quarantine/{}", body["id"])).await["excerpt"].as_str().unwrap().contains("david9"));

    assert_eq!(api.post("/actions/hold", json!({"destination": "crm", "reason": "a story"})).await["count"], 1);
    bridge_status(&mut api, "held").await;
    assert_eq!(api.post("/actions/resume", json!({"destination": "crm"})).await["count"], 1);
    assert_eq!(api.post("/actions/verify", json!({})).await["count"], 0);
    assert_eq!(api.post("/actions/purge", json!({"id": body["id"]})).await["count"], 1);
    let discard = json!({"delivery": id, "reason": "a story", "dry_run": true});
    assert_eq!(api.post("/actions/discard", discard).await["count"], 1);
    assert_eq!(api.post("/actions/discard", json!({"delivery": id, "reason": "a story"})).await["count"], 1);
    sink.clear_faults();
    assert_eq!(api.post("/actions/replay", json!({"destination": "crm", "dry_run": true})).await["count"], 2);
    assert_eq!(api.post("/actions/replay", json!({"cause": causes[0]["cause"], "destination": "crm"})).await["count"], 2);
    assert_eq!(api.post("/actions/route", json!({"event": id, "to": "crm"})).await["count"], 0);
    let trail = items(&api.get("/actions?limit=2").await);
    assert_eq!((&trail[1]["action"], &trail[1]["who"]), (&json!("replay"), &json!("operator")));
    assert_eq!(api.get(&format!("/actions/{}", trail[1]["id"])).await["count"], 2);
    eventually("two delivered", async || (items(&api.get("/deliveries?state=delivered").await).len() == 2).then_some(())).await;

    let said = |session: u64, text: &str| json!({"SessionID": session, "CreateTime": "2026-11-22T10:00:00Z", "URI": "www.example.com", "Messages": [{"Type": "User", "Content": text}]});
    let log = json!({"Collection": [{
        "SerialNumber": "59001dd73709417321c58b11693183a2", "Name": "Bot", "StartTime": "2026-11-22T00:00:00Z", "EndTime": "2026-11-23T00:00:00Z",
        "Conversations": [said(7, "I am eve@example.com"), said(9, "or mallory@example.com")]
    }]});
    bridge.post(log.to_string()).await;
    let missed = eventually("two missed leads", async || Some(items(&api.get("/missed").await)).filter(|missed| missed.len() == 2)).await;
    let page = api.get("/missed?limit=1").await;
    let next = api.get(&format!("/missed?limit=1&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!((&page["items"][0]["id"], &next["items"][0]["id"], &next["next"]), (&missed[0]["id"], &missed[1]["id"], &Value::Null));
    assert_eq!(api.post("/actions/take", json!({"conversation": missed[0]["id"]})).await["count"], 1);
    assert_eq!(api.post("/actions/dismiss", json!({"conversation": missed[1]["id"], "reason": "a story"})).await["count"], 1);
    api.seen.insert("watch".to_owned());
    let described: BTreeSet<String> = api.document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(api.seen, described, "each is asked for in this story");
    bridge.assert_audit();
}

async fn bridge_status(api: &mut Asker, state: &str) {
    eventually(&format!("crm to be {state}"), async || (api.get("/destinations/crm").await["state"] == state).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_whole_and_without_doubles_while_leads_come_in() {
    let sink = endpoint().await;
    let bridge = setup(&sink).start();
    let mut api = Asker::new(&bridge, OWNER).await;
    for n in 0..12 {
        bridge.post(lead(n).to_string()).await;
    }
    for list in ["/events", "/deliveries"] {
        let first = api.get(&format!("{list}?limit=200")).await;
        let expected: Vec<Value> = items(&first).into_iter().map(|row| row["id"].clone()).collect();
        let (mut seen, mut page) = (Vec::new(), api.get(&format!("{list}?limit=5")).await);
        let mut n = 100 + 100 * u64::from(list == "/events");
        loop {
            seen.extend(items(&page).into_iter().map(|row| row["id"].clone()));
            let Some(next) = page["next"].as_str() else { break };
            n += 1;
            bridge.post(lead(n).to_string()).await;
            page = api.get(&format!("{list}?limit=5&cursor={next}")).await;
        }
        assert_eq!(seen, expected, "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_what_would_be_right() {
    let sink = endpoint().await;
    let bridge = setup(&sink).start();
    let mut api = Asker::new(&bridge, OWNER).await;
    let nothing = json!({});
    for (method, path, body, status, told) in [
        (Method::Get, "/events?sorce=acme", None, 400, "did you mean `source`?"),
        (Method::Get, "/events?limit=0", None, 400, "from 1 to 200"),
        (Method::Get, "/events?cursor=x", None, 400, "`next`"),
        (Method::Get, "/events?id=0199", None, 400, "8 digits"),
        (Method::Get, "/events/nonsense", None, 404, "no event"),
        (Method::Get, "/events/0199f3c2-0000-7000-8000-000000000001", None, 404, "no event"),
        (Method::Get, "/destinations/crn", None, 404, "did you mean `crm`?"),
        (Method::Get, "/destinations/crm/preview", None, 400, "which event"),
        (Method::Get, "/quarantine/7", None, 404, "no longer"),
        (Method::Get, "/actions/7", None, 404, "no action"),
        (Method::Post, "/actions/hold", Some(json!({"destinaton": "crm"})), 400, "did you mean `destination`?"),
        (Method::Post, "/actions/hold", Some(json!({"destination": "crm"})), 400, "say why"),
        (Method::Post, "/actions/hold", Some(json!({"destination": 1, "reason": "x"})), 400, "`destination`"),
        (Method::Post, "/actions/resume", Some(json!({"destination": "crn"})), 404, "crn"),
        (Method::Post, "/actions/replay", Some(nothing.clone()), 400, "say which"),
        (Method::Post, "/actions/replay", Some(json!({"destination": "crm"})), 404, "nothing"),
        (Method::Post, "/actions/replay", Some(json!([1])), 400, "JSON object"),
        (Method::Post, "/try", Some(json!({"source": "acne", "body": "{}"})), 404, "did you mean `acme`?"),
        (Method::Post, "/actions/purge", Some(nothing), 400, "say which"),
    ] {
        let (found, detail) = api.refused(method, path, body.as_ref()).await;
        assert!(found == status && detail.contains(told), "{path}: {found} {detail}");
    }
    let gone = api.send(Method::Get, "/nothing", None).await;
    assert_eq!((gone.status, gone.header("content-type")), (404, Some("application/problem+json")));
    let wrong = api.send(Method::Get, "/actions/hold", None).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let huge = api.send(Method::Post, "/try", Some(&json!({"source": "acme", "body": "x".repeat(4 << 20)}))).await;
    assert_eq!((huge.status, huge.json().unwrap()["code"].clone()), (413, json!("too_large")));
    for (token, status) in [("wrong", 401), (READER, 403)] {
        api.token = token;
        let (found, _) = api.refused(Method::Post, "/actions/resume", Some(&json!({"destination": "crm"}))).await;
        assert_eq!(found, status, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_persons_masked_sees_them_masked_everywhere() {
    let sink = endpoint().await;
    sink.order(FaultRule::always(FaultKind::Status(422)));
    let bridge = setup(&sink).start();
    let mut api = Asker::new(&bridge, READER).await;
    let mut person = lead(1);
    person["FirstName"] = json!("Xanthippe");
    person["Content"] = json!("call Xanthippe at once");
    bridge.post(person.to_string()).await;
    eventually("a dead letter", async || (items(&api.get("/deliveries?state=dead").await).len() == 1).then_some(())).await;
    let rows = items(&api.get("/events?q=david1%40example.com").await);
    assert_eq!(rows[0]["person"]["email"], "d•••@e•••.com");
    let id = rows[0]["id"].as_str().unwrap().to_owned();
    for path in [
        "/events".to_owned(),
        format!("/events/{id}"),
        format!("/destinations/crm/preview?event={id}"),
        "/deliveries".to_owned(),
        "/dead-letters".to_owned(),
        "/actions".to_owned(),
        "/status".to_owned(),
    ] {
        let told = api.get(&path).await.to_string();
        assert!(!told.contains("anthippe") && !told.contains("david1@"), "{path}: {told}");
    }
    let (status, detail) = api.refused(Method::Get, "/events?q=xan", None).await;
    assert!(status == 403 && detail.contains("whole e-mail"), "{status} {detail}");
    assert_eq!(api.refused(Method::Get, "/quarantine/1", None).await.0, 403);
}

/// A stream of events, as it arrives.
struct Stream {
    socket: TcpStream,
    said: String,
}

impl Stream {
    fn open(bridge: &Bridge, path: &str, more: &str) -> Self {
        let host = bridge.console.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").unwrap();
        Self { socket, said: String::new() }
    }

    /// False at the end of the stream.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.socket.read(&mut bytes) {
            Ok(count) => {
                self.said.push_str(&text(&bytes[..count]));
                count > 0
            }
            Err(error) => matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    }

    fn messages(&self) -> usize {
        self.said.matches("data: changed").count()
    }

    /// Until nothing comes any more.
    fn settle(&mut self) {
        let mut quiet_since = Instant::now();
        let start = Instant::now();
        while quiet_since.elapsed() < Duration::from_millis(800) {
            let before = self.said.len();
            assert!(self.read() && start.elapsed() < Duration::from_secs(60), "{}", self.said);
            if self.said.len() != before {
                quiet_since = Instant::now();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_as_they_happen_and_a_stop_waits_for_nobody() {
    let sink = endpoint().await;
    let bridge = setup(&sink).start();
    let mut stream = Stream::open(&bridge, "/api/v1/live", &format!("Authorization: Bearer {OWNER}\r\n"));
    stream.settle();
    assert!(stream.said.starts_with("HTTP/1.1 200") && stream.said.contains("text/event-stream"), "{}", stream.said);
    let before = stream.messages();
    bridge.post(lead(1).to_string()).await;
    let posted = Instant::now();
    while stream.messages() == before {
        assert!(stream.read() && posted.elapsed() < Duration::from_secs(1), "{}", stream.said);
    }
    assert!(!stream.said.contains("david"), "who looks is told that something changed, and not what");
    // Asking how things stand writes, and is no change.
    stream.settle();
    let before = stream.messages();
    bridge
        .client
        .send(&Request::new(Method::Get, format!("{}/api/v1/status", bridge.console).parse().unwrap()).bearer(OWNER))
        .await
        .unwrap();
    stream.settle();
    assert_eq!(stream.messages(), before, "{}", stream.said);
    // Who comes back after having missed something is told at once.
    let mut back = Stream::open(&bridge, "/live", &format!("Authorization: Bearer {OWNER}\r\nLast-Event-ID: 1-1\r\n"));
    let opened = Instant::now();
    while back.messages() == 0 {
        assert!(back.read() && opened.elapsed() < Duration::from_secs(1), "{}", back.said);
    }
    // So is a page about which something changed after it was made and before it listened.
    let ask = Request::new(Method::Get, format!("{}/leads", bridge.console).parse().unwrap()).bearer(OWNER);
    let page = text(&bridge.client.send(&ask).await.unwrap().body);
    let seen = page.split("data-seen=\"").nth(1).unwrap().split('"').next().unwrap();
    let listen = || Stream::open(&bridge, &format!("/live?seen={seen}"), &format!("Authorization: Bearer {OWNER}\r\n"));
    let mut early = listen();
    early.settle();
    assert_eq!(early.messages(), 0, "{}", early.said);
    bridge.post(lead(2).to_string()).await;
    stream.settle();
    let mut late = listen();
    late.settle();
    assert_eq!(late.messages(), 1, "{}", late.said);
    let stopped = Instant::now();
    bridge.terminate();
    assert!(stopped.elapsed() < Duration::from_secs(5), "the stop took {:?}", stopped.elapsed());
    while stream.read() {
        assert!(stopped.elapsed() < Duration::from_secs(10), "the stream goes on without a bridge");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_changes_no_count_is_told_too() {
    let sink = endpoint().await;
    sink.order(FaultRule::always(FaultKind::Status(503)));
    let mut setup = setup(&sink);
    setup.replace("backoff_initial = \"200ms\"\nbackoff_max = \"1s\"", "backoff_initial = \"4s\"\nbackoff_max = \"4s\"");
    let bridge = setup.start();
    let mut stream = Stream::open(&bridge, "/live", &format!("Authorization: Bearer {OWNER}\r\n"));
    bridge.post(lead(1).to_string()).await;
    eventually("the first attempt", async || (sink.requests().len() == 1).then_some(())).await;
    stream.settle();
    assert_eq!(sink.requests().len(), 1, "the machine is too slow for this story");
    let before = stream.messages();
    eventually("the second attempt", async || (sink.requests().len() == 2).then_some(())).await;
    let tried = Instant::now();
    while stream.messages() == before {
        assert!(stream.read() && tried.elapsed() < Duration::from_secs(2), "{}", stream.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_session_and_there_is_room_for_so_many() {
    let sink = endpoint().await;
    let bridge = setup(&sink).start();
    let (console, client) = (&bridge.console, &bridge.client);
    let login = Request::new(Method::Post, format!("{console}/login").parse().unwrap()).form(&[("token", OWNER), ("back", "/")]);
    let cookie = client.send(&login).await.unwrap().header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut stream = Stream::open(&bridge, "/live", &format!("Cookie: {cookie}\r\n"));
    stream.settle();
    assert!(stream.said.starts_with("HTTP/1.1 200"), "{}", stream.said);
    // A post with a cookie is refused without the token of a form; with a bearer token none is needed.
    let hold = |request: Request| request.json(&json!({"destination": "crm", "reason": "a story"}));
    let request = || Request::new(Method::Post, format!("{console}/api/v1/actions/hold").parse().unwrap());
    assert_eq!(client.send(&hold(request().header("Cookie", cookie.clone()))).await.unwrap().status, 403);
    assert_eq!(client.send(&hold(request().bearer(OWNER))).await.unwrap().status, 200);
    let page = client.send(&Request::new(Method::Get, format!("{console}/leads").parse().unwrap()).header("Cookie", cookie.clone())).await;
    let page = text(&page.unwrap().body);
    let token = page.split("name=\"_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let logout = Request::new(Method::Post, format!("{console}/logout").parse().unwrap()).header("Cookie", cookie);
    assert!(client.send(&logout.form(&[("_token", &token)])).await.unwrap().status < 400);
    let left = Instant::now();
    while stream.read() {
        assert!(left.elapsed() < Duration::from_secs(10), "whoever logged out is told of changes still");
    }
    let many: Vec<Stream> = (0..64).map(|_| Stream::open(&bridge, "/live", &format!("Authorization: Bearer {OWNER}\r\n"))).collect();
    let full = async || {
        let asked =
            Request::new(Method::Get, format!("{console}/api/v1/live").parse().unwrap()).bearer(OWNER).timeout(Duration::from_millis(500));
        client.send(&asked).await.ok().filter(|answer| answer.status == 429)
    };
    let refused = eventually("no more room", full).await;
    assert!(refused.header("retry-after").is_some() && many.len() == 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_over_a_server_as_they_do_beside_the_store() {
    let sink = endpoint().await;
    sink.order(FaultRule::always(FaultKind::Status(422)));
    let bridge = setup(&sink).start();
    for n in 1..=3 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.until("dead", 3).await;
    // From another machine: with a configuration of its own, and no store.
    let elsewhere = Setup::bare("").environment("LEADWIRE_SERVER", &bridge.console).environment("LEADWIRE_TOKEN", OWNER);
    let json_of = |arguments: &[&str]| {
        let output = elsewhere.command(&[arguments, &["--json"]].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", text(&output.stderr)))
    };
    let id = bridge.deliveries()[0]["event"].as_str().unwrap().to_owned();
    for arguments in [
        &["events", "list", "--search", "garcia"][..],
        &["events", "list", "--limit", "2"],
        &["events", "show", &id],
        &["deliveries", "list", "--state", "pending"],
        &["deliveries", "list", "--destination", "crm"],
        &["deliveries", "list", "--by-cause"],
        &["quarantine", "list"],
        &["actions", "list"],
    ] {
        assert_eq!(json_of(arguments), bridge.json(arguments), "{arguments:?}");
        let (there, here) = (elsewhere.command(arguments), bridge.command(arguments));
        assert_eq!(text(&there.stdout), text(&here.stdout), "{arguments:?}: {}", text(&there.stderr));
    }
    assert_eq!(json_of(&["status"])["destinations"][0]["dead"], 3);
    assert_eq!(json_of(&["preview", "--event", &id, "--destination", "crm"])["events"][0]["outcome"], "sent");
    assert_eq!(json_of(&["doctor"])["asked"][0]["name"], "crm");
    assert_eq!(json_of(&["hold", "crm", "--reason", "a story", "--for", "2h"])["held"], true);
    assert_eq!(json_of(&["resume", "crm"])["was_held"], true);
    assert_eq!(json_of(&["discard", &id, "--reason", "a story", "--yes"]), json!({"found": 1, "discarded": 1}));
    sink.clear_faults();
    assert_eq!(json_of(&["replay", "--destination", "crm", "--dry-run"]), json!({"found": 2, "replayed": 0}));
    assert_eq!(json_of(&["replay", "--destination", "crm", "--yes"]), json!({"found": 2, "replayed": 2}));
    bridge.until("delivered", 2).await;
    assert_eq!(json_of(&["quarantine", "verify"])["verified"], 0);
    assert_eq!(json_of(&["route", &id, "--to", "crm", "--yes"])["deliveries"], 0);
    assert_eq!(json_of(&["actions", "list"])[0]["who"], "operator");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_over_a_server_tells_who_said_what() {
    let sink = endpoint().await;
    let bridge = setup(&sink).start();
    let setup = Setup::bare("");
    let console = bridge.console.clone();
    let told = |arguments: &[&str], code: i32| {
        let output = setup.command(&[&["--server", &console][..], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    let message = told(&["events", "list"], 1);
    assert!(message.contains(&console) && message.contains("LEADWIRE_TOKEN") && message.contains("(401)"), "{message}");
    let token = setup.folder.path().join("token");
    std::fs::write(&token, format!("{READER}\n")).unwrap();
    let token = token.display().to_string();
    let message = told(&["--token-file", &token, "hold", "crm", "--reason", "a story"], 1);
    assert!(message.contains("ann may look") && message.contains("(403)"), "{message}");
    assert!(told(&["audit"], 64).contains("leave out --server"));
    assert!(told(&["run"], 64).contains("leave out --server"));
    assert!(told(&["--token-file", "nowhere", "status"], 64).contains("nowhere"));
    let nobody = setup.command(&["--server", "http://127.0.0.1:1", "status"]);
    assert!(text(&nobody.stderr).contains("http://127.0.0.1:1/ cannot be asked"), "{}", text(&nobody.stderr));
    let receiver = setup.command(&["--server", &bridge.url, "status"]);
    assert!(text(&receiver.stderr).contains("no console of Leadwire"), "{}", text(&receiver.stderr));
}
