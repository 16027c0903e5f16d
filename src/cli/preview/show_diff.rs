//! What would change, for people.

use super::against::Tally;
use super::diff::{Differences, Part, Place, Values};
use crate::cli::show::plain;
use crate::cli::time;
use leadwire_connector::Event;
use leadwire_connector::text::truncate;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// Of a value, in characters.
const SHOWN: usize = 60;
/// Of what two long texts have in common before they differ.
const BEFORE: usize = 16;
/// Places of the summary.
const PLACES_SHOWN: usize = 20;

fn heading(event: &Event) -> String {
    format!("{} {} from {}, received {}", event.kind, event.id, event.source, time::long(event.received_at))
}

pub(super) fn only(event: &Event, side: &str) -> String {
    let told = if side == "here" { "only the present configuration sends it" } else { "only the other configuration sends it" };
    format!("{}: {told}", heading(event))
}

pub(super) fn changed(event: &Event, differences: &Differences) -> String {
    let mut text = heading(event);
    let mut request = "";
    for (place, values) in differences {
        if place.request != request {
            request = &place.request;
            let _ = write!(text, "\n  {}", plain(request));
        }
        let _ = write!(text, "\n    {}", plain(&difference(place, values)));
    }
    text.push('\n');
    text
}

fn difference(place: &Place, values: &Values) -> String {
    match (place.part, &values.old, &values.new) {
        (Part::Request, Some(_), None) => "would not be sent any more".to_owned(),
        (Part::Request, None, Some(_)) => "would be sent in addition".to_owned(),
        (Part::Outcome | Part::Order, Some(Value::String(old)), Some(Value::String(new))) => {
            format!("{}: {old} → {new}", place.part.as_str())
        }
        (_, Some(Value::String(old)), Some(Value::String(new))) => {
            let (old, new) = excerpts(old, new);
            format!("{}: {} → {}", name(place), quoted(&old), quoted(&new))
        }
        (_, old, new) => format!("{}: {} → {}", name(place), side(old.as_ref()), side(new.as_ref())),
    }
}

fn name(place: &Place) -> String {
    format!("{} {}", place.part.as_str(), place.at).trim_end().to_owned()
}

fn side(value: Option<&Value>) -> String {
    value.map_or_else(|| "(nothing)".to_owned(), |value| truncate(&value.to_string(), SHOWN).into_owned())
}

fn quoted(text: &str) -> String {
    Value::from(truncate(text, SHOWN).as_ref()).to_string()
}

/// Of two long texts, from a little before where they differ.
fn excerpts(old: &str, new: &str) -> (String, String) {
    let common = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
    let is_long = old.chars().count().max(new.chars().count()) > SHOWN;
    let skip = if is_long { common.saturating_sub(BEFORE) } else { 0 };
    let cut = |text: &str| if skip == 0 { text.to_owned() } else { std::iter::once('…').chain(text.chars().skip(skip)).collect() };
    (cut(old), cut(new))
}

pub(super) fn summary(tally: &Tally, name: &str, other: &Path) -> String {
    let mut text = format!(
        "{name}, the present configuration against {}: {} compared, {} the same, {} changed; {} only here, {} only there",
        other.display(),
        tally.compared,
        tally.same,
        tally.changed,
        tally.only_here,
        tally.only_there
    );
    let mut places: Vec<(&Place, u64)> = tally.places.iter().map(|(place, events)| (place, *events)).collect();
    places.sort_by_key(|(_, events)| std::cmp::Reverse(*events));
    for (place, events) in places.iter().take(PLACES_SHOWN) {
        let _ = write!(text, "\n{events:>8} ×  {}", plain(format!("{}  {}", place.request, self::name(place)).trim_start()));
    }
    if places.len() > PLACES_SHOWN {
        let _ = write!(text, "\n           and {} more places", places.len() - PLACES_SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use serde_json::json;

    fn event() -> Event {
        serde_json::from_value(json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": null,
            "person": {"first_name": null, "last_name": null, "email": "david@example.com", "phone": null}, "content": null,
            "session_id": null, "page_url": null, "created_at": null, "received_at": "2026-11-22T05:17:00Z", "extra": {}, "raw": {}
        }))
        .unwrap()
    }

    fn differences() -> Differences {
        let place = |request: &str, part, at: &str| Place { request: request.to_owned(), part, at: at.to_owned() };
        let values = |old: Value, new: Value| Values {
            old: Some(old).filter(|value| !value.is_null()),
            new: Some(new).filter(|value| !value.is_null()),
        };
        let long = "They asked for a quote for a kitchen of 14 m², with installation, ";
        [
            (place("", Part::Order, ""), values("contact, note".into(), "note, contact".into())),
            (place("contact", Part::Url, ""), values("https://a.example/contacts".into(), "https://b.example/contacts".into())),
            (place("contact", Part::Header, "x-tag"), values(Value::Null, "chat".into())),
            (place("contact", Part::Body, "/properties/stage"), values("lead".into(), "customer".into())),
            (place("contact", Part::Body, "/properties/seats"), values(json!(25), json!({"from": 25, "to": 40}))),
            (place("note", Part::Body, "/text"), values(format!("{long}today").into(), format!("{long}tomorrow").into())),
            (place("note (2)", Part::Request, ""), values(json!({"method": "POST"}), Value::Null)),
        ]
        .into()
    }

    #[test]
    fn an_event_is_told_with_all_that_would_change() {
        insta::assert_snapshot!(changed(&event(), &differences()));
    }

    #[test]
    fn the_summary_counts_events_and_names_the_places_most_often_changed() {
        let places = differences().into_keys().zip([1, 9, 2, 3, 4, 5, 6]).collect();
        let tally = Tally { compared: 12, same: 3, changed: 9, only_here: 1, only_there: 0, places };
        insta::assert_snapshot!(summary(&tally, "crm", Path::new("config/new.toml")));
    }

    #[test]
    fn of_long_texts_the_place_where_they_differ_is_shown() {
        let (old, new) = excerpts(&format!("{}a", "x".repeat(100)), &format!("{}b", "x".repeat(100)));
        assert_eq!((old, new), (format!("…{}a", "x".repeat(16)), format!("…{}b", "x".repeat(16))));
        assert_eq!(excerpts("short a", "short b").0, "short a");
    }
}
