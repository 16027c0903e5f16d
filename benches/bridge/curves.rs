//! Whether a lead costs the same where there is much of everything: sources, destinations and routes.

use crate::CONNECTIONS;
use crate::load::{HOOK, KEY, Load, Pace};
use crate::report::Report;
use crate::scenes::{row, to};
use crate::servers::{Bridge, config};
use crate::sink::Sink;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How long each load lasts, and how long it is looked what is done without one.
const LASTS: Duration = Duration::from_secs(4);
const IDLE: Duration = Duration::from_secs(4);

/// Adds so many others to a configuration.
type Others = fn(&mut String, usize);

/// What there may be much of, and how much.
const CURVES: [(&str, Others, [usize; 3]); 3] =
    [("sources", sources, [1, 100, 10_000]), ("destinations", destinations, [1, 32, 1_000]), ("routes", routes, [1, 32, 1_000])];

pub(crate) async fn all(report: &mut Report) {
    for (of, others, counts) in CURVES {
        for count in counts {
            point(report, of, others, count).await;
        }
    }
}

async fn point(report: &mut Report, of: &str, others: Others, count: usize) {
    let sink = Sink::start();
    let mut text = config(None, &[to(&sink, "/0", "first")]);
    others(&mut text, count - 1);
    let began_at = Instant::now();
    let bridge = Bridge::start_with(&text);
    let start = began_at.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = bridge.process.cpu_seconds();
    tokio::time::sleep(IDLE).await;
    let spent = bridge.process.cpu_seconds();
    let load = Load::run(&[bridge.address], HOOK, CONNECTIONS, 0, Pace::Closed(LASTS)).await;
    sink.wait_for("/0", load.accepted.len()).await;
    sink.assert_each_once("/0", &load.accepted);
    let mut row = row(format!("{count} {of}"), &load, std::slice::from_ref(&bridge));
    row.cpu_seconds_per_1000 -= spent / load.accepted.len() as f64 * 1_000.0;
    report.point(count, of, &row, start, (spent - before) / IDLE.as_secs_f64());
}

/// Each with a key of its own: a source is found by its name, and its keys by it.
fn sources(config: &mut String, count: usize) {
    for n in 0..count {
        write!(config, "[sources.other-{n}]\nsigning_keys = [\"{KEY}-{n}\"]\n").unwrap();
    }
}

/// Each with a route of its own, from a chatbot that never speaks.
fn destinations(config: &mut String, count: usize) {
    for n in 0..count {
        write!(config, "[destinations.other-{n}]\ntype = \"json\"\nurl = \"http://127.0.0.1:9/\"\n").unwrap();
        write!(config, "[[routes]]\nchatbots = [\"other-{n}\"]\nto = [\"other-{n}\"]\n").unwrap();
    }
}

/// Each for a chatbot that never speaks.
fn routes(config: &mut String, count: usize) {
    for n in 0..count {
        write!(config, "[[routes]]\nchatbots = [\"other-{n}\"]\nto = [\"first\"]\n").unwrap();
    }
}
