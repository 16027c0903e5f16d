//! Rate limits that all bridges share.

use super::{Postgres, column, query};
use crate::store::{DestinationId, Granted, Result};
use jiff::{SignedDuration, Timestamp};

impl Postgres {
    /// The generic cell rate algorithm (ITU-T I.371) in one statement, by the clock of the server: `taken_until` is the moment up to
    /// which the starts that were handed out reach at the steady rate.
    pub(in crate::store) async fn take_starts(
        &self,
        destination: DestinationId,
        wanted: u32,
        per_second: f64,
        burst: u32,
    ) -> Result<Granted> {
        #[expect(clippy::cast_possible_truncation, reason = "between one microsecond and 12 days")]
        let interval_us = (1_000_000.0 / per_second.clamp(1e-6, 1e6)) as i64;
        let depth_us = interval_us.saturating_mul(i64::from(burst.max(1) - 1));
        self.run(move |client| async move {
            // A clock that was set back must not keep the limit shut until it has caught up, hence `least`.
            let sql = "WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT AS now)
                 INSERT INTO rate AS r (destination, taken_until, granted)
                 SELECT $1, now + least($2::BIGINT, ($4::BIGINT + $3::BIGINT) / $3) * $3, least($2, ($4 + $3) / $3) FROM clock
                 ON CONFLICT (destination) DO UPDATE SET (taken_until, granted) = (
                     SELECT t.base + k.starts * $3, k.starts
                     FROM clock, LATERAL (SELECT least(greatest(r.taken_until, now), now + $4 + $3) AS base) t,
                         LATERAL (SELECT greatest(0, least($2, (now + $4 + $3 - t.base) / $3)) AS starts) k)
                 RETURNING granted, taken_until - $4 - (SELECT now FROM clock)";
            let rows = query(&client, sql, &[&i64::from(destination), &i64::from(wanted), &interval_us, &depth_us]).await?;
            let Some(row) = rows.first() else { return Ok(Granted { starts: 0, next_at: None }) };
            let (starts, wait_us): (i64, i64) = (column(row, 0)?, column(row, 1)?);
            let wait = SignedDuration::from_micros(wait_us.max(0));
            Ok(Granted { starts: u32::try_from(starts).unwrap_or(0), next_at: Timestamp::now().checked_add(wait).ok() })
        })
        .await
    }
}
