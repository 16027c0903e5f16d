//! Leads per second, as ratios to a bare server that only reads bodies and checks signatures, in one run on loopback.
//!
//! `make bench` runs it. Every server is a process of its own, every request is unique and signed, and every lead that was answered
//! with success must be found at its destination afterwards, once.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod load;
#[path = "../../tests/support/postgres.rs"]
mod postgres;
mod servers;

use load::Load;
use servers::{Bare, Bridge, Sink};
use std::time::Duration;

/// How long each load lasts.
const LASTS: Duration = Duration::from_secs(8);
const CONNECTIONS: usize = 128;

struct Row {
    name: &'static str,
    per_second: f64,
    floor: Option<f64>,
    cpu_seconds_per_1000: f64,
    resident_mib: f64,
}

fn main() {
    if std::env::args().any(|argument| argument == servers::BARE) {
        return servers::serve_bare();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(async {
        let server = postgres::Server::private(postgres::Options { fsync: true, ..postgres::Options::default() });
        let mut rows = vec![bare().await];
        rows.push(durable_answers("verified, deduplicated, durable answers", None, Some(0.20)).await);
        rows.push(end_to_end("end to end, accepted by the destination", None, 1, Some(0.08)).await);
        rows.push(durable_answers("PostgreSQL: durable answers", Some(&server.database()), None).await);
        for (instances, name) in [(1, "PostgreSQL: end to end, 1 instance"), (2, "2 instances"), (3, "3 instances")] {
            rows.push(end_to_end(name, Some(&server.database()), instances, None).await);
        }
        rows
    });
    print(&rows);
    let is_missed = rows.iter().any(|row| row.floor.is_some_and(|floor| row.per_second / rows[0].per_second < floor));
    assert!(!is_missed, "a floor is missed");
}

async fn bare() -> Row {
    let server = Bare::start();
    let load = Load::run(&[server.address], "/", CONNECTIONS, LASTS).await;
    let (cpu_seconds, resident_mib) = (server.process.cpu_seconds(), server.process.peak_resident_mib());
    describe("bare handler: body and HMAC", &load, load.per_second(), None, cpu_seconds, resident_mib)
}

/// The destination is on hold, so that what is measured is answering alone: event and delivery are stored.
async fn durable_answers(name: &'static str, store: Option<&str>, floor: Option<f64>) -> Row {
    let sink = Sink::start().await;
    let bridge = Bridge::start(&sink, store, true);
    let load = Load::run(&[bridge.address], "/hooks/bench", CONNECTIONS, LASTS).await;
    assert_eq!(bridge.stored(), load.accepted.len(), "stored is not what was answered");
    row(name, &load, load.per_second(), floor, &[bridge])
}

async fn end_to_end(name: &'static str, store: Option<&str>, instances: usize, floor: Option<f64>) -> Row {
    let sink = Sink::start().await;
    let bridges: Vec<Bridge> = (0..instances).map(|_| Bridge::start(&sink, store, false)).collect();
    let addresses: Vec<_> = bridges.iter().map(|bridge| bridge.address).collect();
    let load = Load::run(&addresses, "/hooks/bench", CONNECTIONS, LASTS).await;
    sink.wait_for(load.accepted.len()).await;
    let took = load.started.elapsed();
    sink.assert_each_once(load.accepted.len());
    let per_second = load.accepted.len() as f64 / took.as_secs_f64();
    row(name, &load, per_second, floor, &bridges)
}

fn row(name: &'static str, load: &Load, per_second: f64, floor: Option<f64>, bridges: &[Bridge]) -> Row {
    let cpu_seconds = bridges.iter().map(|bridge| bridge.process.cpu_seconds()).sum();
    let resident_mib = bridges.iter().map(|bridge| bridge.process.peak_resident_mib()).fold(0.0, f64::max);
    describe(name, load, per_second, floor, cpu_seconds, resident_mib)
}

fn describe(name: &'static str, load: &Load, per_second: f64, floor: Option<f64>, cpu_seconds: f64, resident_mib: f64) -> Row {
    assert_eq!(load.refused, 0, "{name}: requests were refused");
    let cpu_seconds_per_1000 = cpu_seconds / load.accepted.len() as f64 * 1_000.0;
    eprintln!("{name}: {} leads, p50 {:?}, p99 {:?}", load.accepted.len(), load.percentile(0.50), load.percentile(0.99));
    Row { name, per_second, floor, cpu_seconds_per_1000, resident_mib }
}

fn print(rows: &[Row]) {
    println!("{:<42} {:>10} {:>7} {:>7} {:>12} {:>9}", "", "per second", "ratio", "floor", "CPU-s/1,000", "peak MiB");
    for row in rows {
        let floor = row.floor.map(|floor| format!("{floor:.2}")).unwrap_or_default();
        println!(
            "{:<42} {:>10.0} {:>7.3} {:>7} {:>12.4} {:>9.1}",
            row.name,
            row.per_second,
            row.per_second / rows[0].per_second,
            floor,
            row.cpu_seconds_per_1000,
            row.resident_mib
        );
    }
}
