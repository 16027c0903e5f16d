//! What alerts keep, and what they ask. All instances share it.

use super::{Postgres, column, execute, moment, query};
use crate::failpoint::{self, Commit};
use crate::store::{AlertPage, Result};
use jiff::Timestamp;

impl Postgres {
    pub(in crate::store) async fn alert_pages(&self) -> Result<Vec<AlertPage>> {
        self.run(move |client| async move {
            let rows = query(&client, "SELECT name, page, version FROM alert ORDER BY name COLLATE \"C\"", &[]).await?;
            rows.iter().map(|row| Ok(AlertPage { name: column(row, 0)?, page: column(row, 1)?, version: column(row, 2)? })).collect()
        })
        .await
    }

    /// Of instances that write at once, the first one wins, and the others find another version.
    pub(in crate::store) async fn save_alert_page(&self, page: AlertPage) -> Result<bool> {
        self.run(move |client| async move {
            let sql = if page.version == 0 {
                "INSERT INTO alert (name, page, version) VALUES ($1, $2, $3::BIGINT + 1) ON CONFLICT DO NOTHING"
            } else {
                "UPDATE alert SET page = $2, version = $3::BIGINT + 1 WHERE name = $1 AND version = $3"
            };
            failpoint::reach(Commit::Other.before()).await?;
            let written = execute(&client, sql, &[&page.name, &page.page, &page.version]).await?;
            failpoint::reach(Commit::Other.after()).await?;
            Ok(written == 1)
        })
        .await
    }

    pub(in crate::store) async fn remove_alert_page(&self, name: String, version: i64) -> Result<bool> {
        self.run(move |client| async move {
            Ok(execute(&client, "DELETE FROM alert WHERE name = $1 AND version = $2", &[&name, &version]).await? == 1)
        })
        .await
    }

    /// What is blocked stands behind something older that is not.
    pub(in crate::store) async fn oldest_pending_each(&self) -> Result<Vec<(String, Timestamp)>> {
        self.run(move |client| async move {
            // `+ 0` keeps the planner from walking all deliveries in their order; the indexes of what is pending are small.
            let first = |state: u8| format!("(SELECT min(event + 0) FROM delivery WHERE destination = n.id AND state = {state})");
            let sql = format!(
                "SELECT n.name, d.clock_start FROM destination n JOIN delivery d ON d.destination = n.id AND d.event = least({}, {})
                 ORDER BY n.name COLLATE \"C\"",
                first(0),
                first(1)
            );
            let rows = query(&client, &sql, &[]).await?;
            rows.iter().map(|row| Ok((column(row, 0)?, moment(column(row, 1)?)))).collect()
        })
        .await
    }
}
