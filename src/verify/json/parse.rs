//! From bytes to a [`Value`], as `JSON.parse` behind Express's body parser would: one pass, hostile input expected.

use super::{JsString, Value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// How deep arrays and objects may nest. Real bodies have six levels; Node's own `JSON.stringify` gives up between 4,000 and 5,000.
const MAX_DEPTH: u32 = 1_000;
/// A value takes up to sixteen times its bytes in memory, and an unsigned body is parsed too. The largest chat log that fits the
/// default size limit has fewer values than this.
const MAX_VALUES: u32 = 4_000_000;
/// Up to here, looking at every key before costs less than hashing them.
const FEW_KEYS: usize = 16;

/// Why a body is no JSON that is acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct ParseError {
    what: &'static str,
    at: usize,
}

/// Reads a body.
///
/// One byte order mark at the start is dropped, and what is not UTF-8 becomes U+FFFD, as the WHATWG decoder does it. A body of
/// nothing is an empty object. An object has its keys in JavaScript's order: array indexes first, ascending, then the others as they
/// came; of a key given more than once the last value counts, in the first place.
///
/// # Errors
/// What is not JSON (RFC 8259), a top level that is neither object nor array, more than 1,000 levels, more than 4,000,000 values.
pub fn parse(bytes: &[u8]) -> Result<Value, ParseError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.is_empty() {
        return Ok(Value::Object(Vec::new()));
    }
    let text = String::from_utf8_lossy(bytes);
    Parser { text: &text, at: 0, values: 0 }.document()
}

type Parsed<T> = Result<T, ParseError>;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: u32,
}

impl<'a> Parser<'a> {
    fn document(mut self) -> Parsed<Value> {
        self.skip_white_space();
        if !matches!(self.peek(), Some(b'{' | b'[')) {
            return self.fail("expected an object or an array");
        }
        let value = self.value(0)?;
        self.skip_white_space();
        if self.peek().is_some() { self.fail("expected the end") } else { Ok(value) }
    }

    fn value(&mut self, depth: u32) -> Parsed<Value> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return self.fail("more than 4,000,000 values");
        }
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.fail("expected a value"),
        }
    }

    fn array(&mut self, depth: u32) -> Parsed<Value> {
        self.open(depth)?;
        let mut items = Vec::new();
        if self.eat(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.closes(b']')? {
                return Ok(Value::Array(items));
            }
        }
    }

    fn object(&mut self, depth: u32) -> Parsed<Value> {
        self.open(depth)?;
        let mut entries = Vec::new();
        if self.eat(b'}') {
            return Ok(Value::Object(entries));
        }
        loop {
            let key = self.key()?;
            let value = self.value(depth)?;
            put(&mut entries, key, value);
            if self.closes(b'}')? {
                return Ok(Value::Object(in_property_order(entries)));
            }
        }
    }

    /// A key, its colon, and the white space after it.
    fn key(&mut self) -> Parsed<JsString> {
        if self.peek() != Some(b'"') {
            return self.fail("expected a key");
        }
        let key = self.string()?;
        self.skip_white_space();
        if !self.eat(b':') {
            return self.fail("expected `:`");
        }
        self.skip_white_space();
        Ok(key)
    }

    /// A bracket that opens, and the white space after it.
    fn open(&mut self, depth: u32) -> Parsed<()> {
        if depth > MAX_DEPTH {
            return self.fail("more than 1,000 levels");
        }
        self.at += 1;
        self.skip_white_space();
        Ok(())
    }

    /// After an item: whether `bracket` closes the list, or else, past the comma, the next item begins.
    fn closes(&mut self, bracket: u8) -> Parsed<bool> {
        self.skip_white_space();
        if self.eat(b',') {
            self.skip_white_space();
            return Ok(false);
        }
        if self.eat(bracket) { Ok(true) } else { self.fail("expected `,` or the closing bracket") }
    }

    fn string(&mut self) -> Parsed<JsString> {
        self.at += 1;
        let mut text = JsString::from(self.plain());
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => self.escape(&mut text)?,
                Some(_) => return self.fail("control character in a string"),
                None => return self.fail("string without an end"),
            }
            text.push_str(self.plain());
        }
    }

    /// The text up to the next quote, backslash or control character, or to the end.
    fn plain(&mut self) -> &'a str {
        let rest = self.rest().as_bytes();
        let length = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20).unwrap_or(rest.len());
        self.take(length)
    }

    fn escape(&mut self, text: &mut JsString) -> Parsed<()> {
        self.at += 1;
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(text),
            _ => return self.fail("unknown escape"),
        };
        self.at += 1;
        text.push(character);
        Ok(())
    }

    fn unicode_escape(&mut self, text: &mut JsString) -> Parsed<()> {
        let unit = self.hex_unit()?;
        if let Some(character) = char::from_u32(unit.into()) {
            text.push(character);
            return Ok(());
        }
        let after_unit = self.at;
        if self.rest().starts_with("\\u") {
            self.at += 1;
            let next = self.hex_unit()?;
            if let Some(Ok(character)) = char::decode_utf16([unit, next]).next() {
                text.push(character);
                return Ok(());
            }
            // Not its other half: `next` is read again as an escape of its own.
            self.at = after_unit;
        }
        text.push_lone(unit);
        Ok(())
    }

    /// The `u` of an escape and its four digits.
    fn hex_unit(&mut self) -> Parsed<u16> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.fail("expected four hexadecimal digits");
            };
            unit = unit << 4 | digit as u16;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let length = self.at - start;
        self.at = start;
        self.take(length).parse().map(Value::Number).or_else(|_| self.fail("expected a number"))
    }

    /// One digit or more.
    fn digits(&mut self) -> Parsed<()> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fail("expected a digit");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, value: Value) -> Parsed<Value> {
        if !self.rest().starts_with(word) {
            return self.fail("expected a value");
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Cannot panic: `at` is moved past ASCII characters that were seen there, and by [`take`](Self::take), so it is never beyond the
    /// end or inside a character.
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Takes `length` bytes, which end before an ASCII character or at the end.
    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    fn fail<T>(&self, what: &'static str) -> Parsed<T> {
        Err(ParseError { what, at: self.at })
    }
}

type Entries = Vec<(JsString, Value)>;

/// The last value of a key counts, in the first place. Past a few keys this is left to [`in_property_order`].
fn put(entries: &mut Entries, key: JsString, value: Value) {
    let known = if entries.len() < FEW_KEYS { entries.iter_mut().find(|(known, _)| *known == key) } else { None };
    match known {
        Some((_, old)) => *old = value,
        None => entries.push((key, value)),
    }
}

fn in_property_order(mut entries: Entries) -> Entries {
    if entries.len() > FEW_KEYS {
        merge_repeated(&mut entries);
    }
    if entries.iter().any(|(key, _)| array_index(key).is_some()) {
        entries.sort_by_key(|(key, _)| array_index(key).map_or(u64::MAX, u64::from));
    }
    entries
}

/// The standard library's hash is keyed at random, so no sender can choose keys that collide.
fn merge_repeated(entries: &mut Entries) {
    let mut first = HashMap::with_capacity(entries.len());
    let mut repeats = Vec::new();
    for (at, (key, _)) in entries.iter().enumerate() {
        match first.entry(key) {
            Entry::Vacant(place) => _ = place.insert(at),
            Entry::Occupied(place) => repeats.push((*place.get(), at)),
        }
    }
    drop(first);
    for &(first, at) in &repeats {
        // Both are positions of entries, taken from the loop above.
        entries[first].1 = std::mem::replace(&mut entries[at].1, Value::Null);
    }
    let mut repeated = repeats.iter().map(|&(_, at)| at).peekable();
    let mut at = 0..;
    entries.retain(|_| repeated.next_if_eq(&at.next().unwrap_or(usize::MAX)).is_none());
}

/// An array index of ECMAScript: the plain decimal form of 0 to 2³² − 2. Such keys come first.
fn array_index(key: &JsString) -> Option<u32> {
    let text = key.as_str()?;
    let is_plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    if !is_plain { None } else { text.parse().ok().filter(|&index| index != u32::MAX) }
}
