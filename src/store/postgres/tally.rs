//! What the bridges counted, in steps of time.

use super::{Postgres, again, column, execute, query};
use crate::failpoint::{self, Commit};
use crate::store::Result;
use crate::store::tally::{Cell, Named, OF_DESTINATIONS, SLOWEST};
use deadpool_postgres::Object;
use std::sync::Arc;

/// Instances add one after the other, which is soon done, so that they never wait for each other in a circle. `LEADTALY` in ASCII.
const LOCK: i64 = 0x4C45_4144_5441_4C59;

const ADD: &str = "INSERT INTO tally (step, at, figure, id, n)
    SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[]) AS c (step, at, figure, id, n) ORDER BY 1, 2, 3, 4
    ON CONFLICT (step, at, figure, id) DO UPDATE
    SET n = CASE WHEN tally.figure = $6 THEN greatest(tally.n, excluded.n) ELSE tally.n + excluded.n END";

/// What another instance is removing is left to it.
const REMOVE: &str = "DELETE FROM tally WHERE (step, at, figure, id) IN
    (SELECT step, at, figure, id FROM tally WHERE step = $1 AND at < $2 FOR UPDATE SKIP LOCKED)";

const READ: &str = "
    SELECT t.at, t.figure, s.name, t.n FROM tally t JOIN source s ON s.id = t.id WHERE t.step = $1 AND t.at BETWEEN $2 AND $3 AND t.figure < $4
    UNION ALL
    SELECT t.at, t.figure, n.name, t.n FROM tally t JOIN destination n ON n.id = t.id WHERE t.step = $1 AND t.at BETWEEN $2 AND $3 AND t.figure >= $4";

impl Postgres {
    pub(in crate::store) async fn add_tally(&self, cells: Vec<Cell>, old: [(i64, i64); 3]) -> Result<()> {
        let cells: Arc<[Cell]> = cells.into();
        again(|| {
            let cells = Arc::clone(&cells);
            self.run(move |client| async move { add(client, &cells, old).await })
        })
        .await
    }

    /// From the step that begins at `first` to the one that begins at `last`.
    pub(in crate::store) async fn read_tally(&self, step_s: i64, first: i64, last: i64) -> Result<Vec<Named>> {
        self.run(move |client| async move {
            let rows = query(&client, READ, &[&step_s, &first, &last, &OF_DESTINATIONS]).await?;
            rows.iter()
                .map(|row| Ok(Named { at_us: column(row, 0)?, figure: column(row, 1)?, name: column(row, 2)?, n: column(row, 3)? }))
                .collect()
        })
        .await
    }
}

async fn add(mut client: Object, cells: &[Cell], old: [(i64, i64); 3]) -> Result<()> {
    let values = |read: fn(&Cell) -> i64| cells.iter().map(read).collect::<Vec<i64>>();
    let (steps, ats) = (values(|cell| cell.step_s), values(|cell| cell.at_us));
    let (figures, ids, ns) = (values(|cell| cell.figure), values(|cell| cell.id), values(|cell| cell.n));
    let transaction = client.transaction().await?;
    execute(&transaction, "SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    execute(&transaction, ADD, &[&steps, &ats, &figures, &ids, &ns, &SLOWEST]).await?;
    for (step, until) in old {
        execute(&transaction, REMOVE, &[&step, &until]).await?;
    }
    failpoint::reach(Commit::Other.before()).await?;
    transaction.commit().await?;
    Ok(failpoint::reach(Commit::Other.after()).await?)
}
