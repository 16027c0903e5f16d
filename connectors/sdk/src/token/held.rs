//! What is kept of tokens between requests for them, and in the store.

use super::Token;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// A token is renewed so long before it expires, or a tenth of its life if that is less.
const LONGEST_MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// A token that is refused sooner than this after it was issued is refused for another reason than its age.
const TOO_FRESH: SignedDuration = SignedDuration::from_secs(30);

/// What a token endpoint gave.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Issued {
    pub(super) access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) issued_at: Timestamp,
    #[serde(default)]
    pub(super) fields: Map<String, Value>,
}

/// Never printed.
impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("expires_at", &self.expires_at).field("issued_at", &self.issued_at).finish_non_exhaustive()
    }
}

impl Issued {
    pub(super) fn token(&self) -> Token {
        Token { secret: self.access_token.clone(), fields: self.fields.clone() }
    }

    /// Whether it need not be renewed yet.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| {
            // A clock that was set back since makes a time of issue that lies after the end.
            let margin = (end.duration_since(self.issued_at) / 10).clamp(SignedDuration::ZERO, LONGEST_MARGIN);
            now < end.checked_sub(margin).unwrap_or(end)
        })
    }

    /// Whether it is still good, although it may be time to renew it.
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    pub(super) fn is_just_issued(&self, now: Timestamp) -> bool {
        now.duration_since(self.issued_at).abs() < TOO_FRESH
    }
}

/// What the store holds.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    /// The last that was issued.
    #[serde(default)]
    pub(super) issued: Option<Issued>,
    /// The newest refresh token, when it is another than that of the settings.
    #[serde(default)]
    pub(super) refresh_token: Option<String>,
    /// Whether one bridge asks for a token, which the others leave to it for a while.
    #[serde(default)]
    pub(super) is_asked_for: bool,
}

/// Never printed.
impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("issued", &self.issued).field("is_asked_for", &self.is_asked_for).finish_non_exhaustive()
    }
}

impl Held {
    /// What is kept once this was issued.
    pub(super) fn with(&self, issued: Issued) -> Self {
        let refresh_token = issued.refresh_token.clone().or_else(|| self.refresh_token.clone());
        Self { issued: Some(Issued { refresh_token: None, ..issued }), refresh_token, is_asked_for: false }
    }

    /// The access token, which a renewal replaces.
    pub(super) fn access_token(&self) -> Option<&str> {
        self.issued.as_ref().map(|issued| issued.access_token.as_str())
    }

    /// What may still be used, unless it is what was refused.
    pub(super) fn valid(&self, refused: Option<&Token>) -> Option<&Issued> {
        self.issued.as_ref().filter(|issued| refused.is_none() && issued.is_valid(Timestamp::now()))
    }
}

/// The turn of another bridge to ask, as seen from here. It lasts a while by our own measure, because clocks differ from machine to machine.
#[derive(Debug, Default)]
pub(super) struct Watched(Option<(i64, Instant)>);

impl Watched {
    /// Whether the turn that the store has in `version` is to be left to its bridge.
    pub(super) fn goes_on(&mut self, version: i64, turn: Duration, now: Instant) -> bool {
        let since = self.0.filter(|(watched, _)| *watched == version).map_or(now, |(_, since)| since);
        self.0 = Some((version, since));
        now.duration_since(since) < turn
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn issued(lifetime: Option<i64>) -> Issued {
        let issued_at = Timestamp::UNIX_EPOCH;
        let expires_at = lifetime.map(|seconds| issued_at + SignedDuration::from_secs(seconds));
        Issued { access_token: "a".to_owned(), refresh_token: None, expires_at, issued_at, fields: Map::new() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        assert!(issued(Some(3_600)).is_fresh(at(3_299)) && !issued(Some(3_600)).is_fresh(at(3_300)));
        assert!(issued(Some(100)).is_fresh(at(89)) && !issued(Some(100)).is_fresh(at(90)));
        assert!(issued(Some(100)).is_valid(at(99)) && !issued(Some(100)).is_valid(at(100)));
        assert!(issued(None).is_fresh(at(1_000_000)));
    }

    #[test]
    fn a_rotated_refresh_token_is_kept_and_one_that_was_not_stays() {
        let held = Held { refresh_token: Some("r1".to_owned()), is_asked_for: true, ..Held::default() };
        assert_eq!(held.with(issued(None)).refresh_token.as_deref(), Some("r1"));
        let rotated = held.with(Issued { refresh_token: Some("r2".to_owned()), ..issued(None) });
        assert_eq!((rotated.refresh_token.as_deref(), rotated.is_asked_for), (Some("r2"), false));
        assert!(!format!("{rotated:?}").contains("r2"));
    }

    #[test]
    fn a_turn_lasts_a_while_from_when_it_was_first_seen_and_another_one_lasts_anew() {
        let (start, turn) = (Instant::now(), Duration::from_secs(25));
        let mut watched = Watched::default();
        let mut goes_on = |version, seconds| watched.goes_on(version, turn, start + Duration::from_secs(seconds));
        assert!(goes_on(3, 0) && goes_on(3, 24) && !goes_on(3, 25));
        assert!(goes_on(4, 26) && goes_on(4, 50) && !goes_on(4, 51));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_a_token_good_beyond_its_end() {
        let late = Issued { issued_at: at(10_000_000), ..issued(Some(3_600)) };
        assert!(late.is_fresh(at(3_599)) && !late.is_fresh(at(3_600)));
    }

    proptest! {
        #[test]
        fn what_is_fresh_is_valid(lifetime in proptest::option::of(0_i64..100_000), now in 0_i64..200_000) {
            let issued = issued(lifetime);
            prop_assert!(!issued.is_fresh(at(now)) || issued.is_valid(at(now)));
        }
    }
}
