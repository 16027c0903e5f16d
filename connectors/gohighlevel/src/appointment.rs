//! The time of an appointment: only when it is written so that it cannot be misread.

use jiff::tz::Offset;
use leadwire_connector::reexport::Timestamp;

/// A moment, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) at: Timestamp,
    /// As it was written, which GoHighLevel compares with its free slots: the same moment in UTC is not found among them.
    pub(crate) text: String,
    offset: Offset,
}

impl Start {
    pub(crate) fn is_past(&self) -> bool {
        self.at < Timestamp::now()
    }

    /// So many minutes later, at the same offset.
    pub(crate) fn plus_minutes(&self, minutes: u32) -> Option<String> {
        let end = self.at.checked_add(jiff::SignedDuration::from_mins(i64::from(minutes))).ok()?;
        Some(end.display_with_offset(self.offset).to_string())
    }
}

/// The RFC 3339 time with an offset that this text is. `None` for any other text, also one with such a time somewhere in it: "not
/// 2026-11-24T15:00:00Z, later" and "tomorrow at 3" are nobody's to guess.
pub(crate) fn start_of(text: &str) -> Option<Start> {
    parse(text.trim())
}

/// `2026-11-24T15:00:00+01:00`, with or without seconds; the offset may be `Z`.
fn parse(word: &str) -> Option<Start> {
    let bytes = word.as_bytes();
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    let is = |index: usize, wanted: u8| bytes.get(index).is_some_and(|byte| byte.eq_ignore_ascii_case(&wanted));
    let digits = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15];
    let has_shape = digits.into_iter().all(is_digit) && is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && word.len() <= 35;
    if !has_shape || !word.is_ascii() {
        return None;
    }
    let offset = offset_of(word.get(16..)?)?;
    Some(Start { at: word.parse().ok()?, text: word.to_owned(), offset })
}

/// Of what follows the minutes.
fn offset_of(rest: &str) -> Option<Offset> {
    if rest.ends_with(['Z', 'z']) {
        return Some(Offset::UTC);
    }
    let at = rest.rfind(['+', '-'])?;
    let (hours, minutes) = rest.get(at + 1..)?.split_once(':')?;
    let is_pair = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_pair(hours) || !is_pair(minutes) {
        return None;
    }
    let seconds = hours.parse::<i32>().ok()? * 3_600 + minutes.parse::<i32>().ok()? * 60;
    Offset::from_seconds(if rest[at..].starts_with('-') { -seconds } else { seconds }).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_time_that_cannot_be_misread_is_one() {
        for text in [
            "",
            "tomorrow at 3pm",
            "2026-11-24 15:00",
            "2026-11-24T15:00:00",
            "24.11.2026 15:00",
            "2026-11-24",
            "15:00+01:00",
            "2026-11-24T25:00:00Z",
            "2026-11-24T15:00:00+0100",
            "2026-11-24T15:00:00+99:00",
            "x2026-11-24T15:00:00Z",
            "not 2026-11-24T15:00:00Z",
            "2026-11-24T15:00:00Z.",
            "2026-11-24T15:00:00Z or 2026-11-24T16:00:00Z",
        ] {
            assert_eq!(start_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_explicit_time_is_kept_as_it_was_written() {
        let start = start_of(" 2026-11-24T15:00:00+01:00\n").unwrap();
        assert_eq!((start.text.as_str(), start.at), ("2026-11-24T15:00:00+01:00", "2026-11-24T14:00:00Z".parse().unwrap()));
        assert_eq!(start.plus_minutes(90).unwrap(), "2026-11-24T16:30:00+01:00");
        assert_eq!(start_of("2026-11-24T15:00-05:30").unwrap().plus_minutes(30).unwrap(), "2026-11-24T15:30:00-05:30");
        assert_eq!(start_of("2026-11-24t15:00z").unwrap().at, "2026-11-24T15:00:00Z".parse().unwrap());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}", minutes in any::<u32>(), time in "2026-11-24T[0-9:]{0,8}[Z+-]?[0-9:é]{0,6}") {
            for start in [start_of(&text), start_of(&time), start_of(&format!("{text} {time}"))].into_iter().flatten() {
                let _ = start.plus_minutes(minutes);
            }
        }
    }
}
