//! The words by which events are found: those that an event has, and those that a person's text asks for.
//!
//! An event is found when it has every word that is asked for; nothing else decides. The index only proposes.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::ops::Bound;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Different words of one event that are found, at most; a long chat has more.
pub(in crate::store) const MAX_WORDS: usize = 400;
/// What is looked at of one event's texts, in characters.
const MAX_TEXT: usize = 64 << 10;
/// Bytes of a word that count.
const MAX_WORD: usize = 48;
/// What is looked at of what a person types, in characters, and how many words of it count.
const MAX_ASKED: usize = 1_024;
const MAX_CLAUSES: usize = 24;
/// Digits in a text that may be a telephone number.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=20;
/// Last digits by which a telephone number is found.
const MIN_DIGITS: usize = 3;

/// What begins words that no text has: values that are asked for as they are. Those with a capital letter are not about a person.
const SOURCE: &str = "=F";
const KIND: &str = "=K";
const EMAIL: &str = "=e";
const SESSION: &str = "=s";
const CHATBOT: &str = "=c";
/// What begins the digits of a number, last digit first: those who ask know the last ones.
const PHONE: &str = "#";

/// Whether a word stays when its event's person is erased.
pub(in crate::store) fn stays(word: &[u8]) -> bool {
    word.starts_with(SOURCE.as_bytes()) || word.starts_with(KIND.as_bytes())
}

/// The words of one event.
#[derive(Debug, Default)]
pub(in crate::store) struct Words {
    words: BTreeSet<String>,
    /// Characters of text that may still be looked at.
    left: usize,
}

/// What is read of a stored event.
#[derive(Deserialize)]
struct Body<'a> {
    kind: String,
    source: String,
    chatbot_id: Option<String>,
    person: Person,
    content: Option<String>,
    session_id: Option<String>,
    #[serde(default)]
    chatbot_name: Option<String>,
    #[serde(default)]
    messages: Option<Vec<Message>>,
    #[serde(default)]
    extra: Value,
    #[serde(borrow)]
    raw: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Person {
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

impl Words {
    /// Of an event as it is kept; none of one that cannot be read.
    pub(in crate::store) fn of(body: &str) -> Self {
        let mut words = Self { words: BTreeSet::new(), left: MAX_TEXT };
        if let Ok(body) = serde_json::from_str::<Body<'_>>(body) {
            words.add_body(&body);
        }
        words
    }

    pub(in crate::store) fn into_iter(self) -> impl Iterator<Item = String> {
        self.words.into_iter()
    }

    /// What names the event comes first, so that a long chat cannot crowd it out.
    fn add_body(&mut self, body: &Body<'_>) {
        self.add(SOURCE, &body.source);
        self.add(KIND, &body.kind);
        let person = &body.person;
        if let Some(email) = &person.email {
            self.add(EMAIL, &email.to_ascii_lowercase());
        }
        if let Some(phone) = &person.phone {
            self.add(PHONE, &backwards(&digits(phone)));
        }
        if let Some(session) = &body.session_id {
            self.add(SESSION, session);
        }
        for chatbot in [&body.chatbot_id, &body.chatbot_name].into_iter().flatten() {
            self.add(CHATBOT, &fold(chatbot));
        }
        let named = [&person.first_name, &person.last_name, &person.email, &person.phone, &body.session_id, &body.chatbot_id];
        named.into_iter().chain([&body.chatbot_name, &body.content]).flatten().for_each(|text| self.add_text(text));
        self.add_value(&body.extra);
        body.messages.iter().flatten().for_each(|message| self.add_text(&message.text));
        if body.kind == "unrecognized"
            && let Some(raw) = body.raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        {
            self.add_value(&raw);
        }
    }

    /// The texts in a value of the sender's; it was parsed, so it is no deeper than a parser allows.
    fn add_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add_text(text),
            Value::Number(number) => self.add_text(&number.to_string()),
            Value::Array(values) => values.iter().for_each(|value| self.add_value(value)),
            Value::Object(fields) => fields.values().for_each(|value| self.add_value(value)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn add_text(&mut self, text: &str) {
        let text: String = text.chars().take(self.left).collect();
        self.left = self.left.saturating_sub(text.chars().count());
        if self.left == 0 && text.is_empty() {
            return;
        }
        let folded = fold(&text);
        for chunk in chunks(&folded) {
            words(chunk).into_iter().for_each(|word| self.add("", word));
            if let Some((address, domain)) = address(chunk) {
                self.add("", address);
                self.add("", domain);
            }
        }
        numbers(&folded).for_each(|number| self.add(PHONE, &backwards(&number)));
    }

    fn add(&mut self, mark: &str, word: &str) {
        if self.words.len() < MAX_WORDS {
            self.words.insert(cut(mark, word));
        }
    }

    fn has(&self, word: &Word) -> bool {
        if !word.is_beginning {
            return self.words.contains(&word.text);
        }
        let from = (Bound::Included(word.text.as_str()), Bound::Unbounded);
        self.words.range::<str, _>(from).next().is_some_and(|found| found.starts_with(&word.text))
    }
}

/// Small letters without accents, and one form of those that have several.
fn fold(text: &str) -> String {
    // Most texts by far, and the same.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

/// A word with its mark, no longer than the index keeps it.
fn cut(mark: &str, word: &str) -> String {
    let mut text = format!("{mark}{}", word.get(..word.floor_char_boundary(MAX_WORD)).unwrap_or_default());
    text.shrink_to_fit();
    text
}

fn chunks(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|chunk| !chunk.is_empty())
}

/// Letters and digits that stand together. Scripts that put no space between words have a word for each letter.
fn words(chunk: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for run in chunk.split(|c: char| !c.is_alphanumeric()) {
        let mut start = 0;
        for (at, c) in run.char_indices().filter(|(_, c)| stands_alone(*c)) {
            let end = at + c.len_utf8();
            words.extend([run.get(start..at), run.get(at..end)].into_iter().flatten());
            start = end;
        }
        words.extend(run.get(start..));
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Thai and its neighbours, Japanese and Chinese.
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// An e-mail address, and its domain with the sign before it.
fn address(chunk: &str) -> Option<(&str, &str)> {
    let chunk = chunk.trim_matches(|c: char| !c.is_alphanumeric());
    let at = chunk.find('@')?;
    Some((chunk, chunk.get(at..)?))
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn backwards(digits: &str) -> String {
    digits.chars().rev().collect()
}

fn is_in_number(c: char) -> bool {
    c.is_ascii_digit() || "+()-./ \u{2010}\u{2011}\u{2013}".contains(c)
}

/// What may be telephone numbers in a text, as digits.
fn numbers(text: &str) -> impl Iterator<Item = String> {
    let runs = text.split(|c: char| !is_in_number(c)).filter(|run| run.len() >= *PHONE_DIGITS.start());
    runs.map(|run| digits(&run.replace("(0)", ""))).filter(|digits| PHONE_DIGITS.contains(&digits.len()))
}

/// A word that is asked for, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Word {
    pub(in crate::store) text: String,
    pub(in crate::store) is_beginning: bool,
}

impl Word {
    fn whole(mark: &str, text: &str) -> Self {
        Self { text: cut(mark, text), is_beginning: false }
    }

    fn beginning(mark: &str, text: &str) -> Self {
        Self { text: cut(mark, text), is_beginning: true }
    }
}

/// One of these must be there, each of them with all of its words.
type Clause = Vec<Vec<Word>>;

/// What events must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Query {
    pub(in crate::store) clauses: Vec<Clause>,
}

impl Query {
    pub(in crate::store) fn is_met_by(&self, words: &Words) -> bool {
        self.clauses.iter().all(|clause| clause.iter().any(|all| all.iter().all(|word| words.has(word))))
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    pub(in crate::store) fn add_email(&mut self, email: &str) {
        self.clauses.push(vec![vec![Word::whole(EMAIL, &email.to_ascii_lowercase())]]);
    }

    /// By the last digits.
    pub(in crate::store) fn add_phone(&mut self, digits: &str) {
        self.clauses.push(vec![vec![Word::beginning(PHONE, &backwards(digits))]]);
    }

    pub(in crate::store) fn add_session(&mut self, session: &str) {
        self.clauses.push(vec![vec![Word::whole(SESSION, session)]]);
    }

    pub(in crate::store) fn add_chatbot(&mut self, chatbot: &str) {
        self.clauses.push(vec![vec![Word::whole(CHATBOT, &fold(chatbot))]]);
    }

    pub(in crate::store) fn add_source(&mut self, source: &str) {
        self.clauses.push(vec![vec![Word::whole(SOURCE, source)]]);
    }

    pub(in crate::store) fn add_kind(&mut self, kind: &str) {
        self.clauses.push(vec![vec![Word::whole(KIND, kind)]]);
    }

    /// What makes two events one person's: the e-mail, the number, or the session of a chatbot.
    pub(in crate::store) fn related(event: &leadwire_connector::Event) -> Self {
        let (person, mut clause) = (&event.person, Clause::new());
        clause.extend(person.email.as_ref().map(|email| vec![Word::whole(EMAIL, &email.to_ascii_lowercase())]));
        let phone = person.phone.as_deref().map(digits).filter(|digits| PHONE_DIGITS.contains(&digits.len()));
        clause.extend(phone.map(|digits| vec![Word::whole(PHONE, &backwards(&digits))]));
        clause.extend(event.session_id.as_ref().map(|session| {
            let chatbot = event.chatbot_id.as_ref().map(|chatbot| Word::whole(CHATBOT, &fold(chatbot)));
            [Word::whole(SESSION, session), Word::whole(SOURCE, &event.source)].into_iter().chain(chatbot).collect()
        }));
        Self { clauses: vec![clause] }
    }

    /// What a person types: of each word its beginning, of an address its beginning or its domain, of a number its last digits. A text
    /// without a word finds nothing, and one of nothing but spaces asks for nothing.
    pub(in crate::store) fn add_text(&mut self, text: &str) {
        let folded = fold(&text.chars().take(MAX_ASKED).collect::<String>());
        let chunks: Vec<&str> = chunks(&folded).collect();
        let (mut at, before) = (0, self.clauses.len());
        while let Some(chunk) = chunks.get(at) {
            let length = chunks.get(at..).unwrap_or_default().iter().take_while(|chunk| is_number(chunk)).count();
            let clause = match chunks.get(at..at + length) {
                Some(run) if length > 0 => number_clause(run),
                _ => chunk_clause(chunk),
            };
            at += length.max(1);
            if self.clauses.len() < before + MAX_CLAUSES && !clause.is_empty() {
                self.clauses.push(clause);
            }
        }
        if self.clauses.len() == before && !chunks.is_empty() {
            self.clauses.push(Clause::new());
        }
    }
}

fn is_number(chunk: &str) -> bool {
    chunk.chars().all(is_in_number) && chunk.contains(|c: char| c.is_ascii_digit())
}

/// People write numbers in pieces; what is one may be several as well.
fn number_clause(run: &[&str]) -> Clause {
    let mut clause = vec![beginnings(&run.join(" "))];
    let digits = digits(&run.join(" ").replace("(0)", ""));
    let digits = digits.trim_start_matches('0');
    if digits.len() >= MIN_DIGITS {
        clause.push(vec![Word::beginning(PHONE, &backwards(digits))]);
    }
    clause
}

fn chunk_clause(chunk: &str) -> Clause {
    let trimmed = chunk.trim_matches(|c: char| !c.is_alphanumeric() && c != '@');
    if trimmed.contains('@') && trimmed.len() > 1 {
        return vec![vec![Word::beginning("", trimmed)]];
    }
    let words = beginnings(chunk);
    if words.is_empty() { Clause::new() } else { vec![words] }
}

/// The words of a chunk, the last of which may go on.
fn beginnings(chunk: &str) -> Vec<Word> {
    let mut words: Vec<Word> = words(chunk).into_iter().map(|word| Word::whole("", word)).collect();
    if let Some(last) = words.last_mut() {
        last.is_beginning = true;
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn body(change: impl FnOnce(&mut Value)) -> String {
        let mut body = json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": "59001DD",
            "person": {"first_name": "José", "last_name": "García-Müller", "email": "Jose.Garcia+x@mail.example.com", "phone": "+493012345"},
            "content": "Möchte ein Angebot; call +1 (555) 010-0199 please", "session_id": "31305", "page_url": null,
            "created_at": null, "received_at": "2026-11-22T05:17:00.000000Z", "extra": {"Budget": "10000 EUR"}, "raw": {"hidden": "secretword"}
        });
        change(&mut body);
        body.to_string()
    }

    fn finds(text: &str, body: &str) -> bool {
        let mut query = Query::default();
        query.add_text(text);
        query.is_met_by(&Words::of(body))
    }

    #[test]
    fn a_lead_is_found_by_whatever_a_person_knows_of_it() {
        let lead = body(|_| {});
        for text in [
            "José",
            "jose",
            "GARCIA",
            "müller",
            "muller jos",
            "garcía-müller",
            "jose.garcia+x@mail.example.com",
            "jose.garcia+x@ma",
            "@mail.example.com",
            "example.com",
            "mail.exam",
            "jose.garcia",
            "+49 30 12345",
            "0049 30 12345",
            "030-12345",
            "+49 (0)30 12345",
            "2345",
            "31305",
            "59001dd",
            "angebot",
            "mochte",
            "555 010 0199",
            "(555) 010-0199",
            "0199",
            "budget 10000",
            "10000 eur",
            "",
            "   ",
        ] {
            let expected = text != "budget 10000";
            assert_eq!(finds(text, &lead), expected, "{text}");
        }
        for text in [
            "ose",
            "garcia david",
            "mail@example.com",
            "secretword",
            "%",
            "_",
            "\"",
            "'; --",
            "*",
            "NOT",
            "99",
            "12346",
            "@gmail.com",
            "@",
            "\0",
        ] {
            assert_eq!(finds(text, &lead), text == "\0", "{text:?}");
        }
    }

    #[test]
    fn a_chat_is_found_by_what_was_said_and_by_its_chatbot() {
        let chat = body(|body| {
            body["kind"] = "conversation".into();
            body["chatbot_name"] = "Sunny Bot".into();
            body["messages"] = json!([{"author": "user", "text": "Write to ann@x.org, or 東京都 مرحبا"}]);
        });
        for text in ["sunny", "ann@x.org", "@x.org", "京都", "مرحبا"] {
            assert!(finds(text, &chat), "{text}");
        }
        let mut query = Query::default();
        query.add_chatbot("SUNNY bot");
        assert!(query.is_met_by(&Words::of(&chat)));
    }

    #[test]
    fn what_has_no_known_shape_is_found_by_its_texts() {
        assert!(finds("secretword", &body(|body| body["kind"] = "unrecognized".into())));
    }

    #[test]
    fn a_long_chat_has_a_bounded_number_of_words_and_its_name_among_them() {
        let text: String = (0..100_000).map(|n| format!("word{n} ")).collect();
        let chat = body(|body| body["messages"] = json!([{"author": "user", "text": text}]));
        assert_eq!(Words::of(&chat).words.len(), MAX_WORDS);
        assert!(finds("garcia", &chat) && finds("word7", &chat) && !finds("word99999", &chat));
    }

    proptest! {
        #[test]
        fn every_text_is_searched_for_without_a_panic_and_finds_itself(text in ".{0,200}") {
            let lead = body(|body| body["content"] = text.clone().into());
            for chunk in text.split_whitespace().filter(|chunk| chunk.chars().all(char::is_alphabetic)) {
                prop_assert!(finds(chunk, &lead), "{chunk:?}");
            }
            finds(&text, &lead);
        }
    }
}
