//! Small values that a connector keeps for its destination. All instances share them.

use super::{Postgres, column, execute, query_opt};
use crate::failpoint::{self, Commit};
use crate::store::{DestinationId, Result};

impl Postgres {
    pub(in crate::store) async fn load_token(&self, destination: DestinationId, name: String) -> Result<Option<(String, i64)>> {
        let id = i64::from(destination);
        self.run_now(move |client| async move {
            let sql = "SELECT value, version FROM token WHERE destination = $1 AND name = $2";
            let row = query_opt(&client, sql, &[&id, &name]).await?;
            row.map(|row| Ok((column(&row, 0)?, column(&row, 1)?))).transpose()
        })
        .await
    }

    /// Of instances that write at once, the first one wins, and the others find another version.
    pub(in crate::store) async fn save_token(&self, destination: DestinationId, name: String, value: String, version: i64) -> Result<bool> {
        let id = i64::from(destination);
        self.run_now(move |client| async move {
            let sql = if version == 0 {
                "INSERT INTO token (destination, name, value, version) VALUES ($1, $2, $3, $4::BIGINT + 1) ON CONFLICT DO NOTHING"
            } else {
                "UPDATE token SET value = $3, version = $4::BIGINT + 1 WHERE destination = $1 AND name = $2 AND version = $4"
            };
            failpoint::reach(Commit::Other.before()).await?;
            let written = execute(&client, sql, &[&id, &name, &value, &version]).await?;
            failpoint::reach(Commit::Other.after()).await?;
            Ok(written == 1)
        })
        .await
    }
}
