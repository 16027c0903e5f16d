//! What the bridge counted, in steps of time.

use super::Sqlite;
use crate::store::Result;
use crate::store::tally::{Cell, Named, OF_DESTINATIONS, SLOWEST};
use rusqlite::params;

const ADD: &str = "INSERT INTO tally (step, at, figure, id, n) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (step, at, figure, id) DO UPDATE SET n = CASE WHEN figure = ?6 THEN max(n, excluded.n) ELSE n + excluded.n END";

const READ: &str = "
    SELECT t.at, t.figure, s.name, t.n FROM tally t JOIN source s ON s.id = t.id WHERE t.step = ?1 AND t.at BETWEEN ?2 AND ?3 AND t.figure < ?4
    UNION ALL
    SELECT t.at, t.figure, n.name, t.n FROM tally t JOIN destination n ON n.id = t.id WHERE t.step = ?1 AND t.at BETWEEN ?2 AND ?3 AND t.figure >= ?4";

impl Sqlite {
    pub(in crate::store) async fn add_tally(&self, cells: Vec<Cell>, old: [(i64, i64); 3]) -> Result<()> {
        self.writer
            .write(move |unit| {
                let mut add = unit.connection.prepare_cached(ADD)?;
                for cell in &cells {
                    add.execute(params![cell.step_s, cell.at_us, cell.figure, cell.id, cell.n, SLOWEST])?;
                }
                let mut remove = unit.connection.prepare_cached("DELETE FROM tally WHERE step = ?1 AND at < ?2")?;
                old.iter().try_for_each(|(step, until)| remove.execute([step, until]).map(drop))?;
                Ok(())
            })
            .await
    }

    /// From the step that begins at `first` to the one that begins at `last`.
    pub(in crate::store) async fn read_tally(&self, step_s: i64, first: i64, last: i64) -> Result<Vec<Named>> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(READ)?;
            let read = |row: &rusqlite::Row<'_>| Ok(Named { at_us: row.get(0)?, figure: row.get(1)?, name: row.get(2)?, n: row.get(3)? });
            let rows = query.query_map([step_s, first, last, OF_DESTINATIONS], read)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
