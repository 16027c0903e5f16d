//! The cause of dead letters in plain words, with what to do about it. Pure.
//!
//! A cause is written for programs, as `data/422/INVALID_EMAIL/email`: whether time ran out, what failed, the HTTP status, the destination's
//! code and the field, as far as there are any.

use crate::store::UNSORTED;

/// What failed, what happened in words, and what a person can do.
const KINDS: [(&str, &str, &str); 11] = [
    ("unreachable", "it could not be reached", "See that the address is right and the service is up, then replay them."),
    ("ambiguous", "it did not answer", "Look there whether the record was made; replaying finds it again and makes no second one."),
    ("server", "it failed itself", "Wait until the service is well again, then replay them."),
    ("rate_limited", "it took no more requests", "Lower `rate_per_second` of the destination, then replay them."),
    ("quota", "the quota of the account was spent", "Raise the plan or wait for the next period, then replay them."),
    ("credentials", "it refused the credentials", "Renew the credentials, ask the doctor of the destination, then replay them."),
    ("data", "it refused what was in them", "Correct the mapping of the destination or its required fields, then replay them."),
    ("configuration", "it is set up wrongly, here or there", "Ask the doctor of the destination, correct what it finds, then replay them."),
    ("unexpected", "it answered what makes no sense", "Look at an answer in the example; the address may lead to something else."),
    (
        "internal",
        "the connector itself failed",
        "Look at the example and at the log of the bridge, and report it to who makes the connector.",
    ),
    ("unreadable", "the stored event cannot be read", "Look at the example with `leadwire events show`; it may be of a newer version."),
];

/// What they died of, in words that follow the name of the destination.
pub(super) fn words(cause: &str) -> String {
    if cause == UNSORTED {
        return "not sorted yet; a running bridge does it in the background".to_owned();
    }
    let (is_late, kind, rest) = parts(cause);
    let what = known(kind).map_or_else(|| format!("failed: {kind}"), |(_, what, _)| (*what).to_owned());
    let late = if is_late { "out of time; at last, " } else { "" };
    let mut told = format!("{late}{what}");
    for part in rest {
        told.push_str(&tell(part));
    }
    told
}

/// What to do about it; empty when that is not known.
pub(super) fn remedy(cause: &str) -> &'static str {
    known(parts(cause).1).map_or("", |(_, _, remedy)| remedy)
}

/// Whether time ran out, what failed, and the rest.
fn parts(cause: &str) -> (bool, &str, impl Iterator<Item = &str>) {
    let late = cause.strip_prefix("out_of_time/");
    let mut parts = late.unwrap_or(cause).split('/');
    (late.is_some(), parts.next().unwrap_or_default(), parts)
}

fn known(kind: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    KINDS.iter().find(|(name, ..)| *name == kind)
}

fn tell(part: &str) -> String {
    let is_status = part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    if is_status { format!(", HTTP {part}") } else { format!(", {part}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cause_is_told_in_words_with_a_remedy() {
        assert_eq!(words("data/422/INVALID_EMAIL/email"), "it refused what was in them, HTTP 422, INVALID_EMAIL, email");
        assert_eq!(words("out_of_time/unreachable"), "out of time; at last, it could not be reached");
        assert_eq!(words("strange/418"), "failed: strange, HTTP 418");
        assert!(remedy("out_of_time/credentials/401").contains("doctor") && remedy("strange").is_empty());
        assert!(words(UNSORTED).contains("in the background"));
    }

    #[test]
    fn every_kind_of_failure_has_words() {
        use leadwire_connector::ErrorKind as K;
        let kinds = [
            K::Unreachable,
            K::Ambiguous,
            K::Server,
            K::RateLimited,
            K::Quota,
            K::Credentials,
            K::Data,
            K::Configuration,
            K::Unexpected,
            K::Internal,
        ];
        for kind in kinds {
            assert!(!remedy(kind.as_str()).is_empty(), "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn no_cause_is_too_strange(cause: String) {
            let _ = (words(&cause), remedy(&cause));
        }
    }
}
