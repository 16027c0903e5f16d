//! A delivery, and what comes of it when it goes well.

use crate::Event;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One event on its way to one destination, as a connector sees it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The same for every attempt of this delivery and for no other: the idempotency key for systems that take one.
    pub id: String,
    /// The destination's name in the configuration.
    pub destination: String,
    /// What to deliver.
    pub event: Arc<Event>,
    /// 1 for the first attempt.
    pub attempt: u32,
}

/// The record that a delivery ended in, on the other side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The CRM's id of the record.
    pub id: String,
    /// Where a person can look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How a delivery ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// The destination has it.
    Delivered {
        /// Where it is there, if the destination said so.
        record: Option<Record>,
        /// What a person should know, such as a field that was left out. No personal data.
        remark: Option<String>,
    },
    /// The destination does not take such an event. The delivery ends, with the reason, and can be replayed.
    Skipped {
        /// In a sentence, without personal data.
        reason: String,
    },
}

impl Receipt {
    /// Delivered, and nothing more is known.
    #[must_use]
    pub fn delivered() -> Self {
        Self::Delivered { record: None, remark: None }
    }

    /// Delivered as the record `id`.
    #[must_use]
    pub fn record(id: impl Into<String>) -> Self {
        Self::Delivered { record: Some(Record { id: id.into(), url: None }), remark: None }
    }

    /// The same with this remark beside what it has; one that skips has its reason only.
    #[must_use]
    pub fn with_remark(self, more: Option<String>) -> Self {
        self.with_remarks(more)
    }

    /// The same with these remarks beside what it has.
    #[must_use]
    pub fn with_remarks(self, more: impl IntoIterator<Item = String>) -> Self {
        match self {
            Self::Delivered { record, remark } => {
                let both: Vec<String> = remark.into_iter().chain(more).collect();
                Self::Delivered { record, remark: (!both.is_empty()).then(|| both.join("; ")) }
            }
            skipped @ Self::Skipped { .. } => skipped,
        }
    }

    /// Not taken, and why. A person always gets a reason: an empty one is replaced.
    #[must_use]
    pub fn skipped(reason: impl Into<String>) -> Self {
        let reason =
            crate::text::or_else(reason.into(), || "the destination does not take this event; the connector gave no reason".to_owned());
        Self::Skipped { reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_stands_beside_the_one_that_is_there() {
        let one = Receipt::delivered().with_remark(None).with_remark(Some("a".to_owned()));
        assert_eq!(one.clone().with_remark(None), one);
        assert!(matches!(one.with_remark(Some("b".to_owned())), Receipt::Delivered { remark: Some(both), .. } if both == "a; b"));
    }

    #[test]
    fn a_skipped_delivery_always_has_a_reason() {
        assert_eq!(Receipt::skipped("no e-mail"), Receipt::Skipped { reason: "no e-mail".to_owned() });
        for empty in ["", " \n"] {
            assert!(matches!(Receipt::skipped(empty), Receipt::Skipped { reason } if reason.contains("gave no reason")));
        }
    }
}
