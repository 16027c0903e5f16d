//! Named places where a test can order a fault: the process ends, a step fails, a step takes long.
//!
//! Debug builds read the orders from the environment, `LEADWIRE_FAILPOINTS`:
//!
//! ```text
//! commit.receive.before=abort@3;send.after=error@2;settle.before=delay:200ms@1..
//! ```
//!
//! `@3` strikes the third time the place is reached, `@2..` from the second time on; without either it strikes always. In release
//! builds nothing of this is left.

use std::time::Duration;

/// Before the connector is called.
pub const SEND_BEFORE: &str = "send.before";
/// After the connector returned.
pub const SEND_AFTER: &str = "send.after";
/// Before an outcome is given to the store.
pub const SETTLE_BEFORE: &str = "settle.before";
/// After the store has an outcome.
pub const SETTLE_AFTER: &str = "settle.after";
/// Before a sender is told that its event is stored.
pub const ANSWER_BEFORE: &str = "answer.before";
/// When the store is opened: an error makes it commit without waiting for the disk, so that a test can see that this is noticed.
pub const STORE_CARELESS: &str = "store.careless";

/// Every place where an abort, an error and a delay can strike while leads flow.
pub const POINTS: [&str; 15] = [
    Commit::Receive.before(),
    Commit::Receive.after(),
    Commit::Claim.before(),
    Commit::Claim.after(),
    Commit::Settle.before(),
    Commit::Settle.after(),
    Commit::Step.before(),
    Commit::Step.after(),
    Commit::Other.before(),
    Commit::Other.after(),
    SEND_BEFORE,
    SEND_AFTER,
    SETTLE_BEFORE,
    SETTLE_AFTER,
    ANSWER_BEFORE,
];

/// What a commit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Commit {
    /// Events with their deliveries.
    Receive,
    /// Leases of deliveries that were due.
    Claim,
    /// What attempts led to.
    Settle,
    /// A finished step of an attempt.
    Step,
    /// Anything else.
    Other,
}

impl Commit {
    /// The place before it.
    #[must_use]
    pub const fn before(self) -> &'static str {
        match self {
            Self::Receive => "commit.receive.before",
            Self::Claim => "commit.claim.before",
            Self::Settle => "commit.settle.before",
            Self::Step => "commit.step.before",
            Self::Other => "commit.other.before",
        }
    }

    /// The place after it.
    #[must_use]
    pub const fn after(self) -> &'static str {
        match self {
            Self::Receive => "commit.receive.after",
            Self::Claim => "commit.claim.after",
            Self::Settle => "commit.settle.after",
            Self::Step => "commit.step.after",
            Self::Other => "commit.other.after",
        }
    }
}

/// An error was ordered for this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Struck;

/// A task reaches a place.
///
/// # Errors
/// When one was ordered.
pub async fn reach(point: &str) -> Result<(), Struck> {
    let (delay, result) = orders::strike(point);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    result
}

/// A thread without tasks reaches a place.
///
/// # Errors
/// When one was ordered.
#[expect(clippy::disallowed_methods, reason = "the thread that calls this runs no tasks")]
pub fn reach_blocking(point: &str) -> Result<(), Struck> {
    let (delay, result) = orders::strike(point);
    if !delay.is_zero() {
        std::thread::sleep(delay);
    }
    result
}

/// The same, before or after a commit of all these kinds, each of which is reached once. Returns those for which an error was
/// ordered.
pub fn reach_commit(kinds: impl Iterator<Item = Commit>, place: fn(Commit) -> &'static str) -> Vec<Commit> {
    if !cfg!(debug_assertions) {
        return Vec::new();
    }
    let kinds: std::collections::BTreeSet<Commit> = kinds.collect();
    kinds.into_iter().filter(|kind| reach_blocking(place(*kind)).is_err()).collect()
}

#[cfg(not(debug_assertions))]
mod orders {
    use super::{Duration, Struck};

    #[inline]
    pub(super) fn strike(_point: &str) -> (Duration, Result<(), Struck>) {
        (Duration::ZERO, Ok(()))
    }
}

#[cfg(debug_assertions)]
mod orders {
    use super::{Duration, Struck};
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Action {
        Abort,
        Error,
        Delay(Duration),
    }

    #[derive(Debug)]
    pub(super) struct Order {
        point: String,
        pub(super) action: Action,
        pub(super) from: u64,
        pub(super) to: u64,
        reached: AtomicU64,
    }

    impl Order {
        fn strikes(&self, point: &str) -> bool {
            self.point == point && {
                let times = self.reached.fetch_add(1, Ordering::Relaxed) + 1;
                (self.from..=self.to).contains(&times)
            }
        }
    }

    static ORDERS: OnceLock<Vec<Order>> = OnceLock::new();

    pub(super) fn strike(point: &str) -> (Duration, Result<(), Struck>) {
        let orders = ORDERS.get_or_init(read);
        match orders.iter().find(|order| order.strikes(point)).map(|order| order.action) {
            None => (Duration::ZERO, Ok(())),
            Some(Action::Delay(delay)) => {
                say(format_args!("failpoint {point}: a delay"));
                (delay, Ok(()))
            }
            Some(Action::Error) => {
                say(format_args!("failpoint {point}: an error"));
                (Duration::ZERO, Err(Struck))
            }
            Some(Action::Abort) => {
                say(format_args!("failpoint {point}: the end"));
                std::process::abort()
            }
        }
    }

    fn read() -> Vec<Order> {
        let text = std::env::var("LEADWIRE_FAILPOINTS").unwrap_or_default();
        text.split(';').filter(|order| !order.trim().is_empty()).map(|order| parse(order.trim()).unwrap_or_else(|| refuse(order))).collect()
    }

    /// A misspelt order would make a test pass that proves nothing.
    fn refuse(order: &str) -> ! {
        say(format_args!("LEADWIRE_FAILPOINTS: `{order}` cannot be read; write point=abort|error|delay:200ms[@n|@n..]"));
        std::process::abort()
    }

    pub(super) fn parse(order: &str) -> Option<Order> {
        let (point, rest) = order.split_once('=')?;
        let (action, times) = rest.split_once('@').map_or((rest, None), |(action, times)| (action, Some(times)));
        let (from, to) = match times {
            None => (1, u64::MAX),
            Some(times) => match times.strip_suffix("..") {
                Some(from) => (from.parse().ok()?, u64::MAX),
                None => (times.parse().ok()?, times.parse().ok()?),
            },
        };
        let is_known = super::POINTS.contains(&point) || point == super::STORE_CARELESS;
        is_known.then_some(Order { point: point.to_owned(), action: parse_action(action)?, from, to, reached: AtomicU64::new(0) })
    }

    fn parse_action(action: &str) -> Option<Action> {
        match action {
            "abort" => Some(Action::Abort),
            "error" => Some(Action::Error),
            _ => action.strip_prefix("delay:")?.strip_suffix("ms")?.parse().ok().map(|ms| Action::Delay(Duration::from_millis(ms))),
        }
    }

    fn say(what: std::fmt::Arguments<'_>) {
        // A test that cannot read it fails by itself.
        let _ = writeln!(std::io::stderr(), "{what}");
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::orders::{Action, parse};
    use super::*;

    #[test]
    fn orders_are_read() {
        let order = parse("send.after=error@2").unwrap();
        assert_eq!((order.action, order.from, order.to), (Action::Error, 2, 2));
        let order = parse("settle.before=delay:200ms@3..").unwrap();
        assert_eq!((order.action, order.from, order.to), (Action::Delay(Duration::from_millis(200)), 3, u64::MAX));
        assert_eq!(parse("commit.receive.before=abort").unwrap().from, 1);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in ["send.after", "send.afterwards=abort", "send.after=explode", "send.after=delay:2s", "send.after=abort@x", "=abort"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
