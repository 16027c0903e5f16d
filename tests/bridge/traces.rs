//! Traces: one for each event, from its request to what its destinations answered, whichever bridges were at work; and a collector that is
//! away costs nothing.

use crate::figures::Scrape;
use crate::harness::{Bridge, Setup, endpoint, eventually, lead};
use crate::postgres::database;
use leadwire_connector::simulator::{FaultKind, FaultRule, Faults, Request, Response, Server, Service};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What no span may hold: of the lead that the stories post, and the secrets of the configuration.
const HIDDEN: [&str; 5] = ["david", "Garcia", "31306", crate::harness::KEY, "made-up-token"];
/// Longer than a stop waits for spans, by what a slow machine needs for the rest.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Takes everything, as a collector does.
struct Collector;

impl Service for Collector {
    fn answer(&mut self, _: &Request) -> Response {
        Response::json(200, &json!({"partialSuccess": {}}))
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!({"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no"}}))
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!({}))
    }

    fn state(&self) -> Value {
        Value::Null
    }
}

async fn collector() -> Server {
    Server::start(Box::new(Collector), "127.0.0.1:0".parse().unwrap(), Faults::default()).await.unwrap()
}

fn traced(setup: Setup, endpoint: &str) -> Setup {
    let setup = setup.environment("COLLECTOR_TOKEN", "Bearer made-up-token");
    setup.with(&format!("[traces]\nendpoint = \"{endpoint}\"\n[traces.headers]\nAuthorization = {{ env = \"COLLECTOR_TOKEN\" }}"))
}

/// A span, and the instance of the bridge that sent it.
#[derive(Debug, Clone)]
struct Seen {
    span: Value,
    instance: String,
}

impl Seen {
    fn name(&self) -> &str {
        self.span["name"].as_str().unwrap()
    }

    /// As text, whatever it is.
    fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.span["attributes"], name)
    }

    fn outcome(&self) -> String {
        format!("{} {}", self.name(), self.attribute("leadwire.outcome").unwrap())
    }

    fn nanos(&self, key: &str) -> u128 {
        self.span[key].as_str().unwrap().parse().unwrap()
    }
}

fn attribute(attributes: &Value, name: &str) -> Option<String> {
    let found = attributes.as_array().unwrap().iter().find(|pair| pair["key"] == name)?;
    let value = found["value"].as_object().unwrap().values().next().unwrap();
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// All spans that the collector took; none names a person or shows a secret.
fn spans(collector: &Server) -> Vec<Seen> {
    let mut seen = Vec::new();
    for logged in collector.requests().into_iter().filter(|logged| logged.status == Some(200)) {
        assert_eq!((logged.request.method.as_str(), logged.request.target.as_str()), ("POST", "/v1/traces"));
        assert_eq!(logged.request.header("authorization"), Some("Bearer made-up-token"));
        assert_eq!(logged.request.header("content-type"), Some("application/json"));
        let text = String::from_utf8_lossy(&logged.request.body).into_owned();
        assert!(HIDDEN.iter().all(|hidden| !tells(&text, hidden)), "{text}");
        for group in logged.request.json()["resourceSpans"].as_array().unwrap() {
            let resource = &group["resource"]["attributes"];
            assert_eq!(attribute(resource, "service.name").as_deref(), Some("leadwire"));
            let instance = attribute(resource, "service.instance.id").unwrap();
            let scopes = group["scopeSpans"].as_array().unwrap().iter().flat_map(|scope| scope["spans"].as_array().unwrap());
            seen.extend(scopes.map(|span| Seen { span: span.clone(), instance: instance.clone() }));
        }
    }
    seen
}

/// A number is told where it stands by itself: times in nanoseconds have every few digits in them now and then.
fn tells(text: &str, hidden: &str) -> bool {
    if hidden.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == hidden);
    }
    text.contains(hidden)
}

fn is_attempt(seen: &Seen) -> bool {
    seen.name().starts_with("deliver ")
}

async fn until_seen(collector: &Server, what: &str, is_enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
    eventually(what, async || Some(spans(collector)).filter(|seen| is_enough(seen))).await
}

/// The id of the one event there is.
fn event_id(bridge: &Bridge) -> String {
    bridge.deliveries()[0]["event"].as_str().unwrap().to_owned()
}

/// All spans are of this event's one trace, below its first span.
fn assert_one_trace(seen: &[Seen], event: &str) {
    let trace = event.replace('-', "");
    for one in seen {
        assert_eq!(one.span["traceId"], trace.as_str(), "{one:?}");
        let parent = if one.name().starts_with("POST") { None } else { Some(&trace[16..]) };
        assert_eq!(one.span["parentSpanId"].as_str(), parent, "{one:?}");
        assert!(one.nanos("endTimeUnixNano") >= one.nanos("startTimeUnixNano"), "{one:?}");
    }
    let ids: BTreeSet<&str> = seen.iter().map(|one| one.span["spanId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), seen.len(), "an id of a span is there twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_followed_from_its_request_to_the_answers_of_two_destinations() {
    let (collector, fine, failing) = (collector().await, endpoint().await, endpoint().await);
    failing.order(FaultRule::next(1, FaultKind::Status(503)));
    let setup = Setup::new().endpoint("fine", fine.url().as_str()).endpoint("failing", failing.url().as_str());
    let bridge = traced(setup, collector.url().as_str()).start();
    assert_eq!(bridge.post(lead(1).to_string()).await.status, 200);
    let seen = until_seen(&collector, "all spans of a lead", |seen| seen.len() >= 8).await;
    assert_eq!(seen.len(), 8, "{seen:#?}");
    assert_one_trace(&seen, &event_id(&bridge));

    let first = seen.iter().find(|one| one.name() == "POST /hooks/{source}").unwrap();
    for (name, value) in [
        ("http.response.status_code", "200"),
        ("url.path", "/hooks/acme"),
        ("leadwire.source", "acme"),
        ("leadwire.event.kind", "lead"),
        ("leadwire.event.outcome", "new"),
        ("leadwire.event.destinations", "2"),
    ] {
        assert_eq!(first.attribute(name).as_deref(), Some(value), "{name}");
    }
    let stages: Vec<&Seen> =
        ["read", "verify", "normalize", "commit"].iter().map(|name| seen.iter().find(|one| one.name() == *name).unwrap()).collect();
    for (stage, next) in stages.iter().zip(&stages[1..]) {
        assert!(stage.nanos("startTimeUnixNano") <= next.nanos("startTimeUnixNano"), "{stages:#?}");
    }
    let mut outcomes: Vec<String> = seen.iter().filter(|one| is_attempt(one)).map(Seen::outcome).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["deliver failing delivered", "deliver failing retry", "deliver fine delivered"]);
    let retried = seen.iter().find(|one| is_attempt(one) && one.outcome().ends_with("retry")).unwrap();
    assert_eq!((retried.attribute("http.response.status_code").as_deref(), &retried.span["status"]["code"]), (Some("503"), &json!(2)));
    let again = seen.iter().find(|one| one.outcome_is("deliver failing delivered")).unwrap();
    assert_eq!(again.attribute("leadwire.attempt").as_deref(), Some("2"));
    bridge.terminate();
}

impl Seen {
    fn outcome_is(&self, wanted: &str) -> bool {
        is_attempt(self) && self.outcome() == wanted
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_over_a_kill_at_another_bridge() {
    let (collector, sink, url) = (collector().await, endpoint().await, database());
    sink.order(FaultRule::always(FaultKind::Status(503)));
    let setup = || traced(Setup::new().on(&url).endpoint("crm", sink.url().as_str()), collector.url().as_str());
    let first = setup().start();
    assert_eq!(first.post(lead(1).to_string()).await.status, 200);
    until_seen(&collector, "the request and an attempt", |seen| seen.len() >= 6 && seen.iter().any(is_attempt)).await;
    let event = event_id(&first);
    first.kill();
    sink.clear_faults();
    let second = setup().start();
    second.until("delivered", 1).await;
    let seen = until_seen(&collector, "the last attempt", |seen| seen.iter().any(|one| one.outcome_is("deliver crm delivered"))).await;
    assert_one_trace(&seen, &event);
    let instance_of = |find: &dyn Fn(&Seen) -> bool| seen.iter().find(|one| find(one)).unwrap().instance.clone();
    let (asked, delivered) =
        (instance_of(&|one| one.name().starts_with("POST")), instance_of(&|one| one.outcome_is("deliver crm delivered")));
    assert_ne!(asked, delivered, "another bridge has delivered it");
    second.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_before_a_stop_ends() {
    let (collector, sink) = (collector().await, endpoint().await);
    let bridge = traced(Setup::new().endpoint("crm", sink.url().as_str()), collector.url().as_str()).start();
    assert_eq!(bridge.post(lead(1).to_string()).await.status, 200);
    bridge.until("delivered", 1).await;
    bridge.terminate();
    assert_eq!(spans(&collector).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_seen_as_one() {
    let (collector, sink) = (collector().await, endpoint().await);
    let bridge = traced(Setup::new().endpoint("crm", sink.url().as_str()), collector.url().as_str()).start();
    for _ in 0..2 {
        assert_eq!(bridge.post(lead(1).to_string()).await.status, 200);
    }
    bridge.until("delivered", 1).await;
    bridge.terminate();
    let mut outcomes: Vec<String> = spans(&collector).iter().filter_map(|one| one.attribute("leadwire.event.outcome")).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["duplicate", "new"]);
}

/// Leads go their way, the log is told once, and the stop is quick, whatever the collector does.
async fn assert_harmless(endpoint_of_collector: &str) {
    let sink = endpoint().await;
    let bridge = traced(Setup::new().endpoint("crm", sink.url().as_str()), endpoint_of_collector).start();
    for n in 0..20 {
        assert_eq!(bridge.post(lead(n).to_string()).await.status, 200);
    }
    bridge.until("delivered", 20).await;
    bridge.assert_audit();
    let stopped = Instant::now();
    bridge.terminate();
    assert!(stopped.elapsed() < STOP_WITHIN, "the stop took {:?}", stopped.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_nothing() {
    // A port that was free a moment ago, and that nobody listens at.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_harmless(&format!("http://{gone}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_costs_nothing() {
    let collector = collector().await;
    collector.order(FaultRule::always(FaultKind::Hang));
    assert_harmless(collector.url().as_str()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_is_told_once_and_what_it_misses_is_counted() {
    let (collector, sink) = (collector().await, endpoint().await);
    collector.order(FaultRule::always(FaultKind::Status(401)));
    let bridge = traced(Setup::new().endpoint("crm", sink.url().as_str()), collector.url().as_str()).start();
    let dropped = async |least: f64| {
        let count = Scrape::of(&bridge).await.value("leadwire_trace_spans_total{outcome=\"dropped\"}");
        count.filter(|count| *count >= least)
    };
    for n in 1..=3_u64 {
        assert_eq!(bridge.post(lead(n).to_string()).await.status, 200);
        eventually("six more spans to be dropped", async || dropped(6.0 * n as f64).await).await;
    }
    let told = |words: &str| bridge.log().matches(words).count();
    assert_eq!(told("the collector of traces takes nothing"), 1, "{}", bridge.log());
    assert!(bridge.log().contains("it answered 401; look at `headers` in [traces]"), "{}", bridge.log());
    collector.clear_faults();
    assert_eq!(bridge.post(lead(4).to_string()).await.status, 200);
    until_seen(&collector, "a lead that is followed again", |seen| seen.len() >= 6).await;
    eventually("its figure", async || {
        Scrape::of(&bridge).await.value("leadwire_trace_spans_total{outcome=\"exported\"}").filter(|count| *count >= 6.0)
    })
    .await;
    assert_eq!(told("takes spans again"), 1, "{}", bridge.log());
    bridge.terminate();
}
