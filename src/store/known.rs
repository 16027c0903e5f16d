//! What is stored of a source within a range of content keys, which begin with the moment that the sender says the event happened at.

use super::operations::each;
use super::{Engine, Result, Store, Via};

/// What is known of a stored event without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownEvent {
    /// Its content key.
    pub content_key: [u8; 24],
    /// Its kind.
    pub kind: String,
    /// The chat session.
    pub session_id: Option<String>,
    /// As normalised.
    pub email: Option<String>,
    /// As normalised.
    pub phone: Option<String>,
    /// Whether its person was erased, so that nothing else is left of it.
    pub erased: bool,
    /// By which way it came in.
    pub via: Option<Via>,
}

/// Rows read in one go.
pub(super) const PIECE: i64 = 2_000;

impl Store {
    /// Events of a source whose content keys are above `after` and not above `last`, in their order, a bounded number: call again with
    /// the last one's key until there is none.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn known_events(&self, source: &str, after: [u8; 24], last: [u8; 24]) -> Result<Vec<KnownEvent>> {
        each!(&self.engine, engine => engine.known_events(source.to_owned(), after, last).await)
    }
}
