//! Small values that a connector keeps for its destination.

use super::Sqlite;
use super::person::overwriting;
use crate::store::{DestinationId, Result};
use rusqlite::{OptionalExtension, params};

impl Sqlite {
    pub(in crate::store) async fn load_token(&self, destination: DestinationId, name: String) -> Result<Option<(String, i64)>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT value, version FROM token WHERE destination = ?1 AND name = ?2")?;
            Ok(query.query_row(params![destination, name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
        .await
    }

    pub(in crate::store) async fn save_token(&self, destination: DestinationId, name: String, value: String, version: i64) -> Result<bool> {
        self.writer
            .write(move |unit| {
                let sql = if version == 0 {
                    "INSERT INTO token (destination, name, value, version) VALUES (?1, ?2, ?3, ?4 + 1) ON CONFLICT DO NOTHING"
                } else {
                    "UPDATE token SET value = ?3, version = ?4 + 1 WHERE destination = ?1 AND name = ?2 AND version = ?4"
                };
                // What a connector drops is a token that was renewed or what it kept of a person: it leaves no trace in the file.
                overwriting(unit, |unit| {
                    let written = unit.connection.prepare_cached(sql)?.execute(params![destination, name, value, version])?;
                    Ok(written == 1)
                })
            })
            .await
    }
}
