//! The numbers that names of the configuration have in the store.

use super::DestinationId;
use std::collections::HashMap;

/// The numbers of sources and destinations, as registered at opening.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) sources: HashMap<String, i64>,
    pub(super) destinations: HashMap<String, DestinationId>,
}
