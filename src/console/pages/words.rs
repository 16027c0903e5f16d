//! How values become words on pages, and words of forms become values.

use crate::console::{Kind, Refusal};
use crate::store::State;
use leadwire_connector::Event;
use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;
use url::form_urlencoded;

/// Of a text in a list.
const LINE: usize = 120;

/// Bytes of one text on a page.
const LONGEST: usize = 10_000;

/// What was given, if anything was: forms send empty fields, too.
pub(super) fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// The cursor of a page in an address; none is the first page.
pub(super) fn cursor<T: FromStr>(text: &str) -> Result<Option<T>, Refusal> {
    let wrong = || Refusal::new(Kind::Invalid, "`before` in the address is not what a link to a next page has; go back to the first page");
    given(text).map(|text| text.parse().map_err(|_| wrong())).transpose()
}

/// A path with a query of those that are given.
pub(super) fn link(path: &str, query: &[(&str, &str)]) -> String {
    let given = query.iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// What to call the person of an event.
pub(super) fn who(event: &Event) -> String {
    let person = &event.person;
    let named = person.full_name().or_else(|| person.email.clone()).or_else(|| person.phone.clone());
    let named = named.or_else(|| event.session_id.as_deref().map(|session| format!("session {session}")));
    named.map_or_else(|| "nobody named".to_owned(), |name| first_line(&name))
}

/// The beginning of a text, on one line.
pub(super) fn first_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut letters = words.chars();
    let line: String = letters.by_ref().take(LINE).collect();
    if letters.next().is_some() { format!("{line}…") } else { line }
}

/// How long something took, to two digits or so.
pub(super) fn time_span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (amount, unit) = match seconds {
        ..1.0 => (seconds * 1_000.0, "ms"),
        ..120.0 => (seconds, "s"),
        ..7_200.0 => (seconds / 60.0, "min"),
        ..172_800.0 => (seconds / 3_600.0, "h"),
        _ => (seconds / 86_400.0, "days"),
    };
    if amount < 10.0 && unit != "ms" { format!("{amount:.1} {unit}") } else { format!("{amount:.0} {unit}") }
}

/// The beginning of a text that a stranger wrote: a page of megabytes keeps a phone busy for many seconds.
pub(super) fn beginning(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let cut = &text[..text.floor_char_boundary(LONGEST)];
    Cow::Owned(format!("{cut}… {} bytes more; leadwire events show ID --json has all", text.len() - cut.len()))
}

/// The class of the badge of a delivery.
pub(super) fn state_badge(state: State) -> &'static str {
    match state {
        State::Waiting | State::Leased | State::Blocked => "waiting",
        State::Delivered => "delivered",
        State::Skipped | State::Erased => "skipped",
        State::Dead => "dead",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_fits() {
        let told = [0.0004, 0.25, 1.26, 59.0, 150.0, 10_000.0, 400_000.0].map(|seconds| time_span(Duration::from_secs_f64(seconds)));
        assert_eq!(told, ["0 ms", "250 ms", "1.3 s", "59 s", "2.5 min", "2.8 h", "4.6 days"]);
    }

    #[test]
    fn a_cursor_that_was_mistyped_is_refused() {
        assert_eq!((cursor::<i64>("").unwrap(), cursor::<i64>(" 7 ").unwrap()), (None, Some(7)));
        assert_eq!(cursor::<i64>("zzz").unwrap_err().kind, Kind::Invalid);
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        assert_eq!(beginning("é"), "é");
        let cut = beginning(&"é".repeat(LONGEST)).into_owned();
        assert!(cut.len() < LONGEST + 100 && cut.contains(&format!("é… {LONGEST} bytes more")), "{cut}");
        assert_eq!(first_line("a\n b"), "a b");
        assert_eq!(first_line(&"é".repeat(500)).chars().count(), LINE + 1);
    }
}
