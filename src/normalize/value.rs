//! Single values: what counts as given, and what they are as text, as time and as JSON.

use crate::verify::Value;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json};

/// Longer than any name or id that people or platforms make.
pub(super) const LINE_MOST: usize = 500;

/// Deeper values become text: the usual readers of JSON stop at 128 levels, and the event adds a few of its own.
const DEPTH_MOST: usize = 64;

/// Whether the sender gave a value: null and empty text are none.
pub(super) fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.to_text().trim().is_empty(),
        _ => true,
    }
}

/// Text or a number, as it was sent. NUL is left out: it has no place in a column of a database.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_text().replace('\0', "")).filter(|text| !text.trim().is_empty()),
        Value::Number(number) if number.is_finite() => Some(value.canonical()),
        _ => None,
    }
}

/// The same as one line: white space collapsed, control characters and what has no width left out. `None` also when it is too long.
pub(super) fn line(value: &Value) -> Option<String> {
    let text = text(value)?;
    if text.len() > 16 * LINE_MOST {
        return None;
    }
    let visible: String = text.chars().filter(|c| c.is_whitespace() || !(c.is_control() || has_no_width(*c))).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty() && line.chars().count() <= LINE_MOST).then_some(line)
}

/// Marks that come with copied text: byte order, zero-width space, and the direction of writing. Joiners stay; some scripts need them.
fn has_no_width(c: char) -> bool {
    matches!(c, '\u{FEFF}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}')
}

/// A moment: RFC 3339, or a date and a time, which are UTC by the platform's documents. To the microsecond.
/// Before 1970 it is some program's way to say "none" (`0001-01-01T00:00:00Z`).
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    let text = line(value)?;
    // A date alone is no moment.
    let text = text.get(..11).is_some_and(|start| start.ends_with(['T', 't', ' '])).then_some(text)?;
    let at = text.parse::<Timestamp>().ok().or_else(|| utc(&text))?;
    let at = Timestamp::from_microsecond(at.as_microsecond()).ok()?;
    (at >= Timestamp::UNIX_EPOCH).then_some(at)
}

fn utc(text: &str) -> Option<Timestamp> {
    // A zone that could not be read above is no reason to take the time for UTC.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-T :.,t".contains(&byte));
    let civil = text.parse::<DateTime>().ok().filter(|_| is_plain)?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The value for the rest of the program. What is nested deeper than any reader goes is kept as the text of its JSON.
pub(super) fn to_json(value: &Value) -> Json {
    nested(value, DEPTH_MOST)
}

fn nested(value: &Value, levels: usize) -> Json {
    match (value, levels.checked_sub(1)) {
        (Value::Array(_) | Value::Object(_), None) => Json::String(value.canonical()),
        (Value::Array(items), Some(levels)) => items.iter().map(|item| nested(item, levels)).collect(),
        (Value::Object(entries), Some(levels)) => {
            let mut object = Map::with_capacity(entries.len());
            entries.iter().for_each(|(key, value)| insert(&mut object, key.to_text().into_owned(), nested(value, levels)));
            Json::Object(object)
        }
        (scalar, _) => scalar.to_json(),
    }
}

/// How serde's JSON begins the names it keeps for itself: an object with one of them is read as something else than what was written, or
/// not at all, and would be out of reach in the store.
const RESERVED: &str = "$serde_json::private::";

/// Inserts without replacing: names that differ to the sender can be equal here, and nothing is lost by it.
pub(super) fn insert(object: &mut Map<String, Json>, mut name: String, value: Json) {
    if name.starts_with(RESERVED) {
        name.insert(0, '\'');
    }
    if object.contains_key(&name) {
        name.push('\'');
    }
    if object.contains_key(&name) {
        name = another(object, &name);
    }
    object.insert(name, value);
}

/// The name with a number behind it that makes it new. The numbers are so far apart that no sender can take those that come next, and each
/// name is found after a few tries, however many were equal before it.
fn another(object: &Map<String, Json>, name: &str) -> String {
    let mut number = object.len();
    loop {
        let numbered = format!("{name}{number}");
        if !object.contains_key(&numbered) {
            return numbered;
        }
        // Comes to every number before it comes back (Hull and Dobell).
        number = number.wrapping_mul(5).wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::verify::json::parse;

    fn string(text: &str) -> Value {
        Value::String(text.into())
    }

    #[test]
    fn null_and_empty_text_are_not_given() {
        assert!(!is_given(&Value::Null) && !is_given(&string("")) && !is_given(&string(" \t\u{a0}")));
        assert!(is_given(&Value::Number(0.0)) && is_given(&Value::Bool(false)) && is_given(&Value::Array(vec![])));
    }

    #[test]
    fn an_id_is_text_whether_it_came_as_number_or_text() {
        assert_eq!(line(&Value::Number(31_305.0)).as_deref(), Some("31305"));
        assert_eq!(line(&string(" 31305\n")).as_deref(), Some("31305"));
        assert_eq!(line(&Value::Bool(true)), None);
        assert_eq!(line(&Value::Number(f64::INFINITY)), None);
    }

    #[test]
    fn a_line_has_no_hidden_characters_and_is_no_book() {
        assert_eq!(line(&string("\u{202a}Ana\u{0}  \u{a0}Lopez\u{202c}\u{7}")).as_deref(), Some("Ana Lopez"));
        assert_eq!(line(&string(&"x".repeat(LINE_MOST + 1))), None);
        assert_eq!(line(&string("\u{200b}")), None);
    }

    #[test]
    fn times_are_utc_to_the_microsecond() {
        let at = |text: &str| time(&string(text)).map(leadwire_connector::timestamp::format);
        let expected = Some("2023-11-23T18:36:21.512302Z".to_owned());
        for text in [
            "2023-11-23T18:36:21.512302Z",
            "2023-11-23T20:36:21.5123029+02:00",
            "2023-11-23 18:36:21.512302",
            " 2023-11-23t18:36:21.512302z",
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
        assert_eq!(at("2023-11-23T18:36:21").as_deref(), Some("2023-11-23T18:36:21.000000Z"));
        for text in [
            "2023-11-23",
            "tomorrow at 5",
            "0001-01-01T00:00:00Z",
            "2023-02-30T00:00:00Z",
            "2023-11-23T18:36:21 CET",
            "2023-11-2é",
            "99999999999",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_too_deep_becomes_text_and_is_whole() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let json = to_json(&parse(deep.as_bytes()).unwrap());
        let text = serde_json::to_string(&json).unwrap();
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), json);
        assert_eq!(text.replace('"', ""), deep);
    }

    #[test]
    fn a_name_that_the_json_library_keeps_for_itself_is_a_name_like_others() {
        for text in [r#"{"$serde_json::private::RawValue":"[1, 2]"}"#, r#"[{"$serde_json::private::RawValue":"no JSON"}]"#] {
            let json = to_json(&parse(text.as_bytes()).unwrap());
            assert_eq!(json.to_string(), text.replace('$', "'$"));
            assert_eq!(serde_json::from_str::<Json>(&json.to_string()).unwrap(), json);
        }
    }

    #[test]
    fn names_that_become_equal_keep_their_values() {
        let json = to_json(&parse(br#"{"\ud800":1,"\udfff":2}"#).unwrap());
        assert_eq!(json.to_string(), "{\"\u{FFFD}\":1,\"\u{FFFD}'\":2}");
    }

    #[test]
    fn a_number_is_read_as_it_was_written() {
        for text in ["[9007199254749080390]", "[0.1,1e23,5e-324,1.7976931348623157e308,8.41735714171e-8]"] {
            let json = to_json(&parse(text.as_bytes()).unwrap());
            assert_eq!(serde_json::from_str::<Json>(&json.to_string()).unwrap(), json);
        }
    }

    #[test]
    fn many_names_that_become_equal_take_a_moment() {
        let half = |n: usize| format!("\\u{:04x}", 0xD800 + n % 1_024);
        let names: Vec<String> = (0..100_000).map(|n| format!("\"{}{}\":{n}", half(n), half(n / 1_024))).collect();
        let body = parse(format!("{{{}}}", names.join(",")).as_bytes()).unwrap();
        let started = std::time::Instant::now();
        assert_eq!(to_json(&body).as_object().unwrap().len(), names.len());
        // A try for each name before it takes hours.
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
    }
}
