//! Words for people, and what must not stand in an alert.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Of a text that somebody else wrote.
const LONGEST: usize = 300;
/// So many digits may be a telephone number.
const DIGITS: usize = 7;

/// A span of time as people say it: `40 s`, `12 min`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let and = |much: i64, unit: &str, more: i64, smaller: &str| match more {
        0 => format!("{much} {unit}"),
        more => format!("{much} {unit} {more} {smaller}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min"),
        3_600..86_400 => and(hours, "h", minutes % 60, "min"),
        _ => and(days, "d", hours % 24, "h"),
    }
}

/// A moment as people read it.
#[must_use]
pub(super) fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// `1 dead letter`, `2 dead letters`.
#[must_use]
pub(super) fn count(number: i64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Bytes, by their largest unit.
#[must_use]
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// A text that a destination or a person wrote, without what may name a person: mail addresses and long numbers. On one line.
#[must_use]
pub(super) fn anonymous(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if shown.len() > LONGEST {
            shown.push_str(" …");
            break;
        }
        let separator = if shown.is_empty() { "" } else { " " };
        shown.push_str(separator);
        let cut = &word[..word.floor_char_boundary(LONGEST)];
        shown.push_str(if word.contains('@') { "…" } else { cut });
    }
    without_numbers(&shown)
}

/// A telephone number has signs and spaces between its digits; a date or a moment has them too, and is no loss.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_numeric() || matches!(c, '+' | '(' | ')' | '-' | '/' | '.' | ' ') {
            run.push(c);
            continue;
        }
        let is_long = run.chars().filter(|c| c.is_numeric()).count() >= DIGITS;
        shown.push_str(if is_long { " … " } else { &run });
        run.clear();
        shown.push(c);
    }
    shown.trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_are_told_as_people_tell_them() {
        let told: Vec<String> = [-5, 0, 59, 60, 3_599, 3_600, 7_500, 86_400, 273_600].map(SignedDuration::from_secs).map(span).to_vec();
        assert_eq!(told, ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "2 h 5 min", "1 d", "3 d 4 h"]);
    }

    #[test]
    fn who_somebody_is_does_not_get_into_an_alert() {
        for (text, shown) in [
            ("the credentials were refused (401)", "the credentials were refused (401)"),
            ("jane@example.com is no contact", "… is no contact"),
            ("call +1 (415) 555-2671\nnow", "call … now"),
            ("", ""),
        ] {
            assert_eq!(anonymous(text), shown);
        }
        assert!(anonymous(&"word ".repeat(1_000)).len() < 2 * LONGEST);
    }

    proptest! {
        #[test]
        fn no_mail_address_and_no_long_number_is_left(text in "\\PC{0,200}") {
            let shown = anonymous(&text);
            prop_assert!(!shown.contains('@'));
            prop_assert!(!shown.contains('\n'));
            let longest = shown.split(|c: char| !c.is_numeric()).map(|digits| digits.chars().count()).max().unwrap_or(0);
            prop_assert!(longest < DIGITS);
        }
    }
}
