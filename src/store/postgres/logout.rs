//! Sessions that were ended.

use super::{Postgres, execute, micros, query_opt};
use crate::store::Result;
use jiff::Timestamp;

impl Postgres {
    pub(in crate::store) async fn note_logout(&self, session: String, ends_at: Timestamp, now: Timestamp) -> Result<()> {
        self.run(move |client| async move {
            execute(&client, "DELETE FROM logout WHERE ends_at <= $1", &[&micros(now)]).await?;
            let sql = "INSERT INTO logout (session, ends_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            execute(&client, sql, &[&session, &micros(ends_at)]).await.map(drop)
        })
        .await
    }

    pub(in crate::store) async fn is_logged_out(&self, session: String) -> Result<bool> {
        self.run(move |client| async move {
            let row = query_opt(&client, "SELECT 1 FROM logout WHERE session = $1", &[&session]).await?;
            Ok(row.is_some())
        })
        .await
    }
}
