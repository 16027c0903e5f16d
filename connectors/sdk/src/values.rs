//! Small values of a destination that survive restarts.

use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value and how often it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub value: String,
    /// Grows with every write, from 1.
    pub version: i64,
}

/// Where small values of one destination are kept: tokens, a cursor. All bridges on one store share them, so a value is only written
/// over the version that was read. The bridge brings its store; tests bring [`MemoryValues`].
///
/// Values may be secrets. They are kept as they are: who can read the store can read them.
#[async_trait]
pub trait ValueStore: Send + Sync + std::fmt::Debug {
    /// The value of this name, if there is one. The error is a sentence for a person.
    async fn load(&self, name: &str) -> Result<Option<Stored>, String>;

    /// Writes the value over the `version` that was read, 0 when there was none. Durable when it returns `Ok(true)`, and nothing is
    /// written when it returns `Ok(false)`: somebody else wrote since; read again. The error is a sentence for a person.
    async fn save(&self, name: &str, value: &str, version: i64) -> Result<bool, String>;
}

/// Keeps values in memory, for tests and previews.
#[derive(Debug, Default)]
pub struct MemoryValues {
    values: Mutex<HashMap<String, Stored>>,
}

impl MemoryValues {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Stored>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ValueStore for MemoryValues {
    async fn load(&self, name: &str) -> Result<Option<Stored>, String> {
        Ok(self.lock().get(name).cloned())
    }

    async fn save(&self, name: &str, value: &str, version: i64) -> Result<bool, String> {
        let mut values = self.lock();
        if values.get(name).map_or(0, |stored| stored.version) != version {
            return Ok(false);
        }
        values.insert(name.to_owned(), Stored { value: value.to_owned(), version: version + 1 });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_is_written_over_the_version_that_was_read_only() {
        let values = MemoryValues::default();
        assert_eq!(values.load("a").await, Ok(None));
        assert_eq!(values.save("a", "1", 0).await, Ok(true));
        assert_eq!(values.save("a", "2", 0).await, Ok(false));
        assert_eq!(values.save("a", "2", 1).await, Ok(true));
        assert_eq!(values.load("a").await, Ok(Some(Stored { value: "2".to_owned(), version: 2 })));
    }
}
