//! Whether a lead of the list is one that is stored.
//!
//! The list and the webhook write the same lead differently: one name or two, with or without fractions of a second, with fewer fields.
//! So the content does not tell. What both have is when it happened, the chat session, and the contact. Two are the same when they are of
//! one kind and of the same moment, to two seconds, nothing of session, e-mail and phone contradicts, and one of them agrees. When
//! neither has anything of the kind, the moment decides: two leads without a contact in one second are not worth a twin.

use crate::normalize::{ContentKey, Normalized};
use crate::store::{KnownEvent, Via};
use jiff::SignedDuration;

/// The list may round, or leave out fractions of a second.
const APART: SignedDuration = SignedDuration::from_secs(2);
/// The last digits of a number tell whose it is, with its country's code or without.
const TELLING_DIGITS: usize = 9;

pub(super) fn is_same(listed: &Normalized, known: &KnownEvent) -> bool {
    if listed.content_key.0 == known.content_key {
        return true;
    }
    let agreement = Agreement::of(listed, known);
    if known.via == Some(Via::ChatLog) && listed.event.kind.as_str() == "lead" {
        // Its time is the conversation's. The lead that was missed then is on the list now.
        return !agreement.session_differs && agreement.agrees;
    }
    let is_then = match (listed.content_key.created_at(), ContentKey(known.content_key).created_at()) {
        (Some(listed), Some(known)) => listed.duration_since(known).abs() <= APART,
        _ => false,
    };
    // Of a person who was erased nothing is left to compare, and they must not come back.
    is_then && known.kind == listed.event.kind.as_str() && (known.erased || agreement.holds())
}

/// What session, e-mail and phone say.
#[derive(Debug, Default)]
struct Agreement {
    agrees: bool,
    differs: bool,
    session_differs: bool,
}

impl Agreement {
    fn of(listed: &Normalized, known: &KnownEvent) -> Self {
        let event = &listed.event;
        let mut all = Self::default();
        all.note(event.session_id.as_deref(), known.session_id.as_deref(), str::to_owned);
        all.session_differs = all.differs;
        all.note(event.person.email.as_deref(), known.email.as_deref(), str::to_lowercase);
        all.note(event.person.phone.as_deref(), known.phone.as_deref(), last_digits);
        all
    }

    fn note(&mut self, listed: Option<&str>, known: Option<&str>, plain: impl Fn(&str) -> String) {
        if let (Some(listed), Some(known)) = (listed, known) {
            let is_equal = plain(listed) == plain(known);
            self.agrees |= is_equal;
            self.differs |= !is_equal;
        }
    }

    fn holds(&self) -> bool {
        !self.differs
    }
}

fn last_digits(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    digits.iter().skip(digits.len().saturating_sub(TELLING_DIGITS)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::normalize::{Profile, read_listed};
    use jiff::Timestamp;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn read(record: &Value) -> Normalized {
        let profile = Profile { source: "acme".to_owned(), default_country: Some("US".to_owned()) };
        read_listed(record, "bot", &profile, Uuid::nil(), Timestamp::UNIX_EPOCH).unwrap()
    }

    /// As the store knows what was posted.
    fn known(posted: &Value) -> KnownEvent {
        let Normalized { event, content_key, .. } = read(posted);
        let (kind, via) = (event.kind.to_string(), Some(Via::Direct));
        KnownEvent {
            content_key: content_key.0,
            kind,
            session_id: event.session_id,
            email: event.person.email,
            phone: event.person.phone,
            erased: false,
            via,
        }
    }

    fn posted() -> Value {
        json!({"SerialNumber": "bot", "Type": "Lead", "FirstName": "Ana", "LastName": "Lopez", "Email": "ana@example.com",
               "PhoneNumber": "(415) 555-2671", "CreateTime": "2026-11-22T10:00:00.512302Z", "Content": "hi", "SessionID": 7, "URI": "x.example.com"})
    }

    fn listed() -> Value {
        json!({"Type": "Lead", "Name": "Ana Lopez", "Email": "Ana@example.com", "PhoneNumber": "+14155552671", "CreateTime": "2026-11-22 10:00:00", "SessionID": "7"})
    }

    fn but(mut record: Value, key: &str, value: Value) -> Value {
        record[key] = value;
        record
    }

    #[test]
    fn a_lead_that_was_posted_is_recognised_on_the_list() {
        assert!(is_same(&read(&listed()), &known(&posted())));
        for key in ["Email", "PhoneNumber", "SessionID"] {
            assert!(is_same(&read(&but(listed(), key, Value::Null)), &known(&posted())), "without {key}");
        }
    }

    #[test]
    fn another_one_is_not() {
        for (key, value) in [
            ("Email", json!("bea@example.com")),
            ("PhoneNumber", json!("+14155550199")),
            ("SessionID", json!(8)),
            ("CreateTime", json!("2026-11-22 10:00:09")),
            ("Type", json!("Appointment")),
        ] {
            assert!(!is_same(&read(&but(listed(), key, value)), &known(&posted())), "{key}");
        }
    }

    #[test]
    fn who_was_erased_does_not_come_back() {
        let tombstone = KnownEvent { email: None, phone: None, session_id: None, erased: true, via: None, ..known(&posted()) };
        assert!(is_same(&read(&listed()), &tombstone));
    }

    #[test]
    fn a_lead_made_of_a_conversation_is_the_one_that_was_missed() {
        let made = KnownEvent { via: Some(Via::ChatLog), ..known(&but(posted(), "CreateTime", json!("2026-11-22T08:00:00Z"))) };
        assert!(is_same(&read(&listed()), &made));
        assert!(!is_same(&read(&but(listed(), "SessionID", json!(8))), &made));
    }

    proptest! {
        #[test]
        fn sameness_has_no_favourites(email: Option<bool>, phone: Option<bool>, session: Option<bool>, apart in 0_i64..5) {
            let value = |is: Option<bool>, one: &str, other: &str| is.map_or(Value::Null, |is| json!(if is { one } else { other }));
            let record = json!({
                "Type": "Lead", "CreateTime": format!("2026-11-22T10:00:0{apart}.512302Z"), "Email": value(email, "ana@example.com", "b@example.com"),
                "PhoneNumber": value(phone, "+14155552671", "+14155550199"), "SessionID": value(session, "7", "8"),
            });
            let expected = apart <= 2 && [email, phone, session].iter().all(|is| *is != Some(false));
            prop_assert_eq!(is_same(&read(&record), &known(&posted())), expected);
        }
    }
}
