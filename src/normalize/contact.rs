//! What a visitor left in a conversation to be reached by.

use super::{person, subject};
use leadwire_connector::{Author, Event};

/// Of one message; what is longer is no place where people leave a number.
const TEXT_MOST: usize = 16 * 1_024;
/// Addresses and numbers looked at in one message.
const TRIES_MOST: usize = 64;
/// Fewer digits may be an order or a date.
const DIGITS_LEAST: usize = 9;
const DIGITS_MOST: usize = 15;

/// An e-mail address, a phone number, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// As normalised.
    pub email: Option<String>,
    /// In E.164, or as it was written.
    pub phone: Option<String>,
}

impl Contact {
    /// What the visitor wrote into a conversation, the first of each; `None` when there is neither. What the chatbot wrote does not
    /// count: it tells the numbers of the house. `country` is where a number without its country's code is from.
    #[must_use]
    pub fn of(event: &Event, country: Option<&str>) -> Option<Self> {
        let messages = &event.conversation.as_ref()?.messages;
        let mut contact = Self::default();
        for message in messages.iter().filter(|message| message.author == Author::User) {
            let text = leadwire_connector::text::truncate(&message.text, TEXT_MOST);
            contact.email = contact.email.or_else(|| email_in(&text));
            contact.phone = contact.phone.or_else(|| phone_in(&text, country));
        }
        (contact != Self::default()).then_some(contact)
    }
}

fn email_in(text: &str) -> Option<String> {
    text.match_indices('@').take(TRIES_MOST).find_map(|(at, _)| {
        let is_local = |c: char| c.is_alphanumeric() || "._+-%'".contains(c);
        let is_domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
        let (before, after) = (text.get(..at)?, text.get(at + 1..)?);
        let start = before
            .rfind(|c| !is_local(c))
            .map_or(0, |end| end + before.get(end..).and_then(|c| c.chars().next()).map_or(1, char::len_utf8));
        let end = after.find(|c| !is_domain(c)).unwrap_or(after.len());
        let (local, domain) = (before.get(start..)?.trim_start_matches(['.', '\'', '-']), after.get(..end)?.trim_end_matches(['.', '-']));
        person::email(&format!("{local}@{domain}"))
    })
}

/// A number that exists; without a country to read it by, also one that is the whole message.
fn phone_in(text: &str, country: Option<&str>) -> Option<String> {
    let exists = |number: &str| {
        let phone = person::phone(number, country)?;
        (has_digits(number) && !is_date(number) && phone.exists).then_some(phone.text)
    };
    // The longest first: a shorter one may exist, too, and be somebody else's.
    let mut numbers: Vec<&str> = subject::numbers_in(text).filter(|number| has_digits(number)).take(TRIES_MOST).collect();
    numbers.sort_by_key(|number| std::cmp::Reverse(number.len()));
    let whole = || Some(text.trim()).filter(|text| is_number(text)).map(str::to_owned);
    numbers.into_iter().find_map(exists).or_else(|| if country.is_none() { whole() } else { None })
}

fn has_digits(number: &str) -> bool {
    (DIGITS_LEAST..=DIGITS_MOST).contains(&number.bytes().filter(u8::is_ascii_digit).count())
}

fn is_number(text: &str) -> bool {
    let has_plus_inside = text.trim_start_matches('(').rfind('+').is_some_and(|at| at > 0);
    has_digits(text) && !is_date(text) && !has_plus_inside && text.chars().all(|c| c.is_ascii_digit() || "+()-./ ".contains(c))
}

/// `2026-11-22 10` has as many digits as a number, and so has `22.11.2026 10`.
fn is_date(text: &str) -> bool {
    let mut parts = text.split(['-', '/', '.']).map(|part| part.split(' ').next().unwrap_or_default().len());
    matches!((parts.next(), parts.next(), parts.next()), (Some(4), Some(1 | 2), Some(1 | 2)) | (Some(1 | 2), Some(1 | 2), Some(4)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_found_in_what_people_write() {
        for text in [
            "my mail is jane.doe@Example.com.",
            "(jane.doe@example.com)",
            "Sure! jane.doe@example.com, thanks",
            "email:jane.doe@example.com",
            "mail 'jane.doe@example.com'",
            "a @ b, or jane.doe@example.com",
        ] {
            assert_eq!(email_in(text).as_deref(), Some("jane.doe@example.com"), "{text}");
        }
        for text in ["", "@", "me @ home", "jane@localhost", "follow @jane.doe", "a@@b"] {
            assert_eq!(email_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_found_and_dates_orders_and_prices_are_none() {
        for (text, country, expected) in [
            ("call me: +1 415 555 2671 after 5", None, Some("+14155552671")),
            ("(415) 555-2671", Some("US"), Some("+14155552671")),
            ("my number is 415.555.2671.", Some("US"), Some("+14155552671")),
            ("415-555-2671", None, Some("415-555-2671")),
            ("order 4155552671", None, None),
            ("+1 434 567 +49.89", None, None),
            ("+1 415 555 2679 (0)30", None, Some("+14155552679")),
            ("2026-11-22 10:00", Some("US"), None),
            ("22.11.2026 10", Some("US"), None),
            ("about 1,800 a month", Some("US"), None),
            ("12345678", None, None),
        ] {
            assert_eq!(phone_in(text, country).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".{0,80}|[a-z@.+0-9() -]{0,80}", country in proptest::option::of("US|DE|IT|[A-Z]{2}")) {
            let _ = email_in(&text);
            let _ = phone_in(&text, country.as_deref());
        }

        #[test]
        fn an_address_is_found_wherever_it_stands(before in "[ ,;:(<]{0,3}", local in "[a-z]{1,8}", after in "[ ,;:)>!?.]{0,3}") {
            let text = format!("hi{before} {local}@example.com{after}");
            prop_assert_eq!(email_in(&text), Some(format!("{local}@example.com")));
        }
    }
}
