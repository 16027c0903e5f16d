//! What a running bridge counts, seen from outside; and that what is written about it is true.

use crate::harness::{Bridge, Setup, endpoint, eventually, lead, serve};
use crate::postgres;
use jiff::Timestamp;
use leadwire::store::{Span, Store, Tallies};
use leadwire_connector::http::{Method, Request};
use leadwire_connector::simulator::{FaultKind, FaultRule, Server};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Labels that Prometheus adds, or that a histogram has by its nature.
const NOT_OURS: [&str; 3] = ["job", "instance", "le"];

/// One name of `/metrics` or of the documentation: its type and its labels.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    kind: String,
    labels: BTreeSet<String>,
}

/// What a scrape says.
pub(crate) struct Scrape {
    text: String,
}

impl Scrape {
    pub(crate) async fn of(bridge: &Bridge) -> Self {
        let url = format!("{}/metrics", bridge.console).parse().unwrap();
        let answer = bridge.client.send(&Request::new(Method::Get, url)).await.unwrap();
        assert_eq!(answer.status, 200);
        Self { text: String::from_utf8(answer.body.to_vec()).unwrap() }
    }

    /// The value of this very series.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    fn shapes(&self) -> BTreeMap<String, Shape> {
        let mut shapes = BTreeMap::<String, Shape>::new();
        for line in self.text.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                shapes.insert(name.to_owned(), Shape { kind: kind.to_owned(), labels: BTreeSet::new() });
            } else if !line.starts_with('#') {
                let (name, labels) = series(line);
                let shape = shapes.get_mut(base(&name)).unwrap_or_else(|| panic!("no type for {line}"));
                shape.labels.extend(labels.into_iter().filter(|label| label != "le"));
            }
        }
        shapes
    }
}

/// Name and labels of a line.
fn series(line: &str) -> (String, Vec<String>) {
    let name = line.split(['{', ' ']).next().unwrap();
    let inside = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
    let labels = inside.split(',').filter(|label| !label.is_empty()).map(|label| label.split_once('=').unwrap().0.to_owned());
    (name.to_owned(), labels.collect())
}

/// The name of the histogram that a series is of.
fn base(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The tables of docs/metrics.md.
fn documented() -> BTreeMap<String, Shape> {
    let text = read("docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let labels = cells[2].split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect();
        (cells[0].trim_matches('`').to_owned(), Shape { kind: cells[1].to_owned(), labels })
    })
    .collect()
}

/// A bridge to which something of everything has happened.
async fn eventful(setup: Setup) -> (Bridge, Vec<Server>) {
    let (sink, crm) = (endpoint().await, serve("hubspot").await);
    let to_crm = format!(
        "[destinations.crm]\ntype = \"hubspot\"\ntoken = \"made-up-token\"\nbase_url = \"{}\"\n[[routes]]\nto = [\"crm\"]",
        crm.url().as_str().trim_end_matches('/')
    );
    let bridge = setup.endpoint("backend", sink.url().as_str()).with(&to_crm).start();
    bridge.post(lead(1).to_string()).await;
    bridge.post(lead(1).to_string()).await;
    bridge.until("delivered", 2).await;
    bridge.post_to("acme", "{}", &[]).await.unwrap();
    bridge.post_to("nobody", "{}", &[]).await.unwrap();
    (bridge, vec![sink, crm])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_is_documented_and_every_documented_figure_shows() {
    let (bridge, _servers) = eventful(Setup::new()).await;
    let shown = Scrape::of(&bridge).await.shapes();
    let mut documented = documented();
    // Only where there is a certificate: the stories of TLS look at it.
    assert!(documented.remove("leadwire_certificate_expires_timestamp_seconds").is_some());
    assert!(documented.len() > 40, "the tables are not read: {documented:?}");
    let names = |shapes: &BTreeMap<String, Shape>| shapes.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&shown), names(&documented));
    for (name, shape) in &shown {
        assert_eq!(shape, &documented[name], "{name} shows, and is documented, like this");
    }
}

/// The names of figures in a query, and the labels that it names.
fn asked(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = query.split(|c: char| !is_word(c)).filter(|word| word.starts_with("leadwire_") || word.starts_with("process_"));
    let mut labels = BTreeSet::new();
    for inside in query.split('{').skip(1).filter_map(|rest| rest.split_once('}')) {
        labels.extend(inside.0.split(',').filter_map(|part| part.split(['=', '!']).next()).map(|label| label.trim().to_owned()));
    }
    for keyword in ["by (", "on ("] {
        let lists = query.split(keyword).skip(1).filter_map(|rest| rest.split_once(')'));
        lists.for_each(|(list, _)| labels.extend(list.split(',').map(|label| label.trim().to_owned())));
    }
    labels.remove("");
    (words.map(str::to_owned).collect(), labels)
}

fn assert_exists(query: &str) {
    let documented = documented();
    let (names, labels) = asked(query);
    assert!(!names.is_empty() || query.contains("up{job=\"leadwire\""), "no figure is asked for in {query}");
    let shapes: Vec<&Shape> =
        names.iter().map(|name| documented.get(base(name)).unwrap_or_else(|| panic!("there is no {name}: {query}"))).collect();
    for label in labels.iter().filter(|label| !NOT_OURS.contains(&label.as_str())) {
        assert!(shapes.iter().any(|shape| shape.labels.contains(label)), "no figure has the label {label}: {query}");
    }
    let is_histogram = |name: &String| documented[base(name)].kind == "histogram";
    assert!(names.iter().all(|name| is_histogram(name) == (base(name) != name)), "a histogram is asked for by its parts: {query}");
}

/// Everything under these keys, however deep.
fn texts(value: &Value, keys: &[&str], found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| texts(value, keys, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if let (true, Some(text)) = (keys.contains(&key.as_str()), value.as_str()) {
                    found.push(text.to_owned());
                }
                texts(value, keys, found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_figures_and_labels_that_exist() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/leadwire.json")).unwrap();
    let mut queries = Vec::new();
    texts(&dashboard, &["expr"], &mut queries);
    assert!(queries.len() > 50, "{queries:?}");
    for query in &queries {
        assert_exists(&query.replace("$__rate_interval", "5m"));
    }
    let mut variables = Vec::new();
    texts(&dashboard["templating"], &["query"], &mut variables);
    for variable in variables.iter().filter_map(|text| text.strip_prefix("label_values(")?.strip_suffix(')')) {
        let (name, label) = variable.split_once(", ").unwrap();
        assert_exists(&format!("{name}{{{label}=\"\"}}"));
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let widths = |panel: &Value| panel["gridPos"]["x"].as_u64().unwrap() + panel["gridPos"]["w"].as_u64().unwrap();
    assert!(panels.iter().all(|panel| widths(panel) <= 24));
}

#[test]
fn the_alerts_ask_for_figures_and_labels_that_exist() {
    let text = read("deploy/prometheus/leadwire.rules.yml").replace(">-\n          ", "");
    // An expression goes on in lines that are further in.
    let text = text.replace("\n          and ", " and ");
    let queries: Vec<&str> = text.lines().filter_map(|line| line.trim_start().strip_prefix("expr: ")).collect();
    let alerts = text.lines().filter(|line| line.trim_start().starts_with("- alert: ")).count();
    assert!(alerts > 10 && queries.len() == alerts, "{queries:?}");
    queries.iter().for_each(|query| assert_exists(query));
    let documented = documented();
    for label in text.split("$labels.").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap()) {
        let is_known = documented.values().any(|shape| shape.labels.contains(label)) || NOT_OURS.contains(&label);
        assert!(is_known, "no figure has the label {label}");
    }
}

#[test]
fn a_figure_or_label_that_does_not_exist_is_found() {
    for wrong in ["sum(leadwire_nothing_total)", "leadwire_hold{source=\"a\"}", "sum by (kind) (leadwire_hold)", "leadwire_attempt_seconds"]
    {
        assert!(std::panic::catch_unwind(|| assert_exists(wrong)).is_err(), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_happens_is_counted_once() {
    let (bridge, servers) = eventful(Setup::new()).await;
    servers[0].order(FaultRule::next(1, FaultKind::Status(422)));
    bridge.post(lead(2).to_string()).await;
    bridge.until("dead", 1).await;
    bridge.until("delivered", 3).await;
    let wanted = [
        ("leadwire_source_events_total{source=\"acme\",kind=\"lead\"}", 2.0),
        ("leadwire_source_events_total{source=\"acme\",kind=\"test\"}", 0.0),
        ("leadwire_source_duplicates_total{source=\"acme\"}", 1.0),
        ("leadwire_source_refused_total{source=\"acme\",reason=\"no_header\"}", 1.0),
        ("leadwire_source_quarantined_total{source=\"acme\"}", 1.0),
        ("leadwire_receive_refused_total{reason=\"unknown_source\"}", 1.0),
        ("leadwire_attempts_total{destination=\"backend\",outcome=\"delivered\"}", 1.0),
        ("leadwire_attempts_total{destination=\"backend\",outcome=\"reject\"}", 1.0),
        ("leadwire_deliveries_ended_total{destination=\"backend\",state=\"dead\"}", 1.0),
        ("leadwire_deliveries_ended_total{destination=\"crm\",state=\"delivered\"}", 2.0),
        ("leadwire_speed_to_lead_seconds_count{destination=\"crm\"}", 2.0),
        ("leadwire_attempt_seconds_count{destination=\"backend\"}", 2.0),
        ("leadwire_quarantine_bodies", 1.0),
        ("leadwire_store_up", 1.0),
    ];
    // The last count follows the commit that `until` saw.
    eventually("all to be counted", async || {
        let scrape = Scrape::of(&bridge).await;
        wanted.iter().all(|(series, value)| scrape.value(series) == Some(*value)).then_some(())
    })
    .await;
    let scrape = Scrape::of(&bridge).await;
    assert!(scrape.value("leadwire_store_commit_seconds_count{work=\"receive\"}").unwrap() >= 2.0);
    assert!(scrape.value("leadwire_store_batch_size_sum{work=\"settle\"}").unwrap() >= 4.0);
    assert!(scrape.value("leadwire_quota_remaining{destination=\"crm\",window=\"window\"}").unwrap() > 0.0);
    assert!(scrape.value("process_resident_memory_bytes").unwrap() > 1e6);
    assert!(!scrape.text.contains("nobody") && !scrape.text.contains("david"), "names of strangers or of persons show");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_and_what_waits_behind_it_show() {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("backend", sink.url().as_str()).start();
    assert!(bridge.command(&["hold", "backend", "--reason", "a story"]).status.success());
    bridge.until_held("backend").await;
    bridge.post(lead(1).to_string()).await;
    eventually("the hold to show with what it keeps", async || {
        let scrape = Scrape::of(&bridge).await;
        let is_held = scrape.value("leadwire_hold{destination=\"backend\"}") == Some(1.0);
        let waits = scrape.value("leadwire_pending_deliveries{destination=\"backend\",state=\"held\"}") == Some(1.0);
        let age = scrape.value("leadwire_oldest_pending_seconds{destination=\"backend\"}").unwrap();
        (is_held && waits && age >= 1.0).then_some(())
    })
    .await;
}

async fn week(store: &Store) -> Tallies {
    store.tallies(Span::Week, Timestamp::now()).await.unwrap()
}

fn sums(tallies: &Tallies) -> Value {
    let mut sum = leadwire::figures::Tally::default();
    tallies.points.iter().for_each(|point| sum.add(&point.tally));
    let mut sum = serde_json::to_value(sum).unwrap();
    for destination in sum["destinations"].as_object_mut().unwrap().values_mut() {
        let speed = destination["speed"].take();
        assert!(speed["p50_s"].as_f64() <= speed["p95_s"].as_f64() && speed["p95_s"].as_f64() <= speed["max_s"].as_f64(), "{speed}");
        destination["speed"] = speed["count"].clone();
    }
    sum
}

async fn counts_survive_a_restart(setup: Setup, open: impl AsyncFn(&Setup) -> Store) {
    let (bridge, _servers) = eventful(setup).await;
    let setup = bridge.terminate();
    let delivered = json!({"delivered": 1, "dead": 0, "retried": 0, "skipped": 0, "speed": 1});
    let wanted = json!({
        "sources": {"acme": {"received": 1, "duplicates": 1, "refused": 1}},
        "destinations": {"backend": delivered, "crm": delivered},
    });
    let store = open(&setup).await;
    assert_eq!(sums(&week(&store).await), wanted);
    drop(store);
    let bridge = setup.start();
    bridge.post(lead(2).to_string()).await;
    bridge.until("delivered", 4).await;
    let setup = bridge.terminate();
    let sum = sums(&week(&open(&setup).await).await);
    assert_eq!((&sum["sources"]["acme"]["received"], &sum["destinations"]["crm"]["delivered"]), (&json!(2), &json!(2)));
}

fn names(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_survives_a_restart_in_a_file() {
    let open = async |setup: &Setup| {
        Store::sqlite(&setup.folder.path().join("data/leadwire.db"), &names(&["acme"]), &names(&["backend", "crm"])).unwrap()
    };
    counts_survive_a_restart(Setup::new(), open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_survives_a_restart_on_a_server() {
    let url = postgres::database();
    let open = async |_: &Setup| Store::postgres(&url, &names(&["acme"]), &names(&["backend", "crm"])).await.unwrap();
    counts_survive_a_restart(Setup::new().on(&url), open).await;
    postgres::drop_database(&url);
}
