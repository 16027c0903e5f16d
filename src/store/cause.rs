//! Why a dead letter died, in a few words that are the same for all that died of the same. Pure.

use super::AttemptRow;

/// The cause of dead letters that died before causes were kept, until a bridge has looked at them.
pub const UNSORTED: &str = "unsorted";

/// The cause of what died without an attempt to tell of: its event cannot be read.
const UNTOLD: &str = "unreadable";

/// No part of a cause is longer.
const LONGEST: usize = 64;
/// A code with more digits is a number of this very answer, and would make a cause of its own of each dead letter.
const MOST_DIGITS: usize = 8;

/// What the last attempt of a dead letter makes its cause: whether its time ran out, what failed, the HTTP status, the destination's
/// code, and the field that was refused, as far as there are any: `data/422/INVALID_EMAIL/email`.
///
/// It holds nothing of the person: of the message, only the name of a field is taken.
pub(super) fn cause(attempt: Option<&AttemptRow>) -> String {
    let Some(attempt) = attempt else { return UNTOLD.to_owned() };
    let code = attempt.code.as_deref().and_then(word);
    let field = attempt.message.as_deref().and_then(field).filter(|field| code.as_ref() != Some(field));
    let out_of_time = (attempt.outcome == "dead").then(|| "out_of_time".to_owned());
    let kind = attempt.kind.as_deref().and_then(word).unwrap_or_else(|| "unknown".to_owned());
    let parts = [out_of_time, Some(kind), attempt.status.map(|status| status.to_string()), code, field];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// As it is kept: nothing stands for unsorted.
pub(super) fn to_kept(cause: &str) -> &str {
    if cause == UNSORTED { "" } else { cause }
}

/// As people read it.
pub(super) fn to_shown(kept: String) -> String {
    if kept.is_empty() { UNSORTED.to_owned() } else { kept }
}

/// A code as a part of a cause: what is no letter, digit, `_`, `-` or `.` becomes `_`. `None` when nothing stable is left.
fn word(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let word: String = text.trim().chars().take(LONGEST).map(|c| if is_plain(c) { c } else { '_' }).collect();
    let is_stable = word.chars().filter(char::is_ascii_digit).count() <= MOST_DIGITS;
    (is_stable && word.chars().any(|c| c.is_ascii_alphanumeric())).then_some(word)
}

/// The field that a message names, as in "the field `budget` is not a number". What else stands in such marks may be of a person.
fn field(message: &str) -> Option<String> {
    let after = ["field `", "property `"].iter().find_map(|mark| message.split_once(mark).map(|(_, rest)| rest))?;
    let (name, _) = after.split_once('`')?;
    let is_name = name.len() <= LONGEST && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if is_name { word(name) } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn attempt(outcome: &str, status: Option<u16>, code: Option<&str>, message: &str) -> AttemptRow {
        AttemptRow {
            at: jiff::Timestamp::UNIX_EPOCH,
            duration_ms: 1,
            outcome: outcome.to_owned(),
            kind: Some("data".to_owned()),
            status,
            code: code.map(str::to_owned),
            message: Some(message.to_owned()),
            excerpt: None,
        }
    }

    #[test]
    fn a_cause_tells_what_failed_the_status_the_code_and_the_field() {
        let told = attempt("reject", Some(422), Some("INVALID EMAIL"), "refused: the field `e-mail` is no address");
        assert_eq!(cause(Some(&told)), "data/422/INVALID_EMAIL/e-mail");
        assert_eq!(cause(Some(&attempt("dead", None, None, "it was too slow"))), "out_of_time/data");
        assert_eq!(cause(Some(&attempt("reject", Some(400), Some("budget"), "the field `budget` is no number"))), "data/400/budget");
        assert_eq!(cause(None), "unreadable");
    }

    #[test]
    fn nothing_of_a_person_and_no_number_of_the_answer_is_in_a_cause() {
        let told = attempt("reject", Some(422), Some("req-550e8400-e29b-41d4"), "field `jane@example.com` and `Jane Doe` are refused");
        assert_eq!(cause(Some(&told)), "data/422");
    }

    proptest! {
        #[test]
        fn a_cause_is_short_plain_and_never_empty(code: Option<String>, message: String, kind: Option<String>) {
            let told = AttemptRow { kind, ..attempt("reject", None, code.as_deref(), &message) };
            let cause = cause(Some(&told));
            prop_assert!(!cause.is_empty() && cause.len() <= 5 * (LONGEST + 1) && cause != UNSORTED || told.kind.as_deref() == Some(UNSORTED));
            prop_assert!(cause.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c)), "{}", cause);
        }

        #[test]
        fn what_is_kept_is_shown_and_found_again(cause in "[a-z/]{0,9}") {
            let shown = to_shown(cause.clone());
            prop_assert_eq!(to_kept(&shown), cause);
        }
    }
}
