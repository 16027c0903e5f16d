//! When an appointment is. A time counts only when nothing about it has to be guessed: neither its day nor its time zone.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use leadwire_connector::Event;
use leadwire_connector::mapping::FieldMap;

/// No time is longer, and a word of a hostile text may be.
const LONGEST: usize = 40;

/// Where the time of an appointment is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    /// Renders the text of the time.
    pub(crate) template: Option<FieldMap>,
    /// What a time without an offset is in.
    pub(crate) zone: Option<TimeZone>,
}

impl Times {
    /// When the appointment begins, if that is told beyond doubt: by the template of the settings; without one, by a text that is
    /// nothing but a moment with an offset (RFC 3339). Nobody wishes for an appointment in the past: a moment before the event came is
    /// something else. A template that fails tells none.
    pub(crate) fn start_of(&self, event: &Event) -> Option<Timestamp> {
        let start = match &self.template {
            Some(template) => template.render(event).fields.first().and_then(|(_, text)| moment(text, self.zone.as_ref())),
            None => event.content.as_deref().and_then(|text| moment(text, None)),
        };
        start.filter(|start| *start >= event.received_at)
    }

    /// What to tell of a template that fails on this event.
    pub(crate) fn remark(&self, event: &Event) -> Option<String> {
        self.template.as_ref().and_then(|template| template.render(event).remark())
    }
}

fn moment(text: &str, zone: Option<&TimeZone>) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > LONGEST {
        return None;
    }
    text.parse().ok().or_else(|| in_zone(text, zone?))
}

/// A date alone is no time; and an hour that the clocks skip or repeat would have to be guessed.
fn in_zone(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let local: DateTime = text.parse().ok().filter(|_| text.contains(':'))?;
    zone.to_ambiguous_timestamp(local).unambiguous().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::config::tests::settings;
    use crate::map::tests::event;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn start(appointments: &Value, changes: &Value) -> Option<String> {
        let settings = settings(&json!({"appointments": appointments}));
        settings.times.start_of(&event(changes)).map(|at| at.to_string())
    }

    #[test]
    fn without_settings_only_a_moment_with_an_offset_counts() {
        let of = |text: &str| start(&json!({}), &json!({"content": text}));
        assert_eq!(of(" 2026-11-24T15:00:00+01:00\n").as_deref(), Some("2026-11-24T14:00:00Z"));
        assert_eq!(of("2026-11-24T14:00Z").as_deref(), Some("2026-11-24T14:00:00Z"));
        for more in ["Not at 2026-11-24T15:00:00+01:00, please", "(2026-11-24T14:00Z)", "order 7 of 2026-11-24T14:00:00Z"] {
            assert_eq!(of(more), None, "what the moment is of is not ours to say: {more}");
        }
        assert_eq!(of("2026-11-22T05:16:59Z"), None, "before the event came");
        for vague in ["tomorrow at 3pm", "2026-11-24T15:00:00", "2026-11-24 15:00", "24.11.2026 15:00 CET", "2026-11-24", ""] {
            assert_eq!(of(vague), None, "{vague}");
        }
        assert_eq!(of("from 2026-11-24T14:00:00Z or 2026-11-25T14:00:00Z"), None, "which of the two is not ours to say");
    }

    #[test]
    fn a_named_field_is_read_in_the_named_time_zone() {
        let appointments = json!({"time": "{{ extra.When }}", "time_zone": "America/New_York"});
        let of = |text: &str| {
            start(
                &appointments,
                &json!({"extra": {"When": text}, "content": "2027-01-01T00:00:00Z", "received_at": "2026-01-01T00:00:00Z"}),
            )
        };
        assert_eq!(of("2026-11-24 15:00").as_deref(), Some("2026-11-24T20:00:00Z"));
        assert_eq!(of("2026-07-24T15:00:00").as_deref(), Some("2026-07-24T19:00:00Z"));
        assert_eq!(of("2026-11-24T15:00:00Z").as_deref(), Some("2026-11-24T15:00:00Z"), "an offset of its own wins");
        for vague in ["2026-11-24", "3pm", "", "2026-03-08 02:30", "2026-11-01 01:30"] {
            assert_eq!(of(vague), None, "{vague}");
        }
    }

    #[test]
    fn a_fixed_offset_is_a_time_zone_and_none_is_none() {
        let with = |appointments: Value| start(&appointments, &json!({"extra": {"When": "2026-11-24 15:00"}}));
        assert_eq!(with(json!({"time": "{{ extra.When }}", "time_zone": "+02:00"})).as_deref(), Some("2026-11-24T13:00:00Z"));
        assert_eq!(with(json!({"time": "{{ extra.When }}"})), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}", digits in "[0-9T:+Z -]{0,45}") {
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            for text in [&text, &digits] {
                let _ = (moment(text, Some(&zone)), moment(text, None));
            }
        }
    }
}
