//! The person somebody asks about, by e-mail or phone: which events are theirs, and which texts mention them.
//!
//! Erasing must not take a stranger's data. An address counts where it stands alone (not within a longer one), and a number where
//! it is the same number, not where it ends alike.

use super::person;
use std::borrow::Cow;

/// Fewer digits are no number that a person could be told by.
const DIGITS_LEAST: usize = 7;
/// E.164 has 15 digits; with an exit code before them a few more.
const DIGITS_MOST: usize = 18;
/// Last digits, which are the same however the beginning is written.
const END: usize = 5;
/// Digits of a country's code.
const COUNTRY_MOST: usize = 3;
/// Groups of digits that people write one number in, at most.
const GROUPS_MOST: usize = 8;

/// Who is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// In lower case.
    email: Option<String>,
    /// Digits with the country's code: one number for each country that the question could mean.
    numbers: Vec<String>,
}

impl Subject {
    /// Of an e-mail address, a phone number or both; a number without its country's code is read as of each of `countries`.
    ///
    /// # Errors
    /// A sentence for a person, when neither is given or one says too little.
    pub fn new<'a>(email: Option<&str>, phone: Option<&str>, countries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let email = email.map(read_email).transpose()?;
        let numbers = phone.map(|phone| read_numbers(phone, countries)).transpose()?.unwrap_or_default();
        if email.is_none() && numbers.is_empty() {
            return Err("say who: --email ADDRESS, --phone NUMBER, or both".to_owned());
        }
        Ok(Self { email, numbers })
    }

    /// The address looked for, in lower case.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// The numbers looked for: digits with the country's code.
    #[must_use]
    pub fn numbers(&self) -> &[String] {
        &self.numbers
    }

    /// Whether an event with these contacts is of this person.
    #[must_use]
    pub fn is(&self, email: Option<&str>, phone: Option<&str>) -> bool {
        let is_email = email.is_some_and(|email| self.email.as_ref().is_some_and(|own| *own == email.trim().to_lowercase()));
        is_email || phone.is_some_and(|phone| self.is_number(phone, None))
    }

    /// Whether a number ends like one of this person's without being it, as far as is known.
    #[must_use]
    pub fn is_similar(&self, phone: &str) -> bool {
        let digits = digits(phone);
        let ends_alike = |own: &String| digits.len() >= DIGITS_LEAST && (own.ends_with(&digits) || digits.ends_with(own.as_str()));
        self.numbers.iter().any(ends_alike) && !self.is_number(phone, None)
    }

    /// Whether a text mentions this person, also when it is escaped as in JSON or a URL. `country` is where a number in it without a
    /// country's code is from.
    #[must_use]
    pub fn is_mentioned(&self, text: &str, country: Option<&str>) -> bool {
        readings(text).iter().any(|text| self.is_in(text, country))
    }

    fn is_in(&self, text: &str, country: Option<&str>) -> bool {
        let has_email = self.email.as_ref().is_some_and(|email| has_address(text, email));
        has_email || !self.numbers.is_empty() && numbers_in(text).any(|number| self.is_number(number, country))
    }

    /// Whether it is one of the numbers. A number in full is compared in full, as it stands or as its country reads it; one without its country's code is read as of
    /// `country`, or else as the end of ours.
    fn is_number(&self, text: &str, country: Option<&str>) -> bool {
        let digits = digits(text);
        if !(DIGITS_LEAST..=DIGITS_MOST).contains(&digits.len()) {
            return false;
        }
        let is_ours = |digits: &str| self.numbers.iter().any(|own| own == digits);
        let text = text.trim();
        if text.starts_with('+') || text.starts_with("00") || is_ours(&digits) {
            return is_ours(&digits) || self.ends_like(&digits) && e164(text, country).is_some_and(|full| is_ours(&full));
        }
        let lacks_country = |own: &String| own.strip_suffix(&digits).is_some_and(|code| code.len() <= COUNTRY_MOST);
        match country {
            Some(country) => e164(text, Some(country)).is_some_and(|full| is_ours(&full)),
            None => self.numbers.iter().any(lacks_country),
        }
    }

    /// Whether it can be one of the numbers at all, which is asked before a number is read by the rules of its country: people write a zero
    /// there that is dialled at home alone, as in `+49 (0)30 901820`.
    fn ends_like(&self, digits: &str) -> bool {
        let end = digits.get(digits.len().saturating_sub(END)..).unwrap_or_default();
        self.numbers.iter().any(|own| own.ends_with(end))
    }
}

fn read_email(text: &str) -> Result<String, String> {
    let email = person::email(text).unwrap_or_else(|| text.trim().to_owned()).to_lowercase();
    // A lone name or domain would be found in the addresses of many.
    let is_address = email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if is_address { Ok(email) } else { Err(format!("`{text}` is no e-mail address")) }
}

fn read_numbers<'a>(text: &str, countries: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let plain = digits(text);
    if plain.len() < DIGITS_LEAST || plain.len() > DIGITS_MOST {
        return Err(format!("`{text}` is no phone number; write it with its country's code, such as +14155552671"));
    }
    if text.trim().starts_with('+') || text.trim().starts_with("00") {
        return Ok(vec![e164(text, None).unwrap_or(plain)]);
    }
    let mut numbers: Vec<String> = countries.into_iter().filter_map(|country| e164(text, Some(country))).collect();
    numbers.sort();
    numbers.dedup();
    // Else it is taken for one that was written with its country's code and without the sign before it.
    if numbers.is_empty() { Ok(vec![plain]) } else { Ok(numbers) }
}

/// Digits with the country's code, when it is a number that exists.
fn e164(text: &str, country: Option<&str>) -> Option<String> {
    let phone = person::phone(text, country).filter(|phone| phone.exists)?;
    phone.text.strip_prefix('+').map(str::to_owned)
}

/// The digits, without the zeros before them that people write or leave out.
fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect::<String>().trim_start_matches('0').to_owned()
}

/// The text as it stands and with its escapes undone, as often as somebody may have wrapped it.
fn readings(text: &str) -> Vec<Cow<'_, str>> {
    const WRAPPED_MOST: usize = 3;
    let mut readings = vec![Cow::Borrowed(text)];
    if text.contains('%') {
        readings.push(Cow::Owned(undo_percent(text)));
    }
    let mut last = 0;
    for _ in 0..WRAPPED_MOST {
        let Some(wrapped) = readings.get(last).filter(|text| text.contains('\\')) else { break };
        let unwrapped = Cow::Owned(undo_backslashes(wrapped));
        readings.push(unwrapped);
        last = readings.len() - 1;
    }
    readings
}

/// What is escaped as in JSON, in a text that need not be JSON.
fn undo_backslashes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('u') => {
                let (c, length) = code_unit(after);
                plain.push(c);
                rest = after.get(length..).unwrap_or_default();
                continue;
            }
            Some('n' | 'r' | 't' | 'b' | 'f') => plain.push(' '),
            Some(other) => plain.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    plain.push_str(rest);
    plain
}

/// The character of `uXXXX` at the start, and how many bytes that takes; a pair of surrogates, which no address or number has, is
/// read as two unknown characters.
fn code_unit(text: &str) -> (char, usize) {
    let read = text.get(1..5).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match read {
        Some(code) => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 5),
        None => ('u', 1),
    }
}

fn undo_percent(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        let hex = rest.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                bytes = rest.get(2..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Whether the address stands in the text, and not as a part of a longer one.
fn has_address(text: &str, email: &str) -> bool {
    let is_local = |c: char| c.is_alphanumeric() || "._+-'".contains(c);
    let is_domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let text = text.to_lowercase();
    text.match_indices(email).any(|(at, _)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + email.len()..).unwrap_or_default());
        let more_before = before.get(before.trim_end_matches(is_local).len()..).unwrap_or_default();
        let more_after = after.get(..after.find(|c| !is_domain(c)).unwrap_or(after.len())).unwrap_or_default();
        // No address begins or ends with these, so that they are quotes, dashes and ends of sentences.
        more_before.trim_start_matches(['.', '\'', '-']).is_empty() && more_after.trim_end_matches(['.', '-']).is_empty()
    })
}

/// Everything in the text that could be one number: groups of digits with little between them, in every way to put neighbours
/// together, but never the end of a number that begins with a plus sign.
pub(super) fn numbers_in(text: &str) -> impl Iterator<Item = &str> {
    let groups = groups(text);
    let mut in_full_until = 0;
    (0..groups.len()).flat_map(move |first| {
        let beginnings = beginnings(text, groups.get(first..).unwrap_or_default());
        let start = groups.get(first).map_or(0, |group| group.0);
        if start < in_full_until {
            return Vec::new();
        }
        if text.get(start..).is_some_and(|number| number.starts_with('+')) {
            in_full_until = beginnings.last().map_or(0, |end| *end);
        }
        beginnings.into_iter().filter_map(|end| text.get(start..end)).collect()
    })
}

/// Where a number that begins with the first of these groups may end.
fn beginnings(text: &str, groups: &[(usize, usize)]) -> Vec<usize> {
    let (mut ends, mut digits) = (Vec::new(), 0);
    for (from, to) in groups.iter().take(GROUPS_MOST) {
        let has_plus = text.get(*from..).is_some_and(|group| group.starts_with('+'));
        digits += to - from - usize::from(has_plus);
        let is_next = ends.last().is_none_or(|end| !has_plus && is_gap(text.get(*end..*from).unwrap_or_default()));
        if digits > DIGITS_MOST || !is_next {
            break;
        }
        ends.push(*to);
    }
    ends
}

/// Where digits stand together, with a plus sign before them.
fn groups(text: &str) -> Vec<(usize, usize)> {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let bytes = text.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
        match groups.last_mut() {
            Some((_, end)) if *end == at => *end = at + 1,
            _ => {
                let has_plus = at > 0 && bytes.get(at - 1) == Some(&b'+');
                groups.push((at - usize::from(has_plus), at + 1));
            }
        }
    }
    groups
}

/// What people write between the digits of one number.
fn is_gap(between: &str) -> bool {
    between.chars().count() <= 3 && between.chars().all(|c| "()-./ \u{A0}\u{2010}\u{2011}\u{2012}\u{2013}".contains(c))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn jane() -> Subject {
        Subject::new(Some("Jane.Doe@Example.com"), None, []).unwrap()
    }

    fn caller() -> Subject {
        Subject::new(None, Some("+1 415-555-2671"), []).unwrap()
    }

    #[test]
    fn an_address_is_the_same_in_any_case_and_no_other_is() {
        assert!(jane().is(Some("JANE.DOE@example.com"), None));
        for other in ["jane_doe@example.com", "janexdoe@example.com", "jane.doe@example.com.au", "maryjane.doe@example.com", "%"] {
            assert!(!jane().is(Some(other), None), "{other}");
        }
    }

    #[test]
    fn wildcards_are_letters_like_others() {
        for wild in ["%@example.com", "j___.doe@example.com"] {
            let subject = Subject::new(Some(wild), None, []).unwrap();
            assert!(!subject.is(Some("jane.doe@example.com"), None));
            assert!(!subject.is_mentioned("write to jane.doe@example.com", None));
        }
        assert!(Subject::new(Some("%"), None, []).is_err());
        assert!(Subject::new(None, Some("%"), []).is_err());
        assert!(Subject::new(None, Some("555"), []).is_err());
        assert!(Subject::new(None, None, []).is_err());
    }

    #[test]
    fn an_address_is_found_however_it_is_wrapped() {
        for text in [
            "write to jane.doe@EXAMPLE.com.",
            r#"{"Email":"jane.doe\u0040example.com"}"#,
            r#"{"Email":"\u006aane.doe@example.com"}"#,
            r#"{"Content":"mail\njane.doe@example.com"}"#,
            r#"{"inner":"{\"Email\":\"jane.doe\\u0040example.com\"}"}"#,
            "name=Jane&email=jane.doe%40example.com",
            "<jane.doe@example.com>",
            "my mail:...jane.doe@example.com",
            "- 'jane.doe@example.com'",
            "jane.doe@example.com- thanks",
        ] {
            assert!(jane().is_mentioned(text, None), "{text}");
        }
        for text in [
            "maryjane.doe@example.com",
            "x.jane.doe@example.com",
            "o'jane.doe@example.com",
            "jane.doe@example.com.au",
            "jane.doe@example.community",
            "",
        ] {
            assert!(!jane().is_mentioned(text, None), "{text}");
        }
    }

    #[test]
    fn a_number_in_full_is_compared_in_full() {
        for text in ["+14155552671", "+1 (415) 555-2671", "0014155552671", "14155552671", "415-555-2671"] {
            assert!(caller().is(None, Some(text)), "{text}");
        }
        // The same last digits in another country or area, and what is no number.
        for text in ["+494155552671", "+15552671", "+24155552671", "9994155552671", "2671", "", "%"] {
            assert!(!caller().is(None, Some(text)), "{text}");
        }
        assert!(!caller().is_similar("+14155552671"));
    }

    #[test]
    fn a_number_without_its_country_is_read_as_of_the_sources() {
        let subject = Subject::new(None, Some("0151 23456789"), ["DE"]).unwrap();
        assert_eq!(subject.numbers(), ["4915123456789"]);
        assert!(subject.is(None, Some("+4915123456789")));
        assert!(subject.is_mentioned("call 0151/234 567 89 please", Some("DE")));
        assert!(!subject.is_mentioned("call 0151/234 567 88 please", Some("DE")));
        assert_eq!(Subject::new(None, Some("+1 434 567 89"), []).unwrap().numbers(), ["143456789"], "no such number");
        let nowhere = Subject::new(None, Some("0151 23456789"), []).unwrap();
        assert!(!nowhere.is(None, Some("+4915123456789")), "a stranger's number may end alike");
        assert!(nowhere.is_similar("+4915123456789"));
    }

    #[test]
    fn a_number_with_the_zero_of_its_country_is_the_same_number() {
        let subject = Subject::new(None, Some("+49 (0)30 901820"), []).unwrap();
        assert_eq!(subject.numbers(), ["4930901820"]);
        for text in ["+49 (0)30 901820", "+49 (030) 901820", "+4930901820"] {
            assert!(subject.is(None, Some(text)) && subject.is_mentioned(&format!("call {text}, please"), None), "{text}");
        }
    }

    #[test]
    fn a_number_is_found_among_others() {
        for text in ["tel 5551234 (415) 555-2671 4155550000", r#"{"Phone":"+1 415 555 2671"}"#, "Phone=%2B14155552671", "1.415.555.2671"] {
            assert!(caller().is_mentioned(text, None), "{text}");
        }
        for text in ["2026-11-22T10:41:55.552671Z", "order 99415555267199", "+44 415 555 2671"] {
            assert!(!caller().is_mentioned(text, Some("US")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, email: String, phone: String) {
            if let Ok(subject) = Subject::new(Some(&email), Some(&phone), ["US"]) {
                let _ = subject.is_mentioned(&text, Some("US"));
                let _ = subject.is(Some(&text), Some(&text));
            }
            let _ = jane().is_mentioned(&text, None);
            let _ = caller().is_mentioned(&format!("+1 {text} 415{text}"), None);
        }

        #[test]
        fn an_address_in_any_json_is_found(before: String, after: String) {
            let text = serde_json::to_string(&format!("{before} jane.doe@example.com {after}")).unwrap();
            prop_assert!(jane().is_mentioned(&text, None));
        }
    }
}
