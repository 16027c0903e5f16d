//! Sessions that were ended.

use super::{Sqlite, micros};
use crate::store::Result;
use jiff::Timestamp;
use rusqlite::params;

impl Sqlite {
    pub(in crate::store) async fn note_logout(&self, session: String, ends_at: Timestamp, now: Timestamp) -> Result<()> {
        self.writer
            .write(move |unit| {
                unit.connection.execute("DELETE FROM logout WHERE ends_at <= ?1", [micros(now)])?;
                let sql = "INSERT INTO logout (session, ends_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                Ok(unit.connection.execute(sql, params![session, micros(ends_at)]).map(drop)?)
            })
            .await
    }

    pub(in crate::store) async fn is_logged_out(&self, session: String) -> Result<bool> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT 1 FROM logout WHERE session = ?1")?;
            Ok(query.exists([session])?)
        })
        .await
    }
}
