//! What is stored within a range of content keys.

use super::{Postgres, column, query};
use crate::store::known::{KnownEvent, PIECE};
use crate::store::{Error, Receipt, Result};
use tokio_postgres::Row;

impl Postgres {
    pub(in crate::store) async fn known_events(&self, source: String, after: [u8; 24], last: [u8; 24]) -> Result<Vec<KnownEvent>> {
        self.run(move |client| async move {
            let sql = "SELECT c.content_key, e.kind, e.session_id, e.email, e.phone, e.erased_at IS NOT NULL, e.receipt
                 FROM content c JOIN event e ON e.seq = c.event
                 WHERE c.source = (SELECT id FROM source WHERE name = $1) AND c.content_key > $2 AND c.content_key <= $3
                 ORDER BY c.content_key LIMIT $4";
            query(&client, sql, &[&source, &&after[..], &&last[..], &PIECE]).await?.iter().map(read).collect()
        })
        .await
    }
}

fn read(row: &Row) -> Result<KnownEvent> {
    let key: &[u8] = column(row, 0)?;
    let odd = |_| Error::Refused("a content key in the store has another length than they have; run `leadwire audit`".to_owned());
    Ok(KnownEvent {
        content_key: key.try_into().map_err(odd)?,
        kind: column(row, 1)?,
        session_id: column(row, 2)?,
        email: column(row, 3)?,
        phone: column(row, 4)?,
        erased: column(row, 5)?,
        via: column::<Option<&str>>(row, 6)?.and_then(Receipt::from_text).map(|receipt| receipt.via),
    })
}
