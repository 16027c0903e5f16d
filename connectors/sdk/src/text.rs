//! Text that fits: cutting and packing by whatever unit a service counts in, never inside a character; and escaping.

use std::borrow::Cow;

const ELLIPSIS: &str = "…";

/// What a service counts when it says how long a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of UTF-8.
    Bytes,
    /// Unicode scalar values, what Rust calls `char`.
    Chars,
    /// UTF-16 code units, which services written in Java, C# and JavaScript count.
    Utf16,
}

impl Unit {
    /// How long the text is.
    #[must_use]
    pub fn length(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Chars => text.chars().count(),
            Self::Utf16 => text.encode_utf16().count(),
        }
    }

    fn of(self, c: char) -> usize {
        match self {
            Self::Bytes => c.len_utf8(),
            Self::Chars => 1,
            Self::Utf16 => c.len_utf16(),
        }
    }

    /// Where a text must be cut to be at most `most` long; `None` when it fits as it is.
    fn cut(self, text: &str, most: usize) -> Option<usize> {
        let mut used = 0;
        text.char_indices().find_map(|(at, c)| {
            used += self.of(c);
            (used > most).then_some(at)
        })
    }
}

/// At most `most` characters; a cut text ends in `…`, which counts.
#[must_use]
pub fn truncate(text: &str, most: usize) -> Cow<'_, str> {
    truncate_in(text, most, Unit::Chars)
}

/// At most `most` of this unit; a cut text ends in `…`, which counts. Where not even that fits, nothing is left but `…` itself when
/// `most` is 0 characters or UTF-16 units, and nothing at all in bytes.
#[must_use]
pub fn truncate_in(text: &str, most: usize, unit: Unit) -> Cow<'_, str> {
    if unit.cut(text, most).is_none() {
        return Cow::Borrowed(text);
    }
    let ellipsis = unit.length(ELLIPSIS);
    if unit == Unit::Bytes && most < ellipsis {
        return Cow::Borrowed(&text[..unit.cut(text, most).unwrap_or(text.len())]);
    }
    let end = unit.cut(text, most.saturating_sub(ellipsis)).unwrap_or(text.len());
    Cow::Owned(format!("{}{ELLIPSIS}", &text[..end]))
}

/// Cuts text into pieces of at most `most` characters; see [`chunk_in`].
#[must_use]
pub fn chunk(text: &str, most: usize) -> Vec<&str> {
    chunk_in(text, most, Unit::Chars)
}

/// Cuts text into pieces of at most `most` of this unit, at the last line break that fits, else at a space, else anywhere. Joined again,
/// nothing but the white space at the cuts is missing. A single character that is longer than `most` is a piece of its own.
#[must_use]
pub fn chunk_in(text: &str, most: usize, unit: Unit) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while let Some(limit) = unit.cut(rest, most) {
        let first = rest.chars().next().map_or(rest.len(), char::len_utf8);
        let limit = limit.max(first);
        let fits = &rest[..limit];
        let cut = fits.rfind('\n').or_else(|| fits.rfind(' ')).filter(|&at| at > 0).unwrap_or(limit);
        let (piece, tail) = rest.split_at(cut);
        pieces.push(piece.trim_end());
        rest = tail.trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Packs the messages of a conversation into as few texts as possible, each at most `most` of this unit, cutting between messages; one
/// that is too long for a text of its own is cut inside. `frame` makes a text of its number (from 1), how many there are, and the
/// messages in it, joined by `separator`; what it adds counts, and must not depend on the messages. So each text can say which part it
/// is, and carry a marker that proves it was written:
///
/// ```
/// use leadwire_connector::text::{Unit, pack};
/// let messages = ["Bot: Hello", "Visitor: Hi", "Bot: Bye"];
/// let notes = pack(&messages, 40, Unit::Utf16, "\n", |part, parts, text| format!("Part {part} of {parts}\n{text}\n[x {part}]"));
/// assert_eq!(notes, ["Part 1 of 2\nBot: Hello\nVisitor: Hi\n[x 1]", "Part 2 of 2\nBot: Bye\n[x 2]"]);
/// ```
#[must_use]
pub fn pack<S: AsRef<str>>(
    messages: &[S],
    most: usize,
    unit: Unit,
    separator: &str,
    frame: impl Fn(usize, usize, &str) -> String,
) -> Vec<String> {
    // The more parts there are, the longer their numbers: room is left for the longest ones of as many digits.
    for digits in 1..=9 {
        let longest = 10_usize.pow(digits) - 1;
        let room = most.saturating_sub(unit.length(&frame(longest, longest, ""))).max(1);
        let bodies = fill(messages, room, unit, separator);
        let parts = bodies.len();
        if parts <= longest {
            return bodies.iter().enumerate().map(|(index, body)| frame(index + 1, parts, body)).collect();
        }
    }
    Vec::new()
}

fn fill<S: AsRef<str>>(messages: &[S], room: usize, unit: Unit, separator: &str) -> Vec<String> {
    let gap = unit.length(separator);
    let (mut bodies, mut used): (Vec<String>, usize) = (Vec::new(), 0);
    for piece in messages.iter().flat_map(|message| chunk_in(message.as_ref(), room, unit)) {
        let length = unit.length(piece);
        match bodies.last_mut() {
            Some(body) if used + gap + length <= room => {
                body.push_str(separator);
                body.push_str(piece);
                used += gap + length;
            }
            _ => {
                bodies.push(piece.to_owned());
                used = length;
            }
        }
    }
    bodies
}

/// What proves, found in a text at the destination, that this very step of this very delivery was written. The bracket at its end keeps
/// `note-1` from being found in `note-10`. It is the same in plain text and HTML.
#[must_use]
pub fn marker(delivery: &str, step: &str) -> String {
    format!("[Leadwire {} {}]", escape_html(delivery), escape_html(step))
}

/// Text as HTML shows it, also within quotes: `&`, `<`, `>`, `"` and `'`.
#[must_use]
pub fn escape_html(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// Shows that a secret is there without showing it: the first four characters of a long one, dots else.
#[must_use]
pub fn mask(secret: &str) -> String {
    match secret.char_indices().nth(4) {
        Some((four, _)) if secret.chars().count() >= 16 => format!("{}••••", &secret[..four]),
        _ => "••••".to_owned(),
    }
}

/// The text, or `otherwise` when there is nothing to read in it.
pub(crate) fn or_else(text: String, otherwise: impl FnOnce() -> String) -> String {
    if text.trim().is_empty() { otherwise() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_never_splits_a_character_and_never_exceeds_the_limit() {
        assert_eq!(truncate("héllo", 5), "héllo");
        assert_eq!(truncate("héllo!", 5), "héll…");
        assert_eq!(truncate("ab", 0), "…");
        assert_eq!(truncate_in("héllo", 6, Unit::Bytes), "héllo");
        assert_eq!(truncate_in("héllo!", 6, Unit::Bytes), "hé…");
        assert_eq!(truncate_in("héllo!", 2, Unit::Bytes), "h");
        assert_eq!(truncate_in("😀😀😀", 4, Unit::Utf16), "😀…");
    }

    #[test]
    fn pieces_break_at_lines_then_spaces_then_anywhere() {
        assert_eq!(chunk("one\ntwo three", 8), ["one", "two", "three"]);
        assert_eq!(chunk("abcdefgh", 3), ["abc", "def", "gh"]);
        assert!(chunk("  ", 3).is_empty());
        assert_eq!(chunk_in("😀😀", 1, Unit::Utf16), ["😀", "😀"], "what does not fit at all is a piece of its own");
    }

    #[test]
    fn a_mask_shows_no_more_than_four_characters() {
        assert_eq!(mask("pat-na1-0123456789"), "pat-••••");
        assert_eq!(mask("short"), "••••");
    }

    #[test]
    fn html_is_shown_and_not_run() {
        assert_eq!(escape_html("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        assert!(matches!(escape_html("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn messages_stay_whole_as_long_as_they_fit() {
        let frame = |part: usize, parts: usize, text: &str| format!("{part}/{parts} {text}");
        assert_eq!(pack(&["aaa", "bbb", "ccc"], 11, Unit::Chars, "\n", frame), ["1/2 aaa\nbbb", "2/2 ccc"]);
        assert_eq!(pack(&["abcdefghij"], 9, Unit::Chars, "\n", frame), ["1/2 abcde", "2/2 fghij"]);
        assert!(pack::<&str>(&[], 9, Unit::Chars, "\n", frame).is_empty());
        assert_eq!(pack(&["x"; 12], 6, Unit::Chars, "\n", frame).len(), 12, "also when the numbers grow");
    }

    proptest! {
        #[test]
        fn a_text_fits_in_every_unit(text in ".{0,60}", most in 1_usize..40) {
            for unit in [Unit::Bytes, Unit::Chars, Unit::Utf16] {
                prop_assert!(unit.length(&truncate_in(&text, most, unit)) <= most);
                let pieces = chunk_in(&text, most.max(4), unit);
                prop_assert!(pieces.iter().all(|piece| unit.length(piece) <= most.max(4)));
                let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
                prop_assert_eq!(bare(&pieces.concat()), bare(&text));
            }
        }

        #[test]
        fn packed_texts_fit_and_lose_nothing(messages in prop::collection::vec("[a-zé😀 ]{0,30}", 0..30), most in 30_usize..80) {
            for unit in [Unit::Bytes, Unit::Chars, Unit::Utf16] {
                let texts = pack(&messages, most, unit, "\n", |part, parts, text| format!("<{part} of {parts}>{text}"));
                prop_assert!(texts.iter().all(|text| unit.length(text) <= most), "{:?}", texts);
                let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
                let joined: String = texts.iter().filter_map(|text| text.split_once('>')).map(|(_, text)| bare(text)).collect();
                prop_assert_eq!(joined, bare(&messages.concat()));
            }
        }
    }
}
