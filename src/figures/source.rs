//! What is counted of a source.

use super::counters::{Counter, Refusals};
use super::tally::SourceTally;
use leadwire_connector::Kind;

/// The figures of one source.
#[derive(Debug, Default)]
pub struct SourceFigures {
    /// By kind, in the order of [`Kind::ALL`].
    received: [Counter; Kind::ALL.len()],
    /// Events that were in the store already.
    pub duplicates: Counter,
    /// Events that were new and whose signature was old.
    pub stale: Counter,
    /// Bytes of request bodies, inflated.
    pub bytes: Counter,
    /// Requests that went to the spool.
    pub spooled: Counter,
    /// Bodies that went to the quarantine, repetitions included.
    pub quarantined: Counter,
    refused: Refusals,
}

impl SourceFigures {
    /// A new event is in the store.
    pub fn receive(&self, kind: Kind, is_stale: bool) {
        if let Some(counter) = self.received.get(kind as usize) {
            counter.one();
        }
        if is_stale {
            self.stale.one();
        }
    }

    /// Requests that were not answered with success.
    #[must_use]
    pub fn refused(&self) -> &Refusals {
        &self.refused
    }

    /// New events, by kind.
    pub fn received(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.received.iter().map(Counter::get))
    }

    pub(super) fn total(&self) -> SourceTally {
        SourceTally {
            received: self.received().map(|(_, count)| count).sum(),
            duplicates: self.duplicates.get(),
            refused: self.refused.all().values().sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_count() {
        let figures = SourceFigures::default();
        for (times, kind) in Kind::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| figures.receive(kind, kind == Kind::Test));
        }
        let counts: Vec<u64> = figures.received().map(|(_, count)| count).collect();
        assert_eq!((counts, figures.stale.get()), (vec![1, 2, 3, 4, 5], 4));
    }
}
