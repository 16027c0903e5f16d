//! What alerts keep in the store, and what they ask of it.

use super::operations::each;
use super::{Engine, Result, Store};
use jiff::Timestamp;

/// Something that alerts remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertPage {
    /// What it is about.
    pub name: String,
    /// As JSON; the store does not look into it.
    pub page: String,
    /// Grows with every write.
    pub version: i64,
}

/// Alerts.
impl Store {
    /// All pages, by name.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn alert_pages(&self) -> Result<Vec<AlertPage>> {
        each!(&self.engine, engine => engine.alert_pages().await)
    }

    /// Writes a page over the version that was read, 0 when there was none. False when somebody else wrote since; nothing is written
    /// then. Durable when it returns true.
    ///
    /// # Errors
    /// `Unavailable` when it is not known to be committed; reading tells.
    pub async fn save_alert_page(&self, page: AlertPage) -> Result<bool> {
        each!(&self.engine, engine => engine.save_alert_page(page).await)
    }

    /// Removes a page of the version that was read. False when somebody else wrote since.
    ///
    /// # Errors
    /// `Unavailable` when it is not known to be committed; reading tells.
    pub async fn remove_alert_page(&self, name: String, version: i64) -> Result<bool> {
        each!(&self.engine, engine => engine.remove_alert_page(name, version).await)
    }

    /// For each destination with pending deliveries: since when the one whose event was received first has been under way, which is
    /// its receipt, or its last replay. What is pending is walked.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn oldest_pending_each(&self) -> Result<Vec<(String, Timestamp)>> {
        each!(&self.engine, engine => engine.oldest_pending_each().await)
    }
}
