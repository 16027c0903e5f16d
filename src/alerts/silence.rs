//! Whether a source has been silent for too long. Pure, and in one place, so that it can learn more of a source than one duration.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When something came from a source last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heard {
    /// Events ever received, as of then.
    pub received: i64,
    /// When. Before anything came: since when it is listened for.
    pub at: Timestamp,
}

/// By source.
pub(super) type AllHeard = BTreeMap<String, Heard>;

/// What is known of the sources after these counts were read.
#[must_use]
pub(super) fn hear(known: &AllHeard, counts: &BTreeMap<String, i64>, now: Timestamp) -> AllHeard {
    let heard = |(name, received): (&String, &i64)| {
        let before = known.get(name).filter(|before| before.received == *received);
        (name.clone(), Heard { received: *received, at: before.map_or(now, |before| before.at.min(now)) })
    };
    counts.iter().map(heard).collect()
}

/// Since when a source has been silent, if that is for too long.
#[must_use]
pub(super) fn silent_since(heard: Heard, after: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    (now.duration_since(heard.at) >= after).then_some(heard.at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::super::note::tests::now;
    use super::*;

    #[test]
    fn a_source_is_silent_while_its_count_stands_still() {
        let hour = SignedDuration::from_hours(1);
        let counts = |number| BTreeMap::from([("acme".to_owned(), number)]);
        let first = hear(&AllHeard::new(), &counts(0), now());
        assert_eq!(first["acme"].at, now(), "it is listened for from now on");
        let later = hear(&first, &counts(0), now() + hour);
        assert_eq!(silent_since(later["acme"], hour, now() + hour), Some(now()));
        let spoke = hear(&later, &counts(1), now() + hour * 2);
        assert_eq!(silent_since(spoke["acme"], hour, now() + hour * 2), None);
        let set_back = hear(&spoke, &counts(1), now());
        assert_eq!(set_back["acme"].at, now(), "a clock that was set back makes nobody speak in the future");
    }
}
