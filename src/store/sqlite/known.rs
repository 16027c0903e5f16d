//! What is stored within a range of content keys.

use super::Sqlite;
use crate::store::known::{KnownEvent, PIECE};
use crate::store::{Receipt, Result};
use rusqlite::{Row, params};

impl Sqlite {
    pub(in crate::store) async fn known_events(&self, source: String, after: [u8; 24], last: [u8; 24]) -> Result<Vec<KnownEvent>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT content_key, kind, session_id, email, phone, erased_at IS NOT NULL, receipt FROM event
                 WHERE source = (SELECT id FROM source WHERE name = ?1) AND content_key > ?2 AND content_key <= ?3 ORDER BY content_key LIMIT ?4",
            )?;
            let rows = query.query_map(params![source, after, last, PIECE], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<KnownEvent> {
    Ok(KnownEvent {
        content_key: row.get(0)?,
        kind: row.get(1)?,
        session_id: row.get(2)?,
        email: row.get(3)?,
        phone: row.get(4)?,
        erased: row.get(5)?,
        via: row.get::<_, Option<String>>(6)?.as_deref().and_then(Receipt::from_text).map(|receipt| receipt.via),
    })
}
