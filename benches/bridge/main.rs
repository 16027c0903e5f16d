//! What a lead costs, as ratios to what the machine can do, in one run of about six minutes on loopback.
//!
//! `make bench` runs it. Every server is a process of its own, every request is unique and signed, and every lead that was answered
//! with success must be found at each of its destinations afterwards, once. `LEADWIRE_BENCH` chooses parts by their names, divided by
//! commas; `LEADWIRE_BENCH_PENDING` says how many deliveries wait in the part about many. The figures are also written to
//! `target/bench.json`.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]
#![allow(clippy::disallowed_methods, reason = "all answers here are the bridge's own, or this bench's")]

mod curves;
mod limits;
mod load;
#[path = "../../tests/support/postgres.rs"]
mod postgres;
mod report;
mod scenes;
mod servers;
mod sink;

use report::Report;
use std::time::Duration;

/// How long each load lasts.
const LASTS: Duration = Duration::from_secs(8);
const CONNECTIONS: usize = 128;

fn main() {
    if servers::was_bare() {
        return;
    }
    // Nobody else has installed one.
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure());
    report.print();
    report.save("target/bench.json");
    assert!(report.is_within_floors(), "a floor is missed");
}

fn is_wanted(part: &str) -> bool {
    std::env::var("LEADWIRE_BENCH").is_ok_and(|parts| parts.split(',').any(|wanted| wanted == part))
        || std::env::var("LEADWIRE_BENCH").is_err()
}

async fn measure() -> Report {
    let mut report = Report::new(limits::bare("bare handler: body and HMAC", true).await, limits::fdatasync());
    if is_wanted("limits") {
        report.limit(limits::bare("bare handler: body alone", false).await);
        report.limit(limits::inserts());
        report.limit(limits::client().await);
    }
    if is_wanted("rates") {
        scenes::rates(&mut report, None).await;
    }
    if is_wanted("latency") {
        scenes::latencies(&mut report, None).await;
    }
    if is_wanted("neighbours") {
        scenes::neighbours(&mut report).await;
    }
    if is_wanted("pending") {
        scenes::pending(&mut report, None).await;
    }
    if is_wanted("chat") {
        scenes::chat_log(&mut report).await;
    }
    if is_wanted("curves") {
        curves::all(&mut report).await;
    }
    if is_wanted("idle") {
        scenes::idle(&mut report).await;
    }
    if is_wanted("postgres") {
        let server = postgres::Server::private(postgres::Options { fsync: true, ..postgres::Options::default() });
        scenes::rates(&mut report, Some(&server)).await;
        scenes::latencies(&mut report, Some(&server)).await;
        scenes::instances(&mut report, &server).await;
    }
    // Not by default: it takes minutes to fill.
    if std::env::var("LEADWIRE_BENCH").is_ok_and(|parts| parts.contains("postgres-pending")) {
        let server = postgres::Server::private(postgres::Options { fsync: true, ..postgres::Options::default() });
        scenes::pending(&mut report, Some(&server)).await;
    }
    report
}
