//! A child's standard error: into the log with a bound on its length and rate, and its end into the error of a delivery.

use crate::config::Loudness;
use crate::lines::{self, Line};
use leadwire_connector::Redactor;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::BufReader;
use tokio::process::ChildStderr;

const LONGEST_LINE: usize = 1_000;
const BURST: u32 = 100;
const EVERY: Duration = Duration::from_secs(10);
/// The end of a stack trace says what happened.
const LAST_BYTES: usize = 2_000;

/// The last lines that a child wrote. They may hold personal data: they go to the store with an error, never to the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastLines(Arc<Mutex<String>>);

impl LastLines {
    fn push(&self, line: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_str(line);
        last.push('\n');
        let surplus = last.len().saturating_sub(LAST_BYTES);
        let cut = (surplus..=last.len()).find(|at| last.is_char_boundary(*at)).unwrap_or_default();
        last.drain(..cut);
    }

    /// The last of them that fit into an excerpt.
    pub(crate) fn excerpt(&self) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = last.trim().chars().count().saturating_sub(500);
        last.trim().chars().skip(skipped).collect()
    }
}

/// At most 100 lines in 10 seconds; the others are counted. Pure.
#[derive(Debug)]
struct Pace {
    since: Instant,
    seen: u32,
    left_out: u64,
}

impl Pace {
    /// Whether a line may be logged now, and how many were left out before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.since) >= EVERY {
            (self.since, self.seen) = (now, 0);
        }
        if self.seen >= BURST {
            self.left_out += 1;
            return None;
        }
        self.seen += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Reads it to its end, so that the child never waits for its log.
pub(crate) async fn follow(stderr: ChildStderr, destination: String, loudness: Loudness, redactor: Redactor, last: LastLines) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut pace = Pace { since: Instant::now(), seen: 0, left_out: 0 };
    while lines::next(&mut stderr, &mut line, LONGEST_LINE).await != Line::End {
        let text = redactor.clean(&String::from_utf8_lossy(&line)).replace(char::is_control, " ");
        last.push(&text);
        let Some(left_out) = pace.admit(Instant::now()) else { continue };
        if left_out > 0 {
            log(loudness, &destination, &format!("({left_out} lines were left out)"));
        }
        log(loudness, &destination, &text);
    }
}

fn log(loudness: Loudness, destination: &str, line: &str) {
    match loudness {
        Loudness::Off => {}
        Loudness::Debug => tracing::debug!(destination, "the child says: {line}"),
        Loudness::Info => tracing::info!(destination, "the child says: {line}"),
        Loudness::Warn => tracing::warn!(destination, "the child says: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_the_next_time_begins_anew() {
        let start = Instant::now();
        let mut pace = Pace { since: start, seen: 0, left_out: 0 };
        let admitted = (0..1_000).filter(|_| pace.admit(start).is_some()).count();
        assert_eq!(admitted, 100);
        assert_eq!(pace.admit(start + EVERY), Some(900));
        assert_eq!(pace.admit(start + EVERY), Some(0));
    }

    #[test]
    fn the_last_lines_are_kept_and_no_more() {
        let last = LastLines::default();
        for number in 0..10_000 {
            last.push(&format!("é {number}"));
        }
        let excerpt = last.excerpt();
        assert!(excerpt.ends_with("é 9999") && excerpt.chars().count() <= 500);
        assert!(last.0.lock().is_ok_and(|kept| kept.len() <= LAST_BYTES));
    }
}
