//! Sessions of a transfer, and what keeps bridges off both of its sides.

use super::connect::Target;
use super::{Postgres, column};
use crate::store::dump::{Kept, Mark, Stage, refuse_unfinished};
use crate::store::{Error, Result};
use deadpool_postgres::GenericClient;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row};

/// `LEADMOVE` in ASCII: the lock that a transfer holds on both of its sides.
const LOCK: i64 = 0x4C45_4144_4D4F_5645;

/// A bridge that was heard of within this time counts as running; it gives a sign of life every few seconds.
const ALIVE: &str = "SELECT name FROM instance WHERE beat_at > clock_timestamp() - interval '15 seconds' LIMIT 1";

/// A long transfer is no stuck one.
const PATIENCE: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '10s'";

/// A connection of its own, closed when dropped.
#[derive(Debug)]
pub(in crate::store) struct Session {
    pub(super) client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    pub(super) async fn open(target: &Target) -> Result<Self> {
        let (client, connection) = target.connect().await?;
        let driver = tokio::spawn(async move {
            // Why it broke is told by the query that it breaks.
            let _ = connection.await;
        });
        let session = Self { client, driver };
        session.client.batch_execute(PATIENCE).await?;
        Ok(session)
    }

    /// Keeps bridges and other transfers off until the session is closed.
    pub(super) async fn lock_out(self) -> Result<Self> {
        let row = self.client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?;
        if !column::<bool>(&row, 0)? {
            return Err(Error::Refused("another transfer is under way on this database; let it finish".to_owned()));
        }
        match self.client.query_opt(ALIVE, &[]).await? {
            Some(row) => Err(Error::Refused(format!(
                "the bridge {} runs on this database, or was killed within the last 15 s; stop all bridges first",
                column::<String>(&row, 0)?
            ))),
            None => Ok(self),
        }
    }
}

impl Postgres {
    /// A bridge on a part of the leads would take numbers that the rest has; one on the origin would leave leads behind.
    pub(in crate::store) async fn refuse_during_transfer(&self) -> Result<()> {
        self.run(|client| async move {
            if let Some(kept) = read_kept(&client).await?.filter(|kept| kept.finished_at.is_none()) {
                return Err(refuse_unfinished(&kept.origin));
            }
            let row = client.query_one("SELECT pg_try_advisory_xact_lock_shared($1)", &[&LOCK]).await?;
            if column(&row, 0)? {
                return Ok(());
            }
            Err(Error::Refused("a transfer from or to this database is under way; start when `leadwire store migrate` is done".to_owned()))
        })
        .await
    }
}

pub(super) async fn read_kept(client: &impl GenericClient) -> Result<Option<Kept>> {
    let row = client.query_opt("SELECT origin, fingerprint, stage, after, finished_at FROM transfer", &[]).await?;
    row.map(|row| read_mark(&row)).transpose()
}

fn read_mark(row: &Row) -> Result<Kept> {
    Ok(Kept {
        origin: column(row, 0)?,
        fingerprint: column(row, 1)?,
        mark: Mark { stage: Stage::from_number(column(row, 2)?)?, after: column(row, 3)? },
        finished_at: column(row, 4)?,
    })
}
