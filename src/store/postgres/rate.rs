//! Rate limits that all instances share.

use super::{Postgres, column, micros, moment, query_opt};
use crate::store::{DestinationId, Granted, Result};
use jiff::Timestamp;

/// About three thousand years: no sum of such spans overflows.
const LONGEST_US: i64 = 100_000_000_000_000_000;

/// The generic cell rate algorithm (ITU-T I.371) as one statement on one row, so that instances that ask at the same time are served
/// one after the other, and by the server's clock, which they share. A number that reaches further than a whole burst into the future
/// comes from a clock that was set back, or from other limits, and is cut.
const TAKE: &str = "WITH asked AS (
        SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT AS at, $2::BIGINT AS wanted, $3::BIGINT AS interval, $4::BIGINT AS depth
    )
    INSERT INTO rate AS r (destination, taken_until, granted, asked_at)
    SELECT $1, at + least(wanted, depth / interval) * interval, least(wanted, depth / interval), at FROM asked
    ON CONFLICT (destination) DO UPDATE SET (taken_until, granted, asked_at) = (
        SELECT until + granted * interval, granted, at FROM (
            SELECT until, interval, at, least(wanted, (at + depth - until) / interval) AS granted
            FROM (SELECT *, least(greatest(r.taken_until, at), at + depth) AS until FROM asked) a
        ) g
    )
    RETURNING granted, taken_until - asked_at";

impl Postgres {
    pub(in crate::store) async fn take_starts(
        &self,
        destination: DestinationId,
        wanted: u32,
        per_second: f64,
        burst: u32,
        now: Timestamp,
    ) -> Result<Granted> {
        let (interval, depth) = spans(per_second, burst);
        let (id, asked) = (i64::from(destination), i64::from(wanted));
        let row = self.run_now(move |client| async move { query_opt(&client, TAKE, &[&id, &asked, &interval, &depth]).await }).await?;
        let Some(row) = row else { return Ok(Granted { starts: 0, next_at: Some(now) }) };
        let (starts, ahead): (i64, i64) = (column(&row, 0)?, column(&row, 1)?);
        let next_at = moment(micros(now).saturating_add((ahead + interval - depth).max(0)));
        Ok(Granted { starts: u32::try_from(starts).unwrap_or(0), next_at: (starts < asked).then_some(next_at) })
    }
}

/// Microseconds between two starts, rounded so that there are never more, and those that a whole burst stands for.
fn spans(per_second: f64, burst: u32) -> (i64, i64) {
    // The cast cuts what is out of range, which the bounds exclude.
    #[expect(clippy::cast_possible_truncation, reason = "between 1 and 10^12")]
    let interval = (1_000_000.0 / per_second.clamp(1e-6, 1e6)).ceil() as i64;
    (interval, interval.saturating_mul(i64::from(burst.max(1))).min(LONGEST_US))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_rate_overflows_or_is_exceeded(per_second in 1e-9_f64..1e9, burst in 0_u32..=u32::MAX) {
            let (interval, depth) = spans(per_second, burst);
            prop_assert!(interval >= 1 && depth >= interval && depth <= LONGEST_US);
            prop_assert!(1_000_000.0 / interval as f64 <= per_second.clamp(1e-6, 1e6) * 1.000_001);
        }
    }
}
