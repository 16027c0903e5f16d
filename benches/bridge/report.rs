//! What was measured, for people and for programs.

use crate::limits::Limit;
use crate::load::Times;
use serde_json::{Value, json};
use std::time::Duration;

/// The bridge under one load.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) per_second: f64,
    /// From the request to its answer.
    pub(crate) answered_in: Option<Times>,
    /// From the request to the arrival at the destination.
    pub(crate) arrived_in: Option<Times>,
    pub(crate) cpu_seconds_per_1000: f64,
    pub(crate) peak_resident_mib: f64,
    /// To the disk, for each lead.
    pub(crate) kib_written: f64,
}

/// A promise of the budget.
struct Promise {
    what: String,
    measured: f64,
    /// What must be, and what is wanted.
    floor: f64,
    aim: f64,
    unit: &'static str,
    is_less_better: bool,
}

pub(crate) struct Report {
    bare: Limit,
    sync: Limit,
    limits: Vec<Limit>,
    rows: Vec<Row>,
    promises: Vec<Promise>,
    /// Whatever else was seen.
    notes: Vec<(String, Value)>,
}

impl Report {
    pub(crate) fn new(bare: Limit, sync: Limit) -> Self {
        Self { bare, sync, limits: Vec::new(), rows: Vec::new(), promises: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn limit(&mut self, limit: Limit) {
        eprintln!("{}: {:.0} a second", limit.name, limit.per_second);
        self.limits.push(limit);
    }

    pub(crate) fn row(&mut self, row: Row) {
        eprintln!("{}: {:.0} a second", row.name, row.per_second);
        self.rows.push(row);
    }

    /// What share of the bare handler's rate is reached.
    pub(crate) fn ratio(&mut self, what: &str, per_second: f64, floor: f64, aim: f64) {
        self.promise(what.to_owned(), per_second / self.bare.per_second, (floor, aim), "of the bare handler", false);
    }

    fn promise(&mut self, what: String, measured: f64, (floor, aim): (f64, f64), unit: &'static str, is_less_better: bool) {
        self.promises.push(Promise { what, measured, floor, aim, unit, is_less_better });
    }

    /// `synced_in` is what the disk took beside it: it tells a slow bridge from a disk that stalls, and is not what is judged by.
    pub(crate) fn latency(&mut self, per_second: u32, row: &Row, synced_in: &Times) {
        self.note(&format!("fdatasync beside {per_second} a second"), quantiles(synced_in));
        match (per_second, &row.answered_in, &row.arrived_in, &self.sync.times) {
            (100, _, Some(arrived_in), _) => {
                self.promise("receive to accepted at 100/s, p50".to_owned(), quantile_ms(arrived_in, 0.5), (5.0, 2.0), "ms", true);
            }
            (1_000, Some(answered_in), _, Some(sync)) => {
                let ratio = quantile_ms(answered_in, 0.99) / quantile_ms(sync, 0.99);
                self.promise("p99 answer at 1,000/s".to_owned(), ratio, (5.0, 3.0), "× p99 of fdatasync", true);
            }
            _ => {}
        }
    }

    pub(crate) fn neighbours(&mut self, alone: &Row, beside: &Row) {
        let p50 = |row: &Row| row.arrived_in.as_ref().map_or(f64::NAN, |times| quantile_ms(times, 0.5));
        self.note("a healthy destination beside a slow and a dead one, p50 against alone", json!(p50(beside) / p50(alone)));
    }

    pub(crate) fn pending(&mut self, engine: &str, count: u64, resident_mib: f64, start: Duration, rate: f64) {
        if engine.is_empty() {
            self.promise(format!("resident memory, {count} pending"), resident_mib, (150.0, 64.0), "MiB", true);
            self.promise(format!("durable answers with {count} pending against empty"), rate, (0.8, 0.95), "", false);
            self.promise(format!("kill -9 to first accepted request, {count} rows"), start.as_secs_f64(), (1.0, 0.2), "s", true);
        } else {
            self.note(
                &format!("{engine}{count} pending"),
                json!({"resident_mib": resident_mib, "rate_against_empty": rate, "start_s": start.as_secs_f64()}),
            );
        }
    }

    /// The rate with much pending against an empty store's, where both took turns: not what is judged by.
    pub(crate) fn turns(&mut self, engine: &str, rate: f64) {
        self.note(&format!("{engine}durable answers against empty, in turns"), json!(rate));
    }

    pub(crate) fn drain(&mut self, engine: &str, first: Duration, per_second: f64, peak_mib: f64) {
        let value = json!({"first_arrival_ms": first.as_secs_f64() * 1e3, "per_second": per_second, "of_the_bare_handler": per_second / self.bare.per_second, "peak_mib": peak_mib});
        self.note(&format!("{engine}delivering from the backlog"), value);
    }

    pub(crate) fn page(&mut self, engine: &str, path: &str, times: &Times) {
        self.note(&format!("{engine}GET {path}"), quantiles(times));
    }

    pub(crate) fn chat_log(&mut self, bytes: usize, conversations: usize, answered_in: Duration, cpu_seconds: f64, peak_mib: f64) {
        let value = json!({"bytes": bytes, "conversations": conversations, "answered_ms": answered_in.as_secs_f64() * 1e3, "cpu_seconds": cpu_seconds, "peak_mib": peak_mib});
        self.note("one chat log", value);
    }

    /// One point of a curve: what a lead takes where there is so much of something.
    pub(crate) fn point(&mut self, count: usize, of: &str, row: &Row, start: Duration, idle: f64) {
        let value = json!({"per_second": row.per_second, "cpu_seconds_per_1000": row.cpu_seconds_per_1000, "start_ms": start.as_secs_f64() * 1e3,
            "idle_percent_of_a_core": idle * 100.0, "peak_mib": row.peak_resident_mib});
        self.note(&format!("{count} {of}"), value);
    }

    pub(crate) fn idle(&mut self, share: f64, resident_mib: f64) {
        self.promise("idle, of one core".to_owned(), share * 100.0, (0.5, 0.1), "%", true);
        self.note("idle", json!({"resident_mib": resident_mib}));
    }

    fn note(&mut self, name: &str, value: Value) {
        eprintln!("{name}: {value}");
        self.notes.push((name.to_owned(), value));
    }

    pub(crate) fn is_within_floors(&self) -> bool {
        self.promises.iter().all(|promise| promise.is_kept(promise.floor))
    }

    pub(crate) fn print(&self) {
        println!(
            "{:<50} {:>10} {:>7} {:>17} {:>17} {:>9} {:>6} {:>8}",
            "", "a second", "ratio", "answer p50, p99", "arrived p50, p99", "CPU-s/k", "MiB", "KiB/lead"
        );
        for limit in [&self.bare].into_iter().chain(&self.limits).chain([&self.sync]) {
            let cpu = limit.cpu_seconds.map(|seconds| format!("{:.4}", seconds * 1e3)).unwrap_or_default();
            let ratio = limit.per_second / self.bare.per_second;
            println!("{:<50} {:>10.0} {ratio:>7.3} {:>17} {:>17} {cpu:>9}", limit.name, limit.per_second, times(limit.times.as_ref()), "");
        }
        for row in &self.rows {
            let ratio = row.per_second / self.bare.per_second;
            println!(
                "{:<50} {:>10.0} {ratio:>7.3} {:>17} {:>17} {:>9.4} {:>6.1} {:>8.2}",
                row.name,
                row.per_second,
                times(row.answered_in.as_ref()),
                times(row.arrived_in.as_ref()),
                row.cpu_seconds_per_1000,
                row.peak_resident_mib,
                row.kib_written
            );
        }
        println!("\n{:<58} {:>9} {:>6} {:>6}", "the budget", "measured", "floor", "aim");
        for promise in &self.promises {
            let word = promise.word();
            println!("{:<58} {:>9.3} {:>6} {:>6}  {word} {}", promise.what, promise.measured, promise.floor, promise.aim, promise.unit);
        }
        println!();
        self.notes.iter().for_each(|(name, value)| println!("{name}: {value}"));
    }

    pub(crate) fn save(&self, path: &str) {
        let limits: Vec<Value> = [&self.bare].into_iter().chain(&self.limits).chain([&self.sync]).map(Limit::json).collect();
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let promises: Vec<Value> = self.promises.iter().map(Promise::json).collect();
        let notes: serde_json::Map<String, Value> = self.notes.iter().cloned().collect();
        let report = json!({"limits": limits, "rows": rows, "budget": promises, "notes": notes});
        std::fs::write(path, serde_json::to_vec_pretty(&report).unwrap()).unwrap();
        println!("{path} has these figures for programs.");
    }
}

impl Limit {
    fn json(&self) -> Value {
        json!({"name": self.name, "per_second": self.per_second, "times": self.times.as_ref().map(quantiles)})
    }
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "per_second": self.per_second,
            "answered_in": self.answered_in.as_ref().map(quantiles),
            "arrived_in": self.arrived_in.as_ref().map(quantiles),
            "cpu_seconds_per_1000": self.cpu_seconds_per_1000,
            "peak_resident_mib": self.peak_resident_mib,
            "kib_written": self.kib_written,
        })
    }
}

impl Promise {
    fn is_kept(&self, bound: f64) -> bool {
        if self.is_less_better { self.measured <= bound } else { self.measured >= bound }
    }

    fn word(&self) -> &'static str {
        if self.is_kept(self.aim) {
            "aim reached"
        } else if self.is_kept(self.floor) {
            "floor kept"
        } else {
            "FLOOR MISSED"
        }
    }

    fn json(&self) -> Value {
        json!({"what": self.what, "measured": self.measured, "floor": self.floor, "aim": self.aim, "unit": self.unit})
    }
}

fn quantile_ms(times: &Times, share: f64) -> f64 {
    times.value_at_quantile(share) as f64 / 1e6
}

fn times(times: Option<&Times>) -> String {
    times.map(|times| format!("{:.2}, {:.2} ms", quantile_ms(times, 0.5), quantile_ms(times, 0.99))).unwrap_or_default()
}

/// In milliseconds.
fn quantiles(times: &Times) -> Value {
    let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| quantile_ms(times, share));
    json!({"p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "max_ms": max})
}
