//! What alerts keep, and what they ask.

use super::size::OLDEST;
use super::{Sqlite, moment};
use crate::store::{AlertPage, Result};
use jiff::Timestamp;
use rusqlite::{Row, params};

impl Sqlite {
    pub(in crate::store) async fn alert_pages(&self) -> Result<Vec<AlertPage>> {
        self.read(|connection| {
            let mut query = connection.prepare_cached("SELECT name, page, version FROM alert ORDER BY name")?;
            let read = |row: &Row<'_>| Ok(AlertPage { name: row.get(0)?, page: row.get(1)?, version: row.get(2)? });
            let pages = query.query_map([], read)?;
            Ok(pages.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    pub(in crate::store) async fn save_alert_page(&self, page: AlertPage) -> Result<bool> {
        let sql = if page.version == 0 {
            "INSERT INTO alert (name, page, version) VALUES (?1, ?2, ?3 + 1) ON CONFLICT DO NOTHING"
        } else {
            "UPDATE alert SET page = ?2, version = ?3 + 1 WHERE name = ?1 AND version = ?3"
        };
        self.writer
            .write(move |unit| Ok(unit.connection.prepare_cached(sql)?.execute(params![page.name, page.page, page.version])? == 1))
            .await
    }

    pub(in crate::store) async fn remove_alert_page(&self, name: String, version: i64) -> Result<bool> {
        let sql = "DELETE FROM alert WHERE name = ?1 AND version = ?2";
        self.writer.write(move |unit| Ok(unit.connection.execute(sql, params![name, version])? == 1)).await
    }

    pub(in crate::store) async fn oldest_pending_each(&self) -> Result<Vec<(String, Timestamp)>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT o.name, d.clock_start FROM ({OLDEST}) o JOIN delivery d ON d.event = o.event AND d.destination = o.id ORDER BY o.name"
            );
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, moment(row.get(1)?))))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
