//! The circuit breaker of a destination. Pure.

use jiff::{SignedDuration, Timestamp};

/// Consecutive failures of the destination itself after which it counts as down.
const FAILURES_TO_SHUT: u32 = 5;
/// First pause; it doubles with each failed probe.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);
/// Of what a destination may ask for; it doubles with each failed probe, up to a minute.
const SHORTEST_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// What an attempt said about the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It works, whatever it said to the delivery.
    Good,
    /// Unreachable, broken off, or 5xx.
    Outage,
    /// It asks for a pause, until then if it said so.
    Busy(Option<Timestamp>),
    /// The attempt says nothing about it.
    Unknown,
}

/// Whether deliveries flow to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// They do; so many attempts in a row found it down.
    Flowing {
        /// Consecutive outages.
        failures: u32,
    },
    /// None starts until that moment; then one may probe.
    Shut {
        /// Since when.
        since: Timestamp,
        /// Until when.
        until: Timestamp,
        /// Failed probes so far.
        level: u32,
        /// Whether the probe is under way.
        probing: bool,
    },
}

impl Default for Gate {
    fn default() -> Self {
        Self::Flowing { failures: 0 }
    }
}

impl Gate {
    /// Takes what an attempt said. Returns a span of time in which the destination was down, to be credited to its deliveries.
    pub fn note(&mut self, health: Health, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        match (*self, health) {
            (Self::Flowing { .. }, Health::Good) => *self = Self::default(),
            (Self::Flowing { failures }, Health::Outage) if failures + 1 < FAILURES_TO_SHUT => {
                *self = Self::Flowing { failures: failures + 1 }
            }
            (Self::Flowing { .. }, Health::Outage) => self.shut(now, None, 0),
            (Self::Flowing { .. }, Health::Busy(until)) => self.shut(now, until, 0),
            (Self::Shut { since, .. }, Health::Good) => {
                *self = Self::default();
                return Some((since, now));
            }
            // A probe that never reached the destination: the next delivery may probe at once.
            (Self::Shut { since, until, level, probing: true }, Health::Unknown) => {
                *self = Self::Shut { since, until, level, probing: false }
            }
            // Attempts that started before the gate shut end now and then; only the probe moves it.
            (Self::Shut { probing: false, .. }, _) | (Self::Flowing { .. }, Health::Unknown) => {}
            (Self::Shut { since, level, .. }, health) => {
                let until = if let Health::Busy(until) = health { until } else { None };
                self.shut(now, until, level + 1);
                return Some((since, now));
            }
        }
        None
    }

    fn shut(&mut self, now: Timestamp, until: Option<Timestamp>, level: u32) {
        let pause = FIRST_PAUSE.saturating_mul(1_i32 << level.min(10)).min(LONGEST_PAUSE);
        // A pause of nothing, or one that is over by our clock, would be a loop at the speed of the network.
        let least = now.checked_add(SHORTEST_PAUSE.saturating_mul(1_i32 << level.min(6))).unwrap_or(now);
        let until = until.unwrap_or_else(|| now.checked_add(pause).unwrap_or(now)).max(least);
        *self = Self::Shut { since: now, until, level, probing: false };
    }

    /// The clock was set back by that much; the pause must not become longer.
    pub fn set_back(&mut self, by: SignedDuration) {
        if let Self::Shut { until, .. } = self {
            *until = until.checked_sub(by).unwrap_or(Timestamp::MIN);
        }
    }

    /// How many attempts may be under way, of at most `most`.
    #[must_use]
    pub fn concurrency(&self, most: u32, now: Timestamp) -> u32 {
        match self {
            Self::Flowing { .. } => most,
            Self::Shut { until, probing: false, .. } if *until <= now => 1,
            Self::Shut { .. } => 0,
        }
    }

    /// An attempt starts. Whether it is the probe.
    pub fn note_start(&mut self) -> bool {
        match self {
            Self::Shut { probing, .. } => {
                *probing = true;
                true
            }
            Self::Flowing { .. } => false,
        }
    }

    /// Whether deliveries flow freely.
    #[must_use]
    pub fn is_flowing(&self) -> bool {
        matches!(self, Self::Flowing { .. })
    }

    /// When the next probe may start.
    #[must_use]
    pub fn opens_at(&self) -> Option<Timestamp> {
        match self {
            Self::Shut { until, probing: false, .. } => Some(*until),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    fn shut() -> Gate {
        let mut gate = Gate::default();
        for _ in 0..FAILURES_TO_SHUT {
            gate.note(Health::Outage, now());
        }
        assert!(!gate.is_flowing());
        gate
    }

    /// Lets probe after probe fail and returns the pauses between them.
    fn pauses(mut gate: Gate, probes: usize) -> Vec<i64> {
        let mut at = now();
        let step = |_| {
            let opens = gate.opens_at().unwrap();
            let pause = opens.duration_since(at).as_secs();
            at = opens;
            assert_eq!(gate.concurrency(8, at), 1);
            gate.note_start();
            gate.note(Health::Outage, at);
            pause
        };
        (0..probes).map(step).collect()
    }

    #[test]
    fn failures_must_come_in_a_row() {
        let mut gate = Gate::default();
        for _ in 0..20 {
            for _ in 1..FAILURES_TO_SHUT {
                gate.note(Health::Outage, now());
            }
            gate.note(Health::Good, now());
        }
        assert!(gate.is_flowing());
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        assert_eq!(pauses(shut(), 9), [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn a_pause_is_as_long_when_the_clock_is_set_back() {
        let mut gate = shut();
        let day = SignedDuration::from_hours(24);
        let opens = gate.opens_at().unwrap();
        gate.set_back(day);
        assert_eq!(gate.opens_at(), Some(opens - day));
    }

    #[test]
    fn what_started_before_it_shut_does_not_move_it() {
        let mut gate = shut();
        let before = gate;
        gate.note(Health::Outage, now());
        assert_eq!(gate, before);
        gate.note(Health::Good, now());
        assert!(gate.is_flowing(), "but good news is good news");
    }

    #[test]
    fn a_pause_that_is_over_already_lasts_a_second_all_the_same() {
        let mut gate = Gate::default();
        gate.note(Health::Busy(Some(now() - SignedDuration::from_hours(1))), now());
        assert_eq!(gate.opens_at(), Some(now() + SHORTEST_PAUSE));
    }

    #[test]
    fn a_probe_that_never_reached_the_destination_lets_the_next_one_through() {
        let mut gate = shut();
        let opens = gate.opens_at().unwrap();
        gate.note_start();
        assert_eq!(gate.concurrency(8, opens), 0);
        gate.note(Health::Unknown, opens);
        assert_eq!(gate.concurrency(8, opens), 1);
    }
}
