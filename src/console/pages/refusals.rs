//! Why requests to a source are refused, in plain words, with what to do about it. Pure.

/// The word used in answers, logs and metrics; what happened; what to do.
const CAUSES: [(&str, &str, &str); 15] = [
    (
        "awaiting_key",
        "came before the source had its signing key",
        "Put the sign key that the chatbot's Webhook tab shows into `signing_keys` of the source; what waits is verified then.",
    ),
    (
        "no_header",
        "had no signature",
        "If the chatbot sent it, see that every proxy on the way passes the header X-Webhook-Signature on. Strangers need no remedy.",
    ),
    ("malformed_header", "had a signature header that cannot be read", "See what changes the header on the way; strangers need no remedy."),
    ("milliseconds", "were signed with a time in milliseconds", "Have the sender sign unix seconds."),
    (
        "no_key_matched",
        "were signed by a key that the source does not have",
        "Copy the sign key from the chatbot's Webhook tab into `signing_keys` again; then verify the quarantine again.",
    ),
    (
        "other_source",
        "were signed by the key of another source",
        "The chatbot posts to the wrong URL: paste the URL of its own source there, or give this source that key.",
    ),
    (
        "address_refused",
        "came from addresses that are not in `allow_ips`",
        "If the platform sends from new addresses, add them; with `report_only = true` they are let in and shown here.",
    ),
    ("too_many", "were more than the source takes per minute", "Raise `max_per_minute` of the source if they are genuine."),
    ("too_large", "had bodies that are too large", "Raise `max_body_bytes` of the source if they are genuine."),
    ("too_slow", "did not arrive in time", "Look at the network on the way; the sender tries again."),
    ("unreadable", "could not be read", "See what changes bodies on the way; the sender tries again."),
    ("unsupported_encoding", "were compressed in a way that is not taken", "Have them sent as they are, or with gzip."),
    ("store_unavailable", "came while the store was unavailable", "`leadwire doctor` looks at the store; a spool would have kept them."),
    ("busy", "came while large bodies filled the memory they may take", "The sender tries again; chat logs may come at once."),
    ("quarantine_full", "found the quarantine full", "Set the signing key of the source, or purge its quarantine."),
];

/// What happened, in words that follow a number of requests.
pub(super) fn words(cause: &str) -> &str {
    known(cause).map_or(cause, |(_, words, _)| words)
}

/// What to do; empty when that is not known.
pub(super) fn remedy(cause: &str) -> &'static str {
    known(cause).map_or("", |(.., remedy)| remedy)
}

fn known(cause: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    CAUSES.iter().find(|(name, ..)| *name == cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Refusal;

    #[test]
    fn every_refusal_of_a_signature_has_words_and_a_remedy() {
        let no_key = |other_source| Refusal::NoKeyMatched { other_source, age_s: 0 };
        let refusals = [
            Refusal::AwaitingKey,
            Refusal::NoHeader,
            Refusal::Malformed { detail: "" },
            Refusal::Milliseconds,
            no_key(None),
            no_key(Some("x".to_owned())),
        ];
        for refusal in refusals {
            assert!(!remedy(refusal.code()).is_empty() && words(refusal.code()) != refusal.code(), "{}", refusal.code());
        }
        assert_eq!((words("of_tomorrow"), remedy("of_tomorrow")), ("of_tomorrow", ""));
    }
}
