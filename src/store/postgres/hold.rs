//! Parking and releasing destinations, and what the store knows of each. All instances share it.

use super::{Postgres, column, execute, micros, moment, query, tell_all, text};
use crate::failpoint::{self, Commit};
use crate::store::{Counts, DestinationId, DestinationRow, Error, Hold, Result};
use deadpool_postgres::GenericClient;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Six columns of sums over the rows of all writers, of a destination `n`: made less removed, then each ended state.
pub(super) const SUMS: &str = "LEFT JOIN (
    SELECT destination, sum(created)::BIGINT AS created, sum(removed)::BIGINT AS removed, sum(delivered)::BIGINT AS delivered,
        sum(skipped)::BIGINT AS skipped, sum(dead)::BIGINT AS dead, sum(erased)::BIGINT AS erased
    FROM destination_count GROUP BY destination
) c ON c.destination = n.id";

/// The columns that [`read_counts`] takes, of `destination n` with [`SUMS`].
pub(super) const COUNT_COLUMNS: &str = "coalesce(c.created - c.removed - c.delivered - c.skipped - c.dead - c.erased, 0),
    coalesce(c.delivered, 0), coalesce(c.skipped, 0), coalesce(c.dead, 0), coalesce(c.erased, 0)";

/// When the delivery that is due longest was due first.
const DUE_SINCE: &str = "(SELECT min(d.not_before) FROM delivery d WHERE d.destination = n.id AND d.state = 0)";

/// Parks destination `$1` for reason `$2` until `$3`; a hold that is on only when `$5` says so, or it ends earlier. One without end ends
/// later than any other.
pub(super) const PARK: &str = "UPDATE destination SET hold_reason = $2, hold_until = $3, hold_since = coalesce(hold_since, $4)
    WHERE id = $1 AND ($5::BOOLEAN OR hold_since IS NULL OR hold_until < coalesce($3, 9223372036854775807))";

/// Ends the hold of destination `$1` at `$2`, with `$3` only when it has an end that has come by then.
pub(super) const RELEASE: &str = "UPDATE destination SET parked_us = parked_us + greatest(0, $2::BIGINT - hold_since), hold_reason = NULL,
        hold_since = NULL, hold_until = NULL
    WHERE id = $1 AND hold_since IS NOT NULL AND ($3::BIGINT IS NULL OR hold_until <= $3)";

impl Postgres {
    pub(in crate::store) async fn hold(
        &self,
        destination: DestinationId,
        reason: String,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        self.park(destination, reason, until, now, true).await
    }

    pub(in crate::store) async fn hold_by_attempt(
        &self,
        destination: DestinationId,
        reason: String,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        self.park(destination, reason, until, now, false).await
    }

    async fn park(
        &self,
        destination: DestinationId,
        reason: String,
        until: Option<Timestamp>,
        now: Timestamp,
        overrule: bool,
    ) -> Result<()> {
        let (id, reason, until, now) = (i64::from(destination), text(&reason), until.map(micros), micros(now));
        self.change(PARK, vec![Box::new(id), Box::new(reason), Box::new(until), Box::new(now), Box::new(overrule)]).await.map(drop)
    }

    pub(in crate::store) async fn resume(&self, destination: DestinationId, now: Timestamp) -> Result<bool> {
        self.release_hold(destination, None, now).await
    }

    pub(in crate::store) async fn resume_expired(&self, destination: DestinationId, now: Timestamp) -> Result<bool> {
        self.release_hold(destination, Some(now), now).await
    }

    /// Of two that release at once, the second finds no hold any more, so that the time is added once.
    async fn release_hold(&self, destination: DestinationId, expired_at: Option<Timestamp>, now: Timestamp) -> Result<bool> {
        let (id, now, expired_at) = (i64::from(destination), micros(now), expired_at.map(micros));
        Ok(self.change(RELEASE, vec![Box::new(id), Box::new(now), Box::new(expired_at)]).await? == 1)
    }

    /// Instances that send to the same destination see the same outage: what another one has credited already is not credited again.
    pub(in crate::store) async fn credit_outage(&self, destination: DestinationId, outage: SignedDuration) -> Result<()> {
        let outage_us = i64::try_from(outage.as_micros()).unwrap_or(0).max(0);
        let sql = "UPDATE destination SET credited_by = $3, credited_until = (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT,
                 parked_us = parked_us + CASE WHEN credited_by IS NOT DISTINCT FROM $3::BIGINT THEN $2::BIGINT
                     ELSE least($2, greatest(0, (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT - credited_until)) END
             WHERE id = $1";
        let (id, instance) = (i64::from(destination), self.shared.membership.id());
        self.change(sql, vec![Box::new(id), Box::new(outage_us), Box::new(instance)]).await.map(drop)
    }

    /// Changes a destination, and tells all bridges at once.
    async fn change(&self, sql: &'static str, values: Vec<Box<dyn ToSql + Sync + Send>>) -> Result<u64> {
        self.run_now(move |mut client| async move {
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect();
            let transaction = client.transaction().await?;
            let changed = execute(&transaction, sql, &values).await?;
            if changed > 0 {
                tell_all(&transaction).await?;
            }
            failpoint::reach(Commit::Other.before()).await?;
            transaction.commit().await?;
            failpoint::reach(Commit::Other.after()).await?;
            Ok(changed)
        })
        .await
    }

    /// Every bridge on a machine sees that its clock was set back; the first one to say so is enough for all of them.
    pub(in crate::store) async fn follow_clock(&self, by: SignedDuration, now: Timestamp) -> Result<()> {
        let (now, by) = (micros(now), i64::try_from(by.as_micros()).unwrap_or(0).max(0));
        let member = self.shared.membership.id();
        self.run_now(move |mut client| async move {
            let transaction = client.transaction().await?;
            let turn = "UPDATE pulse SET clock_followed_at = clock_timestamp(), clock_followed_by = $1
                 WHERE clock_followed_at IS NULL OR clock_followed_at < clock_timestamp() - INTERVAL '30 seconds' OR clock_followed_by = $1";
            if execute(&transaction, turn, &[&member]).await? == 0 {
                return Ok(());
            }
            pull_in(&transaction, by, now).await?;
            tell_all(&transaction).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    pub(in crate::store) async fn holds(&self) -> Result<Vec<DestinationRow>> {
        self.read_destinations("NULL::BIGINT").await
    }

    pub(in crate::store) async fn destinations(&self) -> Result<Vec<DestinationRow>> {
        self.read_destinations(DUE_SINCE).await
    }

    async fn read_destinations(&self, due_since: &'static str) -> Result<Vec<DestinationRow>> {
        let sql = format!(
            "SELECT n.id, n.name, n.hold_reason, n.hold_since, n.hold_until, n.parked_us, {due_since}, {COUNT_COLUMNS}
             FROM destination n {SUMS} ORDER BY n.id"
        );
        self.run_now(move |client| async move { query(&client, &sql, &[]).await?.iter().map(read_destination).collect() }).await
    }

    pub(in crate::store) async fn find_destination(&self, name: &str) -> Result<DestinationId> {
        let rows = self.holds().await?;
        let unknown = || {
            let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            Error::Refused(format!("there is no destination `{name}`; known are {}", names.join(", ")))
        };
        rows.iter().find(|row| row.name == name).map(|row| row.id).ok_or_else(unknown)
    }
}

/// What is due after `now` is due earlier, but not before it.
pub(super) async fn pull_in(client: &impl GenericClient, by: i64, now: i64) -> Result<()> {
    let sql = "UPDATE delivery SET not_before = greatest($1, not_before - $2) WHERE state = 0 AND not_before > $1";
    execute(client, sql, &[&now, &by]).await?;
    let sql = "UPDATE destination SET hold_until = greatest($1, hold_until - $2) WHERE hold_until > $1";
    execute(client, sql, &[&now, &by]).await.map(drop)
}

fn read_destination(row: &Row) -> Result<DestinationRow> {
    let hold = match column::<Option<i64>>(row, 3)? {
        Some(since) => Some(Hold {
            reason: column::<Option<String>>(row, 2)?.unwrap_or_default(),
            since: moment(since),
            until: column::<Option<i64>>(row, 4)?.map(moment),
        }),
        None => None,
    };
    let due_since = column::<Option<i64>>(row, 6)?.map(moment).filter(|due| *due <= Timestamp::now());
    Ok(DestinationRow {
        id: number(row, 0)?,
        name: column(row, 1)?,
        hold,
        parked_us: column(row, 5)?,
        counts: read_counts(row, 7)?,
        due_since,
    })
}

/// The number of a destination.
pub(super) fn number(row: &Row, index: usize) -> Result<DestinationId> {
    let id: i64 = column(row, index)?;
    DestinationId::try_from(id).map_err(|_| Error::Refused(format!("the store has a destination of the number {id}, which cannot be")))
}

/// Reads [`COUNT_COLUMNS`], which begin at column `first`.
pub(super) fn read_counts(row: &Row, first: usize) -> Result<Counts> {
    Ok(Counts {
        pending: column(row, first)?,
        delivered: column(row, first + 1)?,
        skipped: column(row, first + 2)?,
        dead: column(row, first + 3)?,
        erased: column(row, first + 4)?,
    })
}
