//! What the process counts, for `/metrics` and for the plots. Whoever has the store has the figures ([`Store::figures`]).
//!
//! Counting costs a look-up by name and a few relaxed atomics. The names are those of the configuration, so that what strangers send can
//! neither make a figure nor get into one; nothing here names a person.
//!
//! [`Store::figures`]: crate::store::Store::figures

mod counters;
mod destination;
mod histogram;
mod source;
mod store;
mod tally;

pub use counters::{Counter, Refusals, SpanFigures};
pub use destination::{DestinationFigures, OUTCOMES};
pub use histogram::{Histogram, Reading};
pub use source::SourceFigures;
pub use store::{StoreFigures, WorkFigures};
pub use tally::{DestinationTally, SourceTally, Speed, Tally};

use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All figures of one process, from its start.
#[derive(Debug)]
pub struct Figures {
    sources: BTreeMap<String, SourceFigures>,
    destinations: BTreeMap<String, DestinationFigures>,
    unknown_sources: Refusals,
    store: Arc<StoreFigures>,
    spans: SpanFigures,
    since: Timestamp,
    /// What of them is in the tally of the store.
    tallied: Mutex<Tally>,
}

impl Figures {
    /// For the sources and destinations of a configuration.
    pub fn new<'a>(
        sources: impl IntoIterator<Item = &'a String>,
        destinations: impl IntoIterator<Item = &'a String>,
        store: Arc<StoreFigures>,
    ) -> Self {
        Self {
            sources: sources.into_iter().map(|name| (name.clone(), SourceFigures::default())).collect(),
            destinations: destinations.into_iter().map(|name| (name.clone(), DestinationFigures::default())).collect(),
            unknown_sources: Refusals::default(),
            store,
            spans: SpanFigures::default(),
            since: Timestamp::now(),
            tallied: Mutex::default(),
        }
    }

    /// Those of a source of the configuration.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&SourceFigures> {
        self.sources.get(name)
    }

    /// Those of a destination of the configuration.
    #[must_use]
    pub fn destination(&self, name: &str) -> Option<&DestinationFigures> {
        self.destinations.get(name)
    }

    /// By name.
    #[must_use]
    pub fn sources(&self) -> &BTreeMap<String, SourceFigures> {
        &self.sources
    }

    /// By name.
    #[must_use]
    pub fn destinations(&self) -> &BTreeMap<String, DestinationFigures> {
        &self.destinations
    }

    /// Those of the store.
    #[must_use]
    pub fn store(&self) -> &StoreFigures {
        &self.store
    }

    /// Those of traces.
    #[must_use]
    pub fn spans(&self) -> &SpanFigures {
        &self.spans
    }

    /// Since when there are figures: the start of the process, about.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// A request to this source, which may be none of ours, was not answered with success.
    pub fn refuse(&self, source: &str, reason: &'static str) {
        self.source(source).map_or(&self.unknown_sources, SourceFigures::refused).count(reason);
    }

    /// Requests that were not answered with success, by reason, those to unknown sources included.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.unknown_sources.all();
        for (reason, count) in self.sources.values().flat_map(|source| source.refused().all()) {
            *all.entry(reason).or_default() += count;
        }
        all
    }

    /// What was counted and is not in the tally of the store yet.
    #[must_use]
    pub fn untallied(&self) -> Tally {
        let totals = self.totals();
        totals.without(&self.tallied())
    }

    /// This much of what was counted is in the tally of the store now.
    pub fn note_tallied(&self, tally: &Tally) {
        self.tallied().add(tally);
        for (name, part) in &tally.destinations {
            if let Some(figures) = self.destination(name) {
                figures.forget_slowest(part.speed.slowest_us());
            }
        }
    }

    fn totals(&self) -> Tally {
        Tally {
            sources: self.sources.iter().map(|(name, figures)| (name.clone(), figures.total())).collect(),
            destinations: self.destinations.iter().map(|(name, figures)| (name.clone(), figures.total())).collect(),
        }
    }

    fn tallied(&self) -> MutexGuard<'_, Tally> {
        self.tallied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::Kind;
    use std::time::Duration;

    fn figures() -> Figures {
        Figures::new(&["acme".to_owned()], &["crm".to_owned()], Arc::default())
    }

    #[test]
    fn what_strangers_ask_for_makes_no_figure() {
        let figures = figures();
        figures.refuse("acme", "no_header");
        figures.refuse("../etc", "unknown_source");
        figures.refuse("other", "unknown_source");
        assert_eq!(figures.sources().len(), 1);
        assert_eq!(figures.refusals(), BTreeMap::from([("no_header", 1), ("unknown_source", 2)]));
    }

    #[test]
    fn what_is_tallied_is_not_tallied_again() {
        let figures = figures();
        let (source, crm) = (figures.source("acme").unwrap(), figures.destination("crm").unwrap());
        source.receive(Kind::Lead, false);
        crm.settle("delivered", Duration::from_millis(40));
        let first = figures.untallied();
        source.receive(Kind::Lead, true);
        crm.settle("dead", Duration::from_secs(9));
        crm.settle("delivered", Duration::from_secs(3));
        figures.note_tallied(&first);
        let second = figures.untallied();
        assert_eq!((first.sources["acme"].received, second.sources["acme"].received), (1, 1));
        assert_eq!(first.destinations["crm"].speed.slowest_us(), 40_000);
        assert_eq!((second.destinations["crm"].delivered, second.destinations["crm"].dead), (1, 1));
        assert_eq!(second.destinations["crm"].speed.slowest_us(), 3_000_000, "one that came meanwhile is not forgotten");
        figures.note_tallied(&second);
        assert!(figures.untallied().is_empty());
    }
}
