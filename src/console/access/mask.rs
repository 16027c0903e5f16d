//! What a visitor sees of persons who may see how things stand, and not whom they are about.

use super::Visitor;
use crate::console::{Kind, Refusal};
use leadwire_connector::Event;
use serde_json::Value;
use std::borrow::Cow;

const DOTS: &str = "•••";
/// Fewer digits are not a telephone number that somebody knows whole.
const FEWEST_DIGITS: usize = 7;

/// Pages and API pass what they show of a person through this; it changes nothing for those who may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    is_on: bool,
}

impl Mask {
    /// The one for this visitor.
    #[must_use]
    pub fn of(visitor: &Visitor) -> Self {
        Self { is_on: visitor.masked }
    }

    /// Whether anything is masked; for what cannot be told in part.
    #[must_use]
    pub fn hides(self) -> bool {
        self.is_on
    }

    /// `j•••@e•••.com`
    #[must_use]
    pub fn email<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.apply(text, |text| {
            let Some((local, domain)) = text.rsplit_once('@') else { return DOTS.to_owned() };
            let end = domain.rsplit_once('.').map(|(_, end)| format!(".{end}")).unwrap_or_default();
            format!("{}@{}{end}", initial(local), initial(domain))
        })
    }

    /// `•••• 4567`
    #[must_use]
    pub fn phone<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.apply(text, |text| {
            let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
            let end = digits.len().checked_sub(4).filter(|_| digits.len() >= FEWEST_DIGITS).and_then(|start| digits.get(start..));
            end.map_or_else(|| "••••".to_owned(), |end| format!("•••• {}", end.iter().collect::<String>()))
        })
    }

    /// `J•••`
    #[must_use]
    pub fn name<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.apply(text, |text| text.split_whitespace().map(initial).collect::<Vec<_>>().join(" "))
    }

    /// Anything a person wrote.
    #[must_use]
    pub fn text<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.apply(text, |text| format!("{DOTS} ({} characters)", text.chars().count()))
    }

    /// The address of a page, without what follows it: forms write names and addresses there.
    #[must_use]
    pub fn page<'t>(self, text: &'t str) -> Cow<'t, str> {
        self.apply(text, |text| match text.find(['?', '#']) {
            Some(end) => format!("{}{DOTS}", text.get(..=end).unwrap_or_default()),
            None => text.to_owned(),
        })
    }

    /// A payload, request or answer: its form without its values, since any may be about the person.
    pub fn json(self, value: &mut Value) {
        if !self.is_on {
            return;
        }
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(table) => table.values_mut().for_each(|item| self.json(item)),
            Value::String(_) | Value::Number(_) => *value = Value::String(DOTS.to_owned()),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// A whole event.
    pub fn event(self, event: &mut Event) {
        if !self.is_on {
            return;
        }
        let person = &mut event.person;
        replace(&mut person.first_name, |text| self.name(text));
        replace(&mut person.last_name, |text| self.name(text));
        replace(&mut person.email, |text| self.email(text));
        replace(&mut person.phone, |text| self.phone(text));
        replace(&mut event.content, |text| self.text(text));
        replace(&mut event.page_url, |text| self.page(text));
        for message in event.conversation.iter_mut().flat_map(|conversation| &mut conversation.messages) {
            message.text = self.text(&message.text).into_owned();
        }
        event.extra.values_mut().for_each(|value| self.json(value));
        self.json(&mut event.raw);
    }

    /// Whether this may be searched for. "Where is my lead?" is answered to those, too, who see persons masked; but searching by parts of
    /// words would tell letter by letter what is masked. So they ask by what they know whole: an e-mail address, a telephone number, or
    /// a session or other id.
    ///
    /// # Errors
    /// With what may be searched for.
    pub fn may_search(self, text: &str) -> Result<(), Refusal> {
        let text = text.trim();
        let digits = text.chars().filter(char::is_ascii_digit).count();
        let is_email = text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && domain.rsplit_once('.').is_some_and(|(name, end)| !name.is_empty() && end.len() >= 2)
        });
        let is_phone = digits >= FEWEST_DIGITS && text.chars().all(|c| c.is_ascii_digit() || "+()-./ ".contains(c));
        let is_id = digits >= 2 && text.len() >= 8 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let is_one_word = !text.contains(char::is_whitespace);
        if !self.is_on || text.is_empty() || is_phone || (is_one_word && (is_email || is_id)) {
            return Ok(());
        }
        let message = "persons are masked for you; search by a whole e-mail address, a whole telephone number or a session";
        Err(Refusal::new(Kind::Forbidden, message))
    }

    fn apply<'t>(self, text: &'t str, mask: impl FnOnce(&str) -> String) -> Cow<'t, str> {
        if self.is_on && !text.is_empty() { Cow::Owned(mask(text)) } else { Cow::Borrowed(text) }
    }
}

fn initial(text: &str) -> String {
    text.chars().next().map(|first| format!("{first}{DOTS}")).unwrap_or_default()
}

fn replace(field: &mut Option<String>, mask: impl Fn(&str) -> Cow<'_, str>) {
    if let Some(text) = field {
        *text = mask(text).into_owned();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ON: Mask = Mask { is_on: true };
    const OFF: Mask = Mask { is_on: false };

    #[test]
    fn a_person_is_told_apart_and_not_told() {
        assert_eq!(ON.email("jane@example.com"), "j•••@e•••.com");
        assert_eq!(ON.email("not an address"), "•••");
        assert_eq!(ON.phone("+1 (415) 555-4567"), "•••• 4567");
        assert_eq!(ON.phone("4567"), "••••");
        assert_eq!(ON.name("José van Dyk"), "J••• v••• D•••");
        assert_eq!(ON.text("call me"), "••• (7 characters)");
        assert_eq!(ON.page("https://example.com/form?email=a@b.c"), "https://example.com/form?•••");
        assert_eq!(OFF.email("jane@example.com"), "jane@example.com");
        assert_eq!(ON.email(""), "");
    }

    #[test]
    fn of_a_payload_only_its_form_is_shown() {
        let mut payload = json!({"Email": "a@b.c", "list": [1, true, null, {"x": "y"}]});
        ON.json(&mut payload);
        assert_eq!(payload, json!({"Email": "•••", "list": ["•••", true, null, {"x": "•••"}]}));
    }

    #[test]
    fn what_is_known_whole_may_be_searched_for() {
        for text in ["", "jane@example.com", "+1 415 555 4567", "0199f3c2-7a10", "session_12345"] {
            assert!(ON.may_search(text).is_ok(), "{text}");
        }
        for text in ["jane", "jane@", "j@e", "smith jane@example.com", "call me", "415", "roofing repair 2"] {
            assert!(ON.may_search(text).is_err() && OFF.may_search(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_masked_word_is_left_but_its_beginning(word in "[b-df-hj-np-tv-z]{6,30}") {
            for masked in [ON.email(&word), ON.name(&word), ON.text(&word), ON.phone(&word)] {
                prop_assert!(!masked.contains(&word[1..]) , "{}", masked);
            }
            let address = format!("{word}@{word}.com");
            prop_assert!(!ON.email(&address).contains(&word[1..]));
        }
    }
}
