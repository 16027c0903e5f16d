//! The bridge under one load each.

use crate::limits::Beside;
use crate::load::{HOOK, Load, Pace, knock, no_times, post, record};
use crate::postgres::Server;
use crate::report::{Report, Row};
use crate::servers::{Bridge, Destination};
use crate::sink::Sink;
use crate::{CONNECTIONS, LASTS};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const NAMES: [&str; 3] = ["first", "second", "third"];
/// Leads a second at which the time of each is looked at.
const PACES: [u32; 3] = [100, 1_000, 10_000];
/// As many leads a second as the destinations next to a slow and a dead one get.
const NEIGHBOURS_PACE: u32 = 1_000;
/// How long a bridge without work is watched: the kernel counts its time in hundredths of a second.
const IDLE: Duration = Duration::from_secs(60);
/// What people look at.
const PAGES: [&str; 7] = ["/", "/leads", "/leads?q=david7", "/destinations", "/person", "/sources", "/api/v1/status"];
const PAGE_ROUNDS: usize = 9;
/// Turns of two bridges that are compared, and how long each is.
const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_secs(2);
const CHAT_LOG_BYTES: usize = 20 << 20;

pub(crate) fn to(sink: &Sink, path: &str, name: &'static str) -> Destination {
    Destination { name, url: format!("http://{}{path}", sink.address) }
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/{n}")).collect()
}

fn named(name: &str, server: Option<&Server>) -> String {
    if server.is_some() { format!("PostgreSQL: {name}") } else { name.to_owned() }
}

pub(crate) fn row(name: String, load: &Load, bridges: &[Bridge]) -> Row {
    assert_eq!(load.refused, 0, "{name}: requests were refused");
    let cpu_seconds: f64 = bridges.iter().map(|bridge| bridge.process.cpu_seconds()).sum();
    Row {
        per_second: load.per_second(),
        answered_in: Some(load.answered_in.clone()),
        arrived_in: None,
        kib_written: bridges.iter().map(|bridge| bridge.process.written_bytes()).sum::<f64>() / load.accepted.len() as f64 / 1_024.0,
        cpu_seconds_per_1000: cpu_seconds / load.accepted.len() as f64 * 1_000.0,
        peak_resident_mib: bridges.iter().map(|bridge| bridge.process.peak_resident_mib()).fold(0.0, f64::max),
        name,
    }
}

/// As many leads as it takes: to be answered alone, and to be accepted by one and by three destinations.
pub(crate) async fn rates(report: &mut Report, server: Option<&Server>) {
    let durable = durable_answers(server).await;
    let one = end_to_end(named("end to end, 1 destination", server), server, 1, 1).await;
    if server.is_none() {
        report.ratio("verified, deduplicated, durable answers", durable.per_second, 0.20, 0.35);
        report.ratio("end to end", one.per_second, 0.08, 0.15);
    }
    report.row(durable);
    report.row(one);
    report.row(end_to_end(named("end to end, 3 destinations", server), server, 1, 3).await);
}

/// The destination is on hold, so that what is measured is answering alone: event and delivery are stored.
async fn durable_answers(server: Option<&Server>) -> Row {
    let sink = Sink::start();
    let bridge = Bridge::start_on_hold(server.map(Server::database).as_deref(), &to(&sink, "/0", NAMES[0]));
    let load = Load::run(&[bridge.address], HOOK, CONNECTIONS, 0, Pace::Closed(LASTS)).await;
    let row = row(named("durable answers", server), &load, std::slice::from_ref(&bridge));
    assert_eq!(bridge.stored(), load.accepted.len(), "stored is not what was answered");
    row
}

async fn end_to_end(name: String, server: Option<&Server>, instances: usize, destinations: usize) -> Row {
    let (sink, store) = (Sink::start(), server.map(Server::database));
    let paths = paths(destinations);
    let targets: Vec<Destination> = paths.iter().zip(NAMES).map(|(path, name)| to(&sink, path, name)).collect();
    let bridges: Vec<Bridge> = (0..instances).map(|_| Bridge::start(store.as_deref(), &targets)).collect();
    let addresses: Vec<SocketAddr> = bridges.iter().map(|bridge| bridge.address).collect();
    let load = Load::run(&addresses, HOOK, CONNECTIONS, 0, Pace::Closed(LASTS)).await;
    for path in &paths {
        sink.wait_for(path, load.accepted.len()).await;
    }
    let per_second = load.accepted.len() as f64 / load.started.elapsed().as_secs_f64();
    paths.iter().for_each(|path| sink.assert_each_once(path, &load.accepted));
    Row { per_second, ..row(name, &load, &bridges) }
}

/// Two and three bridges on one database; one was measured with the others.
pub(crate) async fn instances(report: &mut Report, server: &Server) {
    for instances in [2, 3] {
        report.row(end_to_end(format!("PostgreSQL: end to end, {instances} bridges"), Some(server), instances, 1).await);
    }
}

/// A steady number of leads a second.
pub(crate) async fn latencies(report: &mut Report, server: Option<&Server>) {
    for per_second in PACES {
        let disk = Beside::start();
        let row = steady(named(&format!("{per_second} a second"), server), server, per_second).await;
        let synced_in = disk.end();
        if server.is_none() {
            report.latency(per_second, &row, &synced_in);
        }
        report.row(row);
    }
}

async fn steady(name: String, server: Option<&Server>, per_second: u32) -> Row {
    let sink = Sink::start();
    let bridge = Bridge::start(server.map(Server::database).as_deref(), &[to(&sink, "/0", NAMES[0])]);
    watch(name, &sink, bridge, per_second).await
}

async fn watch(name: String, sink: &Sink, bridge: Bridge, per_second: u32) -> Row {
    let load = Load::run(&[bridge.address], HOOK, CONNECTIONS, 0, Pace::Open(per_second, LASTS)).await;
    sink.wait_for("/0", load.accepted.len()).await;
    sink.assert_each_once("/0", &load.accepted);
    Row { arrived_in: Some(sink.arrived_in("/0", &load.warm())), ..row(name, &load, &[bridge]) }
}

/// A destination that takes 200 ms for each lead, and one that nobody listens at, next to one that is well.
pub(crate) async fn neighbours(report: &mut Report) {
    let alone = steady(format!("{NEIGHBOURS_PACE} a second, alone"), None, NEIGHBOURS_PACE).await;
    let sink = Sink::start();
    let dead = Destination { name: NAMES[2], url: "http://127.0.0.1:9/".to_owned() };
    let bridge = Bridge::start(None, &[to(&sink, "/0", NAMES[0]), to(&sink, "/slow", NAMES[1]), dead]);
    let beside = watch(format!("{NEIGHBOURS_PACE} a second, beside a slow and a dead one"), &sink, bridge, NEIGHBOURS_PACE).await;
    report.neighbours(&alone, &beside);
    report.row(alone);
    report.row(beside);
}

/// Many deliveries that wait: what they take of memory, of the start, and of the rates.
pub(crate) async fn pending(report: &mut Report, server: Option<&Server>) {
    let count = std::env::var("LEADWIRE_BENCH_PENDING").map_or(1_000_000, |count| count.parse().unwrap());
    let (sink, store) = (Sink::start(), server.map(Server::database));
    let bridge = Bridge::start_on_hold(store.as_deref(), &to(&sink, "/0", NAMES[0]));
    let empty = Load::run(&[bridge.address], HOOK, CONNECTIONS, 0, Pace::Closed(LASTS)).await;
    let first = empty.accepted.len() as u64;
    assert!(first < count, "the store had {first} before it was filled; LEADWIRE_BENCH_PENDING must be more");
    let filling = Load::run(&[bridge.address], HOOK, CONNECTIONS, first, Pace::Count(count - first)).await;
    let resident_mib = bridge.process.resident_mib();
    let killed_at = Instant::now();
    let bridge = bridge.crash_and_start();
    while !knock(bridge.address, count).await {}
    let start = killed_at.elapsed();
    let full = Load::run(&[bridge.address], HOOK, CONNECTIONS, count + 1, Pace::Closed(LASTS)).await;
    assert_eq!(empty.refused + filling.refused + full.refused, 0, "requests were refused");
    let answered = empty.accepted.len() + filling.accepted.len() + 1 + full.accepted.len();
    report.pending(&named("", server), count, resident_mib, start, full.per_second() / empty.per_second());
    let (rate, more) = against_empty(&bridge, &sink, count + 1 + full.accepted.len() as u64, server).await;
    report.turns(&named("", server), rate);
    assert_eq!(bridge.stored(), answered + more, "stored is not what was answered");
    pages(report, &bridge, &named("", server)).await;
    drain(report, &sink, &bridge, server).await;
}

/// The rate of answers of a bridge that has much, divided by that of one that has nothing, and how many leads it has more afterwards. The
/// two take turns, one still while the other is under load: a machine whose disk is another one a minute later is compared with itself.
async fn against_empty(full: &Bridge, sink: &Sink, mut first: u64, server: Option<&Server>) -> (f64, usize) {
    let empty = Bridge::start_on_hold(server.map(Server::database).as_deref(), &to(sink, "/1", NAMES[0]));
    let (mut ratios, mut more) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let mut rates = [0.0; 2];
        for (rate, (bridge, other)) in rates.iter_mut().zip([(full, &empty), (&empty, full)]) {
            other.process.signal("STOP");
            let load = Load::run(&[bridge.address], HOOK, CONNECTIONS, first, Pace::Closed(TURN)).await;
            other.process.signal("CONT");
            assert_eq!(load.refused, 0, "requests were refused");
            first += load.accepted.len() as u64;
            *rate = load.per_second();
            more += if std::ptr::eq(bridge, full) { load.accepted.len() } else { 0 };
        }
        ratios.push(rates[0] / rates[1]);
    }
    ratios.sort_by(f64::total_cmp);
    (ratios[ROUNDS / 2], more)
}

/// How long people wait for pages about so many events, and programs for the same.
async fn pages(report: &mut Report, bridge: &Bridge, engine: &str) {
    for path in PAGES {
        let mut times = no_times();
        for _ in 0..PAGE_ROUNDS {
            let began_at = Instant::now();
            let answer = reqwest::get(format!("{}{path}", bridge.console)).await.unwrap().error_for_status().unwrap();
            answer.bytes().await.unwrap();
            record(&mut times, began_at.elapsed());
        }
        report.page(engine, path, &times);
    }
}

/// The oldest of many, for as long as a load lasts.
async fn drain(report: &mut Report, sink: &Sink, bridge: &Bridge, server: Option<&Server>) {
    bridge.resume(NAMES[0]);
    let resumed_at = Instant::now();
    sink.wait_for("/0", 1).await;
    let first = resumed_at.elapsed();
    tokio::time::sleep(LASTS).await;
    report.drain(
        &named("", server),
        first,
        sink.count("/0") as f64 / (resumed_at.elapsed() - first).as_secs_f64(),
        bridge.process.peak_resident_mib(),
    );
}

/// The largest thing that platforms send.
pub(crate) async fn chat_log(report: &mut Report) {
    let sink = Sink::start();
    let bridge = Bridge::start_on_hold(None, &to(&sink, "/0", NAMES[0]));
    let (body, conversations) = chat(CHAT_LOG_BYTES);
    let began_at = Instant::now();
    assert!(post(bridge.address, body.as_bytes()).await, "the chat log was refused");
    let answered_in = began_at.elapsed();
    report.chat_log(body.len(), conversations, answered_in, bridge.process.cpu_seconds(), bridge.process.peak_resident_mib());
}

/// A day's chat log of about so many bytes, and its conversations.
fn chat(bytes: usize) -> (String, usize) {
    let message =
        |n: usize| format!("{{\"Type\":\"{}\",\"Content\":\"{}\"}}", ["AI", "User"][n % 2], "What can I help you with today? ".repeat(5));
    let messages: Vec<String> = (0..20).map(message).collect();
    let talk = |n: usize| {
        format!(
            "{{\"SessionID\":{n},\"CreateTime\":\"2026-11-21T16:22:42.{n:06}Z\",\"URI\":\"www.google.com\",\"Messages\":[{}]}}",
            messages.join(",")
        )
    };
    let count = bytes / talk(0).len();
    let talks: Vec<String> = (0..count).map(talk).collect();
    let head = "\"SerialNumber\":\"59001dd73709417321c58b11693183a2\",\"Name\":\"bench\",\"StartTime\":\"2026-11-21T00:00:00Z\",\"EndTime\":\"2026-11-22T00:00:00Z\"";
    (format!("{{\"Collection\":[{{{head},\"Conversations\":[{}]}}]}}", talks.join(",")), count)
}

/// Nothing to do: what it takes all the same. The first second, in which it starts, does not count.
pub(crate) async fn idle(report: &mut Report) {
    let sink = Sink::start();
    let bridge = Bridge::start(None, &[to(&sink, "/0", NAMES[0])]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = bridge.process.cpu_seconds();
    tokio::time::sleep(IDLE).await;
    report.idle((bridge.process.cpu_seconds() - before) / IDLE.as_secs_f64(), bridge.process.resident_mib());
}
