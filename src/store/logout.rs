//! Logins of the console that were ended before their time. A login is a signed cookie that counts at every bridge, so that its end must be
//! known to all of them.

use super::operations::each;
use super::{Engine, Result, Store};
use jiff::Timestamp;

/// Logouts.
impl Store {
    /// Keeps the end of this session until it would have ended anyway, and forgets those that have.
    ///
    /// # Errors
    /// `Unavailable` when nothing was committed.
    pub async fn note_logout(&self, session: String, ends_at: Timestamp, now: Timestamp) -> Result<()> {
        each!(&self.engine, engine => engine.note_logout(session, ends_at, now).await)
    }

    /// Whether somebody has ended this session.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    pub async fn is_logged_out(&self, session: String) -> Result<bool> {
        each!(&self.engine, engine => engine.is_logged_out(session).await)
    }
}
