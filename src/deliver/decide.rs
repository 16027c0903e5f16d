//! What an attempt leads to. Pure.

use super::backoff::Backoff;
use super::gate::Health;
use crate::store::{Again, Ended, Outcome, State};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::{DeliveryError, ErrorKind, Receipt, Verdict};
use std::time::Duration;

/// A `Retry-After` or a hold's end further away than this is not believed: it costs at most one more attempt to ask again.
const FURTHEST: SignedDuration = SignedDuration::from_hours(24);
/// A destination that asks for a longer pause is put on hold, where people see it, can end it, and a restart does not forget it.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// A hold that ends at once would be a loop at the speed of the network.
const SHORTEST_HOLD: SignedDuration = SignedDuration::from_secs(5);
/// Failed attempts that counted, before a delivery can be out of time.
const LEAST_ATTEMPTS: u32 = 3;

/// How long and how often a destination's deliveries are tried.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Waits between attempts.
    pub backoff: Backoff,
    /// A delivery is dead after this much time in which its destination was neither parked nor down.
    pub give_up_after: Duration,
}

/// An attempt that ended.
#[derive(Debug)]
pub struct Attempted<'a> {
    /// What the connector said.
    pub result: &'a Result<Receipt, DeliveryError>,
    /// Failed attempts before it that counted.
    pub attempts: u32,
    /// Whether it probed a destination that was down.
    pub probe: bool,
    /// Time since the delivery's clock began, without the time its destination was parked.
    pub active_age: SignedDuration,
    /// Now.
    pub now: Timestamp,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// For the delivery.
    pub outcome: Outcome,
    /// For the breaker.
    pub health: Health,
    /// For the destination: the reason, and when it resumes by itself.
    pub hold: Option<(String, Option<Timestamp>)>,
    /// One word for the timeline.
    pub word: &'static str,
}

/// Decides.
#[must_use]
pub fn decide(attempted: &Attempted<'_>, policy: &Policy) -> Decision {
    match attempted.result {
        Ok(Receipt::Delivered { record, remark }) => {
            ended(State::Delivered, Ended { state: State::Delivered, record: record.clone(), remark: remark.clone() }, Health::Good)
        }
        Ok(Receipt::Skipped { reason }) => {
            ended(State::Skipped, Ended { state: State::Skipped, record: None, remark: Some(told(reason)) }, Health::Unknown)
        }
        Err(error) => match &error.verdict {
            Verdict::Retry { after } => retry(attempted, error, *after, policy),
            Verdict::Reject => dead(error, &error.message, "reject", attempted.now),
            Verdict::Hold { until } => hold(attempted, &error.message, *until),
        },
    }
}

fn ended(state: State, ended: Ended, health: Health) -> Decision {
    Decision { outcome: Outcome::Ended(ended), health, hold: None, word: state.as_str() }
}

fn dead(error: &DeliveryError, remark: &str, word: &'static str, now: Timestamp) -> Decision {
    let ended = Ended { state: State::Dead, record: None, remark: Some(told(remark)) };
    Decision { outcome: Outcome::Ended(ended), health: health(error, None, now), hold: None, word }
}

/// A person must always find a reason, whatever a connector leaves out.
fn told(reason: &str) -> String {
    if reason.trim().is_empty() { "the connector gave no reason".to_owned() } else { reason.to_owned() }
}

fn retry(attempted: &Attempted<'_>, error: &DeliveryError, after: Option<Duration>, policy: &Policy) -> Decision {
    let now = attempted.now;
    let after = after.map(capped);
    let is_paced = matches!(error.kind, ErrorKind::RateLimited | ErrorKind::Quota);
    if is_paced && after.is_some_and(|after| after > LONGEST_PAUSE) {
        let until = after.map(|after| later(now, after));
        return hold(attempted, &format!("{}; it asked to be left alone for so long", error.message), until);
    }
    // What says "not now" of the destination as a whole costs this delivery nothing.
    let is_free = is_paced || attempted.probe && error.kind.is_outage();
    if !is_free && is_out_of_time(attempted, policy) {
        return dead(error, &format!("out of time; the last attempt said: {}", error.message), "dead", now);
    }
    let attempts = if is_free { attempted.attempts } else { attempted.attempts.saturating_add(1) };
    let backoff = if is_free { SignedDuration::ZERO } else { capped(policy.backoff.delay(attempts)) };
    let not_before = later(now, backoff.max(after.unwrap_or_default()));
    Decision { outcome: Outcome::Again(Again { not_before, attempts }), health: health(error, after, now), hold: None, word: "retry" }
}

/// However late it is, a delivery gets some attempts: it may have waited behind others, or for a machine that was off.
fn is_out_of_time(attempted: &Attempted<'_>, policy: &Policy) -> bool {
    let give_up_after = SignedDuration::try_from(policy.give_up_after).unwrap_or(SignedDuration::MAX);
    attempted.active_age >= give_up_after && attempted.attempts >= LEAST_ATTEMPTS
}

fn hold(attempted: &Attempted<'_>, reason: &str, until: Option<Timestamp>) -> Decision {
    let until = until.map(|until| until.clamp(later(attempted.now, SHORTEST_HOLD), later(attempted.now, FURTHEST)));
    let outcome = Outcome::Again(Again { not_before: attempted.now, attempts: attempted.attempts });
    // Busy shuts the gate at once, until the hold is stored and known to the lane.
    Decision { outcome, health: Health::Busy(None), hold: Some((reason.to_owned(), until)), word: "hold" }
}

fn health(error: &DeliveryError, after: Option<SignedDuration>, now: Timestamp) -> Health {
    match error.kind {
        kind if kind.is_outage() => Health::Outage,
        ErrorKind::RateLimited | ErrorKind::Quota => Health::Busy(after.map(|after| later(now, after))),
        ErrorKind::Internal => Health::Unknown,
        _ => Health::Good,
    }
}

fn capped(wait: Duration) -> SignedDuration {
    SignedDuration::try_from(wait).unwrap_or(FURTHEST).min(FURTHEST)
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    fn policy() -> Policy {
        Policy { backoff: Backoff { jitter: 0.0, ..Backoff::default() }, give_up_after: 72 * HOUR }
    }

    fn attempted(result: &Result<Receipt, DeliveryError>) -> Attempted<'_> {
        Attempted { result, attempts: 2, probe: false, active_age: SignedDuration::from_mins(1), now: now() }
    }

    fn again(decision: &Decision) -> Again {
        match decision.outcome {
            Outcome::Again(again) => again,
            Outcome::Ended(_) => panic!("the delivery ended"),
        }
    }

    #[test]
    fn a_failure_waits_longer_each_time() {
        let result = Err(DeliveryError::retry(ErrorKind::Server, "it failed (500)"));
        let decision = decide(&attempted(&result), &policy());
        assert_eq!(again(&decision), Again { not_before: now() + Duration::from_secs(20), attempts: 3 });
        assert_eq!(decision.health, Health::Outage);
    }

    #[test]
    fn a_probe_that_fails_costs_the_delivery_nothing() {
        let result = Err(DeliveryError::retry(ErrorKind::Unreachable, "no route"));
        let decision = decide(&Attempted { probe: true, ..attempted(&result) }, &policy());
        assert_eq!(again(&decision), Again { not_before: now(), attempts: 2 });
    }

    #[test]
    fn a_rate_limit_costs_nothing_and_pauses_the_destination() {
        let result = Err(DeliveryError::retry_after(ErrorKind::RateLimited, "429", Some(Duration::from_secs(30))));
        let decision = decide(&attempted(&result), &policy());
        assert_eq!(again(&decision), Again { not_before: now() + Duration::from_secs(30), attempts: 2 });
        assert_eq!(decision.health, Health::Busy(Some(now() + Duration::from_secs(30))));
    }

    #[test]
    fn a_long_pause_is_a_hold_that_ends_by_itself() {
        let result = Err(DeliveryError::retry_after(ErrorKind::RateLimited, "429", Some(HOUR)));
        let decision = decide(&attempted(&result), &policy());
        assert_eq!(again(&decision).attempts, 2);
        let (reason, until) = decision.hold.unwrap();
        assert_eq!((reason.starts_with("429"), until), (true, Some(now() + HOUR)));
    }

    #[test]
    fn a_hold_costs_nothing() {
        let result = Err(DeliveryError::hold(ErrorKind::Credentials, "refused", None));
        let decision = decide(&attempted(&result), &policy());
        assert_eq!(again(&decision), Again { not_before: now(), attempts: 2 });
        assert_eq!(decision.hold, Some(("refused".to_owned(), None)));
    }

    #[test]
    fn out_of_time_is_dead_with_the_last_reason() {
        let result = Err(DeliveryError::retry(ErrorKind::Server, "it failed (500)"));
        let late = Attempted { active_age: SignedDuration::from_hours(72), ..attempted(&result) };
        assert!(matches!(decide(&late, &policy()).outcome, Outcome::Again(_)), "it has had two attempts only");
        let decision = decide(&Attempted { attempts: 3, ..late }, &policy());
        let Outcome::Ended(ended) = decision.outcome else { panic!("it goes on") };
        assert_eq!((ended.state, ended.remark.unwrap().contains("it failed (500)")), (State::Dead, true));
    }

    proptest! {
        #[test]
        fn a_hint_only_ever_delays_and_never_beyond_its_cap(after_s in 0_u64..10_000_000_000, attempts in 0_u32..1_000) {
            let plain = Err(DeliveryError::retry(ErrorKind::Server, "x"));
            let hinted = Err(DeliveryError::retry_after(ErrorKind::Server, "x", Some(Duration::from_secs(after_s))));
            let without = again(&decide(&Attempted { attempts, ..attempted(&plain) }, &policy()));
            let with = again(&decide(&Attempted { attempts, ..attempted(&hinted) }, &policy()));
            prop_assert!(with.not_before >= without.not_before);
            prop_assert!(with.not_before <= now() + FURTHEST);
            prop_assert_eq!(with.attempts, without.attempts);
        }
    }
}
