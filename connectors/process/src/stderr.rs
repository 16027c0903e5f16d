//! A child's standard error: into the log with a bound on its length and rate, and its end into the error of a delivery.

use crate::config::Loudness;
use crate::lines::{self, Line};
use leadwire_connector::Redactor;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufRead, BufReader};
use tokio::process::ChildStderr;

const LONGEST_LINE: usize = 1_000;
/// What is no text becomes a mark that is longer by up to two bytes.
const LONGEST_MARK: usize = 3;
const BURST: u32 = 100;
const EVERY: Duration = Duration::from_secs(10);
/// The end of a stack trace says what happened.
const LAST_BYTES: usize = 2_000;

/// The last lines that a child wrote. What it wrote after it was given an event may hold personal data of anybody: they are told of a
/// child that has been given none.
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
    let mut pace = Pace { since: Instant::now(), seen: 0, left_out: 0 };
    while let Some(text) = next(&mut stderr, &redactor).await {
        last.push(&text);
        let Some(left_out) = pace.admit(Instant::now()) else { continue };
        if left_out > 0 {
            log(loudness, &destination, &format!("({left_out} lines were left out)"));
        }
        log(loudness, &destination, &text);
    }
}

/// The start of the next line, without the secrets; the rest of a line that is too long is left out. `None` at the end.
async fn next(from: &mut (impl AsyncBufRead + Unpin), redactor: &Redactor) -> Option<String> {
    let most = LONGEST_LINE + redactor.longest();
    let mut line = Vec::new();
    let how = lines::next(from, &mut line, most).await;
    let text = redactor.clean(&String::from_utf8_lossy(&line)).replace(char::is_control, " ");
    match how {
        Line::End => None,
        Line::Whole => Some(start(&text, LONGEST_LINE).to_owned()),
        Line::Cut => {
            let mut rest = Vec::new();
            while lines::next(from, &mut rest, most).await == Line::Cut {}
            // The start of a secret whose end was not read stands at the very end.
            let known = text.len().saturating_sub(redactor.longest() + LONGEST_MARK);
            Some(start(&text, known.min(LONGEST_LINE)).to_owned())
        }
    }
}

/// At most so many bytes of it.
fn start(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
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
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, secrets: &[&str]) -> Vec<String> {
        let redactor = Redactor::new(secrets);
        let mut from = BufReader::with_capacity(64, text.as_bytes());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut told = Vec::new();
            while let Some(text) = next(&mut from, &redactor).await {
                told.push(text);
            }
            told
        })
    }

    #[test]
    fn a_long_line_is_cut_and_its_rest_is_left_out() {
        let told = read(&format!("{}\nshort\n", "x".repeat(10_000)), &[]);
        assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE - LONGEST_MARK, 5]);
        assert_eq!(read(&"é".repeat(500), &[]), ["é".repeat(500)]);
    }

    proptest! {
        #[test]
        fn no_part_of_a_secret_is_told_wherever_the_line_is_cut(before in 0_usize..3_000, between in 0_usize..60, after in 0_usize..3_000) {
            const SECRET: &str = "hunter22-0123456789-secret";
            let text = format!("{}{SECRET}{}{SECRET}{}", ".".repeat(before), ".".repeat(between), ".".repeat(after));
            for line in read(&text, &[SECRET]) {
                prop_assert!(line.chars().all(|c| matches!(c, '.' | '•')) && line.len() <= LONGEST_LINE, "{line}");
            }
        }
    }

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
