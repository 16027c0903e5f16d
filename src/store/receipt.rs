//! How an event came in, as kept with it in one short text.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// By which way an event came into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Posted, verified and stored at once.
    Direct,
    /// Posted and verified while the store was sick, and brought over from the spool.
    Spool,
    /// Posted when no key of its source verified it; verified again later.
    Quarantine,
    /// Made by a person from a conversation of the chat log.
    ChatLog,
    /// Fetched from the platform's list of leads.
    Backfill,
}

impl Via {
    /// Each with the letter it is kept as.
    const LETTERS: [(Self, char); 5] =
        [(Self::Direct, 'd'), (Self::Spool, 's'), (Self::Quarantine, 'q'), (Self::ChatLog, 'c'), (Self::Backfill, 'b')];

    /// In words for a person, as the end of "it came …".
    #[must_use]
    pub fn as_words(self) -> &'static str {
        match self {
            Self::Direct => "directly",
            Self::Spool => "from the spool",
            Self::Quarantine => "from the quarantine",
            Self::ChatLog => "from the chat log, made a lead by a person",
            Self::Backfill => "from the platform's list of leads",
        }
    }
}

/// What a signature was made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The bytes as they came.
    Raw,
    /// The canonical JSON of them.
    Canonical,
}

/// The signature that verified a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// What was signed.
    pub form: Form,
    /// Which of the source's keys signed it, counted from 1 as they stand in the configuration.
    pub key: u32,
    /// Whether it was older, or further ahead, than the source tolerates.
    pub stale: bool,
    /// Seconds from signature to receipt; negative when the sender's clock is ahead.
    pub age_s: i64,
}

/// How an event came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// By which way.
    pub via: Via,
    /// Who posted it; personal data, and gone when the person is erased. `None` for what nobody posted.
    pub client: Option<IpAddr>,
    /// By what it was verified; `None` for what nobody signed.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

impl Receipt {
    /// One of an event that nobody posted.
    #[must_use]
    pub fn unsigned(via: Via) -> Self {
        Self { via, client: None, signed: None }
    }

    /// As it is kept: `d r1 12 203.0.113.9`, which is the way, the form with the key, the age with `!` when stale, and the client; `-`
    /// for what there is none of.
    pub(super) fn to_text(self) -> String {
        let via = Via::LETTERS.iter().find(|(via, _)| *via == self.via).map_or('d', |(_, letter)| *letter);
        let signed = self.signed.map(|signed| {
            let form = if signed.form == Form::Raw { 'r' } else { 'c' };
            format!("{form}{} {}{}", signed.key, signed.age_s, if signed.stale { "!" } else { "" })
        });
        let client = self.client.map_or_else(|| "-".to_owned(), |client| client.to_string());
        format!("{via} {} {client}", signed.as_deref().unwrap_or("- -"))
    }

    /// `None` for a text that another version wrote: what is only shown must not make an event unreadable.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (via, key, age, client) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (via, _) = Via::LETTERS.into_iter().find(|(_, letter)| via.chars().eq([*letter]))?;
        let signed = if key == "-" { None } else { Some(Signed::from_texts(key, age)?) };
        let client = if client == "-" { None } else { Some(client.parse().ok()?) };
        Some(Self { via, client, signed })
    }
}

impl Signed {
    fn from_texts(key: &str, age: &str) -> Option<Self> {
        let form = match key.get(..1)? {
            "r" => Form::Raw,
            "c" => Form::Canonical,
            _ => return None,
        };
        let seconds = age.strip_suffix('!');
        Some(Self { form, key: key.get(1..)?.parse().ok()?, stale: seconds.is_some(), age_s: seconds.unwrap_or(age).parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn receipts() -> impl Strategy<Value = Receipt> {
        let signed = (any::<bool>(), 1_u32.., any::<bool>(), any::<i64>()).prop_map(|(raw, key, stale, age_s)| Signed {
            form: if raw { Form::Raw } else { Form::Canonical },
            key,
            stale,
            age_s,
        });
        (0_usize..5, any::<Option<IpAddr>>(), proptest::option::of(signed)).prop_map(|(via, client, signed)| Receipt {
            via: Via::LETTERS[via].0,
            client,
            signed,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(receipt in receipts()) {
            prop_assert_eq!(Receipt::from_text(&receipt.to_text()), Some(receipt));
        }

        #[test]
        fn no_text_is_too_strange(text in "[dsqx]? ?[rc-]?[0-9]{0,12} ?-?[0-9]{0,3}!? ?[0-9.:-]{0,12}|.{0,30}") {
            let _ = Receipt::from_text(&text);
        }
    }

    #[test]
    fn a_receipt_is_short_and_flat_for_programs() {
        let signed = Some(Signed { form: Form::Raw, key: 1, stale: true, age_s: 900 });
        let receipt = Receipt { via: Via::Direct, client: Some([203, 0, 113, 9].into()), signed };
        assert_eq!(receipt.to_text(), "d r1 900! 203.0.113.9");
        let expected = json!({"via": "direct", "client": "203.0.113.9", "form": "raw", "key": 1, "stale": true, "age_s": 900});
        assert_eq!(serde_json::to_value(receipt).unwrap(), expected);
        let made = Receipt::unsigned(Via::ChatLog);
        assert_eq!((made.to_text().as_str(), serde_json::to_value(made).unwrap()), ("c - - -", json!({"via": "chat_log", "client": null})));
    }
}
