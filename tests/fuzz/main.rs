//! The fuzz targets without a fuzzer: each over its corpus, over everything that was found before, and over mutations of both. So what
//! they check is checked on every machine, also where no fuzzer can be had; `make fuzz` looks further. The mutations are the same each
//! time: `LEADWIRE_TEST_SEED` gives others, `LEADWIRE_TEST_CASES` more of them.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub)]
mod targets;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Mutations of a target's corpus.
const CASES: u64 = 1_500;
/// On a machine that is busy, fewer.
const LONGEST: Duration = Duration::from_secs(20);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder("corpus").join(target)).unwrap();
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

/// The words of a dictionary, one a line: `"word"`, with `\"`, `\\` and `\xHH`.
fn words(target: &str) -> Vec<Vec<u8>> {
    let Ok(text) = std::fs::read_to_string(folder("dictionaries").join(format!("{target}.dict"))) else { return Vec::new() };
    text.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix('"').map(unescape)).collect()
}

fn unescape(word: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), word.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        (rest, _) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16).unwrap() as u8;
                (after, bytes.push(digit(high) << 4 | digit(low)))
            }
            (b'\\', [escaped, after @ ..]) => (after, bytes.push(*escaped)),
            _ => (after, bytes.push(*first)),
        };
    }
    bytes
}

/// Xorshift: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }

    /// What a fuzzer does to an input: bits turned, pieces doubled, cut out, put in from a dictionary or from another input.
    fn mutate(&mut self, bytes: &mut Vec<u8>, words: &[Vec<u8>], other: &[u8]) {
        let at = self.roll(bytes.len() + 1);
        let end = (at + 1 + self.roll(16)).min(bytes.len());
        match self.roll(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
            1 if at < bytes.len() => bytes[at] = self.roll(256) as u8,
            2 if at < end => drop(bytes.drain(at..end)),
            3 if at < end => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            4 if !words.is_empty() => drop(bytes.splice(at..at, words[self.roll(words.len())].iter().copied())),
            _ => {
                let from = self.roll(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from.min(other.len())..]);
            }
        }
    }
}

fn run(target: &str) {
    let check = targets::TARGETS.iter().find(|(name, _)| *name == target).unwrap().1;
    let (seeds, words) = (seeds(target), words(target));
    assert!(!seeds.is_empty(), "{target} has no corpus");
    for (name, bytes) in &seeds {
        assert!(catch_unwind(|| check(bytes)).is_ok(), "fuzz/corpus/{target}/{name} breaks what {target} checks");
    }
    let (seed, cases) = (number("LEADWIRE_TEST_SEED").unwrap_or(1), number("LEADWIRE_TEST_CASES").unwrap_or(CASES));
    let (mut dice, started) = (Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1), Instant::now());
    for _ in (0..cases).take_while(|_| started.elapsed() < LONGEST) {
        let mut bytes = seeds[dice.roll(seeds.len())].1.clone();
        for _ in 0..=dice.roll(4) {
            let other = &seeds[dice.roll(seeds.len())].1;
            dice.mutate(&mut bytes, &words, other);
        }
        assert!(
            catch_unwind(|| check(&bytes)).is_ok(),
            "breaks what {target} checks; keep it in fuzz/corpus/{target}/: {}",
            bytes.escape_ascii()
        );
    }
}

/// A test for each target, so that they run side by side and a name in the report says which one it was.
macro_rules! every {
    ($($target:ident),+ $(,)?) => {
        $(
            #[test]
            fn $target() {
                run(stringify!($target));
            }
        )+

        #[test]
        fn every_target_is_run_here_and_by_the_fuzzer() {
            let known: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(known, [$(stringify!($target)),+]);
            for name in known {
                assert!(folder("fuzz_targets").join(format!("{name}.rs")).is_file(), "fuzz/fuzz_targets/{name}.rs is missing");
            }
        }
    };
}

every![canonical_json, config, contact, csv_writer, normalizer, process_protocol, redactor, retry_after, signature, template];
