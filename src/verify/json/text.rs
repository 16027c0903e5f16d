//! Text of a JSON document, which is UTF-16 at heart: an escape can name half of a surrogate pair.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A string of a JSON document.
///
/// Nearly always it is Unicode text. Only one that holds a lone surrogate is kept as UTF-16, because no `String` can hold it and the
/// sender's signature covers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsString(Repr);

/// `Units` always holds a lone surrogate, so that equal strings are equal values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Repr {
    Text(String),
    Units(Vec<u16>),
}

impl JsString {
    /// The text, unless it holds a lone surrogate.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Repr::Text(text) => Some(text),
            Repr::Units(_) => None,
        }
    }

    /// The text, with U+FFFD for each lone surrogate.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Text(text) => Cow::Borrowed(text),
            Repr::Units(units) => Cow::Owned(String::from_utf16_lossy(units)),
        }
    }

    /// As [`to_text`](Self::to_text), without a copy where none is needed.
    #[must_use]
    pub fn into_text(self) -> String {
        match self.0 {
            Repr::Text(text) => text,
            Repr::Units(units) => String::from_utf16_lossy(&units),
        }
    }

    pub(super) fn push_str(&mut self, more: &str) {
        match &mut self.0 {
            Repr::Text(text) => text.push_str(more),
            Repr::Units(units) => units.extend(more.encode_utf16()),
        }
    }

    pub(super) fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }

    /// Appends half of a surrogate pair. The caller has made sure that its other half is not beside it.
    pub(super) fn push_lone(&mut self, surrogate: u16) {
        match &mut self.0 {
            Repr::Text(text) => self.0 = Repr::Units(text.encode_utf16().chain([surrogate]).collect()),
            Repr::Units(units) => units.push(surrogate),
        }
    }

    /// Appends the string in quotes as `JSON.stringify` writes it.
    pub(super) fn write_quoted(&self, out: &mut String) {
        out.push('"');
        match &self.0 {
            Repr::Text(text) => write_escaped(text, out),
            Repr::Units(units) => char::decode_utf16(units.iter().copied()).for_each(|unit| match unit {
                Ok(character) => write_escaped(character.encode_utf8(&mut [0; 4]), out),
                Err(lone) => write_unit(lone.unpaired_surrogate(), out),
            }),
        }
        out.push('"');
    }
}

/// Copies the text in pieces between the characters that need an escape. Those are ASCII, so no piece cuts a character in two.
fn write_escaped(text: &str, out: &mut String) {
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..at]);
        write_escape(byte, out);
        start = at + 1;
    }
    out.push_str(&text[start..]);
}

fn write_escape(byte: u8, out: &mut String) {
    let letter = match byte {
        b'"' | b'\\' => char::from(byte),
        0x08 => 'b',
        b'\t' => 't',
        b'\n' => 'n',
        0x0C => 'f',
        b'\r' => 'r',
        _ => return write_unit(byte.into(), out),
    };
    out.push('\\');
    out.push(letter);
}

fn write_unit(unit: u16, out: &mut String) {
    // Writing to a `String` cannot fail.
    let _ = write!(out, "\\u{unit:04x}");
}

impl From<&str> for JsString {
    fn from(text: &str) -> Self {
        Self(Repr::Text(text.to_owned()))
    }
}

impl From<String> for JsString {
    fn from(text: String) -> Self {
        Self(Repr::Text(text))
    }
}

impl PartialEq<str> for JsString {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &JsString) -> String {
        let mut out = String::new();
        text.write_quoted(&mut out);
        out
    }

    #[test]
    fn only_what_json_stringify_escapes_is_escaped() {
        let text = JsString::from("\"\\\u{8}\t\n\u{c}\r\0\u{1f}/<>&'\u{7f}\u{85}\u{2028}\u{feff}é😀");
        assert_eq!(quoted(&text), "\"\\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001f/<>&'\u{7f}\u{85}\u{2028}\u{feff}é😀\"");
    }

    #[test]
    fn a_lone_surrogate_is_kept_for_the_signature_and_shown_as_a_replacement() {
        let mut text = JsString::from("a\"é");
        text.push_lone(0xD83D);
        text.push('😀');
        assert_eq!(quoted(&text), "\"a\\\"é\\ud83d😀\"");
        assert_eq!((text.as_str(), &*text.to_text()), (None, "a\"é\u{FFFD}😀"));
        assert_eq!(text.into_text(), "a\"é\u{FFFD}😀");
    }
}
