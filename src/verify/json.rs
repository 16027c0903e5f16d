//! JSON as JavaScript sees it, so that a signature over `JSON.stringify(JSON.parse(body))` can be checked byte for byte.
//!
//! The rules are those of ECMAScript's `JSON.parse`, `JSON.stringify`, `Number::toString` and `OrdinaryOwnPropertyKeys`.

mod parse;
mod text;

pub use parse::{ParseError, parse};
pub use text::JsString;

/// The largest number up to which every integer is a `f64` of its own: 2⁵³.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Rounded to a double, as JavaScript does; a number too large for one is an infinity.
    Number(f64),
    /// A string, which may hold lone surrogates.
    String(JsString),
    /// An array.
    Array(Vec<Value>),
    /// An object in JavaScript's property order, each key once.
    Object(Vec<(JsString, Value)>),
}

impl Value {
    /// What `JSON.stringify` writes. Equal values have equal texts.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.canonical_in(0)
    }

    /// The same, with room for a text of about `length` bytes.
    pub(super) fn canonical_in(&self, length: usize) -> String {
        let mut out = String::with_capacity(length);
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => write_number(*number, out),
            Self::String(text) => text.write_quoted(out),
            Self::Array(items) => write_list('[', items, ']', out, Self::write),
            Self::Object(entries) => write_list('{', entries, '}', out, |(key, value), out| {
                key.write_quoted(out);
                out.push(':');
                value.write(out);
            }),
        }
    }

    /// The same value for the rest of the program: U+FFFD for lone surrogates, integers up to 2⁵³ as integers, and `null` for an
    /// infinity.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(is) => (*is).into(),
            Self::Number(number) if number.fract() == 0.0 && number.abs() <= MAX_EXACT => (*number as i64).into(),
            Self::Number(number) => (*number).into(),
            Self::String(text) => text.to_text().into(),
            Self::Array(items) => items.iter().map(Self::to_json).collect(),
            Self::Object(entries) => entries.iter().map(|(key, value)| (key.to_text(), value.to_json())).collect(),
        }
    }

    /// The value of a key, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The entries, if this is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(JsString, Self)]> {
        if let Self::Object(entries) = self { Some(entries) } else { None }
    }

    /// The items, if this is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The string, if this is one.
    #[must_use]
    pub fn as_string(&self) -> Option<&JsString> {
        if let Self::String(text) = self { Some(text) } else { None }
    }
}

fn write_number(number: f64, out: &mut String) {
    let mut buffer = ryu_js::Buffer::new();
    out.push_str(if number.is_finite() { buffer.format_finite(number) } else { "null" });
}

fn write_list<T>(open: char, items: &[T], close: char, out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests;
