//! The values that a connector keeps for its destination, in the store.

use crate::store::{DestinationId, Store};
use async_trait::async_trait;
use leadwire_connector::{Stored, ValueStore};

/// The values of one destination. Not printed: they may be secrets.
#[derive(Clone)]
pub struct StoredValues {
    store: Store,
    destination: DestinationId,
}

impl std::fmt::Debug for StoredValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredValues").field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl StoredValues {
    /// Those of this destination.
    #[must_use]
    pub fn new(store: &Store, destination: DestinationId) -> Self {
        Self { store: store.clone(), destination }
    }
}

#[async_trait]
impl ValueStore for StoredValues {
    async fn load(&self, name: &str) -> Result<Option<Stored>, String> {
        let found = self.store.load_token(self.destination, name.to_owned()).await.map_err(|error| error.to_string())?;
        Ok(found.map(|(value, version)| Stored { value, version }))
    }

    async fn save(&self, name: &str, value: &str, version: i64) -> Result<bool, String> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.store.save_token(self.destination, name, value, version).await.map_err(|error| error.to_string())
    }
}
