//! The numbers that names of the configuration have in the store.

use super::DestinationId;
use std::collections::HashMap;

/// The numbers of sources and destinations, as registered.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) sources: HashMap<String, i64>,
    pub(super) destinations: HashMap<String, DestinationId>,
}

impl Names {
    /// These and more. None is ever taken away: what left the configuration keeps its rows.
    pub(super) fn with(&self, more: Self) -> Self {
        let mut all = self.clone();
        all.sources.extend(more.sources);
        all.destinations.extend(more.destinations);
        all
    }
}
