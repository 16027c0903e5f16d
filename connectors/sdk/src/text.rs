//! Text that fits: cutting by characters, never inside one.

use std::borrow::Cow;

/// At most `most` characters; a cut text ends in `…`, which counts.
#[must_use]
pub fn truncate(text: &str, most: usize) -> Cow<'_, str> {
    let Some((cut, _)) = text.char_indices().nth(most) else { return Cow::Borrowed(text) };
    let end = text[..cut].char_indices().next_back().map_or(0, |(last, _)| last);
    Cow::Owned(format!("{}…", &text[..end]))
}

/// Cuts text into pieces of at most `most` characters, at the last line break that fits, else at a space, else anywhere.
/// Joined again, nothing but the white space at the cuts is missing. `most` must not be 0.
#[must_use]
pub fn chunk(text: &str, most: usize) -> Vec<&str> {
    let most = most.max(1);
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while let Some((limit, _)) = rest.char_indices().nth(most) {
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

    #[test]
    fn a_cut_never_splits_a_character_and_never_exceeds_the_limit() {
        assert_eq!(truncate("héllo", 5), "héllo");
        assert_eq!(truncate("héllo!", 5), "héll…");
        assert_eq!(truncate("ab", 0), "…");
    }

    #[test]
    fn pieces_break_at_lines_then_spaces_then_anywhere() {
        assert_eq!(chunk("one\ntwo three", 8), ["one", "two", "three"]);
        assert_eq!(chunk("abcdefgh", 3), ["abc", "def", "gh"]);
        assert!(chunk("  ", 3).is_empty());
    }

    #[test]
    fn a_mask_shows_no_more_than_four_characters() {
        assert_eq!(mask("pat-na1-0123456789"), "pat-••••");
        assert_eq!(mask("short"), "••••");
    }
}
